"""What becomes of calls, as it is kept beside a ledger that cannot take it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from clova_ocr_async.ledger.sqlite.statements import keep_answer, refuse, settle
from clova_ocr_async.ledger.states import Claim, Settlement
from clova_ocr_async.protocol.redacted import Redacted

if TYPE_CHECKING:
    import sqlite3


__all__ = ["Spilled", "SpilledAnswer", "SpilledRefusal", "SpilledVerdict", "pack", "unpack"]


class SpilledAnswer(Redacted, frozen=True, array_like=True, tag="answer"):
    """An answer outside the ledger.

    Attributes:
        item: The item's number in the ledger.
        request_id: Of the call.
        status: Of the answer.
        cut: Why the body is not whole.
        body: The body as packed and sealed.
        came: Unix seconds.
        unpacked: Bytes of the body before it was packed; None if it is stored as it came.
    """

    item: int
    request_id: str
    status: int
    cut: str | None
    body: bytes
    came: float
    unpacked: int | None = None

    name: ClassVar[str] = "an answer"

    def write(self, db: sqlite3.Connection) -> None:
        """Put it into the ledger."""
        keep_answer(
            db, self.item, self.request_id, (self.status, self.cut, self.body), self.came, unpacked=self.unpacked
        )


class SpilledRefusal(Redacted, frozen=True, array_like=True, tag="refusal"):
    """That a request was certainly not paid, outside the ledger; whoever keeps one sends no other request.

    Attributes:
        item: The item's number in the ledger.
        request_id: Of the call.
        maybe_billed_before: An earlier request of the same call may have been paid.
    """

    item: int
    request_id: str
    maybe_billed_before: bool = False

    name: ClassVar[str] = "that a call was not paid"

    def write(self, db: sqlite3.Connection) -> None:
        """Put it into the ledger."""
        refuse(db, self.item, self.request_id, maybe_billed_before=self.maybe_billed_before)


class SpilledVerdict(Redacted, frozen=True, array_like=True, tag="verdict"):
    """How a call ended, outside the ledger.

    Attributes:
        claim: The right to the item.
        verdict: How it ended, the failure left out.
        failure: The failure as sealed.
        ended: Unix seconds.
    """

    claim: Claim
    verdict: Settlement
    failure: bytes | None
    ended: float

    name: ClassVar[str] = "how a call ended"

    def write(self, db: sqlite3.Connection) -> None:
        """Put it into the ledger."""
        settle(db, self.claim, self.verdict, self.failure, self.ended)


Spilled = SpilledAnswer | SpilledRefusal | SpilledVerdict
"""What may be kept."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Spilled] = msgspec.msgpack.Decoder(Spilled)


def pack(spilled: Spilled) -> bytes:
    """Return it as bytes."""
    return _encoder.encode(spilled)


def unpack(packed: bytes) -> Spilled:
    """Return what ``pack`` was given.

    Raises:
        DecodeError: msgspec's; another version packed it.
    """
    return _decoder.decode(packed)
