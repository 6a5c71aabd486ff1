"""The behaviour of each fault that is not an error answer: proxy pages, unexpected bodies, network faults."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import socket
import struct
import uuid
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator.faults import Fault
from clova_ocr_async.emulator.synthetic_answers import synthetic_answer
from clova_ocr_async.protocol.response import encode_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.protocol.request import ParsedRequest

    ImageObject = dict[str, Any]
    MakeBody = Callable[[ParsedRequest, str, ImageObject], bytes]
    Sleep = Callable[[float], Awaitable[Any]]
    NetworkFault = Callable[[web.Request, bytes, Sleep], Awaitable[web.StreamResponse]]

__all__ = ["EARLY_NETWORK_FAULTS", "NETWORK_FAULTS", "PROXY_PAGES", "UNEXPECTED_BODIES", "ProxyPage", "send_duplicate"]

_BOMB = 64 * 1024 * 1024  # bytes, uncompressed
_DISCONNECT_POLL = 0.02  # seconds
_TRICKLE = 0.02  # seconds between two bytes
_NO_LINGER = struct.pack("ii", 1, 0)  # closing with it sends RST instead of FIN


@dataclass(frozen=True, slots=True)
class ProxyPage:
    """An answer of a proxy, which neither service nor gateway wrote.

    Attributes:
        status: The HTTP status.
        body: The HTML page.
        location: The target of a redirect; empty for none.
        billed: Whether the call runs and the emulator counts it as billed.
    """

    status: int
    body: str = ""
    location: str = ""
    billed: bool = False

    def response(self) -> web.Response:
        """Return the HTTP answer."""
        headers = {"Location": self.location} if self.location else {}
        return web.Response(status=self.status, text=self.body, content_type="text/html", headers=headers)


_BAD_GATEWAY = "<html><h1>Bad Gateway</h1></html>"
_UNAVAILABLE = "<html><h1>Service Unavailable</h1></html>"

PROXY_PAGES: dict[Fault, ProxyPage] = {
    Fault.BAD_GATEWAY_PAGE: ProxyPage(502, _BAD_GATEWAY),
    Fault.BAD_GATEWAY_BILLED: ProxyPage(502, _BAD_GATEWAY, billed=True),
    Fault.UNAVAILABLE_PAGE: ProxyPage(503, _UNAVAILABLE),
    Fault.UNAVAILABLE_BILLED: ProxyPage(503, _UNAVAILABLE, billed=True),
    # Seen by users who had made a stage of their own at the gateway.
    Fault.UNKNOWN_STATUS: ProxyPage(520, "<html><h1>Unknown Endpoint Domain</h1></html>"),
    # Port 9 is "discard": a client that follows is refused, and its secret arrives nowhere.
    Fault.REDIRECT: ProxyPage(307, location="http://127.0.0.1:9/elsewhere"),
}
"""The answers of proxies, by fault."""


def _answer_with(request: ParsedRequest, image: ImageObject, request_id: str | None = None) -> bytes:
    return encode_response(request_id or request.request_id, request.timestamp, image)


def _nothing_read(request: ParsedRequest, image: ImageObject, infer_result: str) -> bytes:
    kept = {key: image[key] for key in ("uid", "name", "validationResult")}
    return _answer_with(request, {**kept, "inferResult": infer_result, "message": f"{infer_result} on demand."})


def _wrong_type(request: ParsedRequest, document: str, image: ImageObject) -> bytes:
    """Return a document whose first part is a text instead of an object."""
    key = DOCUMENTS[document].answer_key
    read = image.get(key, {})  # an image that is not the document has no such key
    first = next(iter(read), "result")
    return _answer_with(request, {**image, key: {**read, first: "a text"}})


def _other_document(request: ParsedRequest, document: str, image: ImageObject) -> bytes:
    other = next(word for word in DOCUMENTS if word != document)
    kept = {key: value for key, value in image.items() if key != DOCUMENTS[document].answer_key}
    read = synthetic_answer(other, request.data, 1000, 1000)
    return _answer_with(request, {**kept, DOCUMENTS[other].answer_key: read})


def _general(request: ParsedRequest, document: str, image: ImageObject) -> bytes:
    kept = {key: value for key, value in image.items() if key != DOCUMENTS[document].answer_key}
    return _answer_with(
        request, {**kept, "fields": [{"valueType": "ALL", "inferText": "text", "inferConfidence": 1.0}]}
    )


def _half(request: ParsedRequest, _: str, image: ImageObject) -> bytes:
    body = _answer_with(request, image)
    return body[: len(body) // 2]


def _not_utf8(request: ParsedRequest, _: str, image: ImageObject) -> bytes:
    return _answer_with(request, {**image, "name": "NAME"}).replace(b"NAME", b"\xff\xfe")


def _always(body: bytes) -> MakeBody:
    return lambda _request, _document, _image: body


UNEXPECTED_BODIES: dict[Fault, MakeBody] = {
    Fault.FAILURE: lambda request, _document, image: _nothing_read(request, image, "FAILURE"),
    Fault.ERROR: lambda request, _document, image: _nothing_read(request, image, "ERROR"),
    Fault.EMPTY_ANSWER: _always(b""),
    Fault.HTML_ANSWER: _always(b"<html><h1>It works</h1></html>"),
    Fault.HALF_JSON: _half,
    Fault.NOT_UTF8: _not_utf8,
    Fault.DEEP_JSON: _always(b'{"images":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    Fault.WRONG_TYPE: _wrong_type,
    Fault.UNKNOWN_FIELD: lambda request, _document, image: _answer_with(request, {**image, "addedSince": {"value": 1}}),
    Fault.OTHER_REQUEST_ID: lambda request, _document, image: _answer_with(request, image, str(uuid.UUID(int=0))),
    Fault.OTHER_DOCUMENT: _other_document,
    Fault.GENERAL_ANSWER: _general,
}
"""The unexpected bodies of answers with the status 200; the call has run."""


async def _reset(request: web.Request, *_: object) -> web.StreamResponse:
    """Abort the connection, so that the caller gets a reset."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        request.transport.abort()
    return web.Response()


