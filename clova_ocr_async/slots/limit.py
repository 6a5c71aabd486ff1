"""The ceiling of one domain: how many calls at once it takes, as far as answers and refusals have shown.

Pure: told what happens, asked what may be done. ``slots`` opens with the theory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import msgspec

from clova_ocr_async.slots.rate import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.host.runtime import Runtime

__all__ = ["START", "ConcurrencyLimit", "LimitSignal", "Permit", "SlotResult"]

START = 4
"""Calls at once, before anything is known. Assumed: below the one ceiling a user has published (5, 2025-10)."""

_ROUNDS = 25  # most full rounds of answers between two looks whether the ceiling was raised: 1 refusal in 25 rounds
_FEWEST = 50  # answers between them, where the ceiling is low


class Permit(NamedTuple):
    """What was so when a call left.

    Attributes:
        at_once: Calls under way, this one included.
        epoch: Changes of the ceiling before.
    """

    at_once: int
    epoch: int


class LimitSignal(NamedTuple):
    """What a refusal said.

    Attributes:
        named: The number of calls at once that it names; None if it names none.
        by_rate: Whether it says that the rate is limited, and not the calls at once.
        retry_after: Seconds it asks to wait; None if it does not.
    """

    named: int | None = None
    by_rate: bool = False
    retry_after: float | None = None


SlotResult = LimitSignal | Literal["admitted"]
"""What became of a call at the gate, if that is known."""


class ConcurrencyLimit(msgspec.Struct, omit_defaults=True):
    """What is known of the ceiling of one domain.

    Attributes:
        limit: Calls at once that are allowed, as far as known.
        named: The number the service has named last, unless more were let in since.
        disproved: A number the service has named, when more were let in.
        epoch: Changes of the limit; while it grows, all of them are one.
        answers: Answers to calls that left when all the limit was in use, since it was changed.
        refused: Times in a row that a step up, or what was thought to be the limit, was refused.
        growing: Whether each answer raises the limit: nobody was refused yet, or the ceiling turned out to be raised.
        stepped: Whether the limit was raised last, and nobody was refused since.
        doubt: Answers to come until a refusal is blamed on the rate again, after one was.
        rejections: Calls refused, ever.
        under_way: Calls under way when the last one left, less those refused since.
        pace: How fast calls may leave.
    """

    limit: Annotated[int, msgspec.Meta(ge=1)] = START
    named: int | None = None
    disproved: int | None = None
    epoch: int = 0
    answers: int = 0
    refused: int = 0
    growing: bool = True
    stepped: bool = False
    doubt: int = 0
    rejections: int = 0
    under_way: int = 0
    pace: Pacer = msgspec.field(default_factory=Pacer)

    @classmethod
    def known(cls, limit: int) -> ConcurrencyLimit:
        """Return a ceiling that somebody knows: it is not looked for beyond."""
        return cls(limit=limit, named=limit, refused=1, growing=False)

    def enter(
        self, in_flight: int, now: float, most_per_second: float | None = None, most: int | None = None
    ) -> Permit:
        """Note a call that leaves.

        Args:
            in_flight: Calls under way without it.
            now: The time.
            most_per_second: Calls a second that are allowed in any case; None for no bound.
            most: Calls at once that are allowed in any case; None for no bound.
        """
        if not in_flight and self.pace.is_forgotten(now):
            self._start_afresh(START if most is None else min(START, most))
        self.pace.leave(now, most_per_second)
        self.under_way = in_flight + 1
        self.limit = max(self.limit, self.under_way)  # whoever knows of a higher one lets more leave
        return Permit(in_flight + 1, self.epoch)

    def _start_afresh(self, limit: int) -> None:
        """Believe no longer in a low limit that was not the service's own: others have used the domain, long ago."""
        if self.limit < limit and self.limit != self.named:
            self.refused, self.growing, self.doubt = 0, True, 0
            self._change(min(limit, self.named or limit), stepped=False)

    def settle(self, entry: Permit, outcome: SlotResult, runtime: Runtime, most: int | None = None) -> None:
        """Note what became of a call; see ``admit`` and ``refuse``."""
        if isinstance(outcome, LimitSignal):
            self.refuse(entry, outcome, runtime.clock(), runtime.uniform)
        else:
            self.admit(entry, most)

    def admit(self, entry: Permit, most: int | None = None) -> None:
        """Note an answer to a call that was let in.

        Args:
            entry: How it left.
            most: Calls at once that are allowed in any case; None for no bound.
        """
        self.pace.admit()
        if entry.epoch == self.epoch:
            self.doubt = max(0, self.doubt - 1)
        if most is not None and self.limit >= most:
            return
        if self.growing:
            self._grow()
        elif entry.epoch == self.epoch and entry.at_once >= self.limit:
            self.answers += 1
            if self.answers >= self._answers_before_step():
                self._step_up()

    def _grow(self) -> None:
        if self.limit == self.named:
            self.growing = False
        elif self.under_way >= self.limit:
            self.limit += 1

    def _answers_before_step(self) -> int:
        rarely = max(_FEWEST, _ROUNDS * self.limit)
        if self.limit == self.named:
            return rarely
        return self.limit if self.stepped else min(rarely, self.limit << min(self.refused, _ROUNDS))

    def _step_up(self) -> None:
        if self.stepped:
            self.refused = 0
            self.growing = self.limit != self.named
        if self.named is not None and self.limit > self.named:
            self.named, self.disproved = None, self.named
        self._change(self.limit + 1, stepped=True)

    def refuse(self, entry: Permit, refusal: LimitSignal, now: float, uniform: Callable[[float, float], float]) -> None:
        """Note a refusal. Several of calls that left under the same limit are one signal.

        Args:
            entry: How the refused call left.
            refusal: What was said.
            now: The time.
            uniform: Draws a float between two bounds.
        """
        self.rejections += 1
        news = entry.epoch == self.epoch
        by_rate = refusal.by_rate or self.under_way <= 1 or (news and self._speaks_of_rate(refusal))
        self.under_way -= 1
        self.pace.withdraw()
        self._believe(refusal.named)
        filled = self.under_way < 1 and not refusal.by_rate and self.pace.rate is None
        limit = (1 if filled else self.limit) if by_rate else self._lowered()
        if filled and self.named is not None:
            # By others, or by calls of a process that was killed: there is no reason to come back slowly.
            self.refused, self.growing = 0, True
        if news and by_rate:
            self.pace.refuse(now, refusal.retry_after, uniform)
            self.doubt = self.limit
        elif news:
            self.refused, self.growing, self.doubt = self.refused + 1, False, 0
        if refusal.retry_after is not None and not by_rate:
            self.pace.rest(now, refusal.retry_after)
        if news or limit < self.limit:
            self._change(limit, stepped=False)

    def _speaks_of_rate(self, refusal: LimitSignal) -> bool:
        """Whether a refusal that does not say so is put down to the rate: so many calls were let in before."""
        if refusal.named is not None or self.doubt:
            return False
        tried = self.stepped or self.growing or self.pace.rate is not None
        return self.under_way < self.limit or not tried

    def _believe(self, named: int | None) -> None:
        if named is not None and named != self.disproved:
            self.named = named

    def _lowered(self) -> int:
        # Of calls that leave together any may be refused, so what counts is how many are left, not which one it was.
        return max(1, min(self.limit, self.under_way, self.named or self.limit))

    def _change(self, limit: int, *, stepped: bool) -> None:
        self.limit, self.stepped = limit, stepped
        self.answers = 0
        self.epoch += 1
