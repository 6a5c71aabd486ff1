"""The settings of a whole run: stored by the process that begins it, checked by every process that opens it later."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.run_settings import compare_seals, compare_storage, other_services, seal_check
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.file_identity import FileIdentity, identify_file, is_same_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from clova_ocr_async.ledger.run_settings import AnswerStorage, RequestedSettings
    from clova_ocr_async.ledger.seal import Seal

__all__ = [
    "call_limit_of",
    "check_file",
    "check_not_moved",
    "check_seal",
    "read_setting",
    "store_or_check",
    "store_or_check_seal",
    "store_or_check_services",
]


def store_or_check(db: sqlite3.Connection, ledger: Path, requested: RequestedSettings) -> AnswerStorage:
    """Begin a run with some settings, or refuse those that it was not begun with; return the answers that it stores.

    Args:
        db: The connection, in a transaction.
        ledger: The file.
        requested: The settings.

    Raises:
        LedgerError: The run was begun with another seal or store, its ledger was another file, or it was copied to
            another place.
    """
    if requested.moved:
        db.execute("DELETE FROM run WHERE name = 'moved_to'")
    check_not_moved(db)
    store_or_check_seal(db, requested.seal)
    store = _store_or_check_answers(db, requested.store)
    _store_or_check_file(db, ledger, moved=requested.moved)
    if requested.max_calls is not None:  # the one setting that a later process may change
        db.execute("INSERT OR REPLACE INTO run (name, value) VALUES ('max_calls', ?)", (requested.limit,))
    return store


def check_not_moved(db: sqlite3.Connection) -> None:
    """Refuse a run that was copied to another place: both would pay for the images that neither has.

    Raises:
        LedgerError: It was.
    """
    if (place := read_setting(db, "moved_to")) is not None:
        raise LedgerError(
            f"this run was copied to {place}, and is worked on there from then on; if that copy is not worked on any "
            "more, copy it back (clova-ocr ledger copy), or go on with this one by --run-moved (in Python: "
            "SqliteLedger(…, moved=True))"
        )


def read_setting(db: sqlite3.Connection, name: str) -> object:
    """Return the value that the run has under a name; None if it has none."""
    row = db.execute("SELECT value FROM run WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def store_or_check_seal(db: sqlite3.Connection, seal: Seal) -> None:
    """Begin a run with a seal, or refuse another one than it was begun with.

    Raises:
        LedgerError: The run was begun with another key, or with one and none is given, or the other way round.
    """
    begun, check = _begun_with(db, "seal", seal.name), None
    if begun == seal.name != NoSeal.name:
        check = bytes(_begun_with(db, "seal_check", seal_check(seal)))
    compare_seals(begun, check, seal)


def _store_or_check_answers(db: sqlite3.Connection, store: AnswerStorage | None) -> AnswerStorage:
    begun: AnswerStorage = _begun_with(db, "store", store or "full")
    compare_storage(begun, store)
    return begun


def store_or_check_services(db: sqlite3.Connection, services: Sequence[str]) -> None:
    """Bind a run to its services, or refuse others: answers of an emulator must not pass for real ones.

    A run in which no call was billed or may have been is bound anew: its host may have been mistyped.

    Raises:
        LedgerError: The run was begun with other services.
    """
    asked = sorted(set(services))
    begun = msgspec.json.decode(_begun_with(db, "services", msgspec.json.encode(asked)), type=list[str])
    if not set(asked) <= set(begun):
        if not _is_unused(db):
            raise other_services(begun, asked)
        db.execute("UPDATE run SET value = ? WHERE name = 'services'", (msgspec.json.encode(asked),))
    # The process that was checked last may be about to send: its services hold while it is at work.
    db.execute("INSERT OR REPLACE INTO run (name, value) SELECT 'services_by', max(id) FROM owner")


def _is_unused(db: sqlite3.Connection) -> bool:
    """Return whether no call was billed or may have been, and no process works on the run with its services."""
    # Another owner may be about to send, even if nothing is counted yet.
    (used,) = db.execute(
        """SELECT (SELECT value FROM run WHERE name = 'calls') > 0 OR EXISTS (SELECT 1 FROM answer)
               OR (SELECT count(*) FROM owner) > 1
               OR EXISTS (SELECT 1 FROM owner JOIN run ON run.name = 'services_by' AND run.value = owner.id)"""
    ).fetchone()
    return not used


def call_limit_of(db: sqlite3.Connection) -> int | None:
    """Return the call limit of a run; None for any number."""
    limit = read_setting(db, "max_calls")
    return limit if isinstance(limit, int) else None


def _store_or_check_file(db: sqlite3.Connection, ledger: Path, *, moved: bool) -> None:
    if not moved:
        check_file(db, ledger)
    found = msgspec.json.encode(identify_file(ledger))
    db.execute("INSERT OR REPLACE INTO run (name, value) VALUES ('file', ?)", (found,))


def check_file(db: sqlite3.Connection, ledger: Path) -> None:
    """Refuse a copy of the run's file: both would pay for the images that neither has.

    Args:
        db: The connection.
        ledger: The file.

    Raises:
        LedgerError: It is a copy, or was moved or restored.
    """
    found = identify_file(ledger)
    stored = read_setting(db, "file")
    if isinstance(stored, bytes):
        recorded = msgspec.json.decode(stored, type=FileIdentity)
        if not is_same_file(recorded, found):
            raise LedgerError(_another_file(recorded, found))


def _another_file(recorded: FileIdentity, found: FileIdentity) -> str:
    machine = " on another machine" if recorded.machine and found.machine and recorded.machine != found.machine else ""
    return (
        f"{found.path} is a copy, or was moved or restored: this run was last worked on as {recorded.path}{machine}, "
        "and two copies would each pay for the same images; if no other copy is worked on any more, go on with this "
        "one by --run-moved (in Python: SqliteLedger(…, moved=True))"
    )


def _begun_with(db: sqlite3.Connection, name: str, value: object) -> Any:
    # Where two processes begin a run at the same time, the settings of the first one hold for both.
    db.execute("INSERT INTO run (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", (name, value))
    return read_setting(db, name)


def check_seal(db: sqlite3.Connection, seal: Seal) -> None:
    """Refuse a seal that is not the run's, without writing anything.

    Raises:
        LedgerError: The run was begun with another key, or with one and none is given, or the other way round.
    """
    copy = sqlite3.connect(":memory:")  # store_or_check_seal stores what is not stored yet
    try:
        copy.execute("CREATE TABLE run (name TEXT PRIMARY KEY, value)")
        copy.executemany("INSERT INTO run VALUES (?, ?)", db.execute("SELECT name, value FROM run"))
        store_or_check_seal(copy, seal)
    finally:
        copy.close()
