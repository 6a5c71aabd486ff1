"""The contract of a store: everything that a ledger, a view of a run and a purge must do.

A second store can be written from this file, ``states.py`` and ``run_status.py``. The contract tests and the machine in
``tests/ledger/`` run against every store; ``tests/support/memory_ledger.py`` is the shortest one.

A store has four entry points, each for one run:

* a ``RunLedger``: work on the run. Any number of processes may have one open at the same time.
* a ``RunView``: look at the run and change nothing.
* a ``RunCorrections``: record what people correct in the answers.
* a ``PurgeRun``: remove the stored answers.

Rules for the whole store:

* **Transactions.** Each method is one transaction: other processes see all of it or nothing.
* **Durable** means that the write survives a power cut before the method returns. Where a method does not promise that,
  its write must survive the end of the process, and must not overtake an earlier durable write.
* **Owners.** Each open ledger is an owner with a number that is never used twice, and with a lease that it renews every
  third of its length. An owner whose process has certainly ended is dead at once; any other one is dead when its lease
  has run out. A process that finds its own owner removed becomes a new owner and logs a warning.
* **Take-over.** On opening, at each renewal, and in ``others_at_work`` and ``requeue``, a ledger settles the items of
  dead owners and the ambiguous items that have an answer by now, as ``settlement.settlement_due`` has it. It gives
  back their claims and files, and removes the owners. A claim that is committed after its owner was removed is taken
  over likewise. An item that a dead owner had claimed, and that has interrupted no process so far, has interrupted one
  then; where an owner leaves in order, it has not. A view shows the items as if that were done: ``project``.
* **Counting.** ``calls`` grows by one with each request that is marked as sent. It shrinks by one when that request
  turns out not to be billed. An item's ``maybe_billed`` counts its requests that may have been billed and have no
  stored answer. So ``calls`` is always the sum of billed, maybe billed and in-flight calls.
* **Names.** A name is a path, a page and a document. Columns that come with one, in any method, replace those it had.
* **Sealing.** The answer's body and the failure of an item are sealed with the item as their context, columns with
  their name, and a change with its item and its number; the rest is not.
* **Corrections.** A correction is appended and never changed; a purge alone removes it. Nothing else depends on it: it
  changes no answer, no state and no count of calls.
* **Failures.** Every method raises a ``LedgerError`` if the store cannot be read or written; its docstring names what
  else it raises. After a failed write ``sending`` is refused, since the next request could hide how the last one ended.
  A store may keep an answer, a refusal or a settlement elsewhere until it can be written, and then raises nothing; but
  it sends nothing more either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

from clova_ocr_async.ledger.run_status import Purged, RunStatus
from clova_ocr_async.ledger.states import SourceRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection, Iterator, Sequence
    from contextlib import AbstractContextManager

    from clova_ocr_async.errors import Billing, ClovaOCRError
    from clova_ocr_async.ledger.corrections import Change, Correction
    from clova_ocr_async.ledger.states import Admission, Claim, Entry, Item, ListedFile, Settlement, SourceFile
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = [
    "Ledger",
    "PurgeRun",
    "Purged",
    "RunCorrections",
    "RunLedger",
    "RunStatus",
    "RunView",
    "SourceRecord",
    "WorkListLedger",
]


class Ledger(Protocol):
    """The part of a ledger that a batch uses; an asynchronous context manager, open once.

    Entering takes over what dead owners left and registers this process as an owner, durably. It raises a
    ``LedgerError`` if the store cannot be used, or if the run was begun with another seal or another choice of what is
    stored. Leaving settles what this process still holds, as a take-over would, and removes the owner, durably. If that
    fails, a warning is logged and the next process does it.

    All methods but ``add_files`` are called in the event loop that entered. After leaving they raise a ``LedgerError``.
    A caller may be cancelled in any method: the store then has done the whole of it or nothing.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def open_for(self, services: Sequence[str]) -> None:
        """Bind the run to the services that will be asked, or refuse others than those it is bound to.

        A run in which no call was billed, may have been billed, or is stored, and that no other process has open, is
        bound anew: its host may have been mistyped. Otherwise other services raise a ``LedgerError``.
        """

    async def recall(self, source: SourceFile, document: str) -> Entry | None:
        """Return the finished item of a file whose stamp is the one it was read with; None if it must be read."""

    async def admit(self, item: Item, source: SourceFile | None) -> Admission:
        """Record an image under one of its names, and claim it if it is new or queued.

        The name and the claim are one transaction, so that no ambiguous item lacks a name that was given. The name
        moves here from the item it had before, and is not to be read any more. Only one caller of all processes gets
        the claim; it need not be durable. A claim whose caller was cancelled is released.
        """
        ...

    async def reject(self, source: SourceFile, document: str, failure: bytes) -> Entry | None:
        """Record that a file cannot be read.

        Its name loses its item. If the failure is ``GONE`` (no file is at the path any more), the name keeps its item:
        what was paid for stays known. Unless that item is finished, the failure is recorded as well.

        Returns:
            The item that the name keeps; None if it has none.
        """

    async def set_interrupted(self, claim: Claim, count: int) -> None:
        """Record how many processes a claimed item has interrupted; a claim that was lost changes nothing.

        It is raised before a picture is made that may end this process, and set to 0 once it has not.
        """

    async def sending(self, claim: Claim, request_id: str, picture: bytes = b"") -> bool:
        """Mark a request that is about to leave, and count it; durable when this returns True.

        What it sends is ``picture``, as ``Entry.picture`` has it. It replaces that of an earlier request of the item.

        The check of the call limit and the mark are one transaction over all processes: together they never send more
        calls than allowed.

        Returns:
            True; False if the request must wait for calls in flight: they use up all that are allowed and may turn out
            not to be billed, or all the room that the store has for answers.

        Raises:
            ClaimLostError: Another process has the item now; nothing is marked.
            SpendingCeilingError: As many calls as allowed were billed or may have been.
        """
        ...

    async def refused(self, claim: Claim, request_id: str, *, maybe_billed_before: bool) -> None:
        """Mark that the request in flight was certainly not billed, and uncount it.

        With ``maybe_billed_before`` an earlier request of the same call may have been billed, so the item stays
        ``sent``. An item that has another request in flight by now stays as it is.
        """

    async def maybe_billed(self, claim: Claim, request_id: str) -> None:
        """Mark that the request in flight may have been billed and has no answer, and count it as such."""

    async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
        """Store an answer, byte for byte; durable when this returns, whichever process owns the item by now.

        A run that stores no answers does nothing here. Otherwise every answer is stored, two of one call included. The
        item's answer is the one of its last call, the later one if there are two:

        * the item is ``sent``: its request is in flight no more;
        * it is ``ambiguous``: the next take-over settles it; ``maybe_billed`` shrinks by one if it had no answer yet;
        * it is ``queued`` or ``claimed`` again: event ``ANSWER``, so that it is not sent a second time. Its owner loses
          the claim, and ``maybe_billed`` shrinks by one;
        * it is ``succeeded`` or ``failed`` without an answer: it has one now.

        An answer of an earlier call is stored, and ``maybe_billed`` shrinks by one if it is more than zero. A response
        with the requestId of another call (``protocol.response``) proves nothing: it never changes
        ``maybe_billed``.
        """

    def settle(self, claim: Claim, settlement: Settlement) -> Awaitable[None]:
        """Record how the call ended, and give the claim back.

        A ``claimed`` item is settled by its owner, a ``sent`` or ``ambiguous`` one by the call with its requestId; for
        any other caller nothing changes. The store also makes up for a mark that could not be written when the request
        ended:

        * MAYBE_BILLED counts a request that is still in flight. **It also counts one for a ``sent`` item that has an
          answer**: that answer turned out to be another call's, and its request is neither billed nor in flight.
        * A settlement that is NOT_BILLED refuses the request of its call that is still in flight, and uncounts it.
        * SUCCEED or FAIL of an ``ambiguous`` item without an answer: ``maybe_billed`` shrinks by one, and ``calls``
          as well if it is NOT_BILLED.

        After RELEASE the names of the item are to be read again. Callers of ``changed`` wake, in any process.

        Returns:
            An awaitable, to be awaited in the event loop. Durable when it is done; a SUCCEED whose answer is stored may
            be written a moment later, since a take-over settles it the same way.
        """
        ...

    async def changed(self, entry: Entry) -> None:
        """Wait until an item that another caller works on may have been finished or given back.

        The caller asks ``admit`` again. It wakes within seconds of a change in any process, also when the owner of the
        item has died, and at once when nothing more is sent; then it raises the error that stopped the sending.
        """


