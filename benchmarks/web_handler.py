"""What a handler adds: the CPU of an upload through ``ocr_router`` over that of ``client.recognize`` with its bytes.

The ASGI app is called without a server, and the answer comes from a transport in memory, so that only the handler
differs: FastAPI's routing and dependencies, the form, the shedding, the joining and the encoding of the answer. Beside
it stands the least that FastAPI can do: a handler without any of these that returns a constant.
"""

from __future__ import annotations

import asyncio
import gc
from time import process_time
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from frame import KIB, Effort, Row, alone, apart, effort, figure, picture
from sink import OWN_ANSWER

from clova_ocr_async import ClovaOCRClient, Domain, HTTPRequest, HTTPResponse, Receipt
from clova_ocr_async.integrations.fastapi import get_client, ocr_router

if TYPE_CHECKING:
    from clova_ocr_async.client import RequestProgress

__all__ = ["rows"]

SIZE = 20 * KIB
CALLS = 300
GOAL = 150.0  # microseconds
WAITING = 10_000
EMPTY = b'{"version":"V2","requestId":"","timestamp":1,"images":[{"inferResult":"SUCCESS","receipt":{}}]}'
BOUNDARY = b"b0undary"
HEADERS = [(b"content-type", b"multipart/form-data; boundary=" + BOUNDARY)]


class Answering:
    """A transport that answers at once, or never."""

    def __init__(self) -> None:
        self.answers = True

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
        """Answer."""
        progress.body_began = True
        if not self.answers:
            await asyncio.Event().wait()
        body = b"".join(request.body.chunks())
        at = body.index(b'"requestId":"') + 13
        answer = EMPTY.replace(b'"requestId":""', b'"requestId":"%s"' % body[at : body.index(b'"', at)])
        progress.begin_response(200, {})
        progress.receive(answer)
        return HTTPResponse(200, answer)

    async def close(self) -> None:
        """Do nothing."""


def form(data: bytes) -> bytes:
    """Return the body of an upload."""
    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n' % BOUNDARY
    return head + b"Content-Type: image/png\r\n\r\n" + data + b"\r\n--%s--\r\n" % BOUNDARY


async def upload(app: Any, path: str, body: bytes) -> int:
    """Call an ASGI app, and return the status."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    done = asyncio.Event()
    status = 0

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)
        if message["type"] == "http.response.body":
            done.set()

    headers = [*HEADERS, (b"content-length", b"%d" % len(body))]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }  # fmt: skip
    await app(scope, receive, send)
    return status
