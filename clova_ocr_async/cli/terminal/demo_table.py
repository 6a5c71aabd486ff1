"""Table of the demo: each sample with the most important fields that were read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.table import Table

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.documents import BizLicense, CreditCard, Document, IdCard, NameCard, Passport, Receipt
from clova_ocr_async.emulator.samples.ground_truth import find_ground_truth
from clova_ocr_async.results.records import billed_of, maybe_billed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["Reading", "highlights", "show_table"]


@dataclass(frozen=True, slots=True)
class Reading:
    """The reading of one sample.

    Attributes:
        path: The sample.
        right: Whether the answer equals the ground truth, to the last polygon.
        billed: Whether a call would have been billed; None if it is not known.
        maybe_billed: Requests that may have been billed.
        shown: The most important fields, or the error.
    """

    path: Path
    right: bool
    billed: bool | None
    maybe_billed: int
    shown: str

    @classmethod
    def of(cls, path: Path, outcome: Outcome[Any]) -> Reading:
        """Compare an outcome with the ground truth in the sample's file."""
        billed, maybe_billed = billed_of(outcome), maybe_billed_of(outcome)
        if isinstance(outcome, Failure):
            return cls(path, False, billed, maybe_billed, str(outcome.error))
        return cls(path, _is_right(path, outcome), billed, maybe_billed, highlights(outcome.recognition.document))


def _is_right(path: Path, outcome: Success[Any]) -> bool:
    ground_truth = find_ground_truth(path.read_bytes())
    # By way of JSON, as the ground truth is plain values.
    read = msgspec.json.decode(msgspec.json.encode(outcome.recognition.document))
    return ground_truth is not None and read == ground_truth.answer


def _of_receipt(document: Receipt) -> tuple[object, ...]:
    result = document.result
    price = result.total_price.price.decimal
    return result.store_info.name.value, result.payment_info.date.value, price and f"{price:,} won"


def _of_credit_card(document: CreditCard) -> tuple[object, ...]:
    number = document.result.number.value
    # The last digits alone, since a terminal is easily looked at and recorded.
    return number and f"**** {number[-4:]}", document.result.valid_thru.value


def _of_name_card(document: NameCard) -> tuple[object, ...]:
    result = document.result
    return _first(result.name), _first(result.company), _first(result.email)


def _of_biz_license(document: BizLicense) -> tuple[object, ...]:
    result = document.result
    return _first(result.register_number), _first(result.company_name) or _first(result.corp_name)


def _of_id_card(document: IdCard) -> tuple[object, ...]:
    card = getattr(document.result, document.result.kind or "ic")
    # A Korean passport has two names and no ``name``.
    return document.result.id_type, _first(getattr(card, "name", ())), _first(card.issue_date)


def _of_passport(document: Passport) -> tuple[object, ...]:
    read = document.passport_result
    return read.first_name.value, read.last_name1.value, read.date_of_expiry.value


_HIGHLIGHTS: dict[type[Document], Callable[[Any], tuple[object, ...]]] = {
    Receipt: _of_receipt,
    CreditCard: _of_credit_card,
    NameCard: _of_name_card,
    BizLicense: _of_biz_license,
    IdCard: _of_id_card,
    Passport: _of_passport,
}


def highlights(document: Document) -> str:
    """Return the most important fields of a document in one line."""
    return " · ".join(str(value) for value in _HIGHLIGHTS[type(document)](document) if value)


def _first(cells: tuple[Any, ...]) -> str | None:
    return cells[0].value if cells else None


def show_table(readings: Iterable[Reading], console: Console | None = None) -> None:
    """Print a line for each sample, on standard output unless another console is given."""
    table = Table(box=None, pad_edge=False)
    for title in ("sample", "what was read", ""):
        table.add_column(title, overflow="fold")
    for reading in readings:
        result = "as drawn" if reading.right else "NOT as drawn"
        table.add_row(reading.path.name, reading.shown, result)
    (console or Console()).print(table)
