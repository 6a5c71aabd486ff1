"""What became of every image: the ledger of a batch, its states, and how they change.

A call is paid, has no idempotency key, and takes seconds; machines die meanwhile. After a crash one thing must be
known of every image: *may it have been paid?* So its state is written down around the one moment that costs money:

    queued ──claim──▶ claimed ──send──▶ sent ──succeed──▶ succeeded
      ▲                 │  ▲             │ ├──fail─────▶ failed
      ├────release──────┘  └───refuse────┘ └──doubt────▶ ambiguous
      └────requeue─── failed, ambiguous, skipped ◀─skip─ claimed

* ``sent`` is on the disk before the first byte of the request leaves. What a dead process left ``claimed`` was never
  paid and goes back to ``queued``; what it left ``sent`` may have been paid and becomes ``ambiguous``: it is listed by
  name, and sent again only if somebody asks for that. So doubt is bounded by the calls in flight.
* The slot is held before ``send``, so that nothing in doubt was only waiting. A request that the service refused, or
  that never began to leave, was not paid: ``refuse`` takes it back to ``claimed`` while the call waits to try again.
* An answer is on the disk, byte for byte, before anybody reads it. A row that is ``sent`` and has its answer is
  finished from that answer, by whoever finds it. Answers are kept without asking who owns the row: a process that
  slept past its lease still brings what was paid for.
* An item is the picture's bytes and the document asked for, not a file's name: the same bytes under many names are
  one item, paid once, and the answer of every name.
* Whoever claims an item holds a lease. Marks before the request are fenced by the owner, which is never used twice,
  marks after it by the requestId, which no other call has. A process that lost its lease is refused at ``send``.

The table ``TRANSITIONS`` is the whole of it; storage reads it and refuses what is not in it.
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
    "TRANSITIONS",
    "UNDER_WAY",
    "Admission",
    "Claim",
    "ClaimLostError",
    "Entry",
    "FileStamp",
    "Item",
    "ItemEvent",
    "Settlement",
    "SourceFile",
    "State",
    "from_states",
]


class State(enum.StrEnum):
    """Where an item stands."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    SENT = "sent"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    SKIPPED = "skipped"


class ItemEvent(enum.StrEnum):
    """What happens to an item."""

    CLAIM = "claim"
    """A worker takes it."""
    SEND = "send"
    """A request is about to leave."""
    REFUSE = "refuse"
    """The request was certainly not paid, and the call may try again."""
    RELEASE = "release"
    """The worker gives it back, nothing paid."""
    SUCCEED = "succeed"
    """It was read."""
    FAIL = "fail"
    """It was not read, and whether that was paid is known."""
    DOUBT = "doubt"
    """It may have been paid, and there is no answer."""
    SKIP = "skip"
    """The image was refused before anything was sent."""
    REQUEUE = "requeue"
    """Somebody asks for it to be tried again."""
    ANSWER = "answer"
    """The answer of a call that was given up comes before the item is sent again."""


TRANSITIONS: dict[tuple[State, ItemEvent], State] = {
    (State.QUEUED, ItemEvent.CLAIM): State.CLAIMED,
    (State.CLAIMED, ItemEvent.SEND): State.SENT,
    (State.CLAIMED, ItemEvent.RELEASE): State.QUEUED,
    (State.CLAIMED, ItemEvent.SKIP): State.SKIPPED,
    (State.CLAIMED, ItemEvent.FAIL): State.FAILED,
    (State.SENT, ItemEvent.SEND): State.SENT,  # again, although the last one may have been paid: the policy's choice
    (State.SENT, ItemEvent.REFUSE): State.CLAIMED,
    (State.SENT, ItemEvent.SUCCEED): State.SUCCEEDED,
    (State.SENT, ItemEvent.FAIL): State.FAILED,
    (State.SENT, ItemEvent.DOUBT): State.AMBIGUOUS,
    (State.AMBIGUOUS, ItemEvent.SUCCEED): State.SUCCEEDED,  # the answer came after its process was given up
    (State.AMBIGUOUS, ItemEvent.FAIL): State.FAILED,
    (State.AMBIGUOUS, ItemEvent.REQUEUE): State.QUEUED,
    (State.FAILED, ItemEvent.REQUEUE): State.QUEUED,
    (State.SKIPPED, ItemEvent.REQUEUE): State.QUEUED,
    (State.QUEUED, ItemEvent.ANSWER): State.AMBIGUOUS,  # and finished from that answer by whoever finds it
    (State.CLAIMED, ItemEvent.ANSWER): State.AMBIGUOUS,
}
"""Every change of state there is."""

UNDER_WAY = frozenset({State.CLAIMED, State.SENT})
"""States in which somebody works on an item."""

FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.AMBIGUOUS, State.SKIPPED})
"""States in which nothing more is done for an item unless somebody asks."""


_FROM = {mark: tuple(state for state, change in TRANSITIONS if change is mark) for mark in ItemEvent}


def from_states(mark: ItemEvent) -> tuple[State, ...]:
    """Return the states that a mark changes."""
    return _FROM[mark]


@dataclass(frozen=True, slots=True)
class Item:
    """What is paid once.

    Attributes:
        sha256: Of the image's bytes.
        document: The vendor's path word of the document asked for.
    """

    sha256: bytes
    document: str


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What tells, without reading it, that a file is the one that was read.

    Attributes:
        size: Bytes.
        modified_ns: Time of the last change of its content, nanoseconds since 1970.
        changed_ns: Time of the last change of the file in any way, nanoseconds since 1970; nothing can set it back.
        inode: Its number on its file system.
    """

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A name that an image goes by.

    Attributes:
        path: As it was given, in the file system's own bytes.
        identity: Of the file when it was read; None if it is not known, or too young to be told from a change.
        also: The same path in another spelling, absolute or relative, under which the run may know it; None if there
            is none.
    """

    path: bytes
    identity: FileStamp | None = None
    also: bytes | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on an item.

    Attributes:
        number: The item's number in the ledger.
        owner: Who has it; a number that is never used twice.
        item: What it is.
    """

    number: int
    owner: int
    item: Item


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """What the ledger holds of an item.

    Attributes:
        number: The item's number in the ledger.
        item: What it is.
        state: Where it stands.
        attempts: Requests sent for it so far, refused ones included.
        maybe_billed: How many of them may have been paid, and nobody knows.
        billing: Whether it was paid, once it is finished.
        request_id: Of the last call for it.
        elapsed: Seconds the last call took, waiting included.
        failure: How it failed, as ``verdict`` wrote it; empty if it did not.
        answer: The answer as it came; None if there is none, or it was not kept.
        came: When the answer came, Unix seconds.
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
    came: float | None = None

    def __repr__(self) -> str:
        return f"Entry({self.number}, {self.item.sha256.hex()[:12]}…, {self.item.document}, {self.state.value})"


@dataclass(frozen=True, slots=True)
class Admission:
    """The ledger's reply to an image.

    Attributes:
        entry: What it holds of it.
        claim: The right to send it; None if it is finished, or somebody else works on it.
    """

    entry: Entry
    claim: Claim | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a call for an item ended.

    Attributes:
        mark: What that does to the item.
        billing: Whether it was paid.
        elapsed: Seconds it took, waiting included.
        failure: How it failed; empty if it did not.
        request_id: Of the call; None if no request was about to leave.
    """

    mark: ItemEvent
    billing: Billing = Billing.NOT_BILLED
    elapsed: float = 0.0
    failure: bytes = field(default=b"", repr=False)
    request_id: str | None = None


class ClaimLostError(Exception):
    """The lease ran out and somebody else has the item; nothing was sent."""
