from __future__ import annotations

import asyncio
import gc
import gzip
import json
import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import yarl
from aioresponses import CallbackResult, aioresponses
from multidict import CIMultiDict
from support.fakes import (
    BUSY,
    JPEG,
    KEY,
    SECRET,
    SPENT,
    URL,
    Connection,
    FakeTime,
    a_request,
    answering,
    body_of,
    domain,
    http,
    length_of,
    raw_server,
)
from support.wire import OK, RECEIPT, reset_after, reset_at_once, reset_midway, send_one

from clova_ocr_async.client import AiohttpTransport, ClovaOCRClient, RequestProgress
from clova_ocr_async.client.transport import BodyPayload, translate_error
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    MalformedResponseError,
    ResponseTimeoutError,
)
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from clova_ocr_async.protocol.request import HTTPRequest

BIG = JPEG + bytes(20 * 1024 * 1024)


class _Writer:
    """The writer that aiohttp 3.14 asks for the number of bytes sent."""

    output_size = 0


class Response(aiohttp.ClientResponse):
    """An answer that aioresponses can build: 0.7.9 does not know the argument ``stream_writer`` of aiohttp 3.14."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, stream_writer=_Writer(), **kwargs)  # type: ignore[arg-type]


@pytest.fixture
def wire() -> Iterator[aioresponses]:
    """The wire, below aiohttp's session."""
    with aioresponses() as mocked:
        yield mocked


def answer(wire: aioresponses, body: bytes = RECEIPT, status: int = 200, **settings: Any) -> None:
    """Set the answer to the next request."""
    wire.post(f"{URL}/document/receipt", status=status, body=body, response_class=Response, **settings)


def asked(wire: aioresponses) -> list[dict[str, Any]]:
    """Return what aiohttp was asked for."""
    return [call.kwargs for calls in wire.requests.values() for call in calls]


# ---------------------------------------------------------------------------------------------------------------------
# Requests as aiohttp gets them


async def test_what_is_sent(wire: aioresponses) -> None:
    """One POST to the document's URL, with exactly these headers, and redirects not followed."""
    answer(wire)
    async with ClovaOCRClient(domain()) as client:
        await client.recognize(JPEG, Receipt)
    assert list(wire.requests) == [("POST", yarl.URL(f"{URL}/document/receipt"))]
    [kwargs] = asked(wire)
    assert kwargs["allow_redirects"] is False
    assert kwargs["raise_for_status"] is False
    content_type = kwargs["headers"].pop("Content-Type")
    assert content_type.startswith("multipart/form-data; boundary=clova-ocr-")
    assert kwargs["headers"] == {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": "clova-ocr-async",
        "X-OCR-SECRET": SECRET,
    }
    timeout = kwargs["timeout"]
    assert (timeout.total, timeout.connect, timeout.sock_connect, timeout.sock_read) == (None, 10.0, 10.0, 60.0)


async def test_the_secret_is_on_the_request_only(wire: aioresponses) -> None:
    """A session given by the caller never learns the secret."""
    answer(wire)
    async with aiohttp.ClientSession() as session:
        async with ClovaOCRClient(domain(), session=session) as client:
            await client.recognize(JPEG, Receipt)
        assert "X-OCR-SECRET" not in session.headers
        assert not session.closed
    # With the caller's session, waiting for one of its connections is not bounded.
    assert asked(wire)[0]["timeout"].connect is None


async def test_the_body_as_specified(wire: aioresponses) -> None:
    """The body is the specification's: a message part and the file as they are, or a JSON with base64."""
    bodies: list[bytes] = []

    class Sink:
        async def write(self, chunk: bytes | memoryview, *, drain: bool) -> None:
            assert not drain
            bodies[-1] += bytes(chunk)

        async def drain(self) -> None:
            pass

    async def read(_: Any, **kwargs: Any) -> CallbackResult:
        bodies.append(b"")
        await kwargs["data"].write_with_length(Sink(), None)
        assert kwargs["data"].size == len(bodies[-1])
        return CallbackResult(body=RECEIPT, response_class=Response)

    for content in ("multipart", "json"):
        answer(wire, callback=read)
        async with ClovaOCRClient(domain(), content=content, runtime=FakeTime().runtime()) as client:
            await client.recognize(Image(JPEG, "점심.jpg"), Receipt)
    message = (
        '{"version":"V2","requestId":"id-1","timestamp":1700001000250,"images":[{"format":"jpg","name":"점심.jpg"'
    ).encode()
    assert bodies[0] == (
        b'--clova-ocr-id-1\r\nContent-Disposition: form-data; name="message"\r\n\r\n'
        + message
        + b'}]}\r\n--clova-ocr-id-1\r\nContent-Disposition: form-data; name="file"; filename="image.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + JPEG + b"\r\n--clova-ocr-id-1--\r\n"
    )
    assert bodies[1] == message + b',"data":"/9j/4CBhIHBpY3R1cmUg/9k="}]}'


