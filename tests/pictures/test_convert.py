from __future__ import annotations

import hashlib
import io
import struct
import zlib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from support.drawn import RECTANGLES, SIZE, as_stored, drawn, exif_of, found, overlap

from clova_ocr_async.documents.objects import BoundingPoly, Vertex
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.convert import carry_out, decode, from_pil, has_transparency
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.heic import open_heic
from clova_ocr_async.pictures.plan import Plan, plan
from clova_ocr_async.pictures.preparation import Preparation
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from support.drawn import Box, Colour

    from clova_ocr_async.pictures.picture_header import PictureHeader

FILES = Path(__file__).parent / "files"
EXIF = b"Exif\0\0"
KINDS = ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"]


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _photo(kind: str, orientation: int) -> bytes:
    if kind == "HEIC":
        return (FILES / f"orientation-{orientation}.heic").read_bytes()
    quality = {"quality": 90} if kind in {"JPEG", "WEBP", "AVIF"} else {}
    return _saved(as_stored(drawn(), orientation), kind, exif=EXIF + exif_of(orientation), **quality)


def _planned(data: bytes, limits: ImageLimits | None = None, **settings: Any) -> Plan:
    return plan(read_header(data), len(data), Preparation(**settings), limits or ImageLimits(), name="photo")


def _prepared(data: bytes, limits: ImageLimits | None = None, **settings: Any) -> tuple[bytes, Picture]:
    return carry_out(data, _planned(data, limits, **settings))


def _opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def _box(polygon: BoundingPoly) -> tuple[float, float, float, float]:
    xs = sorted(vertex.x for vertex in polygon.vertices if vertex.x is not None)
    ys = sorted(vertex.y for vertex in polygon.vertices if vertex.y is not None)
    return xs[0], ys[0], xs[-1], ys[-1]


def _corners(box: tuple[float, float, float, float]) -> BoundingPoly:
    left, top, right, bottom = box
    return BoundingPoly(vertices=(Vertex(x=left, y=top), Vertex(x=right, y=bottom)))


@cache
def _stored(orientation: int) -> tuple[Image.Image, dict[Colour, Box]]:
    """The raster that a camera stores, and where its rectangles are."""
    raster = as_stored(drawn(), orientation)
    return raster, found(raster)


