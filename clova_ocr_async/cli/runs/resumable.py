"""Resumable runs: a batch with a ledger, which pays for each image once and which the same command resumes."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.dispatcher import BatchDispatcher
from clova_ocr_async.batch.ledgered import services_of
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.cli.exit_codes import ExitCode, exit_code
from clova_ocr_async.cli.runs.failures import write_failures
from clova_ocr_async.cli.runs.graceful_stop import GracefulStop, InterruptError, loop_signals
from clova_ocr_async.cli.runs.unstored_answers import write_to_stdout
from clova_ocr_async.cli.terminal.counts import Counts
from clova_ocr_async.cli.terminal.output import OutputError
from clova_ocr_async.cli.terminal.phrases import (
    ERRORS_PAGE,
    MAX_NAMED,
    advice_on,
    cost,
    format_gates,
    format_status,
    list_names,
    name_once,
    nothing_sent,
    quote_run,
    shown_run,
    wrong_folder,
)
from clova_ocr_async.cli.terminal.progress import shown_progress
from clova_ocr_async.cli.terminal.stderr import echo_lines, echo_stderr, is_quiet
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    Billing,
    ClovaOCRError,
    ConfigurationError,
    LedgerError,
    SpendingCeilingError,
)
from clova_ocr_async.host.plural import plural
from clova_ocr_async.ledger.opening import open_ledger, open_view
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.results.records import status_of
from clova_ocr_async.server_url import ServerURL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from contextlib import AbstractContextManager
    from decimal import Decimal

    from clova_ocr_async.batch import Batch
    from clova_ocr_async.batch.sources.listed_image import FoundImage
    from clova_ocr_async.cli.runs.call_counter import CallCounter
    from clova_ocr_async.cli.runs.inputs import Search
    from clova_ocr_async.cli.terminal.progress import Progress
    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.documents import Document
    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.run_settings import AnswerStorage, CallLimit
    from clova_ocr_async.ledger.run_status import RunStatus
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.storage import RunLedger, RunView

__all__ = ["ResumableRun", "RunSettings"]

_SENT_AGAIN = {
    Billing.NOT_BILLED: ("image that was certainly not paid for", "images that were certainly not paid for"),
    Billing.MAYBE_BILLED: ("image that may have been paid for already", "images that may have been paid for already"),
    Billing.BILLED: ("image that was paid for and not read", "images that were paid for and not read"),
}


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Settings of one command on a run.

    Attributes:
        run: The location of the run.
        document: The class of all images; None if each has its own.
        seal: Encrypts answers on the disk.
        store: Which answers are kept; None for the run's own setting.
        max_calls: Most calls over the whole life of the run; "none" for any number, None for the run's own limit.
        moved: Whether the directory continues a run in place of the one it was copied or moved from.
        price: KRW per call; None if it is not known.
        retry_billings: Images that were not read are sent again if their billing is one of these.
        jobs: Most images that are processed at once.
        resume: The command that resumes the run.
        documents: The classes that the images found have, if each has its own.
    """

    run: RunLocation
    document: type[Document] | None
    seal: Seal
    store: AnswerStorage | None = None
    max_calls: CallLimit | None = None
    moved: bool = False
    price: Decimal | None = None
    retry_billings: tuple[Billing, ...] = ()
    jobs: int | None = None
    resume: str = ""
    documents: tuple[type[Document], ...] = ()

    @property
    def needed(self) -> tuple[type[Document], ...]:
        """The classes that the images of the command have; each needs a domain."""
        return self.documents if self.document is None else (self.document,)


