from __future__ import annotations

import contextlib
import io
import pickle
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from support.fakes import JPEG as FAKE_JPEG

from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.protocol import Image, ImageLimits
from clova_ocr_async.protocol.image import check_image, check_size

if TYPE_CHECKING:
    from collections.abc import Callable

PDFS = sorted((Path(__file__).parents[1] / "samples" / "pdf").glob("*.pdf"))
EOI = b"\xff\xd9"
ALLOWED = ImageLimits(allow_truncated=True, max_pages=None)


def saved(kind: str, size: tuple[int, int] = (96, 64), *, pages: int = 1, **options: Any) -> bytes:
    """Return a noisy picture as Pillow writes it."""
    file = io.BytesIO()
    picture = Pillow.effect_noise(size, 90).convert(options.pop("mode", "RGB"))
    if pages > 1:
        options |= {"save_all": True, "append_images": [picture] * (pages - 1)}
    picture.save(file, kind, **options)
    return file.getvalue()


def exif_with_thumbnail() -> bytes:
    """Return EXIF data with a JPEG of its own inside, end marker and all."""
    exif = Pillow.Exif()
    exif[0x010E] = "a description"
    return exif.tobytes() + saved("JPEG", (16, 9))


def with_ifd_last(data: bytes) -> bytes:
    """Return a little-endian TIFF with its only directory moved behind the picture, as libtiff writes it."""
    at = struct.unpack_from("<I", data, 4)[0]
    size = 2 + 12 * struct.unpack_from("<H", data, at)[0] + 4
    moved = data + b"\0" * (len(data) % 2)
    return moved[:4] + struct.pack("<I", len(moved)) + moved[8:] + data[at : at + size]


JPEGS = {
    "baseline": saved("JPEG"),
    "progressive": saved("JPEG", progressive=True),
    "restarts": saved("JPEG", restart_marker_blocks=1),
    "grey": saved("JPEG", mode="L"),
    "thumbnail": saved("JPEG", exif=exif_with_thumbnail()),
    "profile": saved("JPEG", icc_profile=b"\xff\xd9p" * 30_000, comment=b"c" * 60_000),
}
PNGS = {"rgb": saved("PNG"), "palette": saved("PNG", mode="P"), "small": saved("PNG", (1, 1))}
TIFFS = {
    "plain": saved("TIFF"),
    "strips": saved("TIFF", (600, 600), tiffinfo={278: 7}),
    "lzw": saved("TIFF", compression="tiff_lzw"),
    "big-endian": saved("TIFF", mode="I;16B"),
    "BigTIFF": saved("TIFF", big_tiff=True),
    "pages": saved("TIFF", pages=3),
    "directory last": with_ifd_last(saved("TIFF")),
}
PDF = saved("PDF")
WHOLE = (
    [pytest.param(data, id=f"jpeg-{name}") for name, data in JPEGS.items()]
    + [pytest.param(data, id=f"png-{name}") for name, data in PNGS.items()]
    + [pytest.param(data, id=f"tiff-{name}") for name, data in TIFFS.items()]
    + [pytest.param(PDF, id="pdf-pillow"), pytest.param(saved("PDF", pages=3), id="pdf-pillow-pages")]
    + [pytest.param(file.read_bytes(), id=file.stem) for file in PDFS]
)


def refusal(data: bytes, limits: ImageLimits | None = None) -> ImageError | None:
    """Return why an image is refused; None if it is not."""
    try:
        check_image(Image(data, "scan"), limits or ImageLimits(max_pages=None))
    except ImageError as error:
        return error
    return None


def is_cut(data: bytes) -> bool:
    """Return whether an image is refused because its end is missing."""
    error = refusal(data)
    assert error is None or error.truncated
    return error is not None


