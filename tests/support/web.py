"""Web apps for tests: an app around a client, uploads as raw ASGI messages, and a real server in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import uvicorn
from fastapi import FastAPI

from clova_ocr_async import ClovaOCRClient, Receipt
from clova_ocr_async.integrations.fastapi import get_client, ocr_router

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable

__all__ = ["BOUNDARY", "CONTENT_TYPE", "Answered", "Upload", "app_of", "connected", "form", "served", "upload_head"]

BOUNDARY = b"bound-ary"
CONTENT_TYPE = "multipart/form-data; boundary=" + BOUNDARY.decode()


def form(data: bytes, name: str = "file", filename: str = "scan.png") -> bytes:
    """Return the body of a form with one file."""
    head = f'--{BOUNDARY.decode()}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
    return head.encode() + b"Content-Type: image/png\r\n\r\n" + data + b"\r\n--" + BOUNDARY + b"--\r\n"


def app_of(client: ClovaOCRClient, **settings: Any) -> FastAPI:
    """Return an app with the routes, for a client that needs no lifespan."""
    app = FastAPI()
    app.include_router(ocr_router(**{"documents": [Receipt], **settings}))

    async def given() -> ClovaOCRClient:
        return client

    app.dependency_overrides[get_client] = given
    return app


@dataclass
class Answered:
    """An answer of an app.

    Attributes:
        status: The HTTP status.
        headers: The headers, in lower case.
        body: The body.
        chunks_read: Messages of the body that the app took.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    chunks_read: int = 0

    def json(self) -> Any:
        """Return the body as plain values."""
        return msgspec.json.decode(self.body)


class Upload:
    """An upload to an ASGI app, message by message, whose client may go at any time.

    Args:
        app: The app.
        data: The picture; or the chunks of a body.
        path: Where it goes.
        headers: Headers instead of those of the form.
        stalls: Whether the body has no end after its chunks.
    """

    def __init__(
        self,
        app: Callable[..., Awaitable[None]],
        data: bytes | Iterable[bytes],
        path: str = "/receipt",
        headers: dict[str, str] | None = None,
        *,
        stalls: bool = False,
    ) -> None:
        self.answered = Answered()
        self._chunks = iter([form(data)] if isinstance(data, bytes) else data)
        self._stalls = stalls
        self._whole = False
        self._gone = asyncio.Event()
        headers = {"content-type": CONTENT_TYPE} if headers is None else headers
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "scheme": "http",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    def go(self) -> None:
        """Disconnect."""
        self._gone.set()

    async def answer(self) -> Answered:
        """Return the answer."""
        await self.task
        return self.answered

    async def _receive(self) -> dict[str, Any]:
        if not self._whole and not self._gone.is_set():
            chunk = next(self._chunks, None)
            if chunk is not None or not self._stalls:
                self._whole = chunk is None
                self.answered.chunks_read += 1
                return {"type": "http.request", "body": chunk or b"", "more_body": not self._whole}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.answered.status = message["status"]
            self.answered.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.answered.body += message["body"]


@contextmanager
def served(app: FastAPI, loop: str = "asyncio") -> Generator[int]:
    """Serve an app on this machine with uvicorn, in a thread; the value is the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, loop=loop, lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@contextmanager
def connected(port: int) -> Generator[socket.socket]:
    """Connect to a server."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        yield connection


def upload_head(length: int | None, path: str = "/receipt") -> bytes:
    """Return the head of an upload; chunked without a length."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {CONTENT_TYPE}\r\n{size}\r\n\r\n".encode()
