"""Pictures with the fields that were read."""

from __future__ import annotations

import io
from types import SimpleNamespace

import msgspec
import pytest
from PIL import Image
from support.masked_samples import draw, encoded, move

from clova_ocr_async.documents import IdCard, Passport, Recognition
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.results import annotate

BLUE, ORANGE, RED, GREY = (0, 95, 158), (168, 84, 0), (179, 18, 58), (85, 85, 95)


def colours_around(picture: Image.Image, corners: list[tuple[float, float]]) -> set[tuple[int, ...]]:
    """Return the colours near the edges of a polygon."""
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    box = (round(min(xs)) - 6, round(min(ys)) - 6, round(max(xs)) + 6, round(max(ys)) + 6)
    return {colour for _, colour in picture.crop(box).getcolors(1 << 20) or []}  # type: ignore[misc]


@pytest.mark.parametrize(("form", "orientation"), [("jpg", 6), ("png", 1), ("tiff", 3), ("pdf", 1)])
def test_each_value_has_a_box_on_the_upright_original(form: str, orientation: int) -> None:
    """Of every format the result is a PNG with the upright original at its top left, and boxes where values stand."""
    sample = draw("id-card", 1, "standard")
    for index, cells in enumerate(sample.answer["result"]["dl"].values()):
        cells[0]["confidenceScore"] = (0.95, 0.8, 0.3)[index % 3]
    recognition = sample.recognition(converted=form in {"tiff", "pdf"})
    picture = Image.open(io.BytesIO(annotate(encoded(sample.picture, form, orientation), recognition))).convert("RGB")
    assert picture.width > sample.picture.width
    assert picture.height >= sample.picture.height
    for cells, colour in zip(sample.answer["result"]["dl"].values(), 4 * (BLUE, ORANGE, RED), strict=False):
        for polygon in cells[0]["boundingPolys"]:
            corners = [(vertex["x"], vertex["y"]) for vertex in polygon["vertices"]]
            assert colour in colours_around(picture, corners)
    corner = picture.crop((0, 0, 40, 40)).resize((1, 1)).getpixel((0, 0))
    assert corner == pytest.approx((217, 214, 207), abs=4)


def test_values_without_a_confidence_have_a_style_of_their_own() -> None:
    """If the answer has no confidences, or 0 for each, boxes are grey and no number is claimed."""
    sample = draw("biz-license", 1, "standard")
    picture = Image.open(io.BytesIO(annotate(encoded(sample.picture, "png"), sample.recognition())))
    assert {GREY} == {colour for _, colour in picture.getcolors(1 << 20) or []} & {BLUE, ORANGE, RED, GREY}


def test_a_long_list_takes_several_columns_and_long_texts_end_early() -> None:
    """However many and long the values are, each has its place in the list, and the picture stays as it is."""
    sample = draw("id-card", 0, "standard")
    fields = sample.answer["result"]["ic"]
    text = "가나다 라마바사 " * 60 + "\u202e\n\x07"
    fields["address"] = [{**fields["address"][0], "text": text, "formatted": {"value": text}}] * 30
    fields["name"][0] |= {"text": "x" * 500, "formatted": {"value": "x" * 500}}
    picture = Image.open(io.BytesIO(annotate(encoded(sample.picture, "png"), sample.recognition())))
    assert picture.width > 2 * sample.picture.width
    assert picture.height == sample.picture.height


def test_values_without_a_place_are_in_the_list_alone() -> None:
    """A passport has no polygons: its values are listed; nothing is drawn on the picture, be it narrow and small."""
    small = Image.new("RGB", (300, 40), "white")
    recognition = Recognition.from_dict({"passport": {"passportResult": {"age": {"refinedText": 36}}}}, Passport)
    picture = Image.open(io.BytesIO(annotate(small, recognition))).convert("RGB")
    assert picture.crop((0, 0, 300, 40)).getcolors() == [(12_000, (255, 255, 255))]
    assert len(picture.getcolors(1 << 20) or []) > 10
    nothing = Recognition.from_dict({"idCard": {"result": {}}}, IdCard)
    assert Image.open(io.BytesIO(annotate(small, nothing))).size == (615, 627)


@pytest.mark.parametrize("far", [1e9, -1e300])
def test_a_polygon_far_from_every_picture_is_not_drawn(far: float) -> None:
    """A broken coordinate costs the box of its value: the dashes of a line to it would never end."""
    sample = draw("id-card", 0, "standard")
    name = sample.answer["result"]["ic"]["name"][0]
    name["confidenceScore"] = 0.5
    name["boundingPolys"][0]["vertices"][1]["x"] = far
    picture = Image.open(io.BytesIO(annotate(encoded(sample.picture, "png"), sample.recognition())))
    shown = picture.crop((0, 0, *sample.picture.size))
    assert {BLUE, ORANGE, RED} & {colour for _, colour in shown.getcolors(1 << 20) or []} == {BLUE}


def test_a_picture_that_has_changed_is_refused() -> None:
    """A picture of another size is not drawn on, as its boxes would lie anywhere."""
    sample = draw("id-card", 0, "standard")
    tall = sample.picture.rotate(90, expand=True)
    recognition = sample.recognition()
    recognition = msgspec.structs.replace(
        recognition, picture=msgspec.structs.replace(recognition.picture, size=(900, 660), sent_size=(900, 660))
    )
    with pytest.raises(ImageError, match="has changed"):
        annotate(encoded(tall, "png"), recognition)
    move(sample.answer, lambda x, y: (x, y))
    assert annotate(encoded(sample.picture, "png"), recognition).startswith(b"\x89PNG")


def test_labels_need_a_font_with_hangul(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a font that has Hangul the extra is named, since the labels would be boxes."""
    monkeypatch.setattr("clova_ocr_async.pictures.typeface.find_typeface", lambda: SimpleNamespace(hangul=False))
    with pytest.raises(ConfigurationError, match="pip install"):
        annotate(b"", Recognition(document=IdCard()))
