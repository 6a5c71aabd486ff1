from __future__ import annotations

import io
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.drawn import exif_of

from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.pictures.headers import PictureHeader, read_header, sent_as_read
from clova_ocr_async.pictures.picture_header import exif_orientation
from clova_ocr_async.protocol.image import inspect_image

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = Path(__file__).parent / "files"
TEN_BIT = (FILES / "ten-bit.heic").read_bytes()


def _saved(kind: str, *, mode: str = "RGB", size: tuple[int, int] = (61, 37), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def _header(data: bytes) -> PictureHeader:
    header = read_header(data)
    assert header is not None
    return header


def _facts(data: bytes) -> tuple[object, ...]:
    header = _header(data)
    return header.kind, header.stored_size, header.bit_depth, header.colour, header.alpha


@pytest.mark.parametrize(
    ("kind", "mode", "options", "facts"),
    [
        ("JPEG", "RGB", {}, ("jpeg", 8, "rgb", False)),
        ("JPEG", "L", {}, ("jpeg", 8, "grey", False)),
        ("JPEG", "CMYK", {"progressive": True}, ("jpeg", 8, "cmyk", False)),
        ("PNG", "1", {}, ("png", 1, "bilevel", False)),
        ("PNG", "L", {}, ("png", 8, "grey", False)),
        ("PNG", "LA", {}, ("png", 8, "grey", True)),
        ("PNG", "P", {}, ("png", 1, "palette", False)),
        ("PNG", "P", {"transparency": 0}, ("png", 1, "palette", True)),
        ("PNG", "RGB", {}, ("png", 8, "rgb", False)),
        ("PNG", "RGBA", {}, ("png", 8, "rgb", True)),
        ("PNG", "I;16", {}, ("png", 16, "grey", False)),
        ("TIFF", "1", {}, ("tiff", 1, "bilevel", False)),
        ("TIFF", "L", {}, ("tiff", 8, "grey", False)),
        ("TIFF", "P", {}, ("tiff", 8, "palette", False)),
        ("TIFF", "RGB", {}, ("tiff", 8, "rgb", False)),
        ("TIFF", "RGBA", {}, ("tiff", 8, "rgb", True)),
        ("TIFF", "CMYK", {}, ("tiff", 8, "cmyk", False)),
        ("TIFF", "I;16", {}, ("tiff", 16, "grey", False)),
        ("TIFF", "LAB", {}, ("tiff", 8, "other", False)),
        ("TIFF", "RGB", {"big_tiff": True}, ("bigtiff", 8, "rgb", False)),
        ("WEBP", "RGB", {}, ("webp", 8, "rgb", False)),
        ("WEBP", "RGBA", {}, ("webp", 8, "rgb", True)),
        ("WEBP", "RGB", {"lossless": True}, ("webp", 8, "rgb", False)),
        ("WEBP", "RGBA", {"lossless": True, "exif": exif_of(1)}, ("webp", 8, "rgb", True)),
        ("WEBP", "RGB", {"icc_profile": b"profile"}, ("webp", 8, "rgb", False)),
        ("GIF", "P", {}, ("gif", 8, "palette", False)),
        ("GIF", "P", {"transparency": 0}, ("gif", 8, "palette", True)),
        ("GIF", "P", {"comment": b"a comment"}, ("gif", 8, "palette", False)),
        ("BMP", "RGB", {}, ("bmp", 8, "rgb", False)),
        ("BMP", "L", {}, ("bmp", 8, "palette", False)),
        ("AVIF", "RGB", {}, ("avif", 8, "rgb", False)),
        ("AVIF", "RGBA", {}, ("avif", 8, "rgb", True)),
    ],
)
def test_facts(kind: str, mode: str, options: dict[str, Any], facts: tuple[str, int, str, bool]) -> None:
    """The header of each format states its sides, depth, colours and alpha."""
    assert _facts(_saved(kind, mode=mode, **options)) == (facts[0], (61, 37), *facts[1:])


@pytest.mark.parametrize("file", sorted(FILES.glob("*.heic")), ids=lambda file: file.stem)
def test_heic(file: Path) -> None:
    """The sides of a HEIC are those that a decoder gives: rotated and cropped; its orientation is 1."""
    data = file.read_bytes()
    header, decoded = _header(data), pillow_heif.open_heif(data)
    assert (header.kind, header.size, header.orientation, header.frames) == ("heic", decoded.size, 1, 1)
    assert (header.alpha, header.truncated) == (file.stem == "alpha", False)
    assert header.bit_depth == (10 if file.stem == "ten-bit" else 8)
    assert header.colour == ("grey" if file.stem in {"grey", "ten-bit"} else "rgb")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["II", "MM"])
