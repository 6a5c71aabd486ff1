"""What a handler adds: the CPU of an upload through ``ocr_router`` over that of ``recognize`` with the same bytes.

The ASGI app is called without a server, and the answers come from memory, so that only the handler differs: FastAPI's
routing, the form, the shedding, the joining, the watch for a disconnect and the encoding of the answer. Beside it stand
the least that FastAPI can do, a handler that reads nothing and returns a constant; and the handler as it is usually
written, with an ``UploadFile`` and a dict.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request, Response, UploadFile
from frame import (
    KIB,
    PICTURE,
    Row,
    alone,
    apart,
    apart_in_turn,
    compared,
    cpu_of_calls,
    effort,
    figure,
    in_turn_async,
    resident_memory,
)
from frame import picture as made_picture

from clova_ocr_async import ClovaOCRClient, Domain, HTTPRequest, HTTPResponse, Receipt
from clova_ocr_async.integrations.fastapi import get_client, ocr_router

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.client import RequestProgress

__all__ = ["rows"]

SIZE = 20 * KIB
CALLS = 300
WAITING = 10_000
GOAL, MEMORY_GOAL = 150.0, 40.0  # microseconds; MB
BOUNDARY = b"boundary"


class Memory:
    """A transport that answers from memory, or never."""

    def __init__(self, *, answers: bool = True) -> None:
        self.answers = answers

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
        """Answer with an empty receipt."""
        progress.body_began = True
        if not self.answers:
            await asyncio.Event().wait()
        head = next(iter(request.body.chunks()))
        request_id = bytes(head).partition(b'"requestId":"')[2].partition(b'"')[0].decode()
        answer: dict[str, Any] = {"requestId": request_id, "images": [{"inferResult": "SUCCESS", "receipt": {}}]}
        return HTTPResponse(200, msgspec.json.encode(answer))

    async def close(self) -> None:
        """Do nothing."""


def client_of(*, answers: bool = True) -> ClovaOCRClient:
    """Return a client without a wire."""
    domain = Domain("http://127.0.0.1/custom/v1/1/key", "secret")
    return ClovaOCRClient(domain, transport=Memory(answers=answers), concurrency=32)


def ours(client: ClovaOCRClient, *, join_identical: bool = True) -> FastAPI:
    """Return an app with the routes of this package."""
    del client  # it is in the state of the lifespan
    app = FastAPI()
    app.include_router(ocr_router(documents=[Receipt], max_wait=1e9, join_identical=join_identical))
    return app


def least(client: ClovaOCRClient) -> FastAPI:
    """Return an app whose handler does nothing."""
    del client
    app = FastAPI()

    async def read() -> Response:
        return Response(b"{}", media_type="application/json")

    app.add_api_route("/receipt", read, methods=["POST"])
    return app


def routed(client: ClovaOCRClient) -> FastAPI:
    """Return an app whose handler does nothing but get the client, in a router that is included as ours is."""
    del client
    app, router = FastAPI(), APIRouter()

    async def read(request: Request, client: Annotated[ClovaOCRClient, Depends(get_client)]) -> Response:
        del request, client
        return Response(b"{}", media_type="application/json")

    router.add_api_route("/receipt", read, methods=["POST"])
    app.include_router(router)
    return app


def called(client: ClovaOCRClient) -> FastAPI:
    """Return an app whose handler has its picture already: it makes the call, and nothing of what makes an upload."""
    del client
    app, router, data = FastAPI(), APIRouter(), made_picture(SIZE)

    async def read(request: Request, client: Annotated[ClovaOCRClient, Depends(get_client)]) -> Response:
        del request
        found = await client.recognize(data, Receipt)
        return Response(msgspec.json.encode(found.document), media_type="application/json")

    router.add_api_route("/receipt", read, methods=["POST"])
    app.include_router(router)
    return app


def usual(client: ClovaOCRClient) -> FastAPI:
    """Return an app with the handler as it is usually written."""
    app = FastAPI()

    async def read(file: UploadFile) -> dict[str, Any]:
        return (await client.recognize(file, Receipt)).to_dict()

    read.__annotations__["file"] = UploadFile  # FastAPI does not find a name that is imported for a function here
    app.add_api_route("/receipt", read, methods=["POST"])
    return app


def form(data: bytes) -> bytes:
    """Return the body of an upload."""
    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n' % BOUNDARY
    return head + b"Content-Type: image/png\r\n\r\n" + data + b"\r\n--%s--\r\n" % BOUNDARY


async def upload(app: FastAPI, client: ClovaOCRClient, body: bytes) -> None:
    """Upload to an app as a server would."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]
    forever = asyncio.get_running_loop().create_future()
    statuses: list[int] = []

    async def receive() -> Any:
        return messages.pop() if messages else await forever

    async def send(message: Any) -> None:
        await asyncio.sleep(0)
        statuses.append(message.get("status", 200))

    headers = {b"content-type": b"multipart/form-data; boundary=" + BOUNDARY, b"content-length": b"%d" % len(body)}
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/receipt",
        "raw_path": b"/receipt",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "headers": list(headers.items()),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {"clova_ocr_client": client},
    }
    await app(scope, receive, send)
    if set(statuses) != {200}:
        raise AssertionError(f"the upload was answered with {statuses}")


