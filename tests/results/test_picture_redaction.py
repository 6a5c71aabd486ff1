"""Masked copies of pictures."""

from __future__ import annotations

import io
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from PIL import Image
from support.masked_samples import SAMPLES, draw, encoded, ink_left, move, to_stored

from clova_ocr_async import results
from clova_ocr_async.documents import DOCUMENTS, IdCard, Passport, Receipt, Recognition
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import ConfigurationError, RedactionError
from clova_ocr_async.pictures import Page, Preparation
from clova_ocr_async.pictures.convert import carry_out
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.plan import plan
from clova_ocr_async.protocol.image import Image as SentImage
from clova_ocr_async.protocol.image import ImageLimits
from clova_ocr_async.results import redact_image

if TYPE_CHECKING:
    from pathlib import Path

    from support.masked_samples import MaskedSample

DARK = 16  # of 255: JPEG leaves some noise in black
CARD = draw("id-card", 0, "standard")
PNG = encoded(CARD.picture, "png")


def opened(data: bytes) -> Image.Image:
    """Return a masked picture, which holds nothing but pixels."""
    picture = Image.open(io.BytesIO(data))
    assert not set(picture.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    assert b"CANARY" not in data
    return picture


def changed(recognition: Recognition[Any], change: Any) -> Recognition[Any]:
    """Return a recognition with a changed answer."""
    answer = msgspec.json.decode(recognition.raw)
    change(answer["images"][0])
    again = Recognition.from_dict(answer, type(recognition.document))
    return msgspec.structs.replace(again, picture=recognition.picture)


def personal(image: dict[str, Any]) -> dict[str, Any]:
    """Return the resident number's object of an ID card."""
    found: dict[str, Any] = image["idCard"]["result"]["ic"]["personalNum"][0]
    return found


@pytest.mark.parametrize(("document", "seed"), SAMPLES)
@pytest.mark.parametrize("policy", ["standard", "all"])
def test_no_ink_of_a_masked_digit_is_left(document: str, seed: int, policy: Any) -> None:
    """Every hidden digit of every sample is black, on a straight picture and on one that lies askew."""
    for angle, form in ((0, "png"), (7, "jpg")):
        sample = draw(document, seed, policy, angle)
        masked = opened(redact_image(encoded(sample.picture, form), sample.recognition(), policy))
        assert masked.format == {"png": "PNG", "jpg": "JPEG"}[form]
        assert masked.size == sample.picture.size
        assert ink_left(masked, sample.hidden) <= DARK


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["jpg", "png", "tiff"])
def test_the_copy_is_upright_and_masked_whether_the_service_turned_the_picture_or_not(
    form: str, orientation: int
) -> None:
    """For each orientation the digits are black on the upright copy, for polygons of either raster."""
    sample = draw("id-card", 1, "standard")
    data = encoded(sample.picture, form, orientation)
    size = sample.picture.size[::-1] if orientation > 4 else sample.picture.size
    place = to_stored(sample.picture.size, orientation)
    stored = sample.recognition(converted=size if form == "tiff" else None, place=place)
    for recognition in (sample.recognition(converted=form == "tiff"), stored):
        masked = opened(redact_image(data, recognition))
        assert masked.size == sample.picture.size
        assert ink_left(masked, sample.hidden) <= DARK


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_prepared_picture_is_masked_on_the_original(orientation: int) -> None:
    """Polygons of a picture that was turned and shrunk before it was sent lead to the original."""
    sample = draw("id-card", 1, "standard")
    data = encoded(sample.picture, "jpg", orientation)
    steps = plan(read_header(data), len(data), Preparation(), ImageLimits(max_side=450))
    _, picture = carry_out(data, steps)
    assert list(picture.sent_size or ()) == [450, 330]
    recognition = sample.recognition(place=lambda x, y: (x / 2, y / 2))
    recognition = msgspec.structs.replace(recognition, picture=picture)
    assert ink_left(opened(redact_image(data, recognition)), sample.hidden) <= DARK