def test_exif_orientation(orientation: int, order: str) -> None:
    """The orientation is read in both byte orders, with and without the prefix of a JPEG."""
    exif = exif_of(orientation, order=order)
    assert exif_orientation(exif) == exif_orientation(b"Exif\0\0" + exif) == orientation


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"Exif\0\0",
        b"XX*\0",
        exif_of(0),
        exif_of(9),
        exif_of(65535),
        exif_of(6)[:20],
        exif_of(6).replace(b"\x03\0\x01\0\0\0", b"\x02\0\x01\0\0\0"),  # text
        exif_of(6).replace(b"\x03\0\x01\0\0\0", b"\x03\0\x02\0\0\0"),  # two values
        exif_of(6).replace(b"\x12\x01", b"\x0f\x01"),  # another tag
        b"II*\0\0\0\0\0",
    ],
)
def test_unusable_orientation(exif: bytes) -> None:
    """An orientation outside of 1 to 8, broken or absent, counts as 1."""
    assert exif_orientation(exif) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_of_each_format(kind: str, orientation: int) -> None:
    """The orientation is read from JPEG, PNG, WebP and TIFF, and swaps the sides that a viewer shows from 5 on."""
    options: dict[str, Any] = {"exif": b"Exif\0\0" + exif_of(orientation)}
    header = _header(_saved(kind, **options))
    assert header.orientation == orientation
    assert (header.stored_size, header.size) == ((61, 37), (37, 61) if orientation > 4 else (61, 37))


def test_first_exif_of_a_jpeg_counts() -> None:
    """A second EXIF segment of a JPEG, and one inside the thumbnail of the first, change nothing."""
    data = _saved("JPEG", exif=b"Exif\0\0" + exif_of(6) + _saved("JPEG", exif=b"Exif\0\0" + exif_of(3)))
    other = b"\xff\xe1" + struct.pack(">H", 8 + len(exif_of(8))) + b"Exif\0\0" + exif_of(8)
    start = data.index(b"\xff\xdb")
    assert _header(data[:start] + other + data[start:]).orientation == 6


def test_exif_behind_the_pixels_of_a_png() -> None:
    """The EXIF chunk of a PNG counts behind the pixels too."""
    data, with_exif = _saved("PNG"), _saved("PNG", exif=exif_of(6))
    start = with_exif.index(b"eXIf") - 4
    chunk = with_exif[start : start + 12 + len(exif_of(6))]
    assert _header(data[:-12] + chunk + data[-12:]).orientation == 6


def _animated(kind: str, frames: int = 3) -> bytes:
    file = io.BytesIO()
    pictures = [Image.new("RGB", (61, 37), (index * 40, 0, 0)) for index in range(frames)]
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:], duration=100)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_frames(kind: str) -> None:
    """The frames of animations and the pages of TIFFs are counted."""
    header = _header(_animated(kind))
    assert (header.frames, header.stored_size, header.truncated) == (3, (61, 37), False)


