from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.protocol import HTTPResponse
from clova_ocr_async.protocol.answer_image_object import image_object
from clova_ocr_async.protocol.response import decode_response, encode_response

SAMPLES = sorted((Path(__file__).parent.parent / "samples").glob("**/*.json"))
VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5), st.none() | st.text(), st.text(), st.booleans())
def test_the_image_object_says_what_the_answer_says(image: Any, uid: Any, request_id: str, after_null: bool) -> None:
    """The image object that is cut out of any answer equals the decoded one, and so do its ids."""
    image["uid"] = uid
    body = encode_response(request_id, 0, image)
    if after_null:
        body = body.replace(b'"images":[', b'"images":[null,')
    found = image_object(body)
    assert found is not None
    assert msgspec.json.decode(found.raw) == image
    assert (found.uid, found.request_id) == (uid, request_id)
    assert b"\n" not in memoryview(found.raw).tobytes()


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
@pytest.mark.parametrize("compact", [True, False])
def test_samples_come_out_as_they_are_decoded(path: Path, compact: bool) -> None:
    """The image objects of the vendor's answers are equal, cut out or decoded; one on many lines is decoded."""
    body = path.read_bytes()
    if compact:
        body = msgspec.json.encode(msgspec.json.decode(body))
    for document in DOCUMENTS.values():
        try:
            recognition = decode_response(HTTPResponse(200, body), document)
        except ClovaOCRError:
            continue
        found = image_object(body)
        if found is None:
            assert not compact
            continue
        assert msgspec.json.decode(found.raw) == recognition.to_dict()
        assert (found.uid, found.request_id) == (recognition.uid, recognition.request_id)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"images":[]}',
        b'{"images":[null]}',
        b'{"images":{"uid":"u"}}',
        b'{"images":["text",{"uid":"u"}]}',
        b'{"images":[{"uid":1}]}',
        b'{"images":[{}],"requestId":1}',
        b'{"images":[{"uid":\n"u"}]}',
        b'{"images":[{"uid":\r"u"}]}',
        b'{"images":[{"name":"\xff"}]}',
        b'{"images":[{"name":"\\ud800"}]}',
        b'{"images":[{"name":nul}]}',
        b'{"images":[' + b'{"a":' * 100_000,
    ],
    ids=range(15),
)
def test_what_is_not_as_expected_is_left_to_the_decoder(body: bytes) -> None:
    """An object that is not on one line, or has another shape, is not cut out."""
    assert image_object(body) is None


def test_numbers_stay_as_they_are_spelled() -> None:
    """The raw object keeps the digits of its numbers."""
    found = image_object(b'{"images":[{"inferConfidence":0.99810}]}')
    assert found is not None
    assert bytes(found.raw) == b'{"inferConfidence":0.99810}'
    assert repr(found) == "ImageObject(<27 bytes>)"
