"""The mark of a request that is about to leave, and its count: the one write that lets money be spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.ledger.postgres.item_statements import count_call, is_marked, mark_sent
from clova_ocr_async.ledger.states import ClaimLostError

if TYPE_CHECKING:
    from psycopg import Connection

    from clova_ocr_async.ledger.postgres.this_owner import ThisOwner
    from clova_ocr_async.ledger.states import Claim

__all__ = ["CallLimitReachedError", "SendingMark"]


class CallLimitReachedError(Exception):
    """The call limit of the run does not allow the request; the mark is undone.

    Args:
        for_good: Whether no call in flight could turn out not to be billed.
    """

    def __init__(self, *, for_good: bool) -> None:
        super().__init__()
        self.for_good = for_good


class SendingMark:
    """The mark of one request. It may be written again, if its commit was not acknowledged: it is counted once.

    Args:
        owner: This process.
        claim: The right to the item.
        request_id: Of the call.
        picture: What is sent, as ``Entry.picture`` has it.
        at: Unix seconds.

    Attributes:
        claim: The right to the item.
        counted: Whether the call limit was asked.
        limit: The call limit of the run, as it was seen; None for any number.
    """

    def __init__(self, owner: ThisOwner, claim: Claim, request_id: str, picture: bytes, *, at: float) -> None:
        self.claim = claim
        self.counted = False
        self.limit: int | None = None
        self._owner = owner
        self._request_id = request_id
        self._picture = picture
        self._at = at
        self._written = False

    def write(self, db: Connection[Any]) -> None:
        """Mark the request, and count it.

        Raises:
            ClaimLostError: Another process has the item, or may have it: this one slept past its lease.
            CallLimitReachedError: As many calls as allowed were billed or may have been.
        """
        # A process that was stopped, and is continued just here, finds out before it sends.
        if not self._owner.is_leased(db, self.claim.owner):
            raise ClaimLostError
        if self._written and is_marked(db, self.claim, self._request_id, self._at):
            return
        if not mark_sent(db, self.claim, self._request_id, self._picture, self._at):
            raise ClaimLostError
        self._written = True
        # Last of all: all processes of the run wait for this row until the commit.
        allowed, self.limit = count_call(db, self.claim.number)
        self.counted = True
        if not allowed:
            raise CallLimitReachedError(for_good=allowed is False)
