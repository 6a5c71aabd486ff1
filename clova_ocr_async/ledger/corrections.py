"""Changes by people to the answers of a run: an append-only log beside the answers, which stay as they are. Pure.

Each change is about one item, so it holds for every name of its image. Most are about one field of the answer; DONE and
UNDONE are about the document. A change says what a person saw and what the person made of it, and never replaces
another one: an UNDO is a change as well. ``results/corrections.py`` works out what holds after all of them.

Values are text, as a person reads and types them: a store neither parses nor compares them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from clova_ocr_async.ledger.states import Item

__all__ = ["Change", "ChangeKind", "Correction", "CorrectionConflictError", "decode_change", "encode_change"]


class ChangeKind(enum.StrEnum):
    """The kind of a change."""

    CORRECT = "correct"
    """A field has another value."""
    CONFIRM = "confirm"
    """A field has the value that it shows: a person has compared it with the picture."""
    DONE = "done"
    """A person has finished the document."""
    UNDONE = "undone"
    """The document is to be looked at again."""
    UNDO = "undo"
    """An earlier change does not hold any more."""


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change by a person; its ``repr`` shows no value.

    Attributes:
        kind: What it is.
        by: The name of the person.
        path: The field, in the vendor's names, as in "result.storeInfo.name"; empty if it is about the document.
        old: The value that the person saw; None if there was none, or if the change is about the document.
        new: The value from then on, "" for none; None if the change is about the document.
        undoes: The number of the correction that an UNDO is about.
    """

    kind: ChangeKind
    by: str
    path: str = ""
    old: str | None = None
    new: str | None = None
    undoes: int | None = None

    def __repr__(self) -> str:
        return f"Change({self.kind.value!r}, path={self.path!r})"


@dataclass(frozen=True, slots=True)
class Correction:
    """A change as a run has it.

    Attributes:
        number: Its number in the run; numbers grow, and none is used twice.
        item: The item that it is about.
        at: When it was recorded, Unix seconds.
        change: The change; None if what is stored cannot be opened.
    """

    number: int
    item: Item
    at: float
    change: Change | None


class CorrectionConflictError(Exception):
    """The item has a newer correction than the caller has seen; nothing was recorded."""


def encode_change(change: Change) -> bytes:
    """Return a change as a store keeps it, before it is sealed."""
    return msgspec.json.encode(change)


def decode_change(stored: bytes) -> Change:
    """Return the change that ``encode_change`` was given.

    Raises:
        ValueError: Another program has changed the bytes.
    """
    try:
        return msgspec.json.decode(stored, type=Change)
    except (msgspec.DecodeError, ValueError, RecursionError):  # the first is a ValueError since msgspec 0.21 only
        raise ValueError("it is not the JSON of a change") from None