def test_a_pdf_and_its_pages_become_pictures(tmp_path: Path) -> None:
    """A page of a PDF is drawn in the size that the polygons refer to, named by a Page or by the recognition."""
    sample = draw("id-card", 2, "all")
    single = opened(redact_image(encoded(sample.picture, "pdf"), sample.recognition(converted=True), "all"))
    assert (single.format, single.size) == ("PNG", sample.picture.size)
    assert ink_left(single, sample.hidden) <= DARK
    file = tmp_path / "two.pdf"
    Image.new("RGB", (300, 300), "white").save(file, save_all=True, append_images=[sample.picture], resolution=150)
    recognition = sample.recognition(converted=True)
    masked = redact_image(Page(file, 2), recognition, "all")
    assert ink_left(opened(masked), sample.hidden) <= DARK
    of_page = msgspec.structs.replace(recognition, picture=Picture(page=2))
    assert redact_image(str(file), of_page, "all") == masked
    for image in (file, Page(file, 1), Page(file, 3)):
        with pytest.raises(RedactionError, match=r"2 pages|another ratio"):
            redact_image(image, recognition, "all")


def test_a_page_of_a_tiff_is_masked(tmp_path: Path) -> None:
    """Of a TIFF of several pages the right one is copied."""
    file = tmp_path / "two.tiff"
    Image.new("RGB", (300, 300)).save(file, save_all=True, append_images=[CARD.picture.copy()])
    masked = redact_image(Page(file, 2), CARD.recognition(converted=True))
    assert ink_left(opened(masked), CARD.hidden) <= DARK
    with pytest.raises(RedactionError, match="2 pages"):
        redact_image(file, CARD.recognition(converted=True))
    with pytest.raises(RedactionError, match="does not state the size"):
        redact_image(Page(file, 2), CARD.recognition())


def test_every_kind_of_source_gives_the_same_copy(tmp_path: Path) -> None:
    """A path, bytes, a file, an Image and a PIL image are taken as for a call."""
    file = tmp_path / "card.png"
    file.write_bytes(PNG)
    expected = redact_image(PNG, CARD.recognition())
    with file.open("rb") as stream:
        sources: list[Any] = [file, str(file), bytearray(PNG), stream, SentImage(PNG), Image.open(file)]
        assert [redact_image(source, CARD.recognition()) == expected for source in sources] == [True] * 6


def test_what_is_outside_the_covers_stays() -> None:
    """A masked PNG differs from the original inside the covers alone, and the date of birth stays readable."""
    before, after = CARD.picture.convert("RGB"), opened(redact_image(PNG, CARD.recognition())).convert("RGB")
    (corners,) = CARD.hidden
    left, right = min(x for x, _ in corners), max(x for x, _ in corners)
    top, bottom = min(y for _, y in corners), max(y for _, y in corners)
    different = [
        (x, y)
        for x in range(0, before.width, 2)
        for y in range(0, before.height, 2)
        if before.getpixel((x, y)) != after.getpixel((x, y))
    ]
    assert different
    assert all(left - 30 <= x <= right + 8 and top - 8 <= y <= bottom + 8 for x, y in different)


def test_a_resident_number_without_masking_polygons_is_covered_whole() -> None:
    """Without the service's mark it is not certain which end has the hidden digits, so the whole number goes."""
    recognition = changed(CARD.recognition(), lambda image: personal(image).update(maskingPolys=[]))
    word = personal(msgspec.json.decode(recognition.raw)["images"][0])["boundingPolys"][0]
    corners = [(vertex["x"], vertex["y"]) for vertex in word["vertices"]]
    assert ink_left(opened(redact_image(PNG, recognition)), [corners]) == 0


