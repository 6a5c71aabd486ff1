"""A run directory as rows: read to be copied, or written as the copy of another run.

A new run directory is made beside its place and renamed once it is complete. One that was moved, and is copied back, is
replaced in one transaction.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.files import replace_file, temporaries_beside, temporary_beside
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.overflow_file import has_records, overflow_paths
from clova_ocr_async.ledger.private_file import checked_path, create_private, file_error
from clova_ocr_async.ledger.run_rows import (
    LOST_OWNER,
    AnswerRow,
    CorrectionRow,
    ItemRow,
    Row,
    SettingsRow,
    SourceRow,
    occupied_error,
    waiting_error,
)
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite import owners
from clova_ocr_async.ledger.sqlite.connection import Holder, connect, find_holder
from clova_ocr_async.ledger.sqlite.errors import translate_sqlite_errors
from clova_ocr_async.ledger.sqlite.file_identity import identify_file
from clova_ocr_async.ledger.sqlite.lock_wait import PATIENCE
from clova_ocr_async.ledger.sqlite.run_directory import (
    LEDGER,
    check_hard_links,
    find_run_directory,
    prepare_run_directory,
)
from clova_ocr_async.ledger.sqlite.run_settings import check_file, read_setting
from clova_ocr_async.ledger.sqlite.schema import is_current_version, migrate
from clova_ocr_async.ledger.sqlite.snapshot import open_view
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Generator, Iterable, Iterator

__all__ = ["SqliteRunRows"]

# Numbers from 1 without gaps, whatever the ids are.
_NUMBERED = "(SELECT id, answer, row_number() OVER (ORDER BY id) AS number FROM item) AS item"
_SELECTIONS: dict[type[Row], str] = {
    ItemRow: """SELECT sha256, document, page, recipe, state, owner IS NOT NULL, attempts, maybe_billed, billing,
                       request_id, sent_at, finished_at, elapsed, failure, was, picture, interrupted
                FROM item ORDER BY id""",
    AnswerRow: f"""SELECT item.number, request_id, status, cut, body, unpacked, came, item.answer IS answer.id
                   FROM answer JOIN {_NUMBERED} ON item.id = answer.item ORDER BY answer.id""",
    SourceRow: f"""SELECT document, path, page, open, owner IS NOT NULL, item.number, failure, size, modified_ns,
                          changed_ns, inode, columns
                   FROM source LEFT JOIN {_NUMBERED} ON item.id = source.item ORDER BY source.id""",
    CorrectionRow: f"""SELECT correction.number, item.number, made, change
                       FROM correction JOIN {_NUMBERED} ON item.id = correction.item ORDER BY correction.number""",
}
_LOST = f"CASE WHEN ? THEN {LOST_OWNER} END"
_INSERTIONS: dict[type[Row], str] = {
    ItemRow: f"""INSERT INTO item (sha256, document, page, recipe, state, owner, attempts, maybe_billed, billing,
                     request_id, sent_at, finished_at, elapsed, failure, was, picture, interrupted)
                 VALUES (?, ?, ?, ?, ?, {_LOST}, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
    AnswerRow: "INSERT INTO answer (item, request_id, status, cut, body, unpacked, came) VALUES (?, ?, ?, ?, ?, ?, ?)",
    SourceRow: f"""INSERT INTO source (document, path, page, open, owner, item, failure, size, modified_ns, changed_ns,
                       inode, columns) VALUES (?, ?, ?, ?, {_LOST}, ?, ?, ?, ?, ?, ?, ?)""",
    CorrectionRow: "INSERT INTO correction (number, item, made, change) VALUES (?, ?, ?, ?)",
}
_TABLES = ("run", "owner", "item", "answer", "source", "correction")


