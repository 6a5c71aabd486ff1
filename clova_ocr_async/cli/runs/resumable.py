"""A batch with a run directory: paid once, resumed by the same command, ended by a signal without a loss."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.dispatcher import BatchDispatcher
from clova_ocr_async.batch.ledgered import services_of
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.cli.exit_codes import ExitCode, exit_code_of
from clova_ocr_async.cli.runs.failures import write_failures
from clova_ocr_async.cli.runs.interrupts import InterruptError, Interrupts, handled_signals
from clova_ocr_async.cli.runs.last_resort import write_lost
from clova_ocr_async.cli.terminal.counts import Tally
from clova_ocr_async.cli.terminal.output import OutputError
from clova_ocr_async.cli.terminal.phrases import (
    MOST_NAMED,
    cost,
    elsewhere,
    format_gates,
    format_status,
    pasted,
    some_names,
    what_to_check,
)
from clova_ocr_async.cli.terminal.progress import shown_progress
from clova_ocr_async.cli.terminal.stderr import is_quiet, say, say_all
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    Billing,
    ClovaOCRError,
    ConfigurationError,
    LedgerError,
    SpendingCeilingError,
)
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.plural import plural
from clova_ocr_async.results.records import status_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from decimal import Decimal

    from clova_ocr_async.batch import Batch
    from clova_ocr_async.cli.runs.calls import CallCounter
    from clova_ocr_async.cli.runs.inputs import Search
    from clova_ocr_async.cli.terminal.progress import Progress
    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.documents import Document
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.sqlite.run_settings import CallLimit, StoredAnswers
    from clova_ocr_async.ledger.storage import RunStatus

__all__ = ["ResumableRun", "RunSettings"]

_AGAIN = {
    Billing.NOT_BILLED: ("image that was certainly not paid for", "images that were certainly not paid for"),
    Billing.MAYBE_BILLED: ("image that may have been paid for already", "images that may have been paid for already"),
    Billing.BILLED: ("image that was paid for and not read", "images that were paid for and not read"),
}


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What is asked of a run.

    Attributes:
        folder: The run directory.
        document: The class of all images.
        seal: What seals answers on the disk.
        store: Which answers are kept; as the run was begun if None.
        max_calls: Calls over the whole life of the run; "none" for any number, None for the ceiling that the run has.
        moved: Whether the run directory goes on in the place of the one that it was copied or moved from.
        price: KRW a call; None if it is not known.
        again: Images that were not read are tried again if their billing is one of these.
        jobs: Images in work at once.
        resume: The command that goes on with the run.
    """

    folder: str
    document: type[Document]
    seal: Seal
    store: StoredAnswers | None = None
    max_calls: CallLimit | None = None
    moved: bool = False
    price: Decimal | None = None
    again: tuple[Billing, ...] = ()
    jobs: int | None = None
    resume: str = ""


