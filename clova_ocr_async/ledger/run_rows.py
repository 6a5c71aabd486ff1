"""The whole content of a run as rows, the same for every store: what a copy of a run takes along.

Sealed values stay as they are stored, so that a copy needs no key. Items and answers are numbered from 1, in the order
a store has them, since each store numbers them in its own way. Owners are not part of it: the processes of one store
are none of another's. A row only says whether some process had it.

Each store reads and writes these rows in one order: the settings, all items, all answers, all sources, all corrections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.protocol.repr_without_values import Redacted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

__all__ = [
    "LOST_OWNER",
    "AnswerRow",
    "CorrectionRow",
    "ItemRow",
    "Row",
    "RunRows",
    "RunSource",
    "RunTarget",
    "SettingsRow",
    "SourceRow",
    "occupied_error",
    "waiting_error",
]

LOST_OWNER = -1
"""The owner, in a copy, of what a process of the original had: no process has this number, so it is taken over."""


class SettingsRow(Redacted, frozen=True, array_like=True):
    """The settings and counts of the whole run.

    Attributes:
        seal: The name of the seal.
        seal_check: A known text, sealed; None without a key.
        store: "full" if answers are stored, "none" if not.
        services: The services that the run is bound to, sorted; None if none were named yet.
        base_folder: The folder in which relative paths start; None if it is not known.
        calls: Calls that were billed or may have been.
        max_calls: The call limit; None for any number.
        largest_answer: Bytes of the largest answer so far, for which a store keeps room.
        last_correction: The largest number that a correction has had, also before a purge.
    """

    seal: str
    seal_check: bytes | None
    store: str
    services: tuple[str, ...] | None
    base_folder: bytes | None
    calls: int
    max_calls: int | None
    largest_answer: int
    last_correction: int


class ItemRow(Redacted, frozen=True, array_like=True):
    """An item; its fields are the columns of a store's table. ``owned``: whether a process works on it."""

    sha256: bytes
    document: str
    page: int
    recipe: str
    state: str
    owned: bool
    attempts: int
    maybe_billed: int
    billing: int
    request_id: str | None
    sent_at: float | None
    finished_at: float | None
    elapsed: float
    failure: bytes | None
    was: bytes | None
    picture: bytes | None
    interrupted: int


class AnswerRow(Redacted, frozen=True, array_like=True):
    """An answer, as it is stored. ``accepted``: whether it is the item's, and not only one of its calls'."""

    item: int
    request_id: str
    status: int
    cut: str | None
    body: bytes
    unpacked: int | None
    came: float
    accepted: bool


class SourceRow(Redacted, frozen=True, array_like=True):
    """A name; its fields are the columns of a store's table. ``owned``: whether a process is about to read the file."""

    document: str
    path: bytes
    page: int
    open: bool
    owned: bool
    item: int | None
    failure: bytes | None
    size: int | None
    modified_ns: int | None
    changed_ns: int | None
    inode: int | None
    columns: bytes | None


class CorrectionRow(Redacted, frozen=True, array_like=True):
    """A correction, under its own number, which its sealed change is bound to."""

    number: int
    item: int
    made: float
    change: bytes


Row = SettingsRow | ItemRow | AnswerRow | SourceRow | CorrectionRow


class RunSource(Protocol):
    """A run that is copied: nothing else changes it meanwhile."""

    def rows(self) -> Iterator[Row]:
        """Yield all rows, in bounded memory."""
        ...

    def mark_moved(self, place: str) -> None:
        """Record where the run is from now on, durably: no ledger opens it here any more.

        Args:
            place: The place of the copy.
        """


class RunTarget(Protocol):
    """A run that is being written, and that nobody sees before it is published."""

    def write(self, rows: Iterable[Row]) -> None:
        """Write all rows."""

    def rows(self) -> Iterator[Row]:
        """Yield all rows as they are stored now."""
        ...

    def publish(self) -> None:
        """Make the run appear, complete and durably."""


class RunRows(Protocol):
    """One run in a store, to be copied. A store's own class takes where the run is.

    Each method raises a ``LedgerError`` if the store cannot be read or written, or has other tables than this version.
    """

    @property
    def place(self) -> str:
        """Where the run is, as people read it; no two runs have the same. It holds no password."""
        ...

    def reading(self) -> AbstractContextManager[Iterator[Row]]:
        """Read all rows of one moment; the run stays as it is, and no process of it is kept waiting."""
        ...

    def exporting(self, target: str) -> AbstractContextManager[RunSource]:
        """Keep every process from working on the run while it is copied.

        Args:
            target: The place of the copy.

        Raises:
            LedgerError: A process has the run open, results wait in an overflow file, the run was moved to another
                place than the target, or it is a copy that no ledger would open.
        """
        ...

    def importing(self, source: str) -> AbstractContextManager[RunTarget]:
        """Begin the run anew. It is discarded on leaving, unless it was published.

        Args:
            source: The place of the original.

        Raises:
            LedgerError: There is such a run, and it was not moved to the source; there is something else.
        """
        ...


def occupied_error(place: str, moved_to: str | None) -> LedgerError:
    """Return the error of a run at the place of a copy.

    Args:
        place: The place.
        moved_to: Where the run there was moved to; None if it was not.
    """
    moved = "" if moved_to is None else f", which was moved to {moved_to}"
    return LedgerError(
        f"there is a run in {place}{moved}; if it is the copy that an earlier command made, go on with it; else choose "
        "another place"
    )


def waiting_error(file: str, place: str) -> LedgerError:
    """Return the error of a run whose results wait in an overflow file.

    Args:
        file: The file.
        place: The place of the run.
    """
    return LedgerError(
        f"{file} holds results that are not in {place} yet; run the batch once, then copy again. If the file is still "
        "there, its answers are of images that the run does not have under their numbers, or another version of this "
        "package wrote it; the log of that batch says which. Restore a newer backup or move the file away, or open the "
        "run with that version"
    )
