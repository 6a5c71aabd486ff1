"""A connection may carry the answer to another call, and that is never returned."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.fakes import (
    JPEG,
    PATIENT,
    SECRET,
    Connection,
    FakeTime,
    FakeTransport,
    Sent,
    a_request,
    domain,
    http,
    raw_server,
    steps,
)

from clova_ocr_async.client import ClovaOCRClient, RequestProgress, RetryPolicy
from clova_ocr_async.client.transport import BodyPayload
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, Fault
from clova_ocr_async.errors import Billing, ConnectionFailedError, MalformedResponseError
from clova_ocr_async.protocol.request import parse_request
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

READ = {"inferResult": "SUCCESS", "receipt": {"result": {"storeInfo": {"name": {"text": "SHOP"}}}}}


def answer_to(request: tuple[bytes, bytes], shop: str = "SHOP") -> bytes:
    """Return the whole answer to a request off the wire."""
    head, body = request
    line = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-type:"))
    came = parse_request(line.partition(b":")[2].decode(), body)
    read = {"inferResult": "SUCCESS", "receipt": {"result": {"storeInfo": {"name": {"text": shop}}}}}
    return http(encode_response(came.request_id, came.timestamp, {"uid": "u", "name": came.name, **read}))


@pytest.fixture(params=["own", "callers"])
async def session(request: pytest.FixtureRequest) -> AsyncGenerator[aiohttp.ClientSession | None]:
    """The client's own session, and one of the caller's."""
    if request.param == "own":
        yield None
        return
    async with aiohttp.ClientSession() as session:
        yield session


async def test_a_late_duplicate_is_not_the_next_answer(session: aiohttp.ClientSession | None) -> None:
    """An answer that comes a second time on its connection is never the answer of the next call there."""

    async def script(connection: Connection) -> None:
        first = answer_to(await connection.request(), "FIRST")
        await connection.send(first)
        second = answer_to(await connection.request(), "SECOND")
        await connection.send(first + second)
        if server.connections == 1:
            await connection.hung_up()

    async with raw_server(script) as server, ClovaOCRClient(Domain(server.url, SECRET), session=session) as client:
        assert (await client.recognize(JPEG, Receipt)).document.result.store_info.name.value == "FIRST"
        with pytest.raises(MalformedResponseError, match="another call's requestId") as caught:
            await client.recognize(JPEG + b"2", Receipt)
        assert b"FIRST" in caught.value.raw
        assert (caught.value.billing, caught.value.retryable, caught.value.maybe_billed) == (
            Billing.MAYBE_BILLED,
            False,
            1,
        )
        await server.hung_up.wait()
        assert (await client.recognize(JPEG + b"3", Receipt)).document.result.store_info.name.value == "FIRST"
    assert server.connections == 2


async def test_an_answer_that_nobody_asked_for(session: aiohttp.ClientSession | None) -> None:
    """A connection that brought something while it was idle is not used again, and its call is not maybe billed."""
    go_on, sent = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        answer = answer_to(await connection.request())
        await connection.send(answer)
        if server.connections == 1:
            await go_on.wait()
            await connection.send(answer.replace(b"SHOP", b"IDLE"))
            sent.set()
            await connection.hung_up()

    runtime = FakeTime().runtime()
    async with (
        raw_server(script) as server,
        ClovaOCRClient(Domain(server.url, SECRET), session=session, runtime=runtime) as client,
    ):
        await client.recognize(JPEG, Receipt)
        go_on.set()
        await sent.wait()
        await steps()
        second = await client.recognize(JPEG + b"2", Receipt)
        assert second.document.result.store_info.name.value == "SHOP"
        assert second.maybe_billed == 0
        await server.hung_up.wait()
    assert server.connections == 2


async def test_a_connection_with_something_unread_has_sent_nothing(session: aiohttp.ClientSession | None) -> None:
    """The call that finds such a connection fails as one that has sent nothing."""
    go_on, sent = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        answer = answer_to(await connection.request())
        await connection.send(answer)
        await go_on.wait()
        await connection.send(answer)
        sent.set()
        assert await connection.reader.read() == b""

    async with (
        raw_server(script) as server,
        ClovaOCRClient(Domain(server.url, SECRET), session=session, retry=RetryPolicy(max_attempts=1)) as client,
    ):
        await client.recognize(JPEG, Receipt)
        go_on.set()
        await sent.wait()
        await steps()
        with pytest.raises(ConnectionFailedError, match="unread") as caught:
            await client.recognize(JPEG + b"2", Receipt)
        assert caught.value.billing is Billing.NOT_BILLED
        await server.hung_up.wait()


@pytest.mark.parametrize("faults", [[Fault.LATE_DUPLICATE], [Fault.LATE_DUPLICATE, Fault.LATE_DUPLICATE]])
async def test_the_emulator_answers_late_twice(faults: list[Fault]) -> None:
    """With the emulator's late duplicate the next call on the connection is maybe billed, and the one after is well."""
    async with Emulator(faults=faults) as clova, ClovaOCRClient(Domain(clova.url(), clova.secret)) as client:
        first = await client.recognize(JPEG, Receipt)
        with pytest.raises(MalformedResponseError) as caught:
            await client.recognize(JPEG + b"2", Receipt)
        assert caught.value.raw == first.raw
        await client.recognize(JPEG + b"3", Receipt)


