"""The layouts of identity papers: four kinds of ID cards, and passports.

They look unlike those of any state: a pale card with a silhouette, and texts under labels.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.emulator.samples import fake_data
from clova_ocr_async.emulator.samples.answer_objects import AnswerObject, bounding_poly
from clova_ocr_async.emulator.samples.canvas import Style
from clova_ocr_async.emulator.samples.sheet import LABEL, TEXT, DrawnDocument, Pair, Sheet

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from clova_ocr_async.emulator.samples.placed_words import Polygon, Word
    from clova_ocr_async.pictures.typeface import Typeface

__all__ = ["SEEN_ON", "id_card", "passport"]


SEEN_ON = date(2026, 1, 1)
"""The day of recognition; ages and expiries of passports refer to it."""

_LEFT, _RIGHT = 300, 590
_ZONE = Style(26, pitch=17)


class _Row(NamedTuple):
    """One field: the vendor's key, its label, its text and place, and the function that makes its object."""

    key: str
    label: Pair
    text: str
    at: tuple[int, int]
    make_object: Callable[[tuple[Word, ...]], AnswerObject]
    tail: int = 0
    width: int = 265
    style: Style = TEXT


class _Kind(NamedTuple):
    """One kind of ID card: the vendor's key and name, its heading, and its fields."""

    key: str
    name: str
    heading: Pair
    rows: Callable[[Sheet], list[_Row]]


def id_card(random: Random, seed: int, typeface: Typeface) -> DrawnDocument:
    """Draw an ID card, in turn a resident card, a driver's licence, a passport, an alien registration card."""
    kind = _KINDS[seed % 4]
    sheet = Sheet(random, (900, 660), typeface)
    corners = _blank(sheet, kind.heading, seed)
    fields = {row.key: [row.make_object(_written(sheet, row))] for row in kind.rows(sheet)}
    result = {"isConfident": True, kind.key: fields, "idtype": kind.name, "rois": [bounding_poly(corners)]}
    return sheet.canvas, {"meta": sheet.meta(), "result": result}


def passport(random: Random, seed: int, typeface: Typeface) -> DrawnDocument:
    """Draw a foreign passport, which may have expired; its answer consists of its machine readable zone alone."""
    sheet = Sheet(random, (900, 660), typeface)
    _blank(sheet, ("여권 PASSPORT", "PASSPORT"), seed)
    holder = fake_data.passport_holder(random, "P<", f"{random.choice('XYZ')}{fake_data.digits(random, 12)}")
    zone = fake_data.machine_readable_zone(random, holder)
    for row in (*_page(sheet, holder), *_zone_rows(sheet, zone)):
        _written(sheet, row)
    return sheet.canvas, {"passportResult": _reading(holder, zone)}


def _blank(sheet: Sheet, heading: Pair, seed: int) -> Polygon:
    """Draw the parts that all cards of a kind share; return the corners of the card."""
    fill = ("#f3f6fb", "#f4f8f1", "#faf5ee", "#f8f2f7")[seed % 4]
    corners = sheet.canvas.draw_card((46, 36, 854, 624), fill, radius=24)
    sheet.canvas.draw_specimen_mark()
    sheet.canvas.draw_portrait((80, 140, 260, 370))
    sheet.canvas.write(sheet.localized(heading), (80, 100), Style(32, bold=True))
    return corners


def _written(sheet: Sheet, row: _Row) -> tuple[Word, ...]:
    """Write the label and the text under it, in several lines if it is long."""
    sheet.canvas.write(sheet.localized(row.label), row.at, LABEL)
    place = (row.at[0], row.at[1] + 28)
    if row.tail:
        return sheet.canvas.write(row.text, place, row.style, tail=row.tail)
    return sheet.canvas.write_lines(row.text, place, row.style, row.width)


