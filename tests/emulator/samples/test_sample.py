import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed
import pytest
from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

from clova_ocr_async.emulator import Sample, draw_sample, find_ground_truth, write_samples
from clova_ocr_async.emulator.samples.canvas import FORMATS, PDF_DOTS_PER_INCH, Canvas, Style
from clova_ocr_async.emulator.samples.fake_data import mrz_check
from clova_ocr_async.emulator.samples.ground_truth import DOCUMENTS
from clova_ocr_async.emulator.samples.identity_layouts import SEEN_ON, passport
from clova_ocr_async.pictures.typeface import Typeface, find_typeface

TYPEFACES = {"hangul": find_typeface(), "latin": Typeface(None)}
SEEDS = range(8)

both = pytest.mark.parametrize("letters", TYPEFACES)
every = pytest.mark.parametrize("document", DOCUMENTS)


@cache
def sample_of(document: str, seed: int, letters: str = "hangul", format_: str = "png") -> Sample:
    """Draw a sample once for all tests."""
    return draw_sample(document, seed=seed, format=format_, typeface=TYPEFACES[letters])


@cache
def picture_of(document: str, seed: int, letters: str) -> Image.Image:
    """Open a sample's picture, in grey."""
    return Image.open(io.BytesIO(sample_of(document, seed, letters).data)).convert("L")


@dataclass(frozen=True)
class AnswerObject:
    """A cell of an answer and the keys that lead to it."""

    path: str
    fields: dict[str, Any]


def objects(value: Any, path: str = "") -> Iterator[AnswerObject]:
    """Find all objects with a text, wherever they are in an answer."""
    if isinstance(value, dict):
        if "text" in value:
            yield AnswerObject(path, value)
        for key, inner in value.items():
            yield from objects(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner, path)


def cells_of(document: str, seed: int, letters: str = "hangul") -> list[AnswerObject]:
    """Find all objects of a sample."""
    return list(objects(sample_of(document, seed, letters).truth.answer))


def texts(document: str, key: str) -> list[str]:
    """Collect what all seeds and both languages say in one field."""
    found = [
        cell.fields["text"]
        for seed, letters in product(SEEDS, TYPEFACES)
        for cell in cells_of(document, seed, letters)
        if cell.path.endswith(f".{key}")
    ]
    assert found
    return found


def words_of(cell: AnswerObject) -> list[tuple[str, list[dict[str, float]]]]:
    """Pair the words of a cell with their polygons."""
    text, polygons = cell.fields["text"], cell.fields.get("boundingPolys") or cell.fields["subBoundingPolys"]
    words = text.split()
    if len(words) == 1 and len(polygons) == 4:
        words = [text[start : start + 4] for start in range(0, 16, 4)]
    return [(word, polygon["vertices"]) for word, polygon in zip(words, polygons, strict=True)]


def straightened(picture: Image.Image, corners: list[tuple[float, float]], letters: int = 8) -> Image.Image:
    """Cut a polygon out of a picture and stretch it to a size that words of as many letters are compared in."""
    first, second, third, fourth = corners
    quad = (*first, *fourth, *third, *second)
    return picture.transform((20 * letters, 30), Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)


def blurred(piece: Image.Image) -> Image.Image:
    """Even out what differs between sizes of letters and shades of paper."""
    return ImageOps.autocontrast(piece.filter(ImageFilter.GaussianBlur(1.5)))


@cache
def renderings(word: str, letters: str) -> list[Image.Image]:
    """Draw a word by itself in the ways it may stand on a sample."""
    pictures: list[Image.Image] = []
    for style in (Style(20), Style(24), Style(34, bold=True), Style(26, pitch=17)):
        canvas = Canvas((60 + 40 * len(word), 80), TYPEFACES[letters])
        (written,) = canvas.write(word, (20, 50), style)
        pictures.append(blurred(straightened(canvas.render().convert("L"), list(written.polygon), len(word))))
    return pictures


def distance(picture: Image.Image, corners: list[tuple[float, float]], word: str, letters: str) -> float:
    """Return the difference between the ink in a polygon and a word, from 0 to 255."""
    piece = blurred(straightened(picture, corners, len(word)))
    return min(ImageStat.Stat(ImageChops.difference(piece, drawn)).mean[0] for drawn in renderings(word, letters))


