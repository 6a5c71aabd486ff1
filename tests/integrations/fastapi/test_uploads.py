from __future__ import annotations

import asyncio
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Form, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.middleware.base import BaseHTTPMiddleware
from support.fakes import JPEG, FakeTransport, domain
from support.web import BOUNDARY, CONTENT_TYPE, Upload, app_of, form
from virtual import run_virtually

from clova_ocr_async import ClovaOCRClient
from clova_ocr_async.integrations.fastapi.upload import UploadError, file_in_form

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 100_000
HEADERS = {"content-type": CONTENT_TYPE}


@given(st.binary(max_size=300))
def test_the_file_comes_out_of_the_form_as_it_went_in(data: bytes) -> None:
    """Any bytes without the boundary are read from a form byte for byte."""
    assert file_in_form(form(data), BOUNDARY) == data


def test_other_fields_and_a_preamble_do_not_matter() -> None:
    """A form may hold a preamble, fields beside the file, and a name without quotes; its file is found."""
    body = (
        b"preamble\r\n--b\r\nX: y\r\n\r\nno name\r\n--b\r\n\r\nno headers\r\n"
        b"--b\r\ncontent-type: image/png\r\n"
        b'content-disposition: form-data; filename="; name=\\"x\\""; NAME=file\r\n\r\n'
        b'data\r\n--b\r\nContent-Disposition: form-data; name="note"\r\n\r\n\r\n--b--\r\nepilogue'
    )
    assert file_in_form(body, b"b") == b"data"


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 200))
def test_a_broken_form_is_refused_and_nothing_else(junk: bytes, start: int, end: int) -> None:
    """Whatever is cut out of a form or put into it, it is read or refused."""
    whole = form(b"data")
    with suppress(UploadError):
        file_in_form(whole[:start] + junk + whole[end:], BOUNDARY)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "broken"),
        (b"--b", "broken"),
        (b"--b\r\n", "broken"),
        (b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\ndata', "broken"),
        (b"--b\r\nX: " + b"x" * 5000 + b"\r\n\r\n\r\n--b--", "broken"),
        (b"--b--", "no field 'file'"),
        (form(b"x", "image").replace(BOUNDARY, b"b"), "no field 'file'"),
        (
            form(b"x").replace(BOUNDARY, b"b").replace(b"--b--", b"") + form(b"y").replace(BOUNDARY, b"b"),
            "more than one",
        ),
        (b"--b\r\n\r\n\r\n" * 17 + b"--b--", "more than 16 fields"),
    ],
)
def test_what_is_wrong_with_a_form_is_named(body: bytes, detail: str) -> None:
    """A form without its end, without the file, with two of them, or with too many fields is refused as such."""
    with pytest.raises(UploadError, match=detail):
        file_in_form(body, b"b")


# ---------------------------------------------------------------------------------------------------------------------
# The limit


def chunks(size: int, count: int) -> Iterator[bytes]:
    """Yield a body that has no end in sight."""
    yield form(b"")[:-20]
    for _ in range(count):
        yield bytes(size)


def client_of(transport: FakeTransport) -> ClovaOCRClient:
    """Return a client without a wire."""
    return ClovaOCRClient(domain(), transport=transport)


async def test_an_endless_upload_is_refused_at_the_limit() -> None:
    """Of a chunked upload without end no more is read than the limit and a form around it, and the connection ends."""
    upload = Upload(app_of(client_of(FakeTransport()), max_bytes=LIMIT), chunks(10_000, 10**9))
    answered = await upload.answer()
    assert (answered.status, answered.headers["connection"]) == (413, "close")
    assert answered.json()["detail"] == "a file may have 100,000 bytes"
    assert answered.chunks_read * 10_000 < 2 * LIMIT


async def test_an_upload_in_tiny_chunks_takes_the_memory_of_its_bytes() -> None:
    """Chunks of two bytes, as a hostile client sends them, do not take many times the memory of the picture."""
    transport = FakeTransport()
    body = bytes(LIMIT) + b"\r\n" + form(JPEG)
    tracemalloc.start()
    try:
        upload = Upload(app_of(client_of(transport)), (body[at : at + 2] for at in range(0, len(body), 2)))
        assert (await upload.answer()).status == 200
        assert tracemalloc.get_traced_memory()[1] < 10 * LIMIT
    finally:
        tracemalloc.stop()
    assert transport.sent[0].parsed.data == JPEG


@pytest.mark.parametrize("body", [[], chunks(10_000, 10**9)])
async def test_a_length_beside_chunks_does_not_count(body: Any) -> None:
    """A client cannot have a long body drained, or blame a middleware for an empty one, by naming a length as well."""
    headers = {**HEADERS, "content-length": "5", "transfer-encoding": "chunked"}
    answered = await Upload(app_of(client_of(FakeTransport()), max_bytes=LIMIT), body, headers=headers).answer()
    assert (answered.status, answered.headers["connection"]) == (413 if body else 422, "close")


async def test_a_chunked_upload_that_is_read_keeps_the_connection() -> None:
    """The connection ends only with a refusal before the end of a body."""
    answered = await Upload(app_of(client_of(FakeTransport())), [form(JPEG)[:100], form(JPEG)[100:]]).answer()
    assert (answered.status, "connection" in answered.headers) == (200, False)


async def test_an_upload_that_names_its_length_is_refused_unread() -> None:
    """A declared length beyond the limit is refused before anything is read."""
    headers = {"content-type": "multipart/form-data; boundary=b", "content-length": str(2 * 2**30)}
    answered = await Upload(app_of(client_of(FakeTransport())), [], headers=headers).answer()
    assert (answered.status, answered.chunks_read, answered.headers["connection"]) == (413, 0, "close")


