"""Corrected values as the tables of a run have them: in columns beside those of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clova_ocr_async.documents import Receipt
from clova_ocr_async.results.columns import Column, columns
from clova_ocr_async.results.corrections import (
    REVIEW_COLUMNS,
    Review,
    answer_path,
    answer_texts,
    corrected,
    corrected_columns,
    reviewed_by,
)
from clova_ocr_async.results.rows import JOINED, document_values, item_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clova_ocr_async.documents import Document, Recognition
    from clova_ocr_async.ledger.states import Entry, Item
    from clova_ocr_async.results.redaction import Masking

__all__ = ["CorrectedRow", "CorrectedTables", "item_columns_of_run"]


_REMOVED = Column("removed_fields", "text", "삭제한 항목")
"""The column of the fields whose value a person removed: their cells are as empty as those that were not corrected."""


_NOT_REVIEWED = Review()


def _removed(review: Review) -> list[str]:
    return sorted(path for path, value in review.values.items() if not value)


def item_columns_of_run(reviews: Mapping[Item, Review]) -> tuple[Column, ...]:
    """Return the columns of a run's table of lines: the fixed ones, then those of corrected values."""
    return columns(Receipt, "items") + tuple(corrected_columns(Receipt, _paths(Receipt, reviews), "items"))


def _paths(document: type[Document], reviews: Mapping[Item, Review]) -> set[str]:
    """Return the fields of a document that were corrected anywhere in the run."""
    return {path for item, review in reviews.items() if item.document == document.path_word for path in review.values}


@dataclass(frozen=True, slots=True)
class CorrectedTables:
    """The columns of corrections of one document's tables, and the reviews that fill them.

    Attributes:
        document: The document's class.
        columns: The columns of the table of documents; none if no image of the document was reviewed.
        items: The names of the columns of the table of lines.
        reviews: The states of the run's items after their corrections.
    """

    document: type[Document]
    columns: tuple[Column, ...]
    items: tuple[str, ...]
    reviews: Mapping[Item, Review]

    @staticmethod
    def of(document: type[Document], reviews: Mapping[Item, Review]) -> CorrectedTables:
        """Return the columns that the reviews of a run need for a document."""
        found: tuple[Column, ...] = ()
        own = [review for item, review in reviews.items() if item.document == document.path_word]
        if own:
            removed = [_REMOVED] if any(map(_removed, own)) else []
            found = (*corrected_columns(document, _paths(document, reviews)), *removed, *REVIEW_COLUMNS)
        items = item_columns_of_run(reviews)[len(columns(Receipt, "items")) :] if document is Receipt else ()
        return CorrectedTables(document, found, tuple(column.name for column in items), reviews)

    def row(self, entry: Entry | None) -> CorrectedRow:
        """Return the corrections of a record by the item that it shows."""
        # Nearly all runs have no corrections, and to hash an item takes as long as several cells of its row.
        review = self.reviews.get(entry.item) if self.reviews and entry is not None else None
        return CorrectedRow(self, review or _NOT_REVIEWED)


@dataclass(frozen=True, slots=True)
class CorrectedRow:
    """The corrections of one record.

    Attributes:
        tables: The columns.
        review: The state of its item after its corrections; empty if it was not reviewed.
    """

    tables: CorrectedTables
    review: Review

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The corrected values, as ``Masking`` takes them."""
        return answer_texts(self.tables.document, self.review)

    def values(self, shown: Recognition[Any], masking: Masking | None) -> dict[str, Any]:
        """Return the values of the columns in the table of documents.

        Args:
            shown: The recognition, masked as the table is.
            masking: The masking of the corrected values; None for none.
        """
        found: dict[str, Any] = dict(reviewed_by(self.review))
        if self.review.values:
            again = document_values(self._corrected(shown, masking))
            wanted = corrected_columns(self.tables.document, self.review.values)
            found |= {column.name: again.get(name) for column, name in wanted.items()}
            found[_REMOVED.name] = JOINED.join(_removed(self.review)) or None
        return found

    def items(self, receipt: Recognition[Receipt], key: str, masking: Masking | None) -> list[dict[str, Any]]:
        """Return the lines of a receipt, with the values of the columns in the table of lines.

        Args:
            receipt: The recognition, masked as the table is.
            key: The key of the lines.
            masking: As for ``values``.
        """
        lines = item_values(receipt.document, key)
        if not self.tables.items:
            return lines
        again = item_values(self._corrected(receipt, masking).document, key)
        groups = enumerate(receipt.document.result.sub_results)
        places = [
            f"result.subResults[{group}].items[{line}]." for group, one in groups for line in range(len(one.items))
        ]
        nothing = dict.fromkeys(self.tables.items)
        return [
            line | nothing | self._of_line(other, place)
            for line, other, place in zip(lines, again, places, strict=True)
        ]

    def _of_line(self, corrected_line: Mapping[str, Any], place: str) -> dict[str, Any]:
        paths = [path for path in self.review.values if path.startswith(place)]
        wanted = corrected_columns(Receipt, paths, "items")
        return {column.name: corrected_line[name] for column, name in wanted.items()}

    def _corrected(self, shown: Recognition[Any], masking: Masking | None) -> Recognition[Any]:
        values = self.review.values
        if masking is not None:
            document = self.tables.document
            values = {path: masking.mask_at(answer_path(document, path), value) for path, value in values.items()}
        return corrected(shown, values)