class ResumableRun:
    """One command's part in a run.

    Args:
        client: The client; it is closed at the end.
        calls: Counts the client's calls.
        settings: The command's settings.
        search: The search that finds the files, for its remarks.
    """

    def __init__(self, client: ClovaOCRClient, calls: CallCounter, settings: RunSettings, search: Search) -> None:
        self.counts = Counts(gates=lambda: format_gates(client, self._documents))
        self._client = client
        self._calls = calls
        self._settings = settings
        self._search = search
        self._documents = settings.needed
        self._begun = False
        self._sent_again: dict[Billing, int] = {}
        self._stop_requests = 0
        self._named = 0
        self._stopped: ClovaOCRError | None = None

    async def run(self, found: Iterable[FoundImage]) -> ExitCode:
        """Read files, print the results, and return the exit code.

        Args:
            found: Yields the files, in a thread.
        """
        try:
            async with self._client:
                self._documents = self._served_documents()
                await self._read_until_stopped(found)
        except ClovaOCRError as error:
            if self._begun:
                with suppress(LedgerError):  # the first error is the one to report
                    self._report()
            if isinstance(error, LedgerError) and error.resumable:
                echo_stderr(f"to go on: {self._settings.resume}", even_when_quiet=True)
                if self._stop_requests:  # the signal is why the command ended; the trouble came to light on the way
                    echo_stderr(f"error: {error}", even_when_quiet=True)
                    return exit_code(interrupted=True)
            raise
        return self._finish()

    def _served_documents(self) -> tuple[type[Document], ...]:
        """Return the classes of the images that are read: those needed, and others that the run may have left.

        Raises:
            ConfigurationError: No domain reads a class that is needed.
        """
        for document in self._settings.needed:
            self._client.serving(document)
        # With auto, images of any document may be left from an earlier command; one without a domain now stays left.
        if self._settings.document is not None:
            return self._settings.needed
        return tuple(document for document in DOCUMENTS.values() if self._is_served(document))

    def _is_served(self, document: type[Document]) -> bool:
        try:
            return bool(self._client.serving(document))
        except ConfigurationError:
            return False

    async def _read_until_stopped(self, found: Iterable[FoundImage]) -> None:
        stop = GracefulStop(lambda: self._calls.in_flight)
        with loop_signals(stop.request_stop):
            try:
                await self._read(found, stop)
                await asyncio.sleep(0)  # a cancellation of the last moment arrives here
            except asyncio.CancelledError:
                if not stop.uncancel():
                    raise
            finally:
                self._stop_requests = stop.requests

    async def _read(self, found: Iterable[FoundImage], stop: GracefulStop) -> None:
        settings = self._settings
        ledger = open_ledger(
            settings.run,
            seal=settings.seal,
            store=settings.store,
            max_calls=settings.max_calls,
            moved=settings.moved,
        )
        async with ledger:
            if settings.max_calls is None and ledger.max_calls is not None:
                echo_stderr(
                    f"the run has a limit of {plural(ledger.max_calls, 'call')}; --max-calls sets another one, or none"
                )
            # A command that is refused here must not have put images up for sending again.
            await ledger.open_for(services_of(self._client.domains))
            # Relative paths would name other files from another folder, which the run would pay for as new ones.
            if (start := await ledger.set_base_folder(os.getcwd())) is not None:  # noqa: PTH109 - as a text
                raise ConfigurationError(wrong_folder(settings.run, start))
            self._begun = True
            await self._requeue(ledger)
            images, total = self._list_images(ledger, found)
            dispatcher = BatchDispatcher(self._client, settings.jobs, ledger=ledger)
            images_of: Any = images  # pairs of an image and its class, if there is no one class
            batch = dispatcher.dispatch(images_of, settings.document)
            try:
                async with batch:
                    stop.batch = batch
                    with self._shown_progress() as progress:
                        await self._take_all(batch, progress, total)
            finally:  # however the batch is left: answers that could not be stored exist nowhere else
                for outcome in batch.left_over:
                    self._write_if_unstored(outcome)
            self._stopped = batch.stopped
        self._stopped = self._stopped or ledger.stop_reason  # closing the ledger can fail as well

    async def _requeue(self, ledger: RunLedger) -> None:
        """Put the images up for sending again that the options ask for, and print their number."""
        for billing in self._settings.retry_billings:
            count = 0
            for document in self._documents:
                count += await ledger.requeue(billing, document.path_word)
            self._sent_again[billing] = count
            # What may be paid twice is printed even with --quiet.
            paid = billing is not Billing.NOT_BILLED
            bill = cost(self._settings.price if paid else None, count)
            echo_stderr(f"sending again {plural(count, *_SENT_AGAIN[billing])}{bill}", even_when_quiet=paid)

    def _list_images(
        self, ledger: RunLedger, found: Iterable[FoundImage]
    ) -> tuple[WorkList, Callable[[], Awaitable[int | None]]]:
        """Return the images, and a function that finds out their number; None while it is not known."""
        # Images are read while the last files are still being listed.
        total = _Total(self._settings.run, found)
        words = [document.path_word for document in self._documents]
        images = WorkList(ledger, words if self._settings.document is None else words[0], total.counted())
        return images, lambda: total.of(self.counts.done, images.listed)

    def _shown_progress(self) -> AbstractContextManager[Progress]:
        return shown_progress(quiet=is_quiet())

    async def _take_all(
        self, batch: Batch[Any], progress: Progress, total: Callable[[], Awaitable[int | None]]
    ) -> None:
        async for outcome in batch:
            self._take(outcome)
            known = self.counts.total
            # A total does not include images that were finished and not yet taken when it was counted.
            self.counts.total = await total() if known is None else max(known, self.counts.done)
            progress.update(self.counts)

    def _take(self, outcome: Outcome[Any]) -> None:
        status = status_of(outcome)
        self._update_bill()
        if status == "pending" or _is_put_off(outcome):  # it stays in the ledger, for the next command
            return
        self.counts.add(status, billed=False)  # the hook counts the calls, also those whose outcome is not taken
        self.counts.from_ledger += isinstance(outcome, Success) and not outcome.billed
        # A record on standard output names its image already.
        if not self._write_if_unstored(outcome):
            self._print_outcome(outcome, status)

    def _print_outcome(self, outcome: Outcome[Any], status: str) -> None:
        if isinstance(outcome, Failure) and status != "succeeded" and self._named < MAX_NAMED:
            self._named += 1
            echo_stderr(name_once(shown_path(str(outcome.source)), outcome.error))

    def _update_bill(self) -> None:
        self.counts.billed, self.counts.maybe_billed = self._calls.billed, self._calls.maybe_billed

    def _write_if_unstored(self, outcome: Outcome[Any]) -> bool:
        """Write the record of an image whose paid answer could not be stored; return whether it is one."""
        if not (isinstance(outcome, Failure) and isinstance(outcome.error, AnswerNotKeptError) and outcome.error.raw):
            return False
        write_to_stdout(outcome, self._settings.document)
        return True

    # -----------------------------------------------------------------------------------------------------------------
    # The end

    def _finish(self) -> ExitCode:
        interrupted = self._stop_requests > 0
        try:
            status = self._report()
        # The code of what ended the run, where it is known: a report that fails is a consequence.
        except (LedgerError, OSError) as error:  # on a full disk even reading the ledger can fail
            echo_stderr(f"error: {error}", even_when_quiet=True)
            return exit_code(error if isinstance(error, OSError) else self._stopped or error, interrupted=interrupted)
        self._print_next_step(status)
        if not (status.total or interrupted or self._stopped):
            echo_stderr(self._search.absence(), even_when_quiet=True)
        # A file that has vanished counts for the command that missed it, and not for all later ones.
        unread = sum(status.images.get(word, 0) for word in ("failed", "ambiguous", "skipped")) - status.vanished
        return exit_code(
            self._stopped,
            interrupted=interrupted,
            found=status.total > 0,
            unread=unread > 0 or self.counts.statuses["skipped"] > 0,
        )

    def _report(self) -> RunStatus:
        """Print the counts of this command and of the run, and write the file of failures."""
        settings = self._settings
        with open_view(settings.run, settings.seal) as reader:
            status = reader.status()
            if status.total:
                self._update_bill()
                echo_stderr(nothing_sent(status) if self.counts.idle else self.counts.summary())
                self._print_sent_again(status)
                echo_stderr(f"the run in {shown_run(settings.run)}: {format_status(status, settings.price)}")
                self._print_unread(reader, status)
        echo_lines(self._search.remarks())
        return status

    def _print_sent_again(self, status: RunStatus) -> None:
        """Print the number of images that were sent again although they were paid, and of those that may have been."""
        billed, maybe_billed = (self._sent_again.get(billing, 0) for billing in (Billing.BILLED, Billing.MAYBE_BILLED))
        # Only what may cost a second time: an image that was not billed costs no more by being sent again.
        if billed or maybe_billed:
            at_most = "at most " if status.images.get("pending") else ""
            images = plural(billed, "image that was paid for already", "images that were paid for already")
            images = f"{at_most}{images}, {maybe_billed:,} that may have been"
            echo_stderr(f"sent again on request: {images}{cost(self._settings.price, billed, maybe_billed)}")

    def _print_unread(self, reader: RunView, status: RunStatus) -> None:
        if ambiguous := status.images.get("ambiguous"):
            images = plural(ambiguous, "image is ambiguous", "images are ambiguous")
            them = "it" if ambiguous == 1 else "them"
            echo_stderr(
                f"{images}: maybe billed, no answer; --retry-ambiguous sends {them} again: "
                f"{list_names(reader.ambiguous_names(), ambiguous)}",
                even_when_quiet=self._stop_requests > 0,  # a second signal has just made them ambiguous
            )
        if isinstance(self._settings.run, ServerURL):
            return  # a run on a server has no folder, in which all its hosts would find a file
        try:
            failures = write_failures(Path(self._settings.run), reader)
        except OutputError as error:
            echo_stderr(str(error), even_when_quiet=True)
        else:
            if failures is not None:
                echo_stderr(f"what was not read: {shown_path(str(failures))}; the way out: {ERRORS_PAGE}")

    def _print_next_step(self, status: RunStatus) -> None:
        if self._stopped is not None and not isinstance(self._stopped, InterruptError):
            echo_stderr(f"stopped early: {self._stopped}{advice_on(self._stopped)}", even_when_quiet=True)
        if status.images.get("pending") and (self._stopped is not None or self._stop_requests):
            at_limit = isinstance(self._stopped, SpendingCeilingError)
            action = "raise the call limit and repeat" if at_limit else "to go on"
            echo_stderr(f"{action}: {self._settings.resume}", even_when_quiet=True)
        elif status.total:
            echo_stderr(f"for the results: clova-ocr export {quote_run(self._settings.run)}")


class _Total:
    """The number of images that a command has to read, known once all its files are listed."""

    def __init__(self, run: RunLocation, found: Iterable[FoundImage]) -> None:
        self._run = run
        self._found = found
        self._count = 0
        self._complete = False

    def counted(self) -> Iterator[FoundImage]:
        """Yield the files; called in a thread."""
        for file in self._found:
            self._count += 1
            yield file
        self._complete = True

    async def of(self, done: int, listed: int) -> int | None:
        """Return the number of images; None while files are listed."""
        # The ledger alone knows which of the files are images of their own, so it is asked once all are in it.
        if not self._complete or listed < self._count:
            return None
        pending = await asyncio.to_thread(self._pending)  # a server may be slow to answer
        return None if pending is None else done + pending

    def _pending(self) -> int | None:
        with suppress(LedgerError), open_view(self._run) as reader:
            return reader.pending()
        return None


def _is_put_off(outcome: Outcome[Any]) -> bool:
    """Return whether an image met an unbilled error that every other image would meet as well."""
    if isinstance(outcome, Success):
        return False
    return outcome.error.stops_run and outcome.error.billing is Billing.NOT_BILLED
