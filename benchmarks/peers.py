"""The clients that a call is measured over: aiohttp bare, aiohttp as it is usually written, and other libraries.

Each is a context manager that gets ready, and yields what makes a number of calls and returns the CPU they took. The
server repeats one and the same requestId, so all requests of ours have that one.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import aiohttp
import msgspec
import tenacity
from frame import cpu_of, cpu_of_calls
from sink import REQUEST_ID

from clova_ocr_async import ClovaOCRClient, Domain, Image, Receipt
from clova_ocr_async.client.transport import AiohttpTransport, RequestProgress
from clova_ocr_async.documents.envelope import Answer
from clova_ocr_async.host.request_id import new_request_id
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.protocol.request import HTTPRequest, build_request
from clova_ocr_async.protocol.response import decode_response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from clova_ocr_async import Event

    Calls = Callable[[int], Awaitable[float]]  # makes so many calls, returns seconds of CPU

SECRET = {"X-OCR-SECRET": "s"}


def made_id() -> str:
    """Make a requestId as the client does, and return the one that the server repeats."""
    new_request_id()
    return REQUEST_ID


RUNTIME = Runtime(new_id=made_id)


@dataclass(frozen=True)
class Target:
    """The request of all of them, and its target.

    Attributes:
        url: The invoke URL.
        certificate: The file of the certificate to trust; None without TLS.
        file: The picture's file.
        at_once: Calls in flight.
    """

    url: str
    certificate: str | None
    file: str
    at_once: int

    @cached_property
    def data(self) -> bytes:
        """The picture's bytes; each process reads them itself, so that none has them twice."""
        return Path(self.file).read_bytes()

    def calls(self, call: Callable[[], Awaitable[object]]) -> Calls:
        """Return what makes calls of a coroutine function."""
        return lambda calls: cpu_of_calls(call, calls, self.at_once)

    def threaded(self, call: Callable[[], object]) -> Calls:
        """Return what makes calls of a function, in threads."""

        def work(calls: int) -> float:
            with ThreadPoolExecutor(self.at_once) as pool:
                return cpu_of(lambda: [future.result() for future in [pool.submit(call) for _ in range(calls)]])

        return lambda calls: asyncio.to_thread(work, calls)

    def message(self) -> str:
        """Return the message part, as the specification's samples build it."""
        return json.dumps(fields_of_message())


def fields_of_message(**image: str) -> dict[str, Any]:
    """Return what stands in a message, as the specification's samples have it."""
    images = [{"format": "png", "name": "demo", **image}]
    return {"images": images, "requestId": str(uuid.uuid4()), "version": "V2", "timestamp": round(time.time() * 1000)}


def built(target: Target) -> HTTPRequest:
    """Build a request as our client does."""
    return build_request(
        url=target.url,
        secret="s",
        data=target.data,
        format="png",
        name="demo",
        request_id=RUNTIME.new_id(),
        timestamp=int(time.time() * 1000),
    )


@asynccontextmanager
async def bare(target: Target) -> AsyncGenerator[Calls]:
    """Aiohttp with a body that was built before, its answer read and not decoded."""
    request = built(target)
    body = b"".join(bytes(chunk) for chunk in request.body.chunks())
    async with aiohttp.ClientSession() as session:

        async def call() -> None:
            async with session.post(target.url, data=body, headers=request.headers) as response:
                await response.read()

        yield target.calls(call)


@asynccontextmanager
async def bare_decoded(target: Target) -> AsyncGenerator[Calls]:
    """The same, its answer decoded with types."""
    request, decode = built(target), msgspec.json.Decoder(Answer).decode
    body = b"".join(bytes(chunk) for chunk in request.body.chunks())
    async with aiohttp.ClientSession() as session:

        async def call() -> None:
            async with session.post(target.url, data=body, headers=request.headers) as response:
                decode(await response.read())

        yield target.calls(call)


@asynccontextmanager
async def sent(target: Target) -> AsyncGenerator[Calls]:
    """Our transport alone, the request built before."""
    request, transport = built(target), AiohttpTransport()
    yield target.calls(lambda: transport.send(request, RequestProgress()))
    await transport.close()


@asynccontextmanager
async def answered(target: Target) -> AsyncGenerator[Calls]:
    """Our request built, our transport, our answer; no gate, no deadline, no retries."""
    transport = AiohttpTransport()

    async def call() -> object:
        return decode_response(await transport.send(built(target), RequestProgress()), Receipt, request_id=REQUEST_ID)

    yield target.calls(call)
    await transport.close()


@asynccontextmanager
async def ours(target: Target) -> AsyncGenerator[Calls]:
    """Our client as it comes: retries, deadline, gate, typed answer."""
    image = Image(target.data)
    async with ClovaOCRClient(Domain(target.url, "s"), concurrency=target.at_once, runtime=RUNTIME) as client:
        yield target.calls(lambda: client.recognize(image, Receipt))


