"""Answers to test with: the specification's tables as data, full answers made from them, and the samples on disk."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from clova_ocr_async.documents import (
    DOCUMENTS,
    BaseObject,
    BizLicense,
    BoundingPoly,
    Checksum,
    CreditCard,
    DateObject,
    Document,
    Field,
    FloatObject,
    IdCard,
    KeyCell,
    MrzBool,
    MrzInt,
    MrzString,
    NameCard,
    Passport,
    PoiObject,
    Receipt,
    Recognition,
    StringObject,
    TelObject,
    TimeObject,
    ValueCell,
    VendorObject,
    Vertex,
)
from clova_ocr_async.protocol.response import HTTPResponse, decode_response

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = Path(__file__).parents[1] / "samples"

DocumentT = TypeVar("DocumentT", bound=Document)

OBJECTS: dict[str, type[VendorObject]] = {
    "Field": Field,
    "BoundingPoly": BoundingPoly,
    "Vertex": Vertex,
    "BaseObject": BaseObject,
    "DateObject": DateObject,
    "TimeObject": TimeObject,
    "TelObject": TelObject,
    "FloatObject": FloatObject,
    "StringObject": StringObject,
    "PoiObject": PoiObject,
    "Checksum": Checksum,
    "KeyCell": KeyCell,
    "ValueCell": ValueCell,
    "MrzString": MrzString,
    "MrzBool": MrzBool,
    "MrzInt": MrzInt,
}
"""The shared objects by the specification's names."""

_CELL = {
    "text": "string",
    "boundingPolys": "BoundingPoly[]",
    "keyText": "string",
    "confidenceScore": "float",
}
_MRZ = {"rawText": "string", "postprocessed": "int32"}

OBJECT_TABLES: dict[str, dict[str, str]] = {
    "Field": {
        "text": "string",
        "confidence": "float",
        "boundingPoly": "BoundingPoly",
        "subBoundingPolys": "BoundingPoly[]",
    },
    "BoundingPoly": {"vertices": "Vertex[]"},
    "Vertex": {"x": "float", "y": "float"},
    "BaseObject": _CELL,
    "DateObject": _CELL
    | {
        "formatted.year": "string",
        "formatted.month": "string",
        "formatted.day": "string",
        "maskingPolys": "BoundingPoly[]",
    },
    "TimeObject": _CELL
    | {
        "formatted.hour": "string",
        "formatted.minute": "string",
        "formatted.second": "string",
        "maskingPolys": "BoundingPoly[]",
    },
    "TelObject": _CELL | {"formatted.value": "string"},
    "FloatObject": _CELL | {"formatted.value": "string"},
    "StringObject": _CELL | {"formatted.value": "string", "maskingPolys": "BoundingPoly[]"},
    "PoiObject": {
        "gid": "string",
        "title": "string",
        "phone": "string",
        "address": "string",
        "roadAddress": "string",
        "biznum": "string",
        "confidence": "number in a string",
    },
    "Checksum": {
        "found": "bool",
        "foundValueIds": "int[]",
        "foundValueSum": "float",
        "foundTotalIds": "int[]",
        "foundTotalSum": "float",
        "difference": "float",
    },
    "KeyCell": {
        "boundingPoly": "BoundingPoly",
        "depth": "string",
        "formatted": "string",
        "group": "string",
        "value": "string",
    },
    "ValueCell": {"boundingPoly": "BoundingPoly", "confidence": "float", "value": "string"},
    "MrzString": _MRZ | {"refinedText": "string"},
    "MrzBool": _MRZ | {"refinedText": "bool"},
    "MrzInt": _MRZ | {"refinedText": "int"},
}
"""The specification's tables of shared objects: path -> kind."""

_META = {"meta.estimatedLanguage": "string"}

