"""The room that a process reserves in its overflow file for the answers of its calls in flight. Pure."""

from __future__ import annotations

__all__ = ["Reservation"]

_FLOOR = 512 * 1024  # bytes a call, however small the answers were; real ones have some 100 KiB at the most
_UNSEEN = 4 * 1024 * 1024  # bytes a call before the first answer, where the disk has plenty
_WITHOUT_ANSWER = 4 * 1024  # bytes a call of a run that stores no answers: its settlement
_PLENTY = 4  # before the first answer, at most this part of the disk's free space is reserved


class Reservation:
    """The calls in flight, and the largest answer of the run.

    The size of an answer is not known before it arrives. So each call gets one and a half times the largest one.

    Args:
        keeps_answers: Whether the run stores answers.

    Attributes:
        largest: Bytes of the largest answer; 0 before the first one.
    """

    def __init__(self, *, keeps_answers: bool = True) -> None:
        self.largest = 0
        self._keeps_answers = keeps_answers
        self._in_flight: set[int] = set()

    def begin(self, number: int) -> None:
        """Add the call for an item."""
        self._in_flight.add(number)

    def end(self, number: int) -> None:
        """Remove the call for an item, whose result is stored."""
        self._in_flight.discard(number)

    def others(self, number: int) -> int:
        """Return how many calls for other items are in flight."""
        return len(self._in_flight) - (number in self._in_flight)

    def note_size(self, size: int) -> bool:
        """Note the bytes of an answer; return whether it is the largest one so far."""
        larger = size > self.largest
        self.largest = max(self.largest, size)
        return larger

    def minimum(self, calls: int | None = None) -> int:
        """Return the bytes without which no call is sent.

        Args:
            calls: Calls in flight; those of this object if not given.
        """
        count = len(self._in_flight) if calls is None else calls
        if not self._keeps_answers:
            return count * _WITHOUT_ANSWER
        return count * max(_FLOOR, self.largest + self.largest // 2)

    def preferred(self, calls: int, available: int) -> int:
        """Return the bytes to reserve if the disk has them.

        Args:
            calls: Calls in flight.
            available: Free bytes of the disk.
        """
        if self.largest or not self._keeps_answers:
            return self.minimum(calls)
        return max(self.minimum(calls), min(calls * _UNSEEN, available // _PLENTY))
