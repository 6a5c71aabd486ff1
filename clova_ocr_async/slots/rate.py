"""The rate at which calls to a domain are sent, as learned from refusals; for a limit that is a rate after all.

The calls that were sent lately and not refused, over the time that took, are about the allowed rate, with bursts and
pauses included. So calls are sent a little slower than that. After every few dozen answers the rate rises a little, and
sooner each time, until the next refusal or until calls are sent slower anyway. A refusal at a rate that calls did keep
to is more exact: the rate before the last rise was allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HIGHEST_RATE", "Pacer"]

HIGHEST_RATE = 10_000.0
"""Calls a second that no domain allows: a rate above it limits nothing, and shows that the clock stood still."""

_FIRST_PAUSE = 0.3  # seconds; doubled with each refusal while no call is let in
_LONGEST_PAUSE = 3.0  # seconds; a program that pauses for longer gets nothing beside one that does not
_LONGEST_OBEYED_PAUSE = 120.0  # seconds of a Retry-After
_LOWEST_RATE = 0.5  # calls a second
_ENOUGH = 5  # calls let in since the last refusal that are enough to estimate a rate
_WINDOW = 40  # sent calls after which the older half is forgotten
_SAFETY = 0.9  # share of the allowed rate that is used
_HALF = 0.5  # factor where too few calls were let in to estimate
_RISE = 1.1
_RAISE_AFTER, _RAISE_SOON_AFTER = 50, 10  # calls let in before the rate rises; few where it was halved by guess
_IDLE = 2.0  # seconds without a sent call: such a gap does not show the allowed rate
_DOUBLE_AFTER = 45.0  # seconds without a refusal after which the rate doubles, however few calls were sent
_STALE_AFTER = 60.0  # seconds without a call after which the learned rate is worth nothing
_CLOCK_STEP = 1.0  # seconds; a clock that only grows went further back than this only if the machine was started again

_STORED_AS = {  # the keys in files of earlier versions
    "next_send": "due",
    "paused_until": "resumes",
    "consecutive_pauses": "pauses",
    "counted_since": "since",
    "last_sent": "last",
    "sent": "left",
    "limited_sends": "bound",
    "admitted": "steps",
    "raise_after": "stride",
}


class Pacer(msgspec.Struct, omit_defaults=True, rename=_STORED_AS):
    """The learned rate of one domain.

    Attributes:
        rate: Calls a second; None while no limit of the rate is known.
        next_send: When the rate allows the next call.
        paused_until: When the pause after a refusal ends.
        consecutive_pauses: Pauses in a row without an answer between them.
        counted_since: The time since which ``sent`` counts.
        last_sent: When the last call was sent.
        sent: Calls that were sent since then and not refused.
        limited_sends: Calls that were sent as soon as the rate allowed them, since the rate was last changed.
        admitted: Calls let in since the rate was last changed.
        raise_after: Calls to let in before the rate rises.
        changed: When the last refusal was, or the rate was doubled.
    """

    rate: float | None = None
    next_send: float = 0.0
    paused_until: float = 0.0
    consecutive_pauses: int = 0
    counted_since: float = 0.0
    last_sent: float = 0.0
    sent: int = 0
    limited_sends: int = 0
    admitted: int = 0
    raise_after: int = _RAISE_AFTER
    changed: float = 0.0

    def wait(self, now: float) -> float:
        """Return the seconds until a call may be sent."""
        due = max(self.next_send, self.paused_until)
        return 0.0 if due <= now or self.is_stale(now) else due - now

    def is_stale(self, now: float) -> bool:
        """Return whether the knowledge is from long ago, or from another boot's clock."""
        return now < self.last_sent - _CLOCK_STEP or self._idle(now) > _STALE_AFTER

    def _idle(self, now: float) -> float:
        return now - max(self.last_sent, self.paused_until, self.next_send)

    def on_sent(self, now: float, max_per_second: float | None) -> None:
        """Record that a call is sent.

        Args:
            now: The time.
            max_per_second: The user's bound on calls a second; None for no bound.
        """
        if now < self.last_sent - _CLOCK_STEP or self._idle(now) > _IDLE:
            if self.is_stale(now):
                self.rate, self.consecutive_pauses, self.next_send, self.paused_until = None, 0, 0.0, 0.0
            self.counted_since, self.sent = now, 0
        # At the lowest rate, 50 answers take 100 s. Whatever limited the rate may be gone long before.
        if self.rate is not None and now - self.changed > _DOUBLE_AFTER:
            self.rate = self._raised(2.0)
            self.changed, self.limited_sends, self.admitted = now, 0, 0
        self.last_sent = now
        self.sent += 1
        if self.sent >= _WINDOW:
            self.counted_since, self.sent = (self.counted_since + now) / 2, self.sent // 2
        if self.rate is None and max_per_second is None:
            return
        rate = min(rate for rate in (self.rate, max_per_second) if rate is not None)
        self.limited_sends += now - self.next_send < 0.5 / rate
        # At most half an interval is made up for: a call that comes late must not let two leave together.
        self.next_send = max(self.next_send, now - 0.5 / rate) + 1.0 / rate

    def on_admitted(self) -> None:
        """Record an answer to a call that the service let in."""
        self.consecutive_pauses = 0
        if self.rate is None:
            return
        self.admitted += 1
        if self.admitted >= self.raise_after:
            self.rate = self._raised(_RISE)
            self.limited_sends = self.admitted = 0
            self.raise_after = max(_RAISE_SOON_AFTER, self.raise_after // 2)

    def _raised(self, factor: float) -> float | None:
        """Return a higher rate; None if calls are sent slower than the rate allows anyway, or if it limits nothing."""
        if self.rate is None or self.limited_sends * 2 < self.admitted:
            return None
        return self.rate * factor if self.rate * factor <= HIGHEST_RATE else None

    def on_refused(self) -> None:
        """Record that a call that was sent was refused, so that it does not count as let in."""
        self.sent = max(0, self.sent - 1)

    def back_off(self, now: float, retry_after: float | None, uniform: Callable[[float, float], float]) -> None:
        """Pause, and lower the rate if calls were let in until now.

        Args:
            now: The time.
            retry_after: Seconds that the answer asked to wait; None if it did not ask.
            uniform: Draws a float between two bounds.
        """
        self._lower(now)
        self.changed = now
        # The exponent is capped, as the number of pauses in a row is not.
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self.consecutive_pauses, 60))
        self.pause(now, uniform(longest / 2, longest))  # drawn, so that programs do not come back together
        if retry_after is not None:
            self.pause(now, retry_after)
        self.consecutive_pauses += 1

    def pause(self, now: float, seconds: float) -> None:
        """Send no call for some seconds, unless that is too long to be meant."""
        if seconds <= _LONGEST_OBEYED_PAUSE:
            self.paused_until = max(self.paused_until, now + seconds)

    def _lower(self, now: float) -> None:
        if self.sent >= _ENOUGH:
            self.rate, self.raise_after = max(_LOWEST_RATE, _SAFETY * self._allowed(now)), _RAISE_AFTER
        elif self.rate is not None and self.admitted:
            self.rate, self.raise_after = max(_LOWEST_RATE, _HALF * self.rate), _RAISE_SOON_AFTER
        else:
            return  # no call was let in that a rate could be estimated from; the pauses alone slow down
        self.counted_since, self.sent, self.limited_sends, self.admitted = now, 0, 0, 0

    def _allowed(self, now: float) -> float:
        if self.rate is not None and self.limited_sends * 2 >= self.admitted:
            return self.rate / _RISE
        return min(HIGHEST_RATE, self.sent / max(now - self.counted_since, 0.001))
