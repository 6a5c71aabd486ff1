"""The layouts of business registration certificates and business cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from clova_ocr_async.emulator.samples import fake_data
from clova_ocr_async.emulator.samples.answer_objects import AnswerObject, base_object
from clova_ocr_async.emulator.samples.canvas import Style
from clova_ocr_async.emulator.samples.sheet import DrawnDocument, Pair, Sheet

if TYPE_CHECKING:
    from random import Random

    from clova_ocr_async.emulator.samples.placed_words import Word
    from clova_ocr_async.pictures.typeface import Typeface

__all__ = ["biz_license", "name_card"]


_BIZ_FIELDS = (
    "birth", "bisAddress", "bisArea", "bisItem", "registerNumber", "bisType", "companyName", "coRepName", "corpName",
    "corpRegisterNum", "coRepSocialNum", "documentType", "headAddress", "issuanceDate", "issuanceReason", "openDate",
    "repName", "socialNumber", "taxType",
)  # fmt: skip
_CARD_FIELDS = (
    "name", "nameFurigana", "company", "department", "address", "position", "mobile", "tel", "fax", "email", "homepage",
)  # fmt: skip
_TYPES = (("도매 및 소매업", "Wholesale and retail"), ("서비스업", "Services"), ("제조업", "Manufacturing"))
_TRADES = (("문구", "Stationery"), ("소프트웨어 개발", "Software"), ("견본 제작", "Making of specimens"))
_REASONS = (("신규", "New"), ("재발급", "Reissue"), ("정정", "Correction"))
_DEPARTMENTS = (("견본기획팀", "Specimen Planning"), ("모의영업부", "Mock Sales"))
_POSITIONS = (("과장", "Manager"), ("대리", "Associate"), ("책임연구원", "Principal Researcher"))
_KEY = {"keyText": "", "confidenceScore": 0.0}  # of every object of a certificate; the service always sends these

_Row: TypeAlias = tuple[str, Pair, str]
"""A field of a certificate: the vendor's key, its label, its text."""


def biz_license(random: Random, seed: int, typeface: Typeface) -> DrawnDocument:
    """Draw a business registration certificate, in turn of a person and of a corporation."""
    # Straight and on white: certificates are scanned, where cards and receipts are photographed.
    sheet = Sheet(random, (760, 1040), typeface, photographed=False)
    canvas, corporation = sheet.canvas, seed % 2 == 1
    canvas.draw_card((36, 36, 724, 1004), "#ffffff")
    canvas.draw_specimen_mark()
    # An empty array for what is not on the paper, as in the specification's example.
    objects: dict[str, list[AnswerObject]] = {key: [] for key in _BIZ_FIELDS}
    objects["documentType"].append(_heading(sheet))
    tax = sheet.localized(("법인사업자", "Corporation") if corporation else ("일반과세자", "Ordinary taxpayer"))
    objects["taxType"].append(_biz(canvas.write(tax, (380, 166), Style(24, anchor="middle"))))
    rows = [_register(sheet), *(_corporation(sheet) if corporation else _person(sheet, seed)), *_business(sheet)]
    for row, (key, label, text) in enumerate(rows):
        y = 232 + 54 * row
        canvas.draw_line((80, y + 20), (680, y + 20))
        canvas.write(sheet.localized(label), (84, y), Style(19))
        objects[key].append(_biz(canvas.write(text, (290, y), Style(21))))
    issued = sheet.free_date(fake_data.day_between(random, 2020, 2025))
    objects["issuanceDate"].append(_biz(canvas.write(issued, (380, 964), Style(26, anchor="middle"))))
    return canvas, {"meta": sheet.meta(), "result": objects}


def _heading(sheet: Sheet) -> AnswerObject:
    title = sheet.localized(("사업자등록증", "Business Registration"))
    cell = base_object(sheet.canvas.write(title, (380, 120), Style(42, bold=True, anchor="middle")))
    return {"text": title, "formatted": {"value": title}, "boundingPolys": cell["boundingPolys"], **_KEY}


def _biz(words: tuple[Word, ...]) -> AnswerObject:
    return {**base_object(words), **_KEY}


def _register(sheet: Sheet) -> _Row:
    return ("registerNumber", ("등록번호", "Registration No."), fake_data.business_number(sheet.random))


