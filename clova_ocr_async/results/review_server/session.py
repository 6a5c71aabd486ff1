"""The run behind a review: its rows as they were when it began, and the changes that people make to them.

All methods are called in one thread, which the view and the record of corrections belong to. The list of images is that
of the beginning, so that the number of a row names the same image for as long as the review runs. Corrections are those
of the moment: also of another review of the same run.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.fields import objects_of, with_texts
from clova_ocr_async.errors import LedgerError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.ledger.corrections import Change, ChangeKind, CorrectionConflictError
from clova_ocr_async.results.corrections import Review, answer_path, answer_texts, iso_time, review_of
from clova_ocr_async.results.possible_copies import PossibleCopies
from clova_ocr_async.results.redaction import rule_at
from clova_ocr_async.results.report.pictures import shows_unread
from clova_ocr_async.results.report.reading import read_record
from clova_ocr_async.results.report.reviewed_rows import reviewed_row, value_of
from clova_ocr_async.results.report.rows import row_of
from clova_ocr_async.results.report.summary import Summary
from clova_ocr_async.results.review_server.problems import ConflictError, HiddenError, InvalidChangeError, UnknownError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from clova_ocr_async.ledger.corrections import Correction
    from clova_ocr_async.ledger.states import Item, SourceRecord
    from clova_ocr_async.ledger.storage import RunCorrections, RunView
    from clova_ocr_async.results.report.reading import Reading
    from clova_ocr_async.results.report.summary import RetryCommand
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["Changed", "ReviewOptions", "ReviewSession"]

_ROWS = 200  # in an answer
_READ_AT_ONCE = 100  # images, about a third of a second: requests and Ctrl-C wait no longer
_LONGEST = 2000  # characters of a value
_TRIES = 100  # each of them failed because another person's change was recorded first


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewOptions:
    """The options of a review.

    Attributes:
        by: The name of the person.
        policy: How numbers are masked; None for as they are.
        facts: What the page knows of the run besides its rows and their summary.
        words: Returns the message of an error in the words of the place where the review was started.
        retry: Returns the commands that send images again.
    """

    by: str
    policy: Policy | None
    facts: dict[str, Any]
    words: Callable[[str], str] = str
    retry: RetryCommand


class Changed(NamedTuple):
    """A change that was recorded.

    Attributes:
        row: The row of its image from now on, as JSON.
        number: The number of the correction; None if nothing had to be recorded.
        copies: The rows of the other names of the image, as JSON: the change holds for each of them.
    """

    row: msgspec.Raw
    number: int | None
    copies: list[msgspec.Raw]


class _Image(NamedTuple):
    """An image of the run under one of its names.

    Attributes:
        record: The record, without its item.
        item: Its item; None if its file was not read.
    """

    record: SourceRecord
    item: Item | None


class ReviewSession:
    """A run under review.

    Args:
        view: The open run.
        record: The open record of its corrections.
        options: The options.
    """

    def __init__(self, view: RunView, record: RunCorrections, options: ReviewOptions) -> None:
        self._view = view
        self._record = record
        self._options = options
        self._images: list[_Image] = []
        self._rows: list[msgspec.Raw] = []
        self._numbers: dict[Item, list[int]] = {}  # of the rows
        self._logs: dict[Item, list[Correction]] = {}
        self._items: dict[int, Item] = {}  # by the numbers of corrections
        self._newest = 0
        self._outdated: set[int] = set()  # rows
        self._run: dict[str, Any] | None = None  # until all of it was read
        self._expected = 0  # rows
        self._loading = self._load()
        self.recorded = 0
        """Corrections that were recorded here."""

    def load_more(self) -> bool:
        """Read the next images of the run, all as they are at one moment; return whether more are left.

        Until all are read, their rows can be had, and nothing can be changed.
        """
        return next(self._loading, False)

    def close(self) -> None:
        """End the reading of the run, wherever it is."""
        self._loading.close()

    def _load(self) -> Generator[bool]:
        options, view = self._options, self._view
        with view.snapshot():
            status = view.status()
            self._expected = status.total
            self._take_over()
            with PossibleCopies(sum(status.items.values())) as seen:
                summary = Summary(seen)
                for record in view.records():
                    self._add(record, summary)
                    if len(self._rows) % _READ_AT_ONCE == 0:
                        yield True
                self._run = options.facts | summary.to_dict(status, options.retry) | {"review": True, "by": options.by}

    def _add(self, record: SourceRecord, summary: Summary) -> None:
        number = len(self._images)
        item = None if record.entry is None else record.entry.item
        if item is not None:
            self._numbers.setdefault(item, []).append(number)
        self._images.append(_Image(dataclasses.replace(record, entry=None), item))
        reading, row = self._read(record, number)
        self._rows.append(msgspec.Raw(msgspec.json.encode(row)))
        summary.add(reading, row)

    # -----------------------------------------------------------------------------------------------------------------
    # Reading

    def rows(self, first: int) -> dict[str, Any]:
        """Return some rows from one on, as far as they were read; with the last what is known of the run as a whole."""
        run = self._run
        if run is not None:
            self._catch_up()
        following = max(first, min(first + _ROWS, len(self._rows)))
        found: dict[str, Any] = {"rows": self._rows[first:following], "next": following, "of": self._expected}
        return found if run is None or following < len(self._rows) else found | {"next": None, "run": run}

    def row(self, number: int) -> msgspec.Raw:
        """Return a row.

        Raises:
            UnknownError: There is no such row.
        """
        self._image(number)
        self._catch_up()
        return self._rows[number]

    def reading(self, number: int) -> Reading:
        """Return the record of a row, for its picture.

        Raises:
            UnknownError: There is no such row.
        """
        image = self._image(number)
        others = answer_texts(DOCUMENTS[image.record.document], self._review(image.item))
        return read_record(self._current(number), self._options.policy, others)

    def corrections(self) -> list[dict[str, Any]]:
        """Return all corrections of the run that can be shown, in their order."""
        self._catch_up()
        shown = [one for item, log in self._logs.items() if item in self._numbers for one in self._shown(item, log)]
        return sorted(shown, key=lambda one: one["id"])

    def _shown(self, item: Item, log: Sequence[Correction]) -> Iterator[dict[str, Any]]:
        """Yield the corrections of an item, masked as the page is: also by the numbers that people wrote."""
        number, document = self._numbers[item][0], DOCUMENTS[item.document]
        made = [(one, one.change) for one in log if one.change is not None]
        written = [(answer_path(document, change.path), (change.old, change.new)) for _, change in made]
        texts = [(place, text) for place, values in written for text in values if text]
        masking = read_record(self._current(number), self._options.policy, texts).masking
        for one, change in made:
            place = answer_path(document, change.path)
            values = {"old": change.old, "new": change.new}
            if masking is not None:
                values = {name: text and masking.mask_at(place, text) for name, text in values.items()}
            yield {
                "id": one.number,
                "n": number,
                "kind": change.kind.value,
                "path": change.path or None,
                **values,
                "by": change.by,
                "at": iso_time(one.at),
                "undoes": change.undoes,
            }

    def _image(self, number: int) -> _Image:
        if not 0 <= number < len(self._images):
            raise UnknownError(f"the review has {plural(len(self._images), 'row')}, and this is not one of them")
        return self._images[number]

    def _current(self, number: int) -> SourceRecord:
        """Return the record of a row with its item as the run has it now."""
        image = self._image(number)
        entry = None if image.item is None else self._view.find(image.item)
        return dataclasses.replace(image.record, entry=entry)

    def _read(self, record: SourceRecord, number: int) -> tuple[Reading, dict[str, Any]]:
        """Return a record as the page shows it, and its row."""
        item = None if record.entry is None else record.entry.item
        review = self._review(item)
        others = answer_texts(DOCUMENTS[record.document], review)
        reading = read_record(record, self._options.policy, others)
        row = row_of(reading, number, words=self._options.words)
        shows = reading.shown is not None or shows_unread(reading, self._options.policy)
        if shows and record.path is not None:
            row["picture"] = "served"
        return reading, reviewed_row(row, review, reading.masking)

    def _review(self, item: Item | None) -> Review:
        return Review() if item is None else review_of(self._logs.get(item, ()))

    def _catch_up(self) -> None:
        """Take over the corrections that were recorded since, here or by another review.

        Raises:
            LedgerError: Not all of the run was read yet, so the view does not see what is recorded now.
        """
        if self._run is None:
            raise LedgerError("the run is still being read; try again when all of it is there")
        self._take_over()

    def _take_over(self) -> None:
        for correction in self._view.corrections(after=self._newest):
            self._newest = correction.number
            self._logs.setdefault(correction.item, []).append(correction)
            self._items[correction.number] = correction.item
            self._outdated.update(self._numbers.get(correction.item, ()))
        while self._outdated:  # one by one: if the run cannot be read now, the rest is read the next time
            number = min(self._outdated)
            _, row = self._read(self._current(number), number)
            self._rows[number] = msgspec.Raw(msgspec.json.encode(row))
            self._outdated.remove(number)

    # -----------------------------------------------------------------------------------------------------------------
    # Changes

    def correct(self, number: int, path: str, old: str, new: str) -> Changed:
        """Give a field another value.

        Args:
            number: The row.
            path: The field.
            old: The value that the person sees.
            new: The value, "" for none; spaces around it are left out.

        Raises:
            ConflictError: The field has another value by now.
            HiddenError: The value is masked.
            InvalidChangeError: The row has no such field, or the value cannot be one.
            LedgerError: It cannot be recorded.
            UnknownError: There is no such row.
        """
        _check_value(new)
        return self._change_field(number, ChangeKind.CORRECT, path, old, new.strip())

    def confirm(self, number: int, path: str, old: str | None = None) -> Changed:
        """Note that a field has the value that it shows; the arguments and errors are those of ``correct``."""
        return self._change_field(number, ChangeKind.CONFIRM, path, old, None)

    def _change_field(self, number: int, kind: ChangeKind, path: str, old: str | None, new: str | None) -> Changed:
        reading = self.reading(number)
        answered = self._answered(reading, path, kind)

        def change(review: Review) -> Change:
            value = review.fields[path].value if path in review.fields else answered
            if old not in {None, value}:
                raise ConflictError(self.row(number))
            return Change(kind, self._options.by, path, value, value if new is None else new)

        return self._append(number, change)

    def _answered(self, reading: Reading, path: str, kind: ChangeKind) -> str:
        """Return the answer's value of a field that a person may change."""
        recognition, shown = reading.recognition, reading.shown
        if recognition is None:
            raise InvalidChangeError("the image has no answer, so there is nothing to correct")
        field = next((field for field in recognition.fields() if field.path == path), None)
        # A part of another shape than the document's is no field that a text could be given to, but can be judged.
        seen = kind is ChangeKind.CONFIRM and path in reading.judgement.reasons
        if (
            field is None
            and not seen
            and not any(found == path for found, _ in objects_of(with_texts(recognition.document, {path: "x"})))
        ):
            raise InvalidChangeError("the document has no such field")
        if self._options.policy is not None:
            place = answer_path(DOCUMENTS[reading.record.document], path)
            visible = shown is not None and (field is None or field in shown.fields())
            if not visible or rule_at(place, self._options.policy) is not None:
                raise HiddenError("the value is masked; to correct it start the review with --unmasked")
        return "" if field is None else value_of(field)

    def mark_done(self, number: int, *, done: bool) -> Changed:
        """Mark a document as done, or as not done.

        Raises:
            InvalidChangeError: The image has no answer.
            LedgerError: It cannot be recorded.
            UnknownError: There is no such row.
        """
        if self.reading(number).recognition is None:
            raise InvalidChangeError("the image has no answer, so there is nothing to finish")

        def change(review: Review) -> Change | None:
            kind = ChangeKind.DONE if done else ChangeKind.UNDONE
            return None if (review.done is not None) == done else Change(kind, self._options.by)

        return self._append(number, change)

    def undo(self, correction: int) -> Changed:
        """Undo a change, the newest one of its field or its document.

        Raises:
            ConflictError: There is a newer one.
            LedgerError: It cannot be recorded.
            UnknownError: There is no such change.
        """
        self._catch_up()
        item = self._items.get(correction)
        if item is None or item not in self._numbers:
            raise UnknownError("there is no such correction")
        number = self._numbers[item][0]

        def change(review: Review) -> Change:
            log = self._logs[item]
            undone = next(one.change for one in log if one.number == correction)
            path = "" if undone is None else undone.path
            newest = review.fields[path].last if path in review.fields else None if path else review.whole
            if newest is None or newest.number != correction:
                raise ConflictError(self.row(number))
            undo = Change(ChangeKind.UNDO, self._options.by, path, undoes=correction)
            if not path:
                return undo
            now = review.fields[path]
            before = review_of([*log, dataclasses.replace(log[-1], change=undo)]).fields.get(path)
            return msgspec.structs.replace(undo, old=now.value, new=now.answered if before is None else before.value)

        return self._append(number, change)

    def _append(self, number: int, change: Callable[[Review], Change | None]) -> Changed:
        """Record the change that follows from what holds, again from the beginning where another one came before it."""
        item = self._image(number).item
        assert item is not None  # noqa: S101 - it has an answer
        for _ in range(_TRIES):
            self._catch_up()
            review = self._review(item)
            made = change(review)
            if made is None:
                return self._changed(number, item, None if review.whole is None else review.whole.number)
            try:
                recorded = self._record.append(item, made, after=review.newest)
            except CorrectionConflictError:
                continue
            self.recorded += 1
            self._catch_up()
            return self._changed(number, item, recorded.number)
        raise LedgerError("other programs correct this image all the time; try again later")

    def _changed(self, number: int, item: Item, correction: int | None) -> Changed:
        copies = [self._rows[other] for other in self._numbers[item] if other != number]
        return Changed(self._rows[number], correction, copies)


def _check_value(value: str) -> None:
    if len(value) > _LONGEST:
        raise InvalidChangeError(f"the value has {plural(len(value), 'character')}, and may have {_LONGEST:,}")
    if any(character < " " or character == "\x7f" for character in value):
        raise InvalidChangeError("the value holds a control character, such as a line end")
