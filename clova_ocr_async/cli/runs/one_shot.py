"""One-shot runs: a batch without a run directory, whose result is a line for each image."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from clova_ocr_async.batch.dispatcher import BatchDispatcher
from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.cli.exit_codes import ExitCode, exit_code
from clova_ocr_async.cli.runs.graceful_stop import GracefulStop, loop_signals
from clova_ocr_async.cli.runs.line_writer import LineWriter, spare_output
from clova_ocr_async.cli.terminal.counts import Counts
from clova_ocr_async.cli.terminal.logs import COUNTER_THREAD
from clova_ocr_async.cli.terminal.phrases import (
    ERRORS_PAGE,
    MAX_NAMED,
    advice_on,
    format_gates,
    list_names,
    name_once,
)
from clova_ocr_async.cli.terminal.progress import shown_progress
from clova_ocr_async.cli.terminal.stderr import echo_lines, echo_stderr, is_quiet
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import Billing, ClovaOCRError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.results.records import billed_of, maybe_billed_of, status_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from clova_ocr_async.batch import Batch
    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.cli.runs.input_file import InputFile, InputPage
    from clova_ocr_async.cli.runs.inputs import Search
    from clova_ocr_async.cli.terminal.output import Output
    from clova_ocr_async.cli.terminal.progress import Progress
    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.documents import Document

__all__ = ["OneShotRun", "run_once"]


async def run_once(
    client: ClovaOCRClient,
    calls: CallCounter,
    document: type[Document] | None,
    search: Search,
    output: Output,
    *,
    jobs: int | None = None,
    ordered: bool = False,
) -> ExitCode:
    """Read files, and write a line for each.

    After the first signal no further request is sent, and the calls in flight finish; the second signal cuts them off.

    Args:
        client: The client; it is closed at the end.
        calls: Counts the client's calls.
        document: The class of all images; None if each has its own.
        search: Finds the files.
        output: Takes the lines.
        jobs: Most images that are processed at once.
        ordered: Whether the lines come in the order of the files.
    """
    spare = spare_output(output)
    writer = LineWriter(output.write, None if spare is None else spare.write)
    run = OneShotRun(client, calls, document, writer, search)
    run.count(search.files)
    stop = GracefulStop(lambda: calls.in_flight)
    async with client:
        with loop_signals(stop.request_stop):
            try:
                with shown_progress(quiet=is_quiet(), bar_fits=not output.on_terminal) as progress:
                    await run.read(search.files(), progress, stop, jobs=jobs, ordered=ordered)
                await asyncio.sleep(0)  # a cancellation of the last moment arrives here
            except (asyncio.CancelledError, ClovaOCRError, KeyboardInterrupt):
                run.report_cut_short()
                if not stop.uncancel():
                    raise
                echo_stderr("interrupted", even_when_quiet=True)
                return exit_code(interrupted=True)
    return run.finish(interrupted=stop.requests > 0)


class OneShotRun:
    """One batch without a run directory.

    Args:
        client: The client.
        calls: Counts the client's calls.
        document: The class of all images; None if each has its own.
        writer: Takes a line for each image. Once its output fails, no further request is sent and the calls in flight
            finish.
        search: The search that finds the files, for its remarks.
    """

    def __init__(
        self,
        client: ClovaOCRClient,
        calls: CallCounter,
        document: type[Document] | None,
        writer: LineWriter,
        search: Search,
    ) -> None:
        documents = DOCUMENTS.values() if document is None else [document]
        self.counts = Counts(gates=lambda: format_gates(client, documents))
        self.stopped: ClovaOCRError | None = None
        self._client = client
        self._calls = calls
        self._document = document
        self._writer = writer
        self._search = search
        self._cut_off: list[InputFile | InputPage] = []
        self._named = 0

    async def read(
        self,
        files: Iterable[InputFile | InputPage],
        progress: Progress,
        stop: GracefulStop | None = None,
        *,
        jobs: int | None,
        ordered: bool,
    ) -> None:
        """Read all files, and write the line of each as soon as it is finished."""
        batch = self._dispatched(BatchDispatcher(self._client, jobs), files, ordered=ordered)
        try:
            async with batch:
                if stop is not None:
                    stop.batch = batch
                async for outcome in batch:
                    self._take(outcome)
                    if self._writer.failure is not None:
                        batch.stop(self._writer.failure)
                    progress.update(self.counts)
        finally:
            # However the batch is left, answers that were paid for get their line.
            for outcome in batch.left_over:
                self._take_left_over(outcome)
        # A failed output was printed when it failed; it is not also an early stop.
        if batch.stopped is not self._writer.failure:
            self.stopped = batch.stopped

    def _dispatched(
        self, dispatcher: BatchDispatcher, files: Iterable[InputFile | InputPage], *, ordered: bool
    ) -> Batch[Any]:
        images: Any = files if self._document is not None else ((file, file.document) for file in files)
        if self._search.opens_files:  # it must not hold up the calls in flight
            images = pulled_in_thread(images)
        return dispatcher.dispatch(images, self._document, ordered=ordered)

    def count(self, files: Callable[[], Iterable[InputFile | InputPage]]) -> None:
        """Count the files in a thread, while others are read already."""

        def run() -> None:
            with contextlib.suppress(ClovaOCRError):  # the reading raises the same error
                self.counts.total = sum(1 for _ in files())

        # A daemon, because the walk of a huge folder must not delay the end of the command.
        threading.Thread(target=run, name=COUNTER_THREAD, daemon=True).start()

    def finish(self, *, interrupted: bool = False) -> ExitCode:
        """Print the summary, and return the exit code."""
        found = self.counts.done > 0
        if interrupted:
            self._print_counts()
            complete = not (self._writer.unwritten or self.counts.maybe_billed)
            echo_stderr(f"interrupted{'; every paid answer is written' if complete else ''}", even_when_quiet=True)
        elif not found:
            echo_stderr(self._search.absence(), even_when_quiet=True)
            echo_lines(self._search.remarks())
        else:
            self._print_counts()
            if self.stopped is not None:
                echo_stderr(f"stopped early: {self.stopped}{advice_on(self.stopped)}", even_when_quiet=True)
            elif self.counts.unread:
                echo_stderr(f"the way out of each error: {ERRORS_PAGE}")
        error = self._writer.failure or self.stopped
        return exit_code(error, interrupted=interrupted, found=found, unread=self.counts.unread > 0)

    def report_cut_short(self) -> None:
        """Print the counts of a run that was cancelled, and the images whose call may have been billed."""
        if self.counts.done:
            self._print_counts()
        if self._cut_off:
            were = plural(len(self._cut_off), "call was", "calls were")
            echo_stderr(f"{were} in flight and may have been paid: {_names(self._cut_off)}", even_when_quiet=True)

    def _print_counts(self) -> None:
        echo_stderr(self.counts.summary())
        echo_lines(self._search.remarks())
        if unsent := self._unsent():
            if self.counts.total is None:
                echo_stderr(f"{unsent:,} or more images were not sent")
            else:
                echo_stderr(plural(unsent, "image was not sent", "images were not sent"))
        if diverted := self._writer.diverted:
            lines = plural(len(diverted), "line of a paid answer is", "lines of paid answers are")
            echo_stderr(f"{lines} on standard output instead: {_names(diverted)}", even_when_quiet=True)
        if unwritten := self._writer.unwritten:
            answers = plural(len(unwritten), "paid answer was", "paid answers were")
            echo_stderr(f"{answers} not written: {_names(unwritten)}", even_when_quiet=True)

    def _unsent(self) -> int:
        pending = self.counts.statuses["pending"]
        if self.counts.total is None:
            return pending
        return pending + self.counts.total - self.counts.done

    def _take(self, outcome: Outcome[Any]) -> None:
        status = status_of(outcome)
        self.counts.add(status, billed=billed_of(outcome) is True, maybe_billed=maybe_billed_of(outcome))
        if isinstance(outcome, Failure) and status != "pending" and self._named < MAX_NAMED:
            self._named += 1  # a folder of broken files must not fill the terminal; each has its line in the output
            echo_stderr(name_once(outcome.source.shown, outcome.error))
        self._write(outcome)

    def _write(self, outcome: Outcome[Any]) -> None:
        self._writer.write(outcome, self._document or outcome.source.document)

    def _take_left_over(self, outcome: Outcome[Any]) -> None:
        """Take an outcome of a batch that was left: a finished one as usual; a call that was cut off is listed."""
        request_id = outcome.error.request_id if isinstance(outcome, Failure) else None
        if not isinstance(outcome, Failure) or request_id not in self._calls.cut_off:
            self._take(outcome)
            return
        error = outcome.error
        # It has a line as well: given back with --from and --retry-ambiguous, the lines send such images again.
        self._cut_off.append(outcome.source)
        self.counts.add(status_of(outcome), billed=error.billing is Billing.BILLED, maybe_billed=error.maybe_billed)
        self._write(outcome)


async def pulled_in_thread(items: Iterable[Any]) -> AsyncIterator[Any]:
    """Yield the items of an iterable that blocks, each pulled in a thread."""
    # One thread at a time, as a generator is pulled in; None ends it, for no image is None.
    iterator = iter(items)
    while (item := await anyio.to_thread.run_sync(next, iterator, None)) is not None:
        yield item


def _names(files: Sequence[InputFile | InputPage]) -> str:
    return list_names((file.shown for file in files), len(files))