class SqliteRunRows:
    """The ``RunRows`` of a run directory.

    Args:
        folder: The run directory.
        process: This process.
        clock: Returns seconds of a clock that all processes of this machine share.
        patience: Seconds that other processes may keep the ledger locked.

    Raises:
        LedgerError: The path cannot be one.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        process: Process | None = None,
        clock: Callable[[], float] = time.monotonic,
        patience: float = PATIENCE,
    ) -> None:
        self._folder = Path(os.path.realpath(checked_path(folder)[0]))
        self._process = process or Process.this()
        self._clock = clock
        self._patience = patience

    @property
    def place(self) -> str:
        """The directory and its machine: others may have a directory of the same name."""
        return f"{shown_path(os.fspath(self._folder))} on {platform.node()}"

    @contextmanager
    def reading(self) -> Generator[Iterator[Row]]:
        """Read all rows of one moment."""
        with translate_sqlite_errors():
            view = open_view(self._folder)
            try:
                view.db.execute("BEGIN")
                yield _rows(view.db)
                view.check()
            finally:
                view.close()

    @contextmanager
    def exporting(self, target: str) -> Generator[_Source]:
        """Keep every process from working on the run while it is copied."""
        with translate_sqlite_errors(), self._locked() as db:
            moved_to = read_setting(db, "moved_to")
            if moved_to not in {None, target}:
                raise LedgerError(f"{self.place} was moved to {moved_to}, so it is not copied; copy that one")
            check_file(db, self._folder / LEDGER)
            yield _Source(db)

    @contextmanager
    def importing(self, source: str) -> Generator[_Target]:
        """Begin the run anew."""
        try:
            with translate_sqlite_errors():
                begun = self._replaced(source) if (self._folder / LEDGER).exists() else self._built()
                with begun as target:
                    yield target
        except OSError as error:
            raise file_error(shown_path(os.fspath(self._folder)), error) from None

    # -----------------------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Generator[sqlite3.Connection]:
        """Keep other processes out of an existing run, in a transaction."""
        folder = find_run_directory(self._folder)
        check_hard_links(folder)
        db = connect(folder, patience=self._patience)
        try:
            if not is_current_version(db, folder):
                raise LedgerError(
                    f"an older version wrote {self.place}; run the batch once, which brings it up to date, then copy it"
                )
            db.execute("PRAGMA synchronous = FULL")
            db.execute("BEGIN IMMEDIATE")
            owners.require_none_at_work(db, self._process, self._clock(), "copy again")
            if left := [path for path in overflow_paths(folder) if has_records(path)]:
                raise waiting_error(shown_path(str(left[0])), self.place)
            yield db
        finally:
            db.close()  # without a commit nothing has changed

    @contextmanager
    def _replaced(self, source: str) -> Generator[_Target]:
        """Replace a run that was moved to where it is copied from now."""
        with self._locked() as db:
            moved_to = read_setting(db, "moved_to")
            if moved_to != source:
                raise occupied_error(self.place, None if moved_to is None else str(moved_to))
            yield _Target(db, self._folder)

    @contextmanager
    def _built(self) -> Generator[_Target]:
        """Make a new run directory, under another name as long as it is not complete."""
        if os.path.lexists(self._folder) and any(self._folder.iterdir()):
            raise LedgerError(f"{self.place} holds other things; a run directory is a folder of its own, so choose one")
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise LedgerError(f"{self.place} would be in a file; choose another place") from None
        _remove_abandoned(self._folder)
        folder = prepare_run_directory(temporary_beside(self._folder))
        try:
            create_private(folder / LEDGER)
            db = connect(folder)
            try:
                migrate(db)
                db.execute("BEGIN IMMEDIATE")
                yield _Target(db, self._folder, folder)
            finally:
                db.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # it is not there once it is renamed


class _Source:
    """The ``RunSource`` of a run directory, in a transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def rows(self) -> Iterator[Row]:
        """Yield all rows."""
        return _rows(self._db)

    def mark_moved(self, place: str) -> None:
        """Record where the run is from now on."""
        self._db.execute("INSERT OR REPLACE INTO run (name, value) VALUES ('moved_to', ?)", (place,))
        self._db.execute("COMMIT")


