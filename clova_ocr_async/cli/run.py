"""A batch from files to lines: what ``recognize``, ``batch`` and ``demo`` share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.dispatcher import BatchDispatcher
from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.cli.app import say
from clova_ocr_async.cli.exits import ExitCode, exit_code_of
from clova_ocr_async.cli.inputs import InputFile, input_files
from clova_ocr_async.cli.records import BILLED, line_of, status_of
from clova_ocr_async.cli.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.cli.progress import Progress
    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.documents import Document
    from clova_ocr_async.errors import ClovaOCRError

__all__ = ["Run"]

_MOST_NAMED = 20  # images that were not read are named up to here; all of them are in the output


class Run:
    """One batch of the command line.

    Args:
        client: Calls.
        document: The class of all images.
        write: Takes a line of the output.
        progress: Shows how far it is.
    """

    def __init__(
        self, client: ClovaOCRClient, document: type[Document], write: Callable[[bytes], object], progress: Progress
    ) -> None:
        self.tally = Tally()
        self.stopped: ClovaOCRError | None = None
        self._client = client
        self._document = document
        self._write = write
        self._progress = progress

    async def read(self, files: Iterable[InputFile], *, workers: int | None, ordered: bool) -> None:
        """Read all files, writing a line for each as it comes out."""
        dispatcher = BatchDispatcher(self._client, workers)
        async with dispatcher.dispatch(files, self._document, ordered=ordered) as outcomes:
            async for outcome in outcomes:
                self._take(outcome)
        self.stopped = outcomes.stopped

    def count(self, paths: Sequence[str], *, recursive: bool) -> None:
        """Count the files beside the reading, so that neither waits for the other."""

        def run() -> None:
            self.tally.total = sum(1 for _ in input_files(paths, recursive=recursive))

        threading.Thread(target=run, name="clova-ocr-count", daemon=True).start()

    def finish(self) -> ExitCode:
        """Say how it ended, and return the exit code."""
        if self.tally.done == 0:
            say("no images found", even_when_quiet=True)
            return ExitCode.NO_INPUT
        say(self.tally.summary())
        if self.stopped is not None:
            say(f"stopped early: {self.stopped}", even_when_quiet=True)
            return exit_code_of(self.stopped)
        return ExitCode.SOME_FAILED if self.tally.bad else ExitCode.OK

    def _take(self, outcome: Outcome[Any]) -> None:
        self._write(line_of(outcome, self._document))
        billed: bool | None = True
        if isinstance(outcome, Failure):
            billed = BILLED[outcome.error.billing]
            if self.tally.bad < _MOST_NAMED:
                say(f"{outcome.source.path}: {outcome.error}")
        self.tally.add(status_of(outcome), billed=billed)
        self._progress.update(self.tally)
