"""The states of an item of a run, the events that change them, and the records a ledger keeps.

A call is billed, has no idempotency key, and takes seconds; machines die meanwhile. After a crash one question must
have an answer for every image: *may it have been billed?* So its state is recorded around the one moment that costs
money:

    queued ──claim──▶ claimed ──send──▶ sent ──succeed───▶ succeeded
      ▲                 │  ▲             │ ├─────fail─────▶ failed
      ├────release──────┘  └───refuse────┘ └─maybe billed─▶ ambiguous
      └────requeue─── failed, ambiguous, skipped ◀─skip─ claimed

Glossary:
    item            a file's bytes, the page and the steps that make the picture, and the document: what is billed once
    source          a file name and page that an item goes by; an item may have many, or none
    claim, lease    the right of one process to work on an item, and the time until which its claims hold
    sent, answered  a request may have left; its answer is stored (a ``sent`` item can be both)
    maybe_billed    the number of an item's requests that may have been billed although no answer is stored
    ambiguous       the state of an item whose last request was maybe billed: listed by name, sent again on request only
    settled         how the call ended is recorded, and the claim is given back
    fencing         a write of a process that lost its lease changes nothing: see the last rule below

Rules:

* ``sent`` is on the disk before the first byte of the request leaves. An item that a dead process left ``claimed`` was
  never billed and goes back to ``queued``. One that it left ``sent`` becomes ``ambiguous``. So the number of ambiguous
  items is bounded by the calls in flight.
* The slot is held before ``send``, so that no ambiguous item was only waiting. A request that the service refused, or
  that never began to leave, was not billed: ``refuse`` takes the item back to ``claimed`` while the call waits to try
  again.
* An answer is on the disk, byte for byte, before its caller reads it. A ``sent`` item that has its answer is settled
  from that answer by the process that finds it. Answers are stored without a check of the owner: a process that slept
  past its lease still brings in what was paid for.
* The same bytes and page under many names are one item, billed once, and its answer is the answer of every name.
* A picture that ends its process while it is made would end one process after the other. So a claim knows how many
  processes it has interrupted (``Claim.interrupted``), and the image is parked after a few: event ``SKIP``, by name.
  What ends a process before the claim is not counted, such as a PDF whose pages are counted.
* Events before the request are fenced by the owner's number, which is never used twice. Events after it are fenced by
  the requestId, which no other call has. A process that lost its lease is refused at ``send``.

``TRANSITIONS`` holds every change of state there is. A store makes no other one: an event that the table does not list
for a state leaves the state as it is. The tests hold each store to that, the triggers of a database included.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clova_ocr_async.errors import Billing

if TYPE_CHECKING:
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = [
    "FINISHED",
    "OWNED",
    "TRANSITIONS",
    "Admission",
    "Claim",
    "ClaimLostError",
    "Entry",
    "FileStamp",
    "Item",
    "ItemEvent",
    "ListedFile",
    "Settlement",
    "SourceFile",
    "SourceRecord",
    "State",
    "from_states",
]


class State(enum.StrEnum):
    """The state of an item."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    SKIPPED = "skipped"


class ItemEvent(enum.StrEnum):
    """An event that may change the state of an item."""

    CLAIM = "claim"
    """A process takes the item."""
    SEND = "send"
    """A request is about to leave."""
    REFUSE = "refuse"
    """The request was certainly not billed, and the call may try again."""
    RELEASE = "release"
    """The process gives the item back; nothing was billed."""
    SUCCEED = "succeed"
    """The item was read."""
    FAIL = "fail"
    """The item was not read, and it is certain whether that was billed."""
    # The value is in overflow files of older versions, with answers that were paid for.
    MAYBE_BILLED = "doubt"
    """The call ended, it may have been billed, and no answer settles the item."""
    SKIP = "skip"
    """The image was refused before anything was sent."""
    REQUEUE = "requeue"
    """A user asks for the item to be tried again."""
    ANSWER = "answer"
    """The answer of an abandoned call arrives before the requeued item is sent again."""