@every
@both
@pytest.mark.parametrize("seed", range(4))
def test_every_text_is_where_its_polygon_says(document: str, letters: str, seed: int) -> None:
    """The ink in each polygon resembles its word more than any other word of that length."""
    words = [pair for cell in cells_of(document, seed, letters) for pair in words_of(cell)]
    for word, vertices in words:
        corners = [(vertex["x"], vertex["y"]) for vertex in vertices]
        place = (picture_of(document, seed, letters), corners)
        own = distance(*place, word, letters)
        others = {other for other, _ in words if other != word and len(other) == len(word)}
        assert own < 45, word
        assert all(own < distance(*place, other, letters) for other in others), word


@every
@both
@pytest.mark.parametrize("seed", range(4))
def test_every_polygon_has_ink_and_lies_on_the_picture(document: str, letters: str, seed: int) -> None:
    """Every polygon goes clockwise from its top left within the picture, and holds dark pixels."""
    picture = picture_of(document, seed, letters)
    for cell in cells_of(document, seed, letters):
        polygons = [
            *(pair[1] for pair in words_of(cell)),
            *(p["vertices"] for p in cell.fields.get("maskingPolys", [])),
        ]
        if "boundingPoly" in cell.fields:
            polygons.append(cell.fields["boundingPoly"]["vertices"])
        for vertices in polygons:
            corners = [(vertex["x"], vertex["y"]) for vertex in vertices]
            assert all(isinstance(side, float) for corner in corners for side in corner)
            assert all(0 <= x <= picture.width and 0 <= y <= picture.height for x, y in corners)
            assert is_clockwise(corners)
            assert sum(straightened(picture, corners).histogram()[:110]) > 30, cell.path


def is_clockwise(corners: list[tuple[float, float]]) -> bool:
    """Return whether corners go right, down, left, up."""
    (first, second, third, fourth) = corners
    return first[0] < second[0] and second[1] < third[1] and third[0] > fourth[0] and fourth[1] > first[1]


@both
@pytest.mark.parametrize("seed", range(4))
def test_a_passport_shows_its_machine_readable_zone(letters: str, seed: int) -> None:
    """Both lines of a passport's answer are on the picture, 44 characters each, and every raw text is in them."""
    canvas, answer = passport(Random(seed), seed, TYPEFACES[letters])  # noqa: S311 - not a secret
    reading = answer["passportResult"]
    lines = reading["mrzLines"]["rawText"].split("\n")
    drawn = {word.text: word for word in canvas.words}
    assert [len(line) for line in lines] == [44, 44]
    assert set(lines) <= set(drawn)
    for line in lines:
        corners = [(x, y) for x, y in drawn[line].polygon]
        assert distance(canvas.render().convert("L"), corners, line, letters) < 45
    raws = {value["rawText"] for key, value in reading.items() if key not in {"mrzLines", "lastName2"}}
    assert all(raw in "".join(lines) for raw in raws)


@every
@pytest.mark.parametrize("format_", FORMATS)
def test_every_type_in_every_format_opens_and_tells_the_same(document: str, format_: str) -> None:
    """A sample opens in its format and in the size of its ground truth, which is equal in every format."""
    sample = sample_of(document, 1, "hangul", format_)
    truth = find_ground_truth(sample.data)
    assert truth == sample.truth == sample_of(document, 1).truth
    assert (sample.document, sample.format, sample.name) == (document, format_, f"{document}-0001.{format_}")
    assert size_of(sample) == (sample.truth.width, sample.truth.height)
    assert 500 <= min(size_of(sample)) <= max(size_of(sample)) <= 1300
    assert len(sample.data) < 300_000


def size_of(sample: Sample) -> tuple[int, int]:
    """Open a sample and return the size of its only page, in pixels."""
    if sample.format != "pdf":
        with Image.open(io.BytesIO(sample.data)) as picture:
            assert picture.format == {"jpg": "JPEG", "png": "PNG", "tiff": "TIFF"}[sample.format]
            picture.load()
            return picture.size
    pdf = pdfium.PdfDocument(sample.data)
    assert len(pdf) == 1
    width, height = pdf[0].get_size()
    pdf.close()
    return round(width * PDF_DOTS_PER_INCH / 72), round(height * PDF_DOTS_PER_INCH / 72)


