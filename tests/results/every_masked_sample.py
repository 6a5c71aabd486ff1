"""Mask every sample of the emulator in every format, orientation and policy, straight and askew, and measure the ink.

``python tests/results/every_masked_sample.py`` takes some minutes. It prints the number of copies and the brightest
value inside a glyph box that must be black, and ends with 1 if a digit is left.
"""

from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from PIL import Image
from support.masked_samples import SAMPLES, draw, encoded, ink_left, to_stored

from clova_ocr_async.results import redact_image

DARK = 16


def copies(policy: str, angle: float, sample: tuple[str, int]) -> list[int]:
    """Return the brightest value of every copy of a sample."""
    drawn = draw(*sample, policy, angle)
    found = []
    for form, orientation in [*itertools.product(("jpg", "png", "tiff"), range(1, 9)), ("pdf", 1)]:
        data = encoded(drawn.picture, form, orientation)
        places = [None] if orientation == 1 else [None, to_stored(drawn.picture.size, orientation)]
        for place in places:
            turned = place is not None and orientation > 4
            size = drawn.picture.size[::-1] if turned else drawn.picture.size
            recognition = drawn.recognition(converted=size if form in {"tiff", "pdf"} else None, place=place)
            masked = redact_image(data, recognition, policy)  # type: ignore[arg-type]
            held = [number for number in drawn.numbers if number.encode() in masked]
            found.append(255 if held else ink_left(Image.open(io.BytesIO(masked)), drawn.hidden))
    return found


def main() -> int:
    """Mask all, and return the exit code."""
    values: list[int] = []
    for policy, angle, sample in itertools.product(("standard", "all"), (0, 7), SAMPLES):
        values += copies(policy, angle, sample)
    print(f"{len(values)} copies, the brightest value inside a glyph box is {max(values)} of 255")
    return int(max(values) > DARK)


if __name__ == "__main__":
    sys.exit(main())