def test_a_number_that_stands_upside_down_is_covered_at_its_end() -> None:
    """On a picture that lies on its head the masked end is the left one, and that is covered."""
    sample = draw("id-card", 0, "standard")
    width, height = sample.picture.size

    def turn(x: float, y: float) -> tuple[float, float]:
        return width - x, height - y

    move(sample.answer, turn)
    data = encoded(sample.picture.transpose(Image.Transpose.ROTATE_180), "png")
    hidden = [[turn(*corner) for corner in corners] for corners in sample.hidden]
    masked = opened(redact_image(data, sample.recognition()))
    assert ink_left(masked, hidden) == 0
    polygons = personal(msgspec.json.decode(sample.recognition().raw)["images"][0])["boundingPolys"]
    whole = [[(vertex["x"], vertex["y"]) for vertex in polygons[0]["vertices"]]]
    assert ink_left(masked, whole) > DARK


@pytest.mark.parametrize(
    "mask",
    [
        [{"x": 0, "y": 0}, {"x": 90, "y": 0}, {"x": 90, "y": 30}, {"x": 0, "y": 30}],
        [{"x": 430, "y": 250}, {"x": 440, "y": 250}, {"x": 440, "y": 270}, {"x": 430, "y": 270}],
    ],
    ids=["elsewhere", "too small"],
)
def test_masking_polygons_in_odd_places_are_not_believed(mask: list[dict[str, int]]) -> None:
    """If the service's mark does not fit the number, the whole number is covered beside the mark."""
    recognition = changed(CARD.recognition(), lambda image: personal(image).update(maskingPolys=[{"vertices": mask}]))
    assert ink_left(opened(redact_image(PNG, recognition)), CARD.hidden) == 0


def test_the_same_number_elsewhere_is_covered() -> None:
    """A second copy of a hidden number in another field is covered, and so is a place where nothing was read."""
    box = {"vertices": [{"x": x, "y": y} for x, y in ((300, 480), (500, 480), (500, 520), (300, 520))]}

    def copy(image: dict[str, Any]) -> None:
        number = personal(image)["text"].replace("-", "")
        image["idCard"]["result"]["ic"]["authority"] = [{"text": f"no. {number}", "boundingPolys": [box, box]}]

    def unread(image: dict[str, Any]) -> None:
        image["idCard"]["result"]["ic"]["personalNum"].append({"text": "", "boundingPolys": [box]})

    for change in (copy, unread):
        masked = redact_image(PNG, changed(CARD.recognition(), change))
        assert ink_left(opened(masked), [[(300, 480), (500, 480), (500, 520), (300, 520)]]) == 0
    assert redact_image(PNG, CARD.recognition()) != masked


OUTSIDE = {"vertices": [{"x": x, "y": y} for x, y in ((890, 200), (1200, 200), (1200, 230), (890, 230))]}
FLAT = {"vertices": [{"x": x, "y": 10} for x in (0, 10, 20, 30)]}
ODD = {"vertices": [{"x": "a", "y": 10}, {"x": 1, "y": 1}, {"x": 5, "y": 9}]}


def _without_places(image: dict[str, Any]) -> None:
    del personal(image)["boundingPolys"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_places, r"'idCard\.result\.ic\.personalNum\[0\]' must be hidden, and the answer has no polygon"),
        (lambda image: personal(image).update(boundingPolys=[]), "no polygon"),
        (lambda image: personal(image).update(boundingPolys=[{}]), "no polygon"),
        (lambda image: personal(image).update(boundingPolys=[OUTSIDE], maskingPolys=[]), "mostly outside"),
        (lambda image: personal(image).update(maskingPolys=[OUTSIDE]), "mostly outside"),
        (lambda image: personal(image).update(boundingPolys=[FLAT], maskingPolys=[]), "without an area"),
        (lambda image: personal(image).update(boundingPolys=[ODD]), "without an area"),
        (lambda image: personal(image).update(text="900101 - 1234567"), "fewer polygons than words"),
        (lambda image: image["idCard"]["result"]["ic"].pop("personalNum"), "personalNum was not read"),
        (lambda image: image["idCard"]["result"]["ic"].update(personalNum=[]), "personalNum was not read"),
        (lambda image: image["idCard"]["result"].pop("ic"), "kind of the card"),
        (lambda image: image["idCard"].update(result=None), "kind of the card"),
        (lambda image: image["idCard"]["result"]["ic"].update(copy=personal(image)["text"]), r"ic\.copy' must be"),
        (lambda image: image["idCard"]["result"]["ic"].update({personal(image)["text"]: 1}), r"ic\.\S+-\*{7}' must be"),
    ],
)
def test_a_number_without_a_certain_place_is_refused(change: Any, message: str) -> None:
    """Without a polygon that can be trusted there is no copy; the message names the field and shows no value."""
    with pytest.raises(RedactionError, match=message) as caught:
        redact_image(PNG, changed(CARD.recognition(), change))
    assert CARD.numbers[0] not in str(caught.value)


