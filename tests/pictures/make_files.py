"""Make the HEIC files of this folder's tests: ``python tests/pictures/make_files.py``. Encoding them takes a while.

They hold the drawn rectangles of ``support.drawn``. The names say the rotation of the container, as the EXIF
orientation that means the same.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pillow_heif
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.drawn import as_stored, drawn, exif_of

FILES = Path(__file__).parent / "files"


def _encoded(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, quality=80, **options)
    return file.getvalue()


def main() -> None:
    """Write the files."""
    for orientation in range(1, 9):
        data = _encoded(as_stored(drawn(), orientation), exif=b"Exif\0\0" + exif_of(orientation))
        (FILES / f"orientation-{orientation}.heic").write_bytes(data)
    transparent = drawn().convert("RGBA")
    transparent.putalpha(transparent.convert("L").point(lambda value: 0 if value == 255 else 255))
    (FILES / "alpha.heic").write_bytes(_encoded(transparent))
    (FILES / "grey.heic").write_bytes(_encoded(drawn().convert("L")))
    deep = Image.new("I;16", (64, 48), 40_000)
    (FILES / "ten-bit.heic").write_bytes(_encoded(deep))
    for file in sorted(FILES.iterdir()):
        sys.stdout.write(f"{file.name}: {file.stat().st_size} bytes\n")


if __name__ == "__main__":
    main()