def _person(sheet: Sheet, seed: int) -> list[_Row]:
    owner = sheet.random.choice(fake_data.PEOPLE)
    born = fake_data.day_between(sheet.random, 1950, 1995)
    rows: list[_Row] = [
        ("companyName", ("상호", "Company name"), sheet.choose(fake_data.STORES)),
        ("repName", ("성명", "Representative"), sheet.name_of(owner)),
    ]
    if seed % 4 == 0:
        return [*rows, ("birth", ("생년월일", "Date of birth"), sheet.free_date(born))]
    number = fake_data.resident_number(sheet.random, born, male=fake_data.boolean(sheet.random))
    return [*rows, ("socialNumber", ("주민등록번호", "Resident No."), number)]


def _corporation(sheet: Sheet) -> list[_Row]:
    head, other = sheet.random.sample(fake_data.PEOPLE, 2)
    born = fake_data.day_between(sheet.random, 1950, 1995)
    number = fake_data.resident_number(sheet.random, born, male=fake_data.boolean(sheet.random))
    return [
        ("corpName", ("법인명(단체명)", "Corporation name"), sheet.choose(fake_data.COMPANIES)),
        ("repName", ("대표자", "Representative"), sheet.name_of(head)),
        ("coRepName", ("공동대표자", "Joint rep."), sheet.name_of(other)),
        ("coRepSocialNum", ("공동대표 주민등록번호", "Joint rep. No."), number),
        ("corpRegisterNum", ("법인등록번호", "Corporate No."), fake_data.corporate_number(sheet.random)),
        ("headAddress", ("본점 소재지", "Head office"), sheet.choose(fake_data.ADDRESSES)),
    ]


def _business(sheet: Sheet) -> list[_Row]:
    opened = fake_data.day_between(sheet.random, 2001, 2019)
    return [
        ("openDate", ("개업연월일", "Opened on"), sheet.free_date(opened)),
        ("bisAddress", ("사업장 소재지", "Place of business"), sheet.choose(fake_data.ADDRESSES)),
        *(("bisType", ("업태", "Type of business"), sheet.localized(kind)) for kind in sheet.random.sample(_TYPES, 2)),
        *(("bisItem", ("종목", "Items"), sheet.localized(trade)) for trade in sheet.random.sample(_TRADES, 1)),
        ("issuanceReason", ("발급사유", "Reason of issue"), sheet.choose(_REASONS)),
    ]


def name_card(random: Random, seed: int, typeface: Typeface) -> DrawnDocument:
    """Draw a business card; every third has two offices and two addresses."""
    sheet = Sheet(random, (900, 560), typeface)
    canvas = sheet.canvas
    canvas.draw_card((40, 36, 860, 524), "#ffffff")
    canvas.draw_specimen_mark()
    person = random.choice(fake_data.PEOPLE)
    objects: dict[str, list[AnswerObject]] = {key: [] for key in _CARD_FIELDS}
    objects["company"].append(
        base_object(canvas.write(sheet.choose(fake_data.COMPANIES), (84, 110), Style(34, bold=True)))
    )
    objects["name"].append(base_object(canvas.write(sheet.name_of(person), (84, 220), Style(44, bold=True))))
    objects["position"].append(base_object(canvas.write(sheet.choose(_POSITIONS), (84, 266), Style(23))))
    objects["department"].append(
        base_object(canvas.write(sheet.choose(_DEPARTMENTS), (816, 266), Style(23, anchor="right")))
    )
    canvas.draw_line((84, 296), (816, 296))
    for row, place in enumerate(random.sample(fake_data.ADDRESSES, 2 if seed % 3 == 0 else 1)):
        objects["address"].append(base_object(canvas.write(sheet.localized(place), (84, 336 + 36 * row), Style(21))))
    for key, label, text, x, y in _contacts(random, person.given.lower()):
        objects[key].append(base_object(sheet.write_labelled((label, label), text, (x, y), Style(21))))
    return canvas, {"meta": sheet.meta(), "result": objects}


def _contacts(random: Random, word: str) -> list[tuple[str, str, str, int, int]]:
    """Return the contact details: field, label, text, place."""
    return [
        ("mobile", "M.", fake_data.mobile(random), 84, 414),
        ("tel", "T.", fake_data.telephone(random), 84, 448),
        ("fax", "F.", fake_data.telephone(random), 84, 482),
        ("email", "E.", f"{word}@moui.example", 460, 414),
        ("homepage", "W.", "www.moui.example", 460, 448),
    ]
