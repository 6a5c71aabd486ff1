"""A batch from files to lines: what ``recognize`` and ``batch`` share."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.dispatcher import BatchDispatcher
from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.cli.exit_codes import ExitCode, exit_code_of
from clova_ocr_async.cli.runs.interrupts import Interrupts, handled_signals
from clova_ocr_async.cli.runs.last_resort import spare_output
from clova_ocr_async.cli.terminal.counts import Tally
from clova_ocr_async.cli.terminal.output import OutputError
from clova_ocr_async.cli.terminal.phrases import MOST_NAMED, format_gates, some_names, what_to_check
from clova_ocr_async.cli.terminal.progress import shown_progress
from clova_ocr_async.cli.terminal.stderr import COUNTING, is_quiet, say, say_all
from clova_ocr_async.errors import Billing, ClovaOCRError
from clova_ocr_async.protocol.plural import plural
from clova_ocr_async.results.records import billed_of, line_of, maybe_billed_of, status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.cli.runs.inputs import InputFile, Search
    from clova_ocr_async.cli.runs.tracking import WatchedClient
    from clova_ocr_async.cli.terminal.output import Output
    from clova_ocr_async.cli.terminal.progress import Progress
    from clova_ocr_async.documents import Document

__all__ = ["Run", "run"]


async def run(
    client: WatchedClient,
    document: type[Document],
    search: Search,
    lines: Output,
    *,
    jobs: int | None = None,
    ordered: bool = False,
) -> ExitCode:
    """Read files, and write a line for each.

    The first signal sends no other request and lets what is under way land; the second one cuts it off.

    Args:
        client: Calls; it is closed at the end.
        document: The class of all images.
        search: Finds the files.
        lines: Takes the lines.
        jobs: Images in work at once.
        ordered: Whether the lines come in the order of the files.
    """
    spare = spare_output(lines)
    batch = Run(client, document, lines.write, search, spare=None if spare is None else spare.write)
    batch.count(search.files)
    interrupts = Interrupts(lambda: client.under_way)
    async with client:
        with handled_signals(interrupts.ask):
            try:
                with shown_progress(quiet=is_quiet(), bar_fits=not lines.on_terminal) as progress:
                    await batch.read(search.files(), progress, interrupts, jobs=jobs, ordered=ordered)
                await asyncio.sleep(0)  # a cancellation of the last moment arrives here
            except (asyncio.CancelledError, ClovaOCRError, KeyboardInterrupt):
                batch.tell_cut_short()
                if not interrupts.forgive():
                    raise
                say("interrupted", even_when_quiet=True)
                return ExitCode.INTERRUPTED
    return batch.finish(interrupted=interrupts.asked > 0)


class Run:
    """One batch of the command line.

    Args:
        client: Calls.
        document: The class of all images.
        write: Takes a line of the output, or raises an OutputError: then no other request is sent, what is under way
            lands, and paid answers whose lines cannot be written are named.
        search: What finds the files, and says what it has passed over.
        spare: Takes the lines of calls that were or may have been paid, once ``write`` fails; None if nothing does.
    """

    def __init__(
        self,
        client: WatchedClient,
        document: type[Document],
        write: Callable[[bytes], object],
        search: Search,
        *,
        spare: Callable[[bytes], object] | None = None,
    ) -> None:
        self.tally = Tally(gates=lambda: format_gates(client, document))
        self.stopped: ClovaOCRError | None = None
        self._client = client
        self._document = document
        self._write = write
        self._search = search
        self._failed_output: OutputError | None = None
        self._stalled = False
        self._spare = spare
        self._spared: list[InputFile] = []
        self._unwritten: list[InputFile] = []
        self._named = 0

    async def read(
        self,
        files: Iterable[InputFile],
        progress: Progress,
        interrupts: Interrupts | None = None,
        *,
        jobs: int | None,
        ordered: bool,
    ) -> None:
        """Read all files, writing a line for each as it comes out."""
        outcomes = BatchDispatcher(self._client, jobs).dispatch(files, self._document, ordered=ordered)
        try:
            async with outcomes:
                if interrupts is not None:
                    interrupts.batch = outcomes
                async for outcome in outcomes:
                    self._take(outcome)
                    if self._failed_output is not None:
                        outcomes.stop(self._failed_output)
                    progress.update(self.tally)
        finally:
            self._settle(outcomes.left_over)
        if outcomes.stopped is not self._failed_output:
            self.stopped = outcomes.stopped

    def count(self, files: Callable[[], Iterable[InputFile]]) -> None:
        """Count the files beside the reading, so that neither waits for the other."""

        def run() -> None:
            with contextlib.suppress(ClovaOCRError):  # the reading tells it
                self.tally.total = sum(1 for _ in files())

        threading.Thread(target=run, name=COUNTING, daemon=True).start()

    def finish(self, *, interrupted: bool = False) -> ExitCode:
        """Say how it ended, and return the exit code."""
        if interrupted:
            self._tell_counts()
            whole = not (self._unwritten or self.tally.in_doubt)
            say(f"interrupted{'; every paid answer is written' if whole else ''}", even_when_quiet=True)
            return ExitCode.INTERRUPTED
        if self.tally.done == 0:
            say(self._search.absence(), even_when_quiet=True)
            say_all(self._search.remarks())
            return ExitCode.NO_INPUT
        self._tell_counts()
        if self.stopped is not None:
            say(f"stopped early: {self.stopped}{what_to_check(self.stopped)}", even_when_quiet=True)
        if self._failed_output is not None:
            return ExitCode.SOME_FAILED
        if self.stopped is not None:
            return exit_code_of(self.stopped)
        return ExitCode.SOME_FAILED if self.tally.bad else ExitCode.OK

    def tell_cut_short(self) -> None:
        """Say how far it came, and which images may have been paid without an answer."""
        cut_off = self._client.cut_off
        if self.tally.done or cut_off:
            self._tell_counts()
        if cut_off:
            told = plural(len(cut_off), "call was", "calls were")
            say(
                f"{told} under way and may have been paid: {_names(list(cut_off))}",
                even_when_quiet=True,
            )

    def _tell_counts(self) -> None:
        say(self.tally.summary())
        say_all(self._search.remarks())
        if unsent := self._unsent():
            if self.tally.total is None:
                say(f"{unsent:,} or more images were not sent")
            else:
                say(plural(unsent, "image was not sent", "images were not sent"))
        if self._spared:
            told = plural(len(self._spared), "line of a paid answer is", "lines of paid answers are")
            say(f"{told} on standard output instead: {_names(self._spared)}", even_when_quiet=True)
        if self._unwritten:
            told = plural(len(self._unwritten), "paid answer was", "paid answers were")
            say(f"{told} not written: {_names(self._unwritten)}", even_when_quiet=True)

    def _unsent(self) -> int:
        pending = self.tally.statuses["pending"]
        if self.tally.total is None:
            return pending
        return pending + self.tally.total - self.tally.done - len(self._client.cut_off)

    def _take(self, outcome: Outcome[Any]) -> None:
        # An image that no domain reads never got as far as the client.
        self._client.landed.pop(outcome.source, None)
        status = status_of(outcome)
        self.tally.add(status, billed=billed_of(outcome) is True, maybe_billed=maybe_billed_of(outcome))
        if isinstance(outcome, Failure) and status != "pending" and self._named < MOST_NAMED:
            self._named += 1
            say(f"{outcome.source.shown}: {outcome.error}")
        self._write_line(outcome)

    def _write_line(self, outcome: Outcome[Any]) -> None:
        line, billed = line_of(outcome, self._document), billed_of(outcome)
        if self._stalled:
            self._unwritten += [outcome.source] if billed else []
            return
        try:
            self._write(line)
        except KeyboardInterrupt:  # the third signal: the output takes nothing, and is not waited for again
            self._stalled = True
            raise
        except OutputError as error:
            self._stop_writing(error)
            if billed is not False and self._written_elsewhere(line):
                self._spared.append(outcome.source)
            elif billed:
                self._unwritten.append(outcome.source)

    def _written_elsewhere(self, line: bytes) -> bool:
        """Return whether the spare output has taken a line."""
        if self._spare is None:
            return False
        try:
            self._spare(line)
        except OutputError:
            return False
        return True

    def _stop_writing(self, error: OutputError) -> None:
        if self._failed_output is None:
            self._failed_output = error
            # A reader such as head that has enough is no news.
            if not error.reader_gone:
                say(f"{error}; no other image is sent", even_when_quiet=True)

    def _settle(self, left_over: Iterable[Outcome[Any]]) -> None:
        """Write what became of the images that were not handed out because the batch was left."""
        landed, cut_off = list(self._client.landed.values()), self._client.cut_off
        known = {outcome.source for outcome in landed} | set(cut_off)
        for outcome in (*landed, *(outcome for outcome in left_over if outcome.source not in known)):
            self._take(outcome)
        for failure in cut_off.values():
            error = failure.error
            self.tally.add_cut_off(billed=error.billing is Billing.BILLED, maybe_billed=error.maybe_billed)
            self._write_line(failure)


def _names(files: Sequence[InputFile]) -> str:
    return some_names((file.shown for file in files), len(files))
