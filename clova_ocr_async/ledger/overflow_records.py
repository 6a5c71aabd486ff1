"""The records of an overflow file: results of calls, as MessagePack arrays."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.states import Claim, Item, Settlement
from clova_ocr_async.protocol.repr_without_values import Redacted

__all__ = [
    "AnswerRecord",
    "OverflowRecord",
    "RefusalRecord",
    "SettlementRecord",
    "StrayAnswerError",
    "decode_record",
    "encode_record",
]


# Files of older versions have these tags and the fields in this order. New fields go to the end, with a default.


class AnswerRecord(Redacted, frozen=True, array_like=True, tag="answer"):
    """An answer.

    Attributes:
        item: The item's number in the ledger.
        request_id: Of the call.
        status: Of the answer.
        cut: Why the body is incomplete.
        body: The body, compressed and encrypted as the ledger stores it.
        came: When it arrived, Unix seconds.
        unpacked: Bytes of the body before compression; None if it is stored uncompressed.
        foreign: Whether it answers another call's request.
        image: The item. Its number may be another one's, in a run that was restored from a backup. None in files of
            older versions.
    """

    item: int
    request_id: str
    status: int
    cut: str | None
    body: bytes
    came: float
    unpacked: int | None = None
    foreign: bool = False
    image: Item | None = None

    name: ClassVar[str] = "an answer"


class RefusalRecord(Redacted, frozen=True, array_like=True, tag="refusal"):
    """A request that was certainly not billed. Its process sends nothing more once it has written one.

    Attributes:
        item: The item's number in the ledger.
        request_id: Of the call.
        maybe_billed_before: An earlier request of the same call may have been billed.
    """

    item: int
    request_id: str
    maybe_billed_before: bool = False

    name: ClassVar[str] = "the refusal of a request"


class SettlementRecord(Redacted, frozen=True, array_like=True, tag="settlement"):
    """The end of a call.

    Attributes:
        claim: The right to the item.
        settlement: How it ended, without the failure.
        failure: The failure, encrypted as the ledger stores it.
        ended: Unix seconds.
    """

    claim: Claim
    settlement: Settlement
    failure: bytes | None
    ended: float

    name: ClassVar[str] = "the end of a call"


class StrayAnswerError(LedgerError):
    """An answer is of an image that the run does not have under its number; nothing was written."""

    resumable = True

    # The message is an argument, as the error is copied for each call that it stops.
    def __init__(
        self,
        message: str = "an answer is of an image that the run does not have under its number: the run was restored "
        "from a backup, or has lost its last writes; run again, and the run continues as it is now",
    ) -> None:
        super().__init__(message)


OverflowRecord = AnswerRecord | RefusalRecord | SettlementRecord

# MessagePack, since answers are bytes: JSON would store them as base64, a third longer.
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[OverflowRecord] = msgspec.msgpack.Decoder(OverflowRecord)


def encode_record(record: OverflowRecord) -> bytes:
    """Return a record as bytes."""
    return _encoder.encode(record)


def decode_record(packed: bytes) -> OverflowRecord:
    """Return the record that ``encode_record`` was given.

    Raises:
        DecodeError: msgspec's; another version encoded it.
    """
    return _decoder.decode(packed)