DOCUMENT_TABLES: dict[type[Document], dict[str, str]] = {
    Receipt: _META
    | {
        "result.storeInfo.poiInfo": "PoiObject[]",
        "result.storeInfo.name": "StringObject",
        "result.storeInfo.subName": "StringObject",
        "result.storeInfo.bizNum": "StringObject",
        "result.storeInfo.movieName": "StringObject",
        "result.storeInfo.addresses": "StringObject[]",
        "result.storeInfo.tel": "TelObject[]",
        "result.paymentInfo.date": "DateObject",
        "result.paymentInfo.time": "TimeObject",
        "result.paymentInfo.cardInfo.company": "StringObject",
        "result.paymentInfo.cardInfo.number": "StringObject",
        "result.paymentInfo.confirmNum": "BaseObject",
        "result.subResults[].items[].name": "StringObject",
        "result.subResults[].items[].code": "StringObject",
        "result.subResults[].items[].count": "FloatObject",
        "result.subResults[].items[].price.price": "FloatObject",
        "result.subResults[].items[].price.unitPrice": "FloatObject",
        "result.totalPrice.price": "FloatObject",
        "result.subtotal": "FloatObject",
        "result.subtotal.taxprice": "FloatObject",
        "result.subtotal.discountprice": "FloatObject",
    },
    CreditCard: _META | {"result.number": "Field", "result.validThru": "Field", "result.name": "Field"},
    BizLicense: _META
    | dict.fromkeys(
        (
            "result.birth",
            "result.bisAddress",
            "result.bisArea",
            "result.bisItem",
            "result.registerNumber",
            "result.bisType",
            "result.companyName",
            "result.coRepName",
            "result.corpName",
            "result.corpRegisterNum",
            "result.coRepSocialNum",
            "result.headAddress",
            "result.issuanceDate",
            "result.issuanceReason",
            "result.openDate",
            "result.repName",
            "result.socialNumber",
            "result.taxType",
        ),
        "BaseObject[]",
    )
    | {"result.documentType": "StringObject[]"},
    IdCard: _META
    | {
        "result.isConfident": "bool",
        "result.IDType": "string",
        "result.rois": "BoundingPoly[]",
        "result.ic.name": "StringObject[]",
        "result.ic.personalNum": "StringObject[]",
        "result.ic.address": "StringObject[]",
        "result.ic.issueDate": "DateObject[]",
        "result.ic.authority": "StringObject[]",
        "result.dl.type": "BaseObject[]",
        "result.dl.num": "StringObject[]",
        "result.dl.name": "StringObject[]",
        "result.dl.personalNum": "StringObject[]",
        "result.dl.address": "StringObject[]",
        "result.dl.renewStartDate": "DateObject[]",
        "result.dl.renewEndDate": "DateObject[]",
        "result.dl.condition": "StringObject[]",
        "result.dl.code": "StringObject[]",
        "result.dl.organDonation": "BaseObject[]",
        "result.dl.issueDate": "DateObject[]",
        "result.dl.authority": "StringObject[]",
        "result.pp.type": "StringObject[]",
        "result.pp.issueCountry": "BaseObject[]",
        "result.pp.num": "StringObject[]",
        "result.pp.surName": "StringObject[]",
        "result.pp.givenName": "StringObject[]",
        "result.pp.nationality": "StringObject[]",
        "result.pp.birthDate": "DateObject[]",
        "result.pp.personalNum": "StringObject[]",
        "result.pp.sex": "StringObject[]",
        "result.pp.issueDate": "DateObject[]",
        "result.pp.expireDate": "DateObject[]",
        "result.pp.authority": "BaseObject[]",
        "result.pp.fullNameKor": "StringObject[]",
        "result.pp.MRZ1": "StringObject[]",
        "result.pp.MRZ2": "StringObject[]",
        "result.ac.alienRegNum": "StringObject[]",
        "result.ac.sex": "StringObject[]",
        "result.ac.name": "StringObject[]",
        "result.ac.nationality": "StringObject[]",
        "result.ac.visaType": "StringObject[]",
        "result.ac.issueDate": "DateObject[]",
        "result.ac.authority": "StringObject[]",
        "result.ac.authorityEng": "StringObject[]",
        "result.ac.alienRegNumEtc": "StringObject[]",
    },
    NameCard: _META
    | {
        "result.name": "StringObject[]",
        "result.nameFurigana": "StringObject[]",
        "result.company": "StringObject[]",
        "result.department": "StringObject[]",
        "result.address": "StringObject[]",
        "result.position": "StringObject[]",
        "result.mobile": "TelObject[]",
        "result.tel": "TelObject[]",
        "result.fax": "TelObject[]",
        "result.email": "StringObject[]",
        "result.homepage": "StringObject[]",
    },
    Passport: {
        "passportResult.documentClassCode": "MrzString",
        "passportResult.issuingStateCode": "MrzString",
        "passportResult.firstName": "MrzString",
        "passportResult.lastName1": "MrzString",
        "passportResult.lastName2": "MrzString",
        "passportResult.documentNumber": "MrzString",
        "passportResult.checkDigitForDocumentNumber": "MrzString",
        "passportResult.nationality": "MrzString",
        "passportResult.dateOfBirth": "MrzString",
        "passportResult.age": "MrzInt",
        "passportResult.checkDigitForDateOfBirth": "MrzString",
        "passportResult.gender": "MrzString",
        "passportResult.dateOfExpiry": "MrzString",
        "passportResult.checkDigitForDateOfExpiry": "MrzString",
        "passportResult.personalNumber": "MrzString",
        "passportResult.checkDigitForPersonalNumber": "MrzString",
        "passportResult.finalCheckDigit": "MrzString",
        "passportResult.mrzType": "MrzString",
        "passportResult.mrzLines": "MrzString",
        "passportResult.isExpired": "MrzBool",
    },
}
"""The specification's tables of documents: path -> kind. Receipt rows of the release notes are tested by themselves."""