@every
@both
def test_a_sample_depends_on_its_arguments_alone(document: str, letters: str) -> None:
    """The same arguments give the same bytes, another seed another content."""
    typeface = TYPEFACES[letters]
    again = draw_sample(document, seed=3, format="jpg", typeface=typeface)
    assert again == draw_sample(document, seed=3, format="jpg", typeface=typeface)
    assert again.truth.answer != draw_sample(document, seed=7, format="jpg", typeface=typeface).truth.answer


@every
@both
def test_the_language_follows_the_letters(document: str, letters: str) -> None:
    """With the Hangul font the contents are Korean; without it there is not one character beyond Latin."""
    answer = sample_of(document, 0, letters).truth.answer
    has_hangul = re.search("[가-힣]", repr(answer)) is not None
    if document in {"passport", "credit-card"}:
        assert not has_hangul
    else:
        assert has_hangul == (letters == "hangul")
        assert answer["meta"] == {"estimatedLanguage": "ko" if letters == "hangul" else "en"}


@every
def test_the_letters_default_to_what_is_installed(document: str) -> None:
    """Without a typeface a sample is drawn with the one that is found on the machine."""
    assert draw_sample(document) == sample_of(document, 0)


def digits(text: str) -> list[int]:
    """Take the digits out of a number."""
    return [int(letter) for letter in text if letter.isdigit()]


def weighed(text: str, weights: tuple[int, ...]) -> int:
    """Sum up the first digits of a number by their weights."""
    return sum(digit * weight for digit, weight in zip(digits(text), weights, strict=False))


def test_no_business_number_is_right() -> None:
    """The check digit of every business registration number is wrong."""
    for number in [*texts("receipt", "bizNum"), *texts("biz-license", "registerNumber")]:
        assert re.fullmatch(r"\d{3}-\d\d-\d{5}", number)
        total = weighed(number, (1, 3, 7, 1, 3, 7, 1, 3, 5)) + digits(number)[8] * 5 // 10
        assert (10 - total % 10) % 10 != digits(number)[9]


def test_no_corporate_number_is_right() -> None:
    """The check digit of every corporate registration number is wrong."""
    for number in texts("biz-license", "corpRegisterNum"):
        assert re.fullmatch(r"\d{6}-\d{7}", number)
        assert (10 - weighed(number, (1, 2) * 6) % 10) % 10 != digits(number)[12]


def test_no_resident_number_is_right() -> None:
    """Every resident and alien number has a wrong check digit and a region that was never assigned."""
    citizens = [*texts("biz-license", "socialNumber"), *texts("biz-license", "coRepSocialNum")]
    citizens += texts("id-card", "ic.personalNum") + texts("id-card", "dl.personalNum") + national_numbers()
    aliens = texts("id-card", "ac.alienRegNum") + texts("id-card", "ac.alienRegNumEtc")
    for number in citizens + aliens:
        assert re.fullmatch(r"\d{6}-\d{7}", number)
        total = weighed(number, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5))
        assert (11 - total % 11) % 10 != digits(number)[12]
        assert (13 - total % 11) % 10 != digits(number)[12]
        assert number[8:10] == "99"
    assert {number[7] for number in citizens} <= set("1234")
    assert {number[7] for number in aliens} <= set("5678")


def national_numbers() -> list[str]:
    """Put the resident numbers of passports together from their dates of birth and personal numbers."""
    births = [line[13:19] for line in texts("id-card", "pp.mrz2")]
    return [f"{birth}-{tail}" for birth, tail in zip(births, texts("id-card", "pp.personalNum"), strict=True)]


def test_no_card_number_is_right() -> None:
    """Every card number fails Luhn's sum, and no network has its first digit."""
    for number in texts("credit-card", "number"):
        assert re.fullmatch(r"0\d{15}", number)
        doubled = [
            sum(divmod(digit * 2, 10)) if index % 2 == 0 else digit for index, digit in enumerate(digits(number))
        ]
        assert sum(doubled) % 10 != 0


