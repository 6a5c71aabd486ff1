"""Memory of a preparation, measured in a process of its own."""

from __future__ import annotations

import io
import multiprocessing
import struct
import zipfile
import zlib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from support.drawn import exif_of
from support.pdfs import pdf_of, saved, scans

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.plan import plan
from clova_ocr_async.pictures.preparation import Preparation
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1024 * 1024
STATUS = Path("/proc/self/status")

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux does")


def _status(name: str) -> int:
    return int(STATUS.read_text(encoding="ascii").partition(name)[2].split()[0]) * 1024


def _work(data: bytes, side: int) -> tuple[int, int, str]:
    """Prepare a picture; return the memory that this took, its estimate, and the error."""
    from clova_ocr_async.pictures.convert import carry_out  # noqa: PLC0415 - loaded before memory is measured

    carry_out(_png(4, 4), plan(read_header(_png(4, 4)), 1, Preparation(), ImageLimits(max_side=2)))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before, estimate, message = _status("VmRSS:"), 0, ""
    try:
        planned = plan(read_header(data), len(data), Preparation(), ImageLimits(max_side=side))
        estimate = planned.memory
        carry_out(data, planned)
    except ImageError as error:
        message = str(error)
    return _status("VmHWM:") - before, estimate, message


def _apart(data: bytes, side: int = 8000) -> tuple[int, int, str]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_work, data, side).result()


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _png(width: int, height: int, *, texts: bytes = b"") -> bytes:
    data = _saved(Image.new("L", (width, height), 200), "PNG", exif=exif_of(6))
    return data[:33] + texts + data[33:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _text_bomb() -> bytes:
    return _png(64, 48, texts=_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50 * MIB))) * 200)


def _pixel_bomb() -> bytes:
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(50 * MIB))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"eXIf", exif_of(6)) + _chunk(b"IDAT", rows)


def _gif_of_many_frames() -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 64, 48, 0) + b"\x02\x02\x44\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", 64, 48, 0x80, 0, 0) + bytes(6)
    return head + b"\x21\xfe" + (b"\xff" + b"c" * 255) * 20_000 + b"\x00" + frame * 100_000 + b";"


def _jpeg_of_many_segments() -> bytes:
    data = _saved(Image.new("RGB", (64, 48)), "JPEG", exif=b"Exif\0\0" + exif_of(6))
    segment = b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65_527)
    return data[:20] + segment * 300 + data[20:]


@pytest.mark.parametrize("make", [_text_bomb, _pixel_bomb, _gif_of_many_frames, _jpeg_of_many_segments])
def test_hostile_files(make: Callable[[], bytes]) -> None:
    """A hostile file takes little more memory than a few copies of itself."""
    data = make()
    assert _apart(data)[0] < 4 * len(data) + 24 * MIB


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "AVIF"])
@pytest.mark.parametrize("side", [8000, 1000])
def test_estimate(kind: str, side: int) -> None:
    """The estimate of a plan holds for large pictures, so that a limiter that is weighted by it bounds memory."""
    image = Image.effect_noise((300, 200), 60).resize((3000, 2000)).convert("RGB")
    options: dict[str, object] = {} if kind == "BMP" else {"exif": b"Exif\0\0" + exif_of(6)}
    if kind == "AVIF":
        options["speed"] = 10
    took, estimate, message = _apart(_saved(image, kind, **options), side)
    assert message == ""
    assert took <= estimate


def _cut_all(path: str, pages: int) -> int:
    """Cut all pages of a file; return the memory that this took."""
    from clova_ocr_async.pictures.pages import cut_page  # noqa: PLC0415 - loaded before memory is measured

    cut_page(pdf_of(2), 1, max_bytes=None, preparation=None)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS:")
    for number in range(1, pages + 1):
        cut_page(path, number, max_bytes=None, preparation=None)
    return _status("VmHWM:") - before


def test_the_pages_of_a_large_file(tmp_path: Path) -> None:
    """Cutting takes the memory of some pages, not that of the file, though all pages share their resources."""
    path = tmp_path / "scan.pdf"
    scans(80, 1_900_000, inherited=True).save(path)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        taken = pool.submit(_cut_all, str(path), 80).result()
    assert taken < 80 * MIB < path.stat().st_size / 1.5


def _hash_and_cut(path: str) -> int:
    """Hash a file and cut its first page, as a run does; return the memory that this took."""
    from clova_ocr_async.batch.hashing import hash_now  # noqa: PLC0415 - loaded before memory is measured
    from clova_ocr_async.pictures.pages import cut_page  # noqa: PLC0415

    cut_page(pdf_of(2), 1, max_bytes=None, preparation=None)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status("VmRSS:")
    assert hash_now(Page(path, 1), ImageLimits()).sha256
    cut_page(path, 1, max_bytes=None, preparation=None)
    return _status("VmHWM:") - before


def test_a_large_file_in_an_archive(tmp_path: Path) -> None:
    """A file in an archive is hashed and divided in the memory of some pages, not in that of the file."""
    archive = tmp_path / "scans.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as opened:
        opened.writestr("scan.pdf", saved(scans(30, 2_000_000)))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        taken = pool.submit(_hash_and_cut, f"{archive}!/scan.pdf").result()
    assert taken < 25 * MIB < archive.stat().st_size / 2
