"""The values that a failed check has compared, as the page may show them."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from clova_ocr_async.documents import Receipt
from clova_ocr_async.results.report.rows import bare_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clova_ocr_async.documents import FloatObject
    from clova_ocr_async.results.checks import Check
    from clova_ocr_async.results.report.reading import Reading

__all__ = ["disagreeing_values"]

_EXACT = 100  # digits of a sum; a number that was read has 40 at the most


def disagreeing_values(reading: Reading, check: Check, row: Mapping[str, Any]) -> list[str]:
    """Return the values of the fields of a check, masked as the page is; a sum for lines and taxes.

    Args:
        reading: The record.
        check: One of its checks.
        row: Its row.

    Returns:
        A text for each field of the check, in their order; empty for a field without a value, and for all where the
        values cannot be masked.
    """
    shown: dict[str, str] = {}
    for field in row.get("fields", ()):
        shown[field["p"]] = field["t"]
        shown.setdefault(bare_path(field["p"]), field["t"])
    document = None if reading.shown is None or reading.recognition is None else reading.recognition.document
    if isinstance(document, Receipt):
        groups = document.result.sub_results
        sums = {
            "result.subResults": [item.price.price for group in groups for item in group.items],
            "result.subTotal.taxPrice": [tax for group in document.result.sub_total for tax in group.tax_price],
        }
        shown |= {path: reading.text(_sum(prices)) for path, prices in sums.items()}
    return [shown.get(path, "") for path in check.fields]


def _sum(prices: Iterable[FloatObject]) -> str:
    with localcontext(prec=_EXACT):
        total = sum((price.decimal for price in prices if price.decimal is not None), Decimal(0))
    return f"{total:,f}"