# The way back


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("side", [8000, 320], ids=["full", "half"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_polygons_lie_on_the_original(kind: str, orientation: int, side: int, upright: bool) -> None:
    """A rectangle that is found in the prepared picture maps onto that of the original, as shown and as stored."""
    data = _photo(kind, orientation)
    sent, picture = _prepared(data, ImageLimits(max_side=side), upright=upright)
    raster, stored = _stored(1 if kind in {"HEIC", "AVIF"} else orientation)
    # A picture that needs no step is sent with its orientation, and its polygons stay as they were answered; here by a
    # service that does not turn it.
    as_it_is = sent == data
    prepared = raster if as_it_is else _opened(sent).convert("RGB")
    for colour, box in found(prepared).items():
        polygon, shown = _corners(box), RECTANGLES[colour]
        assert overlap(_box(picture.to_original(polygon, stored=True)), stored[colour]) > 0.98
        assert overlap(_box(picture.to_original(polygon)), stored[colour] if as_it_is else shown) > 0.98


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_prepared_pictures_are_upright(kind: str, orientation: int) -> None:
    """A prepared picture has upright pixels, no orientation, and the record of what was done."""
    sent, picture = _prepared(_photo(kind, orientation), ImageLimits(max_side=320))
    image = _opened(sent)
    assert (image.size, image.getexif().get(0x0112)) == ((320, 240), None)
    turned = (f"upright (EXIF {orientation})",) if orientation > 1 and kind not in {"HEIC", "AVIF"} else ()
    converted = {"HEIC": ("heic to jpeg",), "AVIF": ("avif to jpeg",), "WEBP": ("webp to jpeg",)}
    steps = (*converted.get(kind, ("tiff to png",) if kind == "TIFF" else ()), *turned, "scaled 0.50")
    assert (picture.steps, picture.size, picture.sent_size) == (steps, SIZE, (320, 240))
    assert picture.sha256 == hashlib.sha256(sent).hexdigest()


@pytest.mark.parametrize("factor", [3, 5])
def test_sides_that_do_not_divide(factor: int) -> None:
    """A JPEG whose sides do not divide by the decoder's scale maps back to a pixel of the original."""
    picture = drawn(2).crop((0, 0, 1279, 957))
    data = _saved(picture, "JPEG", quality=95)
    sent, record = _prepared(data, ImageLimits(max_side=1279 // factor))
    small = _opened(sent)
    boxes, truths = found(small), found(picture)
    for colour, truth in truths.items():
        mapped = _box(record.to_original(_corners(boxes[colour])))
        assert max(abs(one - other) for one, other in zip(mapped, truth, strict=True)) <= factor


def test_nothing_to_do() -> None:
    """The result of an empty plan is the file itself, with its record."""
    data = _photo("JPEG", 1)
    sent, picture = _prepared(data)
    assert sent is data
    assert picture == Picture(size=SIZE, sent_size=SIZE)
    assert carry_out(b"%PDF-1.7", Plan()) == (b"%PDF-1.7", Picture())


# Formats and colours


def _mode_of(data: bytes) -> tuple[str | None, str]:
    image = _opened(data)
    return image.format, image.mode


@pytest.mark.parametrize(
    ("image", "kind", "result"),
    [
        (drawn().convert("P"), "GIF", ("PNG", "P")),
        (drawn(), "BMP", ("PNG", "RGB")),
        (drawn(5), "BMP", ("JPEG", "RGB")),
        (drawn().convert("1"), "BMP", ("PNG", "1")),
        (drawn().convert("CMYK"), "JPEG", ("JPEG", "RGB")),
        (drawn().convert("CMYK"), "TIFF", ("PNG", "RGB")),
        (drawn().convert("L"), "AVIF", ("JPEG", "L")),
    ],
)
def test_converted(image: Image.Image, kind: str, result: tuple[str, str]) -> None:
    """A picture of another format or of other colours becomes a JPEG or a PNG that looks the same."""
    sent, _ = _prepared(_saved(image, kind))
    assert _mode_of(sent) == result
    shown, truth = _opened(sent).convert("RGB"), image.convert("RGB")
    for x, y in ((5, 5), (100, 100), (500, 100), (100, 400), (500, 400)):
        assert _near(shown.getpixel((x, y)), truth.getpixel((x, y)), 12)


def _near(one: object, other: object, most: int) -> bool:
    assert isinstance(one, tuple)
    assert isinstance(other, tuple)
    return all(abs(a - b) <= most for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("mode", "shown"), [("1", "L"), ("P", "RGB")])
def test_shrunk_few_colours(mode: str, shown: str) -> None:
    """A shrunk picture of few colours has the colours between them, so that thin lines stay."""
    sent, _ = _prepared(_saved(drawn().convert(mode), "BMP"), ImageLimits(max_side=320))
    assert _mode_of(sent) == ("PNG", shown)


@pytest.mark.parametrize(("mode", "shown"), [("1", "L"), ("P", "RGB")])
def test_few_colours_as_a_jpeg(mode: str, shown: str) -> None:
    """A picture of few colours becomes a JPEG where no PNG is allowed."""
    sent, _ = _prepared(_saved(drawn().convert(mode), "BMP"), ImageLimits(formats={"jpg"}))
    assert _mode_of(sent) == ("JPEG", shown)


def test_first_frame_of_a_gif() -> None:
    """The first frame of a GIF is sent, which the record says; comments and further frames are not unpacked."""
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "lime", "blue")]
    data = _saved(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"private")
    sent, picture = _prepared(data)
    assert picture.steps == ("gif to png", "first of 3 frames")
    assert _opened(sent).convert("RGB").getpixel((30, 20)) == (255, 0, 0)


def test_transparent_colour_of_a_gif() -> None:
    """The transparent colour of a GIF becomes white."""
    image = Image.new("P", (64, 48), 1)
    image.putpalette([0, 0, 0, 0, 0, 0])
    sent, picture = _prepared(_saved(image, "GIF", transparency=1))
    assert picture.steps == ("gif to png", "alpha on white")
    assert _opened(sent).getpixel((30, 20)) == (255, 255, 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparent_pixels_are_white(kind: str) -> None:
    """Transparent pixels become white, and half transparent ones half as dark."""
    image = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    image.paste((0, 0, 0, 128), (16, 0, 32, 48))
    image.paste((0, 0, 0, 255), (32, 0, 64, 48))
    sent, picture = _prepared(_saved(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    shown = _opened(sent)
    assert "alpha on white" in picture.steps
    assert [shown.getpixel((x, 20)) for x in (4, 20, 50)] == [(255,) * 3, (127,) * 3, (0,) * 3]


@pytest.mark.parametrize("file", ["alpha", "grey", "ten-bit"])
def test_heic(file: str) -> None:
    """HEICs with alpha, in grey and of ten bits become plain JPEGs."""
    sent, _ = _prepared((FILES / f"{file}.heic").read_bytes())
    assert _mode_of(sent) == ("JPEG", "RGB" if file == "alpha" else "L")
    if file == "ten-bit":
        assert _opened(sent).size == (64, 48)


def test_heic_of_too_many_pixels() -> None:
    """A HEIC is not decoded if it has more pixels than are allowed."""
    with pytest.raises(ValueError, match=r"^$"):
        open_heic((FILES / "grey.heic").read_bytes(), SIZE[0] * SIZE[1] - 1)


def test_avif_is_turned_by_its_container() -> None:
    """An AVIF is turned as its container says, whatever the settings, and its record counts from the turned picture."""
    sent, picture = _prepared(_photo("AVIF", 6), upright=False)
    assert (_opened(sent).size, picture.size, picture.orientation) == (SIZE, SIZE, 1)


def test_page_behind_a_thumbnail() -> None:
    """The page of a TIFF is converted, and not the thumbnail in front of it."""
    thumbnail, page = drawn().resize((64, 48)), as_stored(drawn(), 6)
    file = io.BytesIO()
    thumbnail.save(file, "TIFF", save_all=True, append_images=[page], tiffinfo={254: 1, 274: 6})
    data = bytearray(file.getvalue())
    assert data.count(NEW_SUBFILE) == 2
    at = data.rindex(NEW_SUBFILE)
    data[at : at + 12] = struct.pack("<HHII", 254, 4, 1, 0)
    sent, picture = _prepared(bytes(data))
    assert (picture.size, _opened(sent).size) == (SIZE, SIZE)
    assert overlap(found(_opened(sent))[0, 0, 220], RECTANGLES[0, 0, 220]) > 0.98


NEW_SUBFILE = struct.pack("<HHII", 254, 4, 1, 1)


# Profiles and metadata


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SECRET = b"N37 33 59 E126 58 40"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_metadata_leaves(kind: str) -> None:
    """A prepared picture keeps its colour profile, and no EXIF, comment or text."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, SECRET.decode()
    options: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": SRGB}
    if kind == "JPEG":
        options["comment"] = SECRET
    image = as_stored(drawn(), 6)
    image.info["comment"] = SECRET
    data = _saved(image, kind, **options)
    assert SECRET in data
    sent, _ = _prepared(data)
    info = _opened(sent).info
    assert SECRET not in sent
    assert info["icc_profile"] == SRGB
    assert not {"exif", "comment", "xmp", "Description"} & set(info)


def test_profile_of_other_colours_goes() -> None:
    """The profile of a grey picture is left out, as the result may be of other colours."""
    sent, _ = _prepared(_saved(as_stored(drawn(), 6).convert("L"), "JPEG", exif=EXIF + exif_of(6), icc_profile=SRGB))
    assert "icc_profile" not in _opened(sent).info


# The limit of bytes


def _noise(side: int) -> Image.Image:
    return Image.effect_noise((side, side), 100).convert("RGB")


def test_writing_anew_may_suffice() -> None:
    """A picture over the limit of bytes that fits once it is written anew has a record that says so."""
    data = _saved(_noise(400), "JPEG", quality=100)
    sent, picture = _prepared(data, ImageLimits(max_bytes=len(data) - 1))
    assert len(sent) < len(data)
    assert picture.steps == ("compressed",)


def test_quality_first() -> None:
    """A picture over the limit of bytes keeps its sides if a lower quality suffices."""
    data = _saved(_noise(400), "JPEG", quality=95)
    sent, picture = _prepared(data, ImageLimits(max_bytes=len(data) * 2 // 3))
    assert len(sent) <= len(data) * 2 // 3
    assert picture.steps[-1].startswith("compressed (quality ")
    assert picture.sent_size == (400, 400)


def test_then_fewer_pixels() -> None:
    """A picture that no quality makes fit is scaled down, which its record says."""
    data = _saved(_noise(400), "JPEG", quality=95)
    sent, picture = _prepared(data, ImageLimits(max_bytes=len(data) // 8), quality=70)
    assert len(sent) <= len(data) // 8
    assert picture.steps == ("scaled 0.50", "compressed (quality 70)")
    assert picture.sent_size == (200, 200)


def test_png_that_becomes_too_large() -> None:
    """A PNG over the limit of bytes becomes a JPEG, which its record says."""
    for data in (_saved(_noise(400), "BMP"), _saved(_noise(400), "TIFF")):
        sent, picture = _prepared(data, ImageLimits(max_bytes=200_000))
        assert _opened(sent).format == "JPEG"
        assert picture.steps[0] in {"bmp to jpeg", "tiff to jpeg"}
        assert not any("png" in step for step in picture.steps)


def test_limit_that_nothing_meets() -> None:
    """A picture that does not fit at a quarter of its sides is refused."""
    data = _saved(_noise(400), "JPEG", quality=95)
    with pytest.raises(ImageError, match=r"does not fit into ImageLimits\.max_bytes, 500, not even at a quarter"):
        _prepared(data, ImageLimits(max_bytes=500))


# Broken files


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated(kind: str, share: float) -> None:
    """A picture without its end is refused as truncated when it is decoded."""
    options: dict[str, Any] = {"tiffinfo": {274: 6}} if kind == "TIFF" else {"exif": EXIF + exif_of(6)}
    data = _saved(_noise(200), kind, **options)
    with pytest.raises(ImageError) as caught:
        _prepared(data[: int(len(data) * share)])
    assert caught.value.truncated
    assert "'photo' is cut off" in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_broken(kind: str) -> None:
    """A picture whose pixels are garbage ends in an ImageError, or is decoded; nothing else leaves."""
    data = bytearray(_photo(kind, 6))
    middle = len(data) // 2
    data[middle : middle + 400] = b"\xff" * len(data[middle : middle + 400])
    with suppress(ImageError):
        _prepared(bytes(data), ImageLimits(max_side=320))


def test_broken_by_name() -> None:
    """The error of a broken picture names its format, and none of its bytes."""
    data = _saved(drawn(), "WEBP", exif=EXIF + exif_of(6))
    start = data.index(b"VP8 ") + 8
    with pytest.raises(ImageError) as caught:
        _prepared(data[: start + 10] + bytes(len(data) - start - 10))
    assert str(caught.value).startswith("image 'photo' is a broken WebP, and cannot be decoded (")


def test_gif_larger_than_its_screen() -> None:
    """A GIF is judged by its first frame if that is larger than its screen."""
    head = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 1, 2, 9_459, 9_458, 0) + b"\x02\x02\x44\x01\x00;"
    with pytest.raises(ImageError, match="has 9,460 x 9,460 pixels, and pictures of more than"):
        _prepared(head + frame + bytes(20))


def test_larger_than_its_header_said() -> None:
    """A picture that turns out to be larger than is decoded is refused before it is decoded."""
    data = _saved(Image.new("1", (9_460, 9_460)), "BMP")
    with pytest.warns(Image.DecompressionBombWarning), pytest.raises(ImageError, match="9,460 pixels, more than its"):
        carry_out(data, _with_header(read_header(_saved(Image.new("1", (4, 4)), "BMP"))))


def test_webp_that_lies_about_its_size() -> None:
    """A WebP whose canvas is smaller than its frame is refused."""
    data = bytearray(_saved(drawn(), "WEBP", exif=EXIF + exif_of(6)))
    at = data.index(b"VP8X") + 8
    data[at + 4 : at + 10] = b"\x03\0\0\x03\0\0"
    with pytest.raises(ImageError, match="is a broken WebP"):
        _prepared(bytes(data))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def test_png_with_bombs_of_text() -> None:
    """Texts and profiles that unpack to gigabytes are not unpacked."""
    bomb = b"a\0\0" + zlib.compress(bytes(50_000_000))
    data = _saved(as_stored(drawn(), 6), "PNG", exif=exif_of(6))
    texts = _chunk(b"zTXt", bomb) * 40 + _chunk(b"iTXt", b"a\0\x01\0\0\0" + bomb[3:]) * 40
    sent, _ = _prepared(data[:33] + texts + data[33:])
    assert _opened(sent).size == SIZE


def test_jpeg_whose_segments_form_no_chain() -> None:
    """A JPEG with a segment of no length in front of its frame is left to its decoder, which passes over it."""
    data = _photo("JPEG", 6)
    sent, _ = carry_out(data[:2] + b"\xff\xe0\x00\x00" + data[2:], _with_header(read_header(data)))
    assert _opened(sent).size == SIZE


def _with_header(header: PictureHeader | None) -> Plan:
    return Plan(header=header, steps=("upright (EXIF 6)",), size=SIZE)


@pytest.mark.parametrize("data", [b"GIF89a" + bytes(20), b"GIF89a" + bytes(7) + b"\x21\xfe\x01a\x00" * 9])
def test_gif_without_a_frame(data: bytes) -> None:
    """A GIF that has no frame is refused by its decoder."""
    with pytest.raises(ImageError, match="is a broken GIF"):
        carry_out(data, _with_header(read_header(_saved(drawn(), "GIF"))))


def test_jpeg_without_a_scan() -> None:
    """A JPEG that ends in front of its scan is refused as truncated."""
    data = _photo("JPEG", 6)
    with pytest.raises(ImageError) as caught:
        _prepared(data[: data.index(b"\xff\xda")])
    assert caught.value.truncated


def test_without_the_library_for_heic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its extra a HEIC is refused with the line that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    monkeypatch.delitem(__import__("sys").modules, "clova_ocr_async.pictures.heic", raising=False)
    with pytest.raises(ImageError, match=r"a HEIC needs pillow_heif: pip install 'clova-ocr-async\[heic\]'"):
        _prepared(_photo("HEIC", 1))


# PIL images


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16", "RGBX"])
def test_pil_images(mode: str) -> None:
    """A PIL image of any mode is written as a PNG of its size."""
    image = Image.new(mode, (64, 48))
    data, picture = from_pil(image)
    assert (_opened(data).format, _opened(data).size) == ("PNG", (64, 48))
    assert picture.steps == ("PIL image to png",)
    assert (picture.size, picture.sent_size) == ((64, 48), (64, 48))
    assert picture.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_pil_images_with_alpha(mode: str) -> None:
    """Transparent pixels of a PIL image become white."""
    data, _ = from_pil(Image.new("RGBA", (8, 8), (0, 0, 0, 0)).convert("RGBA" if mode != "La" else "LA").convert(mode))
    assert _opened(data).convert("L").getpixel((4, 4)) == 255


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pil_image_from_a_jpeg(mode: str) -> None:
    """An image that was opened from a JPEG stays a JPEG, nearly as it was, without its metadata, and is not changed."""
    source = _saved(as_stored(drawn(), 6).convert(mode), "JPEG", quality=80, exif=EXIF + exif_of(6), comment=SECRET)
    image = Image.open(io.BytesIO(source))
    data, picture = from_pil(image)
    written = _opened(data)
    assert (written.format, written.size, picture.steps) == ("JPEG", image.size, ("PIL image to jpeg",))
    assert SECRET not in data
    assert image.info["comment"] == SECRET
    assert abs(len(data) - len(source)) < len(source) / 4
    assert written.getexif().get(0x0112) is None


def test_pil_image_of_a_broken_file() -> None:
    """A PIL image whose file is cut off, and one without pixels, are refused."""
    cut = Image.open(io.BytesIO(_photo("JPEG", 1)[:2000]))
    for image in (cut, Image.new("RGB", (0, 0))):
        with pytest.raises(ImageError, match="the PIL image cannot be written"):
            from_pil(image)


# Any bytes


SMALL = [
    *(_saved(drawn().resize((32, 24)), kind) for kind in ("BMP", "GIF", "AVIF")),
    *(_saved(drawn().resize((32, 24)), kind, exif=EXIF + exif_of(6)) for kind in ("JPEG", "PNG", "WEBP", "TIFF")),
    (FILES / "ten-bit.heic").read_bytes(),
]


@settings(max_examples=150)
@given(st.sampled_from(SMALL), st.data())
def test_damaged_files(data: bytes, draw: st.DataObject) -> None:
    """A picture that is changed at random is prepared, or refused with an ImageError; nothing else is raised."""
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 5))):
        damaged[draw.draw(st.integers(0, len(damaged) - 1))] = draw.draw(st.integers(0, 255))
    with suppress(ImageError):
        _prepared(bytes(damaged), ImageLimits(max_side=16))


HUGE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (20_000).to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00" + bytes(4)


def test_what_cannot_be_decoded_is_refused() -> None:
    """Bytes that are not a picture, and a picture of too many pixels, are refused before anything decodes them."""
    with pytest.raises(ImageError, match="is not a picture that can be decoded"):
        decode(b"text", "a.txt")
    with pytest.raises(ImageError, match="more than 89,478,485 pixels"):
        decode(HUGE, "a.png")
    assert has_transparency(b"text")
    assert has_transparency(HUGE)
