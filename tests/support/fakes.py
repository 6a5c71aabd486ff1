"""Test doubles: a transport, time, a journal, and a server that misbehaves byte by byte."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from clova_ocr_async.client import RequestProgress, RetryPolicy
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConnectionFailedError,
    ConnectionLostError,
    ResponseTimeoutError,
)
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.protocol.request import HTTPRequest, ParsedRequest, build_request, parse_request
from clova_ocr_async.protocol.response import HTTPResponse, encode_error, encode_gateway_error, encode_response

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

    from clova_ocr_async.client import Attempt

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"
SECRET = "canarySECRETcanarySECRETcanary"
KEY = "0123canaryKEY4567canaryKEY89ab"
URL = f"https://host.apigw.ntruss.com/custom/v1/777/{KEY}"
TRACE = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"


def domain(url: str = URL, **settings: Any) -> Domain:
    """Return a domain with the canaries in it."""
    return Domain(url, SECRET, **settings)


def url_of(number: int) -> str:
    """Return the URL of one of several domains."""
    return f"https://host{number}.apigw.ntruss.com/custom/v1/{number}/{KEY}{number}"


# ---------------------------------------------------------------------------------------------------------------------
# Answers


def parsed(request: HTTPRequest) -> ParsedRequest:
    """Read a request as the service would."""
    return parse_request(request.headers["Content-Type"], b"".join(request.body.chunks()))


def success(request: HTTPRequest, **image: Any) -> HTTPResponse:
    """Answer a request with a receipt."""
    came = parsed(request)
    read = {"receipt": {"result": {"storeInfo": {"name": {"text": "canarySHOP"}}}}, "inferResult": "SUCCESS"}
    body = encode_response(came.request_id, came.timestamp, {"uid": "u", "name": came.name, **read, **image})
    return HTTPResponse(200, body)


def error(code: str, status: int = 400, headers: dict[str, str] | None = None) -> HTTPResponse:
    """Return a service's error."""
    body = encode_error(code, f"said of {KEY}", path=f"/custom/v1/777/{KEY}/x", trace_id=TRACE, timestamp=1)
    return HTTPResponse(status, body, headers or {})


def gateway_error(code: str, status: int) -> HTTPResponse:
    """Return a gateway's error."""
    return HTTPResponse(status, encode_gateway_error(code, "said", ""))


BUSY, SPENT, FAILED = error("0025"), error("0023"), error("0501", 500)


# ---------------------------------------------------------------------------------------------------------------------
# The wire


@dataclass
class Sent:
    """A request that reached the transport."""

    request: HTTPRequest
    parsed: ParsedRequest
    progress: RequestProgress


Step = HTTPResponse | ClovaOCRError | type[ClovaOCRError] | None
"""The end of a request: an answer, an error (of the wire, when the body has begun), or None for success."""


class FakeTransport:
    """A transport that follows its steps, one a request, and then repeats ``then``."""

    def __init__(self, *steps: Step | Callable[[Sent], Awaitable[HTTPResponse]], then: Any = None) -> None:
        self.steps: deque[Any] = deque(steps)
        self.then = then
        self.sent: list[Sent] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.closed = 0
        self.arrived = asyncio.Event()

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
        """Do the next step."""
        sent = Sent(request, parsed(request), progress)
        self.sent.append(sent)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.arrived.set()
        try:
            return await self._meet(self.steps.popleft() if self.steps else self.then, sent)
        finally:
            self.in_flight -= 1

    async def _meet(self, step: Any, sent: Sent) -> HTTPResponse:
        await asyncio.sleep(0)
        if isinstance(step, type | ClovaOCRError):
            failure = step("made up") if isinstance(step, type) else step
            sent.progress.body_began = not isinstance(failure, ConnectionFailedError)
            await asyncio.sleep(0)
            raise failure
        sent.progress.body_began = True
        await asyncio.sleep(0)
        response: HTTPResponse = (
            success(sent.request) if step is None else step if isinstance(step, HTTPResponse) else await step(sent)
        )
        sent.progress.begin_response(response.status, dict(response.headers))
        sent.progress.receive(response.body)
        return response

    async def close(self) -> None:
        """Count."""
        self.closed += 1


class Held:
    """A step that holds its request until ``go_on`` is set, and then answers."""

    def __init__(self, step: HTTPResponse | ClovaOCRError | None = None) -> None:
        self.step = step
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self, sent: Sent) -> HTTPResponse:
        """Hold."""
        self.reached.set()
        await self.go_on.wait()
        if isinstance(self.step, ClovaOCRError):
            raise self.step
        return success(sent.request) if self.step is None else self.step


LOST: tuple[type[ClovaOCRError], ...] = (ConnectionLostError, ResponseTimeoutError)


def a_request(url: str = f"{URL}/document/receipt", data: bytes = JPEG, *, content: Any = "multipart") -> HTTPRequest:
    """Return a request for a transport."""
    return build_request(
        url=url, secret=SECRET, data=data, format="jpg", name="n", request_id="id-1", timestamp=1, content=content
    )


def body_of(request: HTTPRequest) -> bytes:
    """Return the whole body."""
    return b"".join(request.body.chunks())


# ---------------------------------------------------------------------------------------------------------------------
# Time


