"""Answers that do not fit: each misfit costs its own field, nothing else, and is listed without its value."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.answers import (
    DOCUMENT_TABLES,
    Steps,
    answer_of,
    at,
    decode,
    full_document,
    leaves,
    nodes,
    path_of,
    small_documents,
)

from clova_ocr_async.documents import (
    BizLicense,
    Document,
    IdCard,
    Passport,
    Problem,
    Receipt,
    ReceiptResult,
    Recognition,
)
from clova_ocr_async.documents.lenient import read_leniently
from clova_ocr_async.errors import MalformedResponseError

if TYPE_CHECKING:
    from types import FrameType

KINDS = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
STRANGERS: tuple[Any, ...] = (
    True,
    31337,
    31337.5,
    "stranger",
    [],
    ["stranger"],
    [31337],
    [["stranger"]],
    {},
    {"stranger": "stranger"},
)


def without(value: Any, steps: Steps, *, dropped: bool) -> Any:
    """Return a copy of a wire value with a place taken out; ``dropped`` means that it is out of its list already."""
    rest = copy.deepcopy(value)
    holder = at(rest, steps[:-1])
    if isinstance(holder, list) and not dropped:
        del holder[steps[-1]]  # type: ignore[arg-type]  # a list is entered by an index
    elif isinstance(holder, dict):
        holder.pop(steps[-1], None)
    return rest


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_a_misfit_costs_its_own_field(cls: type[Document]) -> None:
    """A value of a wrong kind at any place of a document is listed, and all other places are read."""
    for wire in small_documents(cls):
        for steps, item in list(nodes(wire))[1:]:
            for stranger in STRANGERS:
                if KINDS[type(stranger)] != KINDS[type(item)]:
                    check_stranger(cls, wire, steps, stranger)


def check_stranger(cls: type[Document], wire: dict[str, Any], steps: Steps, stranger: Any) -> None:
    """Put a value of another kind at a place, decode, and check the result."""
    holder, place = at(wire, steps[:-1]), f"images[0].{cls.answer_key}.{path_of(steps)}"
    item = holder[steps[-1]]
    holder[steps[-1]] = stranger
    recognition = decode(answer_of(cls, wire), cls)
    holder[steps[-1]] = item
    encoded = json.loads(msgspec.json.encode(recognition.document))
    dropped = isinstance(holder, list) and len(at(encoded, steps[:-1])) < len(holder)
    assert without(encoded, steps, dropped=dropped) == without(wire, steps, dropped=False)
    assert "stranger" not in repr(recognition.problems)
    assert "31337" not in repr(recognition.problems)
    if recognition.problems:
        assert all(problem.path.startswith(place) for problem in recognition.problems)
        first = recognition.problems[0]
        assert first.path != place or first.kind == KINDS[type(stranger)]
        # An array may misfit where one is expected, by its elements; anything else is named by its kind.
        assert first.kind == "array" or first.kind not in first.expected
    else:
        assert at(encoded, steps) == stranger


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_every_leaf_may_misfit_at_once(cls: type[Document]) -> None:
    """An answer whose every leaf has the wrong kind is still an answer, with a problem for each leaf."""
    wire = full_document(cls)
    places = [steps for steps, _ in leaves(wire)]
    for steps in places:
        at(wire, steps[:-1])[steps[-1]] = {"stranger": 1}
    recognition = decode(answer_of(cls, wire), cls)
    assert [problem.path for problem in recognition.problems if problem.kind != "object"] == []
    assert sorted(problem.path for problem in recognition.problems) == sorted(
        f"images[0].{cls.answer_key}.{path_of(steps)}" for steps in places
    )


PRICE = "images[0].receipt.result.totalPrice.price"


@pytest.mark.parametrize(
    ("price", "problems", "kept"),
    [
        ({"text": 5}, [Problem(f"{PRICE}.text", "string", "number")], {}),
        ({"text": ["5"]}, [Problem(f"{PRICE}.text", "string", "array")], {}),
        ({"text": {"a": "5"}}, [Problem(f"{PRICE}.text", "string", "object")], {}),
        ({"text": True}, [Problem(f"{PRICE}.text", "string", "boolean")], {}),
        ({"formatted": "5"}, [Problem(f"{PRICE}.formatted", "object", "string")], {}),
        ({"formatted": {"value": True}}, [Problem(f"{PRICE}.formatted.value", "number or string", "boolean")], "same"),
        ({"boundingPolys": 5}, [Problem(f"{PRICE}.boundingPolys", "array", "number")], {}),
        ({"boundingPolys": [5]}, [Problem(f"{PRICE}.boundingPolys[0]", "object", "number")], {"boundingPolys": []}),
        ([{"text": "5"}], [Problem(PRICE, "object", "array")], {"text": "5"}),
        (
            {"boundingPolys": {"vertices": []}},
            [Problem(f"{PRICE}.boundingPolys", "array", "object")],
            {"boundingPolys": [{"vertices": []}]},
        ),
        (
            {"boundingPolys": [{"vertices": [{"x": "64.5", "y": "-"}, {"x": "", "y": "far"}]}]},
            [Problem(f"{PRICE}.boundingPolys[0].vertices[1].y", "number", "string")],
            {"boundingPolys": [{"vertices": [{"x": 64.5}, {}]}]},
        ),
        (
            {"boundingPolys": [{"vertices": [{"x": "1", "y": 2}]}]},
            [],
            {"boundingPolys": [{"vertices": [{"x": 1, "y": 2}]}]},
        ),
    ],
)
def test_what_is_said_of_a_misfit(price: Any, problems: list[Problem], kept: Any) -> None:
    """A problem names the place, what was expected and what came; a number in a text is read and is not a problem."""
    recognition = decode(answer_of(Receipt, {"result": {"totalPrice": {"price": price}}}), Receipt)
    assert list(recognition.problems) == problems
    expected = {"formatted": {}} if kept == "same" else kept
    encoded = json.loads(msgspec.json.encode(recognition.document))["result"]["totalPrice"]
    assert encoded == ({"price": expected} if expected else encoded)
    assert encoded.get("price", {}) == expected


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"1e400", "number"), (b"-1e400", "number"), (b"[1e400]", "array"), (b"9" * 5000, "number"), (b"NaN", "number")],
)
def test_a_number_beyond_every_float_costs_its_field(raw: bytes, kind: str) -> None:
    """A number no float holds is a misfit like any other, wherever it stands."""
    body = json.dumps(answer_of(Receipt, {"meta": {"estimatedLanguage": "ko"}, "result": {"totalPrice": "HERE"}}))
    for place in (b'{"price":{"boundingPolys":[{"vertices":[{"x":%s,"y":1}]}]}}', b'{"price":{"confidenceScore":%s}}'):
        recognition = decode(body.encode().replace(b'"HERE"', place % raw), Receipt)
        assert [problem.kind for problem in recognition.problems] == [kind]
        assert recognition.document.meta.estimated_language == "ko"
        assert recognition.document.result.total_price.price.confidence_score is None


def test_bytes_that_are_no_utf8_cost_themselves() -> None:
    """A text with a stray byte is read with U+FFFD for it and listed; the rest of the answer is as it came."""
    body = json.dumps(
        answer_of(Receipt, {"result": {"storeInfo": {"name": {"text": "caf?"}, "tel": [{"text": "02"}]}}})
    )
    recognition = decode(body.encode().replace(b"caf?", b"caf\xe9"), Receipt)
    store = recognition.document.result.store_info
    assert recognition.problems == (Problem("images[0].receipt.result.storeInfo.name.text", "UTF-8", "string"),)
    assert store.name.text == "caf\N{REPLACEMENT CHARACTER}"
    assert store.tel[0].text == "02"


def test_half_a_surrogate_pair_is_unreadable_either_way() -> None:
    """A text that JSON cannot represent is refused by the typed decoder and by the lenient walk alike."""
    half = b'{"images":[{"receipt":{"meta":{"estimatedLanguage":"\\ud83d"}}}]%s}'
    for rest in (b"", b',"version":1e400', b',"version":2'):
        with pytest.raises(MalformedResponseError) as caught:
            decode(half % rest, Receipt)
        assert caught.value.raw == half % rest


def test_numbers_of_the_envelope_may_come_as_text() -> None:
    """A timestamp or size in a text is read; one that is not a number, or has thousands of digits, is a misfit."""
    answer = answer_of(Receipt, {"meta": {}})
    answer["timestamp"] = "1613984821070"
    answer["images"][0]["convertedImageInfo"] = {
        "width": "64.5",
        "height": "9" * 5000,
        "pageIndex": "0.0",
        "longImage": "x",
    }
    recognition = decode(answer, Receipt)
    assert recognition.timestamp == 1613984821070
    info = recognition.converted_image_info
    assert (info.width, info.height, info.page_index, info.long_image) == (None, None, 0, None)
    assert [(problem.path.rpartition(".")[2], problem.expected) for problem in recognition.problems] == [
        ("width", "number"),
        ("height", "number"),
        ("longImage", "boolean"),
    ]


@pytest.mark.parametrize(
    ("postprocessed", "kept", "problems"),
    [
        ([1, "x"], (), [("array or number", "array")]),
        ("3", (3,), []),
        ("x", (), [("array or number", "string")]),
        ({}, (), [("array or number", "object")]),
        (1.5, (), [("array or number", "number")]),
    ],
)
def test_refinements_that_misfit(postprocessed: Any, kept: tuple[int, ...], problems: list[tuple[str, str]]) -> None:
    """The refinements of a passport's cell are whole numbers, one or several; anything else costs them alone."""
    wire = {"passportResult": {"gender": {"rawText": "F", "postprocessed": postprocessed}}}
    recognition = decode(answer_of(Passport, wire), Passport)
    gender = recognition.document.passport_result.gender
    assert (gender.value, gender.postprocessed) == ("F", kept)
    assert [(problem.expected, problem.kind) for problem in recognition.problems] == problems


