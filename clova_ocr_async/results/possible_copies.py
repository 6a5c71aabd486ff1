"""Receipts that were photographed twice: other bytes, and the same business number, date, time, total and approval."""

from __future__ import annotations

import os
import re
import struct
import tempfile
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["PossibleCopies", "signatures_of"]

_IDENTIFYING = ("store_biz_num", "payment_date", "payment_time", "total_price")
_PROOFS = ("confirm_num", "card_number")
_SLOT = struct.Struct("<qQ")
_FREE = (bytes(_SLOT.size), b"")  # a slot that was never written, before the end of the file and behind it
_LENGTH = struct.Struct("<I")
# Both photographs may have been read with other separators.
_SEPARATORS = re.compile(r"[^0-9A-Za-z*]")


def signatures_of(row: Mapping[str, Any]) -> list[int]:
    """Return numbers of which two photographs of one receipt share one: with its approval number, and with its card.

    They mean nothing in another process.

    Args:
        row: The row of a receipt, not masked.

    Returns:
        The numbers; none if too little was read to tell.
    """
    number, date, time, total = (row[name] for name in _IDENTIFYING)
    if number is None or date is None or time is None or total is None:
        return []
    purchase = _SEPARATORS.sub("", number), date, time, total
    found: list[int] = []
    for name in _PROOFS:
        proof = _SEPARATORS.sub("", row[name] or "")
        if proof.strip("*"):
            # Of 64 bits: in one of ten million runs of a million receipts, two have the same by chance.
            found.append(hash((name, proof, purchase)))
    return found


class PossibleCopies:
    """The receipts of a run so far, by their signatures; a context manager.

    A run may have a million receipts. So this is a hash table in a file without a name: a slot has a signature, and the
    place of a receipt's name in a second file. Memory would be filled by it, and the processor does not notice.

    Args:
        most: The most receipts that there will be.
    """

    def __init__(self, most: int) -> None:
        self._slots = 3 * most + 1  # two signatures each; with a third of the slots free, few are looked at
        self._table = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by this object's own exit
        self._names = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - as above
        self._end = 1  # no place is 0, as those of free slots

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._table.close()
        self._names.close()

    def earlier(self, signatures: Sequence[int], name: str) -> str | None:
        """Return the name of the first receipt with one of some signatures, and record those that are new.

        Args:
            signatures: Those of a receipt.
            name: Its name.

        Returns:
            The name; None if there is no such receipt.
        """
        known: list[int] = []
        mine: int | None = None
        for signature in signatures:
            slot, place = self._find(signature)
            if place is not None:
                known.append(place)
                continue
            mine = self._append(name) if mine is None else mine
            os.pwrite(self._table.fileno(), _SLOT.pack(signature, mine), slot * _SLOT.size)
        return self._name_at(min(known)) if known else None

    def _find(self, signature: int) -> tuple[int, int | None]:
        """Return the slot of a signature, and the place of its name; the next free slot and None if it is new."""
        slot = signature % self._slots
        while True:
            found = os.pread(self._table.fileno(), _SLOT.size, slot * _SLOT.size)
            if found in _FREE:
                return slot, None
            other, place = _SLOT.unpack(found)
            if other == signature:
                return slot, place
            slot = (slot + 1) % self._slots

    def _append(self, name: str) -> int:
        text = name.encode()
        place = self._end
        os.pwrite(self._names.fileno(), _LENGTH.pack(len(text)) + text, place)
        self._end += _LENGTH.size + len(text)
        return place

    def _name_at(self, place: int) -> str:
        (length,) = _LENGTH.unpack(os.pread(self._names.fileno(), _LENGTH.size, place))
        return os.pread(self._names.fileno(), length, place + _LENGTH.size).decode()
