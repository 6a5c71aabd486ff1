"""Traces, middlewares and encodings between the socket and the client lose no billed answer."""

from __future__ import annotations

import asyncio
import gzip
import logging
import zlib
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.fakes import JPEG, SECRET, Connection, FakeTime, RecordingJournal, answering, http, raw_server

from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import Billing, ConnectionLostError, MalformedResponseError, ServerError

if TYPE_CHECKING:
    from collections.abc import Callable

RECEIPT = b'{"images":[{"receipt":{"result":{}},"inferResult":"SUCCESS"}]}'
BUSY = b'{"code":"0025","message":"limited to 1 API calls"}'
Handler = aiohttp.ClientHandlerType


# ---------------------------------------------------------------------------------------------------------------------
# Traces and middlewares


def trace(*names: str, act: Callable[[Any], Any]) -> aiohttp.TraceConfig:
    """Return a trace that does something with the parameters of some signals."""
    config = aiohttp.TraceConfig()

    async def signal(_session: Any, _context: Any, params: Any) -> None:
        await act(params)

    for name in names:
        getattr(config, name).append(signal)
    return config


async def _reads(params: Any) -> None:
    assert await params.response.read()


async def _drains(params: Any) -> None:
    await params.response.content.read()


async def _raises(_: Any) -> None:
    raise ZeroDivisionError


async def _releases(params: Any) -> None:
    params.response.release()


TRACES = {
    "that reads the answer": trace("on_request_end", act=_reads),
    "that drains the stream": trace("on_request_end", act=_drains),
    "that raises at the end": trace("on_request_end", act=_raises),
    "that raises at each chunk": trace("on_response_chunk_received", act=_raises),
    "that lets the answer go": trace("on_request_end", act=_releases),
}


