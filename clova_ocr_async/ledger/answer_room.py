"""Room in the overflow file for the answer of each request, set aside before the request leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.errors import DiskFullError

if TYPE_CHECKING:
    from clova_ocr_async.ledger.overflow_file import OverflowFile
    from clova_ocr_async.ledger.room_reservation import Reservation

__all__ = ["reserve_answer"]


def reserve_answer(file: OverflowFile, reservation: Reservation, number: int) -> bool:
    """Reserve room for the answer of a request that is about to leave.

    Args:
        file: The file of this process.
        reservation: Its calls in flight; the call is added.
        number: The item's.

    Returns:
        False if there is no room until another call has ended.

    Raises:
        DiskFullError: There is no room, and no call is in flight that could free some.
    """
    others = reservation.others(number)
    # Generously at first: before the first answer its size is a guess.
    try:
        try:
            file.reserve(reservation.preferred(others + 1, file.available()))
        except DiskFullError:
            file.reserve(reservation.minimum(others + 1))
    except DiskFullError:
        if others:
            return False
        raise
    reservation.begin(number)
    return True
