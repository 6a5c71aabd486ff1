"""Samples of the emulator with the true places of the digits that a policy hides."""

from __future__ import annotations

import copy
import io
import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, cast

from PIL import Image, ImageChops, ImageDraw

from clova_ocr_async.documents import DOCUMENTS, Recognition
from clova_ocr_async.emulator.samples.identity_layouts import id_card
from clova_ocr_async.emulator.samples.office_layouts import biz_license
from clova_ocr_async.emulator.samples.shop_layouts import credit_card, receipt
from clova_ocr_async.pictures.typeface import find_typeface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from clova_ocr_async.emulator.samples.placed_words import Point, Word
    from clova_ocr_async.emulator.samples.sheet import Layout

Corners = list[tuple[float, float]]

LAYOUTS: dict[str, Layout] = {
    "id-card": id_card,
    "credit-card": credit_card,
    "biz-license": biz_license,
    "receipt": receipt,
}
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
        self,
        *,
        converted: tuple[int, int] | bool | None = None,
        place: Callable[[float, float], tuple[float, float]] | None = None,
    ) -> Recognition[Any]:
        """Return its recognition.

        Args:
            converted: The size of the picture that the service made of a PDF or TIFF; True for that of the picture.
            place: Moves the polygons.
        """
        answer = copy.deepcopy(self.answer)
        if place is not None:
            move(answer, place)
        image: dict[str, Any] = {DOCUMENTS[self.document].answer_key: answer, "inferResult": "SUCCESS"}
        if converted:
            width, height = converted if isinstance(converted, tuple) else self.picture.size
            image["convertedImageInfo"] = {"width": width, "height": height, "pageIndex": 0}
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


def _hidden(result: dict[str, Any], words: Sequence[Word], policy: str) -> tuple[list[Corners], list[str]]:
    """Return the polygons of the digits that a policy hides, and the texts that no output may hold."""
    places: list[Corners] = []
    numbers: list[str] = []
    for text, part in _numbers(result):
        bare = "".join(letter for letter in text if letter.isalnum())
        groups = [text[start : start + 4] for start in range(0, 16, 4)] if part == "card" else [text]
        for word in (word for word in words if word.text in groups):
            if policy == "all" or part == "whole":
                places.append(list(word.polygon))
            elif part == "resident":
                places.append(list(word.tail))
            elif word.text == groups[2]:
                places.append(list(word.polygon))
            elif word.text == groups[1]:
                places.append(_right_half(word))
        numbers += {"resident": [bare[-7:]], "card": [bare[6:12], bare], "whole": [bare] * (len(bare) > 5)}[part]
    return places, numbers


def _right_half(word: Word) -> Corners:
    """Return the polygon of the last two digits of four."""
    first, second, third, fourth = word.polygon
    return [_between(first, second), second, third, _between(fourth, third)]


def _between(start: Point, end: Point) -> tuple[float, float]:
    """Return a place a little behind the middle, where the third digit begins."""
    return start.x + 0.52 * (end.x - start.x), start.y + 0.52 * (end.y - start.y)


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
    _, brightest = cast("tuple[int, int]", ImageChops.multiply(grey, places).getextrema())
    return brightest