@pytest.mark.parametrize("data", WHOLE)
def test_a_whole_picture_is_accepted(data: bytes) -> None:
    """A complete picture of any program is not taken for a truncated one."""
    assert refusal(data) is None


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("data", WHOLE)
def test_a_picture_cut_off_is_refused(data: bytes, share: float) -> None:
    """A picture without its end is refused before it costs a call, and the error is marked as truncated."""
    assert is_cut(data[: int(len(data) * share)])


@pytest.mark.parametrize("data", [*JPEGS.values(), *PNGS.values(), TIFFS["plain"], TIFFS["strips"]])
def test_a_picture_cut_anywhere_is_refused(data: bytes) -> None:
    """A JPEG, PNG or TIFF whose end is missing is refused wherever the cut is."""
    missing = 5 if data.startswith(b"\x89PNG") else 1  # the checksum of an empty last chunk is no loss
    steps = {*range(8, min(len(data) - missing, 700)), *range(8, len(data) - missing, 97), len(data) - missing}
    assert [end for end in sorted(steps) if not is_cut(data[:end])] == []


@pytest.mark.parametrize("kept", [1, 100, 5_000])
def test_a_cut_off_jpeg_with_zeros_behind_is_refused(kept: int) -> None:
    """A file whose space was reserved and never written is truncated, at any length."""
    data = saved("JPEG", (300, 300))
    half = data[: len(data) // 2]
    assert is_cut(half + bytes(kept))


@pytest.mark.parametrize(
    "behind", [b"\0" * 4096, b"\n", b"SEFH trailer SEFT", JPEGS["baseline"], JPEGS["baseline"][:300], b"ftypmp42" * 50]
)
def test_what_follows_the_end_does_not_matter(behind: bytes) -> None:
    """Padding, a phone's trailer, a second picture or a film behind the picture's end is allowed."""
    for data in (JPEGS["thumbnail"], FAKE_JPEG, PNGS["rgb"], TIFFS["plain"]):
        assert refusal(data + behind) is None


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture() -> None:
    """A JPEG cut right behind the thumbnail in its EXIF data is refused."""
    data = JPEGS["thumbnail"]
    behind_thumbnail = data.index(EOI) + 2
    assert data.index(b"\xff\xda", behind_thumbnail) > behind_thumbnail
    assert is_cut(data[:behind_thumbnail])
    assert is_cut(data[: behind_thumbnail + 40])


@pytest.mark.parametrize(
    "data",
    [
        FAKE_JPEG,
        FAKE_JPEG + b"x" * 300_000,
        b"\xff\xd8\xff\xe0" + b"%d" % 17 + EOI,
        b"\xff\xd8\xff\xe0" + EOI,
        b"\xff\xd8\xff\xe0\0\0\xff\xd9",
        b"\xff\xd8\xff" + EOI,
    ],
)
def test_a_jpeg_nobody_can_walk_needs_an_end_only(data: bytes) -> None:
    """A JPEG whose markers form no chain is judged by its end marker alone."""
    assert refusal(data) is None
    assert is_cut(data.replace(EOI, b""))


HEADERS_ONLY = {
    "jpeg, 3 bytes": b"\xff\xd8\xff",
    "jpeg, 30 bytes": JPEGS["baseline"][:30],
    "jpeg, up to its scan": JPEGS["baseline"][: JPEGS["baseline"].index(b"\xff\xda")],
    "jpeg, up to its data": JPEGS["baseline"][: JPEGS["baseline"].index(b"\xff\xda") + 14],
    "png, signature": PNGS["rgb"][:8],
    "png, up to its data": PNGS["rgb"][: PNGS["rgb"].index(b"IDAT") + 4],
    "tiff, 8 bytes": TIFFS["plain"][:8],
    "tiff, up to its data": TIFFS["plain"][:140],
    "pdf, a line": b"%PDF-1.7\n",
    "pdf, an object": b"%PDF-1.7\n1 0 obj\n<</Type/Catalog>>\nendobj\n",
}


@pytest.mark.parametrize("name", HEADERS_ONLY)
def test_a_header_alone_is_never_sent(name: str) -> None:
    """A file of which only the header is there is refused under any limits."""
    for limits in (ImageLimits(), ALLOWED):
        error = refusal(HEADERS_ONLY[name], limits)
        assert error is not None
        assert error.truncated
        assert "image 'scan' is cut off" in str(error)
        assert "allow_truncated" not in str(error)


@pytest.mark.parametrize("data", [JPEGS["baseline"], PNGS["rgb"], TIFFS["plain"], PDF])
def test_a_limit_lets_cut_off_pictures_through(data: bytes) -> None:
    """A truncated picture is sent with a warning if the limits allow it."""
    half = data[: len(data) // 2]
    error = refusal(half)
    assert error is not None
    assert "ImageLimits.allow_truncated" in str(error)
    assert any("is cut off" in warning for warning in check_image(Image(half, "scan"), ALLOWED)[1])
    assert check_image(Image(data, "scan"), ALLOWED)[1] == ()


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_a_limit_that_is_no_truth_value_is_refused(value: Any) -> None:
    """A value of allow_truncated that is neither True nor False is refused."""
    with pytest.raises(ConfigurationError, match=r"ImageLimits\.allow_truncated must be True or False"):
        ImageLimits(allow_truncated=value)


def test_what_may_still_come_is_told_from_what_is_wrong() -> None:
    """An empty or truncated file is marked as such, an unsupported one is not, and the mark survives pickling."""
    for size in (lambda: check_size(0, "scan", ImageLimits()), lambda: Image(b"", "scan")):
        with pytest.raises(ImageError) as caught:
            size()
        assert caught.value.truncated
        assert pickle.loads(pickle.dumps(caught.value)).truncated  # noqa: S301 - our own
    with pytest.raises(ImageError) as caught:
        Image(b"GIF89a", "scan")
    assert not caught.value.truncated


@pytest.mark.parametrize("start", [b"\xff\xd8", b"\x89P", b"\x89PNG\r\n\x1a", b"%PDF", b"II*", b"MM\0"])
def test_the_first_bytes_of_a_signature_are_a_cut_off_file(start: bytes) -> None:
    """A file that ends within its signature is truncated, not of an unknown format."""
    with pytest.raises(ImageError, match="is cut off after") as caught:
        Image(start, "scan")
    assert caught.value.truncated


# TIFF


def tiff(fields: list[tuple[int, int, int, int]], *, order: str = "<", next_: int = 0, behind: bytes = b"") -> bytes:
    """Build a TIFF of one directory at 8."""
    entries = b"".join(
        struct.pack(order + ("HHII" if kind != 3 or count > 1 else "HHIHxx"), tag, kind, count, value)
        for tag, kind, count, value in fields
    )
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + struct.pack(order + "H", len(fields)) + entries + struct.pack(order + "I", next_) + behind


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("fields", "cut"),
    [
        ([(273, 4, 1, 60)], False),
        ([(273, 4, 1, 60), (279, 4, 1, 0)], False),
        ([(273, 4, 1, 60), (279, 4, 1, 40)], False),
        ([(273, 4, 1, 60), (279, 3, 1, 40)], False),
        ([(273, 4, 1, 60), (279, 4, 1, 41)], True),
        ([(273, 4, 1, 100)], True),
        ([(324, 4, 1, 60), (325, 4, 1, 41)], True),
        ([(324, 4, 1, 0), (325, 4, 1, 0)], False),
        ([(273, 4, 3, 60), (279, 4, 2, 72)], False),
        ([(273, 4, 30, 60)], True),
        ([(273, 5, 1, 100)], False),
        ([(273, 4, 0, 100)], False),
        ([], False),
    ],
    ids=[
        *("no count", "count of zero", "whole", "short count", "one byte missing", "begins at the end", "tile"),
        *("sparse tile", "fewer counts", "list behind the end", "not a number", "none", "no field"),
    ],
)
def test_tiff_pieces(order: str, fields: list[tuple[int, int, int, int]], *, cut: bool) -> None:
    """A TIFF is truncated if a strip or tile ends behind the file, and not if its length is unknown."""
    fields = [(256, 4, 1, 10), *fields]
    data = tiff(fields, order=order).ljust(60, b"\1") + struct.pack(order + "5I", 80, 81, 82, 10, 10)
    assert is_cut(data.ljust(100, b"\1")) is cut


def test_tiff_whose_directory_was_not_written_yet() -> None:
    """A TIFF without a directory is truncated: writers fill in its place last."""
    assert is_cut(b"II*\0" + bytes(4) + b"\1" * 100)


def test_tiff_chain_that_loops_is_not_cut_off() -> None:
    """A circular chain of directories is broken, but not truncated."""
    assert refusal(tiff([(256, 4, 1, 10)], next_=8)) is None


def test_tiff_of_more_pieces_than_are_looked_at() -> None:
    """The work on a TIFF is bounded, also if many directories name the same long list of strips."""
    strips = struct.pack("<1000I", *[1_000_000] * 1000)
    one = tiff([(273, 4, 1000, 30)], behind=strips)
    assert is_cut(one)
    free = struct.pack("<1000I", *[8] * 1000)
    many = b"II*\0" + struct.pack("<I", 8 + len(free)) + free
    for number in range(1, 60):
        behind = len(many) + 18 if number < 59 else 0
        many += struct.pack("<H", 1) + struct.pack("<HHII", 273, 4, 1000, 8) + struct.pack("<I", behind)
    assert refusal(many) is None


# PDF


@pytest.mark.parametrize("behind", [b"\0" * 5000, b"\r\n\r\n", b"<html>junk 1 0 object</html>" * 300])
def test_pdf_with_junk_behind(behind: bytes) -> None:
    """A PDF may have any bytes behind its end but the beginning of an update."""
    assert refusal(PDF + behind) is None


def test_pdf_without_its_last_line() -> None:
    """A PDF that ends with startxref is complete."""
    assert refusal(PDF[: PDF.rindex(b"%%EOF")]) is None


def test_pdf_cut_within_an_update() -> None:
    """A PDF that is cut within an added revision is refused."""
    assert is_cut(PDF + b"9 0 obj\n<</Length 5000>>\nstream\n" + b"x" * 100)


def test_pdf_cut_behind_its_first_page_table() -> None:
    """A truncated linearized PDF is refused, although it has a second end at its beginning."""
    data = next(file for file in PDFS if "linearized" in file.name).read_bytes()
    assert data.index(b"%%EOF") < len(data) // 2
    assert is_cut(data[: data.index(b"%%EOF") + 6])
    assert refusal(data[:-1]) is None


@given(st.sampled_from([*JPEGS.values(), *PNGS.values(), *TIFFS.values(), PDF]), st.data())
def test_any_damage_is_judged(data: bytes, draw: st.DataObject) -> None:
    """Any cut and overwritten file is accepted or refused with an ImageError."""
    damaged = bytearray(data[: draw.draw(st.integers(0, len(data)))])
    for at, new in draw.draw(st.lists(st.tuples(st.integers(0, len(data)), st.binary(max_size=4)), max_size=4)):
        damaged[at : at + len(new)] = new
    with contextlib.suppress(ImageError):
        check_image(Image(bytes(damaged)), ALLOWED)


@pytest.mark.parametrize("hand_in", [lambda path: path, lambda path: path.read_bytes(), lambda path: path.open("rb")])
async def test_a_cut_off_picture_is_refused_however_it_is_handed_in(
    tmp_path: Path, hand_in: Callable[[Path], Any]
) -> None:
    """Half a picture as path, bytes or file is refused alike, and the error is marked as truncated."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(JPEGS["baseline"][:-100])
    source = hand_in(path)
    with pytest.raises(ImageError, match="is cut off") as caught:
        await ImageLoader(ImageLimits()).load(source)
    assert caught.value.truncated
    if hasattr(source, "close"):
        source.close()
