"""How many images a batch may have in work: a window that follows the slots, bounded in bytes. Pure.

An image takes seconds at the service, and milliseconds to be read. So a batch needs as many images in work as there are
slots, and a few more that are read and wait, so that no slot stands empty between two calls. Any more only take memory.
"""

from __future__ import annotations

__all__ = ["MOST_BYTES", "READING", "Window"]

READING = 8
"""Images that are pulled and not yet read, so that their size is not known: a few, so that those who read find some."""

MOST_BYTES = 256 * 1024 * 1024
"""Bytes that the images of a batch may take before no further one is pulled. Large enough for 64 slots and photographs
of 4 MB, the largest that phones make by default."""

_SPARE = (
    4  # images that wait for a slot at least: a slot that becomes free is filled at once, also while files are read
)
_SPARE_SHARE = 2  # one for so many slots: of many calls several may end at the same moment


class Window:
    """Counts the images of a batch, and decides how many more may be pulled.

    Args:
        ahead: Most images pulled and not handed out, unless the slots want more.
        most: Most images in work, whatever the slots; None for no such bound.
        most_bytes: Bytes that images may take before no further one is pulled.

    Attributes:
        size: How many images may be in work.
        in_work: Images that are read, wait for a slot or are at the service.
        unread: Those of them whose bytes have not been read yet.
        held: Bytes that images take, from when they were read until they are out of work, and those that came as bytes
            until they are handed out.
    """

    def __init__(self, ahead: int, most: int | None = None, *, most_bytes: int = MOST_BYTES) -> None:
        self.size = 0
        self.in_work = 0
        self.unread = 0
        self.held = 0
        self._ahead = ahead
        self._most = most
        self._most_bytes = most_bytes
        self._pulled = 0
        self._handed_out = 0

    def follow(self, slots: int) -> bool:
        """Let as many images into work as so many calls at once need; return whether that is another number now."""
        size = slots + max(_SPARE, slots // _SPARE_SHARE)
        if self._most is not None:
            size = min(size, self._most)
        changed = size != self.size
        self.size = size
        return changed

    @property
    def takes_more(self) -> bool:
        """Whether further images may be pulled, as far as that does not depend on the slots."""
        return self._pulled - self._handed_out < self._ahead and self.unread < READING and self.held < self._most_bytes

    def room(self) -> int:
        """Return how many images may be pulled, if they are small; below 1 for none."""
        if self.unread >= READING or self.held >= self._most_bytes:
            return 0
        more, ahead = self.size - self.in_work, self._pulled - self._handed_out
        # Never fewer than may be in work, whatever was asked for.
        return more if ahead < self._ahead else min(more, self.size - ahead)

    def may_return(self) -> bool:
        """Return whether an image that was put off may be worked on again.

        It was pulled long ago, and others may wait for it to be handed out, with all the bytes that are allowed.
        """
        return not self.in_work or (self.in_work < self.size and self.held < self._most_bytes)

    def pull(self, size: int) -> int:
        """Count an image that was pulled, into work, and return how many were before.

        Args:
            size: Bytes that it is made of; 0 for a name of a file.
        """
        self.held += size
        self._pulled += 1
        self.begin()
        return self._pulled - 1

    def begin(self) -> None:
        """Count an image into work."""
        self.in_work += 1
        self.unread += 1

    def hold(self, size: int) -> None:
        """Count the bytes of an image that was read."""
        self.unread -= 1
        self.held += size

    def end(self, size: int | None) -> None:
        """Count an image out of work.

        Args:
            size: What ``hold`` was given; None if it was not read.
        """
        self.in_work -= 1
        if size is None:
            self.unread -= 1
        else:
            self.held -= size

    def hand_out(self, size: int) -> None:
        """Count an image that nothing is to be done for any more.

        Args:
            size: What ``pull`` was given.
        """
        self._handed_out += 1
        self.held -= size
