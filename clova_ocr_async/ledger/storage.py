"""The contract of a store: the methods that a ledger has for a batch and for the files of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from clova_ocr_async.ledger.states import Admission, Claim, Entry, Item, Settlement, SourceFile
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["Ledger", "WorkListLedger"]


class Ledger(Protocol):
    """Where a batch writes down what becomes of its images; open for as long as its context is."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def open_for(self, services: Sequence[str]) -> None:
        """Refuse the answers of another service than those the ledger was begun with.

        Args:
            services: Names of the services that will be asked.

        Raises:
            LedgerError: It holds answers of another service.
        """
        ...

    async def recall(self, source: SourceFile, document: str) -> Entry | None:
        """Return what is known of a file that has not changed since it was read; None if it must be read."""
        ...

    async def admit(self, item: Item, source: SourceFile | None) -> Admission:
        """Write down an image under one of its names, and claim it if there is anything to do."""
        ...

    async def reject(self, source: SourceFile, document: str, failure: bytes) -> Entry | None:
        """Write down a file that cannot be read.

        Args:
            source: The file.
            document: The vendor's path word.
            failure: Why; ``GONE`` if nothing is at its path any more.

        Returns:
            What is known of the image that a file held which is gone, and that stays known; None if nothing is, or
            the file has become something else.
        """
        ...

    async def sending(self, claim: Claim, request_id: str) -> bool:
        """Mark a request that is about to leave; on the disk when this returns.

        Returns:
            True; False if it must wait: calls under way may use up all that are allowed, or turn out not to be paid.

        Raises:
            ClaimLostError: Somebody else has the item now.
            SpendingCeilingError: As many calls as allowed are paid, or may be.
            LedgerError: It cannot be written down, so it must not be sent.
        """
        ...

    async def refused(self, claim: Claim, request_id: str, *, still_in_doubt: bool) -> None:
        """Mark that the request was certainly not paid.

        Args:
            claim: The right to the item.
            request_id: Of the call.
            still_in_doubt: An earlier request of the same call may have been paid.
        """
        ...

    async def doubted(self, claim: Claim, request_id: str) -> None:
        """Mark that the request may have been paid and has no answer."""
        ...

    async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
        """Keep an answer; on the disk when this returns, whoever owns the item by now."""
        ...

    def settle(self, claim: Claim, verdict: Settlement) -> Awaitable[None]:
        """Write down how the call ended, and give the claim back.

        Returns:
            What to await, in the event loop; done already where the mark may be written a moment later.
        """
        ...

    async def changed(self, entry: Entry) -> None:
        """Wait until an item that somebody else works on may have been finished or given back."""
        ...


class WorkListLedger(Protocol):
    """A ledger that hands out files."""

    def add_files(self, files: Sequence[SourceFile], document: str) -> None:
        """Write down files that are to be read; called in a thread."""
        ...

    async def claim_files(self, document: str, most: int) -> list[bytes]:
        """Take some of the listed files; nobody else is given them."""
        ...

    async def release_files(self, document: str) -> None:
        """Give back what was taken and is not going to be read."""
        ...

    async def others_at_work(self, document: str) -> bool:
        """Whether other processes hold what they may yet give back."""
        ...