def _resident(sheet: Sheet) -> list[_Row]:
    random, objects = sheet.random, sheet.objects
    born, issued = fake_data.day_between(random, 1955, 2004), fake_data.day_between(random, 2008, 2024)
    number = fake_data.resident_number(random, born, male=fake_data.boolean(random))
    day = f"{issued.year}.{issued.month}. {issued.day}."
    office = sheet.localized(("가상특별시 견본구청장", "Mayor of Gyeonbon-gu"))
    return [
        _Row("name", ("성명", "Name"), sheet.name_of(random.choice(fake_data.PEOPLE)), (_LEFT, 160), objects.string),
        _Row("personalNum", ("주민등록번호", "Resident No."), number, (_LEFT, 236), _hidden(sheet), tail=7),
        _Row(
            "address", ("주소", "Address"), sheet.choose(fake_data.ADDRESSES), (_LEFT, 312), objects.string, width=300
        ),
        # In captured answers this date has masking polygons as well.
        _Row("issueDate", ("발급일", "Issued on"), day, (_LEFT, 426), _day(sheet, issued, masked=True)),
        _Row("authority", ("발급기관", "Issued by"), office, (_LEFT, 502), objects.string, width=520),
    ]


def _driver(sheet: Sheet) -> list[_Row]:
    random, objects = sheet.random, sheet.objects
    born, issued = fake_data.day_between(random, 1955, 2004), fake_data.day_between(random, 2015, 2024)
    number = fake_data.resident_number(random, born, male=fake_data.boolean(random))
    start, end = date(issued.year + 9, 1, 1), date(issued.year + 9, 12, 31)
    office = sheet.localized(("가상경찰청장", "Chief, Gasang Police"))
    # The service expands the abbreviation in its normal form.
    full = sheet.localized(("가상지방경찰청장", "Chief, Gasang Provincial Police"))
    # Without I and O, which look like digits.
    code = "".join(random.choice("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(6))
    class_ = sheet.localized(random.choice((("1종 보통", "Class 1"), ("2종 보통", "Class 2"))))
    donor = sheet.localized(("장기기증 희망", "Organ donor"))
    return [
        _Row("type", ("종류", "Class"), class_, (_LEFT, 150), objects.base),
        _Row("num", ("면허번호", "Licence No."), fake_data.licence_number(random), (_RIGHT, 150), _hidden(sheet)),
        _Row("name", ("성명", "Name"), sheet.name_of(random.choice(fake_data.PEOPLE)), (_LEFT, 220), objects.string),
        _Row("personalNum", ("주민등록번호", "Resident No."), number, (_RIGHT, 220), _hidden(sheet), tail=7),
        _Row(
            "address", ("주소", "Address"), sheet.choose(fake_data.ADDRESSES), (_LEFT, 290), objects.string, width=530
        ),
        _Row("renewStartDate", ("갱신 시작", "Renew from"), f"{start:%Y.%m.%d}", (_LEFT, 360), _day(sheet, start)),
        _Row("renewEndDate", ("갱신 마감", "Renew by"), f"{end:%Y.%m.%d}", (_RIGHT, 360), _day(sheet, end)),
        _Row("condition", ("조건", "Condition"), random.choice("ABCD"), (_LEFT, 430), objects.string),
        _Row("code", ("암호일련번호", "Code"), code, (_RIGHT, 430), objects.string),
        _Row("organDonation", ("비고", "Remarks"), donor, (80, 430), objects.base, width=200),
        _Row(
            "issueDate", ("발급일", "Issued on"), f"{issued:%Y.%m.%d}.", (_LEFT, 500), _day(sheet, issued, masked=True)
        ),
        _Row("authority", ("발급기관", "Issued by"), office, (_RIGHT, 500), partial(objects.string, value=full)),
    ]


def _alien(sheet: Sheet) -> list[_Row]:
    random, objects = sheet.random, sheet.objects
    born, issued = fake_data.day_between(random, 1960, 2004), fake_data.day_between(random, 2016, 2024)
    male = fake_data.boolean(random)
    number = fake_data.resident_number(random, born, male=male, alien=True)
    person = random.choice(fake_data.PEOPLE)
    visa = sheet.localized(("견본(Z-9)", "SPECIMEN (Z-9)"))
    office = sheet.localized(("가상출입국사무소장", "Gasang Immigration Office"))
    return [
        _Row("alienRegNum", ("외국인등록번호", "Registration No."), number, (_LEFT, 160), _hidden(sheet), tail=7),
        _Row("sex", ("성별", "Sex"), "M" if male else "F", (_RIGHT, 160), objects.string),
        _Row("name", ("성명", "Name"), f"{person.family} {person.given}", (_LEFT, 236), objects.string, width=520),
        _Row("nationality", ("국가/지역", "Country"), "UTOPIA", (_LEFT, 312), objects.string),
        _Row("visaType", ("체류자격", "Status"), visa, (_RIGHT, 312), objects.string),
        _Row(
            "issueDate", ("발급일", "Issued on"), f"{issued:%Y.%m.%d}.", (_LEFT, 388), _day(sheet, issued, masked=True)
        ),
        _Row("authority", ("발급기관", "Issued by"), office, (_LEFT, 464), objects.string, width=520),
        _Row(
            "authorityEng",
            ("", ""),
            "CHIEF, GASANG IMMIGRATION",
            (_LEFT, 504),
            objects.string,
            width=520,
            style=Style(18),
        ),
        _Row("alienRegNumEtc", ("등록번호", "No."), number, (80, 388), _hidden(sheet), tail=7, style=Style(20)),
    ]


def _national_passport(sheet: Sheet) -> list[_Row]:
    """Return the rows of a passport for the ID card model: its page and its machine readable zone."""
    holder = fake_data.passport_holder(sheet.random, "PM", "")
    # Korean passports had the last seven digits of the resident number in their zone until 2020-12-21: programs that
    # mask such numbers need samples of it.
    number = fake_data.resident_number(sheet.random, holder.born, male=holder.male)
    holder = replace(holder, personal=number.partition("-")[2])
    rows = _page(sheet, holder)
    if sheet.hangul:
        rows.append(_Row("fullNameKor", ("한글성명", ""), holder.person.hangul, (_RIGHT, 460), sheet.objects.string))
    return [*rows, *_zone_rows(sheet, fake_data.machine_readable_zone(sheet.random, holder))]


def _page(sheet: Sheet, holder: fake_data.PassportHolder) -> list[_Row]:
    """Return the rows of a passport's page, without its machine readable zone."""
    objects, born, expires = sheet.objects, holder.born, holder.expires
    issued = expires.replace(year=expires.year - 10)  # the validity of most passports
    code, state, sex = holder.code.rstrip("<"), "REPUBLIC OF UTOPIA", "M" if holder.male else "F"
    return [
        _Row("type", ("종류", "Type"), code, (_LEFT, 130), objects.string),
        # This field and the authority have no normal form in captured answers.
        _Row("issueCountry", ("발행국", "Country code"), fake_data.STATE, (_LEFT + 120, 130), objects.base),
        _Row("num", ("여권번호", "Passport No."), holder.number, (_RIGHT, 130), _hidden(sheet)),
        _Row("surName", ("성", "Surname"), holder.person.family, (_LEFT, 196), objects.string),
        _Row("givenName", ("이름", "Given names"), holder.person.given, (_RIGHT, 196), objects.string),
        _Row("nationality", ("국적", "Nationality"), state, (_LEFT, 262), objects.string),
        _Row("birthDate", ("생년월일", "Date of birth"), _spelt(sheet, born), (_RIGHT, 262), _day(sheet, born)),
        _Row("sex", ("성별", "Sex"), sex, (_LEFT, 328), objects.string),
        _Row("personalNum", ("개인번호", "Personal No."), holder.personal, (_RIGHT, 328), _hidden(sheet)),
        _Row("issueDate", ("발급일", "Date of issue"), _spelt(sheet, issued), (_LEFT, 394), _day(sheet, issued)),
        _Row("authority", ("발행관청", "Authority"), "OFFICE OF SPECIMENS", (_RIGHT, 394), objects.base),
        _Row("expireDate", ("만료일", "Date of expiry"), _spelt(sheet, expires), (_LEFT, 460), _day(sheet, expires)),
    ]


def _zone_rows(sheet: Sheet, zone: fake_data.MachineReadableZone) -> list[_Row]:
    lines = (("mrz1", zone.first, 532), ("mrz2", zone.second, 574))
    return [_Row(key, ("", ""), line, (74, y), _hidden(sheet), width=750, style=_ZONE) for key, line, y in lines]


def _hidden(sheet: Sheet) -> Callable[[tuple[Word, ...]], AnswerObject]:
    return partial(sheet.objects.string, masked=True)


def _day(sheet: Sheet, day: date, *, masked: bool = False) -> Callable[[tuple[Word, ...]], AnswerObject]:
    return partial(sheet.objects.date, day=day, masked=masked)


def _spelt(sheet: Sheet, day: date) -> str:
    """Return a date in the form of passports."""
    month = fake_data.MONTHS[day.month - 1][:3].upper()
    return f"{day:%d} {day.month}월/{month} {day.year}" if sheet.hangul else f"{day:%d} {month} {day.year}"


def _reading(holder: fake_data.PassportHolder, zone: fake_data.MachineReadableZone) -> dict[str, AnswerObject]:
    """Return the service's reading of a machine readable zone; surname and name are in the fields of its examples."""
    born, expires = holder.born, holder.expires
    age = SEEN_ON.year - born.year - ((SEEN_ON.month, SEEN_ON.day) < (born.month, born.day))
    lines = f"{zone.first}\n{zone.second}"
    number, birth, expiry, personal, last = zone.checks
    return {
        "documentClassCode": _mrz(holder.code, "Passport", 1),
        "issuingStateCode": _mrz(fake_data.STATE, "Utopia"),
        "firstName": _mrz(holder.person.family),
        "lastName1": _mrz(holder.person.given),
        "lastName2": _mrz("-"),
        "documentNumber": _mrz(holder.number),
        "checkDigitForDocumentNumber": _mrz(number),
        "nationality": _mrz(fake_data.STATE, "Utopia"),
        "dateOfBirth": _mrz(f"{born:%y%m%d}", f"{born:%Y/%m/%d}"),
        # Calculated by the service, and not in the zone: no raw text.
        "age": _mrz("", age),
        "checkDigitForDateOfBirth": _mrz(birth),
        "gender": _mrz("M", "Male") if holder.male else _mrz("F", "Female"),
        "dateOfExpiry": _mrz(f"{expires:%y%m%d}", f"{expires:%Y/%m/%d}"),
        "checkDigitForDateOfExpiry": _mrz(expiry),
        "personalNumber": _mrz(holder.personal),
        "checkDigitForPersonalNumber": _mrz(personal),
        "finalCheckDigit": _mrz(last),
        "mrzType": _mrz("", "ID-3"),
        "mrzLines": _mrz(lines, lines, 1),
        "isExpired": _mrz("", expires < SEEN_ON),
    }


def _mrz(raw: str, refined: str | int | None = None, *postprocessed: int) -> AnswerObject:
    return {"rawText": raw, "refinedText": raw if refined is None else refined, "postprocessed": list(postprocessed)}


_KINDS = (
    _Kind("ic", "ID Card", ("주민등록증 견본", "Resident Card"), _resident),
    _Kind("dl", "Driver's License", ("자동차운전면허증 견본", "Driver's Licence"), _driver),
    _Kind("pp", "Passport", ("여권 PASSPORT", "PASSPORT"), _national_passport),
    _Kind("ac", "Alien Registration Card", ("외국인등록증 견본", "Alien Registration Card"), _alien),
)
