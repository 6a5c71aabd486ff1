import io
import math
import random

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed
import pytest
from PIL import Image, ImageDraw

from clova_ocr_async.emulator import GroundTruth, find_ground_truth
from clova_ocr_async.emulator.samples.canvas import (
    FORMATS,
    MAX_JPEG_COMMENT,
    PDF_DOTS_PER_INCH,
    Canvas,
    Format,
    Style,
    encode,
)
from clova_ocr_async.emulator.samples.placed_words import Polygon
from clova_ocr_async.pictures.typeface import Typeface, find_typeface

HANGUL, LATIN = find_typeface(), Typeface(None)
TRUTH = GroundTruth("receipt", 400, 240, {"result": {"text": "견본"}})

both = pytest.mark.parametrize("typeface", [HANGUL, LATIN], ids=["hangul", "latin"])
turned = pytest.mark.parametrize("tilt", [0.0, 2.5, -4.0])


def written(typeface: Typeface, tilt: float) -> Canvas:
    """Write some words of many shapes."""
    canvas = Canvas((400, 240), typeface, tilt=tilt, background="#e0ded8")
    canvas.draw_card((20, 20, 380, 220), "#ffffff", radius=10)
    canvas.draw_specimen_mark()
    canvas.draw_portrait((300, 120, 370, 210))
    canvas.draw_line((30, 110), (370, 110))
    canvas.write("Jumping 16,960 . -", (40, 60), Style(24))
    canvas.write("안녕 세상" if typeface.hangul else "Good day", (200, 100), Style(28, bold=True, anchor="middle"))
    canvas.write("P<UTO<<A", (280, 150), Style(20, pitch=18, anchor="right"))
    canvas.write_lines("12 Bogi-ro, Gyeonbon-gu, Gasang", (40, 180), Style(16), 130)
    return canvas


def cut(picture: Image.Image, polygon: Polygon) -> Image.Image:
    """Cut a polygon out of a picture and lay it straight, in grey."""
    first, second, third, fourth = polygon
    size = (max(1, round(math.dist(first, second))), max(1, round(math.dist(second, third))))
    corners = (*first, *fourth, *third, *second)
    return picture.convert("L").transform(size, Image.Transform.QUAD, corners, Image.Resampling.BILINEAR)


def darkest(picture: Image.Image) -> int:
    """Return the darkest pixel of a grey picture."""
    return next(level for level, count in enumerate(picture.convert("L").histogram()) if count)


@both
@turned
def test_every_polygon_is_tight_around_ink(typeface: Typeface, tilt: float) -> None:
    """Ink lies in every word's polygon and comes within two pixels of each of its sides."""
    canvas = written(typeface, tilt)
    picture = canvas.render()
    assert len(canvas.words) == 11
    for word in canvas.words:
        piece = cut(picture, word.polygon)
        width, height = piece.size
        sides = [(0, 0, 2, height), (width - 2, 0, width, height), (0, 0, width, 2), (0, height - 2, width, height)]
        assert darkest(piece) < 110, word.text
        assert all(darkest(piece.crop(side)) < 215 for side in sides), word.text


@both
@turned
def test_no_ink_is_outside_the_polygons(typeface: Typeface, tilt: float) -> None:
    """Outside the words' polygons no pixel is dark: neither SPECIMEN, cards, lines nor portraits."""
    canvas = written(typeface, tilt)
    picture = canvas.render()
    assert darkest(picture) < 60
    for word in canvas.words:
        ways = ((-2, -2), (2, -2), (2, 2), (-2, 2))
        grown = [(x + right, y + down) for (x, y), (right, down) in zip(word.polygon, ways, strict=True)]
        ImageDraw.Draw(picture).polygon(grown, fill="white")
    assert darkest(picture) > 140


@both
def test_specimen_is_there_and_pale(typeface: Typeface) -> None:
    """SPECIMEN tints a good part of the picture, and no pixel of it is anywhere near as dark as ink."""
    canvas = Canvas((900, 600), typeface)
    canvas.draw_specimen_mark()
    grey = canvas.render().convert("L")
    tinted = sum(grey.histogram()[:254])
    assert 0.03 < tinted / (900 * 600) < 0.3
    assert darkest(grey) > 220
    assert all(darkest(grey.crop(margin)) == 255 for margin in [(0, 0, 900, 20), (0, 580, 900, 600), (0, 0, 20, 600)])


@both
def test_a_polygon_goes_clockwise_from_the_top_left(typeface: Typeface) -> None:
    """The corners come in the vendor's order."""
    (word,) = Canvas((200, 100), typeface).write("Word", (50, 60), Style(30))
    left, top, right, bottom = word.box
    assert word.polygon == ((left, top), (right, top), (right, bottom), (left, bottom))