async def _reset_during_body(request: web.Request, *_: object) -> web.StreamResponse:
    """Abort the connection when the first bytes of the body have arrived."""
    # A caller that disconnects meanwhile has closed the connection itself.
    with contextlib.suppress(web.RequestPayloadError, ConnectionError):
        await request.content.readany()
    return await _reset(request)


async def _close(request: web.Request, *_: object) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


async def _silence(request: web.Request, *_: object) -> web.StreamResponse:
    """Send no answer until the caller disconnects."""
    # aiohttp reports a disconnect only by cancelling handlers, which would also end calls that the service continues.
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(_DISCONNECT_POLL)
    return web.Response()


async def _garbage(request: web.Request, *_: object) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.write(b"this is no HTTP\r\n\r\n")
        request.transport.close()
    return web.Response()


async def _cut(request: web.Request, answer: bytes, *_: object) -> web.StreamResponse:
    """Announce the length of the whole answer and send half of it."""
    with contextlib.suppress(ConnectionError):
        response = await _started_response(request, len(answer))
        await response.write(answer[: len(answer) // 2])
    return await _close(request)


# One chunk a byte: the caller's timeout between two reads never expires, only the one of the whole answer.
async def _trickle(request: web.Request, answer: bytes, sleep: Sleep) -> web.StreamResponse:
    """Send a byte at a time, as long as the caller is connected."""
    with contextlib.suppress(ConnectionError):
        response = await _started_response(request, None)
        for byte in answer:
            await response.write(bytes([byte]))
            await sleep(_TRICKLE)
        return response
    return await _close(request)


@functools.cache  # compressing 64 MiB once is enough
def _compressed_bomb() -> bytes:
    return gzip.compress(b" " * _BOMB)


async def _bomb(*_: object) -> web.StreamResponse:
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return web.Response(body=_compressed_bomb(), headers=headers)


# The answers to be sent a second time, by connection; an entry ends with its connection.
_duplicates: weakref.WeakKeyDictionary[asyncio.BaseTransport, bytes] = weakref.WeakKeyDictionary()


async def _answer_twice(request: web.Request, answer: bytes, *_: object) -> web.StreamResponse:
    """Send the answer, and send the same bytes once more before the answer to the next call on this connection."""
    if request.transport is not None:
        _duplicates[request.transport] = answer
    return web.Response(body=answer, content_type="application/json")


def send_duplicate(request: web.Request) -> None:
    """Send the answer of an earlier call once more, if ``LATE_DUPLICATE`` left one on the connection of a request."""
    if request.transport is not None and (answer := _duplicates.pop(request.transport, None)) is not None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
        request.transport.write(head.encode() + answer)


async def _started_response(request: web.Request, length: int | None) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = length
    await response.prepare(request)
    return response


NETWORK_FAULTS: dict[Fault, NetworkFault] = {
    Fault.RESET_BEFORE_BODY: _reset,
    Fault.RESET_DURING_BODY: _reset_during_body,
    Fault.RESET_AFTER_BODY: _reset,
    Fault.CLOSE_AFTER_BODY: _close,
    Fault.SILENCE: _silence,
    Fault.GARBAGE: _garbage,
    Fault.CUT_ANSWER: _cut,
    Fault.TRICKLE: _trickle,
    Fault.GZIP_BOMB: _bomb,
    Fault.LATE_DUPLICATE: _answer_twice,
}
"""The faults of the network; all but the early ones happen after the call has run."""

EARLY_NETWORK_FAULTS = frozenset({Fault.RESET_BEFORE_BODY, Fault.RESET_DURING_BODY})
"""The faults that happen before the call runs. To be interrupted while it sends, a caller must send more than the
buffers of the sockets hold: some megabytes are enough."""
