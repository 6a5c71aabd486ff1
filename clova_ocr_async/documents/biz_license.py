"""The business registration certificate.

Source: API specification v1.0.6 (2023-11-23), "bizLicense object".
"""

from __future__ import annotations

from typing import ClassVar

from clova_ocr_async.documents.base import ABSENT, Document, VendorObject, absent
from clova_ocr_async.documents.objects import BaseObject, Meta, StringObject

__all__ = ["BizLicense", "BizLicenseResult"]


class BizLicenseResult(VendorObject, frozen=True, kw_only=True):
    """The result. Dates are free text: see ``date_from_text``.

    A sole proprietor is named in ``company_name``, a corporation in ``corp_name`` with ``corp_register_num``.
    ``social_number`` and ``co_rep_social_num`` are resident registration numbers.
    """

    birth: tuple[BaseObject, ...] = ABSENT
    bis_address: tuple[BaseObject, ...] = ABSENT
    bis_area: tuple[BaseObject, ...] = ABSENT
    bis_item: tuple[BaseObject, ...] = ABSENT
    register_number: tuple[BaseObject, ...] = ABSENT
    bis_type: tuple[BaseObject, ...] = ABSENT
    company_name: tuple[BaseObject, ...] = ABSENT
    co_rep_name: tuple[BaseObject, ...] = ABSENT
    corp_name: tuple[BaseObject, ...] = ABSENT
    corp_register_num: tuple[BaseObject, ...] = ABSENT
    co_rep_social_num: tuple[BaseObject, ...] = ABSENT
    document_type: tuple[StringObject, ...] = ABSENT  # the only field with a formatted value
    head_address: tuple[BaseObject, ...] = ABSENT  # may be the only address that was read
    issuance_date: tuple[BaseObject, ...] = ABSENT
    issuance_reason: tuple[BaseObject, ...] = ABSENT
    open_date: tuple[BaseObject, ...] = ABSENT
    rep_name: tuple[BaseObject, ...] = ABSENT
    social_number: tuple[BaseObject, ...] = ABSENT
    tax_type: tuple[BaseObject, ...] = ABSENT


class BizLicense(Document, frozen=True, kw_only=True):
    """A business registration certificate.

    Examples:
        >>> recognition = await client.recognize("biz-license.jpg", BizLicense)
        >>> number = first(recognition.document.result.register_number).value
    """

    path_word: ClassVar[str] = "biz-license"
    answer_key: ClassVar[str] = "bizLicense"

    meta: Meta = absent(Meta)
    result: BizLicenseResult = absent(BizLicenseResult)
