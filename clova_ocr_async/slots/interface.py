"""The gate: how many calls of a domain may be under way at once.

The service limits the calls that are *under way at the same time*, per domain, and answers 0025 beyond (source:
guide.ncloud-docs.com, CLOVA OCR error messages, 2026-09). Throughput is calls at once over seconds a call, so a slot
that stands empty is lost time, and a call too many is refused. How many the domain takes is not documented, it differs,
and it is shared with whoever else uses the domain. So the gate learns it, from three things it can see:

1. **A refusal.** One of six calls under way was refused: the domain takes five, or fewer. Of calls that leave together
   any may be refused, so what counts is how many are left. The message may name the number; it is believed until more
   calls than it names were let in. Several refusals of calls that left under the same limit are one signal. The refused
   call keeps its place, and goes with the next free slot.
2. **Answers** to calls that left when all of the limit was in use; as many as the limit are a *round*. Until the first
   refusal each such answer raises the limit by one, so it doubles each round. Then it is raised by one after 2, 4, 8, …
   rounds, at most 25 (at least 50 answers), and at the number the service names only then. That costs one refusal each
   time while the ceiling was not raised; if a round is let in, it grows with each answer again. Rounds, not seconds,
   since a call takes 0.2 s at an emulator and 20 s at the service.
3. **A refusal of the only call under way.** That was not for its neighbours: others fill the domain, calls of a process
   that was killed go on at the service, or the limit is one of calls a second after all, as the gateway's 429 says of
   itself. So is a refusal without a number where as many calls, or more, were let in before; if that does not help, the
   next one lowers the limit. Then all calls pause, for longer each time, and where calls were let in before, they leave
   at the *pace* that was let in, a little faster every 50 calls, then sooner.

What is a minute old without a call is of little worth: the pace is forgotten then, and so is a limit below the first
one, unless it is the number that the service named.

A call holds a slot from its first byte until its answer is written down, and not a moment longer: backing off, reading
files and waiting for a domain on hold take none. Interactive calls go before those of batches, and within a lane the
first come is the first served. ``ceiling`` and ``pace`` decide all this and do nothing; here it is done for the calls
of one process, in ``shared_slots`` for those of all processes of a host.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from clova_ocr_async.arguments import require_number, require_whole_number
from clova_ocr_async.errors import MalformedResponseError, RateLimitError, RecognitionError
from clova_ocr_async.slots.limit import ConcurrencyLimit, LimitSignal, SlotResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.errors import ClovaOCRError

__all__ = [
    "GateState",
    "HeldSlot",
    "Lane",
    "Slot",
    "Slots",
    "checked_limits",
    "log_limit_change",
    "min_or_none",
    "report_to_slot",
]

logger = logging.getLogger("clova_ocr_async")

Lane = Literal["interactive", "batch"]
"""Who asks: somebody waits for this one call, or it is one of many."""

NumberT = TypeVar("NumberT", int, float)


@dataclass(frozen=True, slots=True)
class GateState:
    """How a domain's gate stands.

    Attributes:
        ceiling: Calls at once that are let through now.
        in_flight: Calls under way, of this process.
        elsewhere: Calls under way, of other processes that share the gate, as last seen.
        waiting: Calls that wait for a slot, of this process.
        rejections: Calls of this process that the service has refused for their number or rate.
        pace: Calls a second that are let through; None while that is not limited.
    """

    ceiling: int
    in_flight: int = 0
    elsewhere: int = 0
    waiting: int = 0
    rejections: int = 0
    pace: float | None = None

    @property
    def free(self) -> int:
        """Slots that nobody holds or waits for; negative when calls queue."""
        return self.ceiling - self.in_flight - self.elsewhere - self.waiting


class Slot(Protocol):
    """The right to have one call under way. What became of the call is told while it is held."""

    @property
    def domain(self) -> Domain:
        """The domain the call goes to."""
        ...

    def admitted(self) -> None:
        """Note that the service let the call in: it answered, and was not busy."""
        ...

    def refused(self, refusal: LimitSignal) -> None:
        """Note that the service refused the call for the number of calls or for their rate."""
        ...


class Slots(Protocol):
    """Hands out slots. One that knows more hosts than this one, say by Redis or PostgreSQL, has these methods."""

    def slot(self, domains: Sequence[Domain], lane: Lane, since: float) -> AbstractAsyncContextManager[Slot]:
        """Wait for a slot of one of several domains, and hold it for as long as the context is open.

        Args:
            domains: Where the call may go; at least one.
            lane: Who asks.
            since: When the call first asked, by the client's clock: whoever has waited longest goes first. A call that
                was refused comes with the same time again, and gets the next slot.
        """
        ...

    def state(self, domain: Domain) -> GateState:
        """Return how a domain's gate stands."""
        ...


class HeldSlot:
    """One slot, and what its call ended in, until it is given back."""

    __slots__ = ("domain", "outcome")

    domain: Domain

    def __init__(self) -> None:
        self.outcome: SlotResult | None = None

    def admitted(self) -> None:
        """Note that the service let the call in."""
        self.outcome = "admitted"

    def refused(self, refusal: LimitSignal) -> None:
        """Note that the service refused the call."""
        self.outcome = refusal


def report_to_slot(slot: Slot, error: ClovaOCRError) -> None:
    """Tell the gate what an error says of it."""
    if isinstance(error, RateLimitError):
        by_rate = error.kind == "per_second"
        slot.refused(LimitSignal(error.ceiling, by_rate=by_rate, retry_after=error.retry_after))
    elif isinstance(error, RecognitionError | MalformedResponseError):
        slot.admitted()


def min_or_none(one: NumberT | None, other: NumberT | None) -> NumberT | None:
    """Return the lower one of two bounds, either of which may not be there."""
    return min((bound for bound in (one, other) if bound is not None), default=None)


def checked_limits(concurrency: object, max_per_second: object) -> tuple[int | None, float | None]:
    """Return what a user knows of the limits, if it can be so.

    Raises:
        ConfigurationError: ``concurrency`` is no whole number from 1, or ``max_per_second`` no positive number.
    """
    return (
        None if concurrency is None else require_whole_number("concurrency", concurrency),
        None if max_per_second is None else require_number("max_per_second", max_per_second),
    )


def log_limit_change(domain: Domain, before: int, ceiling: ConcurrencyLimit, outcome: SlotResult) -> None:
    """Tell in the log what an answer has changed."""
    if ceiling.limit != before:
        why = "more calls are let in" if ceiling.limit > before else "a call was refused"
        logger.info("domain %s: %d calls at once, not %d: %s", domain.url, ceiling.limit, before, why)
    if isinstance(outcome, LimitSignal) and ceiling.pace.rate is not None:
        logger.info("domain %s: %.2f calls a second at most, until more are let in", domain.url, ceiling.pace.rate)
