"""Receipts that were photographed twice: other bytes, and the same business number, date, time, total and approval."""

from __future__ import annotations

import hashlib
import tempfile
from array import array
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["PossibleCopies", "signature_of"]

_IDENTIFYING = ("store_biz_num", "payment_date", "payment_time", "total_price")
_PROOFS = ("confirm_num", "card_number")
_ALIGNMENT = 16  # bytes: places in the file are counted in these, so that 32 bits are enough
_DIGEST = 16
_FIRST_SIZE = 1 << 12
_FULLEST = 0.6


def signature_of(row: Mapping[str, Any]) -> bytes | None:
    """Return a digest that two photographs of one receipt share; None if too little was read to tell.

    Args:
        row: The row of a receipt, not masked.
    """
    proof = next((row[name] for name in _PROOFS if row[name] is not None), None)
    values = [row[name] for name in _IDENTIFYING]
    if proof is None or None in values:
        return None
    parts = [str(value) for value in (*values, proof)]
    # Both photographs may have been read with other separators.
    bare = ["".join(character for character in part if character.isalnum() or character == "*") for part in parts]
    return hashlib.sha256("\n".join(bare).encode()).digest()[:_DIGEST]


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

    def earlier(self, signature: bytes, name: str) -> str | None:
        """Return the name of the first receipt with a signature; record the name and return None if there is none."""
        short = int.from_bytes(signature[:4], "little")
        slot = self._slot_of(short)
        while place := self._places[slot]:
            if self._hashes[slot] == short and (found := self._name_at(place, signature)) is not None:
                return found
            slot = (slot + 1) % len(self._places)
        self._hashes[slot], self._places[slot] = short, self._append(signature, name)
        self._count += 1
        if self._count > _FULLEST * len(self._places):
            self._grow()
        return None

    def _slot_of(self, short: int) -> int:
        return short % len(self._places)

    def _name_at(self, place: int, signature: bytes) -> str | None:
        self._file.seek((place - 1) * _ALIGNMENT)
        if self._file.read(_DIGEST) != signature:
            return None
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