async def test_the_limit_is_that_of_the_file() -> None:
    """A file of exactly the limit is taken, and one byte more is refused, although the form around it may be larger."""
    transport = FakeTransport()
    app = app_of(client_of(transport), max_bytes=len(JPEG))
    assert (await Upload(app, JPEG).answer()).status == 200
    assert (await Upload(app, JPEG + b"x").answer()).status == 413
    assert len(transport.sent) == 1


@pytest.mark.parametrize("chunked", [True, False])
async def test_the_limit_of_the_app_is_for_its_other_routes(*, chunked: bool) -> None:
    """An app-wide limit of bodies neither refuses a picture nor replaces the answer about a large one."""
    transport = FakeTransport()
    app = FastAPI(max_body_size=10)
    app.mount("/", app_of(client_of(transport), max_bytes=len(JPEG)))
    for data, status in ((JPEG, 200), (JPEG + bytes(70_000), 413)):
        headers = HEADERS if chunked else {**HEADERS, "content-length": str(len(form(data)))}
        answered = await Upload(app, data, headers=headers).answer()
        assert (answered.status, answered.json().get("billing", "not_billed")) == (status, "not_billed")
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    "content_type",
    ["", "image/jpeg", "application/x-www-form-urlencoded", "multipart/form-data", "multipart/mixed; boundary=b"],
)
async def test_a_body_that_is_not_a_form_is_refused_unread(content_type: str) -> None:
    """Another content type, or none, is a 415 that names the form and its field."""
    answered = await Upload(app_of(client_of(FakeTransport())), [b"x"], headers={"content-type": content_type}).answer()
    assert (answered.status, answered.chunks_read) == (415, 0)
    assert "'file' of multipart/form-data" in answered.json()["detail"]


async def test_a_body_that_was_read_before_is_used() -> None:
    """A dependency that checks a signature reads the body, as Sentry does with a small one, and the upload is read."""
    seen: list[bytes] = []

    async def check_signature(request: Request) -> None:
        seen.append(await request.body())

    transport = FakeTransport()
    app = app_of(client_of(transport), dependencies=[Depends(check_signature)])
    assert (await Upload(app, JPEG).answer()).status == 200
    assert (seen, transport.sent[0].parsed.data) == ([form(JPEG)], JPEG)


async def test_a_form_that_was_parsed_before_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A dependency on another field of the form leaves no bytes: that is a mistake of the app, and no endless wait."""

    async def check_field(csrf: Annotated[str, Form()] = "") -> None:
        del csrf

    app = app_of(client_of(FakeTransport()), dependencies=[Depends(check_field)])
    answered = await Upload(app, JPEG).answer()
    assert (answered.status, answered.json()["billing"]) == (500, "not_billed")
    assert "has parsed the form of the upload" in caplog.text


@pytest.mark.parametrize("way", ["form", "stream"])
async def test_a_form_that_a_middleware_has_parsed_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture, way: str
) -> None:
    """Behind a middleware that has used up the form the body is empty: no fault of the caller's, and logged."""

    async def using(request: Request, call_next: Any) -> Any:
        if way == "form":
            async with request.form():
                pass
        else:
            _ = [chunk async for chunk in request.stream()]
        return await call_next(request)

    app = app_of(client_of(FakeTransport()))
    app.add_middleware(BaseHTTPMiddleware, dispatch=using)
    body = form(JPEG)
    answered = await Upload(app, [body], headers={**HEADERS, "content-length": str(len(body))}).answer()
    assert (answered.status, answered.json()["billing"]) == (500, "not_billed")
    assert "has parsed the form of the upload" in caplog.text


async def test_an_empty_body_is_the_fault_of_the_caller() -> None:
    """A form whose length is 0 is a 422 as any broken form."""
    app = app_of(client_of(FakeTransport()))
    answered = await Upload(app, [b""], headers={**HEADERS, "content-length": "0"}).answer()
    assert (answered.status, answered.json()["type"][-8:]) == (422, "bad-form")


async def test_an_error_of_the_server_stays_itself(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the code that hands on the body is not taken for a form that was parsed before."""
    app = app_of(client_of(FakeTransport()))

    async def broken(scope: Any, _receive: Any, send: Any) -> None:
        async def receive() -> Any:
            raise RuntimeError("broken pipe of a middleware")

        await app(scope, receive, send)

    with pytest.raises(RuntimeError, match="broken pipe"):
        await Upload(broken, JPEG).task
    assert "has parsed the form" not in caplog.text


def test_a_stalled_upload_ends() -> None:
    """An upload of which no byte arrives for half a minute, or that takes five, is a 408 and frees its place."""

    async def main() -> None:
        app = app_of(client_of(FakeTransport()))
        answered = await Upload(app, [form(JPEG)[:50]], stalls=True).answer()
        assert (answered.status, answered.json()["billing"]) == (408, "not_billed")

        async def dripping(scope: Any, receive: Any, send: Any) -> None:
            async def slow() -> Any:
                await asyncio.sleep(20)
                return await receive()

            await app(scope, slow, send)

        answered = await Upload(dripping, (b"-" for _ in range(1000))).answer()
        assert (answered.status, answered.chunks_read) == (408, 14)

    run_virtually(main())


async def test_a_client_that_goes_while_it_uploads_costs_nothing() -> None:
    """A client that disconnects before its upload is whole gets no answer, and nothing is sent."""
    transport = FakeTransport()
    upload = Upload(app_of(client_of(transport)), [form(JPEG)[:50]], stalls=True)
    await asyncio.sleep(0)
    upload.go()
    await upload.answer()
    assert not transport.sent
