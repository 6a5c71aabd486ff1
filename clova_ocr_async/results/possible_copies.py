"""Receipts that were photographed twice: other bytes, and the same business number, date, time, total and approval."""

from __future__ import annotations

import hashlib
import re
import tempfile
from array import array
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["PossibleCopies", "signatures_of"]

_IDENTIFYING = ("store_biz_num", "payment_date", "payment_time", "total_price")
_PROOFS = ("confirm_num", "card_number")
_ALIGNMENT = 16  # bytes: places in the file are counted in these, so that 32 bits are enough
_DIGEST = 16
_FIRST_SIZE = 1 << 12
_FULLEST = 0.75
# Both photographs may have been read with other separators.
_SEPARATORS = re.compile(r"[^0-9A-Za-z*]")


def signatures_of(row: Mapping[str, Any]) -> list[bytes]:
    """Return digests of which two photographs of one receipt share one: with its approval number, and with its card.

    Args:
        row: The row of a receipt, not masked.

    Returns:
        The digests; none if too little was read to tell.
    """
    number, date, time, total = (row[name] for name in _IDENTIFYING)
    if number is None or date is None or time is None or total is None:
        return []
    purchase = f"{_SEPARATORS.sub('', number)} {date} {time} {total.normalize():f}"
    found: list[bytes] = []
    for name in _PROOFS:
        proof = _SEPARATORS.sub("", row[name] or "")
        if proof.strip("*"):
            found.append(hashlib.sha256(f"{purchase} {name} {proof}".encode()).digest()[:_DIGEST])
    return found


class PossibleCopies:
    """The receipts of a run so far, by their signatures; a context manager.

    A run may have a million receipts, so their names lie in a file without a name, and a table of eight bytes a slot
    has their places in it.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by this object's own exit
        self._end = 0
        self._count = 0
        self._hashes = array("I", bytes(4 * _FIRST_SIZE))
        self._places = array("I", bytes(4 * _FIRST_SIZE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def earlier(self, signatures: Iterable[bytes], name: str) -> str | None:
        """Return the name of the first receipt with one of some signatures, and record those that are new.

        Args:
            signatures: Those of a receipt.
            name: Its name.

        Returns:
            The name; None if there is no such receipt.
        """
        places = [self._place_of(signature, name) for signature in signatures]
        known = [place for place in places if place is not None]
        return self._name_at(min(known)) if known else None

    def _place_of(self, signature: bytes, name: str) -> int | None:
        """Return the place of a signature in the file; append it, and return None, if it is not there."""
        short = int.from_bytes(signature[:4], "little")
        slot = self._slot_of(short)
        while place := self._places[slot]:
            if self._hashes[slot] == short and self._is_at(place, signature):
                return place
            slot = (slot + 1) % len(self._places)
        self._hashes[slot], self._places[slot] = short, self._append(signature, name)
        self._count += 1
        if self._count > _FULLEST * len(self._places):
            self._grow()
        return None

    def _slot_of(self, short: int) -> int:
        return short % len(self._places)

    def _is_at(self, place: int, signature: bytes) -> bool:
        self._file.seek((place - 1) * _ALIGNMENT)
        return self._file.read(_DIGEST) == signature

    def _name_at(self, place: int) -> str:
        self._file.seek((place - 1) * _ALIGNMENT + _DIGEST)
        length = int.from_bytes(self._file.read(4), "little")
        return self._file.read(length).decode()

    def _append(self, signature: bytes, name: str) -> int:
        text = name.encode()
        entry = signature + len(text).to_bytes(4, "little") + text
        self._file.seek(self._end)
        self._file.write(entry + bytes(-len(entry) % _ALIGNMENT))
        place = self._end // _ALIGNMENT + 1
        self._end = self._file.tell()
        return place

    def _grow(self) -> None:
        hashes, places = self._hashes, self._places
        self._hashes, self._places = (array("I", bytes(8 * len(places))) for _ in range(2))
        for short, place in zip(hashes, places, strict=True):
            if place:
                slot = self._slot_of(short)
                while self._places[slot]:
                    slot = (slot + 1) % len(self._places)
                self._hashes[slot], self._places[slot] = short, place