TRANSITIONS: dict[tuple[State, ItemEvent], State] = {
    (State.QUEUED, ItemEvent.CLAIM): State.CLAIMED,
    (State.CLAIMED, ItemEvent.SEND): State.SENT,
    (State.CLAIMED, ItemEvent.RELEASE): State.QUEUED,
    (State.CLAIMED, ItemEvent.SKIP): State.SKIPPED,
    (State.CLAIMED, ItemEvent.FAIL): State.FAILED,
    (State.SENT, ItemEvent.SEND): State.SENT,  # a retry although the last request may have been billed: the policy's
    (State.SENT, ItemEvent.REFUSE): State.CLAIMED,
    (State.SENT, ItemEvent.SUCCEED): State.SUCCEEDED,
    (State.SENT, ItemEvent.FAIL): State.FAILED,
    (State.SENT, ItemEvent.MAYBE_BILLED): State.AMBIGUOUS,
    (State.AMBIGUOUS, ItemEvent.SUCCEED): State.SUCCEEDED,  # the answer arrived after its process was given up
    (State.AMBIGUOUS, ItemEvent.FAIL): State.FAILED,
    (State.AMBIGUOUS, ItemEvent.REQUEUE): State.QUEUED,
    (State.FAILED, ItemEvent.REQUEUE): State.QUEUED,
    (State.SKIPPED, ItemEvent.REQUEUE): State.QUEUED,
    (State.QUEUED, ItemEvent.ANSWER): State.AMBIGUOUS,  # the next process settles it from that answer
    (State.CLAIMED, ItemEvent.ANSWER): State.AMBIGUOUS,
}
"""Every change of state there is."""

OWNED = frozenset({State.CLAIMED, State.SENT})
"""States in which a process works on an item."""

FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.AMBIGUOUS, State.SKIPPED})
"""States in which nothing more is done for an item unless a user asks for it."""


_FROM = {event: tuple(state for state, change in TRANSITIONS if change is event) for event in ItemEvent}


def from_states(event: ItemEvent) -> tuple[State, ...]:
    """Return the states that an event changes."""
    return _FROM[event]


@dataclass(frozen=True, slots=True)
class Item:
    """A picture and the document asked for: what is billed once.

    The picture is named by what it was made of, never by the bytes that a version of a library happened to produce.

    Attributes:
        sha256: Of the bytes of the file.
        document: The vendor's path word of the document asked for.
        page: The page that is cut out of the file, from 1; None if the file is sent whole.
        recipe: The steps that the picture needs before it is sent, and their settings; empty if it needs none.
    """

    sha256: bytes
    document: str
    page: int | None = None
    recipe: str = ""


