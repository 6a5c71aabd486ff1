from __future__ import annotations

import hashlib
import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from support.pdfs import noise

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures import Preparation
from clova_ocr_async.pictures.pages import count_pages, cut_page, require_pages
from clova_ocr_async.protocol.image import inspect_image
from clova_ocr_async.protocol.image_headers import tiff_directories

if TYPE_CHECKING:
    from pathlib import Path


def cut(file: Any, number: int = 1, max_bytes: int | None = None, preparation: Preparation | None = None) -> Any:
    """Cut a page."""
    return cut_page(file, number, max_bytes=max_bytes, preparation=preparation)


def drawing(number: int, mode: str = "L", size: tuple[int, int] = (120, 80)) -> PIL.Image.Image:
    """Return a picture that is another one for each number."""
    picture = PIL.Image.new("L", size, 255)
    picture.paste(0, (5 * number, 10, 5 * number + 30, 60))
    return picture.convert(mode)


def saved(pictures: list[PIL.Image.Image], **options: Any) -> bytes:
    """Return a TIFF of several pages."""
    file = io.BytesIO()
    pictures[0].save(file, "TIFF", save_all=True, append_images=pictures[1:], **options)
    return file.getvalue()


def pixels(data: bytes, page: int = 0) -> bytes:
    """Return the pixels of a page, as Pillow decodes it."""
    with PIL.Image.open(io.BytesIO(data)) as picture:
        picture.seek(page)
        return picture.convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("compression", "mode"),
    [
        (None, "L"),
        ("raw", "RGB"),
        ("group4", "1"),
        ("group3", "1"),
        ("tiff_lzw", "RGB"),
        ("tiff_adobe_deflate", "RGB"),
        ("packbits", "L"),
        ("jpeg", "RGB"),
        ("raw", "P"),
        ("raw", "CMYK"),
    ],
)
def test_a_page_is_copied(compression: str | None, mode: str, tmp_path: Path) -> None:
    """Each page becomes a TIFF of one page with the same pixels, in any compression."""
    data = saved([drawing(number, mode) for number in range(4)], compression=compression)
    path = tmp_path / "팩스.tiff"
    path.write_bytes(data)
    assert count_pages(path) == 4
    for number in range(1, 5):
        sent, picture = cut(path, number)
        assert (inspect_image(sent).pages, sent[:2]) == (1, data[:2])
        assert pixels(sent) == pixels(data, number - 1)
        assert (picture.page, picture.steps, picture.size) == (number, (f"page {number} of 4",), (120, 80))
        assert picture.sha256 == hashlib.sha256(sent).hexdigest()
        assert picture.sent_size is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (32, 32)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_strips_and_tiles_in_both_byte_orders(
    order: Any, tile: tuple[int, int] | None, compression: str | None
) -> None:
    """Pages in strips and in tiles, of both byte orders, are copied, with 16 bits as well."""
    file = io.BytesIO()
    arrays = [np.arange(100 * 70, dtype=np.uint16).reshape(100, 70) + number for number in range(3)]
    with tifffile.TiffWriter(file, byteorder=order) as writer:
        for array in arrays:
            writer.write(array, tile=tile, rowsperstrip=None if tile else 7, compression=compression)
    for number, array in enumerate(arrays, 1):
        sent, _ = cut(file.getvalue(), number)
        assert (tifffile.imread(io.BytesIO(sent)) == array).all()


def test_a_file_of_one_page_is_sent_byte_for_byte() -> None:
    """The only page of a file is the file itself."""
    data = saved([drawing(1)])
    sent, picture = cut(data)
    assert (sent, picture.page, picture.steps, picture.size, picture.sha256) == (data, None, (), (120, 80), None)


@pytest.mark.parametrize(("orientation", "size"), [(1, (120, 80)), (3, (120, 80)), (6, (80, 120)), (9, (120, 80))])
def test_the_orientation_stays(orientation: int, size: tuple[int, int]) -> None:
    """The orientation of a page is kept, and its size is that which a viewer shows."""
    data = saved([drawing(1), drawing(2)], tiffinfo={274: orientation})
    sent, picture = cut(data, 1)
    assert (picture.size, picture.orientation) == (size, orientation if orientation < 9 else 1)
    with PIL.Image.open(io.BytesIO(sent)) as copied:
        assert copied.tag_v2[274] == orientation  # type: ignore[attr-defined]


