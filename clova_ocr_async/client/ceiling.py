"""The ceiling of one domain: how many calls at once it takes, as far as answers and refusals have shown.

Pure: told what happens, asked what may be done. ``slots`` opens with the theory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from clova_ocr_async.client.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.client.runtime import Runtime

__all__ = ["START", "Ceiling", "Entry", "Outcome", "Refusal"]

START = 4
"""Calls at once, before anything is known. Assumed: below the one ceiling a user has published (5, 2025-10)."""

_ROUNDS = 25  # full rounds of answers between two looks whether a known ceiling was raised: 1 refusal in 25 rounds
_FEWEST = 50  # answers between them


class Entry(NamedTuple):
    """What was so when a call left.

    Attributes:
        at_once: Calls under way, this one included.
        epoch: Changes of the ceiling before.
    """

    at_once: int
    epoch: int


class Refusal(NamedTuple):
    """What a refusal said.

    Attributes:
        named: The number of calls at once that it names; None if it names none.
        by_rate: Whether it says that the rate is limited, and not the calls at once.
        retry_after: Seconds it asks to wait; None if it does not.
    """

    named: int | None = None
    by_rate: bool = False
    retry_after: float | None = None


Outcome = Refusal | Literal["admitted"]
"""What became of a call at the gate, if that is known."""


class Ceiling(msgspec.Struct, omit_defaults=True):
    """What is known of the ceiling of one domain.

    Attributes:
        limit: Calls at once that are allowed, as far as known.
        named: The number the service has named last, unless more were let in since.
        disproved: A number the service has named, when more were let in.
        epoch: Changes of the limit.
        answers: Answers to calls that left when all the limit was in use, since it was changed.
        refused: Times in a row that a step up, or what was thought to be the limit, was refused.
        stepped: Whether the limit was raised last, and nobody was refused since.
        rejections: Calls refused, ever.
        under_way: Calls under way when the last one left, less those refused since.
        pace: How fast calls may leave.
    """

    limit: int = START
    named: int | None = None
    disproved: int | None = None
    epoch: int = 0
    answers: int = 0
    refused: int = 0
    stepped: bool = False
    rejections: int = 0
    under_way: int = 0
    doubt: int = 0
    pace: Pace = msgspec.field(default_factory=Pace)

    @classmethod
    def known(cls, limit: int) -> Ceiling:
        """Return a ceiling that somebody knows: it is not looked for beyond."""
        return cls(limit=limit, named=limit, refused=1)

    def enter(self, in_flight: int, now: float, most_per_second: float | None = None) -> Entry:
        """Note a call that leaves.

        Args:
            in_flight: Calls under way without it.
            now: The time.
            most_per_second: Calls a second that are allowed in any case; None for no bound.
        """
        self.pace.leave(now, most_per_second)
        self.under_way = in_flight + 1
        return Entry(in_flight + 1, self.epoch)

    def settle(self, entry: Entry, outcome: Outcome, runtime: Runtime, most: int | None = None) -> None:
        """Note what became of a call; see ``admit`` and ``refuse``."""
        if isinstance(outcome, Refusal):
            self.refuse(entry, outcome, runtime.clock(), runtime.uniform)
        else:
            self.admit(entry, most)

    def admit(self, entry: Entry, most: int | None = None) -> None:
        """Note an answer to a call that was let in.

        Args:
            entry: How it left.
            most: Calls at once that are allowed in any case; None for no bound.
        """
        self.pace.admit()
        if entry.epoch == self.epoch:
            self.doubt = max(0, self.doubt - 1)
        if most is not None and self.limit >= most:
            most = self.limit
        if self._is_growing():
            if self.under_way >= self.limit and self.limit != most:
                self._step_up(most)
        elif entry.epoch == self.epoch and entry.at_once >= self.limit:
            self.answers += 1
            if self.answers >= self._answers_before_step() and self.limit != most:
                self._step_up(most)

    def _is_growing(self) -> bool:
        return not self.refused and self.limit != self.named

    def _answers_before_step(self) -> int:
        rarely = max(_FEWEST, _ROUNDS * self.limit)
        if self.limit == self.named:
            return rarely
        return self.limit if self.stepped else min(rarely, self.limit << min(self.refused, 10))

    def _step_up(self, most: int | None) -> None:
        if self.stepped:
            self.refused = 0
        if self.named is not None and self.limit > self.named:
            self.named, self.disproved = None, self.named
        self._change(self.limit + 1, stepped=True)

    def refuse(self, entry: Entry, refusal: Refusal, now: float, uniform: Callable[[float, float], float]) -> None:
        """Note a refusal. Several of calls that left under the same limit are one signal.

        Args:
            entry: How the refused call left.
            refusal: What was said.
            now: The time.
            uniform: Draws a float between two bounds.
        """
        self.rejections += 1
        news = entry.epoch == self.epoch
        blames_rate = refusal.by_rate or self.under_way <= 1 or (news and self._is_surprise(refusal))
        self.under_way -= 1
        self.pace.withdraw()
        limit = self.limit
        if blames_rate:
            if self.under_way < 1 and not refusal.by_rate and self.pace.rate is None:
                limit = 1
            if news:
                self.pace.refuse(now, refusal.retry_after, uniform)
                self.doubt = self.limit
        else:
            limit = self._lowered(refusal.named)
            if news:
                self.refused += 1
                self.doubt = 0
            if refusal.retry_after is not None:
                self.pace.rest(now, refusal.retry_after)
        if news or limit < self.limit:
            self._change(limit, stepped=False)

    def _is_surprise(self, refusal: Refusal) -> bool:
        tried = self.under_way >= self.limit and (self.stepped or not self.refused)
        return refusal.named is None and not tried and not self.doubt

    def _lowered(self, named: int | None) -> int:
        limit = min(self.limit, self.under_way)
        if named is not None and named != self.disproved:
            self.named = named
            limit = min(limit, named)
        return max(1, limit)

    def _change(self, limit: int, *, stepped: bool) -> None:
        self.limit, self.stepped = limit, stepped
        self.answers = 0
        self.epoch += 1