@both
@pytest.mark.parametrize("style", [Style(30), Style(30, pitch=24)])
def test_a_tail_is_the_end_of_the_word(typeface: Typeface, style: Style) -> None:
    """The polygon of a word's last characters shares its right side and begins where they begin."""
    canvas = Canvas((500, 100), typeface)
    (word,) = canvas.write("910623-9912345", (30, 60), style, tail=7)
    (whole,) = Canvas((500, 100), typeface).write("910623-9912345", (30, 60), style)
    begin = 30 + canvas.text_width("910623-", style)
    assert word.tail[1:3] == word.polygon[1:3] or word.tail[1].x == word.polygon[1].x
    assert begin - 2 <= word.tail[0].x <= begin + style.size / 2
    assert whole.polygon == whole.tail == word.polygon


@both
def test_an_anchor_says_which_end_of_the_text_is_given(typeface: Typeface) -> None:
    """The same text stands left of, around or right of its place."""
    canvas = Canvas((600, 100), typeface)
    left, middle, right = (
        canvas.write("two words", (300, 50), Style(20, anchor=end)) for end in ("left", "middle", "right")
    )
    assert 298 <= left[0].polygon[0].x <= 304
    assert abs(middle[0].polygon[0].x - 300 - (300 - middle[1].polygon[1].x)) <= 4
    assert 296 <= right[1].polygon[1].x <= 302


@both
def test_long_texts_go_on_in_the_next_line(typeface: Typeface) -> None:
    """No line is longer than it may be, and a word that is longer by itself stands alone."""
    canvas = Canvas((400, 400), typeface)
    words = canvas.write_lines("one two three incomprehensibilities four", (20, 40), Style(20), 120)
    assert [word.text for word in words] == ["one", "two", "three", "incomprehensibilities", "four"]
    assert all(word.box[2] <= 20 + 120 for word in words if len(word.text) < 10)
    assert words[3].box[0] < 25
    assert words[3].box[1] > words[2].box[3]


@both
def test_around_words_is_around_all_of_them(typeface: Typeface) -> None:
    """The polygon around words is their polygons' hull before the picture is turned."""
    canvas = Canvas((400, 100), typeface)
    words = canvas.write("0412 jQ 8831", (20, 50), Style(30))
    boxes = [word.box for word in words]
    (left, top), _, (right, bottom), _ = canvas.bounding_polygon(words)
    assert (left, right) == (boxes[0][0], boxes[2][2])
    assert (top, bottom) == (min(box[1] for box in boxes), max(box[3] for box in boxes))


def test_a_word_without_ink_is_refused() -> None:
    """A word that leaves no ink is refused, because it has no place."""
    with pytest.raises(ValueError, match="leaves no ink"):
        Canvas((100, 50), HANGUL).write("\u3164", (10, 30), Style())


def test_the_hangul_font_is_found_only_where_it_is_installed() -> None:
    """Without the package or its font file the letters are Latin; with both they include Hangul."""
    assert find_typeface().hangul
    assert not find_typeface("no_such_font_package").hangul
    assert not find_typeface("json", "NoSuchFont.otf").hangul
    assert not find_typeface("ast", "NoSuchFont.otf").hangul


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_opens_everywhere_and_carries_the_truth(format_: Format) -> None:
    """A file of each format opens in that format, shows the picture, and contains the ground truth."""
    picture = written(LATIN, 1.5).render()
    data = encode(picture, format_, TRUTH)
    assert find_ground_truth(data) == TRUTH
    assert data == encode(picture, format_, TRUTH)
    opened = pdf_page(data) if format_ == "pdf" else Image.open(io.BytesIO(data)).convert("RGB")
    assert opened.size == picture.size
    assert mean_difference(opened, picture) < 4


def pdf_page(data: bytes) -> Image.Image:
    """Draw the only page of a PDF file."""
    document = pdfium.PdfDocument(data)
    assert len(document) == 1
    page: Image.Image = document[0].render(scale=PDF_DOTS_PER_INCH / 72).to_pil()
    document.close()
    return page


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean difference of the pixels of two pictures, from 0 to 255."""
    pairs = zip(one.convert("L").tobytes(), other.convert("L").tobytes(), strict=True)
    return sum(abs(first - second) for first, second in pairs) / (one.width * one.height)


@pytest.mark.parametrize("format_", ["png", "tiff", "pdf"])
def test_a_long_truth_fits_most_formats(format_: Format) -> None:
    """A truth beyond 64 KiB stays whole in a PNG, a TIFF and a PDF file."""
    assert find_ground_truth(encode(Image.new("RGB", (40, 30)), format_, long_truth())) == long_truth()


def test_a_long_truth_does_not_fit_a_jpeg_comment() -> None:
    """A truth that a JPEG comment cannot hold is refused rather than cut."""
    with pytest.raises(ValueError, match=str(MAX_JPEG_COMMENT)):
        encode(Image.new("RGB", (40, 30)), "jpg", long_truth())


def long_truth() -> GroundTruth:
    """Make a truth that cannot be packed into 64 KiB."""
    return GroundTruth("receipt", 40, 30, {"text": random.Random(1).randbytes(60_000).hex()})  # noqa: S311 - not a secret
