"""The concurrency limit of one domain, as learned from answers and refusals, and the results that it learns from.

Pure: it is notified of what happens, and asked what may be done. The theory stands at the top of ``interface``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from clova_ocr_async.errors import MalformedResponseError, RateLimitError, RecognitionError
from clova_ocr_async.slots.rate import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.errors import ClovaOCRError

__all__ = ["INITIAL_LIMIT", "ConcurrencyLimit", "HeldSlot", "LimitSignal", "Permit", "SlotResult", "result_of"]

INITIAL_LIMIT = 4
"""Calls at once before anything is learned. Assumed: below the one limit that a user has published (5, 2025-10)."""

_MAX_ROUNDS = 25  # most full rounds of answers between two probes: at most 1 refusal in 25 rounds
_MIN_ANSWERS = 50  # answers between two probes where the limit is low, so that a limit of 1 is not probed all the time


class Permit(NamedTuple):
    """The state of the limit when a call was sent.

    Attributes:
        in_flight: Calls in flight, this one included.
        epoch: Changes of the limit before.
    """

    in_flight: int
    epoch: int


class LimitSignal(NamedTuple):
    """The content of a refusal.

    Attributes:
        advertised: The number of calls at once that it names; None if it names none.
        by_rate: Whether it says that the rate is limited, and not the calls at once.
        retry_after: Seconds that it asks to wait; None if it does not ask.
    """

    advertised: int | None = None
    by_rate: bool = False
    retry_after: float | None = None


SlotResult = LimitSignal | Literal["admitted"]
"""The result of a call as far as it concerns the limit."""


def result_of(error: ClovaOCRError) -> SlotResult | None:
    """Return the result of a call that ended in an error; None if the error says nothing about the limit."""
    if isinstance(error, RateLimitError):
        return LimitSignal(error.ceiling, by_rate=error.kind == "per_second", retry_after=error.retry_after)
    # Status 200 shows that the call was let in. Other errors may come from a proxy or the gateway, and then the service
    # has not counted the call.
    return "admitted" if isinstance(error, RecognitionError | MalformedResponseError) else None


class HeldSlot:
    """Base of a slot that keeps its call's result until it is released.

    Attributes:
        domain: The domain that the call goes to; set once the slot is held.
        result: The result; None while it is unknown.
    """

    __slots__ = ("domain", "result")

    domain: Domain

    def __init__(self) -> None:
        self.result: SlotResult | None = None

    def admitted(self) -> None:
        """Record that the service let the call in."""
        self.result = "admitted"

    def refused(self, refusal: LimitSignal) -> None:
        """Record that the service refused the call."""
        self.result = refusal


# Files of earlier versions use these keys. Processes of both versions may share one file.
_STORED_AS = {
    "value": "limit",
    "advertised": "named",
    "full_answers": "answers",
    "consecutive_refusals": "refused",
    "slow_start": "growing",
    "probing": "stepped",
    "rate_cleared_for": "doubt",
    "last_in_flight": "under_way",
    "pacer": "pace",
}


class ConcurrencyLimit(msgspec.Struct, omit_defaults=True, rename=_STORED_AS):
    """The learned limit of one domain.

    Attributes:
        value: Calls at once that are allowed, as far as known.
        advertised: The number that the service named last, unless more calls were let in since.
        disproved: A number that the service named although more calls were let in.
        epoch: Changes of the limit. All changes of one slow start count as one, so that its answers stay valid.
        full_answers: Answers to calls that were sent when all of the limit was in use, since the limit changed.
        consecutive_refusals: Refusals in a row at the assumed limit or just above it.
        slow_start: Whether each answer raises the limit: no call was refused yet, or a probe was let in.
        probing: Whether the last change raised the limit by one, and no call was refused since.
        rate_cleared_for: Answers until a refusal may be put down to the rate again, after one was; until then a refusal
            lowers the limit.
        rejections: Calls refused, ever.
        last_in_flight: Calls in flight when the last one was sent, less those refused since.
        pacer: The learned rate.
    """

    value: Annotated[int, msgspec.Meta(ge=1)] = INITIAL_LIMIT
    advertised: int | None = None
    disproved: int | None = None
    epoch: int = 0
    full_answers: int = 0
    consecutive_refusals: int = 0
    slow_start: bool = True
    probing: bool = False
    rate_cleared_for: int = 0
    rejections: int = 0
    last_in_flight: int = 0
    pacer: Pacer = msgspec.field(default_factory=Pacer)

    @classmethod
    def known(cls, value: int) -> ConcurrencyLimit:
        """Return a limit that the user knows; it is not searched for any further."""
        return cls(value=value, advertised=value, consecutive_refusals=1, slow_start=False)

    def on_sent(
        self, in_flight: int, now: float, max_per_second: float | None = None, max_concurrency: int | None = None
    ) -> Permit:
        """Record that a call is sent.

        Args:
            in_flight: Calls in flight without it.
            now: The time.
            max_per_second: The user's bound on calls a second; None for no bound.
            max_concurrency: The user's bound on calls at once; None for no bound.
        """
        # While calls are in flight, their answers are still to come: what was learned is not from long ago.
        if not in_flight and self.pacer.is_stale(now):
            self._forget_low(INITIAL_LIMIT if max_concurrency is None else min(INITIAL_LIMIT, max_concurrency))
        self.pacer.on_sent(now, max_per_second)
        self.last_in_flight = in_flight + 1
        # A process whose user knows a higher limit may send more than was learned.
        self.value = max(self.value, self.last_in_flight)
        return Permit(in_flight + 1, self.epoch)

    def _forget_low(self, initial: int) -> None:
        """Drop a low limit that the service did not name: other programs used the domain, long ago."""
        if self.value < initial and self.value != self.advertised:
            self.consecutive_refusals, self.slow_start, self.rate_cleared_for = 0, True, 0
            self._change(min(initial, self.advertised or initial), probing=False)

    def on_result(
        self,
        permit: Permit,
        result: SlotResult,
        now: float,
        uniform: Callable[[float, float], float],
        max_concurrency: int | None = None,
    ) -> None:
        """Record the result of a call; see ``on_admitted`` and ``on_refused``."""
        if isinstance(result, LimitSignal):
            self.on_refused(permit, result, now, uniform)
        else:
            self.on_admitted(permit, max_concurrency)

    def on_admitted(self, permit: Permit, max_concurrency: int | None = None) -> None:
        """Record an answer to a call that the service let in.

        Args:
            permit: The permit that the call was sent with.
            max_concurrency: The user's bound on calls at once; None for no bound.
        """
        self.pacer.on_admitted()
        if permit.epoch == self.epoch:
            self.rate_cleared_for = max(0, self.rate_cleared_for - 1)
        # The user's bound lets no more calls leave, so nothing would confirm or refute a higher limit.
        if max_concurrency is not None and self.value >= max_concurrency:
            return
        if self.slow_start:
            # The advertised number ends a slow start: beyond it there are only rare probes.
            if self.value == self.advertised:
                self.slow_start = False
            # Answers while slots are idle do not show that the domain takes more.
            elif self.last_in_flight >= self.value:
                self.value += 1
        elif permit.epoch == self.epoch and permit.in_flight >= self.value:
            self.full_answers += 1
            if self.full_answers >= self._answers_before_probe():
                self._probe()

    def _answers_before_probe(self) -> int:
        longest = max(_MIN_ANSWERS, _MAX_ROUNDS * self.value)
        if self.value == self.advertised:
            return longest
        # The exponent is capped, as the number of refusals in a row is not.
        return self.value if self.probing else min(longest, self.value << min(self.consecutive_refusals, _MAX_ROUNDS))

    def _probe(self) -> None:
        if self.probing:  # a whole round was let in above the old limit
            self.consecutive_refusals = 0
            self.slow_start = self.value != self.advertised
        # The number that was named is wrong, or about another time: it must not lower the limit again.
        if self.advertised is not None and self.value > self.advertised:
            self.advertised, self.disproved = None, self.advertised
        self._change(self.value + 1, probing=True)

    def on_refused(
        self, permit: Permit, signal: LimitSignal, now: float, uniform: Callable[[float, float], float]
    ) -> None:
        """Record a refusal. Several refusals of calls that were sent under the same limit are one signal.

        Args:
            permit: The permit that the refused call was sent with.
            signal: The content of the refusal.
            now: The time.
            uniform: Draws a float between two bounds.
        """
        self.rejections += 1
        is_new = permit.epoch == self.epoch
        by_rate = signal.by_rate or self.last_in_flight <= 1 or (is_new and self._may_be_rate(signal))
        self.last_in_flight -= 1
        self.pacer.on_refused()
        if signal.advertised is not None and signal.advertised != self.disproved:
            self.advertised = signal.advertised
        filled_by_others = self.last_in_flight < 1 and not signal.by_rate and self.pacer.rate is None
        value = (1 if filled_by_others else self.value) if by_rate else self._lowered()
        if filled_by_others and self.advertised is not None:
            # The domain's own limit is known, so there is no reason to come back to it slowly.
            self.consecutive_refusals, self.slow_start = 0, True
        if is_new and by_rate:
            self.pacer.back_off(now, signal.retry_after, uniform)
            self.rate_cleared_for = self.value
        elif is_new:
            self.consecutive_refusals, self.slow_start, self.rate_cleared_for = self.consecutive_refusals + 1, False, 0
        # A limit on calls at once needs no pause, but one that the service asks for is kept.
        if signal.retry_after is not None and not by_rate:
            self.pacer.pause(now, signal.retry_after)
        # Each refusal of one burst leaves fewer calls in flight, and only the last one shows how many the domain takes.
        if is_new or value < self.value:
            self._change(value, probing=False)

    def _may_be_rate(self, signal: LimitSignal) -> bool:
        """Return whether a refusal without a reason is taken for one of the rate: as many calls were let in before."""
        if signal.advertised is not None or self.rate_cleared_for:
            return False
        # A limit that was just raised explains a refusal by itself. Where calls keep to a limited rate, their number is
        # the likelier cause.
        searching = self.probing or self.slow_start or self.pacer.rate is not None
        return self.last_in_flight < self.value or not searching

    def _lowered(self) -> int:
        # Of calls that are sent together any may be refused, so the number of those left counts, not which one it was.
        return max(1, min(self.value, self.last_in_flight, self.advertised or self.value))

    def _change(self, value: int, *, probing: bool) -> None:
        self.value, self.probing = value, probing
        self.full_answers = 0
        self.epoch += 1

    def changes_since(self, before: int, result: SlotResult) -> list[str]:
        """Return how a call's result changed the limit and the rate, as the log has it.

        Args:
            before: The limit before.
            result: The result.
        """
        changes: list[str] = []
        if self.value != before:
            why = "more calls are let in" if self.value > before else "a call was refused"
            changes.append(f"{self.value} calls at once, not {before}: {why}")
        # The rate is logged at refusals only: it rises often, and each time by a tenth.
        if isinstance(result, LimitSignal) and self.pacer.rate is not None:
            changes.append(f"{self.pacer.rate:.2f} calls a second at most, until more are let in")
        return changes