def test_no_machine_readable_zone_is_right() -> None:
    """All five check digits of every passport are wrong."""
    lines = texts("id-card", "pp.mrz2")
    for seed in SEEDS:
        reading = sample_of("passport", seed).truth.answer["passportResult"]
        lines.append(reading["mrzLines"]["rawText"].split("\n")[1])
        names = ("DocumentNumber", "DateOfBirth", "DateOfExpiry", "PersonalNumber")
        checks = [reading[f"checkDigitFor{name}"]["rawText"] for name in names]
        assert [*checks, reading["finalCheckDigit"]["rawText"]] == [lines[-1][at] for at in (9, 19, 27, 42, 43)]
    for line in lines:
        assert re.fullmatch(r"[XYZ]\d{3}A\d{5}UTO\d{7}[MF]\d{7}[A-Z0-9<]{14}\d\d", line)
        parts = (line[:9], line[13:19], line[21:27], line[28:42], line[:10] + line[13:20] + line[21:43])
        for part, at in zip(parts, (9, 19, 27, 42, 43), strict=True):
            assert str(mrz_check(part)) != line[at]


def test_the_check_sum_of_machine_readable_zones_is_the_right_one() -> None:
    """The sum that the wrong check digits differ from gives the digits of the standard's own specimen."""
    assert [mrz_check(part) for part in ("L898902C3", "740812", "120415", "ZE184226B<<<<<")] == [6, 2, 9, 1]


def test_licences_and_telephones_cannot_be_anybodys() -> None:
    """Licence numbers name a region and telephone numbers an exchange that do not exist; hosts are example hosts."""
    assert all(number.startswith("99-") for number in texts("id-card", "dl.num"))
    phones = [number for key in ("tel", "fax") for number in texts("name-card", key)] + texts("receipt", "tel")
    assert all(re.fullmatch(r"(02-|\(02\))000-\d{4}", number) for number in phones)
    assert all(number.startswith("010-0000-") for number in texts("name-card", "mobile"))
    assert all(host.endswith(".example") for key in ("email", "homepage") for host in texts("name-card", key))


@pytest.mark.parametrize(
    ("seed", "key", "kind"),
    [(0, "ic", "ID Card"), (1, "dl", "Driver's License"), (2, "pp", "Passport"), (3, "ac", "Alien Registration Card")],
)
def test_the_kinds_of_id_cards_come_by_turns(seed: int, key: str, kind: str) -> None:
    """Four seeds in a row give the four kinds, each complete and with the corners of the card."""
    result = sample_of("id-card", seed).truth.answer["result"]
    assert result == sample_of("id-card", seed).truth.answer["result"]
    assert set(result) == {"isConfident", "idtype", "rois", key}
    assert (result["isConfident"], result["idtype"]) == (True, kind)
    assert set(result[key]) == ID_FIELDS[key]
    (card,) = result["rois"]
    first, second, third, _ = ((vertex["x"], vertex["y"]) for vertex in card["vertices"])
    assert math.dist(first, second) > math.dist(second, third) > 500


ID_FIELDS = {
    "ic": {"name", "personalNum", "address", "issueDate", "authority"},
    "dl": {"type", "num", "name", "personalNum", "address", "renewStartDate", "renewEndDate", "condition", "code"}
    | {"organDonation", "issueDate", "authority"},
    "pp": {"type", "issueCountry", "num", "surName", "givenName", "nationality", "birthDate", "personalNum", "sex"}
    | {"issueDate", "expireDate", "authority", "fullNameKor", "mrz1", "mrz2"},
    "ac": {"alienRegNum", "sex", "name", "nationality", "visaType", "issueDate", "authority", "authorityEng"}
    | {"alienRegNumEtc"},
}

MASKED = {
    *(".result.ic.personalNum", ".result.ic.issueDate"),
    *(".result.dl.personalNum", ".result.dl.num", ".result.dl.issueDate"),
    *(".result.pp.num", ".result.pp.personalNum", ".result.pp.mrz1", ".result.pp.mrz2"),
    *(".result.ac.alienRegNum", ".result.ac.alienRegNumEtc", ".result.ac.issueDate"),
}


@pytest.mark.parametrize("document", ["receipt", "id-card"])
@both
@pytest.mark.parametrize("seed", range(4))
def test_cells_have_the_keys_of_real_answers(document: str, letters: str, seed: int) -> None:
    """Objects of receipts and ID cards have an empty key and a high confidence; only strings and dates have masks."""
    for cell in cells_of(document, seed, letters):
        assert cell.fields["keyText"] == ""
        assert 0.9 <= cell.fields["confidenceScore"] <= 1
        assert ("maskingPolys" in cell.fields) == (kind_of(cell) in {"string", "date"}), cell.path
        assert bool(cell.fields.get("maskingPolys")) == (cell.path in MASKED)


