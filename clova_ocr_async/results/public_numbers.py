"""Numbers that have the form of a resident number, and are known at their place to be another one. Pure."""

from __future__ import annotations

from clova_ocr_async.results.check_digits import corporate_number_fits
from clova_ocr_async.results.number_forms import bare, is_item_code, is_korean_barcode

__all__ = ["is_public"]

_CORPORATE = "bizLicense.result.corpRegisterNum"
_ITEM_CODE = "receipt.result.subResults.items.code"


def is_public(number: str, path: str) -> bool:
    """Return whether a number in the form of a resident number is another one at its place, which is no secret.

    Args:
        number: The number, as it stands in the text.
        path: A path of an answer, from ``images`` or from the document on, without numbers of elements.
    """
    below = f"{path.removeprefix('images.')}."
    if below.startswith("receipt."):
        is_code = below.startswith(f"{_ITEM_CODE}.")
        return number.isdigit() and (is_item_code(number) if is_code else is_korean_barcode(number))
    # A misread letter or bar stays among them.
    digits = bare(number)
    # Behind its date of birth a resident number has another digit than 0.
    return below.startswith(_CORPORATE) and digits.isdigit() and (corporate_number_fits(digits) or digits[6] == "0")