@pytest.mark.parametrize("refusal", [BUSY, SPENT], ids=["0025", "0023"])
async def test_refused_twice_then_read(wire: aioresponses, refusal: HTTPResponse) -> None:
    """0025, 0025, 200 and 0023, 0023, 200 end in a recognition through aiohttp as well."""
    answer(wire, refusal.body, refusal.status)
    answer(wire, refusal.body, refusal.status)
    answer(wire)
    async with ClovaOCRClient(domain(), runtime=FakeTime().runtime()) as client:
        assert (await client.recognize(JPEG, Receipt)).attempts == 3
    assert len(asked(wire)) == 3


ERRORS = (ConnectionFailedError, ConnectionLostError, ResponseTimeoutError, ConfigurationError)


def subclasses(of: type[BaseException]) -> set[type[BaseException]]:
    """Return aiohttp's own subclasses, at any depth."""
    found = {sub for sub in of.__subclasses__() if sub.__module__.startswith("aiohttp")}
    return found.union(*(subclasses(sub) for sub in found))


def made(cls: type[BaseException]) -> Any:
    """Return an exception of a class, whatever its constructor wants."""
    error = cls.__new__(cls)
    error.__dict__.update(os_error=OSError(1, "x"), status=407)
    return error


@pytest.mark.parametrize("began", [False, True])
@pytest.mark.parametrize("cls", sorted(subclasses(aiohttp.ClientError), key=str))
async def test_every_error_of_aiohttp_is_one_of_ours(cls: type[Exception], began: bool) -> None:
    """Every error of aiohttp becomes one of ours, maybe billed exactly if the body had begun."""
    progress = RequestProgress()
    progress.body_began = began
    ours = translate_error(made(cls), progress)
    assert type(ours) in ERRORS
    if isinstance(ours, ConfigurationError):
        return
    assert (ours.billing > 0) is began
    assert isinstance(ours, ResponseTimeoutError) is (began and issubclass(cls, TimeoutError))


async def test_an_error_of_aiohttp_is_not_kept(wire: aioresponses) -> None:
    """Our error holds aiohttp's neither as cause nor as context: that one holds the secret."""
    info = aiohttp.RequestInfo(yarl.URL(URL), "POST", CIMultiDict({"X-OCR-SECRET": SECRET}), yarl.URL(URL))  # type: ignore[arg-type]
    wire.post(f"{URL}/document/receipt", exception=aiohttp.ClientResponseError(info, ()))
    transport = AiohttpTransport()
    with pytest.raises(ConnectionFailedError) as caught:
        await transport.send(a_request(), RequestProgress())
    await transport.close()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert SECRET not in f"{caught.value!r} {vars(caught.value)}"


def test_the_payload_is_no_text() -> None:
    """The body refuses to be made a text, and to be sent under another length."""
    payload = BodyPayload(a_request().body, RequestProgress())
    with pytest.raises(TypeError):
        payload.decode()
    with pytest.raises(ValueError, match="were announced"):
        asyncio.run(payload.write_with_length(None, 3))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------------------
# Against servers of bytes


