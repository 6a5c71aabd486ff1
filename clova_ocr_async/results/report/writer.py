"""The report of a run, written piece by piece: rows as they are read, and what is known of the whole run at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.results.corrections import answer_texts, reviews_of
from clova_ocr_async.results.possible_copies import PossibleCopies
from clova_ocr_async.results.report import page
from clova_ocr_async.results.report.album import Album
from clova_ocr_async.results.report.budget import MOST_DOCUMENTS, Budget
from clova_ocr_async.results.report.not_shown import not_shown
from clova_ocr_async.results.report.reading import read_record
from clova_ocr_async.results.report.reviewed_rows import reviewed_row
from clova_ocr_async.results.report.rows import row_of
from clova_ocr_async.results.report.summary import Summary

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable
    from decimal import Decimal

    from clova_ocr_async.ledger.states import SourceRecord
    from clova_ocr_async.ledger.storage import RunView
    from clova_ocr_async.results.corrections import Review
    from clova_ocr_async.results.report.album import PictureFolder, Pictures, Shown
    from clova_ocr_async.results.report.summary import RetryCommand
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["ReportOptions", "Written", "chosen_pictures", "write_report"]

_ROWS = 200  # in a block
_BLOCK = 4_000_000  # characters of pictures behind a block of rows, about
_SMALL_RUN = 200  # documents whose pictures fit into the page
_PLAIN = 120  # characters of a row in the plain table, about


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """The options of a report.

    Attributes:
        title: The name of the run.
        made_at: The time.
        policy: How numbers are masked; None for as they are.
        language: The language in which the page opens.
        price: KRW per call; None if it is not known.
        pictures: The place of pictures in full size.
        embed_limit: Most documents with a thumbnail in the page.
        words: Returns the message of an error in the words of the place where the page is made.
        retry: Returns the commands that send images again.
    """

    title: str
    made_at: dt.datetime
    policy: Policy | None = "standard"
    language: page.Language = "en"
    price: Decimal | None = None
    pictures: Pictures = "none"
    embed_limit: int = MOST_DOCUMENTS
    words: Callable[[str], str] = str
    retry: RetryCommand


@dataclass(slots=True)
class Written:
    """The result of a report.

    Attributes:
        records: Rows on the page.
        refused: Rows without values, because they could not be masked.
    """

    records: int
    refused: int


def chosen_pictures(images: int, *, beside: bool) -> Pictures:
    """Return the place of pictures in full size that fits a run, where none was asked for.

    Args:
        images: The number of images of the run.
        beside: Whether there is a place for a folder beside the page.
    """
    if images <= _SMALL_RUN:
        return "embed"
    return "copy" if beside else "none"


def write_report(
    view: RunView,
    options: ReportOptions,
    write: Callable[[bytes], object],
    folder: PictureFolder | None = None,
) -> Written:
    """Write the report of a run, all as it is at one moment, in bounded memory.

    Args:
        view: The open run.
        options: The options.
        write: Writes the next bytes of the page.
        folder: The folder of pictures beside the page; needed for copies and links.
    """
    with view.snapshot():
        status = view.status()
        with PossibleCopies(sum(status.items.values())) as seen:
            budget = Budget(options.embed_limit, status.total)
            album = Album(options.pictures, options.policy, budget, folder, options.words)
            text = _Text(options, write)
            rows = _Rows(options, album, budget, Summary(seen), text)
            # People wrote them one by one, so they fit in memory.
            reviews = reviews_of(view.corrections())
            for record in view.records():
                rows.add(record, None if record.entry is None else reviews.get(record.entry.item))
            run = rows.summary.to_dict(status, options.retry)
            text.end(run | {"not_shown": not_shown(album, rows.shortened)})
            return Written(rows.summary.records, rows.summary.refused)


class _Text:
    """The text of the page, written block by block.

    Args:
        options: The options.
        write: Writes the next bytes.
    """

    def __init__(self, options: ReportOptions, write: Callable[[bytes], object]) -> None:
        self._options = options
        self._write = write
        self._rows: list[dict[str, Any]] = []
        self._thumbnails: list[str] = []
        self._pictures: list[str] = []
        self._length = 0  # of the pictures
        self._put(page.head(options.title, masked=options.policy is not None, language=options.language))

    def add(self, row: dict[str, Any], shown: Shown) -> None:
        """Add a row, and its pictures, which follow its block."""
        self._rows.append(row)
        self._thumbnails.append(shown.thumbnail)
        self._pictures.append(shown.block)
        self._length += len(shown.thumbnail) + len(shown.block)
        if len(self._rows) == _ROWS or self._length > _BLOCK:
            self._flush()

    def end(self, run: dict[str, Any]) -> None:
        """Write what is left, and the facts of the run."""
        self._flush()
        options = self._options
        facts = {
            "version": 1,
            "run": options.title,
            "made_at": options.made_at.isoformat(timespec="seconds"),
            "masked": options.policy is not None,
            "language": options.language,
            "price": None if options.price is None else float(options.price),
        }
        self._put(page.foot(facts | run, language=options.language))

    def _flush(self) -> None:
        if self._rows:
            self._put(page.rows_block(self._rows, language=self._options.language))
            self._put(page.thumbnails_block("".join(self._thumbnails)) + "".join(self._pictures))
        self._rows, self._thumbnails, self._pictures, self._length = [], [], [], 0

    def _put(self, text: str) -> None:
        self._write(text.encode())


class _Rows:
    """The rows of the page.

    Args:
        options: The options.
        album: The pictures.
        budget: The room in the page.
        summary: The facts of the run.
        text: The text of the page.
    """

    def __init__(self, options: ReportOptions, album: Album, budget: Budget, summary: Summary, text: _Text) -> None:
        self._options = options
        self._album = album
        self._budget = budget
        self._text = text
        self.summary = summary
        self.shortened = 0

    def add(self, record: SourceRecord, review: Review | None) -> None:
        """Add the row of a record.

        Args:
            record: The record.
            review: The state of its item after its corrections; None if there are none.
        """
        number = self.summary.records
        others = () if review is None else answer_texts(DOCUMENTS[record.document], review)
        reading = read_record(record, self._options.policy, others)
        shown = self._album.show(reading, number)
        row = row_of(reading, number, place=shown.place, words=self._options.words) | shown.keys
        if review is not None:
            row = reviewed_row(row, review, reading.masking)
        self.summary.add(reading, row)
        size = len(msgspec.json.encode(row)) + _PLAIN
        if "fields" in row and not self._budget.takes_values(size):
            # What a person should look at is on the page in any case.
            row["fields"] = [field for field in row["fields"] if "why" in field]
            size = len(msgspec.json.encode(row)) + _PLAIN
            self.shortened += 1
        self._budget.add_row(size)
        self._text.add(row, shown)
