"""Large answers: bounded work, bounded memory, and an event loop that goes on."""

from __future__ import annotations

import tracemalloc

import pytest
from support.fakes import JPEG, SECRET, FakeTransport, Sent, answering, domain, http, parsed, raw_server

from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt, Recognition
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import Billing, MalformedResponseError
from clova_ocr_async.protocol.response import MAX_BODY_BYTES, HTTPResponse, decode_response, encode_response

MIB = 1024 * 1024
NAME = b'{"images":[{"receipt":{"result":{"storeInfo":{"name":{"boundingPolys":['
JUNK = {
    "images": (b'{"images":[', b"{}", b"]}"),
    "empty polygons": (NAME, b"{}", b"]}}}}}]}"),
    "vertices": (NAME + b'{"vertices":[', b'{"x":1}', b"]}]}}}}}]}"),
    "misfits": (NAME + b'{"vertices":[', b'{"x":"a"}', b"]}]}}}}}]}"),
    "images that are none": (b'{"images":[', b"1", b"]}"),
    "unknown arrays": (b'{"images":[{"receipt":{"result":{}}}],"timestamp":"x","y":[', b"[]", b"]}"),
}


def junk(name: str, size: int) -> bytes:
    """Return a body of about a size that is nearly all one small value."""
    head, unit, tail = JUNK[name]
    return head + b",".join([unit] * ((size - len(head) - len(tail)) // (len(unit) + 1))) + tail


def read(body: bytes) -> Recognition[Receipt] | MalformedResponseError:
    """Decode an answer that may hold no image."""
    try:
        return decode_response(HTTPResponse(200, body), Receipt)
    except MalformedResponseError as error:
        return error


@pytest.mark.parametrize("name", JUNK)
def test_junk_of_any_shape_is_not_built(name: str) -> None:
    """A body of some megabytes of tiny values is kept and refused before anything is built of it."""
    body = junk(name, MAX_BODY_BYTES)
    tracemalloc.start()
    try:
        with pytest.raises(MalformedResponseError, match="more than 500,000 values") as caught:
            decode_response(HTTPResponse(200, body), Receipt, request_id="mine")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.raw is body
    assert caught.value.billing is Billing.BILLED
    assert peak < MIB


@pytest.mark.parametrize("name", JUNK)
def test_as_much_as_is_read_takes_bounded_memory(name: str) -> None:
    """An answer that is not refused takes no more than 300 bytes a value, whatever its values."""
    head, unit, tail = JUNK[name]
    count = 40_000 // sum(map((unit + b",").count, (b"{", b"[", b",")))
    body = head + b",".join([unit] * count) + tail
    tracemalloc.start()
    try:
        found = read(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "more than" not in str(found)
    assert isinstance(found, MalformedResponseError) or len(found.problems) <= 1000
    assert peak < 40_000 * 300


def test_a_long_answer_is_read() -> None:
    """A receipt of 6,000 lines is read to its last line."""
    cell = {"text": "가나다라 1,234", "boundingPolys": [{"vertices": [{"x": 1234.0, "y": 567.0}] * 4}]}
    items = [{"name": {**cell, "text": str(number)}, "count": cell, "price": {"price": cell}} for number in range(6000)]
    body = encode_response(
        "r", 0, {"inferResult": "SUCCESS", "receipt": {"result": {"subResults": [{"items": items}]}}}
    )
    assert 2.5 * MIB < len(body) < MAX_BODY_BYTES
    recognition = decode_response(HTTPResponse(200, body), Receipt, request_id="r")
    found = recognition.document.result.sub_results[0].items
    assert (len(found), found[-1].name.text) == (6000, "5999")


async def test_a_large_answer_is_read_as_a_small_one() -> None:
    """A call whose answer is large gives what one with a small answer gives, and raises what it raises."""

    async def large(sent: Sent) -> HTTPResponse:
        image = {"receipt": {"result": {}}, "inferResult": "SUCCESS", "more": "y" * 2 * MIB}
        return HTTPResponse(200, encode_response(parsed(sent.request).request_id, 0, image))

    async def foreign(_: Sent) -> HTTPResponse:
        return HTTPResponse(200, encode_response("other", 0, {"receipt": {"result": {}}, "more": "y" * 2 * MIB}))

    client = ClovaOCRClient(domain(), transport=FakeTransport(large, foreign))
    assert len((await client.recognize(JPEG, Receipt)).raw) > 2 * MIB
    with pytest.raises(MalformedResponseError, match="another call's requestId"):
        await client.recognize(JPEG, Receipt)


async def test_an_answer_over_the_limit_is_kept_as_far() -> None:
    """An answer that is too long is cut, kept up to there, and its request is not sent again."""
    body = junk("images", MAX_BODY_BYTES + MIB)
    async with raw_server(answering(http(body))) as server, ClovaOCRClient(Domain(server.url, SECRET)) as client:
        with pytest.raises(MalformedResponseError, match="larger than 8 MiB") as caught:
            await client.recognize(JPEG, Receipt)
    assert body.startswith(caught.value.raw)
    assert MAX_BODY_BYTES < len(caught.value.raw) < MAX_BODY_BYTES + MIB
    assert caught.value.attempts == 1