async def reading(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
    """Read every answer first."""
    response = await handler(request)
    assert await response.read()
    return response


async def reading_errors(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
    """Read the answers that are errors, as a middleware that logs them does."""
    response = await handler(request)
    if response.status >= 400:
        assert (await response.json(content_type=None))["code"]
    return response


async def draining(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
    """Take the answer off its stream."""
    response = await handler(request)
    async for _ in response.content.iter_any():
        pass
    return response


async def raising_for_status(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
    """Make an exception of every error answer."""
    response = await handler(request)
    response.raise_for_status()
    return response


async def raising(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
    """Fail over whatever comes."""
    await handler(request)
    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "made up")


async def letting_go(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
    """Release the answer."""
    response = await handler(request)
    response.release()
    return response


MIDDLEWARES = {
    middleware.__name__: middleware
    for middleware in (reading, reading_errors, draining, raising_for_status, raising, letting_go)
}
SESSIONS: dict[str, dict[str, Any]] = {
    **{f"a trace {name}": {"trace_configs": [config]} for name, config in TRACES.items()},
    **{f"a middleware {name}": {"middlewares": [middleware]} for name, middleware in MIDDLEWARES.items()},
    "all of them": {"trace_configs": list(TRACES.values()), "middlewares": list(MIDDLEWARES.values())},
    "none": {},
}


@pytest.mark.parametrize("name", SESSIONS)
async def test_what_reads_the_answer_first_costs_nothing(name: str) -> None:
    """The client gets each answer as it arrived, and a refusal as one, whatever the caller's session does with it."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(http(BUSY, "400 Bad Request"))
        await connection.request()
        await connection.send(http(RECEIPT))

    settings: dict[str, Any] = {key: [*value] for key, value in SESSIONS[name].items()}
    async with (
        raw_server(script) as server,
        aiohttp.ClientSession(**settings) as session,
        ClovaOCRClient(Domain(server.url, SECRET), session=session, runtime=FakeTime().runtime()) as client,
    ):
        recognition = await client.recognize(JPEG, Receipt)
    assert (recognition.raw, recognition.attempts, recognition.maybe_billed) == (RECEIPT, 2, 0)


async def test_an_error_over_an_answer_is_logged_by_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    """The type of an error that a middleware raised over an answer is logged, without its text."""
    caplog.set_level(logging.WARNING, "clova_ocr_async")
    async with (
        raw_server(answering(http(RECEIPT))) as server,
        aiohttp.ClientSession(middlewares=[raising]) as session,
        ClovaOCRClient(Domain(server.url, SECRET), session=session) as client,
    ):
        assert (await client.recognize(JPEG, Receipt)).raw == RECEIPT
    assert [record.getMessage() for record in caplog.records] == [
        "the session's middleware or trace raised UnicodeDecodeError; the answer stands"
    ]


async def test_a_middleware_that_sends_again() -> None:
    """A request that a middleware sends again, and that gets no answer, is lost, whatever was answered before."""

    async def again(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        assert (await handler(request)).status == 503
        return await handler(request)

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(http(b"", "503 Unavailable"))
        await connection.request()

    async with (
        raw_server(script) as server,
        aiohttp.ClientSession(middlewares=[again]) as session,
        ClovaOCRClient(Domain(server.url, SECRET), session=session) as client,
    ):
        with pytest.raises(ConnectionLostError) as caught:
            await client.recognize(JPEG, Receipt)
    assert caught.value.billing is Billing.MAYBE_BILLED


async def test_what_breaks_after_the_body_began_is_never_a_setting() -> None:
    """An error that would be the settings' before anything was sent leaves the call maybe billed after that."""

    async def unreadable(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except aiohttp.ClientError:
            raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "made up") from None

    async with (
        raw_server(answering(b"")) as server,
        aiohttp.ClientSession(middlewares=[unreadable]) as session,
        ClovaOCRClient(Domain(server.url, SECRET), session=session) as client,
    ):
        with pytest.raises(ConnectionLostError) as caught:
            await client.recognize(JPEG, Receipt)
    assert caught.value.billing is Billing.MAYBE_BILLED


class Wrapped:
    """A session inside of another object, as libraries for retries have it."""

    closed = False

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    def post(self, url: str, **settings: Any) -> Any:
        """Post."""
        return self._session.post(url, **settings)


async def test_a_wrapped_session() -> None:
    """A wrapper around a session sends and answers as the session does."""
    async with (
        raw_server(answering(_framed(gzip.compress(RECEIPT), "gzip"))) as server,
        aiohttp.ClientSession(trace_configs=[TRACES["that reads the answer"]]) as session,
    ):
        wrapped: Any = Wrapped(session)
        async with ClovaOCRClient(Domain(server.url, SECRET), session=wrapped) as client:
            assert (await client.recognize(JPEG, Receipt)).raw == RECEIPT


@pytest.mark.parametrize("lane", ["interactive", "batch"])
async def test_an_answer_that_came_in_time_stands(lane: Any) -> None:
    """An answer that came before the deadline is returned, although a middleware keeps it until after that."""

    async def hanging(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        await handler(request)
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        raw_server(answering(http(RECEIPT))) as server,
        aiohttp.ClientSession(middlewares=[hanging]) as session,
        ClovaOCRClient(Domain(server.url, SECRET), session=session, deadline=0.5) as client,
    ):
        assert (await client.recognize(JPEG, Receipt, lane=lane)).raw == RECEIPT


async def test_a_paid_answer_that_a_middleware_holds_reaches_the_journal() -> None:
    """A call that is cancelled while a middleware keeps its answer back has the answer written down."""
    held, journal = asyncio.Event(), RecordingJournal()

    async def hanging(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        await handler(request)
        held.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with (
        raw_server(answering(http(RECEIPT))) as server,
        aiohttp.ClientSession(middlewares=[hanging]) as session,
        ClovaOCRClient(Domain(server.url, SECRET), session=session) as client,
    ):
        call = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch", journal=journal))
        await held.wait()
        call.cancel()
        await asyncio.wait([call])
    assert call.cancelled()
    assert journal.log == ["sending", "answered"]
    assert journal.calls[-1][1].body == RECEIPT


# ---------------------------------------------------------------------------------------------------------------------
# Encodings


def deflated(body: bytes) -> bytes:
    """Return a body as raw deflate."""
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def _framed(body: bytes, encoding: str, status: str = "200 OK") -> bytes:
    return http(body, status, f"Content-Encoding: {encoding}")


DECODED = {
    "plain JSON sent as gzip": _framed(RECEIPT, "gzip"),
    "plain JSON sent as br": _framed(RECEIPT, "br"),
    "plain JSON sent as zstd": _framed(RECEIPT, "zstd"),
    "plain JSON sent as utf-8": _framed(RECEIPT, "UTF-8"),
    "plain JSON sent as deflate": _framed(RECEIPT, "deflate"),
    "gzip": _framed(gzip.compress(RECEIPT), "GZip"),
    "x-gzip": _framed(gzip.compress(RECEIPT), "x-gzip"),
    "zlib sent as deflate": _framed(zlib.compress(RECEIPT), "deflate"),
    "raw deflate": _framed(deflated(RECEIPT), "deflate"),
    "gzip in two members": _framed(gzip.compress(RECEIPT[:9]) + gzip.compress(RECEIPT[9:]), "gzip"),
    "gzip and padding": _framed(gzip.compress(RECEIPT) + bytes(16), "gzip"),
    "twice": _framed(gzip.compress(zlib.compress(RECEIPT)), "deflate, gzip"),
    "identity": _framed(RECEIPT, "identity"),
}
UNREADABLE = {
    "br": (b"\x8b\x1e\x80not for us\x03", "br"),
    "zstd": (b"\x28\xb5\x2f\xfd\x24\x00", "zstd"),
    "no gzip": (b"no gzip at all", "gzip"),
    "one byte": (b"\x1f", "gzip"),
    "five encodings": (gzip.compress(RECEIPT), "gzip, gzip, gzip, gzip, gzip"),
    "half JSON": (RECEIPT[:20], "gzip"),
}


@pytest.mark.parametrize("own", [True, False], ids=["own", "callers"])
@pytest.mark.parametrize("name", DECODED)
async def test_an_encoding_that_is_wrong_or_right(name: str, own: bool) -> None:
    """JSON is decoded whatever the Content-Encoding header, and an encoded body is decompressed."""
    async with (
        raw_server(answering(DECODED[name])) as server,
        aiohttp.ClientSession() as session,
        ClovaOCRClient(Domain(server.url, SECRET), session=None if own else session) as client,
    ):
        assert (await client.recognize(JPEG, Receipt)).raw == RECEIPT


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_encoding_nobody_can_undo(name: str) -> None:
    """An answer that cannot be decompressed was billed: its bytes are kept, and the request is not sent again."""
    body, encoding = UNREADABLE[name]
    async with (
        raw_server(answering(_framed(body, encoding))) as server,
        ClovaOCRClient(Domain(server.url, SECRET), retry=RetryPolicy(ambiguous="retry")) as client,
    ):
        with pytest.raises(MalformedResponseError) as caught:
            await client.recognize(JPEG, Receipt)
    assert (caught.value.raw, caught.value.billing, caught.value.attempts) == (body, Billing.BILLED, 1)


async def test_an_encoded_answer_that_breaks_off() -> None:
    """Compressed data that ends too early is kept as far as it can be read, and never taken for the whole."""
    packed = gzip.compress(RECEIPT * 40)
    async with (
        raw_server(answering(_framed(packed[:-12], "gzip"))) as server,
        ClovaOCRClient(Domain(server.url, SECRET)) as client,
    ):
        with pytest.raises(MalformedResponseError, match="breaks off") as caught:
            await client.recognize(JPEG, Receipt)
    assert caught.value.raw
    assert (RECEIPT * 40).startswith(caught.value.raw)


async def test_an_error_page_nobody_can_decode() -> None:
    """An error status counts, although its page cannot be decoded."""
    async with (
        raw_server(answering(_framed(b"\x00\x01", "br", "502 Bad Gateway"))) as server,
        ClovaOCRClient(Domain(server.url, SECRET), retry=RetryPolicy(max_attempts=1)) as client,
    ):
        with pytest.raises(ServerError):
            await client.recognize(JPEG, Receipt)


async def test_a_middleware_reads_what_was_decoded() -> None:
    """A middleware of the caller's reads the answer decoded, as it does without this client."""
    seen: list[Any] = []

    async def looking(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        response = await handler(request)
        seen.append(await response.json(content_type=None))
        return response

    async with (
        raw_server(answering(_framed(gzip.compress(RECEIPT), "gzip"))) as server,
        aiohttp.ClientSession(middlewares=[looking]) as session,
        ClovaOCRClient(Domain(server.url, SECRET), session=session) as client,
    ):
        await client.recognize(JPEG, Receipt)
    assert list(seen[0]) == ["images"]
