"""The tables of the store in memory, and the rules that its ledger, view and purge share."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.corrections import Correction
from clova_ocr_async.ledger.settlement import project
from clova_ocr_async.ledger.states import (
    Entry,
    Item,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from clova_ocr_async.ledger.states import FileStamp, SourceFile
    from clova_ocr_async.protocol.response import HTTPResponse


LEASE = 30.0

NameKey = tuple[str, bytes, int | None]
"""The document, the path, and the page."""


@dataclass(eq=False)
class Answer:
    """A stored answer."""

    item: int
    request_id: str
    response: HTTPResponse
    came: float


@dataclass(eq=False)
class Row:
    """An item; ``answer`` is the one that counts, ``was`` the last name of a picture that was replaced."""

    entry: Entry
    answer: Answer | None = None
    finished_at: float = 0.0
    was: bytes | None = None
    interrupted: int = 0

    def change(self, **values: Any) -> None:
        """Set attributes of the entry."""
        self.entry = dataclasses.replace(self.entry, **values)

    def set_answer(self, answer: Answer | None, **values: Any) -> None:
        """Set the answer that counts."""
        self.answer = answer
        response, came = (None, None) if answer is None else (answer.response, answer.came)
        self.change(answer=response, answered_at=came, answered=answer is not None, **values)

    def end_request(self, request_id: str, **values: Any) -> bool:
        """Mark that a request is in flight no more; return False if it was not."""
        entry = self.entry
        if (entry.request_id, entry.state, entry.in_flight) != (request_id, State.SENT, True):
            return False
        self.change(in_flight=False, **values)
        return True


@dataclass(eq=False)
class Name:
    """A page under a file name; ``row`` is its item once it was read."""

    number: int
    document: str
    path: bytes
    page: int | None = None
    columns: bytes = b""
    open: bool = False
    owner: int | None = None
    row: Row | None = None
    failure: bytes = b""
    stamp: FileStamp | None = None

    def link(self, row: Row | None, stamp: FileStamp | None = None, failure: bytes = b"") -> None:
        """Give the name to an item, or take it from its item."""
        if self.row is not None and self.row is not row:
            self.row.was = self.path
        self.row, self.stamp, self.failure, self.open, self.owner = row, stamp, failure, False, None


@dataclass(eq=False)
class MemoryRun:
    """One run: its tables, and the rules that its entry points share."""

    rows: dict[int, Row] = field(default_factory=dict[int, Row])
    names: dict[NameKey, Name] = field(default_factory=dict["NameKey", Name])
    answers: list[Answer] = field(default_factory=list[Answer])
    corrections: list[Correction] = field(default_factory=list[Correction])
    last_correction: int = 0
    owners: dict[int, tuple[Process, float]] = field(default_factory=dict[int, tuple[Process, float]])
    last_number: int = 0
    calls: int = 0
    store: str | None = None
    max_calls: int | None = None
    services: tuple[str, ...] = ()
    bound_by: int = 0
    base: str | None = None

    def next_number(self) -> int:
        """Return a number that neither an owner nor a name has."""
        self.last_number += 1
        return self.last_number

    def row_of(self, item: Item) -> Row | None:
        """Return an item's row."""
        return next((row for row in self.rows.values() if row.entry.item == item), None)

    def names_of(self, row: Row) -> list[Name]:
        """Return the names of an item, in the order they were found."""
        return [name for name in self.names.values() if name.row is row]

    def name(self, document: str, file: SourceFile) -> Name:
        """Return a name, added if it is new."""
        key = document, file.path, file.page
        if key not in self.names:
            self.names[key] = Name(self.next_number(), *key)
        if file.page is not None and (whole := self.names.pop((document, file.path, None), None)) is not None:
            whole.link(None)
        self.names[key].columns = file.columns or self.names[key].columns
        return self.names[key]

    def living(self, process: Process, now: float) -> list[int]:
        """Return the owners that are alive."""
        return [
            owner
            for owner, (found, expires) in self.owners.items()
            if not found.is_dead(process) and now <= expires <= now + 2 * LEASE
        ]

    def take_over(self, owners: Collection[int], now: float, *, interrupted: bool = True) -> None:
        """Settle what some owners have, and the ambiguous items that have an answer."""
        for row in self.rows.values():
            before = row.entry
            if before.owner in owners or before.state is State.AMBIGUOUS:
                row.entry = project(before, owner_alive=False)
                if row.entry.state is State.QUEUED:
                    row.interrupted = max(row.interrupted, interrupted)
                    self.reopen(row)
                elif row.entry is not before:
                    row.finished_at = now
        for name in self.names.values():
            if name.owner in owners:
                name.owner = None
        for owner in owners:
            self.owners.pop(owner, None)

    def reopen(self, row: Row) -> None:
        """Have the files of an item read again."""
        for name in self.names_of(row):
            name.open = True

    def recalled(self, file: SourceFile, document: str) -> Row | None:
        """Return the item of an unchanged file."""
        name = self.names.get((document, file.path, file.page))
        return name.row if name is not None and file.stamp is not None and name.stamp == file.stamp else None

    def other_base(self, folder: str) -> str | None:
        """Return the folder in which relative paths start, if that is another one."""
        if self.base is None or all(path.startswith(b"/") for _, path, _ in self.names):
            return None
        try:
            return None if os.path.samefile(self.base, folder) else self.base  # noqa: PTH121 - a text, as it was given
        except OSError:
            return None
