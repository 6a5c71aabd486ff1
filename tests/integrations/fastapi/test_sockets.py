"""Uploads over real sockets to a real server."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI
from support.waiting import wait_for
from support.web import connected, form, served, upload_head

from clova_ocr_async import ClovaOCRClient, Domain, Receipt
from clova_ocr_async.emulator import Emulator, draw_sample, emulator_in_thread
from clova_ocr_async.integrations.fastapi import client_lifespan, ocr_router

if TYPE_CHECKING:
    import socket
    from collections.abc import Generator

RECEIPT, OTHER = (draw_sample("receipt", seed=seed).data for seed in range(2))


@pytest.fixture
def clova() -> Generator[Emulator]:
    """A local CLOVA whose calls take a while."""
    with emulator_in_thread(latency=0.5, concurrency=1) as emulator:
        yield emulator


def app_for(clova: Emulator, **settings: Any) -> FastAPI:
    """Return an app with a client of a local CLOVA."""
    app = FastAPI(lifespan=client_lifespan(lambda: ClovaOCRClient(Domain(clova.url(), clova.secret), concurrency=1)))
    app.include_router(ocr_router(**{"documents": [Receipt], **settings}))
    return app


def send(connection: socket.socket, data: bytes = RECEIPT) -> None:
    """Send an upload."""
    body = form(data)
    connection.sendall(upload_head(len(body)) + body)


def answer(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Read an answer: status, headers and body."""
    file = connection.makefile("rb")
    status = int(file.readline().split()[1])
    headers: dict[str, str] = {}
    while line := file.readline().decode().strip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return status, headers, json.loads(file.read(int(headers["content-length"])))


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_client_that_disconnects_and_uploads_again_is_billed_once(clova: Emulator, loop: str) -> None:
    """A disconnect after sending costs one call, whose answer the same file gets; one before sending costs nothing."""
    pytest.importorskip(loop)
    with served(app_for(clova, max_wait=100.0), loop) as port:
        with connected(port) as first:
            send(first)
            wait_for(lambda: clova.requests)
        with connected(port) as unsent:
            send(unsent, OTHER)
        with connected(port) as again:
            send(again)
            status, _, body = answer(again)
        assert (status, body["billed"]) == (200, False)
        assert body["document"]["result"]["storeInfo"]["name"]["text"]
        assert clova.billed.total() == clova.requests == 1


def test_a_huge_upload_ends_the_connection_at_the_limit(clova: Emulator) -> None:
    """A chunked upload without end cannot be sent further than twice the limit, and its client can read the refusal."""
    limit, sent = 2**20, 0
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    with served(app_for(clova, max_bytes=limit)) as port, connected(port) as endless:
        endless.sendall(upload_head(None))
        with suppress(ConnectionError):
            while sent < 2**31:
                endless.sendall(chunk)
                sent += 0x10000
        assert answer(endless)[0] == 413
    assert limit < sent < 2**25  # what the buffers of two sockets hold is not read


def test_a_refusal_keeps_the_connection_of_a_small_upload(clova: Emulator) -> None:
    """After a refusal the rest of a small body is dropped, and the next upload on the connection is answered."""
    with served(app_for(clova)) as port, connected(port) as kept:
        send(kept, b"not a picture")
        assert answer(kept)[0] == 415
        send(kept)
        status, headers, _ = answer(kept)
        assert (status, headers.get("connection")) == (200, None)


def test_a_refused_caller_that_obeys_is_answered(clova: Emulator) -> None:
    """An upload beyond max_wait is a 503 at once; sent again after its Retry-After, it is answered."""
    with served(app_for(clova, max_wait=0.1)) as port, connected(port) as first, connected(port) as second:
        send(first)
        wait_for(lambda: clova.requests)
        send(second, OTHER)
        status, headers, body = answer(second)
        assert (status, body["type"][-10:], body["billing"]) == (503, "overloaded", "not_billed")
        assert int(headers["retry-after"]) >= 1
        assert answer(first)[0] == 200
        send(second, OTHER)
        assert answer(second)[0] == 200
