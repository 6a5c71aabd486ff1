"""The requestId of an answer, and refusals: found without decoding the body."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.answers import samples

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import APIError, ClovaOCRError, MalformedResponseError
from clova_ocr_async.protocol import HTTPResponse
from clova_ocr_async.protocol.response import decode_response, is_answer_to, may_be_error, unpaid_error

if TYPE_CHECKING:
    from pathlib import Path

IDS = st.uuids().map(str) | st.text(max_size=12)


@settings(deadline=None)
@given(IDS, IDS, st.sampled_from([None, 2]), st.booleans())
def test_an_answer_belongs_to_the_request_it_names(
    ours: str, theirs: str, indent: int | None, ascii_only: bool
) -> None:
    """An answer with a requestId, in any spelling of JSON, is the answer to that request and no other."""
    body = json.dumps({"version": "V2", "requestId": theirs, "images": []}, indent=indent, ensure_ascii=ascii_only)
    same = theirs.strip() in {"", ours.strip()}
    assert is_answer_to(body.encode(), ours) is same


@settings(deadline=None)
@given(st.binary(), st.uuids().map(str))
def test_any_bytes_have_an_owner_or_none(body: bytes, ours: str) -> None:
    """Bytes without a requestId may be the answer, and bytes with another requestId are not."""
    assert is_answer_to(body, ours) or b'"requestId"' in body
    assert not is_answer_to(b'{"requestId":"other","x":' + body.replace(b"requestId", b""), ours)


@pytest.mark.parametrize("path", samples("real"), ids=lambda path: path.stem)
@pytest.mark.parametrize("cut", [1.0, 0.6])
def test_a_captured_answer_of_another_call(path: Path, cut: float) -> None:
    """A captured answer, complete or cut behind its requestId, is neither the answer to a new call nor an error."""
    found = json.loads(path.read_bytes())
    body = json.dumps({"requestId": "captured"} | found | {"requestId": "captured"}).encode()
    part = body[: int(len(body) * cut)]
    assert not is_answer_to(part, str(uuid.uuid4()))
    assert is_answer_to(part, "captured")
    assert may_be_error(body) is False


@pytest.mark.parametrize(
    ("body", "possible"),
    [
        (b'{"images":[{"receipt":{"code":1}}]}', False),
        (b'{"images":[],"code":null,"error":null}', False),
        (b'{"images":[],"code":"0025"}', True),
        (b'{"error":{"errorCode":"420"}}', True),
        (b'{"code":\xff}', True),
        (b"no JSON", True),
        (b"[]", True),
        (b"", True),
    ],
)
def test_what_may_be_an_error(body: bytes, possible: bool) -> None:
    """A body with neither code nor error at its top is not an error; any other may be one."""
    assert may_be_error(body) is possible


def ended(response: HTTPResponse) -> ClovaOCRError | None:
    """Return the error that decoding an answer raises, or None."""
    try:
        decode_response(response, DOCUMENTS["receipt"], request_id="mine")
    except ClovaOCRError as error:
        return error
    return None


VALUES: st.SearchStrategy[Any] = st.none() | st.just("") | st.just("0025") | st.just(25) | st.just("7777")
ERRORS: st.SearchStrategy[Any] = st.none() | st.just({}) | st.just({"errorCode": "420"}) | st.just("Not Found")
IMAGE: st.SearchStrategy[Any] = (
    st.none() | st.just({}) | st.just({"uid": "u"}) | st.just({"receipt": {"result": {}}}) | st.just({"x": 1})
)
ALL: st.SearchStrategy[Any] = st.none() | st.just({}) | st.lists(IMAGE, max_size=2)


@settings(deadline=None)
@given(VALUES, ERRORS, ALL, st.sampled_from([200, 400, 500]), st.sampled_from([None, "mine", "other"]))
def test_what_is_refused_is_what_is_raised(
    code: object, error: object, images: object, status: int, owner: object
) -> None:
    """An answer is a refusal exactly if decoding it raises an error without a paid answer."""
    body = msgspec.json.encode({"requestId": owner, "code": code, "error": error, "images": images})
    response = HTTPResponse(status, body)
    refusal = unpaid_error(response, DOCUMENTS["receipt"], request_id="mine")
    raised = ended(response)
    if owner == "other":
        assert isinstance(raised, MalformedResponseError)
        assert raised.raw == body
    if isinstance(raised, APIError) and not raised.raw:
        assert refusal is not None
        assert (type(refusal), refusal.code) == (type(raised), raised.code)
    else:
        assert refusal is None
