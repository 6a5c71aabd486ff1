"""The cost of preparing photos: a core's rate for each format, and over bare Pillow.

The photos are of 12 million pixels: noise that is blurred, so that they compress as photos do. One that is turned and
shrunk is measured against what a careful program does with Pillow alone: decode at a fraction (``draft``), turn, shrink
and encode. Ours also reads the header, plans, leaves out metadata, and hashes the result.
"""

from __future__ import annotations

import io
from functools import cache, partial
from typing import Any

from frame import Row, alone, apart, apart_in_turn, compared, cpu_of, effort, figure, in_turn, missing, unmeasured
from PIL import Image, ImageFilter, ImageOps

from clova_ocr_async import ImageLimits
from clova_ocr_async.pictures.convert import carry_out
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.plan import plan
from clova_ocr_async.pictures.preparation import Preparation

WIDTH, HEIGHT = 4032, 3024
SHRUNK = 2000
QUICK = 8
"""By how much the sides are shorter where nothing is measured that counts: encoding a HEIC takes many seconds."""

EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"  # orientation 6
FORMATS = {"HEIC": "heic to jpeg", "JPEG": "upright (EXIF 6)", "WEBP": "webp to jpeg"}


@cache
def photo(kind: str, smaller: int) -> bytes:
    """Make up a photo, turned by EXIF where the format has it."""
    size = (WIDTH // smaller, HEIGHT // smaller)
    noise = Image.effect_noise(size, 60).filter(ImageFilter.GaussianBlur(2))
    picture = Image.merge("RGB", (noise, ImageOps.mirror(noise), ImageOps.invert(noise)))
    file = io.BytesIO()
    if kind == "HEIC":
        import pillow_heif  # noqa: PLC0415 - it may be missing

        heic: Any = pillow_heif.from_pillow(picture)
        heic.save(file, quality=60)
    else:
        picture.save(file, kind, quality=88, exif=EXIF)
    return file.getvalue()


def ours(data: bytes, limits: ImageLimits) -> bytes:
    """Prepare a photo."""
    return carry_out(data, plan(read_header(data), len(data), Preparation(), limits))[0]


def bare(data: bytes, side: int) -> bytes:
    """Turn and shrink a JPEG with Pillow alone."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", (side, side * HEIGHT // WIDTH))
    turned = ImageOps.exif_transpose(image)
    turned.thumbnail((side, side))
    file = io.BytesIO()
    turned.save(file, "JPEG", quality=Preparation().quality)
    return file.getvalue()


def against_pillow(smaller: int, rounds: int) -> dict[str, list[float]]:
    """Return seconds of CPU of each round; in a process of its own."""
    data, side = photo("JPEG", smaller), SHRUNK // smaller
    contenders: dict[str, Any] = {
        "ours": partial(ours, data, ImageLimits(max_side=side)),
        "bare": partial(bare, data, side),
    }
    return in_turn({name: partial(cpu_of, work, 3) for name, work in contenders.items()}, rounds)


def rates(kind: str, smaller: int, times: int) -> list[float]:
    """Return photos a second of CPU; in a process of its own."""
    data, limits = photo(kind, smaller), ImageLimits()
    ours(data, limits)
    return [1 / cpu_of(partial(ours, data, limits)) for _ in range(times)]


def rate(kind: str, steps: str, *, quick: bool) -> Row:
    """Measure how many photos of a format a core prepares in a second."""
    question = f"12 MP {kind} photos a core prepares in a second ({steps})"
    if kind == "HEIC" and (why := missing("pillow_heif")):
        return unmeasured(question, why)
    return figure(question, apart(rates, kind, QUICK if quick else 1, 2 if quick else 5), unit="photos/s")


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    costs = apart_in_turn(effort(3, quick=quick), against_pillow, QUICK if quick else 1)
    question = f"a 12 MP JPEG turned and shrunk to {SHRUNK:,} px, over bare Pillow with draft"
    found = [compared(question, costs["ours"], costs["bare"], 1.2)]
    return found + [rate(kind, steps, quick=quick) for kind, steps in FORMATS.items()]


if __name__ == "__main__":
    alone(rows)
