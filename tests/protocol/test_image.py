from __future__ import annotations

import array
import base64
import copy
import dataclasses
import functools
import io
import math
import pickle
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import features

from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.protocol import Image, ImageFormat, ImageLimits
from clova_ocr_async.protocol.image import ImageFacts, check_image, check_size, inspect_image

NO_LIMITS = ImageLimits(max_bytes=None, max_pages=None, max_side=None)


@functools.cache
def _saved(kind: str, pages: int = 1) -> bytes:
    file, picture = io.BytesIO(), Pillow.new("RGB", (60, 40), "white")
    if pages > 1:
        picture.save(file, kind, save_all=True, append_images=[picture] * (pages - 1))
    else:
        picture.save(file, kind)
    return file.getvalue()


JPEG, PNG, PDF, TIFF = _saved("JPEG"), _saved("PNG"), _saved("PDF"), _saved("TIFF")


def _looping_tiff() -> bytes:
    """Return a TIFF whose chain of directories leads back to its start."""
    return TIFF[:8] + b"\x01\x00" + struct.pack("<HHII", 256, 4, 1, 10) + struct.pack("<I", 8)


def _encrypted_pdf() -> bytes:
    return PDF.replace(b"/Root", b"/Encrypt 1 0 R /Root")


# Image


@pytest.mark.parametrize(
    ("data", "found"),
    [(JPEG, "jpg"), (PNG, "png"), (PDF, "pdf"), (TIFF, "tiff"), (b"MM\x00*", "tiff"), (b"II+\x00", "tiff")],
)
def test_format_by_the_first_bytes(data: bytes, found: str) -> None:
    """The format follows from the data and never from the name."""
    assert Image(data, name="picture.gif").format == found


def test_pdf_behind_junk() -> None:
    """A PDF whose header stands within the first kilobyte is one, as readers see it."""
    assert Image(b"\r\n" + PDF).format is ImageFormat.PDF
    assert Image(b" " * 1000 + PDF).format is ImageFormat.PDF
    with pytest.raises(ImageError):
        Image(b" " * 1024 + PDF)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (JPEG, ["jpg", "jpeg", "JPG", ".jpg", ".JPEG", ImageFormat.JPG]),
        (PNG, ["png", ".PNG", ImageFormat.PNG]),
        (PDF, ["pdf", ImageFormat.PDF]),
        (TIFF, ["tif", "tiff", ".Tif", ImageFormat.TIFF]),
    ],
)
def test_format_given(data: bytes, names: list[str]) -> None:
    """Each spelling of a format that agrees with the data is taken, and written the one way."""
    assert {Image(data, format=name).format for name in names} == {Image(data).format}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("gif", "'gif'"),
        ("", "''"),
        ("image/png", "'image/png'"),
        ("..png", "'..png'"),
        (3, "int"),
        (PNG, "bytes"),
        ("x" * 21, "str"),
    ],
)
def test_format_given_unknown(given: Any, shown: str) -> None:
    """A format that the service does not have is refused, the ones it has are named, and no data is shown."""
    with pytest.raises(
        ImageError, match=rf"'scan': .* one of jpeg, jpg, pdf, png, tif, tiff, not {shown}; or leave it"
    ):
        Image(PNG, "scan", format=given)


def test_format_given_disagrees() -> None:
    """A format that is not the data's is refused, naming both and the way out."""
    with pytest.raises(ImageError, match=r"image 'scan.jpg'.*'\.JPG'.*is png; leave the format out"):
        Image(PNG, "scan.jpg", format=".JPG")


def test_bytes_are_kept() -> None:
    """A bytes object is kept without a copy."""
    assert Image(PNG).data is PNG


class Sly(bytes):
    """A bytes subclass that reports a wrong length."""

    __slots__ = ()

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize(
    "data",
    [
        bytearray(PNG),
        memoryview(PNG),
        array.array("B", PNG),
        Sly(PNG),
        memoryview(b"".join(struct.pack("2B", c, 0) for c in PNG))[::2],
    ],
    ids=["bytearray", "memoryview", "array", "subclass", "strided"],
)
def test_bytes_like_is_copied(data: Any) -> None:
    """Anything else that is bytes-like becomes plain bytes of the same content."""
    image = Image(data)
    assert type(image.data) is bytes
    assert image.data == PNG