@pytest.mark.parametrize("document", [5, "text", True, [], [1, 2], 1.5])
def test_a_document_that_is_no_object_is_no_document(document: Any) -> None:
    """An answer whose document is not an object is malformed and kept."""
    answer = answer_of(Receipt, document)
    with pytest.raises(MalformedResponseError) as caught:
        decode(answer, Receipt)
    assert json.loads(caught.value.raw) == answer


def test_a_document_in_an_array_of_one_is_read() -> None:
    """An array of one object is read as that object."""
    recognition = decode(answer_of(IdCard, [{"result": {"isConfident": True}}]), IdCard)
    assert recognition.document.result.is_confident is True
    assert recognition.problems == (Problem("images[0].idCard", "object", "array"),)


@pytest.mark.parametrize(
    ("images", "problems"),
    [
        (lambda image: [None, image], []),
        (lambda image: [image, None], []),
        (lambda image: [None, None, image], []),
        (lambda image: [image, {"receipt": {}}], []),
        (lambda image: image, [Problem("images", "array", "object")]),
        (lambda image: [5, image], [Problem("images[0]", "object", "number")]),
        (lambda image: ["x", None, image], [Problem("images[0]", "object", "string")]),
    ],
)
def test_what_stands_beside_an_image_is_skipped(images: Any, problems: list[Problem]) -> None:
    """The first object among the images is the image, whatever stands before it; to_dict gives that one."""
    answer = answer_of(Receipt, {"meta": {"estimatedLanguage": "ja"}})
    image = answer["images"][0]
    recognition = decode({**answer, "images": images(image)}, Receipt)
    assert recognition.document.meta.estimated_language == "ja"
    assert list(recognition.problems) == problems
    assert recognition.to_dict() == image


