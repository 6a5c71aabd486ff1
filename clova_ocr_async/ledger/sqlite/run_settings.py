"""What holds for a whole run, written down when it begins, and kept to by everybody who opens it later."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from clova_ocr_async.errors import ConfigurationError, LedgerError
from clova_ocr_async.ledger.seal import NoSeal, SealError
from clova_ocr_async.ledger.sqlite.file_identity import FileIdentity, identify_file, is_same_file
from clova_ocr_async.protocol.echoed_input import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clova_ocr_async.ledger.seal import Seal

__all__ = [
    "CallLimit",
    "Store",
    "Terms",
    "agree",
    "agree_on_seal",
    "agree_on_services",
    "ceiling_of",
    "check_seal",
    "value_of",
]

Store = Literal["full", "none"]
"""Which answers a ledger keeps: all of them, or none, only what became of each image."""

CallLimit = int | Literal["none"]
"""Calls that may be paid, or perhaps paid, over the whole life of a run; "none" for any number."""

_CHECK = b"clova-ocr-async"
_CONTEXT = b"check"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a process that opens a run asks of it.

    Attributes:
        seal: What seals answers and errors.
        store: Which answers are kept; as the run was begun if None.
        max_calls: The ceiling from now on; the one that the run has if None.
        moved: Whether a ledger that is another file than it was is known to go on in the place of that.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    seal: Seal
    store: Store | None
    max_calls: CallLimit | None
    moved: bool

    def __post_init__(self) -> None:
        if self.store not in (None, "full", "none"):
            raise ConfigurationError(f"store is {shown(self.store)}; it must be 'full' or 'none'")
        number = self.max_calls
        if number is not None and number != "none" and (type(number) is not int or number < 0):
            raise ConfigurationError(f"max_calls is {shown(number)}; it must be a whole number from 0, 'none' or None")


def agree(db: sqlite3.Connection, ledger: Path, terms: Terms) -> Store:
    """Begin a run on some terms, or refuse those that it was not begun on; return which answers it keeps.

    Args:
        db: The connection, in a transaction.
        ledger: The file.
        terms: What is asked.

    Raises:
        LedgerError: The run was begun with another seal or store, or its ledger was another file.
    """
    agree_on_seal(db, terms.seal)
    store = _agree_on_store(db, terms.store)
    _agree_on_file(db, ledger, moved=terms.moved)
    _agree_on_ceiling(db, terms.max_calls)
    return store


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


def _agree_on_store(db: sqlite3.Connection, store: Store | None) -> Store:
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

    A run that holds nothing that was paid, or may have been, is begun again: its host may have been mistyped.

    Raises:
        LedgerError: The run was begun with other services.
    """
    asked = sorted(set(services))
    begun = msgspec.json.decode(_begun_with(db, "services", msgspec.json.encode(asked)), type=list[str])
    if not set(asked) <= set(begun):
        if not _is_unused(db):
            raise LedgerError(
                f"this run was begun with {_named(begun)}, and the domains are of {_named(asked)}; "
                "choose another run directory"
            )
        db.execute("UPDATE run SET value = ? WHERE name = 'services'", (msgspec.json.encode(asked),))
    # The process that agreed last may be about to send: its services hold while it is at work.
    db.execute("INSERT OR REPLACE INTO run (name, value) SELECT 'services_by', max(id) FROM owner")


def _is_unused(db: sqlite3.Connection) -> bool:
    """Whether no call of a run was paid, or may have been, and nobody works on it with the services it has."""
    (used,) = db.execute(
        """SELECT (SELECT value FROM run WHERE name = 'calls') > 0 OR EXISTS (SELECT 1 FROM answer)
               OR (SELECT count(*) FROM owner) > 1
               OR EXISTS (SELECT 1 FROM owner JOIN run ON run.name = 'services_by' AND run.value = owner.id)"""
    ).fetchone()
    return not used


def _named(services: Sequence[str]) -> str:
    return ", ".join("a server on this machine or network" if one == "local" else one for one in services)


def _agree_on_ceiling(db: sqlite3.Connection, ceiling: CallLimit | None) -> None:
    """Give a run another ceiling; with None, leave it the one that it has."""
    if ceiling is not None:
        db.execute(
            "INSERT OR REPLACE INTO run (name, value) VALUES ('max_calls', ?)",
            (None if ceiling == "none" else ceiling,),
        )


def ceiling_of(db: sqlite3.Connection) -> int | None:
    """Return how many calls may be paid, or perhaps paid, over the whole life of a run; None for any number."""
    ceiling = value_of(db, "max_calls")
    return ceiling if isinstance(ceiling, int) else None


def _agree_on_file(db: sqlite3.Connection, ledger: Path, *, moved: bool) -> None:
    """Write down which file the ledger is, or refuse to work on a copy of it.

    Args:
        db: The connection.
        ledger: The file.
        moved: Whether it is known to be a copy that goes on in the place of the other.

    Raises:
        LedgerError: It is another file than it was.
    """
    found = identify_file(ledger)
    written = value_of(db, "file")
    if isinstance(written, bytes) and not moved:
        kept = msgspec.json.decode(written, type=FileIdentity)
        if not is_same_file(kept, found):
            raise LedgerError(_another_file(kept, found))
    db.execute("INSERT OR REPLACE INTO run (name, value) VALUES ('file', ?)", (msgspec.json.encode(found),))


def _another_file(kept: FileIdentity, found: FileIdentity) -> str:
    machine = " on another machine" if kept.machine and found.machine and kept.machine != found.machine else ""
    return (
        f"{found.path} is a copy, or was moved or restored: this run was last worked on as {kept.path}{machine}, and "
        "two copies would each pay for the same images; if no other copy is worked on any more, go on with this one by "
        "--run-moved (in Python: SqliteLedger(…, moved=True))"
    )


def _begun_with(db: sqlite3.Connection, name: str, value: object) -> Any:
    db.execute("INSERT INTO run (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, value))
    return value_of(db, name)


def check_seal(db: sqlite3.Connection, seal: Seal) -> None:
    """Refuse a seal that is not the run's, without writing anything.

    Raises:
        LedgerError: The run was begun with another key, or with one and none is given, or the other way round.
    """
    copy = sqlite3.connect(":memory:")  # agree_on_seal stores what is not stored yet
    try:
        copy.execute("CREATE TABLE run (name TEXT PRIMARY KEY, value)")
        copy.executemany("INSERT INTO run VALUES (?, ?)", db.execute("SELECT name, value FROM run"))
        agree_on_seal(copy, seal)
    finally:
        copy.close()