class WorkListLedger(Protocol):
    """The part of a ledger that hands the files of a run to its processes."""

    def add_files(self, files: Sequence[SourceFile], document: str) -> None:
        """Record files that are to be read; called in a thread beside the event loop.

        New files are to be read, and those whose stamp is not the one they were read with, and those that could not be
        read before. A file without a stamp is not there: if it was read, it stays what it was. A file that the run has
        under its alias keeps that spelling, for all its pages. A file that a process has taken stays taken. The pages
        of a file, recorded here or by ``admit``, take the place of the whole: its item is a replaced one from then on.
        """

    async def claim_files(self, documents: Sequence[str], most: int) -> list[ListedFile]:
        """Take at most so many of the files of some documents that are to be read, in the order they were found.

        No other process is given them until they are admitted, rejected or released, or until this owner is dead.
        """
        ...

    async def release_files(self, documents: Sequence[str]) -> None:
        """Give back the files of some documents that this process has taken and will not read."""

    async def others_at_work(self, documents: Sequence[str]) -> bool:
        """Take over what dead owners left, then return whether there may still be more to do.

        Returns:
            True if another process has files or items of the documents, or if files that are to be read are free.
        """
        ...


class RunLedger(Ledger, WorkListLedger, Protocol):
    """A whole ledger: work on one run.

    A store's own class takes where the run is, and these settings:

    * ``seal``: seals answers and failures; must be the one the run was begun with.
    * ``store``: "full" stores the answers, "none" only how each call ended; as the run was begun if not given.
    * ``max_calls``: the call limit of the run from now on, for all its processes; "none" for any number; the limit that
      the run has if not given.
    * ``lease``: seconds that this process may sleep before its work is taken over, at most 30.
    * ``process``, ``clock``, ``now``, ``sleep``: this process, the clock that all share, Unix seconds, a way to wait.
    """

    @property
    def max_calls(self) -> int | None:
        """The call limit of the run, as last seen; None if it has none."""

    @property
    def stop_reason(self) -> ClovaOCRError | None:
        """The error after which nothing more is sent; None if there is none."""

    async def set_base_folder(self, folder: str) -> str | None:
        """Record the folder in which the relative paths of the run start, unless they start in another one.

        Returns:
            The folder in which they start, if that is another one and the run has relative paths; else None.
        """

    async def requeue(self, billing: Billing, document: str | None = None) -> int:
        """Take over what dead owners left, then queue unread items again (``settlement.is_requeued``).

        Their names are to be read again; their failure is dropped, and they count as having interrupted no process.
        Their answer is not theirs any more, though it stays stored. A picture that was replaced under its last name is
        left out: there is no file to read.

        Returns:
            The number of items that had this billing, and this document if one is given.
        """
        ...


