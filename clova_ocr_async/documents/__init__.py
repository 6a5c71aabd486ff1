"""The six documents of an answer, and the objects that they consist of."""

from clova_ocr_async.documents.base import Document, VendorObject
from clova_ocr_async.documents.biz_license import BizLicense, BizLicenseResult
from clova_ocr_async.documents.credit_card import CreditCard, CreditCardResult
from clova_ocr_async.documents.dates import date_from_text
from clova_ocr_async.documents.envelope import ConvertedImageInfo, ValidationResult
from clova_ocr_async.documents.fields import ReadField
from clova_ocr_async.documents.first_object import first
from clova_ocr_async.documents.id_card import (
    AlienRegistrationCard,
    DriverLicense,
    IdCard,
    IdCardKind,
    IdCardResult,
    KoreanPassport,
    ResidentCard,
)
from clova_ocr_async.documents.lenient import Problem
from clova_ocr_async.documents.name_card import NameCard, NameCardResult
from clova_ocr_async.documents.objects import (
    BaseObject,
    BoundingPoly,
    Checksum,
    DateObject,
    Field,
    FloatObject,
    FormattedDate,
    FormattedTime,
    FormattedValue,
    KeyCell,
    Meta,
    MrzBool,
    MrzInt,
    MrzString,
    PoiObject,
    StringObject,
    TelObject,
    TimeObject,
    ValueCell,
    Vertex,
)
from clova_ocr_async.documents.passport import Passport, PassportResult
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.documents.receipt import (
    CardInfo,
    ItemPrice,
    PaymentInfo,
    Receipt,
    ReceiptItem,
    ReceiptResult,
    StoreInfo,
    SubResult,
    SubTotal,
    TotalPrice,
)
from clova_ocr_async.documents.recognition import DocumentT, Recognition

DOCUMENTS: dict[str, type[Document]] = {
    cls.path_word: cls for cls in (Receipt, CreditCard, NameCard, BizLicense, IdCard, Passport)
}
"""The six documents by the vendor's path word."""

__all__ = [
    "DOCUMENTS",
    "AlienRegistrationCard",
    "BaseObject",
    "BizLicense",
    "BizLicenseResult",
    "BoundingPoly",
    "CardInfo",
    "Checksum",
    "ConvertedImageInfo",
    "CreditCard",
    "CreditCardResult",
    "DateObject",
    "Document",
    "DocumentT",
    "DriverLicense",
    "Field",
    "FloatObject",
    "FormattedDate",
    "FormattedTime",
    "FormattedValue",
    "IdCard",
    "IdCardKind",
    "IdCardResult",
    "ItemPrice",
    "KeyCell",
    "KoreanPassport",
    "Meta",
    "MrzBool",
    "MrzInt",
    "MrzString",
    "NameCard",
    "NameCardResult",
    "Passport",
    "PassportResult",
    "PaymentInfo",
    "Picture",
    "PoiObject",
    "Problem",
    "ReadField",
    "Receipt",
    "ReceiptItem",
    "ReceiptResult",
    "Recognition",
    "ResidentCard",
    "StoreInfo",
    "StringObject",
    "SubResult",
    "SubTotal",
    "TelObject",
    "TimeObject",
    "TotalPrice",
    "ValidationResult",
    "ValueCell",
    "VendorObject",
    "Vertex",
    "date_from_text",
    "first",
]
