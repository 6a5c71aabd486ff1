"""Synthetic answers for pictures that are not samples: of the documented shape, equal for equal bytes."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, Any

from clova_ocr_async.emulator.samples import fake_data
from clova_ocr_async.emulator.samples.answer_objects import AnswerObject, AnswerObjects, base_object, card_field
from clova_ocr_async.emulator.samples.placed_words import Point, Polygon, Word

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["synthetic_answer"]

_ROWS = 24
_META: AnswerObject = {"estimatedLanguage": "ko"}


class _Page:
    """A picture of a given size with texts in rows, one below the other."""

    def __init__(self, random: Random, width: int, height: int) -> None:
        self.random = random
        self.objects = AnswerObjects(random)
        self._width = width
        self._pitch = height / _ROWS
        self._row = 0

    def words(self, text: str) -> tuple[Word, ...]:
        """Place a text in the next row."""
        # Starts over at the top after the last row, so that no polygon lies below the picture.
        top = self._pitch * (self._row % (_ROWS - 1) + 0.5)
        self._row += 1
        size = self._width * 0.8 / max(len(text), 20)  # a short text is not stretched over the whole row
        placed: list[Word] = []
        left = self._width * 0.1
        for word in text.split():
            right = left + size * len(word)
            polygon = _box(left, top, right, top + self._pitch * 0.7)
            placed.append(Word(word, (round(left), round(top), round(right), round(top)), polygon, polygon))
            left = right + size
        return tuple(placed)

    def string(self, text: str, *, masked: bool = False) -> AnswerObject:
        """Make a StringObject."""
        return self.objects.string(self.words(text), masked=masked)

    def number(self, text: str) -> AnswerObject:
        """Make a FloatObject or TelObject."""
        return self.objects.number(self.words(text))

    def base(self, text: str) -> AnswerObject:
        """Make a BaseObject of a certificate or a name card."""
        return base_object(self.words(text))


def _box(left: float, top: float, right: float, bottom: float) -> Polygon:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    first, second, third, fourth = (Point(round(x, 1), round(y, 1)) for x, y in corners)
    return first, second, third, fourth


def _receipt(page: _Page) -> AnswerObject:
    random = page.random
    goods = random.sample(fake_data.GOODS, 1 + random.randrange(4))
    items: list[AnswerObject] = []
    total = 0
    for korean, _ in goods:
        count, unit = 1 + random.randrange(3), 100 * random.randrange(8, 240)
        total += count * unit
        price = {"price": page.number(f"{count * unit:,}"), "unitPrice": page.number(f"{unit:,}")}
        items.append({"name": page.string(korean), "count": page.number(str(count)), "price": price})
    day = fake_data.day_between(random, 2023, 2025)
    store = {
        "name": page.string(random.choice(fake_data.STORES)[0]),
        "bizNum": page.string(fake_data.business_number(random)),
    }
    payment = {"date": page.objects.date(page.words(f"{day:%Y-%m-%d}"), day)}
    totals = {"totalPrice": {"price": page.number(f"{total:,}")}}
    return {
        "meta": _META,
        "result": {"storeInfo": store, "paymentInfo": payment, "subResults": [{"items": items}], **totals},
    }


def _credit_card(page: _Page) -> AnswerObject:
    digits = fake_data.card_number(page.random)
    words = page.words(" ".join(digits[at : at + 4] for at in range(0, 16, 4)))
    around: Polygon = (words[0].polygon[0], words[-1].polygon[1], words[-1].polygon[2], words[0].polygon[3])
    return {"meta": _META, "result": {"number": card_field(words, around, page.objects.confidence(), joint="")}}


def _name_card(page: _Page) -> AnswerObject:
    random = page.random
    result: dict[str, list[AnswerObject]] = {
        "name": [page.base(random.choice(fake_data.PEOPLE).hangul)],
        "company": [page.base(random.choice(fake_data.COMPANIES)[0])],
        "address": [page.base(random.choice(fake_data.ADDRESSES)[0])],
        "mobile": [page.base(fake_data.mobile(random))],
        "email": [page.base("info@moui.example")],
    }
    return {"meta": _META, "result": result}


def _biz_license(page: _Page) -> AnswerObject:
    random = page.random
    opened = fake_data.day_between(random, 2001, 2019)
    result: dict[str, list[AnswerObject]] = {
        "registerNumber": [page.base(fake_data.business_number(random))],
        "companyName": [page.base(random.choice(fake_data.STORES)[0])],
        "repName": [page.base(random.choice(fake_data.PEOPLE).hangul)],
        "openDate": [page.base(f"{opened.year}년 {opened:%m}월 {opened:%d}일")],
        "bisAddress": [page.base(random.choice(fake_data.ADDRESSES)[0])],
    }
    return {"meta": _META, "result": result}


def _id_card(page: _Page) -> AnswerObject:
    random = page.random
    born = fake_data.day_between(random, 1950, 2004)
    issued = fake_data.day_between(random, 2015, 2025)
    card: dict[str, list[AnswerObject]] = {
        "name": [page.string(random.choice(fake_data.PEOPLE).hangul)],
        "personalNum": [
            page.string(fake_data.resident_number(random, born, male=fake_data.boolean(random)), masked=True),
        ],
        "address": [page.string(random.choice(fake_data.ADDRESSES)[0])],
        "issueDate": [page.objects.date(page.words(f"{issued:%Y. %m. %d.}"), issued, masked=True)],
    }
    return {"meta": _META, "result": {"isConfident": True, "idtype": "ID Card", "rois": [], "ic": card}}


def _passport(page: _Page) -> AnswerObject:
    holder = fake_data.passport_holder(page.random, "P<", "")
    zone = fake_data.machine_readable_zone(page.random, holder)
    texts = {
        "issuingStateCode": fake_data.STATE,
        # As in the specification's example, which has the family name here, and "-" for no name.
        "firstName": holder.person.family,
        "lastName1": holder.person.given,
        "lastName2": "-",
        "documentNumber": holder.number,
        "nationality": fake_data.STATE,
        "mrzLines": f"{zone.first}\n{zone.second}",
    }
    # No polygons: the passport is the one document whose answers have none.
    objects: AnswerObject = {key: _mrz(text, text) for key, text in texts.items()}
    # The zone has two digits of a year. The service completes them.
    objects["dateOfBirth"] = _mrz(f"{holder.born:%y%m%d}", f"{holder.born:%Y/%m/%d}")
    objects["gender"] = _mrz("M" if holder.male else "F", "Male" if holder.male else "Female")
    objects["dateOfExpiry"] = _mrz(f"{holder.expires:%y%m%d}", f"{holder.expires:%Y/%m/%d}")
    return {"passportResult": objects}


def _mrz(raw: str, refined: str) -> AnswerObject:
    return {"rawText": raw, "refinedText": refined, "postprocessed": []}


_MAKERS: dict[str, Callable[[_Page], AnswerObject]] = {
    "receipt": _receipt,
    "credit-card": _credit_card,
    "name-card": _name_card,
    "biz-license": _biz_license,
    "id-card": _id_card,
    "passport": _passport,
}


def synthetic_answer(document: str, data: bytes, width: int, height: int) -> dict[str, Any]:
    """Return a synthetic document object.

    Args:
        document: The vendor's path word.
        data: The picture's file; the content depends on it alone.
        width: Width of the picture, in pixels; no polygon is beyond it.
        height: Height of the picture, in pixels; no polygon is beyond it.
    """
    random = Random(hashlib.sha256(data).digest())  # noqa: S311 - the same answer for the same picture
    return _MAKERS[document](_Page(random, width, height))