class RunView(Protocol):
    """A look at a run that changes nothing; a context manager, for one thread.

    A store's own class takes where the run is, and the seal. Without the seal of a sealed run, the view has counts,
    names and states, and leaves out what is sealed: an item that only its answer could settle is "pending".

    Each method sees the run at one moment, all that ``records`` yields included, and keeps no process of the run
    waiting. It shows each item as ``settlement.project`` has it, with the owners that are alive at that moment.
    Entering raises a ``LedgerError`` if there is no run, if it cannot be read, or if the seal is not its own.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all methods see the run at one moment, that of entering the context this returns."""
        ...

    def status(self) -> RunStatus:
        """Return the progress of the run."""
        ...

    def records(self, *, unread: bool = False) -> Iterator[SourceRecord]:
        """Yield every image under each of its names, in the order they were found; those without a name come last.

        Memory stays bounded. A ``LedgerError`` is raised if the run is sealed and no seal was given.

        Args:
            unread: Only images with a name that failed, are ambiguous, or were skipped.
        """
        ...

    def documents(self) -> list[str]:
        """Return the vendor's path words of the documents that the run has, sorted."""
        ...

    def own_columns(self, document: str) -> list[str]:
        """Return the names of the columns of their own that manifests gave the images of a document, sorted.

        Of a sealed run whose seal was not given, there are none.
        """
        ...

    def ambiguous_names(self) -> Iterator[str]:
        """Yield the names of the ambiguous images, as people read them."""
        ...

    def answers(self) -> int:
        """Return the number of stored answers, two of one item included."""
        ...

    def pending(self) -> int:
        """Return the number of images that are still to be finished; fast, however long the run is."""
        ...

    def other_base_folder(self, folder: str) -> str | None:
        """Return the folder in which the run's relative paths start; None if that is the given one, or unknown."""

    def to_read(self, document: str, retry_billings: Collection[Billing] = ()) -> Iterator[SourceFile]:
        """Yield the recorded files that a batch would read, if it also requeued unread items with these billings.

        They have their path and page alone.
        """
        ...

    def recall(self, file: SourceFile, document: str) -> Entry | None:
        """Return the item of a file whose stamp is the one it was read with; None if there is none."""

    def find(self, item: Item) -> Entry | None:
        """Return an item as the run has it; None if it has not."""

    def corrections(self, item: Item | None = None, *, after: int = 0) -> Iterator[Correction]:
        """Yield the corrections with a number greater than ``after``, of one item if it is given, by their numbers.

        Memory stays bounded. A ``LedgerError`` is raised if the run is sealed and no seal was given. A correction that
        cannot be opened comes without its change.
        """
        ...


