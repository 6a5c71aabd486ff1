"""The name card (business card).

Source: API specification v1.0.6 (2023-11-23), "nameCard object".
"""

from __future__ import annotations

from typing import ClassVar

from clova_ocr_async.documents.base import ABSENT, Document, VendorObject, absent
from clova_ocr_async.documents.objects import Meta, StringObject, TelObject

__all__ = ["NameCard", "NameCardResult"]


class NameCardResult(VendorObject, frozen=True, kw_only=True):
    """The result; each field may hold several entries. ``name_furigana`` exists only for language "ja"."""

    # The specification's tables give these fields a formatted value, its example has none.
    name: tuple[StringObject, ...] = ABSENT
    name_furigana: tuple[StringObject, ...] = ABSENT
    company: tuple[StringObject, ...] = ABSENT
    department: tuple[StringObject, ...] = ABSENT
    address: tuple[StringObject, ...] = ABSENT
    position: tuple[StringObject, ...] = ABSENT
    mobile: tuple[TelObject, ...] = ABSENT
    tel: tuple[TelObject, ...] = ABSENT
    fax: tuple[TelObject, ...] = ABSENT
    email: tuple[StringObject, ...] = ABSENT
    homepage: tuple[StringObject, ...] = ABSENT


class NameCard(Document, frozen=True, kw_only=True):
    """A name card.

    Examples:
        >>> recognition = await client.recognize("name-card.jpg", NameCard)
        >>> name = first(recognition.document.result.name).value
    """

    path_word: ClassVar[str] = "name-card"
    answer_key: ClassVar[str] = "nameCard"

    meta: Meta = absent(Meta)
    result: NameCardResult = absent(NameCardResult)