def misfitting(count: int) -> dict[str, Any]:
    """Return a receipt's result with so many misfits."""
    return {"subResults": [{"items": [{"name": {"text": 5}, "count": {"text": "1"}} for _ in range(count)]}]}


def calls_to_read(value: Any) -> int:
    """Count the Python calls a lenient reading makes in its module."""
    module = str(Path(sys.modules[read_leniently.__module__].__file__ or ""))
    count = 0

    def on_event(frame: FrameType, event: str, _: object) -> None:  # pragma: no cover - a profiler is not traced
        nonlocal count
        count += event == "call" and frame.f_code.co_filename == module

    sys.setprofile(on_event)
    try:
        read_leniently(ReceiptResult, value)
    finally:
        sys.setprofile(None)
    return count


def test_the_lenient_walk_is_linear() -> None:
    """Twice the misfits make twice the problems and twice the work, not four times."""
    for count in (1, 100, 400):
        _, problems = read_leniently(ReceiptResult, misfitting(count))
        assert len(problems) == count
        assert problems[-1].path == f"subResults[0].items[{count - 1}].name.text"
    calls_to_read(misfitting(1))  # the places of each class are looked up once
    one, two, four = (calls_to_read(misfitting(count)) for count in (100, 200, 400))
    assert two - one > 0
    assert four - two == 2 * (two - one)