class RunCorrections(Protocol):
    """The record of what people correct in the answers of a run; a context manager, for one thread.

    A store's own class takes where the run is, the seal, and ``now``, which returns Unix seconds. Any number may be
    open at the same time, beside ledgers and views; they are not owners, and keep no process of the run waiting.
    Entering raises a ``LedgerError`` if there is no run, if it cannot be written, or if the seal is not its own.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc_info: object) -> None: ...

    def append(self, item: Item, change: Change, *, after: int) -> Correction:
        """Record a change of an item; durable when this returns.

        The check and the record are one transaction over all processes, so a person overwrites nothing unseen.

        Args:
            item: The item.
            change: The change.
            after: The number of the newest correction of the item that the caller has seen; 0 for none.

        Returns:
            The correction, with its number and the time.

        Raises:
            CorrectionConflictError: The item has a newer one; nothing is recorded.
            LedgerError: The item has no stored answer: it was never there, or a purge has removed it.
        """
        ...


class PurgeRun(Protocol):
    """The removal of stored answers and of the words of errors; a function, with the location of the run bound to it.

    Take-over comes first. The corrections of an item that has no answer afterwards are removed as well, since they
    repeat its values. Then no byte of what was removed is left in the store's files, its log included; where a server
    keeps them, no query and no dump shows it, and its files are its administrator's. States, billings, counts, keys and
    ids stay: no image is billed again. An error keeps its type, status and code.
    """

    def __call__(self, older_than: float | None = None) -> Purged:
        """Remove what is older than some seconds, or all; durable when this returns.

        Raises:
            LedgerError: A process has the run open, or the seal is not the run's.
        """
        ...
