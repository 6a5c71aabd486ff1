"""Slots: how many calls to a domain may be in flight at once.

Glossary
    limit    Calls at once that a domain takes, as far as known: learned, or given by the user.
    slot     The right to have one call in flight. A call gets it before it is recorded as sent, and holds it until its
             answer is recorded.
    permit   The state of the limit when a call was sent; it decides what the call's result may teach.
    probe    One slot above the limit, tried now and then, to see whether the domain takes more.
    pause    A time in which no call is sent, after refusals that fewer calls at once do not explain.
    rate     Calls a second that are sent at most; unlimited until refusals show that the service limits it.
    lane     ``interactive`` (a caller waits for this one call) or ``batch``. Interactive calls go first.
    queue    The calls that wait for a slot, by lane and then by time of arrival.
    member   A process that holds or awaits slots of a domain that several processes share.
    lease    The time for which a member keeps its slots without a sync. A member that is stopped for longer loses them.
    share    The slots that a member held when the store of the shared slots was there last.
    gate     In class names only: the slots of one domain with all that was learned of it.

The theory
    The service limits the calls that are *in flight at the same time*, per domain, and answers 0025 beyond (Source:
    guide.ncloud-docs.com, CLOVA OCR error messages, 2026-09). Throughput is calls at once over seconds a call. So an
    empty slot is lost time, and one call too many is refused. The limit of a domain is not documented, it differs
    between domains, and every program that calls the domain shares it. So the limit is learned, from three signals:

    1. **A refusal.** One of six calls in flight was refused: the domain takes five, or fewer. When calls are sent
       together, any of them may be the refused one, so the number that remains is what counts. The message may name
       the limit; that number is believed until more calls than it names were let in. Several refusals of calls that
       were sent under the same limit are one signal. A refused call keeps its place in the queue and gets the next
       free slot.
    2. **Answers** to calls that were sent when all of the limit was in use; as many of them as the limit are a
       *round*. Until the first refusal, each such answer raises the limit by one, so the limit doubles each round (slow
       start). After that, the limit is probed: raised by one after 2, 4, 8, … rounds, at most 25 (at least 50 answers),
       and above the number that the service names only after the longest of these waits. A probe costs one refusal if
       the domain's limit is still the same. If a round is let in, slow start begins again. The unit is rounds and not
       seconds, since a call takes 0.2 s at an emulator and 20 s at the service.
    3. **A refusal of the only call in flight.** Other calls of ours cannot be the cause. Other programs fill the
       domain; or calls of a killed process still run at the service; or the limit is a rate after all, as the gateway's
       429 says. A refusal without a number, although as many calls or more were let in before, reads the same way; if
       the pause does not help, the next such refusal lowers the limit. In all these cases every call pauses, longer
       each time. Where calls were let in before, they are then sent at the *rate* that was let in, which rises a
       little after 50 answers, and then sooner.

    Knowledge that is a minute old without a call is worth little. The rate is forgotten then. So is a limit below the
    initial one, unless it is the number that the service named.

    A call that backs off, reads a file or waits for a domain on hold has no slot. ``limit`` and ``rate`` are pure and
    decide all of this. ``local`` applies it to the calls of one process, ``shared`` to those of all processes of a
    host, ``postgres`` and ``redis`` to those of several hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from clova_ocr_async.arguments import require_number, require_whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.slots.limit import LimitSignal

__all__ = [
    "GateState",
    "Lane",
    "Slot",
    "Slots",
    "checked_limits",
    "min_or_none",
]

Lane = Literal["interactive", "batch"]
"""The kind of call that asks for a slot: a caller waits for this one call, or the call is one of many."""

NumberT = TypeVar("NumberT", int, float)


@dataclass(frozen=True, slots=True)
class GateState:
    """A snapshot of the slots of one domain.

    Attributes:
        ceiling: Calls at once that are allowed now; while a server that shares the slots is away, those that this
            process may go on with.
        in_flight: Calls of this process that hold a slot.
        elsewhere: Calls of other processes that hold a slot of the same shared limit, as last seen; 0 while a server
            that shares the slots is away.
        waiting: Calls of this process that wait for a slot.
        rejections: Calls of this process that the service refused because of their number or rate.
        pace: Calls a second that are allowed; None while the rate is not limited.
    """

    ceiling: int
    in_flight: int = 0
    elsewhere: int = 0
    waiting: int = 0
    rejections: int = 0
    pace: float | None = None

    @property
    def free(self) -> int:
        """Slots that no call holds or waits for; negative when calls queue."""
        return self.ceiling - self.in_flight - self.elsewhere - self.waiting


class Slot(Protocol):
    """The right to have one call in flight. The call's result is reported while the slot is held.

    A slot that several processes share may also have the attribute ``lost``: whether the process was stopped for so
    long that others may have the slot by now. The client looks at it just before it sends; without it, no slot is lost.
    """

    @property
    def domain(self) -> Domain:
        """The domain that the call goes to."""
        ...

    def admitted(self) -> None:
        """Record that the service let the call in: it answered, and not with a refusal."""
        ...

    def refused(self, refusal: LimitSignal) -> None:
        """Record that the service refused the call because of the number of calls or their rate."""
        ...


class Slots(Protocol):
    """A source of slots. An implementation that shares them between hosts has these methods as well."""

    def slot(self, domains: Sequence[Domain], lane: Lane, since: float) -> AbstractAsyncContextManager[Slot]:
        """Wait for a slot of one of several domains, and hold it for as long as the context is open.

        Args:
            domains: The domains that the call may go to; at least one.
            lane: The kind of call; interactive calls go first.
            since: When the call first asked for a slot, by the client's clock. The call that has waited longest goes
                first. A refused call asks again with the same time, and so gets the next free slot.
        """
        ...

    def state(self, domain: Domain) -> GateState:
        """Return a snapshot of a domain's slots."""
        ...


def min_or_none(one: NumberT | None, other: NumberT | None) -> NumberT | None:
    """Return the lower of two bounds; None stands for no bound."""
    return min((bound for bound in (one, other) if bound is not None), default=None)


def checked_limits(concurrency: object, max_per_second: object) -> tuple[int | None, float | None]:
    """Return the limits that a user gave, checked.

    Raises:
        ConfigurationError: ``concurrency`` is not a whole number from 1, or ``max_per_second`` not a positive number.
    """
    return (
        None if concurrency is None else require_whole_number("concurrency", concurrency),
        None if max_per_second is None else require_number("max_per_second", max_per_second),
    )