@pytest.mark.parametrize(("document", "seed"), SAMPLES[:-1])
def test_removing_the_polygons_of_a_number_is_refused(document: str, seed: int) -> None:
    """For every sensitive field of every sample: without its polygons there is no copy."""
    sample = draw(document, seed, "all")
    fields = list(_sensitive(sample))
    assert fields
    for field in fields:
        kept = {key: field.pop(key) for key in list(field) if key in {"boundingPolys", "boundingPoly"}}
        with pytest.raises(RedactionError, match=r"no polygon|fewer polygons"):
            redact_image(encoded(sample.picture, "png"), sample.recognition(), "all")
        field.update(kept)


def _sensitive(sample: MaskedSample) -> Any:
    result = sample.answer["result"]
    holders = [result, *(result.get(kind, {}) for kind in ("ic", "dl", "pp", "ac"))]
    names = {"personalNum", "alienRegNum", "alienRegNumEtc", "num", "code", "mrz1", "mrz2", "socialNumber"}
    for holder in holders:
        for key, value in holder.items():
            if key in names | {"coRepSocialNum", "number", "validThru"}:
                yield from (value if isinstance(value, list) else [value])


def test_a_picture_that_is_not_the_one_that_was_read_is_refused() -> None:
    """A picture of another size, and one that was prepared in a way that is not known, are refused."""
    other = msgspec.structs.replace(CARD.recognition(), picture=Picture(size=(660, 900), sent_size=(660, 900)))
    with pytest.raises(RedactionError, match="has changed: it has 900 x 660"):
        redact_image(PNG, other)
    unknown = msgspec.structs.replace(CARD.recognition(), picture=Picture(steps=("scaled 0.50",), size=(900, 660)))
    with pytest.raises(RedactionError, match="how the picture was prepared"):
        redact_image(PNG, unknown)
    for data in (b"", b"no picture", PNG[:2000]):
        with pytest.raises(RedactionError):
            redact_image(data, CARD.recognition())
    pdf = encoded(CARD.picture, "pdf")
    with pytest.raises(RedactionError, match="does not state the size"):
        redact_image(pdf, CARD.recognition())
    large = msgspec.structs.replace(CARD.recognition(), picture=Picture(sent_size=(1e6, 1e6)))
    with pytest.raises(RedactionError, match="too large"):
        redact_image(pdf, large)
    record = {
        "result": msgspec.json.decode(CARD.recognition().raw)["images"][0],
        "prepared": ["scaled 0.50"],
        "page": 2,
    }
    with pytest.raises(RedactionError, match="how the picture was prepared"):
        redact_image(PNG, Recognition.from_dict(record, IdCard))


def test_a_passport_is_refused_with_the_way_out() -> None:
    """The document passport has no polygons at all; the message names the one that has."""
    for result in ({"documentNumber": {"rawText": "M12345678"}}, {}):
        recognition = Recognition.from_dict({"passport": {"passportResult": result}}, Passport)
        with pytest.raises(RedactionError, match="read the passport as id-card"):
            redact_image(PNG, recognition)


