"""The layouts of papers of an office: business registration certificates and business cards."""

from random import Random
from typing import TypeAlias

from clova_ocr_async.emulator.samples import fake_data as madeup
from clova_ocr_async.emulator.samples.answer_objects import Cell, base
from clova_ocr_async.emulator.samples.canvas import Style, Typeface
from clova_ocr_async.emulator.samples.placed_words import Word
from clova_ocr_async.emulator.samples.sheet import Drawn, Pair, Sheet

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
_KEY = {"keyText": "", "confidenceScore": 0.0}
"""What the service says of every cell of a certificate, however well it read it."""

_Row: TypeAlias = tuple[str, Pair, str]
"""A field of a certificate: the vendor's key, its label, its text."""


def biz_license(random: Random, seed: int, typeface: Typeface) -> Drawn:
    """Draw a business registration certificate: by turns a person's and a corporation's."""
    sheet = Sheet(random, (760, 1040), typeface, photographed=False)
    canvas, corporation = sheet.canvas, seed % 2 == 1
    canvas.card((36, 36, 724, 1004), "#ffffff")
    canvas.specimen()
    cells: dict[str, list[Cell]] = {key: [] for key in _BIZ_FIELDS}
    cells["documentType"].append(_heading(sheet))
    tax = sheet.say(("법인사업자", "Corporation") if corporation else ("일반과세자", "Ordinary taxpayer"))
    cells["taxType"].append(_biz(canvas.write(tax, (380, 166), Style(24, anchor="middle"))))
    rows = [_register(sheet), *(_corporation(sheet) if corporation else _person(sheet, seed)), *_business(sheet)]
    for row, (key, label, text) in enumerate(rows):
        y = 232 + 54 * row
        canvas.rule((80, y + 20), (680, y + 20))
        canvas.write(sheet.say(label), (84, y), Style(19))
        cells[key].append(_biz(canvas.write(text, (290, y), Style(21))))
    issued = sheet.free_date(madeup.day_between(random, 2020, 2025))
    cells["issuanceDate"].append(_biz(canvas.write(issued, (380, 964), Style(26, anchor="middle"))))
    return canvas, {"meta": sheet.meta(), "result": cells}


def _heading(sheet: Sheet) -> Cell:
    title = sheet.say(("사업자등록증", "Business Registration"))
    cell = base(sheet.canvas.write(title, (380, 120), Style(42, bold=True, anchor="middle")))
    return {"text": title, "formatted": {"value": title}, "boundingPolys": cell["boundingPolys"], **_KEY}


def _biz(words: tuple[Word, ...]) -> Cell:
    return {**base(words), **_KEY}


def _register(sheet: Sheet) -> _Row:
    return ("registerNumber", ("등록번호", "Registration No."), madeup.business_number(sheet.random))


def _person(sheet: Sheet, seed: int) -> list[_Row]:
    owner = sheet.random.choice(madeup.PEOPLE)
    born = madeup.day_between(sheet.random, 1950, 1995)
    rows: list[_Row] = [
        ("companyName", ("상호", "Company name"), sheet.pick(madeup.STORES)),
        ("repName", ("성명", "Representative"), sheet.name_of(owner)),
    ]
    if seed % 4 == 0:
        return [*rows, ("birth", ("생년월일", "Date of birth"), sheet.free_date(born))]
    number = madeup.resident_number(sheet.random, born, male=madeup.coin(sheet.random))
    return [*rows, ("socialNumber", ("주민등록번호", "Resident No."), number)]


def _corporation(sheet: Sheet) -> list[_Row]:
    head, other = sheet.random.sample(madeup.PEOPLE, 2)
    born = madeup.day_between(sheet.random, 1950, 1995)
    number = madeup.resident_number(sheet.random, born, male=madeup.coin(sheet.random))
    return [
        ("corpName", ("법인명(단체명)", "Corporation name"), sheet.pick(madeup.COMPANIES)),
        ("repName", ("대표자", "Representative"), sheet.name_of(head)),
        ("coRepName", ("공동대표자", "Joint rep."), sheet.name_of(other)),
        ("coRepSocialNum", ("공동대표 주민등록번호", "Joint rep. No."), number),
        ("corpRegisterNum", ("법인등록번호", "Corporate No."), madeup.corporate_number(sheet.random)),
        ("headAddress", ("본점 소재지", "Head office"), sheet.pick(madeup.ADDRESSES)),
    ]


def _business(sheet: Sheet) -> list[_Row]:
    opened = madeup.day_between(sheet.random, 2001, 2019)
    return [
        ("openDate", ("개업연월일", "Opened on"), sheet.free_date(opened)),
        ("bisAddress", ("사업장 소재지", "Place of business"), sheet.pick(madeup.ADDRESSES)),
        *(("bisType", ("업태", "Type of business"), sheet.say(kind)) for kind in sheet.random.sample(_TYPES, 2)),
        *(("bisItem", ("종목", "Items"), sheet.say(trade)) for trade in sheet.random.sample(_TRADES, 1)),
        ("issuanceReason", ("발급사유", "Reason of issue"), sheet.pick(_REASONS)),
    ]


def name_card(random: Random, seed: int, typeface: Typeface) -> Drawn:
    """Draw a business card; every third has two offices, and so two addresses."""
    sheet = Sheet(random, (900, 560), typeface)
    canvas = sheet.canvas
    canvas.card((40, 36, 860, 524), "#ffffff")
    canvas.specimen()
    person = random.choice(madeup.PEOPLE)
    cells: dict[str, list[Cell]] = {key: [] for key in _CARD_FIELDS}
    cells["company"].append(base(canvas.write(sheet.pick(madeup.COMPANIES), (84, 110), Style(34, bold=True))))
    cells["name"].append(base(canvas.write(sheet.name_of(person), (84, 220), Style(44, bold=True))))
    cells["position"].append(base(canvas.write(sheet.pick(_POSITIONS), (84, 266), Style(23))))
    cells["department"].append(base(canvas.write(sheet.pick(_DEPARTMENTS), (816, 266), Style(23, anchor="right"))))
    canvas.rule((84, 296), (816, 296))
    for row, place in enumerate(random.sample(madeup.ADDRESSES, 2 if seed % 3 == 0 else 1)):
        cells["address"].append(base(canvas.write(sheet.say(place), (84, 336 + 36 * row), Style(21))))
    for key, label, text, x, y in _reach(random, person.given.lower()):
        cells[key].append(base(sheet.after((label, label), text, (x, y), Style(21))))
    return canvas, {"meta": sheet.meta(), "result": cells}


def _reach(random: Random, word: str) -> list[tuple[str, str, str, int, int]]:
    """Say how to reach somebody: field, label, text, place."""
    return [
        ("mobile", "M.", madeup.mobile(random), 84, 414),
        ("tel", "T.", madeup.telephone(random), 84, 448),
        ("fax", "F.", madeup.telephone(random), 84, 482),
        ("email", "E.", f"{word}@moui.example", 460, 414),
        ("homepage", "W.", "www.moui.example", 460, 448),
    ]