def test_versions_and_masks_are_not_pages() -> None:
    """Reduced versions and masks are not counted, and not cut instead of a page."""
    kinds = [(254, 0), (254, 1), (254, 4), (254, 2), (255, 2), (255, 1)]
    data = tiff(*[[(tag, 4, 1, kind), *page(700 + place, 16)] for place, (tag, kind) in enumerate(kinds)])
    data = data.ljust(700, b"\0") + bytes(range(30))
    assert count_pages(data) == inspect_image(data).pages == 3
    copies = [PIL.Image.open(io.BytesIO(cut(data, number)[0])).tobytes()[0] for number in (1, 2, 3)]
    assert copies == [0, 3, 5]


def test_pointers_are_dropped() -> None:
    """Tags that point to something else in the file do not travel: EXIF, GPS, sub-directories."""
    pointers = [(297, 3, 2, 0), (330, 4, 1, 8), (34665, 4, 1, 8), (34853, 4, 1, 8)]
    sent, _ = cut(tiff(page(8, 16), page(8, 16, *pointers)), 2)
    (copied,) = tiff_directories(sent, range(65536))
    assert set(copied) == {256, 257, 258, 259, 262, 273, 279}


def test_no_such_page() -> None:
    """A page that the file does not have is refused with the pages that it has."""
    with pytest.raises(ImageError, match="the image has 2 pages, so there is no page 3; give a number from 1 to 2"):
        cut(saved([drawing(1), drawing(2)]), 3)


def big_tiff(arrays: list[Any], **options: Any) -> bytes:
    """Return a BigTIFF."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=True) as writer:
        for array in arrays:
            writer.write(array, **options)
    return file.getvalue()


def test_big_tiff_goes_through_pillow() -> None:
    """A page of a BigTIFF becomes a PNG with the same pixels, and the steps state that."""
    arrays = [np.full((20, 30), number * 40, np.uint8) for number in range(3)]
    data = big_tiff(arrays)
    assert count_pages(data) == 3
    sent, picture = cut(data, 3)
    assert sent[:4] == b"\x89PNG"
    assert pixels(sent)[:3] == bytes([80] * 3)
    assert (picture.steps, picture.size, picture.sent_size) == (("page 3 of 3", "tiff to png"), (30, 20), (30, 20))


def test_sixteen_bits_and_transparency_keep_their_look() -> None:
    """A decoded page of 16 bits is scaled to 8, a transparent one lies on white, any other is RGB."""
    half = big_tiff([np.full((20, 30), 32896, np.uint16)] * 2)
    assert pixels(cut(half, 2)[0])[0] in {127, 128}
    clear = big_tiff([np.zeros((20, 30, 4), np.uint8)] * 2, photometric="rgb", extrasamples=["unassalpha"])
    assert pixels(cut(clear, 2)[0])[:3] == b"\xff\xff\xff"
    ink = big_tiff([np.zeros((20, 30, 4), np.uint8)] * 2, photometric="separated")
    assert pixels(cut(ink, 2)[0])[:3] == b"\xff\xff\xff"


def test_a_page_over_the_limit_is_decoded() -> None:
    """A page that is too large as it is becomes a PNG, or a JPEG, and is refused if that is too large as well."""
    data = saved([drawing(1), drawing(2)], compression="raw")
    sent, picture = cut(data, 2, max_bytes=5_000)
    assert (sent[:4], picture.steps) == (b"\x89PNG", ("page 2 of 2", "tiff to png"))
    assert pixels(sent) == pixels(data, 1)
    grain = saved([PIL.Image.frombytes("L", (120, 80), noise(9600))] * 2)
    sent, picture = cut(grain, 2, max_bytes=8_000, preparation=Preparation(quality=60))
    assert (sent[:2], picture.steps) == (b"\xff\xd8", ("page 2 of 2", "tiff to jpeg"))
    with pytest.raises(ImageError, match=r"page 2 of the image has .* as a jpeg, and 500 are allowed; scale it down"):
        cut(grain, 2, max_bytes=500)
    single = saved([drawing(1)], compression="raw")
    assert cut(single, 1, max_bytes=5_000)[1].steps == ("tiff to png",)


def directory(order: str, entries: list[tuple[int, int, int, int]], following: int = 0) -> bytes:
    """Return a directory; an entry is tag, type, count, and value or place."""
    packed = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    return struct.pack(f"{order}H", len(entries)) + packed + struct.pack(f"{order}I", following)


def tiff(*directories: list[tuple[int, int, int, int]], tail: bytes = b"") -> bytes:
    """Return a TIFF of directories that follow each other, and what lies behind them."""
    data = b"II*\0" + struct.pack("<I", 8)
    for number, entries in enumerate(directories, 1):
        end = len(data) + 2 + 12 * len(entries) + 4
        data += directory("<", entries, end if number < len(directories) else 0)
    return data + tail


def page(offset: int, length: int, *more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Return the entries of a small grey page with one strip."""
    return [
        (256, 3, 1, 4),
        (257, 3, 1, 4),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, offset),
        (279, 4, 1, length),
        *more,
    ]


