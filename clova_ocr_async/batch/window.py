"""Number of images that a batch may have in work: a window that follows the slots, bounded in bytes. Pure.

An image takes seconds at the service, and milliseconds to be read. So a batch needs as many images in work as there are
slots, and a few more that are read and wait, so that no slot is idle between two calls. Any more only take memory.
"""

from __future__ import annotations

__all__ = ["MAX_BYTES", "MAX_UNREAD", "Window"]

MAX_UNREAD = 8
"""Images that are pulled and not yet read, so that their size is not known: enough to keep the reading threads busy."""

MAX_BYTES = 256 * 1024 * 1024
"""Bytes that the images of a batch may take before no further one is pulled. Large enough for 64 slots and photographs
of 4 MB, the largest that phones make by default."""

_MIN_SPARE = 4  # images that wait for a slot: a slot that becomes free is filled at once, also while files are read
_SLOTS_PER_SPARE = 2  # of many calls several may finish at the same moment


class Window:
    """Counts the images of a batch, and decides how many more may be pulled.

    Args:
        ahead: Most images pulled and not yet taken, unless the slots need more.
        concurrency: Most images in work, whatever the slots; None for no such bound.
        max_bytes: Bytes that images may take before no further one is pulled.

    Attributes:
        size: How many images may be in work.
        in_work: Images that are read, wait for a slot or are at the service.
        unread: Those of them whose bytes have not been read yet.
        bytes_held: Bytes that images take: those that were read until they are out of work, and those that were pulled
            as bytes until their outcome is taken.
    """

    def __init__(self, ahead: int, concurrency: int | None = None, *, max_bytes: int = MAX_BYTES) -> None:
        self.size = 0
        self.in_work = 0
        self.unread = 0
        self.bytes_held = 0
        self._ahead = ahead
        self._concurrency = concurrency
        self._max_bytes = max_bytes
        self._pulled = 0
        self._taken = 0

    def follow_slots(self, slots: int) -> bool:
        """Set the size to what so many slots need; return whether it has changed."""
        # Also without slots, while every domain is on hold: the first free slot finds an image that is read.
        size = slots + max(_MIN_SPARE, slots // _SLOTS_PER_SPARE)
        if self._concurrency is not None:
            size = min(size, self._concurrency)
        changed = size != self.size
        self.size = size
        return changed

    @property
    def is_open(self) -> bool:
        """True if further images may be pulled, as far as that does not depend on the slots."""
        return (
            self._pulled - self._taken < self._ahead and self.unread < MAX_UNREAD and self.bytes_held < self._max_bytes
        )

    def room(self) -> int:
        """Return how many images may be pulled, if they are small; below 1 for none."""
        if self.unread >= MAX_UNREAD or self.bytes_held >= self._max_bytes:
            return 0
        more, ahead = self.size - self.in_work, self._pulled - self._taken
        # A smaller ``ahead`` does not leave slots idle.
        return more if ahead < self._ahead else min(more, self.size - ahead)

    def may_resume(self) -> bool:
        """Return whether a deferred image may be worked on again.

        It was pulled long ago, and others may wait for it in an ordered batch, with all the bytes that are allowed: so
        one may always resume when nothing else is in work.
        """
        return not self.in_work or (self.in_work < self.size and self.bytes_held < self._max_bytes)

    def add_pulled(self, size: int) -> int:
        """Count an image that was pulled, into work, and return how many were pulled before.

        Args:
            size: Bytes that it keeps in memory; 0 for a file.
        """
        self.bytes_held += size
        self._pulled += 1
        self.start_work()
        return self._pulled - 1

    def start_work(self) -> None:
        """Count an image into work."""
        self.in_work += 1
        self.unread += 1

    def hold_bytes(self, size: int) -> None:
        """Count the bytes of an image that was read."""
        self.unread -= 1
        self.bytes_held += size

    def change_bytes(self, change: int) -> None:
        """Count that an image takes more or fewer bytes than before."""
        self.bytes_held += change

    def finish_work(self, size: int | None) -> None:
        """Count an image out of work.

        Args:
            size: The bytes that it takes by now; None if the image was not read.
        """
        self.in_work -= 1
        if size is None:
            self.unread -= 1
        else:
            self.bytes_held -= size

    def mark_taken(self, size: int) -> None:
        """Count an image whose outcome was taken.

        Args:
            size: The argument of ``add_pulled``.
        """
        self._taken += 1
        self.bytes_held -= size