def test_what_changes_later_is_not_sent() -> None:
    """The bytes sent are those of the moment the image was made, whatever happens to the buffer."""
    buffer = bytearray(PNG)
    image = Image(memoryview(buffer))
    buffer[:] = bytes(len(PNG))
    assert image.data == PNG


def _released() -> memoryview:
    view = memoryview(PNG)
    view.release()
    return view


@pytest.mark.parametrize("data", ["path.png", Path("path.png"), io.BytesIO(PNG), 5, None, [137, 80], _released()])
def test_not_bytes_like(data: Any) -> None:
    """Data that is not bytes-like is refused, and its type is named."""
    with pytest.raises(ImageError, match=rf"'scan': the data must be bytes-like, not {type(data).__name__}; read the"):
        Image(data, "scan")


def test_empty() -> None:
    """Empty data is refused, and the error names the reason."""
    with pytest.raises(ImageError, match=r"image 'scan' is empty \(0 bytes\); check"):
        Image(b"", "scan")


@pytest.mark.parametrize("name", [None, ""])
def test_name_absent(name: str | None) -> None:
    """An image without a name is called "image"."""
    assert Image(PNG, name).name == "image"


@pytest.mark.parametrize("name", ["영수증.png", "a\r\nb", "../x", "\N{RIGHT-TO-LEFT OVERRIDE}gnp", "n" * 10_000])
def test_name_is_kept(name: str) -> None:
    """Any name that JSON can hold is kept as it is."""
    assert Image(PNG, name).name == name


@pytest.mark.parametrize("name", ["\udc80.png", b"scan.png", Path("scan.png"), 7, 0, False])
def test_name_refused(name: Any) -> None:
    """A name that JSON cannot hold is refused."""
    with pytest.raises(ImageError, match=r"the name of an image must be a str, not|lone surrogates") as caught:
        Image(PNG, name)
    str(caught.value).encode()


def test_repr_shows_no_data() -> None:
    """The repr shows name, format and length, and nothing of the data."""
    assert repr(Image(PNG, "scan")) == f"Image(name='scan', format='png', {len(PNG)} bytes)"


def test_image_is_a_value() -> None:
    """Images are equal and hash alike where data, name and format are, and cannot be changed."""
    image = Image(PNG, "scan")
    assert image == Image(bytearray(PNG), "scan", "png")
    assert len({image, Image(PNG, "scan"), Image(PNG, "other"), Image(JPEG, "scan")}) == 3
    for field in ("data", "name", "format", "other"):
        with pytest.raises((AttributeError, TypeError)):
            setattr(image, field, None)


def test_image_travels() -> None:
    """An image survives pickling and copying, and is judged anew when a part is replaced."""
    image = Image(PNG, "scan")
    assert pickle.loads(pickle.dumps(image)) == image  # noqa: S301 - our own
    assert copy.deepcopy(image) == image
    assert dataclasses.replace(image, name="other") == Image(PNG, "other")
    with pytest.raises(ImageError):
        dataclasses.replace(image, data=JPEG)


# Bytes that are not an image for the service


def _box(brand: bytes, *compatible: bytes) -> bytes:
    brands = brand + bytes(4) + b"".join(compatible)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(64)


