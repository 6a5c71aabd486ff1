"""A view of a run in PostgreSQL that changes nothing of it: its images, counted or one by one.

Batches may run meanwhile, and are not kept waiting: each method reads the run at one moment, in a read-only
transaction; all records together are one read. What a dead process left is shown as the next batch will settle it
(``project``). Answers that a host keeps while the server is away are not shown, as other hosts cannot see them:
``status`` names the files of this host.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import msgspec

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.postgres import item_statements, view_queries, worklist_statements
from clova_ocr_async.ledger.postgres.existing_run import waiting_files
from clova_ocr_async.ledger.postgres.location import run_location
from clova_ocr_async.ledger.postgres.snapshot import RunSnapshots
from clova_ocr_async.ledger.run_status import RunStatus
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.settlement import GONE, is_requeued, project
from clova_ocr_async.ledger.states import SourceFile, SourceRecord, State
from clova_ocr_async.ledger.stored_values import correction_of, entry_of, opened_columns
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence
    from typing import LiteralString

    from clova_ocr_async.errors import Billing
    from clova_ocr_async.ledger.corrections import Correction
    from clova_ocr_async.ledger.postgres.snapshot import Moment
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.states import Entry, Item
    from clova_ocr_async.server_url import ServerURL

__all__ = ["PostgresRunReader"]

_BLOCK = 64  # images a query; each may bring an answer of megabytes into memory
_UNREAD = ("failed", "ambiguous", "skipped")
_MAY_BE_DUE = (State.SENT, State.AMBIGUOUS)
_STATUSES = ("succeeded", *_UNREAD, "pending")


class PostgresRunReader:
    """The ``RunView`` of a run in PostgreSQL; a context manager, for one thread.

    A long look keeps the server from cleaning up what is deleted meanwhile, in all of its database, until it ends.

    Args:
        dsn: The URL of the database: ``postgresql://user@host:port/database``, also with ``?run=NAME``.
        seal: Opens what is sealed. None if nothing will be opened, which is enough for counts and names.
        run: The name of the run, unless the URL has it.
        process: The process that reads.
        clock: Returns seconds of the clock that leases end by; the server's if not given.

    Raises:
        ConfigurationError: The URL cannot be one.
        LedgerError: On entering: there is no such run, it cannot be read, or the seal is not the run's.
    """

    def __init__(
        self,
        dsn: str | ServerURL,
        seal: Seal | None = None,
        *,
        run: str | None = None,
        process: Process | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._seal = seal
        self._snapshots = RunSnapshots(run_location(dsn, run), process or Process.this(), clock)

    def __enter__(self) -> Self:
        try:
            with self._snapshots.take() as moment:
                if self._seal is not None:
                    moment.run.check_seal(self._seal)
                elif moment.run.sealed is None:
                    self._seal = NoSeal()
        except BaseException:
            self._snapshots.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._snapshots.close()

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Let all methods see the run at one moment, that of entering the context."""
        with self._snapshots.take():
            yield

    # -----------------------------------------------------------------------------------------------------------------
    # Counts

    def status(self) -> RunStatus:
        """Return the progress of the run."""
        with self._snapshots.take() as moment:
            images = moment.counted(f"{view_queries.COUNT_NAMED} UNION ALL {view_queries.COUNT_NAMELESS}")
            items = moment.counted(view_queries.COUNT_ITEMS)
            maybe_billed, answers, removed, vanished, corrections = moment.row(view_queries.COUNTS, gone=GONE)
            in_flight = 0
            for stored, entry, names in self._unsettled(moment):
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
                calls=moment.run.calls,
                maybe_billed=int(maybe_billed),
                in_flight=in_flight,
                processes=len(moment.living),
                store=moment.run.store,
                sealed=moment.run.sealed,
                services=moment.run.services,
                vanished=vanished,
                max_calls=moment.run.max_calls,
                answers=answers,
                removed=removed,
                corrections=corrections,
                overflow_files=tuple(shown_path(str(path)) for path in waiting_files(moment.db, moment.run)),
                moved_to=moment.run.moved_to,
            )

    def _unsettled(self, moment: Moment) -> Iterator[tuple[Entry, Entry, int]]:
        """Yield the items whose settlement may be due: as stored, as the next batch finds it, and how many names."""
        numbers = [number for (number,) in moment.rows(view_queries.UNSETTLED)]  # few: each was in work once
        for at in range(0, len(numbers), _BLOCK):
            block = numbers[at : at + _BLOCK]
            names = dict(moment.rows(view_queries.COUNT_NAMES, items=block))
            for number, (stored, entry) in self._stored_and_projected(moment, block).items():
                yield stored, entry, names[number]

    def answers(self) -> int:
        """Return the number of stored answers."""
        with self._snapshots.take() as moment:
            return int(moment.row(view_queries.ANSWERS)[0])

    def pending(self) -> int:
        """Return the number of images that are still to be finished; fast, however long the run is."""
        with self._snapshots.take() as moment:
            return int(moment.row(view_queries.PENDING)[0])

    # -----------------------------------------------------------------------------------------------------------------
    # Images

    def records(self, *, unread: bool = False) -> Iterator[SourceRecord]:
        """Yield every image under each of its names, at one moment and in bounded memory.

        They come in the order they were found; those without a name come last.

        Args:
            unread: Only images with a name that failed, are ambiguous, or were skipped.

        Raises:
            LedgerError: The run is sealed and no seal was given; the database cannot be read.
        """
        self._require_seal()
        if not unread:
            return self._in_blocks(view_queries.NAMED, view_queries.NAMELESS)
        return (record for record in self._in_blocks(view_queries.NAMED_UNREAD) if record.status in _UNREAD)

    def _in_blocks(self, *selections: LiteralString) -> Iterator[SourceRecord]:
        with self._snapshots.take() as moment:
            for query in selections:
                for found in moment.blocks(query, _BLOCK):
                    # A name with both an item and a failure: its item was to be tried again, and its file was removed.
                    numbers = [item for _, _, _, _, failure, item, *_ in found if item is not None and failure is None]
                    entries = self._stored_and_projected(moment, numbers)
                    yield from (self._record(row, entries) for row in found)

    def _record(self, row: tuple[Any, ...], entries: dict[int, tuple[Entry, Entry]]) -> SourceRecord:
        path, page, document, status, failure, item, first, replaced, sealed = row
        name, copy_of = (None if one is None else os.fsdecode(one) for one in (path, first))
        entry = None if item is None or failure is not None else entries[item][1]
        if entry is not None and status in _MAY_BE_DUE:
            status = _status_of(entry.state)
        return SourceRecord(
            name,
            document,
            status,
            entry,
            failure or b"",
            copy_of,
            replaced=replaced,
            page=page or None,
            columns=opened_columns(self._seal, sealed, path, page or None, document),
        )

    def documents(self) -> list[str]:
        """Return the vendor's path words of the documents that the run has, sorted."""
        with self._snapshots.take() as moment:
            return sorted(word for (word,) in moment.rows(view_queries.DOCUMENTS))

    def own_columns(self, document: str) -> list[str]:
        """Return the names of the columns of their own that manifests gave the images of a document, sorted."""
        names: set[str] = set()
        with self._snapshots.take() as moment:
            for block in moment.blocks(view_queries.OWN_COLUMNS, _BLOCK, document=document):
                found = (
                    opened_columns(self._seal, sealed, path, page or None, document) for path, page, sealed in block
                )
                for columns in filter(None, found):
                    names.update(msgspec.json.decode(columns, type=dict[str, Any]))
        return sorted(names)

    def ambiguous_names(self) -> Iterator[str]:
        """Yield the names of the ambiguous images, as people read them; it needs no seal."""
        with self._snapshots.take() as moment:
            for found in moment.blocks(view_queries.AMBIGUOUS, _BLOCK):
                entries = self._stored_and_projected(moment, [number for number, *_ in found])
                for number, path, page, sha256 in found:
                    if entries[number][1].state is not State.AMBIGUOUS:
                        continue
                    if path is None:
                        yield f"an image without a name, sha256 {sha256.hex()}"
                    else:
                        yield shown_path(os.fsdecode(path)) + (f"#{page}" if page else "")

    def recall(self, file: SourceFile, document: str) -> Entry | None:
        """Return the item of a file whose stamp is the one it was read with; None if there is none."""
        with self._snapshots.take() as moment:
            row = item_statements.find_source(moment.db, moment.run.number, file, document)
            return None if row is None else self._both(row, moment.living)[1]

    def find(self, item: Item) -> Entry | None:
        """Return an item as the run has it; None if it has not."""
        with self._snapshots.take() as moment:
            row = item_statements.find_item(moment.db, moment.run.number, item)
            return None if row is None else self._both(row, moment.living)[1]

    def corrections(self, item: Item | None = None, *, after: int = 0) -> Iterator[Correction]:
        """Yield the corrections with a number greater than ``after``, of one item if it is given, by their numbers.

        Raises:
            LedgerError: The run is sealed and no seal was given; the database cannot be read.
        """
        seal = self._require_seal()
        query, wanted = view_queries.CORRECTIONS, dict[str, Any]()
        if item is not None:
            query = view_queries.CORRECTIONS_OF_ITEM
            wanted = {"sha256": item.sha256, "document": item.document, "page": item.page or 0, "recipe": item.recipe}
        with self._snapshots.take() as moment:
            for found in moment.blocks(query, _BLOCK, after=after, **wanted):
                yield from (correction_of(row, seal) for row in found)

    def _require_seal(self) -> Seal:
        if self._seal is None:
            with self._snapshots.take() as moment:
                raise LedgerError(
                    f"this run is sealed ({moment.run.sealed}); give its key (--key-file, CLOVA_OCR_KEY_FILE)"
                )
        return self._seal

    # -----------------------------------------------------------------------------------------------------------------
    # What a batch would do

    def other_base_folder(self, folder: str) -> str | None:
        """Return the folder in which the run's relative paths start; None if that is the given one, or unknown."""
        with self._snapshots.take() as moment:
            recorded = worklist_statements.other_base_folder(moment.db, moment.run.number, os.fsencode(folder))
        return None if recorded is None else os.fsdecode(recorded)

    def to_read(self, document: str, retry_billings: Collection[Billing] = ()) -> Iterator[SourceFile]:
        """Yield the recorded files that a batch would read.

        Args:
            document: The vendor's path word.
            retry_billings: Unread items with one of these billings are tried again.
        """
        wanted = {"document": document, "billings": [int(billing) for billing in retry_billings]}
        with self._snapshots.take() as moment:
            for found in moment.blocks(view_queries.TO_READ, _BLOCK, **wanted):
                # Where an item decides, once what dead processes left of it is settled.
                entries = self._stored_and_projected(moment, [item for *_, item in found if item is not None])
                for path, page, item in found:
                    if item is None or _is_read(entries[item][1], retry_billings):
                        yield SourceFile(path, page=page or None)

    # -----------------------------------------------------------------------------------------------------------------

    def _stored_and_projected(self, moment: Moment, numbers: Sequence[int]) -> dict[int, tuple[Entry, Entry]]:
        """Return some items as they are stored, and as the next batch will find them."""
        rows = item_statements.find_by_numbers(moment.db, numbers)
        return {row[0]: self._both(row, moment.living) for row in rows}

    def _both(self, row: tuple[Any, ...], living: Collection[int]) -> tuple[Entry, Entry]:
        entry = entry_of(row, self._seal)
        if self._seal is None and entry.answered:  # only the sealed answer could settle it
            return entry, entry
        return entry, project(entry, owner_alive=entry.owner in living)


def _is_read(entry: Entry, retry_billings: Collection[Billing]) -> bool:
    return entry.state is State.QUEUED or is_requeued(entry, retry_billings)


def _status_of(state: State) -> str:
    return state.value if state.value in _STATUSES else "pending"