def costs(rounds: int, calls: int) -> dict[str, list[float]]:
    """Return the microseconds of a call in each round, by contender."""

    async def measured() -> dict[str, list[float]]:
        data = made_picture(SIZE)
        client, body = client_of(), form(data)
        apps = {make.__name__: make(client) for make in (ours, least, routed, called, usual)}

        def of(call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[float]]:
            async def cost() -> float:
                return await cpu_of_calls(call, calls, at_once=1) / calls * 1e6

            return cost

        contenders = {name: of(partial(upload, app, client, body)) for name, app in apps.items()}
        return await in_turn_async({"bare": of(lambda: client.recognize(data, Receipt)), **contenders}, rounds)

    return asyncio.run(measured())


def waiting(count: int, *, web: bool) -> float:
    """Return the MB that a number of calls take that wait for a slot."""

    async def measured() -> float:
        client = client_of(answers=False)
        app, body = ours(client, join_identical=False), form(PICTURE)

        async def call() -> object:
            return await (upload(app, client, body) if web else client.recognize(PICTURE, Receipt))

        def begin(number: int) -> list[asyncio.Task[object]]:
            return [asyncio.ensure_future(call()) for _ in range(number)]

        tasks = begin(40)  # so that what is made once is there
        await asyncio.sleep(0.2)
        before = resident_memory()
        tasks += begin(count)
        while client.backlog(Receipt).waiting < count:  # noqa: ASYNC110 - nothing else shows it
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        taken = resident_memory() - before
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await client.close(wait=0)
        return taken * KIB * KIB / 1e6

    return asyncio.run(measured())


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - as all questions have it
    """Measure."""
    found = apart_in_turn(effort(9, quick=quick), costs, calls=CALLS // 10 if quick else CALLS)
    added, at_hand = (
        [mine - bare for mine, bare in zip(found[name], found["bare"], strict=True)] for name in ("ours", "called")
    )
    count = WAITING // 10 if quick else WAITING
    return [
        figure("CPU that a handler adds to a call", added, GOAL, unit="µs", gain="a handler adds {} µs to a call"),
        figure("the least that FastAPI adds", found["least"], unit="µs", note="reads nothing, returns a constant"),
        figure("the least that FastAPI adds to a route that gets the client", found["routed"], unit="µs"),
        figure(
            "of what a handler adds: before the form is read, joined and watched",
            at_hand,
            unit="µs",
            note="FastAPI, and the call among its code instead of in a loop",
        ),
        compared("a handler as usually written, over ours", found["ours"], found["usual"], faster=True),
        *[
            figure(
                f"memory of {count:,} {what} that wait for a slot",
                [apart(waiting, count, web=web)],
                MEMORY_GOAL if not web else None,
                unit="MB",
            )
            for what, web in (("calls", False), ("uploads", True))
        ],
    ]


if __name__ == "__main__":
    alone(rows)