ANSWERS: dict[str, tuple[bytes, type[ClovaOCRError] | int]] = {
    "an answer": (OK, 200),
    "without a length": (b"HTTP/1.1 200 OK\r\n\r\n" + RECEIPT, 200),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + RECEIPT, 200),
    "100 and 103 first": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 200),
    "an odd status": (http(b"", "999 What"), 999),
    "a redirect": (http(b"", "308 Moved", "Location: http://127.0.0.1:1/"), 308),
    "compressed": (http(gzip.compress(RECEIPT), "200 OK", "Content-Encoding: gzip"), 200),
    "cookies": (http(RECEIPT, "200 OK", "Set-Cookie: a=b; Path=/", "Set-Cookie: \x7f"), 200),
    "nothing": (b"", ConnectionLostError),
    "garbage": (b"this is no HTTP\r\n\r\n", ConnectionLostError),
    "a long header": (http(RECEIPT, "200 OK", "X-Long: " + "a" * 20_000), ConnectionLostError),
    "many headers": (http(RECEIPT, "200 OK", *("X: y" for _ in range(500))), ConnectionLostError),
    "two lengths": (http(RECEIPT, "200 OK", "Content-Length: 9"), ConnectionLostError),
    "length and chunks": (http(RECEIPT, "200 OK", "Transfer-Encoding: chunked"), ConnectionLostError),
    "a negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", ConnectionLostError),
    "an unknown encoding": (http(RECEIPT, "200 OK", "Content-Encoding: br"), 200),
}
CUT: dict[str, tuple[bytes, bytes]] = {
    "a short body": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", b"half"),
    "a cut chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", b"half"),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_comes_back(name: str) -> None:
    """An answer of any status is an answer; bytes that are not HTTP are a lost connection, never the server's 400."""
    answer, expected = ANSWERS[name]
    async with raw_server(answering(answer)) as server:
        came, progress = await send_one(server.port)
    assert progress.body_began
    if isinstance(expected, int):
        assert (came.status, came.cut) == (expected, None)
        assert came.body in {RECEIPT, b""}
    else:
        assert type(came) is expected


@pytest.mark.parametrize("name", CUT)
async def test_what_comes_back_in_part(name: str) -> None:
    """A body that breaks off is kept as far as it came, and marked as cut."""
    answer, kept = CUT[name]
    async with raw_server(answering(answer)) as server:
        came, _ = await send_one(server.port)
    assert (came.status, came.body, came.cut) == (200, kept, "the connection broke")


async def test_a_body_cut_anywhere() -> None:
    """A body cut at whichever byte is never a whole answer."""
    for length in range(0, len(RECEIPT), 7):
        async with raw_server(answering(OK[: len(OK) - len(RECEIPT) + length])) as server:
            came, _ = await send_one(server.port)
            assert (came.body, came.cut) == (RECEIPT[:length], "the connection broke")


async def test_nobody_listens() -> None:
    """A refused connection has sent nothing."""
    async with raw_server(answering(b"")) as server:
        port = server.port
    error, progress = await send_one(port)
    assert type(error) is ConnectionFailedError
    assert not progress.body_began


@pytest.mark.parametrize("host", ["no-such-host.invalid", "-.invalid"])
async def test_an_unknown_host(host: str) -> None:
    """A host that does not resolve has been sent nothing."""
    error, _ = await send_one(80, host=host)
    assert type(error) is ConnectionFailedError


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".com", "256.1.1.1"])
async def test_an_impossible_host(host: str) -> None:
    """A host that can be none is a configuration error."""
    error, _ = await send_one(80, host=host)
    assert type(error) is ConfigurationError


async def test_a_server_that_never_answers() -> None:
    """No answer in read_timeout is a response timeout."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.hung_up()

    async with raw_server(script) as server:
        error, progress = await send_one(server.port, read_timeout=0.05)
        assert type(error) is ResponseTimeoutError
        assert progress.body_began
        await server.hung_up.wait()


async def test_an_answer_that_stops() -> None:
    """An answer that stops in its body is kept as far as it came."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK[:-5])
        await connection.hung_up()

    async with raw_server(script) as server:
        came, _ = await send_one(server.port, read_timeout=0.5)
    assert (came.body, came.cut) == (RECEIPT[:-5], "no more of it came in time")


@pytest.mark.parametrize("script", [reset_at_once, reset_midway, reset_after])
@pytest.mark.parametrize("data", [JPEG + bytes(200_000), BIG], ids=["small", "big"])
async def test_a_reset_while_sending(script: Callable[[Connection], Awaitable[None]], data: bytes) -> None:
    """A connection reset before the answer is lost, and the call maybe billed."""
    async with raw_server(script) as server:
        error, progress = await send_one(server.port, data)
    assert type(error) is ConnectionLostError
    assert progress.body_began