ZIP = b"PK\x03\x04\x14\x00" + bytes(64)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(64)
FOREIGN = [
    (_saved("GIF"), "GIF"),
    (_saved("BMP"), "BMP"),
    (_saved("ICO"), "ICO"),
    (b"\x00\x00\x02\x00" + bytes(64), "ICO"),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "WebP"),
    (_box(b"heic", b"mif1", b"heic"), "HEIC"),
    (_box(b"mif1", b"miaf", b"heix"), "HEIC"),
    (_box(b"avif"), "AVIF"),
    (_box(b"mif1", b"miaf", b"avif"), "AVIF"),
    (_box(b"isom", b"mp42"), "MP4"),
    (_box(b"isom")[:16] + b"avifheic", "MP4"),
    (_box(b"qt  "), "MOV"),
    (b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", "MOV"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51\x00", "JPEG 2000"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\x0a\x00\x10", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"8BPS\x00\x01", "PSD"),
    (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    (b"\xef\xbb\xbf <?xml version='1.0'?>\n<!-- drawn -->\n<SVG/>", "SVG"),
    (b"<?xml version='1.0'?><a/>", "XML"),
    (b"\n<!DOCTYPE html><title>404</title>", "HTML"),
    (b"<HTML>", "HTML"),
    (b"%!PS-Adobe-3.0", "PostScript"),
    (ZIP, r"zip archive \(\.docx, \.xlsx and \.hwpx"),
    (ZIP + PDF, "zip"),
    (b"PK\x05\x06" + bytes(18), "zip"),
    (b"\x1f\x8b\x08", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07\x01\x00", "rar"),
    (OLE, r"OLE file \(an old \.doc, \.xls or \.hwp"),
    (b"\x7fELF\x02", "ELF"),
    (b"MZ\x90\x00\x03", "EXE"),
    (b"data:image/png;base64,AAAA", "data: URL"),
    (base64.b64encode(JPEG), "JPEG in base64"),
    (base64.b64encode(PNG), "PNG in base64"),
    (base64.b64encode(PDF), "PDF in base64"),
    (b"MZ and BM are letters\r\n\t", "plain text"),
    ("영수증 ".encode() * 200, "plain text"),
    ("a" + "수" * 400, "plain text"),
    ("영수증".encode("utf-16"), "plain text"),
    (b"\x00", "unknown format"),
    (b"\x00\x00\x00\x08else", "unknown format"),
    (b"\x80\x81", "unknown format"),
    (b"\x01\x02\x03", "unknown format"),
    (b"\x00\x00\x00\x08ftyp", "video"),
]


PICTURES = {"GIF", "BMP", "ICO", "WebP", "HEIC", "AVIF", "JPEG 2000", "JPEG XL", "JPEG XR", "PSD", "SVG"}


@pytest.mark.parametrize(("data", "kind"), FOREIGN)
def test_unsupported_formats(data: bytes | str, kind: str) -> None:
    """An unsupported format is named with the way out, and its content is not shown."""
    data = data.encode() if isinstance(data, str) else data
    with pytest.raises(
        ImageError, match=rf"^the image is [^;]*{kind}[^;]*, and the service reads jpg, pdf, png"
    ) as caught:
        inspect_image(data + b"\nCANARY")
    assert caught.value.args[0].rpartition("; ")[2].split()[0] in {"convert", "save", "pass", "decode"}
    assert "CANARY" not in repr(caught.value)
    assert caught.value.not_a_picture == (kind not in PICTURES)


@pytest.mark.parametrize(
    ("kind", "name", "way_out"),
    [
        (kind, name, way_out)
        for kind, feature, name, way_out in (
            ("WEBP", "webp", "WebP", ", or give the file to a client with prepare="),
            ("JPEG2000", "jpg_2000", "JPEG 2000", "$"),
            ("AVIF", "avif", "AVIF", ", or give the file to a client with prepare="),
        )
        if features.check(feature)
    ],
)
def test_unsupported_formats_by_pillow(kind: str, name: str, way_out: str) -> None:
    """A file in an unsupported format is refused with its name; one that the client can prepare names that way out."""
    with pytest.raises(ImageError, match=f"image 'scan' is {name}, and .*; convert it to JPEG or PNG{way_out}"):
        Image(_saved(kind), "scan")


# Facts


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (JPEG, ImageFacts(ImageFormat.JPG, len(JPEG), 60, 40, 1)),
        (PNG, ImageFacts(ImageFormat.PNG, len(PNG), 60, 40, 1)),
        (PDF, ImageFacts(ImageFormat.PDF, len(PDF), None, None, 1)),
        (TIFF, ImageFacts(ImageFormat.TIFF, len(TIFF), 60, 40, 1)),
        (_saved("PDF", 3), ImageFacts(ImageFormat.PDF, len(_saved("PDF", 3)), None, None, 3)),
        (_saved("TIFF", 3), ImageFacts(ImageFormat.TIFF, len(_saved("TIFF", 3)), 60, 40, 3)),
        (b"%PDF-", ImageFacts(ImageFormat.PDF, 5)),
        (b"II*\x00", ImageFacts(ImageFormat.TIFF, 4)),
        (b"\xff\xd8\xff", ImageFacts(ImageFormat.JPG, 3, None, None, 1)),
        (PNG[:8], ImageFacts(ImageFormat.PNG, 8, None, None, 1)),
    ],
)
def test_facts(data: bytes, facts: ImageFacts) -> None:
    """The facts are those of the header, and None if it does not state them."""
    assert inspect_image(data) == facts


