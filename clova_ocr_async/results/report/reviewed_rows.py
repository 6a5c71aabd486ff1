"""Rows of the page with the corrections of their values. Pure.

The page edits the value of a field: ``v`` where the row has one, else ``t``. So a corrected field has ``t`` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.results.corrections import answer_path, signature_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clova_ocr_async.documents.fields import ReadField
    from clova_ocr_async.ledger.corrections import Correction
    from clova_ocr_async.results.corrections import Review
    from clova_ocr_async.results.redaction import Masking

__all__ = ["reviewed_row", "value_of"]


def value_of(field: ReadField) -> str:
    """Return the value of a field as a person sees and edits it."""
    return str(field.value) if field.value is not None else field.text or ""


def reviewed_row(row: dict[str, Any], review: Review, masking: Masking | None) -> dict[str, Any]:
    """Return a row as the page of a review has it.

    Args:
        row: The row of the answer.
        review: The state of its item after its corrections.
        masking: The masking of corrected values; None for none.
    """
    fields = [_field(field, row["document"], review, masking) for field in row.get("fields", ())]
    found = row | ({"fields": fields} if fields else {})
    last = review.last or review.whole
    if last is None:
        return found
    left = sum("why" in field and "corrected" not in field and "confirmed" not in field for field in fields)
    undone = {} if review.whole is None else {"id": review.whole.number}
    return found | {"review": {"done": review.done is not None, "left": left, **signature_of(last), **undone}}


def _field(field: Mapping[str, Any], document: str, review: Review, masking: Masking | None) -> Mapping[str, Any]:
    found = review.fields.get(field["p"])
    if found is None:
        return field
    judged = dict(field)
    if found.correction is not None:
        place = answer_path(DOCUMENTS[document], field["p"])
        old, new = (
            value if masking is None else masking.mask_at(place, value) for value in (found.answered, found.value)
        )
        judged.pop("v", None)
        # What is hidden cannot be edited: the page does not know it.
        judged |= {"t": new} | ({"m": 1} if new != found.value else {})
        judged["corrected"] = {"old": old, **_signed(found.correction)}
    if found.confirmed:
        judged["confirmed"] = _signed(found.last)
    return judged


def _signed(correction: Correction) -> dict[str, Any]:
    return {**signature_of(correction), "id": correction.number}