class _Target:
    """The ``RunTarget`` of a run directory, in a transaction.

    Args:
        db: The connection.
        final: The run directory.
        folder: Where it is as yet; None if it is there already.
    """

    def __init__(self, db: sqlite3.Connection, final: Path, folder: Path | None = None) -> None:
        self._db = db
        self._final = final
        self._folder = folder

    def write(self, rows: Iterable[Row]) -> None:
        """Write all rows, in the place of those that the run had."""
        # They do what a process does on an event; a row that is copied has had its events.
        triggers = self._db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            self._db.execute(f"DROP TRIGGER {name}")
        for table in _TABLES:
            self._db.execute(f"DELETE FROM {table}")
        for kind, found in groupby(rows, type):
            self._insert(kind, found)
        for _, statement in triggers:
            self._db.execute(statement)

    def _insert(self, kind: type[Row], rows: Iterator[Any]) -> None:
        if kind is SettingsRow:
            self._begin(next(rows))
        elif kind is AnswerRow:
            for row in rows:
                *columns, accepted = msgspec.structs.astuple(row)
                answer = self._db.execute(_INSERTIONS[kind], columns).lastrowid
                if accepted:
                    self._db.execute("UPDATE item SET answer = ? WHERE id = ?", (answer, row.item))
        else:
            self._db.executemany(_INSERTIONS[kind], map(msgspec.structs.astuple, rows))

    def _begin(self, settings: SettingsRow) -> None:
        here = identify_file((self._folder or self._final) / LEDGER)
        file = msgspec.structs.replace(here, path=shown_path(os.fspath(self._final / LEDGER)))
        services = None if settings.services is None else msgspec.json.encode(settings.services)
        values: dict[str, object] = {
            "seal": settings.seal,
            "seal_check": settings.seal_check,
            "store": settings.store,
            "services": services,
            "starts_in": settings.base_folder,
            "calls": settings.calls,
            "max_calls": settings.max_calls,
            "largest answer": settings.largest_answer,
            "file": msgspec.json.encode(file),
        }
        kept = [(name, value) for name, value in values.items() if value is not None]
        self._db.executemany("INSERT INTO run (name, value) VALUES (?, ?)", kept)
        self._db.execute("DELETE FROM sqlite_sequence WHERE name = 'correction'")
        self._db.execute(
            "INSERT INTO sqlite_sequence (name, seq) VALUES ('correction', ?)", (settings.last_correction,)
        )

    def rows(self) -> Iterator[Row]:
        """Yield all rows as they are stored now."""
        return _rows(self._db)

    def publish(self) -> None:
        """Make the run appear."""
        self._db.execute("COMMIT")
        if self._folder is not None:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()
            replace_file(self._folder, self._final)


def _rows(db: sqlite3.Connection) -> Iterator[Row]:
    """Yield all rows of a run.

    Raises:
        LedgerError: Another program has changed them.
    """
    yield _settings(db)
    for kind, query in _SELECTIONS.items():
        for row in db.execute(query):
            try:
                yield msgspec.convert(row, kind, strict=False, builtin_types=(bytes,))
            except msgspec.ValidationError as error:
                raise LedgerError(f"the ledger is damaged: {error}") from None


def _settings(db: sqlite3.Connection) -> SettingsRow:
    found: dict[str, Any] = dict(db.execute("SELECT name, value FROM run"))
    (last,) = db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'correction'").fetchone()
    services = found.get("services")
    return SettingsRow(
        seal=found.get("seal", NoSeal.name),
        seal_check=found.get("seal_check"),
        store=found.get("store", "full"),
        services=None if services is None else tuple(msgspec.json.decode(services, type=list[str])),
        base_folder=found.get("starts_in"),
        calls=found.get("calls", 0),
        max_calls=found.get("max_calls"),
        largest_answer=found.get("largest answer", 0),
        last_correction=last or 0,
    )


def _remove_abandoned(final: Path) -> None:
    """Remove what copies to the same place have left that were killed."""
    for folder in temporaries_beside(final):
        with suppress(OSError):  # it is something else
            if find_holder(folder / LEDGER) is Holder.NONE:
                shutil.rmtree(folder)
