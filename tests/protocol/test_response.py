"""Decoding of answers, any bytes under any status, and encoding."""

from __future__ import annotations

import json
import types
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.answers import SAMPLES, answer_of, decode, document_of, full_document, samples

from clova_ocr_async.documents import DOCUMENTS, Document, Receipt, Recognition, VendorObject
from clova_ocr_async.errors import (
    APIError,
    ClovaOCRError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ServerError,
)
from clova_ocr_async.protocol import HTTPResponse
from clova_ocr_async.protocol.response import decode_response, encode_error, encode_response, unpaid_error

ObjectT = TypeVar("ObjectT", bound=VendorObject)

DOCUMENT_CLASSES = list(DOCUMENTS.values())


def outcome_of(response: HTTPResponse, cls: type[Document]) -> Recognition[Document] | ClovaOCRError:
    """Decode an answer; anything but a recognition or one of our errors goes through and fails the test."""
    try:
        return decode_response(response, cls)
    except ClovaOCRError as error:
        return error


def assert_nothing_lost(response: HTTPResponse, cls: type[Document]) -> None:
    """Assert that an answer becomes a usable recognition or one of our errors, and a paid body is kept."""
    outcome = outcome_of(response, cls)
    if isinstance(outcome, RecognitionError):
        assert outcome.recognition is not None
        outcome = outcome.recognition
    if isinstance(outcome, MalformedResponseError):
        assert outcome.raw is response.body
        assert outcome.status == response.status
    elif isinstance(outcome, Recognition):
        assert outcome.raw is response.body
        assert outcome.to_dict() is not None
        assert isinstance(list(outcome.unknown_fields()), list)
        assert msgspec.json.encode(outcome.document)
        assert repr(outcome)
    else:
        assert isinstance(outcome, APIError)
        assert outcome.status == response.status
    if response.status // 100 != 2:
        assert isinstance(outcome, APIError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
WORDS = st.sampled_from(
    [
        *("images", "receipt", "creditCard", "idCard", "passport", "result", "meta", "fields", "inferResult", "uid"),
        *("code", "message", "error", "errorCode", "timestamp", "requestId", "storeInfo", "name", "text", "formatted"),
        *("value", "boundingPolys", "vertices", "x", "passportResult", " passportResult", "", "convertedImageInfo"),
    ]
)
PLAUSIBLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["SUCCESS", "FAILURE", "25"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
IMAGES = st.builds(
    lambda image, more: {**more, "images": [image]},
    st.dictionaries(WORDS, PLAUSIBLE, max_size=4),
    st.dictionaries(WORDS, PLAUSIBLE, max_size=2),
)
BODIES = st.binary() | st.builds(lambda value: json.dumps(value).encode(), JSON | PLAUSIBLE | IMAGES)
STATUSES = st.just(200) | st.sampled_from([201, 204, 302, 400, 401, 429, 500, 503]) | st.integers(100, 999)


@given(BODIES, STATUSES, st.sampled_from(DOCUMENT_CLASSES))
@example(b"", 200, Receipt)
@example(b'{"images":[{"receipt":{}}]}', 200, Receipt)
@example(b'{"images":[{"receipt":{},"inferResult":"ERROR"}]}', 200, Receipt)
@example(b'{"images":[[{"receipt":{}}]]}', 200, Receipt)
@example(b'{"images":[{"receipt":{"meta":{"estimatedLanguage":"\\ud800"}}}],"version":1e400}', 200, Receipt)
@example(b'{"code":' + b"9" * 5000 + b"}", 400, Receipt)
@example(b'{"images":{"receipt":{}},"x":"\xff"}', 200, Receipt)
def test_any_bytes_under_any_status(body: bytes, status: int, cls: type[Document]) -> None:
    """Any bytes under any status become a recognition or one of our errors; a body under 2xx is kept."""
    assert_nothing_lost(HTTPResponse(status, body), cls)


COMPACT = {
    path.stem: json.dumps(json.loads(path.read_bytes()), ensure_ascii=False, separators=(",", ":")).encode()
    for path in samples("specification")
}


@given(st.sampled_from(sorted(COMPACT)), st.integers(0, 10**6), st.integers(0, 40), st.binary(max_size=12))
def test_a_damaged_answer(name: str, start: int, length: int, instead: bytes) -> None:
    """An answer with some bytes replaced keeps the paid body."""
    body = COMPACT[name]
    start %= len(body)
    damaged = body[:start] + instead + body[start + length :]
    assert_nothing_lost(HTTPResponse(200, damaged), DOCUMENTS[name])


@pytest.mark.parametrize(("name", "step"), [("credit-card", 1), ("passport", 1), ("receipt", 41), ("id-card", 41)])
def test_a_cut_answer_is_never_half_a_result(name: str, step: int) -> None:
    """A body that is cut anywhere is malformed and kept: half a result is never returned."""
    body, cls = COMPACT[name], DOCUMENTS[name]
    for end in [*range(0, len(body), step), len(body) - 1]:
        outcome = outcome_of(HTTPResponse(200, body[:end]), cls)
        assert isinstance(outcome, MalformedResponseError)
        assert outcome.raw == body[:end]
    assert isinstance(outcome_of(HTTPResponse(200, body), cls), Recognition)


def test_a_body_that_is_known_to_be_cut() -> None:
    """A body that the transport reports as cut is malformed, even if it is readable, and the error has the reason."""
    body = json.dumps(answer_of(Receipt, {"meta": {}})).encode()
    outcome = outcome_of(HTTPResponse(200, body, cut="3 of 5 bytes came"), Receipt)
    assert isinstance(outcome, MalformedResponseError)
    assert "3 of 5 bytes came" in str(outcome)
    assert outcome.raw is body


def test_a_cut_error_is_still_that_error() -> None:
    """An error status, or an error body, is that error although its body was cut."""
    error = outcome_of(HTTPResponse(503, b'{"cod', cut="lost"), Receipt)
    assert isinstance(error, APIError)
    whole = outcome_of(HTTPResponse(200, b'{"code":"0025"}', cut="lost"), Receipt)
    assert isinstance(whole, APIError)
    assert whole.code == "0025"


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b"[" * 200_000 + b"]" * 200_000,
        b'{"images":[{"receipt":' + b'{"result":' * 100_000,
        b'{"images":[{"receipt":{},"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
        b'{"images":[{"receipt":{"meta":{"estimatedLanguage":' + b"[" * 100_000 + b"]" * 100_000 + b"}}}]}",
        b'{"images":[{"fields":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    ],
)
def test_nesting_deeper_than_anyone_reads(body: bytes) -> None:
    """An endlessly nested body is malformed under 200, and the status's error otherwise."""
    outcome = outcome_of(HTTPResponse(200, body), Receipt)
    assert isinstance(outcome, MalformedResponseError)
    assert outcome.raw is body
    assert isinstance(outcome_of(HTTPResponse(500, body), Receipt), APIError)


GOOD = b'{"images":[{"receipt":{"meta":{"estimatedLanguage":"ko"}}}]}'


@pytest.mark.parametrize(
    "body",
    [
        GOOD.decode().encode("utf-16"),
        GOOD + b"x",
        GOOD + GOOD,
        GOOD[:-1] + b",}",
        GOOD.replace(b'"', b"'"),
        b"  ",
        b"null",
        b'"SUCCESS"',
        b"[" + GOOD + b"]",
        b"<html>200 OK</html>",
        b"{}",
        b'{"images":null}',
        b'{"images":[]}',
        b'{"images":[null]}',
        b'{"images":["receipt"]}',
        b'{"images":"receipt"}',
        b'{"images":[{}]}',
        b'{"images":[{"inferResult":"SUCCESS"}]}',
        b'{"images":[{"inferResult":"SUCCESS","receipt":null}]}',
        b'{"images":[{"inferResult":"failure"}]}',
        b'{"message":"no code"}',
    ],
)
def test_a_successful_status_without_a_result(body: bytes) -> None:
    """A body without a document under a successful status is malformed, billed, and kept byte for byte."""
    outcome = outcome_of(HTTPResponse(200, body), Receipt)
    assert isinstance(outcome, MalformedResponseError)
    assert outcome.raw is body


def test_a_byte_order_mark_is_passed_over() -> None:
    """A byte order mark before the JSON does no harm."""
    outcome = outcome_of(HTTPResponse(200, b"\xef\xbb\xbf" + GOOD), Receipt)
    assert isinstance(outcome, Recognition)


def test_blanks_around_an_answer() -> None:
    """White space around the JSON does no harm."""
    assert decode(b"\r\n " + GOOD + b"\n", Receipt).document.meta.estimated_language == "ko"


@pytest.mark.parametrize("rest", [b"", b',"version":2'])
def test_of_keys_that_come_twice_the_last_one_counts(rest: bytes) -> None:
    """Keys that come twice are read alike by the typed decoder and by the lenient walk."""
    twice = b'{"images":[{"receipt":{"meta":{"estimatedLanguage":"ja","estimatedLanguage":"ko"}}}]%s}' % rest
    assert decode(twice, Receipt).document.meta.estimated_language == "ko"


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_2xx_is_a_success(status: int) -> None:
    """Under a successful status the document decides about success."""
    assert decode(GOOD, Receipt, status).document.meta.estimated_language == "ko"


@pytest.mark.parametrize("cls", DOCUMENT_CLASSES, ids=lambda cls: cls.path_word)
def test_an_answer_without_its_envelope(cls: type[Document]) -> None:
    """A document without inferResult, or without any other field around it, is a success."""
    answer = answer_of(cls, full_document(cls))
    whole, image = decode(answer, cls), answer["images"][0]
    for holder in (answer, image):
        for name in [name for name in holder if name not in {"images", cls.answer_key}]:
            kept = holder.pop(name)
            recognition = decode(answer, cls)
            assert recognition.document == whole.document
            assert recognition.problems == ()
            holder[name] = kept
    bare = decode({"images": [{cls.answer_key: image[cls.answer_key]}]}, cls)
    assert bare.document == whole.document
    assert (bare.uid, bare.infer_result, bare.message, bare.request_id, bare.timestamp) == (None,) * 5


@pytest.mark.parametrize("infer_result", ["SUCCESS", "PARTIAL", "", None, "success"])
def test_any_other_infer_result_with_a_document(infer_result: str | None) -> None:
    """Only FAILURE and ERROR fail an answer with a document; any other inferResult is kept unchanged."""
    answer = answer_of(Receipt, {"meta": {}})
    answer["images"][0]["inferResult"] = infer_result
    assert decode(answer, Receipt).infer_result == infer_result


@pytest.mark.parametrize(
    ("status", "body", "refusal"),
    [
        (200, b'{"images": [{"receipt": {}}]}', None),
        (200, b'{"images": [{"fields": []}]}', None),
        (200, b"", None),
        (200, b"<html>", None),
        (200, b'{"requestId": "1"}', None),
        (200, encode_error("0025", "", path="", trace_id="", timestamp=1), RateLimitError),
        (400, encode_error("0023", "", path="", trace_id="", timestamp=1), QuotaExceededError),
        (503, b"<html>", ServerError),
    ],
)
def test_a_refusal_is_told_from_what_may_be_paid_for(status: int, body: bytes, refusal: type[APIError] | None) -> None:
    """Only an error answer holds nothing to keep: any other may be paid, readable or not."""
    found = unpaid_error(HTTPResponse(status, body), Receipt)
    assert (None if found is None else type(found)) is refusal


def test_a_body_is_kept_as_it_came() -> None:
    """The recognition holds the very bytes of the answer."""
    body = (SAMPLES / "specification" / "receipt.json").read_bytes()
    assert decode(body, Receipt).raw is body


# --- the way back --------------------------------------------------------------------------------------------------


@st.composite
def structs(draw: st.DrawFn, cls: type[ObjectT]) -> ObjectT:
    """Make a struct with up to three of its fields set, to anything their types allow."""
    hints = get_type_hints(cls)
    names = draw(st.lists(st.sampled_from(cls.__struct_fields__), max_size=3, unique=True))
    return cls(**{name: draw(values(hints[name])) for name in names})


def values(type_: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for what a field's type allows, except for None."""
    if get_origin(type_) in {Union, types.UnionType}:
        return st.one_of([values(part) for part in get_args(type_) if part is not type(None)])
    if get_origin(type_) is tuple:
        return st.lists(values(get_args(type_)[0]), max_size=2).map(tuple)
    if isinstance(type_, type) and issubclass(type_, VendorObject):
        return structs(type_)
    scalars: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=8),
        int: st.integers(-(2**63), 2**64 - 1),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
    }
    return scalars[type_]


