"""Rows of the report: what a page shows of one record."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from support.masked_samples import SAMPLES, draw
from support.run_records import cell, failed_record, read_record

from clova_ocr_async.documents import DOCUMENTS, Picture
from clova_ocr_async.errors import ImageError
from clova_ocr_async.ledger.states import SourceRecord, State
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.results.report import reading
from clova_ocr_async.results.report.rows import Place, place_of, row_of

SQUARE = [(1.0, 2.0), (11.04, 2.06), (11.0, 8.0), (1.0, 8.0)]
SHOP = {"result": {"storeInfo": {"name": cell("Shop", corners=SQUARE)}, "totalPrice": {"price": cell("1,000", 0.5)}}}


def row(record: SourceRecord, policy: Any = None, **options: Any) -> dict[str, Any]:
    """Return the row of a record."""
    return row_of(reading.read_record(record, policy), 0, **options)


def test_a_row_has_the_facts_of_its_record() -> None:
    """A row has the name, the page, the bill and the ids of its record, and leaves out what is empty."""
    record = read_record("scans/\u1100\u1161.png", "receipt", SHOP, page=2, copy_of="scans/first.png")
    found = row(record)
    assert {key: found[key] for key in found if key not in {"fields", "checks"}} == {
        "n": 0,
        "source": "scans/\uac00.png",
        "file": "\uac00.png",
        "page": 2,
        "document": "receipt",
        "status": "succeeded",
        "copy_of": "scans/first.png",
        "request_id": "r",
        "seconds": 1.5,
        "min": 0.5,
    }
    assert row(read_record("a.png", "receipt", SHOP))["billed"] is True


def test_own_columns_are_on_the_page() -> None:
    """What a list gave an image is shown as text, masked as the page is; what is broken is left out."""
    columns = json.dumps({"id": "A-1", "900101-1234567": {"n": "900101-1234567"}, "none": None, "empty": ""}).encode()
    record = read_record("a.png", "receipt", SHOP, columns=columns)
    assert row(record)["columns"] == {"id": "A-1", "900101-1234567": '{"n":"900101-1234567"}'}
    assert row(record, "standard")["columns"] == {"id": "A-1", "900101-*******": '{"n":"900101-*******"}'}
    failed = failed_record("b.png", ImageError("x"), columns=columns)
    assert "1234567" not in json.dumps(row(failed, "standard"))
    for broken in (b"", b"[1]", b"\xff", b"["):
        assert "columns" not in row(read_record("a.png", "receipt", SHOP, columns=broken))


def test_fields_have_their_values_places_and_reasons() -> None:
    """A field has its path, text, value, confidence and polygons with one decimal; a doubtful one the reasons."""
    name, total = row(read_record("a.png", "receipt", SHOP))["fields"]
    assert name == {"p": "result.storeInfo.name", "t": "Shop", "c": 0.97, "b": [[1, 2, 11, 2.1, 11, 8, 1, 8]]}
    assert total == {"p": "result.totalPrice.price", "t": "1,000", "c": 0.5, "why": ["confidence 0.50"]}


def test_a_value_that_differs_from_its_text_is_there_too() -> None:
    """A formatted value stands beside the text that was read."""
    date = cell("2026.1.2") | {"formatted": {"year": "2026", "month": "01", "day": "02"}}
    (field,) = row(read_record("a", "receipt", {"result": {"paymentInfo": {"date": date}}}))["fields"]
    assert (field["t"], field["v"]) == ("2026.1.2", "2026-01-02")


def test_confidences_of_zero_everywhere_mean_nothing() -> None:
    """Where a service writes 0 for each confidence, a row has none."""
    licence = {"result": {"repName": [cell("Kim", 0.0)], "companyName": [cell("Shop", 0.0)]}}
    found = row(read_record("a.png", "biz-license", licence))
    assert "min" not in found
    assert not [field for field in found["fields"] if "c" in field]


@pytest.mark.parametrize("corners", [SQUARE[:2], [(0.0, 0.0), (1e9, 0.0), (1.0, 1.0)]])
def test_a_polygon_that_is_none_is_left_out(corners: list[tuple[float, float]]) -> None:
    """A polygon of two corners, or one that reaches beyond every picture, is not drawn."""
    (field,) = row(read_record("a", "receipt", {"result": {"storeInfo": {"name": cell("x", corners=corners)}}}))[
        "fields"
    ]
    assert "b" not in field


def test_a_doubtful_place_without_a_value_is_listed() -> None:
    """A place of an unexpected shape, which has no value, is a field without text, so that a person looks at it."""
    found = row(read_record("a.png", "receipt", {"result": {"storeInfo": {"name": 5}, "subResults": []}}))
    assert [(field["p"], field["t"]) for field in found["fields"]] == [("images[0].receipt.result.storeInfo.name", "")]


def test_a_check_of_all_elements_is_at_each_of_them() -> None:
    """A failed check of an array is a reason at its elements; the lines as a whole are no field."""
    answer = {
        "result": {
            "subTotal": [{"taxPrice": [cell("900")]}],
            "totalPrice": {"price": cell("1,000")},
            "subResults": [{"items": [{"price": {"price": cell("5")}}]}],
        }
    }
    found = row(read_record("a.png", "receipt", answer))
    reasons = {field["p"]: [why.split(":")[0] for why in field["why"]] for field in found["fields"] if "why" in field}
    assert reasons == {"result.subTotal[0].taxPrice[0]": ["tax"], "result.totalPrice.price": ["items_total", "tax"]}
    assert [check["outcome"] for check in found["checks"] if check["name"] in {"tax", "items_total"}] == ["failed"] * 2


def test_polygons_lie_on_the_upright_original() -> None:
    """Polygons of a picture that was turned and scaled are given on the original as a viewer shows it."""
    picture = Picture(steps=("scaled 0.50",), size=(400, 200), sent_size=(100, 200), orientation=6, upright=False)
    corners = [(0.0, 0.0), (10.0, 0.0), (10.0, 20.0), (0.0, 20.0)]
    answer = {"result": {"storeInfo": {"name": cell("x", corners=corners)}}}
    found = row(read_record("a.jpg", "receipt", answer, picture=picture))
    assert found["size"] == [400, 200]
    assert found["fields"][0]["b"] == [[400, 0, 400, 20, 360, 20, 360, 0]]


@pytest.mark.parametrize(
    ("picture", "size"),
    [
        (Picture(), None),
        (Picture(steps=("scaled 0.50",), size=(4, 4)), None),
        (Picture(crop_box=(0, 0, 10, 10), size=(10, 10), sent_size=(40, 40)), [40, 40]),
        (Picture(size=(30, 30), orientation=3), [30, 30]),
    ],
)
def test_the_size_is_that_of_the_polygons(picture: Picture, size: list[int] | None) -> None:
    """A page of a PDF has the size that its polygons refer to, and a picture without a known size none."""
    assert row(read_record("a", "receipt", SHOP, picture=picture)).get("size") == size


def test_a_picture_that_was_opened_decides_the_place() -> None:
    """The place of the picture that is shown comes before the one that was recorded."""
    place = Place((20, 20), lambda point: (point[0] + 1, point[1]))
    found = row(read_record("a", "receipt", SHOP), place=place)
    assert (found["size"], found["fields"][0]["b"][0][:2]) == ([20, 20], [2, 2])


def test_an_image_turned_or_not_lies_where_its_polygons_fit() -> None:
    """Where it is not known whether the service turned a picture, its polygons must lie on it."""
    wide = [(0.0, 0.0), (190.0, 0.0), (190.0, 5.0), (0.0, 5.0)]
    picture = Picture(size=(100, 200), orientation=6)
    record = read_record("a", "receipt", {"result": {"storeInfo": {"name": cell("x", corners=wide)}}}, picture=picture)
    recognition = reading.read_record(record, None).recognition
    assert recognition is not None
    place = place_of(recognition)
    assert place.way((190.0, 5.0)) == (95.0, 190.0)


# ---------------------------------------------------------------------------------------------------------------------
# Masking


@pytest.mark.parametrize(("document", "seed"), SAMPLES)
@pytest.mark.parametrize("policy", ["standard", "all"])
def test_no_hidden_number_is_in_a_row(document: str, seed: int, policy: str) -> None:
    """A masked row of any document holds none of the digits that the policy hides, in no field, name or error."""
    sample = draw(document, seed, policy)
    record = read_record("a.png", document, sample.answer)
    plain, masked = row(record), row(record, policy)
    hidden = [number for number in sample.numbers if len(number) > 5]
    assert not [number for number in hidden if number in bare(masked)]
    texts = [field["t"] for field in plain["fields"]]
    changed = [field["p"] for field, text in zip(masked["fields"], texts, strict=True) if field["t"] != text]
    assert changed == [field["p"] for field in masked["fields"] if "m" in field]
    assert all(number in bare(plain) for number in hidden if number.isdigit())
    assert bool(changed) or not hidden
    assert [field.get("b") for field in masked["fields"]] == [field.get("b") for field in plain["fields"]]


def bare(value: object) -> str:
    """Return the letters and digits of a value."""
    return "".join(letter for letter in json.dumps(value, ensure_ascii=False) if letter.isalnum())


def test_checks_are_made_before_masking() -> None:
    """A masked card number does not fail its check, and a wrong one fails it."""
    for number, outcome in (("4111111111111111", []), ("4111111111111112", ["failed"])):
        record = read_record("a.png", "credit-card", {"result": {"number": cell(number)}})
        found = row(record, "standard")
        checks = [check["outcome"] for check in found.get("checks", []) if check["name"] == "card_number"]
        assert checks == outcome
        assert found["fields"][0]["t"] == "411111******" + number[-4:]


def test_a_row_that_cannot_be_masked_has_no_values() -> None:
    """Where a number stays readable, the row has the reason and no field, and the record still counts as read."""
    apart = [cell(part) for part in ("900101", "-", "1234", "567")]
    answer = {"result": {"ic": {"personalNum": [cell("900101-1234567")], "name": apart}}}
    masked = row(read_record("a.png", "id-card", answer), "standard")
    assert (masked["status"], masked["error"]["type"]) == ("succeeded", "RedactionError")
    assert masked["cause"] == "succeeded: not masked"
    assert "fields" not in masked


def test_the_error_of_an_image_has_no_number() -> None:
    """The name of a file that is named after a number is masked in its error as well."""
    record = failed_record("900101-1234567.png", ImageError("image '900101-1234567.png' is plain text"))
    found = row(record, "standard", words=str.upper)
    assert found["error"] == {"type": "ImageError", "code": None, "message": "IMAGE '900101-*******.PNG' IS PLAIN TEXT"}
    assert (found["source"], found["status"], found["cause"]) == (
        "900101-*******.png",
        "skipped",
        "skipped: not readable",
    )
    assert "1234567" in json.dumps(row(record))


def test_the_answer_of_a_failure_masks_its_name() -> None:
    """A failure that was answered is masked by what its answer shows."""
    image = {
        "inferResult": "FAILURE",
        "message": "no card",
        "creditCard": {"result": {"number": {"text": "4111 1111 1111 1111"}}},
    }
    record = read_record("4111111111111111.png", "credit-card", {})
    entry = record.entry
    assert entry is not None
    body = json.dumps({"requestId": "r", "timestamp": 1, "images": [image]}).encode()
    failed = dataclasses.replace(entry, state=State.FAILED, answer=HTTPResponse(200, body))
    found = row(SourceRecord(record.path, "credit-card", "failed", failed), "standard")
    assert (found["file"], found["cause"]) == ("411111******1111.png", "failed: RecognitionError FAILURE")
    assert found["error"]["code"] == "FAILURE"


def test_an_image_without_a_name_is_named_by_its_hash() -> None:
    """An image that was given as bytes is shown by the start of its hash; one without an item has no name at all."""
    found = row(read_record(None, "receipt", SHOP))
    assert found["file"].startswith("sha256 ")
    assert "source" not in found
    assert "file" not in row(SourceRecord(None, "receipt", "pending"))


def test_documents_of_every_kind_have_rows() -> None:
    """Each document of the specification gives a row."""
    for word in DOCUMENTS:
        assert row(read_record("a.png", word, {"result": {}}))["document"] == word
