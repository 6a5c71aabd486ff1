"""A review of a run, served until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import getpass
import html
import tempfile
import webbrowser
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from clova_ocr_async.cli.runs.graceful_stop import loop_signals
from clova_ocr_async.cli.runs.report_writing import ReportFile, language_of, retry_command, run_title
from clova_ocr_async.cli.terminal.phrases import shown_run
from clova_ocr_async.cli.terminal.shell_hints import for_shell
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.extras import load_module
from clova_ocr_async.host.plural import plural
from clova_ocr_async.ledger.opening import open_corrections, open_view
from clova_ocr_async.protocol.echoed_input import shown
from clova_ocr_async.results.report.pictures import picture_of
from clova_ocr_async.results.review_server.server import ReviewServer
from clova_ocr_async.results.review_server.session import ReviewOptions, ReviewSession

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.results.report.reading import Reading
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["ReviewSettings", "reviewer_name", "serve_review"]

_LONGEST_NAME = 100  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettings:
    """The options of a review.

    Attributes:
        run: The run, as it was given.
        by: The name of the person.
        masked: Whether numbers are masked.
        port: The port; 0 for a free one.
        open_page: Whether the page is opened in a browser.
        key_file: The file of the key that opens the run, as it was given; None if none was.
        environment: The environment, for the language.
    """

    run: RunLocation
    by: str
    masked: bool = True
    port: int = 0
    open_page: bool = False
    key_file: str | None = None
    environment: Mapping[str, str]

    @property
    def policy(self) -> Policy | None:
        """How numbers are masked."""
        return "standard" if self.masked else None


def reviewer_name(given: str | None, user: Callable[[], str] = getpass.getuser) -> str:
    """Return the name that corrections carry: the given one, else the user's.

    Args:
        given: The value of ``--as``; None if it was not given.
        user: Returns the name of this process's user.

    Raises:
        ConfigurationError: It is not a name, or the system knows none.
    """
    if given is None:
        try:
            given = user()
        except (OSError, KeyError, ImportError):  # a user without a name, as in a container
            raise ConfigurationError(
                "this user has no name that corrections could carry; give one, --as NAME"
            ) from None
    name = given.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ConfigurationError(f"--as {shown(given)}: a name has 1 to {_LONGEST_NAME} printable characters")
    return name


async def serve_review(
    settings: ReviewSettings, seal: Seal, open_in_browser: Callable[[str], object] = webbrowser.open
) -> int:
    """Serve the page of a review until a signal; return the number of corrections that were recorded.

    Args:
        settings: The options.
        seal: Opens the run.
        open_in_browser: Opens an address.

    Raises:
        ConfigurationError: The extra ``report`` is not installed, or the port is not free.
        LedgerError: The run cannot be opened.
    """
    page = load_module("clova_ocr_async.results.report.page", "a review", extra="report")
    facts = _facts(settings)
    server = ReviewServer(
        partial(_session, settings, seal, facts),
        _shell(page, facts),
        partial(_picture, settings.policy),
        port=settings.port,
        words=for_shell,
    )
    stop_requested = asyncio.Event()
    async with server:
        # The handler comes first: a script may send a signal as soon as it reads the address.
        with loop_signals(stop_requested.set), _way_to(server.address) as place:
            click.echo(server.address)
            echo_stderr("the address is a secret: it opens the run to any program here. Ctrl-C ends the review")
            # In a thread, as a browser of the terminal ends only with its user.
            if settings.open_page and not await asyncio.to_thread(open_in_browser, place):
                echo_stderr("no browser could be opened; open the address yourself", even_when_quiet=True)
            await _until_stopped(server, stop_requested)
    echo_stderr(f"{plural(server.recorded, 'correction')} kept in {shown_run(settings.run)}")
    return server.recorded


async def _until_stopped(server: ReviewServer, stop_requested: asyncio.Event) -> None:
    """Serve until a signal, or until the run turns out to be one that cannot be read."""
    loaded = asyncio.create_task(server.loaded())
    stopped = asyncio.create_task(stop_requested.wait())
    try:
        done, _ = await asyncio.wait([loaded, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        await stopped
    finally:
        for task in (loaded, stopped):
            task.cancel()
        await asyncio.wait([loaded, stopped])


def _facts(settings: ReviewSettings) -> dict[str, Any]:
    """Return what the page knows of the run besides its rows."""
    return {
        "version": 1,
        "run": run_title(settings.run),
        "made_at": dt.datetime.now(tz=dt.UTC).astimezone().isoformat(timespec="seconds"),
        "masked": settings.masked,
        "language": language_of(settings.environment),
        "price": None,
        "not_shown": [],
    }


@contextlib.contextmanager
def _session(settings: ReviewSettings, seal: Seal, facts: dict[str, Any]) -> Generator[ReviewSession]:
    """Open the run; the record of corrections first, since it brings the tables of an older version up to date."""
    with open_corrections(settings.run, seal) as record, open_view(settings.run, seal) as view:
        file = ReportFile(run=settings.run, output="", key_file=settings.key_file)
        retry = partial(retry_command, file, view.other_base_folder(str(Path.cwd())))
        options = ReviewOptions(by=settings.by, policy=settings.policy, facts=facts, words=for_shell, retry=retry)
        session = ReviewSession(view, record, options)
        echo_stderr(f"reading {plural(view.status().total, 'image')} of {shown_run(settings.run)}")
        yield session


def _shell(page: Any, facts: Mapping[str, Any]) -> bytes:
    """Return the page without data."""
    known = {name: facts[name] for name in ("version", "run", "masked", "language")} | {"review": True}
    head = page.head(facts["run"], masked=facts["masked"], language=facts["language"], review=True)
    return f"{head}{page.foot(known, language=facts['language'])}".encode()


def _picture(policy: Policy | None, reading: Reading) -> bytes:
    return picture_of(reading, policy).copy()[0]


@contextlib.contextmanager
def _way_to(address: str) -> Generator[str]:
    """Yield the address of a private file that leads to the page: other users see the arguments of a browser."""
    with tempfile.NamedTemporaryFile("w", prefix="clova-ocr-review-", suffix=".html") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(address)}">')
        file.flush()
        yield Path(file.name).as_uri()
