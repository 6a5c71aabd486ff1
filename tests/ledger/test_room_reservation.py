from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.ledger.room_reservation import Reservation

KIB, MIB = 1024, 1024 * 1024
SIZES = st.integers(0, 40 * MIB)


@given(st.lists(SIZES, max_size=10), st.integers(1, 64), st.integers(0, 10**12))
def test_there_is_room_for_every_answer_as_large_as_the_largest(sizes: list[int], calls: int, available: int) -> None:
    """The room holds one and a half times the largest answer for each call in flight."""
    reservation = Reservation()
    for size in sizes:
        before = reservation.largest
        assert reservation.note_size(size) is (size > before)
    for number in range(calls):
        reservation.begin(number)
    largest = max([0, *sizes])
    assert reservation.largest == largest
    assert reservation.minimum() >= calls * max(512 * KIB, largest + largest // 2)
    assert reservation.preferred(calls, available) >= reservation.minimum(calls)


def test_before_the_first_answer_more_is_reserved_where_there_is_plenty() -> None:
    """Before the first answer each call gets 4 MiB, but all together no more than a quarter of the free space."""
    reservation = Reservation()
    assert reservation.preferred(20, 10**12) == 80 * MIB
    assert reservation.preferred(20, 100 * MIB) == 25 * MIB
    assert reservation.preferred(20, 4 * MIB) == reservation.minimum(20) == 10 * MIB
    reservation.note_size(1000)
    assert reservation.preferred(20, 10**12) == 10 * MIB


def test_a_call_counts_until_it_has_ended() -> None:
    """A call that is sent again counts once, and one that has ended does not count, also if it ends twice."""
    reservation = Reservation()
    for number in (1, 2, 2):
        reservation.begin(number)
    assert (reservation.others(2), reservation.others(3)) == (1, 2)
    for _ in range(2):
        reservation.end(2)
    assert (reservation.others(3), reservation.minimum()) == (1, 512 * KIB)


def test_a_run_that_keeps_no_answers_needs_little_room() -> None:
    """A run that stores no answers reserves room for settlements only."""
    reservation = Reservation(keeps_answers=False)
    reservation.note_size(3 * MIB)
    assert reservation.preferred(20, 10**12) == reservation.minimum(20) == 80 * KIB