def test_odd_answers_are_refused_or_skipped() -> None:
    """Keys with numbers and no place are refused; an image that is not an object, and odd polygons, harm nothing."""

    def twice(image: dict[str, Any]) -> None:
        holder = image["idCard"]["result"]["ic"]
        holder["new"] = {"900101-1234567": 1, "900101-7654321": 2}

    with pytest.raises(RedactionError, match="has no polygon for it"):
        redact_image(PNG, changed(CARD.recognition(), twice))
    answer = msgspec.json.decode(CARD.recognition().raw)
    answer["images"][0]["idCard"]["result"]["rois"] = [ODD]
    answer["images"].append("odd")
    odd = Recognition.from_dict(answer, IdCard)
    assert redact_image(PNG, odd) == redact_image(PNG, CARD.recognition())


def test_a_page_that_was_drawn_before_it_was_sent_is_drawn_in_that_size() -> None:
    """Polygons of a page that was sent as a JPEG refer to that picture, whatever the answer says besides."""
    sample = draw("id-card", 0, "standard")
    picture = Picture(page=1, sent_size=sample.picture.size, sha256="0" * 64)
    recognition = msgspec.structs.replace(sample.recognition(), picture=picture)
    masked = opened(redact_image(encoded(sample.picture, "pdf"), recognition))
    assert (masked.size, ink_left(masked, sample.hidden)) == (sample.picture.size, 0)


def test_a_recognition_without_an_answer_is_refused() -> None:
    """A recognition that was made by hand, or whose answer has no document, shows nothing of a picture."""
    with pytest.raises(RedactionError, match="no answer in raw"):
        redact_image(PNG, Recognition(document=IdCard()))
    nothing = Recognition(document=Receipt(), raw=b'{"images": [{"inferResult": "SUCCESS"}]}')
    with pytest.raises(RedactionError, match="no document"):
        redact_image(PNG, nothing)
    with pytest.raises(ConfigurationError, match="give 'standard' or 'all'"):
        redact_image(PNG, CARD.recognition(), "none")  # type: ignore[arg-type]


def test_a_card_with_odd_groups_is_covered_whole() -> None:
    """The middle of a card's number is covered alone only where its four groups are certain."""
    sample = draw("credit-card", 0, "standard")

    def merged(image: dict[str, Any]) -> None:
        del image["creditCard"]["result"]["number"]["subBoundingPolys"][1]

    def shuffled(image: dict[str, Any]) -> None:
        words = image["creditCard"]["result"]["number"]["subBoundingPolys"]
        words[0], words[1] = words[1], words[0]

    for change in (merged, shuffled):
        recognition = changed(sample.recognition(), change)
        number = msgspec.json.decode(recognition.raw)["images"][0]["creditCard"]["result"]["number"]
        whole = [(vertex["x"], vertex["y"]) for vertex in number["boundingPoly"]["vertices"]]
        masked = opened(redact_image(encoded(sample.picture, "png"), recognition))
        assert ink_left(masked, [whole]) == 0


def test_results_has_no_other_names() -> None:
    """A name that is not there is an AttributeError, as in any module."""
    with pytest.raises(AttributeError, match="nothing"):
        results.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_importing_results_loads_no_library_of_pictures() -> None:
    """The names of pictures are there, and neither Pillow nor an HTTP library is loaded before they are used."""
    program = (
        "import sys, clova_ocr_async.results as results\n"
        "assert not {'PIL', 'aiohttp', 'pyarrow'} & set(sys.modules), 'loaded'\n"
        "assert results.redact_image.__name__ == 'redact_image' and results.annotate.__name__ == 'annotate'\n"
        "assert 'PIL' not in sys.modules and not hasattr(results, 'nothing')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


assert set(DOCUMENTS) >= {document for document, _ in SAMPLES}
