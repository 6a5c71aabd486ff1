"""The cost of masking and annotating a 12 MP photo, over decoding and encoding it with Pillow alone.

The photo is noise that is blurred, so that it compresses as photos do. The answer is that of a resident card with a
number to cover and twenty more fields. Masking writes a JPEG of the same quality as the contender; annotating writes a
PNG, and so does its contender.
"""

from __future__ import annotations

import io
from functools import partial
from typing import Any

from frame import Row, alone, apart_in_turn, compared, cpu_of, effort, in_turn
from photos import HEIGHT, QUICK, WIDTH, photo
from PIL import Image

from clova_ocr_async.documents import IdCard, Recognition
from clova_ocr_async.results import annotate, redact_image

QUALITY = 95
"""Of the masked copies."""


def box(left: float, top: float, width: float, height: float) -> dict[str, Any]:
    """Return the vendor's polygon of a box."""
    right, bottom = left + width, top + height
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return {"vertices": [{"x": x, "y": y} for x, y in corners]}


def recognition(smaller: int) -> Recognition[IdCard]:
    """Make up the answer for a photo that lies on its side."""
    width, height = HEIGHT / smaller, WIDTH / smaller
    number = box(width * 0.3, height * 0.2, width * 0.4, height * 0.02)
    address = [
        {
            "text": f"가상특별시 견본구 {index}",
            "boundingPolys": [box(width * 0.1, height * (0.3 + 0.03 * index), width * 0.5, height * 0.02)] * 3,
            "confidenceScore": 0.95,
        }
        for index in range(20)
    ]
    personal = [{"text": "900101-1234567", "boundingPolys": [number], "confidenceScore": 0.99}]
    return Recognition.from_dict({"idCard": {"result": {"ic": {"personalNum": personal, "address": address}}}}, IdCard)


def bare(data: bytes, kind: str, **options: Any) -> bytes:
    """Decode a photo and encode it again."""
    file = io.BytesIO()
    Image.open(io.BytesIO(data)).save(file, kind, **options)
    return file.getvalue()


def costs(smaller: int, rounds: int) -> dict[str, list[float]]:
    """Return seconds of CPU of each round; in a process of its own."""
    data, answer = photo("JPEG", smaller), recognition(smaller)
    contenders: dict[str, Any] = {
        "masked": partial(redact_image, data, answer),
        "bare jpeg": partial(bare, data, "JPEG", quality=QUALITY),
        "annotated": partial(annotate, data, answer),
        "bare png": partial(bare, data, "PNG"),
    }
    return in_turn({name: partial(cpu_of, work) for name, work in contenders.items()}, rounds)


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    found = apart_in_turn(effort(3, quick=quick), costs, QUICK if quick else 1)
    return [
        compared("a 12 MP JPEG masked, over decoding and encoding it", found["masked"], found["bare jpeg"], 1.3),
        compared(
            "a 12 MP JPEG annotated, over decoding it and encoding a PNG", found["annotated"], found["bare png"], 1.3
        ),
    ]


if __name__ == "__main__":
    alone(rows)
