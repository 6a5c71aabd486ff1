"""How fast the calls of a domain may leave, as learned from refusals: for a limit that is a rate after all.

What left lately and was not refused, over the time that took, is about the rate that is allowed, bursts and pauses
included. So calls leave a little slower than that, and then a little faster every few dozen calls, sooner each time,
until the next refusal or until calls leave slower anyway. A refusal at a pace that calls did keep to says more: the
pace before it was let in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Pacer"]

_FIRST_PAUSE = 0.3  # seconds; doubled with each refusal that nothing was let in before
_LONGEST_PAUSE = 3.0  # seconds; whoever pauses for longer gets nothing beside somebody who does not
_LONGEST_OBEYED_PAUSE = 120.0  # seconds of a Retry-After
_SLOWEST = 0.5  # calls a second
_ENOUGH = 5  # calls let in since the last refusal, to tell a rate from them
_WINDOW = 40  # calls that left, of which the older half is forgotten then
_BACK = 0.9  # of what was allowed
_HALF = 0.5  # of the pace, when too few were let in to tell
_FASTER = 1.1
_STRIDE, _SHORT_STRIDE = 50, 10  # calls let in before the pace is raised; fewer where it was halved by guess
_IDLE = 2.0  # seconds without a call that leaves: they say nothing about what is allowed
_PATIENCE = 45.0  # seconds without a refusal after which the pace is doubled, however few calls have left
_FORGOTTEN = 60.0  # seconds without a call: what was learned of the pace says nothing any more
_OTHER_BOOT = 1.0  # seconds that a clock which only grows cannot have gone back


class Pacer(msgspec.Struct, omit_defaults=True):
    """The pace of one domain.

    Attributes:
        rate: Calls a second; None while none is known to be needed.
        due: When the next call may leave.
        resumes: When the pause after a refusal ends.
        pauses: Pauses in a row that nothing was let in between.
        since: Since when ``left`` counts.
        last: When the last call left.
        left: Calls that left since then and were not refused.
        bound: Calls that left as soon as they might, since the pace was last changed.
        steps: Calls let in since the pace was last changed.
        stride: Calls to let in before it is raised.
        changed: When the last refusal was, or the pace was doubled.
    """

    rate: float | None = None
    due: float = 0.0
    resumes: float = 0.0
    pauses: int = 0
    since: float = 0.0
    last: float = 0.0
    left: int = 0
    bound: int = 0
    steps: int = 0
    stride: int = _STRIDE
    changed: float = 0.0

    def wait(self, now: float) -> float:
        """Return seconds until a call may leave."""
        due = max(self.due, self.resumes)
        return 0.0 if due <= now or self.is_forgotten(now) else due - now

    def is_forgotten(self, now: float) -> bool:
        """Whether what is known is of a time long ago, or of another boot's clock."""
        return now < self.last - _OTHER_BOOT or now - max(self.last, self.resumes, self.due) > _FORGOTTEN

    def leave(self, now: float, most: float | None) -> None:
        """Note a call that leaves.

        Args:
            now: The time.
            most: Calls a second that are allowed in any case; None for no bound.
        """
        if now < self.last - _OTHER_BOOT or now - max(self.last, self.resumes, self.due) > _IDLE:
            self._come_back(now)
        if self.rate is not None and now - self.changed > _PATIENCE:
            self.rate = self._raised(2.0)
            self.changed, self.bound, self.steps = now, 0, 0
        self.last = now
        self.left += 1
        if self.left >= _WINDOW:
            self.since, self.left = (self.since + now) / 2, self.left // 2
        if self.rate is None and most is None:
            return
        rate = min(rate for rate in (self.rate, most) if rate is not None)
        self.bound += now - self.due < 0.5 / rate
        self.due = max(self.due, now - 0.5 / rate) + 1.0 / rate

    def _come_back(self, now: float) -> None:
        """Count from now on, as no call has left for a while; after a long one forget what is known."""
        if self.is_forgotten(now):
            self.rate, self.pauses, self.due, self.resumes = None, 0, 0.0, 0.0
        self.since, self.left = now, 0

    def admit(self) -> None:
        """Note an answer to a call that was let in."""
        self.pauses = 0
        if self.rate is None:
            return
        self.steps += 1
        if self.steps >= self.stride:
            self.rate = self._raised(_FASTER)
            self.bound = self.steps = 0
            self.stride = max(_SHORT_STRIDE, self.stride // 2)

    def _raised(self, factor: float) -> float | None:
        """Return a faster pace; None if calls leave slower than they might anyway."""
        return None if self.rate is None or self.bound * 2 < self.steps else self.rate * factor

    def withdraw(self) -> None:
        """Note that a call that left was refused."""
        self.left = max(0, self.left - 1)

    def refuse(self, now: float, retry_after: float | None, uniform: Callable[[float, float], float]) -> None:
        """Pause, and slow down if calls were let in until now.

        Args:
            now: The time.
            retry_after: Seconds the answer asked to wait, if it did.
            uniform: Draws a float between two bounds.
        """
        self._slow_down(now)
        self.changed = now
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self.pauses, 60))
        self.rest(now, uniform(longest / 2, longest))
        if retry_after is not None:
            self.rest(now, retry_after)
        self.pauses += 1

    def rest(self, now: float, seconds: float) -> None:
        """Let no call leave for some seconds, unless that is too long to be meant."""
        if seconds <= _LONGEST_OBEYED_PAUSE:
            self.resumes = max(self.resumes, now + seconds)

    def _slow_down(self, now: float) -> None:
        if self.left >= _ENOUGH:
            self.rate, self.stride = max(_SLOWEST, _BACK * self._allowed(now)), _STRIDE
        elif self.rate is not None and self.steps:
            self.rate, self.stride = max(_SLOWEST, _HALF * self.rate), _SHORT_STRIDE
        else:
            return  # nothing was let in that would tell
        self.since, self.left, self.bound, self.steps = now, 0, 0, 0

    def _allowed(self, now: float) -> float:
        if self.rate is not None and self.bound * 2 >= self.steps:
            return self.rate / _FASTER
        return self.left / max(now - self.since, 0.001)
