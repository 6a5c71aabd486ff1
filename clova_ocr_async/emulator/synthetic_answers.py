"""An answer for a picture that nobody drew: of the documented shape, and the same for the same bytes."""

from __future__ import annotations

import hashlib
from random import Random
from typing import TYPE_CHECKING, Any

from clova_ocr_async.emulator.samples import fake_data as madeup
from clova_ocr_async.emulator.samples.answer_objects import Cell, Cells, base, field
from clova_ocr_async.emulator.samples.placed_words import Point, Polygon, Word

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["plausible_answer"]

_ROWS = 24
_META: Cell = {"estimatedLanguage": "ko"}


class _Page:
    """A picture of some size on which texts stand in rows, one below the other."""

    def __init__(self, random: Random, width: int, height: int) -> None:
        self.random = random
        self.cells = Cells(random)
        self._width = width
        self._pitch = height / _ROWS
        self._row = 0

    def words(self, text: str) -> tuple[Word, ...]:
        """Put a text in the next row."""
        top = self._pitch * (self._row % (_ROWS - 1) + 0.5)
        self._row += 1
        size = self._width * 0.8 / max(len(text), 20)
        placed: list[Word] = []
        left = self._width * 0.1
        for word in text.split():
            right = left + size * len(word)
            polygon = _box(left, top, right, top + self._pitch * 0.7)
            placed.append(Word(word, (round(left), round(top), round(right), round(top)), polygon, polygon))
            left = right + size
        return tuple(placed)

    def string(self, text: str, *, masked: bool = False) -> Cell:
        """Make a StringObject."""
        return self.cells.string(self.words(text), masked=masked)

    def number(self, text: str) -> Cell:
        """Make a FloatObject or TelObject."""
        return self.cells.number(self.words(text))

    def base(self, text: str) -> Cell:
        """Make a BaseObject of a certificate or a name card."""
        return base(self.words(text))


def _box(left: float, top: float, right: float, bottom: float) -> Polygon:
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    first, second, third, fourth = (Point(round(x, 1), round(y, 1)) for x, y in corners)
    return first, second, third, fourth


def _receipt(page: _Page) -> Cell:
    random = page.random
    goods = random.sample(madeup.GOODS, 1 + random.randrange(4))
    items: list[Cell] = []
    total = 0
    for korean, _ in goods:
        count, unit = 1 + random.randrange(3), 100 * random.randrange(8, 240)
        total += count * unit
        price = {"price": page.number(f"{count * unit:,}"), "unitPrice": page.number(f"{unit:,}")}
        items.append({"name": page.string(korean), "count": page.number(str(count)), "price": price})
    day = madeup.day_between(random, 2023, 2025)
    store = {
        "name": page.string(random.choice(madeup.STORES)[0]),
        "bizNum": page.string(madeup.business_number(random)),
    }
    payment = {"date": page.cells.date(page.words(f"{day:%Y-%m-%d}"), day)}
    totals = {"totalPrice": {"price": page.number(f"{total:,}")}}
    return {
        "meta": _META,
        "result": {"storeInfo": store, "paymentInfo": payment, "subResults": [{"items": items}], **totals},
    }


def _credit_card(page: _Page) -> Cell:
    digits = madeup.card_number(page.random)
    words = page.words(" ".join(digits[at : at + 4] for at in range(0, 16, 4)))
    around: Polygon = (words[0].polygon[0], words[-1].polygon[1], words[-1].polygon[2], words[0].polygon[3])
    return {"meta": _META, "result": {"number": field(words, around, page.cells.confidence(), joint="")}}


def _name_card(page: _Page) -> Cell:
    random = page.random
    result: dict[str, list[Cell]] = {
        "name": [page.base(random.choice(madeup.PEOPLE).hangul)],
        "company": [page.base(random.choice(madeup.COMPANIES)[0])],
        "address": [page.base(random.choice(madeup.ADDRESSES)[0])],
        "mobile": [page.base(madeup.mobile(random))],
        "email": [page.base("info@moui.example")],
    }
    return {"meta": _META, "result": result}


def _biz_license(page: _Page) -> Cell:
    random = page.random
    opened = madeup.day_between(random, 2001, 2019)
    result: dict[str, list[Cell]] = {
        "registerNumber": [page.base(madeup.business_number(random))],
        "companyName": [page.base(random.choice(madeup.STORES)[0])],
        "repName": [page.base(random.choice(madeup.PEOPLE).hangul)],
        "openDate": [page.base(f"{opened.year}년 {opened:%m}월 {opened:%d}일")],
        "bisAddress": [page.base(random.choice(madeup.ADDRESSES)[0])],
    }
    return {"meta": _META, "result": result}


def _id_card(page: _Page) -> Cell:
    random = page.random
    born = madeup.day_between(random, 1950, 2004)
    issued = madeup.day_between(random, 2015, 2025)
    card: dict[str, list[Cell]] = {
        "name": [page.string(random.choice(madeup.PEOPLE).hangul)],
        "personalNum": [
            page.string(madeup.resident_number(random, born, male=madeup.coin(random)), masked=True),
        ],
        "address": [page.string(random.choice(madeup.ADDRESSES)[0])],
        "issueDate": [page.cells.date(page.words(f"{issued:%Y. %m. %d.}"), issued, masked=True)],
    }
    return {"meta": _META, "result": {"isConfident": True, "idtype": "ID Card", "rois": [], "ic": card}}


def _passport(page: _Page) -> Cell:
    holder = madeup.traveller(page.random, "P<", "")
    zone = madeup.zone_of(page.random, holder)
    texts = {
        "issuingStateCode": madeup.STATE,
        "firstName": holder.person.family,
        "lastName1": holder.person.given,
        "lastName2": "-",
        "documentNumber": holder.number,
        "nationality": madeup.STATE,
        "mrzLines": f"{zone.first}\n{zone.second}",
    }
    cells: Cell = {key: _mrz(text, text) for key, text in texts.items()}
    cells["dateOfBirth"] = _mrz(f"{holder.born:%y%m%d}", f"{holder.born:%Y/%m/%d}")
    cells["gender"] = _mrz("M" if holder.male else "F", "Male" if holder.male else "Female")
    cells["dateOfExpiry"] = _mrz(f"{holder.expires:%y%m%d}", f"{holder.expires:%Y/%m/%d}")
    return {"passportResult": cells}


def _mrz(raw: str, refined: str) -> Cell:
    return {"rawText": raw, "refinedText": refined, "postprocessed": []}


_MAKERS: dict[str, Callable[[_Page], Cell]] = {
    "receipt": _receipt,
    "credit-card": _credit_card,
    "name-card": _name_card,
    "biz-license": _biz_license,
    "id-card": _id_card,
    "passport": _passport,
}


def plausible_answer(document: str, data: bytes, width: int, height: int) -> dict[str, Any]:
    """Make the document object of an answer up.

    Args:
        document: The vendor's path word.
        data: The picture's file; it alone decides what is made up.
        width: Pixels the polygons stay within.
        height: Pixels the polygons stay within.
    """
    random = Random(hashlib.sha256(data).digest())  # noqa: S311 - the same answer for the same picture
    return _MAKERS[document](_Page(random, width, height))
