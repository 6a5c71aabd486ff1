"""The credit card.

Source: API specification v1.0.6 (2023-11-23), "creditCard object".
"""

from __future__ import annotations

from typing import ClassVar

from clova_ocr_async.documents.base import Document, VendorObject, absent
from clova_ocr_async.documents.objects import Field, Meta

__all__ = ["CreditCard", "CreditCardResult"]


class CreditCardResult(VendorObject, frozen=True, kw_only=True):
    """The result; ``valid_thru`` and ``name`` (of the holder) are often absent."""

    number: Field = absent(Field)
    valid_thru: Field = absent(Field)
    name: Field = absent(Field)


class CreditCard(Document, frozen=True, kw_only=True):
    """A credit card.

    Examples:
        >>> recognition = await client.recognize("card.jpg", CreditCard)
        >>> number = recognition.document.result.number.value
    """

    path_word: ClassVar[str] = "credit-card"
    answer_key: ClassVar[str] = "creditCard"

    meta: Meta = absent(Meta)
    result: CreditCardResult = absent(CreditCardResult)
