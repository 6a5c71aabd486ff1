"""What holds for a whole run, written down when it begins, and kept to by everybody who opens it later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from clova_ocr_async.batch.seal import NoSeal, SealError
from clova_ocr_async.errors import LedgerError
from clova_ocr_async.protocol.echo import shown

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from clova_ocr_async.batch.seal import Seal

__all__ = ["Store", "agree_on_seal", "agree_on_services", "agree_on_store", "value_of"]

Store = Literal["full", "none"]
"""Which answers a ledger keeps: all of them, or none, only what became of each image."""

_CHECK = b"clova-ocr-async"
_CONTEXT = b"check"


def value_of(db: sqlite3.Connection, name: str) -> object:
    """Return what is written down for the run under a name; None if nothing is."""
    row = db.execute("SELECT value FROM run WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def agree_on_seal(db: sqlite3.Connection, seal: Seal) -> None:
    """Begin a run with a seal, or refuse another one than it was begun with.

    Raises:
        LedgerError: The run was begun with another key, or with one and none is given, or the other way round.
    """
    begun = _begun_with(db, "seal", seal.name)
    if begun != seal.name:
        raise LedgerError(_other_seal(begun, seal))
    if begun == NoSeal.name:
        return
    kept = _begun_with(db, "seal_check", seal.seal(_CHECK, _CONTEXT))
    try:
        seal.open(bytes(kept), _CONTEXT)
    except SealError:
        raise LedgerError("the key is not the one this run was begun with; nothing of it can be opened") from None


def _other_seal(begun: object, seal: Seal) -> str:
    if begun == NoSeal.name:
        return "a key is given, and this run was begun without one: give none for it (unset CLOVA_OCR_KEY)"
    if seal.name == NoSeal.name:
        return f"this run is sealed ({begun}); give its key (--key-file, CLOVA_OCR_KEY_FILE, or seal=)"
    return f"this run is sealed with {begun}, and the key given is for {seal.name}"


def agree_on_store(db: sqlite3.Connection, store: Store | None) -> Store:
    """Begin a run with a choice of what is kept, or refuse another one than it was begun with.

    Raises:
        LedgerError: The run was begun with another choice.
    """
    begun: Store = _begun_with(db, "store", store or "full")
    if store not in {None, begun}:
        raise LedgerError(
            f"store is {shown(store)}, and this run was begun with {shown(begun)}; begin another run for that"
        )
    return begun


def agree_on_services(db: sqlite3.Connection, services: Sequence[str]) -> None:
    """Begin a run with its services, or refuse others: made-up answers must not pass for real ones.

    Raises:
        LedgerError: The run was begun with other services.
    """
    asked = sorted(set(services))
    begun = msgspec.json.decode(_begun_with(db, "services", msgspec.json.encode(asked)), type=list[str])
    if not set(asked) <= set(begun):
        raise LedgerError(
            f"this run holds answers of {', '.join(begun)}, and the domains are of {', '.join(asked)}; "
            "choose another run directory"
        )


def _begun_with(db: sqlite3.Connection, name: str, value: object) -> Any:
    db.execute("INSERT INTO run (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, value))
    return value_of(db, name)