async def test_an_early_refusal_of_a_big_image() -> None:
    """An error answered while 20 MB are still being sent is seen, and is not a lost connection."""
    body = json.dumps({"error": {"errorCode": "430", "message": "too large"}}).encode()

    async def script(connection: Connection) -> None:
        head = await connection.head()
        assert length_of(head) > len(BIG)
        await connection.send(http(body, "413 Payload Too Large", "Connection: close"))
        await connection.hung_up()

    async with raw_server(script) as server, ClovaOCRClient(Domain(server.url, SECRET)) as client:
        with pytest.raises(InvalidRequestError) as caught:
            await client.recognize(BIG, Receipt)
    assert (caught.value.status, caught.value.billing) == (413, 0)


async def test_a_kept_connection_that_the_server_closed() -> None:
    """A connection closed between two calls is not used again, and no call is sent twice."""
    bodies: list[bytes] = []

    async def script(connection: Connection) -> None:
        bodies.append((await connection.request())[1])
        await connection.send(OK)

    async with raw_server(script) as server, ClovaOCRClient(Domain(server.url, SECRET)) as client:
        for _ in range(3):
            assert (await client.recognize(JPEG, Receipt)).attempts == 1
            await server.hung_up.wait()
            server.hung_up.clear()
            for _ in range(5):
                await asyncio.sleep(0)
    assert (len(bodies), server.connections) == (3, 3)


async def test_a_connection_closed_just_as_it_is_used_again() -> None:
    """A connection that dies under the second request leaves it maybe billed: aiohttp may not send it again."""
    requests = 0

    async def script(connection: Connection) -> None:
        nonlocal requests
        await connection.request()
        requests += 1
        await connection.send(OK)
        await connection.request()
        requests += 1

    async with raw_server(script) as server, ClovaOCRClient(Domain(server.url, SECRET)) as client:
        await client.recognize(JPEG, Receipt)
        with pytest.raises(ConnectionLostError) as caught:
            await client.recognize(JPEG, Receipt)
    assert (requests, caught.value.attempts, server.connections) == (2, 1, 1)


async def test_a_retry_sends_the_whole_body_again() -> None:
    """Each attempt sends the whole body."""
    bodies: list[bytes] = []

    async def script(connection: Connection) -> None:
        for answer in (http(BUSY.body, "400 Bad Request"), OK):
            bodies.append((await connection.request())[1])
            await connection.send(answer)

    async with (
        raw_server(script) as server,
        ClovaOCRClient(Domain(server.url, SECRET), runtime=FakeTime().runtime()) as client,
    ):
        await client.recognize(JPEG + bytes(1_000_000), Receipt)
    assert [JPEG + bytes(1_000_000) in body for body in bodies] == [True, True]
    assert len(bodies[0]) == len(bodies[1])


async def test_cookies_are_not_kept() -> None:
    """A cookie is not sent back."""
    heads: list[bytes] = []

    async def script(connection: Connection) -> None:
        for _ in range(2):
            heads.append((await connection.request())[0])
            await connection.send(http(RECEIPT, "200 OK", "Set-Cookie: a=canary; Path=/"))

    async with raw_server(script) as server, ClovaOCRClient(Domain(server.url, SECRET)) as client:
        for _ in range(2):
            await client.recognize(JPEG, Receipt)
    assert not any(b"cookie" in head.lower() for head in heads)
    assert server.connections == 1