STARTS = [
    b"",
    b"\xff\xd8\xff",
    PNG[:16],
    b"II*\x00\x08\x00\x00\x00",
    b"MM\x00+\x00\x08\x00\x00",
    b"%PDF-1.4\n",
    b"<",
    *(data[:12] for data, _ in FOREIGN if isinstance(data, bytes)),
]
REAL = [
    JPEG,
    PNG,
    PDF,
    TIFF,
    _saved("PDF", 3),
    _saved("TIFF", 3),
    *(file.read_bytes() for file in sorted((Path(__file__).parents[1] / "samples" / "pdf").glob("*.pdf"))),
]


def _judged(data: bytes) -> None:
    try:
        facts = inspect_image(data)
    except ImageError:
        return
    numbers = (facts.width, facts.height, facts.pages)
    assert all(number is None or number > 0 for number in numbers)
    assert facts.size == len(data)


@given(st.sampled_from(STARTS), st.binary(max_size=200))
def test_any_bytes(start: bytes, rest: bytes) -> None:
    """Any bytes give facts or an ImageError, and nothing else."""
    _judged(start + rest)


@given(
    st.sampled_from(REAL),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4)), max_size=6),
    st.floats(0, 1),
)
def test_any_damage(data: bytes, edits: list[tuple[float, bytes]], kept: float) -> None:
    """Real files overwritten in places and cut short give facts or an ImageError, and nothing else."""
    damaged = bytearray(data)
    for place, replacement in edits:
        at = int(place * len(damaged))
        damaged[at : at + len(replacement)] = replacement
    _judged(bytes(damaged[: math.ceil(kept * len(damaged))]))


@pytest.mark.parametrize("data", [data for data in REAL if data.count(b"startxref") < 2])
def test_cut_anywhere(data: bytes) -> None:
    """A real file of one revision, cut after any byte, has the pages it has or an unknown number."""
    facts = inspect_image(data)
    for end in range(8, len(data)):
        assert inspect_image(data[:end]).pages in {facts.pages, None}


# Limits


def test_limits_by_default() -> None:
    """The defaults are the vendor's numbers as far as they are known."""
    limits = ImageLimits()
    assert (limits.max_bytes, limits.max_pages, limits.max_side) == (52_428_800, 1, 8_000)
    assert limits.formats == {"jpg", "png", "pdf", "tiff"}


@pytest.mark.parametrize("field", ["max_bytes", "max_pages", "max_side"])
@pytest.mark.parametrize("value", [0, -1, True, False, "1", 1.0, math.nan, math.inf])
def test_limits_refused(field: str, value: Any) -> None:
    """A limit that is not a whole number of at least 1 is a ConfigurationError that names it."""
    with pytest.raises(
        ConfigurationError, match=rf"ImageLimits\.{field} is .*; it must be a whole number from 1; for no"
    ):
        ImageLimits(**{field: value})


@pytest.mark.parametrize("value", [None, (), "", "jpg", 3, ["gif"], ["jpg", "gif"], [3], [["jpg"]], [b"jpg"]])
def test_formats_refused(value: Any) -> None:
    """Formats that are none, not several or not the service's are a ConfigurationError."""
    with pytest.raises(ConfigurationError, match=r"ImageLimits\.formats must be some of jpg, pdf, png, tiff, not"):
        ImageLimits(formats=value)


def test_formats_by_name() -> None:
    """Formats may be given in any collection and spelling, and become one set."""
    limits = ImageLimits(formats=["jpeg", ".PNG", ImageFormat.PNG])
    assert limits.formats == frozenset({ImageFormat.JPG, ImageFormat.PNG})
    assert hash(limits) == hash(ImageLimits(formats={"jpg", "png"}))


# Judgement


@pytest.mark.parametrize(("size", "refused"), [(1, False), (100, False), (101, True), (10**11, True)])
def test_size(size: int, *, refused: bool) -> None:
    """A size is refused above the limit and not at it, without the file."""
    limits = ImageLimits(max_bytes=100)
    if not refused:
        check_size(size, "scan", limits)
        return
    with pytest.raises(
        ImageError, match=rf"image 'scan' has {size:,} bytes, more than ImageLimits.max_bytes, 100; scale"
    ):
        check_size(size, "scan", limits)


def test_size_of_nothing() -> None:
    """A size of zero is refused under any limits."""
    with pytest.raises(ImageError, match="image 'scan' is empty"):
        check_size(0, "scan", NO_LIMITS)


@pytest.mark.parametrize("data", [JPEG, PNG, PDF, TIFF])
def test_good_image(data: bytes) -> None:
    """A file of one page passes with its facts and without a warning."""
    assert check_image(Image(data), ImageLimits()) == (inspect_image(data), ())