class FakeTime:
    """A clock that only sleeping moves, and sleeping that takes no time; ``draw`` is the drawn part of a range."""

    def __init__(self, draw: float = 1.0) -> None:
        self.now = 1000.0
        self.draw = draw
        self.slept: list[float] = []
        self.asleep = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self._ids = itertools.count(1)

    async def sleep(self, seconds: float) -> None:
        """Put the clock forward; with a gate, wait until it is open."""
        self.slept.append(seconds)
        self.now += seconds
        self.asleep.set()
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)

    def runtime(self) -> Runtime:
        """Return what a client takes."""
        return Runtime(
            clock=lambda: self.now,
            now=lambda: 1_700_000_000.25 + self.now,
            sleep=self.sleep,
            uniform=lambda low, high: low + self.draw * (high - low),
            new_id=lambda: f"id-{next(self._ids)}",
        )


class SteppedTime(FakeTime):
    """A clock that only the test moves, and sleeping that lasts until then."""

    def __init__(self, draw: float = 1.0) -> None:
        super().__init__(draw)
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has come so far."""
        self.slept.append(seconds)
        self.asleep.set()
        awake = asyncio.Event()
        self._sleepers.append((self.now + seconds, awake))
        await awake.wait()

    async def go_on(self, seconds: float) -> None:
        """Put the clock forward, and let other tasks run for a while."""
        self.now += seconds
        for due, awake in self._sleepers:
            if due <= self.now:
                awake.set()
        await steps()


class JumpLoop(asyncio.SelectorEventLoop):
    """An event loop whose time can be put forward, so that what takes minutes is tested in none."""

    jumped = 0.0

    def time(self) -> float:
        """Return the time, put forward."""
        return super().time() + self.jumped


def jump(seconds: float) -> None:
    """Put the running JumpLoop's time forward."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, JumpLoop)
    loop.jumped += seconds


def run_jumping(main: Coroutine[Any, Any, None]) -> None:
    """Run a test in a JumpLoop."""
    with asyncio.Runner(loop_factory=JumpLoop) as runner:
        runner.run(main)


async def steps(count: int = 20) -> None:
    """Let other tasks run for a while."""
    for _ in range(count):
        await asyncio.sleep(0)


PATIENT = RetryPolicy(ambiguous="retry")


# ---------------------------------------------------------------------------------------------------------------------
# A journal


@dataclass
class RecordingJournal:
    """A journal that records its calls, and can pause or fail at one of its methods."""

    log: list[str] = field(default_factory=list[str])
    billings: list[Billing] = field(default_factory=list[Billing])
    calls: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    pause_at: str = ""
    fail_at: str = ""
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def _write(self, method: str, *what: Any) -> None:
        if method == self.pause_at:
            self.reached.set()
            await self.go_on.wait()
        await asyncio.sleep(0)
        if method == self.fail_at:
            raise OSError(28, "the disk is full")
        self.log.append(method)
        self.calls.append(what)

    async def sending(self, attempt: Attempt) -> None:
        """Note."""
        await self._write("sending", attempt)

    async def answered(self, attempt: Attempt, response: HTTPResponse) -> None:
        """Note."""
        await self._write("answered", attempt, response)

    async def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> None:
        """Note."""
        await self._write("unanswered", attempt, error, body_began)

    def finished(self, billing: Billing, maybe_billed: int, raw: bytes) -> None:  # noqa: ARG002 - only the billing is looked at
        """Note the billing."""
        self.billings.append(billing)


# ---------------------------------------------------------------------------------------------------------------------
# A server of bytes


@dataclass
class Connection:
    """One connection to a ``RawServer``."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> tuple[bytes, bytes]:
        """Read a whole request."""
        head = await self.head()
        return head, await self.reader.readexactly(length_of(head))

    async def head(self) -> bytes:
        """Read a request's headers."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def send(self, data: bytes) -> None:
        """Write."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Throw the connection away."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER of no seconds: a reset
        self.writer.transport.abort()

    async def hung_up(self) -> None:
        """Wait until the caller has gone."""
        while await self.reader.read(65536):
            pass


def length_of(head: bytes) -> int:
    """Return the announced length."""
    line = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(line.partition(b":")[2])


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Write an answer."""
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


class RawServer:
    """A server on loopback that runs its script with each connection."""

    def __init__(self, script: Callable[[Connection], Awaitable[None]]) -> None:
        self._script = script
        self.connections = 0
        self.requests: list[tuple[bytes, bytes]] = []
        self.hung_up = asyncio.Event()
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Follow the script."""
        self.connections += 1
        try:
            await self._script(Connection(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError):
            self.hung_up.set()
        finally:
            self.hung_up.set()
            writer.close()

    @property
    def url(self) -> str:
        """The URL that it listens at."""
        return f"http://127.0.0.1:{self.port}/custom/v1/1/{KEY}"


@asynccontextmanager
async def raw_server(
    script: Callable[[Connection], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncGenerator[RawServer]:
    """Run a server for as long as the context is open."""
    serving = RawServer(script)
    server = await asyncio.start_server(serving.serve, "127.0.0.1", 0, ssl=tls)
    serving.port = server.sockets[0].getsockname()[1]
    try:
        yield serving
    finally:
        server.close()
        await server.wait_closed()


def answering(answer: bytes) -> Callable[[Connection], Awaitable[None]]:
    """Return a script that reads one request, answers and closes."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(answer)

    return script
