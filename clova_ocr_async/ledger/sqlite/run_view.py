"""Looking into a run directory without working on it: what became of its images, counted or one by one.

Nothing of the run is changed, and nobody is kept waiting: a batch may run meanwhile. Each look is a read of its own at
one moment; all records together are one look. What a dead process left is told as the next batch will settle it: in
doubt, or by its answer if that is on the disk, also if it is kept beside the ledger.
"""

from __future__ import annotations

import dataclasses
import os
import sqlite3
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

import msgspec

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import Billing, ConnectionLostError, LedgerError
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.settlement import GONE, encode_failure, settle_from_answer
from clova_ocr_async.ledger.sqlite import queries, statements, worklist
from clova_ocr_async.ledger.sqlite.errors import translate_sqlite_errors
from clova_ocr_async.ledger.sqlite.owners import living_owners
from clova_ocr_async.ledger.sqlite.run_settings import ceiling_of, check_seal, value_of
from clova_ocr_async.ledger.sqlite.snapshot import open_view
from clova_ocr_async.ledger.states import TRANSITIONS, State
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator

    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.states import Entry, Item, SourceFile
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["RunReader", "RunStatus", "SourceRecord"]

_PAGE = 64  # images a look; each may bring an answer of megabytes
_UNREAD = ("failed", "ambiguous", "skipped")
_OPEN_STATES = (State.SENT, State.AMBIGUOUS)  # an answer may have come, and is not marked yet
_STATUSES = ("succeeded", *_UNREAD, "pending")
_ENDED = ConnectionLostError("the process that sent it is gone, and no answer came; it may have been billed")


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is.

    Attributes:
        images: How many there are by status: "succeeded", "failed", "ambiguous", "skipped", "pending". Every name an
            image goes by counts; a picture that was replaced under its last name does not.
        items: How many different ones of them were read from the disk, by state; one is paid once.
        calls: Calls that were paid, or may have been, over the life of the run, those under way included.
        perhaps: Those of them of which nobody knows whether they were paid.
        under_way: Those of them whose answer is still awaited.
        processes: How many are at work.
        store: "full" if answers are kept, "none" if not.
        sealed: What seals them; None if they lie open.
        services: Whose answers they are.
        vanished: Skipped images whose file had gone before it was read.
        max_calls: How many calls there may be over the life of the run; None for any number.
        answers: Answers that are kept.
        removed: Different images that were read and whose answer is not kept.
    """

    images: dict[str, int]
    items: dict[str, int]
    calls: int
    perhaps: int
    under_way: int
    processes: int
    store: str
    sealed: str | None
    services: tuple[str, ...]
    vanished: int = 0
    max_calls: int | None = None
    answers: int = 0
    removed: int = 0

    @property
    def total(self) -> int:
        """How many images there are."""
        return sum(self.images.values())

    @property
    def billed(self) -> int:
        """Calls that were paid."""
        return self.calls - self.perhaps - self.under_way


@dataclass(frozen=True, slots=True, repr=False)
class SourceRecord:
    """What became of one image under one of its names.

    Attributes:
        path: The name; None if it came without one.
        document: The vendor's path word.
        status: "succeeded", "failed", "ambiguous", "skipped" or "pending".
        entry: What the ledger holds of it; None if it was not read from the disk.
        failure: Why it could not be read from the disk, as ``encode_failure`` wrote it; empty if that is not known.
        copy_of: The name under which the same image was found first, which is the one that was paid for; None if this
            is it.
        replaced: Whether something else is under the name since, and the image has no other one: it is kept because it
            was paid, or may have been, and is not counted among the images.
    """

    path: str | None
    document: str
    status: str
    entry: Entry | None = None
    failure: bytes = b""
    copy_of: str | None = None
    replaced: bool = False


class RunReader:
    """Looks into a run directory; a context manager, for one thread.

    Args:
        folder: The run directory.
        seal: Opens what is stored. None if nothing will be opened, which is enough for counts and names.
        process: Who looks.
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
        self._given = folder
        self._seal = seal
        self._process = process or Process.this()
        self._clock = clock
        self._living: tuple[int, ...] | None = None  # while a look is under way

    def __enter__(self) -> Self:
        with translate_sqlite_errors():
            self._view = open_view(self._given)
            try:
                self._agree()
            except BaseException:
                self._view.close()
                raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._view.close()

    @property
    def _db(self) -> sqlite3.Connection:
        return self._view.db

    def _agree(self) -> None:
        if self._seal is not None:
            check_seal(self._db, self._seal)
        elif value_of(self._db, "seal") in {None, NoSeal.name}:
            self._seal = NoSeal()

    def status(self) -> RunStatus:
        """Return how far the run is."""
        with self._look() as living:
            images = self._counted(f"{queries.COUNT_NAMED} UNION ALL {queries.COUNT_NAMELESS}")
            items = self._counted("SELECT state, count(*) FROM item GROUP BY state")
            self._settle_counts(images, items, living)
            under_way = self._number(f"SELECT count(*) FROM item WHERE sent_at IS NOT NULL AND {_held(living)}")
            lost = self._number(f"SELECT count(*) FROM item WHERE sent_at IS NOT NULL AND NOT {_held(living)}")
            return RunStatus(
                images={word: images[word] for word in _STATUSES if images[word]},
                items={state.value: items[state] for state in State if items[state]},
                calls=self._number("SELECT coalesce(max(value), 0) FROM run WHERE name = 'calls'"),
                perhaps=lost + self._number("SELECT coalesce(sum(maybe_billed), 0) FROM item"),
                under_way=under_way,
                processes=len(living),
                store=str(value_of(self._db, "store") or "full"),
                sealed=self._sealed(),
                services=self._services(),
                vanished=self._number("SELECT count(*) FROM source WHERE open = 0 AND failure = ?", GONE),
                max_calls=ceiling_of(self._db),
                answers=self._number("SELECT count(*) FROM item WHERE answer IS NOT NULL"),
                removed=self._number("SELECT count(*) FROM item WHERE state = 'succeeded' AND answer IS NULL"),
            )

    def _settle_counts(self, images: Counter[str], items: Counter[str], living: Collection[int]) -> None:
        """Count what is sent, or was given up and then answered, as what it is; few, since they were under way once."""
        for number, before in self._db.execute(queries.UNSETTLED).fetchall():
            state = self._entry(number, living).state
            names = self._number(queries.COUNT_NAMES, number)
            images[before] -= names
            images[_status_of(state)] += names
            items[before] -= 1
            items[state.value] += 1

    def records(self, *, unread: bool = False) -> Iterator[SourceRecord]:
        """Yield what became of every image at one moment, in the order they were found; in bounded memory.

        While they are taken, the log of a run at work grows.

        Args:
            unread: Only those with a name that failed, are in doubt, or were skipped.

        Raises:
            LedgerError: The run is sealed and no seal was given; the ledger cannot be read.
        """
        if self._seal is None:
            raise LedgerError(f"this run is sealed ({self._sealed()}); give its key (--key-file, CLOVA_OCR_KEY_FILE)")
        if not unread:
            return self._paged(queries.NAMED, queries.NAMELESS)
        return (record for record in self._paged(queries.NAMED_UNREAD) if record.status in _UNREAD)

    def _paged(self, *selections: str) -> Iterator[SourceRecord]:
        with self._look() as living:
            for query in selections:
                last = 0
                while found := self._db.execute(query, (last, _PAGE)).fetchall():
                    page = [self._record(row, living) for row in found]
                    self._view.check()
                    last = found[-1][0]
                    yield from page

    def _record(self, row: tuple[Any, ...], living: Collection[int]) -> SourceRecord:
        _, path, document, word, failure, item, first, replaced = row
        name, copy_of = (None if one is None else os.fsdecode(one) for one in (path, first))
        # An item beside a failure was to be tried again, and its file has gone.
        entry = None if item is None or failure is not None else self._entry(item, living)
        if entry is not None and word in _OPEN_STATES:
            word = _status_of(entry.state)
        return SourceRecord(name, document, word, entry, failure or b"", copy_of, replaced=bool(replaced))

    def doubtful(self) -> Iterator[str]:
        """Yield the names of the images in doubt, as they are told; it needs no seal."""
        with self._look() as living:
            found = [
                (path, sha256)
                for number, path, sha256 in self._db.execute(queries.DOUBTFUL).fetchall()
                if self._entry(number, living).state is State.AMBIGUOUS
            ]
        for path, sha256 in found:
            yield f"an image without a name, sha256 {sha256.hex()}" if path is None else shown_path(os.fsdecode(path))

    def answers(self) -> int:
        """Return how many answers are kept."""
        with self._look():
            return self._number("SELECT count(*) FROM answer")

    def pending(self) -> int:
        """Return how many images are still to be finished; quick, however many there are."""
        with self._look():
            return sum(map(self._number, queries.PENDING))

    # -----------------------------------------------------------------------------------------------------------------
    # What a batch would do

    def starts_elsewhere(self, folder: str) -> str | None:
        """Return the folder in which the run's relative paths start; None if that is the given one."""
        with self._look():
            kept = worklist.starts_elsewhere(self._db, os.fsencode(folder))
        return None if kept is None else os.fsdecode(kept)

    def to_read(self, document: str, again: Collection[Billing] = ()) -> Iterator[str]:
        """Yield the files that a batch would read, whatever else it finds.

        Args:
            document: The vendor's path word.
            again: Images that were not read are tried again if their billing is one of these.
        """
        last = 0
        while True:
            with self._look():
                page = self._db.execute(queries.TO_READ.format(_numbers(again)), (last, document, _PAGE)).fetchall()
            if not page:
                return
            last = page[-1][0]
            yield from (os.fsdecode(path) for _, path in page)

    def is_to_read(self, path: str, document: str, again: Collection[Billing] = ()) -> bool:
        """Whether a file is one of ``to_read``."""
        with self._look():
            return bool(self._number(queries.IS_TO_READ.format(_numbers(again)), document, os.fsencode(path)))

    def recall(self, file: SourceFile, document: str) -> Entry | None:
        """Return what is known of a file that has not changed since it was read."""
        with self._look() as living:
            row = statements.find_source(self._db, file, document)
            return None if row is None else self._entry(row[0], living)

    def find(self, item: Item) -> Entry | None:
        """Return what is known of an item."""
        with self._look() as living:
            row = statements.find_item(self._db, item)
            return None if row is None else self._entry(row[0], living)

    # -----------------------------------------------------------------------------------------------------------------

    def _entry(self, number: int, living: Collection[int]) -> Entry:
        """Return an item as the next batch will find it; without a seal, without what is sealed."""
        row = statements.find_number(self._db, number)
        entry = statements.entry_of(row if self._seal is not None else (*row[:9], *(None,) * 6), self._seal or NoSeal())
        if entry.state not in _OPEN_STATES:
            return entry
        query = "SELECT owner, sent_at, answer FROM item WHERE id = ?"
        (owner, sent_at, answer) = self._db.execute(query, (number,)).fetchone()
        if answer is not None:
            return entry if entry.answer is None else _answered(entry, entry.answer)
        if entry.state is State.AMBIGUOUS or owner in living:
            return entry
        return _lost(entry, counted=sent_at is None)

    @contextmanager
    def _look(self) -> Generator[tuple[int, ...]]:
        """Read at one moment; who is at work at that moment belongs to it. A look within another is part of that."""
        if self._living is not None:
            yield self._living
            return
        with translate_sqlite_errors():
            if self._view.is_outdated():
                self._view.close()
                self._view = open_view(self._given)
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
        return tuple(msgspec.json.decode(cast("bytes", value_of(self._db, "services") or b"[]"), type=list[str]))

    def _sealed(self) -> str | None:
        name = value_of(self._db, "seal")
        return None if name in {None, NoSeal.name} else str(name)


# ---------------------------------------------------------------------------------------------------------------------
# What a dead process left


def _answered(entry: Entry, answer: HTTPResponse) -> Entry:
    """Return an item that has its answer and is not marked yet, as it will be marked."""
    verdict = settle_from_answer(answer, DOCUMENTS[entry.item.document], entry.request_id or "")
    state = TRANSITIONS[State.SENT, verdict.mark]
    return dataclasses.replace(entry, state=state, billing=verdict.billing, failure=verdict.failure)


def _lost(entry: Entry, *, counted: bool) -> Entry:
    """Return an item whose process is gone, and no answer has come."""
    return dataclasses.replace(
        entry,
        state=State.AMBIGUOUS,
        billing=Billing.MAYBE_BILLED,
        maybe_billed=entry.maybe_billed + (not counted),
        failure=encode_failure(_ENDED),
    )


# ---------------------------------------------------------------------------------------------------------------------
# SQL


def _status_of(state: State) -> str:
    return state.value if state.value in _STATUSES else "pending"


def _held(living: Collection[int]) -> str:
    return f"owner IN ({', '.join(map(str, living))})"


def _numbers(billings: Collection[Billing]) -> str:
    return ", ".join(str(int(billing)) for billing in billings)