async def test_proxies_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy in the environment is not used: it would see every image."""
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://user:password@127.0.0.1:1")
    async with raw_server(answering(OK)) as server:
        came, _ = await send_one(server.port)
    assert came.status == 200


async def test_a_proxy_that_refuses() -> None:
    """A proxy of the caller's that refuses is a configuration error."""
    async with (
        raw_server(
            answering_only(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        ) as server,
        aiohttp.ClientSession(proxy=f"http://127.0.0.1:{server.port}") as session,
        ClovaOCRClient(domain(), session=session) as client,
    ):
        with pytest.raises(ConfigurationError, match="proxy refused the connection with HTTP 407"):
            await client.recognize(JPEG, Receipt)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"proxy": url} for url in ("", "http://", "proxy.example:3128", "socks5://u:canary@h:1", "http://a b:1", 5)),
        *({"proxy": f"http://u:canary@{host}"} for host in ("h:99999", "[::1")),
        {"tls": "ca.pem"},
        {"tls": False},
        {"read_timeout": -1},
        {"connect_timeout": "1"},
        {"session": 5},
        {"session": SimpleNamespace(post=None), "proxy": "http://h:1"},
    ],
)
def test_an_argument_of_the_transport_that_cannot_work(wrong: dict[str, Any]) -> None:
    """A mistake is an error where the transport is made, which names the argument and shows no password."""
    with pytest.raises(ConfigurationError, match=next(reversed(wrong))) as caught:
        AiohttpTransport(**wrong)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(("ours", "its"), [(0.05, None), (60.0, 0.05)])
async def test_the_timeouts_of_a_transport_are_those_of_the_client(ours: float, its: float | None) -> None:
    """A transport with a proxy or certificates keeps the client's timeouts, unless it was given some of its own."""

    async def silent(connection: Connection) -> None:
        await connection.request()
        await connection.hung_up()

    async with (
        raw_server(silent) as server,
        ClovaOCRClient(
            Domain(server.url, SECRET), transport=AiohttpTransport(read_timeout=its), read_timeout=ours
        ) as client,
    ):
        with pytest.raises(ResponseTimeoutError):
            await asyncio.wait_for(client.recognize(JPEG, Receipt), 30)


def answering_only(answer: bytes) -> Callable[[Connection], Awaitable[None]]:
    """Return a script that answers the headers alone."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(answer)

    return script


async def test_a_session_of_the_callers() -> None:
    """The caller's session is used with its own connector and settings, and stays open."""
    async with raw_server(answering(http(b'{"code":"0011"}', "400 Bad Request"))) as server:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(
            connector=connector, raise_for_status=True, headers={"X-Mine": "1"}
        ) as session:
            async with ClovaOCRClient(Domain(server.url, SECRET), session=session) as client:
                # raise_for_status of the session would lose the body of the answer.
                with pytest.raises(InvalidRequestError):
                    await client.recognize(JPEG, Receipt)
            assert not session.closed
            assert not connector.closed
    with pytest.raises(ConfigurationError, match="session is closed"):
        await ClovaOCRClient(domain(), session=session).recognize(JPEG, Receipt)


class EndedTask(asyncio.Future[Any]):
    """A task that has ended already."""

    def set_name(self, name: object) -> None:
        """Do nothing; some versions of Python name each task."""


def first_step_at_once(loop: asyncio.AbstractEventLoop, work: Any, **_: Any) -> Any:
    """Make a task as an eager factory of Python 3.12 does, for work whose first step is its last one."""
    ended = EndedTask(loop=loop)
    try:
        work.send(None)
    except ClovaOCRError as error:
        ended.set_exception(error)
    return ended


async def test_a_request_that_fails_in_its_first_step() -> None:
    """With eager tasks an error without any wait is the error of the call, and no request is left in the client."""
    session = aiohttp.ClientSession()
    await session.close()
    client = ClovaOCRClient(domain(), session=session)
    asyncio.get_running_loop().set_task_factory(first_step_at_once)
    try:
        with pytest.raises(ConfigurationError, match="session is closed"):
            await client.recognize(JPEG, Receipt)
    finally:
        asyncio.get_running_loop().set_task_factory(None)
    await asyncio.wait_for(client.close(), 10)


async def test_an_own_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session of the client's own asks no proxy of the environment, and its connection closes with the client."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    hung_up = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(OK)
        await connection.hung_up()
        hung_up.set()

    transport = AiohttpTransport()
    async with raw_server(script) as server:
        await transport.send(a_request(f"{server.url}/document/receipt"), RequestProgress())
        await asyncio.sleep(0)
        assert not hung_up.is_set()
        await transport.close()
        await asyncio.wait_for(hung_up.wait(), 10)