_PYTHON_NAMES = {
    "IDType": "id_type",
    "MRZ1": "mrz1",
    "MRZ2": "mrz2",
    "subtotal": "sub_total",
    "taxprice": "tax_price",
    "discountprice": "discount_price",
}


def python_name(wire: str) -> str:
    """Return the attribute a vendor's key is reached by."""
    return _PYTHON_NAMES.get(wire) or re.sub(r"([A-Z])", r"_\1", wire).lower()


class Maker:
    """Makes wire values, every string and number of them different from all others."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def make(self, kind: str) -> Any:
        """Return a value of one of the specification's kinds, with everything in it that its table names."""
        if kind.endswith("[]"):
            element = kind.removesuffix("[]")
            return [self.make(element) for _ in range(1 if element == "BoundingPoly" else 2)]
        if kind in OBJECT_TABLES:
            return self.fill(OBJECT_TABLES[kind])
        number = next(self._count)
        scalars: dict[str, Any] = {
            "string": f"canary{number:05}x",
            "number in a string": f"{700000 + number}.5",
            "float": 700000.25 + number,
            "int": 70000000 + number,
            "int32": 70000000 + number,
            "bool": True,
        }
        return scalars[kind]

    def fill(self, table: dict[str, str]) -> dict[str, Any]:
        """Return an object with every row of a table."""
        made: dict[str, Any] = {}
        for path, kind in table.items():
            holders, last = [made], path.split(".")[-1]
            for step in path.split(".")[:-1]:
                holders = [inner for holder in holders for inner in _step_into(holder, step)]
            for holder in holders:
                holder[last] = self.make(kind)
        return made


def _step_into(holder: dict[str, Any], step: str) -> list[dict[str, Any]]:
    if step.endswith("[]"):
        made: list[dict[str, Any]] = holder.setdefault(step.removesuffix("[]"), [{}, {}])
        return made
    return [holder.setdefault(step, {})]


def full_document(cls: type[Document]) -> dict[str, Any]:
    """Return a wire document with every field its table names, at every level."""
    return Maker().fill(DOCUMENT_TABLES[cls])


def small_documents(cls: type[Document]) -> Iterator[dict[str, Any]]:
    """Yield a wire document for each row of a table, with that row and the first one in it and nothing else."""
    table = DOCUMENT_TABLES[cls]
    first = next(iter(table))
    for path in table:
        yield Maker().fill({first: table[first], path: table[path]})


def answer_of(cls: type[Document], document: Any) -> dict[str, Any]:
    """Return a whole answer around a wire document."""
    return {
        "version": "V2",
        "requestId": "7d7f0bd6-97ab-4ed4-a4ba-2d1ee0f8c1fd",
        "timestamp": 1613984821070,
        "images": [
            {
                cls.answer_key: document,
                "uid": "0123456789abcdef0123456789abcdef",
                "name": "sample",
                "inferResult": "SUCCESS",
                "message": "SUCCESS",
                "validationResult": {"result": "NO_REQUESTED"},
            }
        ],
    }


def decode(answer: Any, cls: type[DocumentT], status: int = 200) -> Recognition[DocumentT]:
    """Decode an answer given as plain values or as bytes."""
    body = answer if isinstance(answer, bytes) else json.dumps(answer, ensure_ascii=False).encode()
    return decode_response(HTTPResponse(status, body), cls)


def read(cls: type[DocumentT], document: Any) -> DocumentT:
    """Decode a wire document, whole and typed: it must fit."""
    recognition = decode(answer_of(cls, document), cls)
    assert recognition.problems == ()
    return recognition.document


def samples(folder: str) -> list[Path]:
    """Return the answers in a folder of samples."""
    return [path for path in sorted((SAMPLES / folder).glob("*.json")) if path.stem != "request"]


def document_of(answer: dict[str, Any]) -> tuple[type[Document], Any]:
    """Return the class of an answer's document, and the wire document."""
    image = next(image for image in answer["images"] if image)
    return next((cls, image[cls.answer_key]) for cls in DOCUMENTS.values() if cls.answer_key in image)


Steps = tuple[str | int, ...]


def nodes(value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, Any]]:
    """Yield every value inside a JSON value, with the keys and indices that lead to it."""
    yield steps, value
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from nodes(item, (*steps, key))


def leaves(value: Any) -> Iterator[tuple[Steps, Any]]:
    """Yield every string, number, flag and null inside a JSON value."""
    return ((steps, item) for steps, item in nodes(value) if not isinstance(item, dict | list))


def at(value: Any, steps: Steps) -> Any:
    """Return what stands at a place."""
    for step in steps:
        value = value[step]
    return value


def path_of(steps: Steps) -> str:
    """Return a place as the package writes it: images[0].receipt.meta."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
