"""The check of slots that were read from a store, which holds nothing but what this package could have learned. Pure.

Anything else there (a damaged row, a row of another program, a value set by hand) would hold up calls for ever, or let
more through than any service takes. It is dropped, and learned again at no cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.slots.rate import HIGHEST_RATE
from clova_ocr_async.slots.sharing.state import Member, SharedGate

if TYPE_CHECKING:
    from clova_ocr_async.slots.limit import ConcurrencyLimit
    from clova_ocr_async.slots.rate import Pacer

__all__ = ["decode_gate", "is_plausible"]

_MOST_CALLS = 10_000  # calls at once. Assumed: no domain takes a hundredth of it
_LONGEST_PAUSE = 150.0  # seconds; a Retry-After of more than 120 is not obeyed
_LONGEST_INTERVAL = 3600.0  # seconds from a call to the next one, where a user allows so few
_HIGHEST_COUNT = 2**53  # more than any process counts

_decoder = msgspec.json.Decoder(SharedGate)


def decode_gate(stored: bytes | str | None, now: float) -> SharedGate:
    """Return the slots of a domain as they were stored; new ones if there are none, or if they are not plausible.

    Args:
        stored: The stored JSON; None if there is none.
        now: The time, on the clock of those that wrote it.
    """
    try:
        gate = SharedGate() if stored is None else _decoder.decode(stored)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):  # damaged, or of another version
        return SharedGate()
    return gate if is_plausible(gate, now) else SharedGate()


def is_plausible(gate: SharedGate, now: float) -> bool:
    """Return whether every value is one that this package could have learned.

    Args:
        gate: The slots of a domain, as they were read.
        now: The time, on the clock of those that wrote them.
    """
    return _limit(gate.limit) and _pacer(gate.limit.pacer, now) and all(map(_member, gate.members.values()))


def _limit(limit: ConcurrencyLimit) -> bool:
    counts = (limit.epoch, limit.full_answers, limit.consecutive_refusals, limit.rate_cleared_for, limit.rejections)
    advertised = (number for number in (limit.advertised, limit.disproved) if number is not None)
    return (
        1 <= limit.value <= _MOST_CALLS
        and -_MOST_CALLS <= limit.last_in_flight <= _MOST_CALLS
        and all(0 <= count <= _HIGHEST_COUNT for count in (*counts, *advertised))
    )


def _pacer(pacer: Pacer, now: float) -> bool:
    counts = (pacer.consecutive_pauses, pacer.sent, pacer.limited_sends, pacer.admitted, pacer.raise_after)
    return (
        (pacer.rate is None or 0 < pacer.rate <= HIGHEST_RATE)
        and pacer.paused_until <= now + _LONGEST_PAUSE
        and pacer.next_send <= now + _LONGEST_INTERVAL
        and all(0 <= count <= _HIGHEST_COUNT for count in counts)
    )


def _member(member: Member) -> bool:
    concurrency, per_second = member.limits.max_concurrency, member.limits.max_per_second
    return (
        0 <= member.held <= _MOST_CALLS
        and 0 <= member.wakeup_port < 2**16
        and (concurrency is None or concurrency >= 0)  # 0: after an outage, for a moment
        and (per_second is None or per_second > 0)
    )
