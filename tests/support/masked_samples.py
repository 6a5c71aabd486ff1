"""Samples of the emulator with the true places of the digits that a policy hides."""

from __future__ import annotations

import copy
import io
import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageChops, ImageDraw

from clova_ocr_async.documents import DOCUMENTS, Recognition
from clova_ocr_async.emulator.samples.identity_layouts import id_card
from clova_ocr_async.emulator.samples.office_layouts import biz_license
from clova_ocr_async.emulator.samples.shop_layouts import credit_card, receipt
from clova_ocr_async.pictures.typeface import find_typeface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clova_ocr_async.emulator.samples.placed_words import Word

Corners = list[tuple[float, float]]

LAYOUTS = {"id-card": id_card, "credit-card": credit_card, "biz-license": biz_license, "receipt": receipt}
SAMPLES = [
    *(("id-card", kind) for kind in range(4)),
    ("credit-card", 0),
    ("biz-license", 2),  # of a person
    ("biz-license", 1),  # of a corporation
    ("receipt", 0),
]
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@dataclass
class MaskedSample:
    """A drawn document.

    Attributes:
        document: The vendor's path word.
        picture: The picture.
        answer: The answer's document object.
        hidden: The polygons of the digits that must be covered, as they were drawn.
        numbers: The digits that no output may hold.
    """

    document: str
    picture: Image.Image
    answer: dict[str, Any]
    hidden: list[Corners]
    numbers: list[str]

    def recognition(
        self, *, converted: bool = False, place: Callable[[float, float], tuple[float, float]] | None = None
    ) -> Recognition[Any]:
        """Return its recognition, with polygons moved by a function."""
        answer = copy.deepcopy(self.answer)
        if place is not None:
            move(answer, place)
        image = {DOCUMENTS[self.document].answer_key: answer, "inferResult": "SUCCESS"}
        if converted:
            image["convertedImageInfo"] = {"width": self.picture.width, "height": self.picture.height, "pageIndex": 0}
        return Recognition.from_dict({"images": [image]}, DOCUMENTS[self.document])


def draw(document: str, seed: int, policy: str, angle: float = 0.0) -> MaskedSample:
    """Draw a sample, turned by some degrees about its middle."""
    canvas, answer = LAYOUTS[document](Random(f"{document} {seed}"), seed, find_typeface())  # noqa: S311 - as the emulator draws it
    hidden, numbers = _hidden(answer["result"], canvas.words, policy)
    picture = canvas.render()
    sample = MaskedSample(document, picture, copy.deepcopy(answer), hidden, numbers)
    if angle:
        turn = turner(picture.size, angle)
        sample.picture = picture.rotate(angle, Image.Resampling.BICUBIC, fillcolor="#d9d6cf")
        move(sample.answer, turn)
        sample.hidden = [[turn(*point) for point in corners] for corners in hidden]
    return sample


def turner(size: tuple[int, int], angle: float) -> Callable[[float, float], tuple[float, float]]:
    """Return the function that moves a point as a rotation about the middle does."""
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    middle = size[0] / 2, size[1] / 2

    def turn(x: float, y: float) -> tuple[float, float]:
        right, down = x - middle[0], y - middle[1]
        return right * cosine + down * sine + middle[0], down * cosine - right * sine + middle[1]

    return turn


def move(value: Any, place: Callable[[float, float], tuple[float, float]]) -> None:
    """Move every vertex of an answer."""
    if isinstance(value, dict):
        if "x" in value and "y" in value:
            value["x"], value["y"] = place(value["x"], value["y"])
        for child in value.values():
            move(child, place)
    elif isinstance(value, list):
        for child in value:
            move(child, place)


def _hidden(result: dict[str, Any], words: list[Word], policy: str) -> tuple[list[Corners], list[str]]:
    places: list[Corners] = []
    numbers: list[str] = []
    for text, part in _numbers(result):
        shown = text.split()
        found = [
            word
            for word in words
            if word.text in shown or word.text == text or (len(word.text) == 4 and word.text in text and part == "card")
        ]
        for word in found:
            if part == "resident" and policy == "standard":
                places.append([tuple(point) for point in word.tail])
            elif part == "card" and policy == "standard":
                if word.text == text[8:12] or word.text == text[4:8]:
                    places.append(_right_half(word, text))
            else:
                places.append([tuple(point) for point in word.polygon])
        bare = "".join(letter for letter in text if letter.isalnum())
        if part == "resident":
            numbers += [bare[-7:]]
        elif part == "card":
            numbers += [bare[6:12], bare]
        elif part == "whole" and len(bare) > 5:
            numbers += [bare, text]
    return places, numbers


def _right_half(word: Word, text: str) -> Corners:
    """Return the polygon of a group of a card's number; of the second one its last two digits alone."""
    corners = [tuple(point) for point in word.polygon]
    if word.text == text[8:12]:
        return corners
    (a, b, c, d) = corners
    half = lambda p, q: ((p[0] + q[0]) / 2 + (q[0] - p[0]) * 0.02, (p[1] + q[1]) / 2 + (q[1] - p[1]) * 0.02)  # noqa: E731
    return [half(a, b), b, c, half(d, c)]


def _numbers(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for kind in ("ic", "dl", "pp", "ac"):
        for key, cells in result.get(kind, {}).items():
            if key in {"personalNum", "alienRegNum", "alienRegNumEtc"}:
                yield cells[0]["text"], "resident"
            elif key in {"num", "code", "mrz1", "mrz2"}:
                yield cells[0]["text"], "whole"
    for key in ("socialNumber", "coRepSocialNum"):
        for cell in result.get(key, []):
            yield cell["text"], "resident"
    if "validThru" in result:
        yield result["number"]["text"], "card"
        yield result["validThru"]["text"], "whole"


def encoded(picture: Image.Image, format: str, orientation: int = 1) -> bytes:  # noqa: A002
    """Write a picture to a file that a viewer turns by its orientation, with texts that a masked copy must not have."""
    stored = picture.transpose(_STORED[orientation]) if orientation > 1 else picture
    exif = Image.Exif()
    exif[274] = orientation
    exif[270] = "CANARY in EXIF"
    file = io.BytesIO()
    if format == "jpg":
        stored.save(file, "JPEG", quality=92, subsampling=0, exif=exif, comment=b"CANARY comment")
    elif format == "png":
        stored.save(file, "PNG", exif=exif)
    elif format == "tiff":
        stored.save(file, "TIFF", compression="tiff_adobe_deflate", tiffinfo={274: orientation, 270: "CANARY"})
    else:
        stored.save(file, "PDF", resolution=150, title="CANARY")
    return file.getvalue() + (b"CANARY trailing" if format in {"jpg", "png"} else b"")


def to_stored(size: tuple[int, int], orientation: int) -> Callable[[float, float], tuple[float, float]]:
    """Return the function from a point of the upright picture to the stored one."""
    w, h = size

    def place(x: float, y: float) -> tuple[float, float]:
        return {
            1: (x, y), 2: (w - x, y), 3: (w - x, h - y), 4: (x, h - y),
            5: (y, x), 6: (y, w - x), 7: (h - y, w - x), 8: (h - y, x),
        }[orientation]  # fmt: skip

    return place


def ink_left(masked: Image.Image, hidden: list[Corners]) -> int:
    """Return the brightest value inside the places that must be black; 0 to a few for a whole cover."""
    grey = masked.convert("L")
    places = Image.new("L", grey.size)
    for corners in hidden:
        ImageDraw.Draw(places).polygon(corners, fill=255)
    return int(ImageChops.multiply(grey, places).getextrema()[1])
