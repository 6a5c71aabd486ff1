"""The envelope of an answer: the parts around a document, and those of an error.

One struct decodes every body of the service and its gateway, so that one pass over the bytes distinguishes them.

Source: API specification v1.0.6 (2023-11-23), "Response bodies" and "Error Response Body"; the gateway's envelope from
its error page at api-gov.ncloud-docs.com (2026-10-22).
"""

from __future__ import annotations

from typing import Any

from clova_ocr_async.documents.base import ABSENT, VendorObject, absent
from clova_ocr_async.documents.biz_license import BizLicense
from clova_ocr_async.documents.credit_card import CreditCard
from clova_ocr_async.documents.id_card import IdCard
from clova_ocr_async.documents.name_card import NameCard
from clova_ocr_async.documents.passport import Passport
from clova_ocr_async.documents.receipt import Receipt

__all__ = ["Answer", "ConvertedImageInfo", "GatewayError", "ImageAnswer", "ValidationResult"]


class ValidationResult(VendorObject, frozen=True, kw_only=True):
    """The outcome of an optional validation: NO_REQUESTED, UNCHECKED, ERROR, VALID or INVALID."""

    result: str | None = None
    message: str | None = None


class ConvertedImageInfo(VendorObject, frozen=True, kw_only=True):
    """The picture that the service made of a PDF or TIFF; polygons are in its pixels."""

    width: int | None = None
    height: int | None = None
    page_index: int | None = None
    long_image: bool | None = None  # not documented; seen in answers of the General API


class ImageAnswer(VendorObject, frozen=True, kw_only=True):
    """The answer for one image. ``fields`` is present only if the domain is of another product."""

    # All six, whatever was asked for, so that the answer of a domain of another document is recognized.
    receipt: Receipt = absent(Receipt)
    credit_card: CreditCard = absent(CreditCard)
    biz_license: BizLicense = absent(BizLicense)
    id_card: IdCard = absent(IdCard)
    name_card: NameCard = absent(NameCard)
    passport: Passport = absent(Passport)
    uid: str | None = None
    name: str | None = None
    infer_result: str | None = None
    message: str | None = None
    validation_result: ValidationResult = absent(ValidationResult)
    converted_image_info: ConvertedImageInfo = absent(ConvertedImageInfo)
    fields: Any = None


class GatewayError(VendorObject, frozen=True, kw_only=True):
    """The gateway's error object."""

    error_code: str | int | None = None
    message: str | None = None
    details: Any = None


class Answer(VendorObject, frozen=True, kw_only=True):
    """A whole body: images, or the service's error fields, or the gateway's error object."""

    version: str | None = None
    request_id: str | None = None
    timestamp: int | None = None
    images: tuple[ImageAnswer | None, ...] = ABSENT  # the nulls are not documented, but a client guards against them
    code: str | int | None = None
    message: str | None = None
    path: str | None = None
    trace_id: str | None = None
    error: GatewayError = absent(GatewayError)
