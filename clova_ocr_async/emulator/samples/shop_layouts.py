"""The layouts of receipts and credit cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from clova_ocr_async.emulator.samples import fake_data
from clova_ocr_async.emulator.samples.answer_objects import AnswerObject, card_field
from clova_ocr_async.emulator.samples.canvas import Canvas, Style
from clova_ocr_async.emulator.samples.sheet import LABEL, DrawnDocument, Sheet

if TYPE_CHECKING:
    from random import Random

    from clova_ocr_async.pictures.typeface import Typeface

__all__ = ["credit_card", "receipt"]


_ROW = Style(19)
_RIGHT = Style(19, anchor="right")
_LEFT_EDGE, _UNIT_EDGE, _COUNT_EDGE, _RIGHT_EDGE = 64, 392, 442, 556
_DAYS = ("{0:%Y-%m-%d}", "{0:%Y.%m.%d}", "{0.year}/{0.month}/{0.day}")
_CARDS = (("모의카드", "Moui Card"), ("예시카드", "Yesi Card"))
_CINEMA = 5  # of six seeds: a film has a field of its own, which few receipts show
_NAMELESS = 3  # of four seeds: the holder's name is often not on a card, or not read
_PLASTICS = ("#dce8f6", "#e4f0e2", "#f3e6ee", "#f2ecd9")


@dataclass(frozen=True, slots=True)
class _Item:
    name: str
    code: str | None
    count: int
    unit: int


def receipt(random: Random, seed: int, typeface: Typeface) -> DrawnDocument:
    """Draw a receipt; every sixth is of a cinema, every second has a discount, every third has item codes."""
    goods = random.sample(fake_data.GOODS, 2 + random.randrange(6))
    coded, cinema, discounted = seed % 3 == 0, seed % 6 == _CINEMA, seed % 2 == 1
    # Paper from a roll is as long as its rows.
    height = 630 + (62 if coded else 36) * len(goods) + (34 if cinema else 0) + (68 if discounted else 0)
    sheet = Sheet(random, (620, height), typeface)
    items = [_item(sheet, sheet.localized(good), coded=coded) for good in goods]
    sheet.canvas.draw_card((34, 30, 586, height - 30), "#ffffff")
    sheet.canvas.draw_specimen_mark()
    store, y = _store(sheet, cinema=cinema)
    day, y = _day(sheet, y)
    lines, y = _lines(sheet, items, y)
    sums, y = _sums(sheet, sum(item.count * item.unit for item in items), y, discounted=discounted)
    payment = {**day, **_card(sheet, y)}
    result = {"storeInfo": store, "paymentInfo": payment, "subResults": [{"items": lines}], **sums}
    return sheet.canvas, {"meta": sheet.meta(), "result": result}


def _item(sheet: Sheet, name: str, *, coded: bool) -> _Item:
    code = fake_data.digits(sheet.random, 8) if coded else None
    return _Item(name, code, 1 + sheet.random.randrange(4), 100 * sheet.random.randrange(8, 240))


def _store(sheet: Sheet, *, cinema: bool) -> tuple[AnswerObject, float]:
    canvas, objects, random = sheet.canvas, sheet.objects, sheet.random
    name = sheet.localized(("견본극장", "Gyeonbon Cinema")) if cinema else sheet.choose(fake_data.STORES)
    title = canvas.write(name, (310, 96), Style(34, bold=True, anchor="middle"))
    branch = canvas.write(sheet.choose(fake_data.BRANCHES), (310, 134), Style(21, anchor="middle"))
    number = sheet.write_labelled(("사업자번호", "Biz No."), fake_data.business_number(random), (_LEFT_EDGE, 182), _ROW)
    place = canvas.write(sheet.choose(fake_data.ADDRESSES), (_LEFT_EDGE, 216), _ROW)
    tel = sheet.write_labelled(
        ("전화", "Tel"), fake_data.telephone(random, "(02)").replace(")-", ")"), (_LEFT_EDGE, 250), _ROW
    )
    store = {
        "name": objects.string(title),
        "subName": objects.string(branch),
        "bizNum": objects.string(number),
        "addresses": [objects.string(place)],
        "tel": [objects.number(tel)],
    }
    if not cinema:
        return store, 250
    film = sheet.write_labelled(("영화", "Film"), sheet.choose(fake_data.FILMS), (_LEFT_EDGE, 284), _ROW)
    return {**store, "movieName": objects.string(film)}, 284


def _day(sheet: Sheet, y: float) -> tuple[AnswerObject, float]:
    random = sheet.random
    day = fake_data.day_between(random, 2023, 2025)
    clock = f"{random.randrange(8, 22):02}:{random.randrange(60):02}"
    if fake_data.boolean(random):
        clock = f"{clock}:{random.randrange(60):02}"
    written = sheet.canvas.write(random.choice(_DAYS).format(day), (_LEFT_EDGE, y + 42), _ROW)
    struck = sheet.canvas.write(clock, (_RIGHT_EDGE, y + 42), _RIGHT)
    return {"date": sheet.objects.date(written, day), "time": sheet.objects.time(struck, clock)}, y + 42


def _lines(sheet: Sheet, items: list[_Item], y: float) -> tuple[list[AnswerObject], float]:
    canvas = sheet.canvas
    y += 52
    heads = ((_UNIT_EDGE, ("단가", "Price")), (_COUNT_EDGE, ("수량", "Qty")), (_RIGHT_EDGE, ("금액", "Amount")))
    canvas.write(sheet.localized(("품명", "Item")), (_LEFT_EDGE, y), LABEL)
    for edge, head in heads:
        canvas.write(sheet.localized(head), (edge, y), Style(LABEL.size, anchor="right"))
    canvas.draw_line((_LEFT_EDGE, round(y) - 24), (_RIGHT_EDGE, round(y) - 24))
    canvas.draw_line((_LEFT_EDGE, round(y) + 12), (_RIGHT_EDGE, round(y) + 12))
    objects: list[AnswerObject] = []
    for item in items:
        y += 36
        objects.append(_line(sheet, item, y))
        y += 26 if item.code else 0
    canvas.draw_line((_LEFT_EDGE, round(y) + 18), (_RIGHT_EDGE, round(y) + 18))
    return objects, y


def _line(sheet: Sheet, item: _Item, y: float) -> AnswerObject:
    canvas, objects = sheet.canvas, sheet.objects
    line: AnswerObject = {"name": objects.string(canvas.write(item.name, (_LEFT_EDGE, y), _ROW))}
    if item.code:
        line["code"] = objects.string(canvas.write(item.code, (_LEFT_EDGE + 14, y + 25), Style(17)))
    line["count"] = objects.number(canvas.write(str(item.count), (_COUNT_EDGE, y), _RIGHT))
    price = canvas.write(f"{item.count * item.unit:,}", (_RIGHT_EDGE, y), _RIGHT)
    unit = canvas.write(f"{item.unit:,}", (_UNIT_EDGE, y), _RIGHT)
    line["price"] = {"price": objects.number(price), "unitPrice": objects.number(unit)}
    return line


def _sums(sheet: Sheet, total: int, y: float, *, discounted: bool) -> tuple[AnswerObject, float]:
    y += 54
    sums: AnswerObject = {}
    if discounted:
        less = total // 1000 * 100  # whole hundreds: won have no decimals, and shops round to coins
        total -= less
        discount, y = _sum(sheet, ("할인", "Discount"), less, y), y + 34
        # Prices include the tax of 10 %, which therefore is an eleventh.
        tax, y = _sum(sheet, ("부가세", "VAT"), total // 11, y), y + 34
        sums["subTotal"] = [{"taxPrice": [tax], "discountPrice": [discount]}]
    label = sheet.localized(("합계", "TOTAL"))
    sheet.canvas.write(label, (_LEFT_EDGE, y + 10), Style(28, bold=True))
    price = sheet.canvas.write(f"{total:,}", (_RIGHT_EDGE, y + 10), Style(28, bold=True, anchor="right"))
    return {"totalPrice": {"price": sheet.objects.number(price)}, **sums}, y + 10


def _sum(sheet: Sheet, label: tuple[str, str], amount: int, y: float) -> AnswerObject:
    sheet.canvas.write(sheet.localized(label), (_LEFT_EDGE, y), _ROW)
    return sheet.objects.number(sheet.canvas.write(f"{amount:,}", (_RIGHT_EDGE, y), _RIGHT))


def _card(sheet: Sheet, y: float) -> AnswerObject:
    number = fake_data.card_number(sheet.random)
    # Receipts print part of the number only, and the service returns it so.
    starred = f"{number[:4]}-{number[4:6]}**-****-{number[12:]}"
    rows = (
        (("카드", "Card"), sheet.choose(_CARDS)),
        (("카드번호", "Card No."), starred),
        (("승인번호", "Approval"), fake_data.digits(sheet.random, 8)),
    )
    company, digits, approval = (
        sheet.write_labelled(label, text, (_LEFT_EDGE, y + 50 + 34 * row), _ROW)
        for row, (label, text) in enumerate(rows)
    )
    objects = sheet.objects
    info = {"company": objects.string(company), "number": objects.string(digits)}
    return {"cardInfo": info, "confirmNum": objects.base(approval)}


def credit_card(random: Random, seed: int, typeface: Typeface) -> DrawnDocument:
    """Draw a credit card; every fourth has no name."""
    sheet = Sheet(random, (900, 600), typeface)
    canvas = sheet.canvas
    canvas.draw_card((36, 36, 864, 564), _PLASTICS[seed % 4], radius=34)
    canvas.draw_card((96, 190, 196, 266), "#f6f1dc", radius=12)
    canvas.draw_specimen_mark()
    canvas.write(sheet.choose(_CARDS), (92, 120), Style(36, bold=True))
    number = fake_data.card_number(random)
    groups = " ".join(number[start : start + 4] for start in range(0, 16, 4))
    canvas.write("VALID THRU", (380, 418), LABEL)
    result = {"number": _field(canvas, groups, (92, 360), Style(52), random)}
    result["number"]["text"] = number  # the service joins the four groups
    until = f"{random.randrange(1, 13):02}/{random.randrange(24, 33)}"
    result["validThru"] = _field(canvas, until, (490, 420), Style(30), random)
    if seed % 4 != _NAMELESS:
        person = random.choice(fake_data.PEOPLE)
        result["name"] = _field(canvas, f"{person.family} {person.given}", (92, 500), Style(32), random)
    return canvas, {"meta": {"estimatedLanguage": "en"}, "result": result}


def _field(canvas: Canvas, text: str, at: tuple[float, float], style: Style, random: Random) -> AnswerObject:
    words = canvas.write(text, at, style)
    return card_field(words, canvas.bounding_polygon(words), round(random.uniform(0.9, 1), 8))