def foreign(body: bytes, status: int = 200) -> Any:
    """Return a step that answers with a body whatever was asked."""

    async def answered(_: Sent) -> HTTPResponse:
        return HTTPResponse(status, body)

    return answered


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (encode_response("other", 0, READ), 200),
        (encode_response("id-10", 0, READ), 200),
        (encode_response("ID-1", 0, READ), 200),
        (encode_response("other", 0, {"inferResult": "FAILURE"}), 200),
        (encode_response("other", 0, READ)[:-20], 200),
        (b'{"requestId":7,"images":[{"receipt":{"result":{}}}]}', 200),
        (b'{"requestId":"\\ud800","images":[{"receipt":{"result":{}}}]}', 200),
        (b'{"requestId":["id-1"],"images":[{"receipt":{"result":{}}}]}', 200),
        (b'{"requestId":"other","code":"0025","message":"busy"}', 400),
        (b'{"requestId":"other","code":"0002","message":"no"}', 401),
        (b'{"requestId":"other","code":"0025"}', 200),
        (b'{"requestId":"other","code":"0500"}', 500),
        (b'\xef\xbb\xbf{"requestId" : "other", "images":[{"receipt":{"result":{}},"name":"\xff"}]}', 200),
    ],
    ids=str,
)
async def test_another_calls_answer_is_no_answer(body: bytes, status: int) -> None:
    """An answer or an error with another requestId is kept, may have been billed, and is never sent again."""
    transport = FakeTransport(foreign(body, status))
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), retry=PATIENT)
    with pytest.raises(MalformedResponseError) as caught:
        await client.recognize(JPEG, Receipt)
    assert (caught.value.raw, caught.value.status) == (body, status)
    assert (caught.value.billing, caught.value.attempts) == (Billing.MAYBE_BILLED, 1)
    assert not caught.value.stops_run


@pytest.mark.parametrize(
    "member", [b"", b'"requestId":null,', b'"requestId":"",', b'"requestId":" id-1\\n",', b'"requestId": "\\u0069d-1",']
)
async def test_an_answer_that_may_be_ours(member: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """An answer without a requestId, or with ours in whatever spelling of JSON, is taken without a word."""
    caplog.set_level(logging.INFO, "clova_ocr_async")
    body = b"{" + member + b'"images":[{"receipt":{"result":{}},"inferResult":"SUCCESS"}]}'
    transport = FakeTransport(foreign(body))
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
    assert (await client.recognize(JPEG, Receipt)).raw == body
    assert "answered" not in caplog.text


async def test_our_own_answer_is_taken() -> None:
    """The answer that carries our requestId is a success."""
    client = ClovaOCRClient(domain(), transport=FakeTransport(), runtime=FakeTime().runtime())
    assert (await client.recognize(JPEG, Receipt)).request_id == "id-1"


async def test_nothing_is_written_where_something_is_unread() -> None:
    """A body is not begun on a connection that holds something unread."""

    class Writer:
        class protocol:  # noqa: N801 - aiohttp's name
            should_close = True

    progress = RequestProgress()
    with pytest.raises(aiohttp.ClientConnectionError):
        await BodyPayload(a_request().body, progress).write(Writer())  # type: ignore[arg-type]
    assert not progress.body_began


def test_hanging_up_before_there_is_a_connection() -> None:
    """A body that was never written has no connection to close."""
    payload = BodyPayload(a_request().body, RequestProgress())
    payload.close_connection()
    assert payload.connection is None