def test_bytes_as_numbers_and_unknown_types() -> None:
    """Places may be of any whole type, and a tag of an unknown type is left out."""
    entries = [*page(250, 16)[:5], (273, 1, 1, 250), (279, 1, 1, 16), (65000, 99, 1, 5)]
    data = tiff(entries, entries, tail=b"").ljust(250, b"\0") + bytes(range(16))
    assert PIL.Image.open(io.BytesIO(cut(data, 2)[0])).tobytes() == bytes(range(16))


def test_a_sparse_tile_stays_without_a_place() -> None:
    """A part without bytes has no place in the copy either."""
    entries = [*page(0, 0)[:5], (322, 3, 1, 16), (323, 3, 1, 16), (324, 4, 1, 0), (325, 4, 1, 0)]
    sent, _ = cut(tiff(entries, entries), 2)
    assert struct.pack("<HHII", 324, 4, 1, 0) in sent


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"II*\0", "the image is cut off: the end of its tiff data is missing"),
        (b"II*\0\x08\0\0\0", "the image is cut off"),
        (b"II*\0\0\0\0\0", "the image has no page, or only versions of one"),
        (b"II*\0" + struct.pack("<I", 8) + directory("<", page(0, 0), 8), "its chain of pages is broken"),
        (tiff([*page(8, 4), (254, 4, 1, 1)], [*page(8, 4), (254, 4, 1, 1)]), "or only versions of one"),
    ],
    ids=["magic", "no directory", "empty", "a loop", "versions"],
)
def test_files_that_cannot_be_split(data: bytes, message: str) -> None:
    """A file whose pages cannot be distinguished is refused, and cannot be counted."""
    assert count_pages(data) is None
    with pytest.raises(ImageError, match=message):
        require_pages(data)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (page(10_000, 16), "page 2 of the image is cut off: the end of its tiff data is missing"),
        ([*page(8, 4), (700, 1, 100, 10_000)], "page 2 of the image is cut off"),
        (page(8, 1_000_000), "page 2 of the image is damaged: its parts overlap"),
        ([*page(8, 4), (700, 7, 4_000_000_000, 8)], "page 2 of the image is damaged: its parts overlap"),
        ([*page(8, 4), *[(tag, 7, 200, 8) for tag in range(700, 710)]], "its parts overlap"),
        ([*page(8, 16)[:5], (273, 2, 1, 8), (279, 4, 1, 4)], "page 2 of the image cannot be decoded"),
        ([*page(8, 16)[:5]], "page 2 of the image cannot be decoded"),
        ([*page(8, 4)[:3], (259, 3, 1, 6), *page(8, 4)[4:]], "page 2 of the image cannot be decoded"),
    ],
)
def test_pages_that_are_broken(entries: list[tuple[int, int, int, int]], message: str) -> None:
    """A page that points beyond the end, at too much, or at nothing is refused, in bounded memory."""
    with pytest.raises(ImageError, match=message):
        cut(tiff(page(8, 16), entries), 2)


def test_strips_and_sizes_that_do_not_match_are_decoded() -> None:
    """A page whose strips cannot be copied is left to Pillow."""
    entries = [*page(8, 16)[:6], (279, 3, 2, 16)]
    assert cut(tiff(page(8, 16), entries), 2)[1].steps == ("page 2 of 2", "tiff to png")


def test_a_bomb_is_not_decoded() -> None:
    """A page that would have to be decoded is judged by its pixels first, and those of the pages before it."""
    entries = [(256, 4, 1, 50_000), (257, 4, 1, 50_000)]
    with pytest.raises(ImageError, match="it or a picture before it has 2,500,000,000 pixels; 89,478,485 are decoded"):
        cut(tiff(entries, [(256, 3, 1, 4), (257, 3, 1, 4)]), 2)


@given(st.data())
def test_any_damage_is_an_image_error(data: st.DataObject) -> None:
    """A file with any bytes changed is cut, or refused with an ImageError."""
    content = bytearray(FAX)
    for place in data.draw(st.lists(st.integers(0, len(FAX) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        sent, _ = cut(bytes(content), 2)
    except ImageError:
        return
    assert len(sent) < 100_000


FAX = saved([drawing(1, "1"), drawing(2, "1")], compression="group4")


def test_one_small_page_of_a_file_that_was_changed(tmp_path: Path) -> None:
    """A file that was replaced between two pages is read anew."""
    path = tmp_path / "fax.tif"
    path.write_bytes(FAX)
    first = cut(path, 2)[0]
    path.write_bytes(saved([drawing(5), drawing(6), drawing(7)]))
    assert count_pages(path) == 3
    assert cut(path, 2)[0] != first
