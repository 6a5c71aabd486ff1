"""A view of a run directory that changes nothing of it: its images, counted or one by one.

A batch may run meanwhile, and is not kept waiting. Each method reads the run at one moment; all records together are
one read. What a dead process left is shown as the next batch will settle it (``project``), answers that are kept beside
the ledger included.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.run_status import RunStatus
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.settlement import GONE, is_requeued, project
from clova_ocr_async.ledger.sqlite import item_statements, view_queries, worklist_statements
from clova_ocr_async.ledger.sqlite.errors import translate_sqlite_errors
from clova_ocr_async.ledger.sqlite.owners import living_owners
from clova_ocr_async.ledger.sqlite.run_settings import call_limit_of, check_seal, read_setting
from clova_ocr_async.ledger.sqlite.snapshot import open_view
from clova_ocr_async.ledger.states import SourceFile, SourceRecord, State
from clova_ocr_async.ledger.stored_values import correction_of, entry_of, opened_columns
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator

    from clova_ocr_async.errors import Billing
    from clova_ocr_async.ledger.corrections import Correction
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.states import Entry, Item

__all__ = ["RunReader"]

_BLOCK = 64  # images a query; each may bring an answer of megabytes into memory
_UNREAD = ("failed", "ambiguous", "skipped")
_MAY_BE_DUE = (State.SENT, State.AMBIGUOUS)
_STATUSES = ("succeeded", *_UNREAD, "pending")


class RunReader:
    """The ``RunView`` of a run directory; a context manager, for one thread.

    Args:
        folder: The run directory.
        seal: Opens what is sealed. None if nothing will be opened, which is enough for counts and names.
        process: The process that reads.
        clock: Returns seconds of a clock that all processes of this machine share.

    Raises:
        LedgerError: On entering: there is no ledger, it cannot be read, or the seal is not the run's.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        seal: Seal | None = None,
        *,
        process: Process | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = folder
        self._seal = seal
        self._process = process or Process.this()
        self._clock = clock
        self._living: tuple[int, ...] | None = None  # during a snapshot

    def __enter__(self) -> Self:
        with translate_sqlite_errors():
            self._view = open_view(self._path)
            try:
                if self._seal is not None:
                    check_seal(self._db, self._seal)
                elif self._sealed() is None:
                    self._seal = NoSeal()
            except BaseException:
                self._view.close()
                raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._view.close()

    @property
    def _db(self) -> sqlite3.Connection:
        return self._view.db

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Let all methods see the run at one moment, that of entering the context."""
        with self._snapshot():
            yield

    # -----------------------------------------------------------------------------------------------------------------
    # Counts

    def status(self) -> RunStatus:
        """Return the progress of the run."""
        with self._snapshot() as living:
            images = self._counted(f"{view_queries.COUNT_NAMED} UNION ALL {view_queries.COUNT_NAMELESS}")
            items = self._counted("SELECT state, count(*) FROM item GROUP BY state")
            maybe_billed = self._number("SELECT coalesce(sum(maybe_billed), 0) FROM item")
            in_flight = 0
            for (number,) in self._db.execute(view_queries.UNSETTLED).fetchall():  # few: each was in work once
                row = item_statements.find_by_number(self._db, number)
                stored, entry = self._stored_and_projected(row, living)
                names = self._number(view_queries.COUNT_NAMES, number)
                if stored.state in _MAY_BE_DUE:
                    images[stored.state.value] -= names
                    images[_status_of(entry.state)] += names
                items[stored.state.value] -= 1
                items[entry.state.value] += 1
                maybe_billed += entry.maybe_billed - stored.maybe_billed
                in_flight += entry.in_flight
            return RunStatus(
                images={word: images[word] for word in _STATUSES if images[word]},
                items={state.value: items[state] for state in State if items[state]},
                calls=self._number("SELECT coalesce(max(value), 0) FROM run WHERE name = 'calls'"),
                maybe_billed=maybe_billed,
                in_flight=in_flight,
                processes=len(living),
                store=str(read_setting(self._db, "store") or "full"),
                sealed=self._sealed(),
                services=self._services(),
                vanished=self._number("SELECT count(*) FROM source WHERE open = 0 AND failure = ?", GONE),
                max_calls=call_limit_of(self._db),
                answers=self._number("SELECT count(*) FROM item WHERE answer IS NOT NULL"),
                removed=self._number("SELECT count(*) FROM item WHERE state = 'succeeded' AND answer IS NULL"),
                corrections=self._number("SELECT count(*) FROM correction"),
                moved_to=cast("str | None", read_setting(self._db, "moved_to")),
            )

    def answers(self) -> int:
        """Return the number of stored answers."""
        with self._snapshot():
            return self._number("SELECT count(*) FROM answer")

    def pending(self) -> int:
        """Return the number of images that are still to be finished; fast, however long the run is."""
        with self._snapshot():
            return sum(map(self._number, view_queries.PENDING))

    # -----------------------------------------------------------------------------------------------------------------
    # Images

    def records(self, *, unread: bool = False) -> Iterator[SourceRecord]:
        """Yield every image under each of its names, at one moment and in bounded memory.

        They come in the order they were found; those without a name come last. Until all are taken, the log of a batch
        that runs meanwhile grows.

        Args:
            unread: Only images with a name that failed, are ambiguous, or were skipped.

        Raises:
            LedgerError: The run is sealed and no seal was given; the ledger cannot be read.
        """
        self._require_seal()
        if not unread:
            return self._in_blocks(view_queries.NAMED, view_queries.NAMELESS)
        return (record for record in self._in_blocks(view_queries.NAMED_UNREAD) if record.status in _UNREAD)

    def _in_blocks(self, *selections: str) -> Iterator[SourceRecord]:
        with self._snapshot() as living:
            for query in selections:
                rows = self._db.execute(query)
                while found := rows.fetchmany(_BLOCK):
                    records = [self._record(row, living) for row in found]
                    self._view.check()
                    yield from records

    def _record(self, row: tuple[Any, ...], living: Collection[int]) -> SourceRecord:
        path, page, document, status, failure, item, first, replaced, sealed = row
        name, copy_of = (None if one is None else os.fsdecode(one) for one in (path, first))
        # A name with both an item and a failure: its item was to be tried again, and its file was removed.
        entry = None if item is None or failure is not None else self._entry(item, living)
        if entry is not None and status in _MAY_BE_DUE:
            status = _status_of(entry.state)
        return SourceRecord(
            name,
            document,
            status,
            entry,
            failure or b"",
            copy_of,
            replaced=bool(replaced),
            page=page or None,
            columns=opened_columns(self._seal, sealed, path, page or None, document),
        )

    def documents(self) -> list[str]:
        """Return the vendor's path words of the documents that the run has, sorted."""
        with self._snapshot():
            return sorted(word for (word,) in self._db.execute(view_queries.DOCUMENTS))

    def own_columns(self, document: str) -> list[str]:
        """Return the names of the columns of their own that manifests gave the images of a document, sorted."""
        with self._snapshot():
            rows = self._db.execute(view_queries.OWN_COLUMNS, (document,))
            found = (opened_columns(self._seal, sealed, path, page or None, document) for path, page, sealed in rows)
            decoded = (msgspec.json.decode(columns, type=dict[str, Any]) for columns in found if columns)
            return sorted({name for columns in decoded for name in columns})

    def ambiguous_names(self) -> Iterator[str]:
        """Yield the names of the ambiguous images, as people read them; it needs no seal."""
        with self._snapshot() as living:
            found = [
                (path, page, sha256)
                for number, path, page, sha256 in self._db.execute(view_queries.AMBIGUOUS).fetchall()
                if self._entry(number, living).state is State.AMBIGUOUS
            ]
        for path, page, sha256 in found:
            if path is None:
                yield f"an image without a name, sha256 {sha256.hex()}"
            else:
                yield shown_path(os.fsdecode(path)) + (f"#{page}" if page else "")

    def recall(self, file: SourceFile, document: str) -> Entry | None:
        """Return the item of a file whose stamp is the one it was read with; None if there is none."""
        with self._snapshot() as living:
            row = item_statements.find_source(self._db, file, document)
            return None if row is None else self._stored_and_projected(row, living)[1]

    def find(self, item: Item) -> Entry | None:
        """Return an item as the run has it; None if it has not."""
        with self._snapshot() as living:
            row = item_statements.find_item(self._db, item)
            return None if row is None else self._stored_and_projected(row, living)[1]

    def corrections(self, item: Item | None = None, *, after: int = 0) -> Iterator[Correction]:
        """Yield the corrections with a number greater than ``after``, of one item if it is given, by their numbers.

        Raises:
            LedgerError: The run is sealed and no seal was given; the ledger cannot be read.
        """
        seal = self._require_seal()
        query = view_queries.CORRECTIONS if item is None else view_queries.CORRECTIONS_OF_ITEM
        wanted = () if item is None else (item.sha256, item.document, item.page or 0, item.recipe)
        with self._snapshot():
            while found := self._db.execute(query, (after, *wanted, _BLOCK)).fetchall():
                after = found[-1][0]
                corrections = [correction_of(row, seal) for row in found]
                self._view.check()
                yield from corrections

    def _require_seal(self) -> Seal:
        if self._seal is None:
            raise LedgerError(f"this run is sealed ({self._sealed()}); give its key (--key-file, CLOVA_OCR_KEY_FILE)")
        return self._seal

    # -----------------------------------------------------------------------------------------------------------------
    # What a batch would do

    def other_base_folder(self, folder: str) -> str | None:
        """Return the folder in which the run's relative paths start; None if that is the given one, or unknown."""
        with self._snapshot():
            recorded = worklist_statements.other_base_folder(self._db, os.fsencode(folder))
        return None if recorded is None else os.fsdecode(recorded)

    def to_read(self, document: str, retry_billings: Collection[Billing] = ()) -> Iterator[SourceFile]:
        """Yield the recorded files that a batch would read.

        Args:
            document: The vendor's path word.
            retry_billings: Unread items with one of these billings are tried again.
        """
        query, last = view_queries.TO_READ.format(_numbers(retry_billings)), 0
        while True:
            with self._snapshot() as living:
                found = self._db.execute(query, (document, last, _BLOCK)).fetchall()
                files = [
                    SourceFile(path, page=page or None)
                    for _, path, page, item in found
                    if self._is_read(item, living, retry_billings)
                ]
            if not found:
                return
            last = found[-1][0]
            yield from files

    def _is_read(self, number: int | None, living: Collection[int], retry_billings: Collection[Billing]) -> bool:
        """Return whether the file of an item is read, once what dead processes left of the item is settled."""
        if number is None:
            return True
        entry = self._entry(number, living)
        return entry.state is State.QUEUED or is_requeued(entry, retry_billings)

    # -----------------------------------------------------------------------------------------------------------------

    def _entry(self, number: int, living: Collection[int]) -> Entry:
        return self._stored_and_projected(item_statements.find_by_number(self._db, number), living)[1]

    def _stored_and_projected(self, row: tuple[Any, ...], living: Collection[int]) -> tuple[Entry, Entry]:
        """Return the item of a row as it is stored, and as the next batch will find it."""
        entry = entry_of(row, self._seal)
        if self._seal is None and entry.answered:  # only the sealed answer could settle it
            return entry, entry
        return entry, project(entry, owner_alive=entry.owner in living)

    @contextmanager
    def _snapshot(self) -> Generator[tuple[int, ...]]:
        """Read at one moment, and yield the owners that are alive then. A snapshot within another is part of that."""
        if self._living is not None:
            yield self._living
            return
        with translate_sqlite_errors():
            if self._view.is_outdated():
                self._view.close()
                self._view = open_view(self._path)
            self._db.execute("BEGIN")
            try:
                self._living = tuple(living_owners(self._db, self._process, self._clock()))
                yield self._living
                self._view.check()
            except sqlite3.Error:
                self._view.check()
                raise
            finally:
                self._living = None
                with suppress(sqlite3.ProgrammingError):  # it was closed before all records were taken
                    self._db.execute("ROLLBACK")

    def _counted(self, query: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        for word, count in self._db.execute(query):
            counts[word] += count
        return counts

    def _number(self, query: str, *values: object) -> int:
        (number,) = self._db.execute(query, values).fetchone()
        return int(number)

    def _services(self) -> tuple[str, ...]:
        stored = cast("bytes", read_setting(self._db, "services") or b"[]")
        return tuple(msgspec.json.decode(stored, type=list[str]))

    def _sealed(self) -> str | None:
        name = read_setting(self._db, "seal")
        return None if name in {None, NoSeal.name} else str(name)


def _status_of(state: State) -> str:
    return state.value if state.value in _STATUSES else "pending"


def _numbers(billings: Collection[Billing]) -> str:
    return ", ".join(str(int(billing)) for billing in billings)