class ResumableRun:
    """One command's part in a run.

    Args:
        client: Calls; it is closed at the end.
        calls: Counts them.
        settings: What is asked.
        search: What finds the files, and says what it has passed over.
    """

    def __init__(
        self,
        client: ClovaOCRClient,
        calls: CallCounter,
        settings: RunSettings,
        search: Search,
    ) -> None:
        self.tally = Tally(gates=lambda: format_gates(client, settings.document))
        self._client = client
        self._calls = calls
        self._settings = settings
        self._search = search
        self._begun = False
        self._again: dict[Billing, int] = {}
        self._asked = 0
        self._named = 0
        self._stopped: ClovaOCRError | None = None

    async def run(self, found: Iterable[os.DirEntry[str] | str]) -> ExitCode:
        """Read files, say how it went, and return the exit code.

        Args:
            found: Yields the files, in a thread.
        """
        try:
            async with self._client:
                self._client.serving(self._settings.document)
                await self._until_asked(found)
        except ClovaOCRError as error:
            if self._begun:
                with suppress(LedgerError):
                    self._told_standing()
            if isinstance(error, LedgerError) and error.resumable:
                say(f"to go on: {self._settings.resume}", even_when_quiet=True)
                if self._asked:  # the interrupt is why it ended; the trouble came to light on the way
                    say(f"error: {error}", even_when_quiet=True)
                    return ExitCode.INTERRUPTED
            raise
        return self._finished()

    async def _until_asked(self, found: Iterable[os.DirEntry[str] | str]) -> None:
        interrupts = Interrupts(lambda: self._calls.under_way)
        with handled_signals(interrupts.ask):
            try:
                await self._read(found, interrupts)
                await asyncio.sleep(0)  # a cancellation of the last moment arrives here
            except asyncio.CancelledError:
                if not interrupts.forgive():
                    raise
            finally:
                self._asked = interrupts.asked

    async def _read(self, found: Iterable[os.DirEntry[str] | str], interrupts: Interrupts) -> None:
        asked = self._settings
        ledger = SqliteLedger(
            asked.folder, seal=asked.seal, store=asked.store, max_calls=asked.max_calls, moved=asked.moved
        )
        async with ledger:
            if asked.max_calls is None and ledger.max_calls is not None:
                say(
                    f"the run's ceiling of {plural(ledger.max_calls, 'call')} holds; --max-calls gives another, or none"
                )
            await ledger.open_for(services_of(self._client.domains))
            if (start := await ledger.set_base_folder(os.getcwd())) is not None:  # noqa: PTH109 - as a text
                raise ConfigurationError(elsewhere(asked.folder, start))
            self._begun = True
            for billing in asked.again:
                self._again[billing] = await ledger.requeue(billing, asked.document.path_word)
                self._tell_again(billing, self._again[billing])
            total = _Total(asked.folder, found)
            listing = WorkList(ledger, asked.document.path_word, total.counted())
            dispatcher = BatchDispatcher(self._client, asked.jobs, ledger=ledger)
            batch = dispatcher.dispatch(listing, asked.document)
            try:
                async with batch:
                    interrupts.batch = batch
                    with shown_progress(quiet=is_quiet()) as progress:
                        await self._take_all(batch, progress, lambda: total.of(self.tally.done, listing.listed))
            finally:
                for outcome in batch.left_over:
                    self._write_if_lost(outcome)
            self._stopped = batch.stopped
        self._stopped = self._stopped or ledger.stop_reason  # also of the closing

    def _tell_again(self, billing: Billing, count: int) -> None:
        price = None if billing is Billing.NOT_BILLED else self._settings.price
        paid = billing is not Billing.NOT_BILLED
        say(f"sending again {plural(count, *_AGAIN[billing])}{cost(price, count)}", even_when_quiet=paid)

    def _tell_paid_again(self, status: RunStatus) -> None:
        """Say how many images were sent again that had been paid for, and apart from them, that perhaps had."""
        paid, perhaps = (self._again.get(billing, 0) for billing in (Billing.BILLED, Billing.MAYBE_BILLED))
        if paid or perhaps:
            left = "at most " if status.images.get("pending") else ""
            told = plural(paid, "image that was paid for already", "images that were paid for already")
            told = f"{left}{told}, {plural(perhaps, 'that perhaps was', 'that perhaps were')}"
            say(f"sent again on request: {told}{cost(self._settings.price, paid, perhaps)}")

    async def _take_all(self, batch: Batch[Any], progress: Progress, total: Callable[[], int | None]) -> None:
        async for outcome in batch:
            self._take(outcome)
            known = self.tally.total
            # Those that have come out and wait to be taken were not counted.
            self.tally.total = total() if known is None else max(known, self.tally.done)
            progress.update(self.tally)

    def _take(self, outcome: Outcome[Any]) -> None:
        status = status_of(outcome)
        self.tally.billed, self.tally.in_doubt = self._calls.billed, self._calls.perhaps
        if status == "pending" or _is_put_off(outcome):  # it stays in the ledger, for the next command
            return
        self.tally.add(status, billed=False)
        self.tally.recalled += isinstance(outcome, Success) and not outcome.billed
        if self._write_if_lost(outcome):
            return
        if isinstance(outcome, Failure) and status != "succeeded" and self._named < MOST_NAMED:
            self._named += 1
            say(f"{shown_path(str(outcome.source))}: {outcome.error}")

    def _write_if_lost(self, outcome: Outcome[Any]) -> bool:
        """Write the record of an image whose answer nothing but its error holds; return whether it is one."""
        if not (isinstance(outcome, Failure) and isinstance(outcome.error, AnswerNotKeptError) and outcome.error.raw):
            return False
        write_lost(outcome, self._settings.document)
        return True

    # -----------------------------------------------------------------------------------------------------------------
    # The end

    def _finished(self) -> ExitCode:
        try:
            status = self._told_standing()
        except (LedgerError, OSError) as error:  # a full disk may not even let it be read
            say(f"error: {error}", even_when_quiet=True)
            code = ExitCode.SOME_FAILED if isinstance(error, OSError) else exit_code_of(self._stopped or error)
            return ExitCode.INTERRUPTED if self._asked else code
        self._tell_how_to_go_on(status)
        if self._asked:
            return ExitCode.INTERRUPTED
        if self._stopped is not None:
            return exit_code_of(self._stopped)
        if not status.total:
            say(self._search.absence(), even_when_quiet=True)
            return ExitCode.NO_INPUT
        # A file that has gone is this command's news, and not that of all later ones.
        return ExitCode.SOME_FAILED if _bad(status) or self.tally.statuses["skipped"] else ExitCode.OK

    def _told_standing(self) -> RunStatus:
        """Say what this command did and how far the run is, and write down what was not read."""
        asked = self._settings
        with RunReader(asked.folder, asked.seal) as reader:
            status = reader.status()
            if status.total:
                self.tally.billed, self.tally.in_doubt = self._calls.billed, self._calls.perhaps
                idle = not (self.tally.done or self.tally.billed or self.tally.in_doubt)
                say("nothing was sent" if idle else self.tally.summary())
                self._tell_paid_again(status)
                say(f"the run in {shown_path(asked.folder)}: {format_status(status, asked.price)}")
                self._tell_unread(reader, status)
        say_all(self._search.remarks())
        return status

    def _tell_unread(self, reader: RunReader, status: RunStatus) -> None:
        if doubtful := status.images.get("ambiguous"):
            told = plural(doubtful, "image is in doubt", "images are in doubt")
            them = "it" if doubtful == 1 else "them"
            told = f"{told}: perhaps paid, no answer; --retry-ambiguous sends {them} again"
            say(f"{told}: {some_names(reader.ambiguous_names(), doubtful)}", even_when_quiet=bool(self._asked))
        try:
            failures = write_failures(self._settings.folder, reader)
        except OutputError as error:
            say(str(error), even_when_quiet=True)
        else:
            if failures is not None:
                say(f"what was not read: {shown_path(str(failures))}")

    def _tell_how_to_go_on(self, status: RunStatus) -> None:
        if self._stopped is not None and not isinstance(self._stopped, InterruptError):
            say(f"stopped early: {self._stopped}{what_to_check(self._stopped)}", even_when_quiet=True)
        if status.images.get("pending") and (self._stopped is not None or self._asked):
            more = "raise the ceiling and repeat" if isinstance(self._stopped, SpendingCeilingError) else "to go on"
            say(f"{more}: {self._settings.resume}", even_when_quiet=True)
        elif status.total:
            say(f"for the results: clova-ocr export {pasted(self._settings.folder)}")


class _Total:
    """How many images a command has to do, once all its files are listed."""

    def __init__(self, folder: str, found: Iterable[os.DirEntry[str] | str]) -> None:
        self._folder = folder
        self._found = found
        self._count = 0
        self._whole = False

    def counted(self) -> Iterator[os.DirEntry[str] | str]:
        """Yield the files; called in a thread."""
        for file in self._found:
            self._count += 1
            yield file
        self._whole = True

    def of(self, done: int, listed: int) -> int | None:
        """Return how many there are; None while they are listed."""
        if not self._whole or listed < self._count:
            return None
        with suppress(LedgerError), RunReader(self._folder) as reader:
            return done + reader.pending()
        return None


def _is_put_off(outcome: Outcome[Any]) -> bool:
    """Whether an image met what every other one would have met as well, at no cost."""
    if isinstance(outcome, Success):
        return False
    return outcome.error.stops_run and outcome.error.billing is Billing.NOT_BILLED


def _bad(status: RunStatus) -> int:
    return sum(status.images.get(word, 0) for word in ("failed", "ambiguous", "skipped")) - status.vanished
