"""The printed form of an answer: names and lengths, never a value."""

from __future__ import annotations

import json
import pprint
import traceback
from typing import Any

import msgspec
import pytest
from rich.pretty import pretty_repr
from support.answers import (
    DOCUMENT_TABLES,
    OBJECTS,
    Maker,
    answer_of,
    at,
    decode,
    full_document,
    leaves,
)

from clova_ocr_async.documents import (
    Checksum,
    Document,
    FormattedValue,
    Receipt,
    Recognition,
    StringObject,
    VendorObject,
)
from clova_ocr_async.errors import ClovaOCRError, MalformedResponseError, RecognitionError
from clova_ocr_async.protocol import HTTPResponse


def secrets_in(wire: Any) -> list[str]:
    """Return how each leaf of a wire value would show itself if it were printed."""
    shown = []
    for _, leaf in leaves(wire):
        if not isinstance(leaf, bool):
            shown.append(str(leaf))
            shown.append(str(leaf).rpartition(".")[0] or str(leaf))
    return shown


def printed(value: object) -> str:
    """Return all that printing a value by any usual way shows."""
    return "\n".join(
        [repr(value), str(value), f"{value}", f"{value!a}", pprint.pformat(value), pretty_repr(value), repr([value])]
    )


def assert_silent(value: object, wire: Any) -> None:
    """Assert that no printing of a value shows any leaf of a wire value."""
    text = printed(value)
    assert [secret for secret in secrets_in(wire) if secret in text] == []


def objects_in(value: object) -> list[VendorObject]:
    """Return every object inside a document, itself included."""
    if isinstance(value, VendorObject):
        inner = [getattr(value, name) for name in value.__struct_fields__]
        return [value, *(found for item in inner for found in objects_in(item))]
    return [found for item in value for found in objects_in(item)] if isinstance(value, tuple) else []


def telling_answer(cls: type[Document]) -> dict[str, Any]:
    """Return an answer with a canary in every leaf but those the package sent itself."""
    maker, answer = Maker(), answer_of(cls, full_document(cls))
    words = {name: f"word{maker.make('string')}" for name in ("uid", "name", "message")}
    answer["images"][0].update(words)
    answer["images"][0]["validationResult"] = {"result": "resultcanary", "message": "messagecanary"}
    answer["images"][0]["convertedImageInfo"] = {"width": 880001, "height": 880002, "pageIndex": 880003}
    return answer


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_a_recognition_prints_no_value(cls: type[Document]) -> None:
    """Printing a recognition, or any object in it, shows the names and no value of its answer."""
    answer = telling_answer(cls)
    recognition = decode(answer, cls)
    image = {**answer["images"][0], "inferResult": True}
    for value in (recognition, *objects_in(recognition.document), recognition.validation_result):
        assert_silent(value, image)
    assert_silent(recognition.converted_image_info, image)
    assert "True" not in repr(recognition.document)
    assert type(recognition.document).__name__ in repr(recognition)
    assert f"raw=<{len(recognition.raw)} bytes>" in repr(recognition)


@pytest.mark.parametrize("name", OBJECTS)
def test_a_shared_object_prints_no_value(name: str) -> None:
    """A shared object prints names and lengths."""
    wire = Maker().make(name)
    assert_silent(msgspec.json.decode(json.dumps(wire), type=OBJECTS[name]), wire)


def test_what_is_printed_helps() -> None:
    """Names and lengths of what is there are printed, and nothing of what is not."""
    cell = StringObject(
        wire_text="secret", formatted=FormattedValue(wire_value=1234567), wire_confidence_score=0.5, bounding_polys=()
    )
    assert repr(cell) == "<text, 6 characters; .value>"
    assert repr(StringObject()) == "StringObject()"
    assert repr(Checksum(wire_found={"secret": 1})) == "Checksum(found=<1 items>)"


def test_what_a_log_wants_is_printed() -> None:
    """The number of attempts and a documented inferResult are shown as they are."""
    recognition = decode(answer_of(Receipt, {"meta": {}}), Receipt)
    assert "infer_result='SUCCESS'" in repr(recognition)
    assert "attempts=1" in repr(recognition)


def error_of(answer: Any, cls: type[Document]) -> ClovaOCRError:
    """Return the error an answer is decoded to."""
    with pytest.raises(ClovaOCRError) as caught:
        decode(answer, cls)
    return caught.value


@pytest.mark.parametrize("infer_result", ["FAILURE", "ERROR"])
@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_a_failed_recognition_prints_no_value(cls: type[Document], infer_result: str) -> None:
    """A RecognitionError shows nothing of the answer it carries, in its traceback neither."""
    answer = telling_answer(cls)
    answer["images"][0]["inferResult"] = infer_result
    error = error_of(answer, cls)
    assert isinstance(error, RecognitionError)
    assert isinstance(error.recognition, Recognition)
    assert error.recognition.document
    assert_silent(error, {**answer["images"][0], "inferResult": True})
    assert_silent("".join(traceback.format_exception(error)), {**answer["images"][0], "inferResult": True})


def test_an_unreadable_answer_prints_no_value() -> None:
    """A MalformedResponseError shows nothing of the bytes it carries."""
    body = json.dumps(telling_answer(Receipt)).encode()
    for raw in (body[:-1], body + b"x", json.dumps([telling_answer(Receipt)]).encode()):
        error = error_of(raw, Receipt)
        assert isinstance(error, MalformedResponseError)
        assert error.raw == raw
        assert_silent(error, telling_answer(Receipt)["images"][0])
        assert_silent("".join(traceback.format_exception(error)), telling_answer(Receipt)["images"][0])


def test_an_answer_off_the_wire_prints_no_value() -> None:
    """An HTTPResponse shows its status and length, and whether it is cut."""
    assert repr(HTTPResponse(200, b"secret", {"x": "secret"})) == "HTTPResponse(200, <6 bytes>)"
    assert repr(HTTPResponse(200, b"secret", cut="by whom")) == "HTTPResponse(200, <6 bytes>, cut)"


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_problems_print_no_value(cls: type[Document]) -> None:
    """Problems show places and kinds: a misfit's value is printed nowhere."""
    wire = full_document(cls)
    for steps, leaf in list(leaves(wire)):
        at(wire, steps[:-1])[steps[-1]] = [leaf, leaf]
    recognition = decode(answer_of(cls, wire), cls)
    assert len(recognition.problems) > 0
    assert_silent(recognition.problems, wire)
    assert_silent(recognition, wire)


def test_rich_prints_what_repr_prints() -> None:
    """The form of an answer in rich has no quotes around numbers and descriptions."""
    recognition = Recognition(document=Receipt(), attempts=2, infer_result="SUCCESS", uid="u" * 9)
    printed = pretty_repr(recognition, max_width=1000)
    assert printed == repr(recognition)
    assert "attempts=2" in printed
    assert "infer_result='SUCCESS'" in printed
    assert "uid=<9 characters>" in printed
