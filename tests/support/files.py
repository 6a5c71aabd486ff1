"""Files as people have them: photos of phones, faxes of several pages, scans in a PDF."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from clova_ocr_async import pages_in
from support.drawn import as_stored, drawn, exif_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILES = Path(__file__).parents[1] / "pictures" / "files"


def aged(path: Path, data: bytes = b"") -> Path:
    """Write a file that was finished a minute ago: one that is cut off is not waited for."""
    path.write_bytes(data)
    changed = time.time() - 60
    os.utime(path, (changed, changed))
    return path


def heic(orientation: int = 6) -> bytes:
    """Return a photo of a phone."""
    return (_FILES / f"orientation-{orientation}.heic").read_bytes()


def jpeg(orientation: int = 1, *, number: int = 0) -> bytes:
    """Return a JPEG as a camera writes it; one of another number has other bytes."""
    file = io.BytesIO()
    exif = b"Exif\0\0" + exif_of(orientation)
    as_stored(drawn(), orientation).save(file, "JPEG", quality=85, exif=exif, comment=f"{number}")
    return file.getvalue()


def saved_pages(kind: str, count: int) -> bytes:
    """Return a PDF or TIFF of pages that differ; each page of a TIFF lies on its side (EXIF 6)."""
    pictures = [drawn().resize((320 + 16 * number, 240)) for number in range(count)]
    file = io.BytesIO()
    options = {"tiffinfo": {274: 6}, "compression": "tiff_lzw"} if kind == "TIFF" else {}
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    """Open a picture that was sent."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    return picture


def write_long_ago(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a new folder, with times of long ago; return it."""
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
        os.utime(folder / name, (1e9, 1e9))
    return folder


def all_pages_in(folder: Path) -> list[Any]:
    """Return the images of a folder, each page by itself."""
    return [source for file in sorted(folder.iterdir()) for source in pages_in(file)]
