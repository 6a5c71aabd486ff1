"""Rows of tables: a recognition as one row of its document's table, and the lines of a receipt as rows of their own."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import unicodedata
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any, cast

from clova_ocr_async.documents import (
    BaseObject,
    DateObject,
    Document,
    FloatObject,
    IdCard,
    MrzInt,
    Passport,
    Receipt,
    date_from_text,
)
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.results.arguments import require_recognition, require_source
from clova_ocr_async.results.column_lists import DOCUMENTS
from clova_ocr_async.results.columns import columns
from clova_ocr_async.results.review import judge

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from clova_ocr_async.documents import Recognition

__all__ = [
    "JOINED",
    "day_of_call",
    "document_values",
    "item_values",
    "judged_values",
    "key_of_answer",
    "key_of_item",
    "name_in_table",
    "to_items",
    "to_row",
]

JOINED = " | "
"""The text between the values of a cell that holds several."""

_EXACT = Context(prec=100)  # of a sum; a number that was read has 40 digits at the most

Value = Any
"""str, int, float, Decimal, bool, date, time or None."""


def to_row(recognition: Recognition[Any], source: str | os.PathLike[str] | Page | None = None) -> dict[str, Value]:
    """Return a recognition as a row of its document's table.

    Args:
        recognition: The recognition.
        source: The path of its image, or the page of a file, as the outcome of a batch names it.

    Returns:
        A value for each of ``columns(type(recognition.document))``, in their order. Columns that only a run knows, such
        as ``status`` and ``copy_of``, are None. ``key`` is made of the answer, since the file is not read here.

    Raises:
        TypeError: ``recognition`` is not a recognition, or ``source`` is neither a path nor a page.
    """
    require_recognition(recognition)
    require_source(source)
    path, page = (source.path, source.number) if isinstance(source, Page) else (source, None)
    document = recognition.document
    values = (
        document_values(recognition)
        | judged_values(recognition)
        | {
            "key": key_of_answer(recognition),
            "source": None if path is None else name_in_table(path),
            "page": recognition.picture.page if page is None else page,
            "document": document.path_word,
            "request_id": recognition.request_id,
        }
    )
    kind = cast("type[Document]", type(document))
    return {column.name: values.get(column.name) for column in columns(kind)}


def to_items(recognition: Recognition[Any]) -> list[dict[str, Value]]:
    """Return the lines of a receipt as rows of the table of items; no rows for other documents.

    ``item_index`` counts from 1 over all groups of lines. ``key`` is that of ``to_row``.

    Raises:
        TypeError: ``recognition`` is not a recognition.
    """
    require_recognition(recognition)
    if not isinstance(recognition.document, Receipt):
        return []
    return item_values(recognition.document, key_of_answer(recognition))


def key_of_item(sha256: bytes, document: str, page: int | None, recipe: str) -> str:
    """Return the key of what is billed once: 32 hex digits.

    Args:
        sha256: Of the file's bytes.
        document: The vendor's path word.
        page: The page that was cut out; None for a whole file.
        recipe: The steps that the picture needed; empty if it needed none.
    """
    # With a version of its own: people join files by the key, so a key made in another way must not look the same.
    parts = f"clova-ocr key 1\n{document}\n{'' if page is None else page}\n{recipe}\n".encode()
    return hashlib.sha256(parts + sha256).hexdigest()[:32]


def key_of_answer(recognition: Recognition[Any]) -> str:
    """Return a key of an answer whose file is not known: 32 hex digits."""
    return hashlib.sha256(b"clova-ocr answer 1\n" + recognition.raw).hexdigest()[:32]


def name_in_table(source: str | os.PathLike[str]) -> str:
    r"""Return a path as tables have it: in NFC, with \xNN for bytes that are not UTF-8."""
    # Nearly all names; for them the normal form is the name itself.
    name = os.fsdecode(source)
    if name.isascii():
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", text)


def document_values(recognition: Recognition[Any]) -> dict[str, Value]:
    """Return the values of a document by the names of their columns."""
    document = recognition.document
    match document:
        case Receipt():
            return _receipt(document)
        case Passport():
            return _by_name(document, document.passport_result)
        case IdCard():
            return _id_card(document)
        case _:
            return _by_name(document, document.result)


def judged_values(recognition: Recognition[Any]) -> dict[str, Value]:
    """Return the values of the columns that judge a reading: the lowest confidence, and the fields to look at."""
    judgement = judge(recognition, today=day_of_call(recognition))
    reviewed = JOINED.join(field.path for field in judgement.to_review)
    return {"min_confidence": judgement.lowest, "review_fields": reviewed or None}


_KOREA = dt.timezone(dt.timedelta(hours=9))
_LAST_MILLISECOND = dt.datetime(9999, 1, 1, tzinfo=_KOREA).timestamp() * 1000


def day_of_call(recognition: Recognition[Any]) -> dt.date | None:
    """Return the day of the call in Korea; None if the answer does not repeat its time.

    A card that was valid then stays so in the tables: the same answer gives the same row on every day.
    """
    if (sent := recognition.timestamp) is None or not 0 < sent < _LAST_MILLISECOND:
        return None
    return dt.datetime.fromtimestamp(sent / 1000, _KOREA).date()


def item_values(receipt: Receipt, key: str) -> list[dict[str, Value]]:
    """Return the lines of a receipt as rows with a key."""
    items = [item for group in receipt.result.sub_results for item in group.items]
    return [
        {
            "key": key,
            "item_index": index,
            "name": item.name.value,
            "code": item.code.value,
            "count": item.count.decimal,
            "count_text": item.count.text or None,
            "unit_price": item.price.unit_price.decimal,
            "unit_price_text": item.price.unit_price.text or None,
            "price": item.price.price.decimal,
            "price_text": item.price.price.text or None,
        }
        for index, item in enumerate(items, 1)
    ]


def _receipt(receipt: Receipt) -> dict[str, Value]:
    result = receipt.result
    store, payment = result.store_info, result.payment_info
    return {
        "store_name": store.name.value,
        "store_branch": store.sub_name.value,
        "store_biz_num": store.biz_num.value,
        # A receipt may print several; the table has one column for each, and must not lose the others.
        "store_tel": _joined(store.tel),
        "store_address": _joined(store.addresses),
        "payment_date": payment.date.date,
        "payment_date_text": payment.date.text or None,
        "payment_time": payment.time.time,
        "payment_time_text": payment.time.text or None,
        "card_company": payment.card_info.company.value,
        "card_number": payment.card_info.number.value,
        "confirm_num": payment.confirm_num.value,
        # Not the amount paid by card, where no total was read: a part may have been paid in cash.
        "total_price": result.total_price.price.decimal,
        "total_price_text": result.total_price.price.text or None,
        **_sum("tax_price", [price for group in result.sub_total for price in group.tax_price]),
        **_sum("discount_price", [price for group in result.sub_total for price in group.discount_price]),
        "item_count": sum(len(group.items) for group in result.sub_results),
    }


def _id_card(card: IdCard) -> dict[str, Value]:
    kind = card.result.kind
    judged = {"kind": kind, "id_type": card.result.id_type or None, "is_confident": card.result.is_confident}
    return judged if kind is None else judged | _by_name(card, getattr(card.result, kind))


def _by_name(document: Document, holder: Any) -> dict[str, Value]:
    """Return the values of all columns whose names are those of attributes."""
    found: dict[str, Value] = {}
    for name, kind, _, _ in DOCUMENTS[document.path_word]:
        type_, _, several = kind.partition("*")
        value = getattr(holder, name, None)
        # An empty array of the vendor's is absent, as a missing one is.
        if several and value:
            found |= _typed(name, type_, value[0])
            found[f"{name}_more"] = _joined(value[1:])
        elif value:
            found |= _typed(name, type_, value)
    return found


def _typed(name: str, type_: str, value: Any) -> dict[str, Value]:
    """Return the value of an object in its column's type, and its text where that may not parse."""
    if type_ == "date":
        date = value.date if isinstance(value, DateObject) else date_from_text(value.value)
        return {name: date, f"{name}_text": _text(value)}
    if isinstance(value, MrzInt):
        return {name: value.value, f"{name}_text": value.raw_text or None}
    return {name: value.value}


def _text(value: Any) -> str | None:
    """Return the text as it was read; of a passport's date the refined one, whose century is certain."""
    text: str | None = value.text if isinstance(value, BaseObject) else value.value
    return text or None


def _sum(name: str, values: Sequence[FloatObject]) -> dict[str, Value]:
    """Return the sum of amounts, None if one of them cannot be read, and their texts."""
    total: Decimal | None = None
    numbers = [value.decimal for value in values]
    if numbers and None not in numbers:
        # The default precision of 28 digits would round a sum of long numbers without a word.
        with localcontext(_EXACT):
            total = sum((number for number in numbers if number is not None), Decimal(0))
    return {name: total, f"{name}_text": JOINED.join(value.text for value in values if value.text) or None}


def _joined(values: Iterable[Any]) -> str | None:
    return JOINED.join(str(value.value) for value in values if value.value is not None) or None
