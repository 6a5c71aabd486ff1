"""Recognitions after people corrected them: their values, columns of tables, entries of records. Pure.

A change holds until it is undone or another one of the same field follows. The answer itself stays as it is: its copy
with the corrected texts is read as any answer, so a corrected number or date is parsed as one that the service sent.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from clova_ocr_async.documents import Document
from clova_ocr_async.documents.fields import with_texts
from clova_ocr_async.ledger.corrections import ChangeKind
from clova_ocr_async.results.columns import Column, columns

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.ledger.corrections import Correction
    from clova_ocr_async.ledger.states import Item
    from clova_ocr_async.results.columns import Table

__all__ = [
    "REVIEW_COLUMNS",
    "FieldReview",
    "Review",
    "answer_path",
    "answer_texts",
    "corrected",
    "corrected_columns",
    "entries_of",
    "iso_time",
    "kind_of",
    "review_of",
    "reviewed_by",
    "reviews_of",
    "signature_of",
]

DocumentT = TypeVar("DocumentT", bound=Document)

REVIEW_COLUMNS = (Column("reviewed_by", "text", "검토자"), Column("reviewed_at", "text", "검토일시"))
"""The columns of the person who changed something last, and of the time."""

_INDEX = re.compile(r"\[[0-9]+\]")
_ALTERNATIVES = re.compile(r"\{([^}]*)\}")


@dataclass(frozen=True, slots=True)
class FieldReview:
    """The state of one field after its corrections.

    Attributes:
        last: The newest correction that holds: a CORRECT or a CONFIRM.
        correction: The correction that gave the field its value; None if it has that of the answer.
        answered: The value of the answer, as the first person saw it.
        value: The value that holds, "" for none.
    """

    last: Correction
    correction: Correction | None
    answered: str
    value: str

    @property
    def confirmed(self) -> bool:
        """Whether a person has compared the value with the picture, after it was corrected if it was."""
        return kind_of(self.last) is ChangeKind.CONFIRM


@dataclass(frozen=True, slots=True)
class Review:
    """The state of one item after its corrections.

    Attributes:
        fields: The fields that were changed or confirmed, by their paths.
        done: The correction by which the document is done; None if it is not.
        whole: The newest correction about the document as a whole that is not undone; None if there is none.
        newest: The number of the newest correction, whether it holds or not; 0 if there is none.
        last: The newest correction that holds; None if none does.
    """

    fields: Mapping[str, FieldReview] = field(default_factory=dict[str, FieldReview])
    done: Correction | None = None
    whole: Correction | None = None
    newest: int = 0
    last: Correction | None = None

    @property
    def values(self) -> dict[str, str]:
        """The corrected values by the paths of their fields."""
        return {path: found.value for path, found in self.fields.items() if found.correction is not None}


def review_of(corrections: Iterable[Correction]) -> Review:
    """Return the state of one item after its corrections.

    Args:
        corrections: All of them, by their numbers.
    """
    stacks: dict[str, list[Correction]] = {}
    newest = 0
    for correction in corrections:
        newest = correction.number
        change = correction.change
        if change is None:  # it cannot be opened, so what it changed is not known
            continue
        stack = stacks.setdefault(change.path, [])
        if change.kind is not ChangeKind.UNDO:
            stack.append(correction)
        elif stack and stack[-1].number == change.undoes:
            stack.pop()
    whole = stacks.pop("", [])
    fields = {path: _field(stack) for path, stack in stacks.items() if stack}
    done = whole[-1] if whole and kind_of(whole[-1]) is ChangeKind.DONE else None
    held = [*(found.last for found in fields.values()), *([] if done is None else [done])]
    last = max(held, key=lambda correction: correction.number, default=None)
    return Review(fields, done, whole[-1] if whole else None, newest, last)


def kind_of(correction: Correction) -> ChangeKind | None:
    """Return the kind of a correction; None if its change cannot be opened."""
    return None if correction.change is None else correction.change.kind


def _field(stack: list[Correction]) -> FieldReview:
    changes = [correction.change for correction in stack if correction.change is not None]
    corrections = [correction for correction in stack if kind_of(correction) is ChangeKind.CORRECT]
    # A confirmation repeats the value that it confirms.
    return FieldReview(stack[-1], next(reversed(corrections), None), changes[0].old or "", changes[-1].new or "")


def reviews_of(corrections: Iterable[Correction]) -> dict[Item, Review]:
    """Return the state of each item of a run after all corrections; items of which no correction holds are left out."""
    found: dict[Item, list[Correction]] = {}
    for correction in corrections:
        found.setdefault(correction.item, []).append(correction)
    reviews = {item: review_of(ones) for item, ones in found.items()}
    return {item: review for item, review in reviews.items() if review.last is not None}


def corrected(recognition: Recognition[DocumentT], values: Mapping[str, str]) -> Recognition[DocumentT]:
    """Return a recognition whose document has other values at some paths; its answer stays as it is."""
    return msgspec.structs.replace(recognition, document=with_texts(recognition.document, values))


def answer_path(document: type[Document], path: str) -> str:
    """Return the path of a field as the rules of masking have it: from the document on, without numbers of elements."""
    return f"{document.answer_key}.{_INDEX.sub('', path)}"


def answer_texts(document: type[Document], review: Review) -> list[tuple[str, str]]:
    """Return the corrected values with the paths that the rules of masking have, as ``Masking`` takes them."""
    return [(answer_path(document, path), value) for path, value in review.values.items()]


def corrected_columns(
    document: type[Document], paths: Collection[str], table: Table = "documents"
) -> dict[Column, str]:
    """Return the columns of corrected values, in the order of the columns that they correct.

    Args:
        document: The document's class.
        paths: The fields with a corrected value.
        table: The table.

    Returns:
        Each column with the name of the one that it corrects: ``x_corrected`` with ``x``, and for a number, a date or a
        time ``x_corrected_text`` with ``x_text``.
    """
    shown = columns(document, table)
    names = {column.name for column in shown}
    found = [column for column in shown if any(_is_in(column, names, path) for path in paths)]
    return {_corrected_column(column, names): column.name for column in found}


def _corrected_column(column: Column, names: Collection[str]) -> Column:
    value = _value_of_text(column, names)
    name = f"{column.name}_corrected" if value is None else f"{value}_corrected_text"
    return Column(name, column.type, f"{column.label_ko}(수정)", column.path)


def _value_of_text(column: Column, names: Collection[str]) -> str | None:
    """Return the name of the number, date or time whose text a column has; None if it has another value."""
    value = column.name.removesuffix("_text")
    return value if value != column.name and value in names else None


def _is_in(column: Column, names: Collection[str], path: str) -> bool:
    """Return whether the value of a field is in a column; an array may have one for its first element alone."""
    pattern = _ALTERNATIVES.sub(lambda found: f"(?:{found[1].replace(',', '|')})", column.path.replace(".", r"\."))
    if not column.path or re.fullmatch(pattern, _INDEX.sub("", path)) is None:
        return False
    is_first = path.endswith("[0]") or not path.endswith("]")
    if column.name.endswith("_more") and column.name.removesuffix("_more") in names:
        return not is_first
    return is_first or f"{_value_of_text(column, names) or column.name}_more" not in names


def entries_of(review: Review) -> list[dict[str, Any]]:
    """Return the corrections that hold of an item, as its record lists them, in the order of recording.

    An entry has ``id``, ``kind`` ("correct", "confirm", or "done" for the whole document), ``path``, ``old`` (the value
    of the answer), ``new`` (the one that holds, "" for none), ``by`` and ``at``.
    """
    held: list[tuple[Correction, dict[str, str | None]]] = [
        (found.last, {"path": path, "old": found.answered, "new": found.value}) for path, found in review.fields.items()
    ]
    if review.done is not None:
        held.append((review.done, {"path": None, "old": None, "new": None}))
    held.sort(key=lambda pair: pair[0].number)
    return [{"id": last.number, "kind": str(kind_of(last)), **values, **signature_of(last)} for last, values in held]


def reviewed_by(review: Review) -> dict[str, str | None]:
    """Return the values of ``REVIEW_COLUMNS``: the newest change that holds, by whom and when."""
    if review.last is None:
        return {}
    signature = signature_of(review.last)
    return {"reviewed_by": signature["by"], "reviewed_at": signature["at"]}


def signature_of(correction: Correction) -> dict[str, str | None]:
    """Return who made a correction and when, as ``by`` and ``at``."""
    by = None if correction.change is None else correction.change.by
    return {"by": by, "at": iso_time(correction.at)}


def iso_time(seconds: float) -> str:
    """Return a moment as text, in UTC, to the second."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
