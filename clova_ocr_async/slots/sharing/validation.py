"""What is believed of a gate that was read from a file: only what this package could have learned. Pure.

Whatever else stands there (a damaged row, another program's, a value set by hand) would hold up calls for ever, or let
through more than any service takes, and is learned again at no cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clova_ocr_async.slots.limit import ConcurrencyLimit
    from clova_ocr_async.slots.rate import Pacer
    from clova_ocr_async.slots.sharing.state import Member, SharedGate

__all__ = ["is_believable"]

_MOST = 10_000  # calls at once. Assumed: no domain takes a hundredth of it
_FASTEST = 10_000.0  # calls a second
_LONGEST_PAUSE = 150.0  # seconds; a Retry-After of more than 120 is not obeyed
_LONGEST_STEP = 3600.0  # seconds from a call to the next one, where a user allows so few
_COUNTED = 2**53  # more than anybody counts


def is_believable(gate: SharedGate, now: float) -> bool:
    """Whether all that is said of a gate can be so.

    Args:
        gate: As it was read.
        now: The time, on the clock of those who wrote it.
    """
    return _ceiling(gate.ceiling) and _pace(gate.ceiling.pace, now) and all(map(_member, gate.members.values()))


def _ceiling(ceiling: ConcurrencyLimit) -> bool:
    counts = (ceiling.epoch, ceiling.answers, ceiling.refused, ceiling.doubt, ceiling.rejections)
    named = (number for number in (ceiling.named, ceiling.disproved) if number is not None)
    return (
        1 <= ceiling.limit <= _MOST
        and -_MOST <= ceiling.under_way <= _MOST
        and all(0 <= count <= _COUNTED for count in (*counts, *named))
    )


def _pace(pace: Pacer, now: float) -> bool:
    counts = (pace.pauses, pace.left, pace.bound, pace.steps, pace.stride)
    return (
        (pace.rate is None or 0 < pace.rate <= _FASTEST)
        and pace.resumes <= now + _LONGEST_PAUSE
        and pace.due <= now + _LONGEST_STEP
        and all(0 <= count <= _COUNTED for count in counts)
    )


def _member(member: Member) -> bool:
    most, pace = member.limits.most, member.limits.most_per_second
    return (
        0 <= member.held <= _MOST
        and 0 <= member.port < 2**16
        and (most is None or most >= 1)
        and (pace is None or pace > 0)
    )