def test_image_over_size() -> None:
    """An image is refused one byte above the size allowed, and not at it."""
    check_image(Image(PNG), ImageLimits(max_bytes=len(PNG)))
    with pytest.raises(ImageError, match="max_bytes"):
        check_image(Image(PNG), ImageLimits(max_bytes=len(PNG) - 1))


def test_image_of_refused_format() -> None:
    """A format that the limits leave out is refused, naming those left."""
    with pytest.raises(ImageError, match=r"image 'scan' is pdf, and ImageLimits\.formats allows jpg, png only"):
        check_image(Image(PDF, "scan"), ImageLimits(formats=("png", "jpg")))


@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_image_of_several_pages(kind: str) -> None:
    """A file of more pages than allowed is refused with their number and the way out."""
    image = Image(_saved(kind, 3), "scan")
    with pytest.raises(ImageError, match=r"image 'scan' has 3 pages, more than ImageLimits\.max_pages, 1; split it"):
        check_image(image, ImageLimits())
    with pytest.raises(ImageError):
        check_image(image, ImageLimits(max_pages=2))
    assert check_image(image, ImageLimits(max_pages=3))[0].pages == 3
    assert check_image(image, NO_LIMITS)[0].pages == 3


def test_pages_given() -> None:
    """A number of pages from the caller takes the place of the header's."""
    image = Image(_encrypted_pdf())
    facts, warnings = check_image(image, ImageLimits(), pages=1)
    assert (facts.pages, warnings) == (1, ())
    with pytest.raises(ImageError, match="has 2 pages"):
        check_image(image, ImageLimits(), pages=2)
    with pytest.raises(ImageError, match="image 'image' has no page"):
        check_image(image, NO_LIMITS, pages=0)


@pytest.mark.parametrize(("data", "kind"), [(_encrypted_pdf(), "pdf"), (_looping_tiff(), "tiff")])
def test_pages_unknown(data: bytes, kind: str) -> None:
    """Pages that could not be counted are a warning, and none where any number is allowed."""
    warning = f"image 'scan' is a {kind} whose pages could not be counted; the service reads files of one page only"
    assert check_image(Image(data, "scan"), ImageLimits())[1] == (warning,)
    assert check_image(Image(data, "scan"), NO_LIMITS)[1] == ()


@pytest.mark.parametrize(("width", "height", "warned"), [(8000, 8000, False), (8001, 1, True), (1, 50_000, True)])
def test_long_side(width: int, height: int, *, warned: bool) -> None:
    """A side above the limit is a warning that says how long it is."""
    image = Image(PNG[:16] + struct.pack(">II", width, height) + PNG[24:], "scan")
    warnings = check_image(image, ImageLimits())[1]
    assert len(warnings) == warned
    assert all(f"image 'scan' has a side of {max(width, height):,} pixels" in warning for warning in warnings)
    assert check_image(image, NO_LIMITS)[1] == ()


@pytest.mark.parametrize("name", ["scan", "scan.png", "scan.PNG", "png", "jpg", "a.jpg/scan", "v1.2", "scan.", ".png"])
def test_name_that_agrees(name: str) -> None:
    """A name without an extension, or with an unknown one or the data's, causes no warning."""
    assert check_image(Image(PNG, name), ImageLimits())[1] == ()


@pytest.mark.parametrize("extension", ["jpg", "JPEG", "tif", "pdf", "heic", "webp"])
def test_name_that_disagrees(extension: str) -> None:
    """A name whose extension is of another format is a warning, and the data decides."""
    warnings = check_image(Image(PNG, f"scan.{extension}"), ImageLimits())[1]
    assert warnings == (f"image 'scan.{extension}' is named .{extension.lower()} but is png; it is sent as png",)


def test_every_warning_at_once() -> None:
    """All warnings are returned together, and each names the image."""
    long_sided = TIFF[:8] + b"\x02\x00" + struct.pack("<HHII", 256, 4, 1, 9000) + struct.pack("<HHII", 257, 4, 1, 1)
    image = Image(long_sided + b"\xff" * 4, "scan.png")  # its chain leads behind its end
    warnings = check_image(image, ImageLimits(allow_truncated=True))[1]
    assert [warning.split("'")[1] for warning in warnings] == ["scan.png"] * 4


def test_errors_travel() -> None:
    """An ImageError survives pickling, as every error of the package does."""
    with pytest.raises(ImageError) as caught:
        inspect_image(b"")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own