def test_page_behind_a_thumbnail() -> None:
    """The facts of a TIFF whose first directory is a thumbnail are those of the page behind it."""
    file, page = io.BytesIO(), Image.new("RGB", (60, 40))
    Image.new("L", (6, 4)).save(file, "TIFF", save_all=True, append_images=[page], tiffinfo={254: 1})
    data = bytearray(file.getvalue())
    reduced = struct.pack("<HHII", 254, 4, 1, 1)
    data[data.rindex(reduced) + 8] = 0  # the second directory is a page
    header = _header(bytes(data))
    assert (header.stored_size, header.first_frame, header.frames, header.colour) == ((60, 40), 1, 1, "rgb")


def test_tiff_with_a_field_of_many_numbers() -> None:
    """A TIFF with a field of more numbers than a decoder should make objects of has no size, so it is not decoded."""
    data = _saved("TIFF", mode="L")
    depth = struct.pack("<HHI", 258, 3, 1)
    header = _header(data.replace(depth, struct.pack("<HHI", 258, 3, 200_001)))
    assert (header.kind, header.size, header.frames) == ("tiff", None, 1)


def test_tiff_of_thumbnails_alone() -> None:
    """The facts of a TIFF whose only directory is marked as a thumbnail are those of that directory."""
    header = _header(_saved("TIFF", mode="L", tiffinfo={254: 1}))
    assert (header.stored_size, header.first_frame, header.colour) == ((61, 37), 0, "grey")


@pytest.mark.parametrize(
    ("kind", "options"), [("WEBP", {}), ("WEBP", {"exif": exif_of(1)}), ("GIF", {}), ("BMP", {}), ("AVIF", {})]
)
def test_truncated(kind: str, options: dict[str, Any]) -> None:
    """A WebP, GIF, BMP or AVIF without its end is truncated."""
    data = _saved(kind, **options)
    assert not _header(data).truncated
    assert _header(data[: len(data) * 3 // 4]).truncated


def test_truncated_heic() -> None:
    """A HEIC without its end is truncated."""
    assert _header(TEN_BIT[:-20]).truncated


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"BM is the beginning of a text", b"GIF8", b"RIFF....WAVE", b"x"])
def test_not_a_picture(data: bytes) -> None:
    """A PDF, a text or a sound has no header of a picture."""
    assert read_header(data) is None


@pytest.mark.parametrize("brand", [b"isom", b"qt  "])
def test_video(brand: bytes) -> None:
    """A video in the boxes of HEIC is not a picture."""
    assert read_header(struct.pack(">I", 16) + b"ftyp" + brand + bytes(4)) is None


def test_bmp_of_os2() -> None:
    """The short header of OS/2 is read."""
    data = b"BM" + struct.pack("<IHHI", 26, 0, 0, 26) + struct.pack("<IHHHH", 12, 61, 37, 1, 24)
    header = _header(data)
    assert (header.stored_size, header.colour, header.truncated) == ((61, 37), "rgb", True)