@asynccontextmanager
async def from_path(target: Target) -> AsyncGenerator[Calls]:
    """Our client, given the file's path."""
    async with ClovaOCRClient(Domain(target.url, "s"), concurrency=target.at_once, runtime=RUNTIME) as client:
        yield target.calls(lambda: client.recognize(target.file, Receipt))


@asynccontextmanager
async def hooked(target: Target) -> AsyncGenerator[Calls]:
    """Our client with a gate that learns, and hooks."""
    image, seen = Image(target.data), dict[type, int]()

    def count(event: Event) -> None:
        seen[type(event)] = seen.get(type(event), 0) + 1

    async with ClovaOCRClient(Domain(target.url, "s"), hooks=[count, count], runtime=RUNTIME) as client:
        yield target.calls(lambda: client.recognize(image, Receipt))


@asynccontextmanager
async def form(target: Target) -> AsyncGenerator[Calls]:
    """Aiohttp as it is usually written: a form, in tenacity; from the picture's bytes."""
    async with aiohttp.ClientSession() as session:

        @tenacity.retry(stop=tenacity.stop_after_attempt(3))
        async def call() -> object:
            return await _posted_form(session, target, target.data)

        yield target.calls(call)


@asynccontextmanager
async def form_from_path(target: Target) -> AsyncGenerator[Calls]:
    """The same, with an open file in the form."""
    async with aiohttp.ClientSession() as session:

        @tenacity.retry(stop=tenacity.stop_after_attempt(3))
        async def call() -> object:
            with open(target.file, "rb") as file:  # noqa: ASYNC230, PTH123 - this is how it is usually written
                return await _posted_form(session, target, file)

        yield target.calls(call)


async def _posted_form(session: aiohttp.ClientSession, target: Target, picture: bytes | IO[bytes]) -> object:
    data = aiohttp.FormData()
    data.add_field("message", target.message())
    data.add_field("file", picture, filename="demo.png", content_type="image/png")
    async with session.post(target.url, data=data, headers=SECRET) as response:
        return await response.json()


@asynccontextmanager
async def base64_json(target: Target) -> AsyncGenerator[Calls]:
    """Aiohttp as it is also written: the image as base64 in the JSON."""
    async with aiohttp.ClientSession() as session:

        async def call() -> object:
            message = fields_of_message(data=base64.b64encode(target.data).decode())
            async with session.post(target.url, json=message, headers=SECRET) as response:
                return await response.json()

        yield target.calls(call)


@asynccontextmanager
async def httpx(target: Target) -> AsyncGenerator[Calls]:
    """Httpx, one client."""
    import httpx  # noqa: PLC0415 - it may be missing

    verify = ssl.create_default_context(cafile=target.certificate) if target.certificate else True
    async with httpx.AsyncClient(verify=verify, timeout=60) as client:

        async def call() -> object:
            files = {"file": ("demo.png", target.data, "image/png")}
            response = await client.post(target.url, data={"message": target.message()}, files=files, headers=SECRET)
            return response.json()

        yield target.calls(call)


@asynccontextmanager
async def niquests(target: Target) -> AsyncGenerator[Calls]:
    """Niquests, one session."""
    import niquests  # noqa: PLC0415 - it may be missing

    async with niquests.AsyncSession(pool_maxsize=target.at_once) as session:

        async def call() -> object:
            response: Any = await session.post(
                target.url,
                data={"message": target.message()},
                files={"file": ("demo.png", target.data)},
                headers=SECRET,
                verify=target.certificate,
            )
            return response.json()

        yield target.calls(call)


@asynccontextmanager
async def requests(target: Target) -> AsyncGenerator[Calls]:
    """Requests in threads, one session."""
    from requests import Session  # noqa: PLC0415 - it may be missing
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    with Session() as session:
        adapter = HTTPAdapter(pool_maxsize=target.at_once)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        yield target.threaded(lambda: _posted(session.request, target))


@asynccontextmanager
async def sample(target: Target) -> AsyncGenerator[Calls]:
    """The specification's sample in threads: requests without a session."""
    import requests  # noqa: PLC0415 - it may be missing

    yield target.threaded(lambda: _posted(requests.request, target))


def _posted(request: Callable[..., Any], target: Target) -> object:
    """Send what the specification's sample sends."""
    with Path(target.file).open("rb") as file:
        response = request(
            "POST",
            target.url,
            headers=SECRET,
            data={"message": target.message().encode()},
            files=[("file", file)],
            verify=target.certificate or True,
            timeout=60,
        )
    return response.json()
