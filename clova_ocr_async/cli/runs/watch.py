"""A run whose images are the files of a watched folder: it goes on until a signal or an error ends it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.ledgered import is_gone
from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.batch.sources.exclusions import Exclusions
from clova_ocr_async.batch.sources.watchlist import WatchList
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.cli.runs.resumable import ResumableRun
from clova_ocr_async.cli.terminal.phrases import quote_run, shown_run
from clova_ocr_async.cli.terminal.progress import shown_progress
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.server_url import ServerURL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractContextManager

    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.batch.sources.listed_image import FoundImage
    from clova_ocr_async.batch.sources.watched_folder import WatchedFolder
    from clova_ocr_async.batch.sources.watchlist import OpenEvents
    from clova_ocr_async.batch.sources.worklist import WorkList
    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.cli.runs.resumable import RunSettings
    from clova_ocr_async.cli.terminal.progress import Progress
    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.storage import RunLedger

__all__ = ["WatchRun", "check_apart", "native_events", "print_exclusions"]


class WatchRun(ResumableRun):
    """One command's watch of a folder. Its lines on standard error, one for each image, make up its log.

    Args:
        client: The client; it is closed at the end.
        calls: Counts the client's calls.
        settings: The command's settings.
        folder: The folder.
        settle: Seconds in which a file must not change before it is read.
        pages: Which pages of files of several to read, as in ``images_in``; None to refuse such files.
        open_events: Opens events that start scans of the folder; None to scan it every second.
    """

    def __init__(
        self,
        client: ClovaOCRClient,
        calls: CallCounter,
        settings: RunSettings,
        folder: WatchedFolder,
        *,
        settle: float,
        pages: str | None,
        open_events: OpenEvents | None,
    ) -> None:
        super().__init__(client, calls, settings, Search((folder.path,), recursive=folder.recursive, pages=pages))
        self._folder = folder
        self._settle = settle
        self._open_events = open_events

    def _list_images(
        self,
        ledger: RunLedger,
        found: Iterable[FoundImage],  # noqa: ARG002 - none: the watch finds the files itself
    ) -> tuple[WorkList, Callable[[], Awaitable[int | None]]]:
        (document,) = self._documents
        images = WatchList(
            ledger,
            document.path_word,
            self._folder,
            settle=self._settle,
            divide=self._search.divided,
            open_events=self._open_events,
        )
        still = f"once it has not changed for {self._settle:g} s" if self._settle else "as soon as it is found"
        echo_stderr(f"watching {shown_path(self._folder.path)}: a file is read {still}; Ctrl-C or SIGTERM ends")
        return images, _unknown

    def _shown_progress(self) -> AbstractContextManager[Progress]:
        return shown_progress(quiet=True)  # the images have no number, and each has a line of its own

    def _take(self, outcome: Outcome[Any]) -> None:
        # People and programs move files out of a folder at any time; the run lists such a file as no longer there.
        path = outcome.source.path if isinstance(outcome.source, Page) else outcome.source
        if isinstance(outcome, Failure) and isinstance(outcome.error, ImageError) and is_gone(path):
            echo_stderr(f"{shown_path(str(outcome.source))}: gone before it was read")
            self._folder.forget(os.fsdecode(path))  # should it come back, it is read
        else:
            super()._take(outcome)

    def _print_outcome(self, outcome: Outcome[Any], status: str) -> None:
        shown = shown_path(str(outcome.source))
        if isinstance(outcome, Failure):
            echo_stderr(f"{shown}: {status}: {outcome.error}")
        else:
            paid = "billed" if outcome.billed else "not billed, because this picture was paid for before"
            echo_stderr(f"{shown}: {status}, {paid}")


async def _unknown() -> None:
    """Return the number of images of a watch: it has none."""


def check_apart(folder: str, run: RunLocation) -> None:
    """Refuse a run directory inside of the watched folder, and a watched folder inside of a run directory.

    Raises:
        ConfigurationError: One lies in the other.
    """
    if isinstance(run, ServerURL):
        return
    # The ledger changes with each call, and each change in the folder would start a scan of it.
    inbox, place = (Path(os.path.realpath(path)) for path in (folder, run))  # Path.resolve raises for a loop of links
    if place.is_relative_to(inbox):
        raise ConfigurationError(
            f"--run {shown_run(run)} lies in {shown_path(folder)}, which is watched; give a directory outside of it"
        )
    if inbox.is_relative_to(place):
        raise ConfigurationError(
            f"{shown_path(folder)} lies in the run directory {shown_run(run)}; give a directory outside of it as --run"
        )


def print_exclusions(folder: WatchedFolder, run: RunLocation) -> None:
    """Print the number of files that are left out by their names, and the command that reads them."""
    exclusions = Exclusions()
    folder.scan(threading.Event(), exclusions)
    if summary := exclusions.summary():
        echo_stderr(f"{summary}; clova-ocr batch with --run {quote_run(run)} reads those that are given as a PATH")


def native_events() -> OpenEvents | None:
    """Return a function that opens the events of a folder; None without the extra ``watch``.

    A scan every second finds the same files. So a missing library is worth a line, and no reason to end.
    """
    try:
        from clova_ocr_async.batch.sources.folder_events import FolderEvents
    except ImportError:
        echo_stderr(
            "without watchfiles the folder is scanned every second; to have the system report changes: "
            "pip install 'clova-ocr-async[watch]'"
        )
        return None
    return lambda folder, notify: FolderEvents(folder.path, notify, recursive=folder.recursive)
