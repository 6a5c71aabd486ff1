"""How much room a process sets aside for the answers of its calls under way. Pure."""

from __future__ import annotations

__all__ = ["Reservation"]

_FLOOR = 512 * 1024  # bytes a call, however small its answers were; real ones have some 100 KiB at the most
_UNSEEN = 4 * 1024 * 1024  # bytes a call while no answer has been seen, where the disk has plenty
_WITHOUT_ANSWER = 4 * 1024  # bytes a call of a run that keeps no answers: how it ended
_PLENTY = 4  # while no answer has been seen, at most this part of the disk's room is set aside


class Reservation:
    """The calls under way, and the largest answer that was seen in the run.

    Nobody knows an answer's size before it comes. So half as much again is set aside as the largest one has shown.

    Args:
        keeps_answers: Whether the run keeps answers.

    Attributes:
        largest: Bytes of the largest answer; 0 if none was seen.
    """

    def __init__(self, *, keeps_answers: bool = True) -> None:
        self.largest = 0
        self._keeps_answers = keeps_answers
        self._under_way: set[int] = set()

    def begin(self, number: int) -> None:
        """Note that a request for an item is about to leave."""
        self._under_way.add(number)

    def end(self, number: int) -> None:
        """Note that what became of it is kept."""
        self._under_way.discard(number)

    def besides(self, number: int) -> int:
        """Return how many calls for other items are under way."""
        return len(self._under_way) - (number in self._under_way)

    def see(self, size: int) -> bool:
        """Note the bytes of an answer; return whether it is the largest one so far."""
        larger = size > self.largest
        self.largest = max(self.largest, size)
        return larger

    def least(self, calls: int | None = None) -> int:
        """Return the bytes without which no call is sent.

        Args:
            calls: Calls under way; those that are if not given.
        """
        count = len(self._under_way) if calls is None else calls
        if not self._keeps_answers:
            return count * _WITHOUT_ANSWER
        return count * max(_FLOOR, self.largest + self.largest // 2)

    def wanted(self, calls: int, available: int) -> int:
        """Return the bytes to set aside if they can be had.

        Args:
            calls: Calls under way.
            available: Bytes that the disk has.
        """
        if self.largest or not self._keeps_answers:
            return self.least(calls)
        return max(self.least(calls), min(calls * _UNSEEN, available // _PLENTY))