@dataclass(frozen=True, slots=True)
class FileStamp:
    """The properties of a file that show, without reading it, that its content has not changed.

    Attributes:
        size: Bytes.
        modified_ns: Time of the last change of its content, nanoseconds since 1970.
        changed_ns: Time of the last change of the file in any way, nanoseconds since 1970; no program can set it back.
        inode: Its number on its file system.
    """

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file name that an image goes by, and the page if it is one of several.

    Attributes:
        path: As it was given, in the file system's own bytes.
        stamp: Of the file when it was read; None if it is not known, or if the file is so young that a later change
            might not show.
        alias: The same path in its other spelling, absolute or relative, under which the run may have it; None if there
            is none.
        page: The page of the file, from 1; None for the whole file.
        columns: The columns of its own that a manifest gave the image, as a JSON object; empty if there are none.
    """

    path: bytes
    stamp: FileStamp | None = None
    alias: bytes | None = None
    page: int | None = None
    columns: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file that is to be read, as the ledger hands it to a process.

    Attributes:
        path: As the run has it, in the file system's own bytes.
        page: The page of the file, from 1; None for the whole file.
        document: The vendor's path word of the document asked for.
        columns: The columns of its own that a manifest gave the image, as a JSON object; empty if there are none.
    """

    path: bytes
    page: int | None
    document: str
    columns: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on an item.

    Attributes:
        number: The item's number in the ledger.
        owner: The number of the process that has it; a number is never used twice.
        item: The item.
        interrupted: How many processes have ended, one after the other, while they had the item or made its picture.
    """

    number: int
    owner: int
    item: Item
    interrupted: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """An item as the ledger has it.

    Attributes:
        number: The item's number in the ledger.
        item: The item.
        state: Its state.
        attempts: Requests sent for it so far, refused ones included.
        maybe_billed: How many of them may have been billed although no answer is stored.
        billing: Whether it was billed, once it is finished.
        request_id: Of the last call for it.
        elapsed: Seconds the last call took, waiting included.
        failure: The error, as ``encode_failure`` wrote it; empty if there is none.
        answer: The answer, byte for byte; None if there is none, or it cannot be read.
        answered_at: When the answer arrived, Unix seconds.
        owner: The number of the process that works on it; None if none does.
        in_flight: Whether its last request has left, and how it ended is not recorded.
        answered: Whether an answer is stored, be it one that cannot be read.
        picture: The picture that was sent, as JSON of ``documents.picture.Picture``; empty if it is not recorded.
    """

    number: int
    item: Item
    state: State
    attempts: int = 0
    maybe_billed: int = 0
    billing: Billing = Billing.NOT_BILLED
    request_id: str | None = None
    elapsed: float = 0.0
    failure: bytes = b""
    answer: HTTPResponse | None = None
    answered_at: float | None = None
    owner: int | None = None
    in_flight: bool = False
    answered: bool = False
    picture: bytes = b""

    def __repr__(self) -> str:
        return f"Entry({self.number}, {self.item.sha256.hex()[:12]}…, {self.item.document}, {self.state.value})"


@dataclass(frozen=True, slots=True, repr=False)
class SourceRecord:
    """An image of a run under one of its names.

    Attributes:
        path: The name; None if the image has none.
        document: The vendor's path word.
        status: "ambiguous" if its item is. Else "pending" if it is to be read and has a stamp or no item, since its
            file has changed. Else "skipped" if it has a failure. Else the item's state, "pending" unless finished.
        entry: Its item; None if it was not read from the disk.
        failure: Why it could not be read from the disk, as ``encode_failure`` wrote it; empty if that is not known.
        copy_of: The first name of the same image, under which it was billed, apart from names whose file has changed;
            None if this is that name.
        replaced: Whether another picture is under the name by now, and the image has no other name. It is listed since
            it was billed, or may have been, and does not count among the images.
        page: The page of the file, from 1; None for the whole file.
        columns: The columns of its own that a manifest gave the name, as a JSON object; empty if there are none.
    """

    path: str | None
    document: str
    status: str
    entry: Entry | None = None
    failure: bytes = b""
    copy_of: str | None = None
    replaced: bool = False
    page: int | None = None
    columns: bytes = b""


@dataclass(frozen=True, slots=True)
class Admission:
    """The ledger's reply to an image.

    Attributes:
        entry: The item as the ledger has it.
        claim: The right to send it; None if the item is finished, or another caller works on it.
    """

    entry: Entry
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a call for an item.

    Attributes:
        event: What happened to the item.
        billing: Whether it was billed.
        elapsed: Seconds it took, waiting included.
        failure: The error, as ``encode_failure`` wrote it; empty if there is none.
        request_id: Of the call; None if no request was about to leave.
    """

    event: ItemEvent
    billing: Billing = Billing.NOT_BILLED
    elapsed: float = 0.0
    failure: bytes = field(default=b"", repr=False)
    request_id: str | None = None


class ClaimLostError(Exception):
    """The lease ran out and another process has the item; nothing was sent."""
