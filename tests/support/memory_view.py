"""A view of a run in memory, and its purge."""

from __future__ import annotations

import copy
import json
import os
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from clova_ocr_async.errors import (
    APIError,
    Billing,
    ClovaOCRError,
    LedgerError,
)
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.settlement import GONE, decode_failure, encode_failure, is_requeued, project
from clova_ocr_async.ledger.states import (
    Entry,
    Item,
    SourceFile,
    State,
)
from clova_ocr_async.ledger.storage import Purged, RunStatus, SourceRecord
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Iterator

    from clova_ocr_async.ledger.corrections import Correction
    from support.memory_run import MemoryRun, Name, Row


UNREAD = ("failed", "ambiguous", "skipped")
STATUSES = ("succeeded", *UNREAD, "pending")


class MemoryView:
    """The ``RunView`` of a ``MemoryRun``."""

    def __init__(self, run: MemoryRun, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._run = run
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """See the run as it is now."""
        run = self._run
        self._run = copy.deepcopy(run)
        try:
            yield
        finally:
            self._run = run

    def _living(self) -> list[int]:
        return self._run.living(Process.this(), self._clock())

    def _entry(self, row: Row) -> Entry:
        return project(row.entry, owner_alive=row.entry.owner in self._living())

    def status(self) -> RunStatus:
        """Return the progress."""
        run = self._run
        entries = [self._entry(row) for row in run.rows.values()]
        images = Counter(record.status for record in self._records() if not record.replaced)
        items = Counter(entry.state for entry in entries)
        return RunStatus(
            images={word: images[word] for word in STATUSES if images[word]},
            items={state.value: items[state] for state in State if items[state]},
            calls=run.calls,
            maybe_billed=sum(entry.maybe_billed for entry in entries),
            in_flight=sum(entry.in_flight for entry in entries),
            processes=len(self._living()),
            store=run.store or "full",
            sealed=None,
            services=run.services,
            vanished=sum(not name.open and name.failure == GONE for name in run.names.values()),
            max_calls=run.max_calls,
            answers=sum(entry.answered for entry in entries),
            removed=sum(row.entry.state is State.SUCCEEDED and row.answer is None for row in run.rows.values()),
            corrections=len(run.corrections),
        )

    def records(self, *, unread: bool = False) -> Iterator[SourceRecord]:
        """Yield every image."""
        found = list(self._records())
        return iter([one for one in found if one.path is not None and one.status in UNREAD] if unread else found)

    def _records(self) -> Iterator[SourceRecord]:
        for name in _by_file(self._run.names.values()):
            entry = None if name.row is None or name.failure else self._entry(name.row)
            first = (
                None if name.row is None else next(iter(filter(_holds_its_item, self._run.names_of(name.row))), None)
            )
            copy_of = os.fsdecode(first.path) if first is not None and first.number < name.number else None
            path = os.fsdecode(name.path)
            yield SourceRecord(
                path,
                name.document,
                self._status(name.row, name),
                entry,
                name.failure,
                copy_of,
                page=name.page,
                columns=name.columns,
            )
        for row in self._run.rows.values():
            if self._run.names_of(row):
                continue
            entry = self._entry(row)
            spent = entry.state is State.AMBIGUOUS or entry.billing is not Billing.NOT_BILLED or entry.maybe_billed
            if row.was is None or spent or row.entry.state is State.SENT:
                last = None if row.was is None else os.fsdecode(row.was)
                item = row.entry.item
                replaced = row.was is not None
                yield SourceRecord(
                    last, item.document, self._status(row, None), entry, replaced=replaced, page=item.page
                )

    def _status(self, row: Row | None, name: Name | None) -> str:
        state = None if row is None else self._entry(row).state
        if row is None or row.entry.state not in {State.SENT, State.AMBIGUOUS}:
            if name is not None and name.open and (name.stamp is not None or row is None):
                return "pending"
            if name is not None and name.failure:
                return "skipped"
        return state.value if state is not None and state.value in STATUSES else "pending"

    def documents(self) -> list[str]:
        """Return the documents of the run."""
        words = {name.document for name in self._run.names.values()}
        return sorted(words | {row.entry.item.document for row in self._run.rows.values()})

    def own_columns(self, document: str) -> list[str]:
        """Return the names of own columns."""
        found = [name.columns for name in self._run.names.values() if name.document == document and name.columns]
        return sorted({key for columns in found for key in json.loads(columns)})

    def ambiguous_names(self) -> Iterator[str]:
        """Yield the names of ambiguous images."""
        for row in self._run.rows.values():
            if self._entry(row).state is State.AMBIGUOUS:
                paths = [name.path for name in self._run.names_of(row)] or ([] if row.was is None else [row.was])
                page = row.entry.item.page
                yield from (shown_path(os.fsdecode(path)) + (f"#{page}" if page else "") for path in paths)
                if not paths:
                    yield f"an image without a name, sha256 {row.entry.item.sha256.hex()}"

    def answers(self) -> int:
        """Return the number of stored answers."""
        return len(self._run.answers)

    def pending(self) -> int:
        """Return the number of images to finish."""
        names = sum(name.open or name.owner is not None for name in self._run.names.values())
        return names + sum(row.entry.owner is not None and not row.entry.answered for row in self._run.rows.values())

    def other_base_folder(self, folder: str) -> str | None:
        """Return another base folder."""
        return self._run.other_base(folder)

    def to_read(self, document: str, retry_billings: Collection[Billing] = ()) -> Iterator[SourceFile]:
        """Yield the files to read."""
        for name in list(self._run.names.values()):
            if name.document == document and (name.open or self._is_read_again(name.row, retry_billings)):
                yield SourceFile(name.path, page=name.page)

    def _is_read_again(self, row: Row | None, retry_billings: Collection[Billing]) -> bool:
        if row is None:
            return False
        entry = self._entry(row)
        released = entry.state is State.QUEUED and row.entry.state is State.CLAIMED
        return released or is_requeued(entry, retry_billings)

    def recall(self, file: SourceFile, document: str) -> Entry | None:
        """Return the item of an unchanged file."""
        found = self._run.recalled(file, document)
        return None if found is None else self._entry(found)

    def find(self, item: Item) -> Entry | None:
        """Return an item."""
        return None if (row := self._run.row_of(item)) is None else self._entry(row)

    def corrections(self, item: Item | None = None, *, after: int = 0) -> Iterator[Correction]:
        """Yield corrections."""
        wanted = [one for one in self._run.corrections if one.number > after]
        return (one for one in wanted if item is None or one.item == item)


def purge_memory(
    run: MemoryRun,
    older_than: float | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    now: Callable[[], float] = time.time,
) -> Purged:
    """Remove stored answers with their corrections, and the words of errors."""
    if run.living(Process.this(), clock()):
        raise LedgerError("1 process is at work on this run; wait for it to end, or end it, then purge again")
    run.take_over(list(run.owners), now())
    before = float("inf") if older_than is None else now() - older_than
    gone = {id(answer) for answer in run.answers if answer.came < before}
    run.answers = [answer for answer in run.answers if id(answer) not in gone]
    failures = 0
    for row in run.rows.values():
        if row.answer is not None and id(row.answer) in gone:
            row.set_answer(None)
        if row.entry.failure and row.finished_at < before:
            bare = encode_failure(_without_words(decode_failure(row.entry.failure)))
            failures += bare != row.entry.failure
            row.change(failure=bare)
    unanswered = [row.entry.item for row in run.rows.values() if row.answer is None]
    kept = [one for one in run.corrections if one.item not in unanswered]
    removed, run.corrections = len(run.corrections) - len(kept), kept
    return Purged(len(gone), failures, removed)


def _by_file(names: Iterable[Name]) -> Iterator[Name]:
    """Yield names in the order their files were found, the pages of a file one after the other."""
    files: dict[tuple[str, bytes], list[Name]] = {}
    for name in names:
        files.setdefault((name.document, name.path), []).append(name)
    for pages in files.values():
        yield from sorted(pages, key=lambda name: name.page or 0)


def _holds_its_item(name: Name) -> bool:
    in_doubt = name.row is not None and name.row.entry.state in {State.AMBIGUOUS, State.SENT}
    return not name.open or name.stamp is None or in_doubt


def _without_words(error: ClovaOCRError) -> ClovaOCRError:
    words = "its message was deleted by a purge"
    return type(error)(error.status, error.code, words) if isinstance(error, APIError) else type(error)(words)