DOCUMENT_VALUES = st.one_of([structs(cls) for cls in DOCUMENT_CLASSES])


@settings(max_examples=200)
@given(DOCUMENT_VALUES, st.text(), st.integers(0, 2**63 - 1), st.text())
def test_a_written_answer_is_read(document: Document, request_id: str, timestamp: int, name: str) -> None:
    """Any document written as an answer is read back equal, and encodes alike."""
    image = {document.answer_key: document, "uid": "u", "name": name, "inferResult": "SUCCESS"}
    recognition = decode(encode_response(request_id, timestamp, image), type(document))
    assert recognition.problems == ()
    assert recognition.document == document
    assert msgspec.json.encode(recognition.document) == msgspec.json.encode(document)
    assert (recognition.request_id, recognition.timestamp, recognition.name) == (request_id, timestamp, name)


@settings(max_examples=200)
@given(DOCUMENT_VALUES)
def test_the_lenient_walk_reads_any_document_alike(document: Document) -> None:
    """The lenient walk reads any valid document as the typed decoder does."""
    answer = answer_of(type(document), json.loads(msgspec.json.encode(document)))
    recognition = decode({**answer, "version": 2}, type(document))
    assert [problem.path for problem in recognition.problems] == ["version"]
    assert msgspec.json.encode(recognition.document) == msgspec.json.encode(document)


@pytest.mark.parametrize("path", samples("real"), ids=lambda path: path.stem)
def test_plain_values_are_written_as_structs_are(path: Any) -> None:
    """A document of plain values is encoded like a struct, and the timestamp is echoed unchanged."""
    cls, wire = document_of(json.loads(path.read_bytes()))
    plain = encode_response("r", "yesterday", {cls.answer_key: wire})
    struct = encode_response("r", "yesterday", {cls.answer_key: decode(plain, cls).document})
    assert json.loads(plain) == json.loads(struct)
    assert json.loads(plain)["timestamp"] == "yesterday"
    assert json.loads(plain)["version"] == "V2"