def kind_of(cell: AnswerObject) -> str:
    """Return the name of the specification's object that a cell is."""
    formatted = cell.fields.get("formatted")
    if formatted is None:
        return "base"
    if set(formatted) != {"value"}:
        return "date" if "year" in formatted else "time"
    plain = cell.path.rpartition(".")[2] in {"count", "price", "unitPrice", "taxPrice", "discountPrice", "tel"}
    return "float" if plain else "string"


BASE = {"confirmNum", "type", "organDonation", "issueCountry", "authority"}


@pytest.mark.parametrize("document", ["receipt", "id-card"])
@pytest.mark.parametrize("seed", range(8))
def test_formatted_values_are_the_normal_form_of_the_text(document: str, seed: int) -> None:
    """Amounts are bare digits, dates and times padded parts, and what has no normal form has its text or none."""
    for cell in cells_of(document, seed):
        text, formatted = cell.fields["text"], cell.fields.get("formatted", {})
        match kind_of(cell):
            case "base":
                assert cell.path.rpartition(".")[2] in BASE
            case "float":
                assert formatted["value"] == re.sub(r"\D", "", text)
            case "date":
                numbers = [int(number) for number in re.findall(r"\d+", text)]
                day = [int(formatted[part]) for part in ("year", "month", "day")]
                assert sorted(numbers) == sorted(day)
                assert [len(formatted[part]) for part in ("year", "month", "day")] == [4, 2, 2]
            case "time":
                assert ":".join(formatted.values()) == f"{text}:00"[:8]
            case _:
                assert formatted["value"] == text or cell.path == ".result.dl.authority"


@both
@pytest.mark.parametrize("seed", SEEDS)
def test_a_receipt_adds_up(letters: str, seed: int) -> None:
    """Counts times unit prices make the prices, and these less the discount make the total; every part is there."""
    result = sample_of("receipt", seed, letters).truth.answer["result"]
    (group,) = result["subResults"]
    lines = [
        [number(line["count"]), number(line["price"]["unitPrice"]), number(line["price"]["price"])]
        for line in group["items"]
    ]
    assert all(count * unit == price for count, unit, price in lines)
    discount = number(result["subTotal"][0]["discountPrice"][0]) if "subTotal" in result else 0
    assert sum(price for *_, price in lines) - discount == number(result["totalPrice"]["price"])
    assert ("subTotal" in result) == (seed % 2 == 1)
    assert ("movieName" in result["storeInfo"]) == (seed % 6 == 5)
    assert all(("code" in line) == (seed % 3 == 0) for line in group["items"])
    assert set(result["storeInfo"]) - {"movieName"} == {"name", "subName", "bizNum", "addresses", "tel"}
    assert set(result["paymentInfo"]) == {"date", "time", "cardInfo", "confirmNum"}


def number(cell: dict[str, Any]) -> int:
    """Give the value of an amount."""
    return int(cell["formatted"]["value"])


def test_receipts_differ_in_length() -> None:
    """Among a few receipts there are several numbers of items."""
    lengths = {len(sample_of("receipt", seed).truth.answer["result"]["subResults"][0]["items"]) for seed in SEEDS}
    assert len(lengths) >= 4


def test_certificates_are_of_persons_and_of_corporations() -> None:
    """Certificates are in turn of a company and of a corporation; their objects are plain, other fields empty."""
    person, corporation, other = (sample_of("biz-license", seed).truth.answer["result"] for seed in range(3))
    assert person["companyName"]
    assert person["birth"]
    assert not person["corpName"]
    assert other["socialNumber"]
    assert corporation["corpName"]
    assert corporation["coRepName"]
    assert not corporation["companyName"]
    assert len(person["bisType"]) == 2
    for cell in objects(corporation):
        assert ("formatted" in cell.fields) == (cell.path == ".documentType")
        assert cell.fields["confidenceScore"] == 0.0


def test_cards_have_fields_with_a_polygon_a_group() -> None:
    """A credit card's number has its four groups, its owner's name a polygon a word, and some cards have no owner."""
    results = [sample_of("credit-card", seed).truth.answer["result"] for seed in range(4)]
    assert ["name" in result for result in results] == [True, True, True, False]
    for result in results:
        assert len(result["number"]["subBoundingPolys"]) == 4
        assert len(result["validThru"]["subBoundingPolys"]) == 1
        assert all(0.9 <= field["confidence"] <= 1 for field in result.values())