async def test_closed_before_the_first_call() -> None:
    """A transport that was closed opens no session any more."""
    transport = AiohttpTransport()
    await transport.close()
    with pytest.raises(ConfigurationError, match="closed"):
        await transport.send(a_request(), RequestProgress())


async def test_no_call_waits_for_a_connection() -> None:
    """As many connections open as there are slots, however many those are."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        if server.connections == 130:
            reached.set()
        await go_on.wait()
        await connection.send(OK)

    async with (
        raw_server(script) as server,
        ClovaOCRClient(Domain(server.url, SECRET), concurrency=130) as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(130):
            group.create_task(client.recognize(JPEG, Receipt))
        await reached.wait()
        go_on.set()


async def test_an_answer_of_endless_size() -> None:
    """A compressed answer of 200 MiB is cut at 8 MiB, and memory stays bounded."""
    bomb = gzip.compress(bytes(200 * 1024 * 1024), 1)
    async with raw_server(answering(http(bomb, "200 OK", "Content-Encoding: gzip"))) as server:
        gc.collect()
        tracemalloc.start()
        try:
            came, _ = await send_one(server.port)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert came.cut == "it is larger than 8 MiB"
    assert len(came.body) == 8 * 2**20
    assert peak < 40 * 2**20


class _Sink:
    """A writer that takes everything at once and keeps nothing."""

    def __init__(self) -> None:
        self.written = 0

    async def write(self, chunk: bytes | memoryview, *, drain: bool) -> None:
        assert not drain
        self.written += len(chunk)

    async def drain(self) -> None:
        pass


@pytest.mark.parametrize("content", ["multipart", "json"])
async def test_a_big_image_is_not_copied(content: Any) -> None:
    """Writing an image of 20 MiB takes little memory, and lets the loop go on meanwhile."""
    request = a_request(data=BIG, content=content)
    progress, sink = RequestProgress(), _Sink()
    payload = BodyPayload(request.body, progress)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(others())
    tracemalloc.start()
    try:
        await payload.write_with_length(sink, request.body.size)  # type: ignore[arg-type]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        counting.cancel()
    assert sink.written == request.body.size == len(body_of(request))
    assert peak < 2 * 2**20
    assert turns >= 15
    assert progress.body_began


async def test_cancelled_in_flight() -> None:
    """A cancelled call of a batch hangs up."""
    reached = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        reached.set()
        await connection.hung_up()

    async with raw_server(script) as server, ClovaOCRClient(Domain(server.url, SECRET)) as client:
        call = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.hung_up.wait()


async def test_closing_the_client_under_a_call() -> None:
    """A client that is closed under a call ends that call with one of our errors."""
    reached = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        reached.set()
        await connection.hung_up()

    async with raw_server(script) as server:
        client = ClovaOCRClient(Domain(server.url, SECRET), concurrency=1)
        flying = asyncio.create_task(client.recognize(JPEG, Receipt))
        await reached.wait()
        queued = asyncio.create_task(client.recognize(JPEG, Receipt))
        for _ in range(5):
            await asyncio.sleep(0)
        await client.close(wait=0)
        with pytest.raises(ConnectionLostError, match="client was closed"):
            await flying
        with pytest.raises(ConfigurationError, match="closed while"):
            await queued
    assert server.connections == 1


def test_an_exchange_before_and_after_the_headers() -> None:
    """The part of an answer that has arrived can be read at any time."""
    progress = RequestProgress()
    assert progress.response() is None
    progress.begin_response(200, {"a": "b"})
    assert progress.receive(b"abc") == 3
    assert progress.response("cut") == HTTPResponse(200, b"abc", {"a": "b"}, "cut")


async def test_malformed_through_the_client() -> None:
    """A cut answer is a MalformedResponseError with its bytes."""
    async with (
        raw_server(answering(OK[:-9])) as server,
        ClovaOCRClient(Domain(server.url, SECRET)) as client,
    ):
        with pytest.raises(MalformedResponseError) as caught:
            await client.recognize(JPEG, Receipt)
    assert caught.value.raw == RECEIPT[:-9]


def test_a_request_shows_nothing() -> None:
    """A request prints neither secret nor key, wherever a traceback shows it."""
    request: HTTPRequest = a_request()
    assert SECRET not in repr(request)
    assert KEY not in repr(request)