def test_unknown_keys_are_named_by_their_paths() -> None:
    """Keys that no struct names are listed, at every depth and in every element of a list, and are kept in raw."""
    answer = answer_of(
        BizLicense,
        {
            "newPart": {"deep": {"deeper": 1}},
            "result": {
                "newField": [],
                "repName": [{"text": "a", "newInCell": 1}, {"text": "b", "boundingPolys": [{"newInPoly": 0}]}],
                "taxType": 5,
                "bisType": {"newInLonelyCell": 1},
            },
        },
    )
    answer["newAtTop"] = None
    answer["images"][0]["newInImage"] = {}
    answer["images"].append(None)
    recognition = decode(answer, BizLicense)
    assert sorted(recognition.unknown_fields()) == [
        "images[0].bizLicense.newPart",
        "images[0].bizLicense.result.bisType.newInLonelyCell",
        "images[0].bizLicense.result.newField",
        "images[0].bizLicense.result.repName[0].newInCell",
        "images[0].bizLicense.result.repName[1].boundingPolys[0].newInPoly",
        "images[0].newInImage",
        "newAtTop",
    ]
    assert recognition.to_dict() == answer["images"][0]
    assert json.loads(recognition.raw) == answer


@pytest.mark.parametrize(
    "strange", [b"1e400", b"9" * 5000, b'"\xff"', b"[" * 500 + b"]" * 500, b"12345678901234567890123"]
)
def test_strange_unknown_values_can_be_listed_and_kept(strange: bytes) -> None:
    """Values that the typed decoder skipped break neither unknown_fields nor to_dict."""
    recognition = decode(b'{"images":[{"receipt":{"meta":{}},"new":%s}]}' % strange, Receipt)
    assert recognition.problems == ()
    assert list(recognition.unknown_fields()) == ["images[0].new"]
    assert set(recognition.to_dict()) == {"receipt", "new"}
    assert strange in recognition.raw


def test_a_recognition_names_the_answers_own_words() -> None:
    """The envelope's fields are attributes of the recognition."""
    answer = answer_of(Receipt, {"meta": {}})
    answer["images"][0]["validationResult"] = {"result": "VALID", "message": "fine"}
    recognition: Recognition[Receipt] = decode(answer, Receipt)
    image = answer["images"][0]
    assert (recognition.uid, recognition.name, recognition.infer_result, recognition.message) == (
        image["uid"],
        image["name"],
        "SUCCESS",
        "SUCCESS",
    )
    assert (recognition.request_id, recognition.timestamp) == (answer["requestId"], answer["timestamp"])
    assert (recognition.validation_result.result, recognition.validation_result.message) == ("VALID", "fine")