def test_business_cards_are_plain() -> None:
    """A business card's objects have a text and polygons and nothing else, and some cards have two addresses."""
    results = [sample_of("name-card", seed).truth.answer["result"] for seed in range(2)]
    assert [len(result["address"]) for result in results] == [2, 1]
    assert results[0]["nameFurigana"] == []
    assert all(set(cell.fields) == {"text", "boundingPolys"} for cell in objects(results))


def test_passports_may_have_expired() -> None:
    """Ages and expiries count from one day, so that they are the same whenever a sample is drawn."""
    readings = [sample_of("passport", seed).truth.answer["passportResult"] for seed in SEEDS]
    for reading in readings:
        born, expires = (day_of(reading[key]["refinedText"]) for key in ("dateOfBirth", "dateOfExpiry"))
        assert reading["isExpired"]["refinedText"] is (expires < SEEN_ON)
        assert born.replace(year=born.year + reading["age"]["refinedText"], day=1) <= SEEN_ON
    assert {reading["isExpired"]["refinedText"] for reading in readings} == {True, False}
    assert {reading["gender"]["refinedText"] for reading in readings} == {"Male", "Female"}


def day_of(text: str) -> date:
    """Read a passport's day."""
    return date(*(int(part) for part in text.split("/")))


def test_unknown_samples_are_refused() -> None:
    """A wrong document or format is refused with a list of the right ones."""
    with pytest.raises(ValueError, match="'invoice' is not a sample document; the documents are receipt, credit-card"):
        draw_sample("invoice")
    with pytest.raises(ValueError, match="'gif' is not a format of samples; the formats are jpg, png, tiff, pdf"):
        draw_sample("receipt", format="gif")


def test_samples_are_spread_over_types_and_formats(tmp_path: Path) -> None:
    """24 files have every type in every format, in folders named like the types, each with its own truth."""
    paths = write_samples(tmp_path / "new" / "samples", 24)
    assert len(set(paths)) == 24
    assert Counter(path.parent.name for path in paths) == dict.fromkeys(DOCUMENTS, 4)
    assert {(path.parent.name, path.suffix) for path in paths} == set(
        product(DOCUMENTS, (f".{name}" for name in FORMATS))
    )
    assert paths[0] == tmp_path / "new" / "samples" / "receipt" / "receipt-0001.jpg"
    for path in paths:
        truth = find_ground_truth(path.read_bytes())
        assert truth is not None
        assert truth.document == path.parent.name


def test_kinds_of_id_cards_meet_all_formats(tmp_path: Path) -> None:
    """Over many files the turns of the kinds and of the formats do not coincide."""
    paths = [path for path in write_samples(tmp_path, 48) if path.parent.name == "id-card"]
    kinds: set[tuple[str, str]] = set()
    for path in paths:
        truth = find_ground_truth(path.read_bytes())
        assert truth is not None
        kinds.add((path.suffix, truth.answer["result"]["idtype"]))
    assert len(kinds) == 8


def test_another_seed_writes_other_samples(tmp_path: Path) -> None:
    """The same seed writes the same files again, another seed none of them."""
    first, again, other = (
        [path.read_bytes() for path in write_samples(tmp_path / name, 6, seed=seed)]
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    assert first == again
    assert not set(first) & set(other)


def test_written_samples_are_left_alone(tmp_path: Path) -> None:
    """Writing the same samples again changes nothing and names the same files."""
    paths = write_samples(tmp_path, 3)
    times = [path.stat().st_mtime_ns for path in paths]
    assert write_samples(tmp_path, 3) == paths
    assert [path.stat().st_mtime_ns for path in paths] == times


def test_a_foreign_file_is_never_overwritten(tmp_path: Path) -> None:
    """Another file under a sample's name stays unchanged, and the error names it."""
    mine = tmp_path / "receipt" / "receipt-0001.jpg"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=re.escape(str(mine))):
        write_samples(tmp_path, 1)
    assert mine.read_bytes() == b"mine"
    mine.unlink()
    mine.mkdir()
    with pytest.raises(FileExistsError, match=re.escape(str(mine))):
        write_samples(tmp_path, 1)


def test_no_samples_are_no_files(tmp_path: Path) -> None:
    """A count of 0 writes no samples, and a negative count is an error."""
    assert write_samples(tmp_path, 0) == []
    with pytest.raises(ValueError, match="-1"):
        write_samples(tmp_path, -1)
