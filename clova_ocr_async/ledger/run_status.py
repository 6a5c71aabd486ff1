"""Reports of a store in numbers: the progress of a run, and the result of a purge."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Purged", "RunStatus"]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The progress of a run, in numbers.

    Attributes:
        images: Images by status: "succeeded", "failed", "ambiguous", "skipped", "pending". Every name an image goes by
            counts; a picture that was replaced under its last name does not.
        items: Different images that were read from the disk, by state; each is billed once.
        calls: Calls that were billed, or may have been, over the life of the run, those in flight included.
        maybe_billed: Calls among them that may have been billed and have no answer.
        in_flight: Calls among them whose answer is still awaited.
        processes: Processes that have the run open.
        store: "full" if answers are stored, "none" if not.
        sealed: The name of the seal; None if answers are readable.
        services: The services that the run is bound to.
        vanished: Skipped images whose file was removed before it was read.
        max_calls: The call limit of the run; None for any number.
        answers: Items that have a stored answer.
        removed: Different images that were read and whose answer is not stored.
        corrections: Changes that people recorded, those that were undone included.
        overflow_files: Files of this host with results that a server could not take. The next batch on this host that
            opens the run brings them in; until then their calls look in flight, or ambiguous.
        moved_to: Where the run was copied to, and is worked on from then on; None if it was not.
    """

    images: dict[str, int]
    items: dict[str, int]
    calls: int
    maybe_billed: int
    in_flight: int
    processes: int
    store: str
    sealed: str | None
    services: tuple[str, ...]
    vanished: int = 0
    max_calls: int | None = None
    answers: int = 0
    removed: int = 0
    corrections: int = 0
    overflow_files: tuple[str, ...] = ()
    moved_to: str | None = None

    @property
    def total(self) -> int:
        """The number of images."""
        return sum(self.images.values())

    @property
    def billed(self) -> int:
        """The number of calls that were billed."""
        return self.calls - self.maybe_billed - self.in_flight

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers under the keys that ``status --json`` has had from its first version on."""
        found = asdict(self)
        renamed = {"maybe_billed": "perhaps", "in_flight": "under_way"}
        kept = {renamed.get(name, name): value for name, value in found.items()}
        return kept | {"total": self.total, "billed": self.billed}


@dataclass(frozen=True, slots=True)
class Purged:
    """The result of a purge.

    Attributes:
        answers: Number of answers that were removed.
        failures: Number of unread images whose error lost its words.
        corrections: Number of corrections that were removed with the answers they were about.
    """

    answers: int
    failures: int
    corrections: int = 0