def _bmp(width: int, height: int, compression: int, mask: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII4I", 56, width, height, 1, 32, compression, 0, 0, 0, 0, 0, 255, 255, 255, mask)
    return b"BM" + struct.pack("<IHHI", 70, 0, 0, 70) + info + bytes(abs(width * height) * 4)


def test_bmp_with_alpha_and_from_the_top() -> None:
    """A BMP with a mask for alpha may be transparent; a negative height counts rows from the top."""
    assert _facts(_bmp(4, -3, 3, 0xFF000000)) == ("bmp", (4, 3), 8, "rgb", True)
    assert _facts(_bmp(-4, 3, 3, 0)) == ("bmp", None, 8, "rgb", False)


def test_jpeg_of_odd_components() -> None:
    """The colours of a JPEG with two components have no name; its progressive frame is noticed."""
    header = _header(b"\xff\xd8\xff\xc2" + struct.pack(">HBHHB", 17, 8, 37, 61, 2) + bytes(9))
    assert (header.colour, header.progressive, header.stored_size) == ("other", True, (61, 37))


@pytest.mark.parametrize(
    ("header", "picture"),
    [
        (PictureHeader(kind="jpeg", width=6, height=4), Picture(size=(6, 4), sent_size=(6, 4))),
        (PictureHeader(kind="jpeg", width=6, height=4, orientation=6), Picture(size=(4, 6), orientation=6)),
        (PictureHeader(kind="tiff", width=6, height=4), Picture(size=(6, 4))),
        (PictureHeader(kind="png"), Picture()),
    ],
)
def test_record_of_a_picture_sent_as_it_is(header: PictureHeader, picture: Picture) -> None:
    """A picture sent byte for byte records its size, and the size of the sent one only where that is certain."""
    assert header.as_sent() == picture


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("end", [None, 25])
def test_record_of_a_picture_whose_facts_are_known(kind: str, orientation: int, end: int | None) -> None:
    """The facts of the checks and the orientation make the same record as the whole header, of cut files too."""
    data = _saved(kind, exif=b"Exif\0\0" + exif_of(orientation))[:end]
    record = sent_as_read(data, inspect_image(data))
    assert record == _header(data).as_sent()
    assert record.orientation == (orientation if end is None else 1)


# Hostile files


SEEDS = [
    *(_saved(kind) for kind in ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF")),
    _saved("WEBP", exif=exif_of(6)),
    _saved("PNG", exif=exif_of(6)),
    _animated("GIF"),
    TEN_BIT,
]


@given(st.sampled_from(SEEDS), st.data())
def test_damaged_files(data: bytes, draw: st.DataObject) -> None:
    """No file that is cut and changed at random makes an exception."""
    damaged = bytearray(data[: draw.draw(st.integers(0, len(data)))])
    for _ in range(draw.draw(st.integers(0, 4))):
        if damaged:
            damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    read_header(bytes(damaged))


def test_every_cut() -> None:
    """A file that ends at any byte makes no exception."""
    for data in SEEDS:
        for end in range(min(len(data), 700)):
            read_header(data[:end])


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


FTYP = _box(b"ftyp", b"heic" + bytes(4))
SMALL_GIF_FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
GIF_HEAD = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("boxes of eight bytes", lambda: FTYP + _box(b"meta", bytes(4) + _box(b"free", b"") * 600_000)),
        ("boxes of no size", lambda: FTYP + struct.pack(">I", 0) + b"meta" + bytes(5_000_000)),
        ("boxes of size one", lambda: FTYP + (struct.pack(">I", 1) + b"meta" + bytes(8)) * 300_000),
        ("boxes shorter than a box", lambda: FTYP + (struct.pack(">I", 3) + b"meta") * 600_000),
        ("a GIF of a million frames", lambda: GIF_HEAD + SMALL_GIF_FRAME * 300_000 + b";"),
        ("a GIF of empty blocks", lambda: GIF_HEAD + b"\x21\xfe\x00" * 1_600_000),
        ("a PNG of empty chunks", lambda: SEEDS[1][:33] + (bytes(4) + b"tEXt" + bytes(4)) * 400_000),
        ("a WebP of empty chunks", lambda: SEEDS[3][:12] + (b"ANMF" + bytes(4)) * 600_000),
        ("a TIFF of directories", lambda: b"II*\0\x08\0\0\0" + bytes(5_000_000)),
        ("a JPEG of comments", lambda: b"\xff\xd8\xff" + b"\xff\xfe\x00\x02" * 1_200_000),
    ],
)
def test_work_is_bounded(name: str, make: Callable[[], bytes]) -> None:
    """A hostile file of five million bytes is judged in a moment."""
    data = make()
    began = time.process_time()
    read_header(data)
    assert time.process_time() - began < 3, name


def test_gif_of_too_many_blocks() -> None:
    """The frames of a GIF of too many blocks are unknown."""
    assert _header(GIF_HEAD + b"\x21\xfe\x00" * 200_010).frames is None
