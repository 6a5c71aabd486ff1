import asyncio
import json
import re
import socket
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.answers import decode
from support.fakes import steps

from clova_ocr_async import ConfigurationError, DomainError, RecognitionError
from clova_ocr_async.documents import DOCUMENTS, Receipt
from clova_ocr_async.emulator import Emulator, Fault, draw_sample
from clova_ocr_async.emulator.fault_behaviour import NETWORK_FAULTS, PROXY_PAGES, UNEXPECTED_BODIES
from clova_ocr_async.emulator.faults import ERROR_FAULTS
from clova_ocr_async.protocol.request import build_request

SAMPLE = draw_sample("receipt", format="jpg").data
REQUEST_ID = "5e1b9a8c-0000-4000-8000-000000000000"

SERVICE_ERRORS = {
    Fault.INVALID_URL: (400, "0001"),
    Fault.BAD_SECRET: (401, "0002"),
    Fault.INVALID_BODY: (400, "0011"),
    Fault.BAD_VERSION: (400, "0021"),
    Fault.WRONG_DOMAIN: (400, "0022"),
    Fault.QUOTA: (400, "0023"),
    Fault.RATE_LIMITED: (400, "0025"),
    Fault.UNKNOWN_ERROR: (500, "0500"),
    Fault.UNKNOWN_ERROR_BILLED: (500, "0500"),
    Fault.ENGINE_ERROR: (500, "0501"),
    Fault.ENGINE_ERROR_BILLED: (500, "0501"),
    Fault.REFUSED: (400, "1002"),
    Fault.NOT_DEPLOYED: (500, "1021"),
    Fault.BLOCKED: (400, "1022"),
    Fault.ERROR_UNDER_200: (200, "0011"),
}
GATEWAY_ERRORS = {
    Fault.GATEWAY_BAD_REQUEST: (400, "100"),
    Fault.GATEWAY_AUTHENTICATION: (401, "200"),
    Fault.GATEWAY_PERMISSION: (401, "210"),
    Fault.GATEWAY_NOT_FOUND: (404, "300"),
    Fault.GATEWAY_QUOTA: (429, "400"),
    Fault.GATEWAY_THROTTLED: (429, "410"),
    Fault.GATEWAY_RATE_LIMITED: (429, "420"),
    Fault.GATEWAY_TOO_LARGE: (413, "430"),
    Fault.GATEWAY_ENDPOINT: (503, "500"),
    Fault.GATEWAY_TIMEOUT: (504, "510"),
    Fault.GATEWAY_UNEXPECTED: (500, "900"),
}
FOREIGN_PAGES = {
    Fault.BAD_GATEWAY_PAGE: (502, b"Bad Gateway"),
    Fault.BAD_GATEWAY_BILLED: (502, b"Bad Gateway"),
    Fault.UNAVAILABLE_PAGE: (503, b"Service Unavailable"),
    Fault.UNAVAILABLE_BILLED: (503, b"Service Unavailable"),
    Fault.UNKNOWN_STATUS: (520, b"Unknown Endpoint Domain"),
    Fault.REDIRECT: (307, b""),
}


def is_no_json(body: bytes) -> bool:
    """Return whether Python cannot read a body as JSON; it is strict about UTF-8."""
    with suppress(ValueError):
        return not json.loads(body)
    return True


def image_in(body: bytes) -> dict[str, Any]:
    """Return the image object of an answer."""
    images: list[dict[str, Any]] = json.loads(body)["images"]
    return images[0]


SUCCESSES: dict[Fault, Callable[[bytes], object]] = {
    Fault.FAILURE: lambda body: image_in(body)["inferResult"] == "FAILURE" and "receipt" not in image_in(body),
    Fault.ERROR: lambda body: image_in(body)["inferResult"] == "ERROR" and "receipt" not in image_in(body),
    Fault.EMPTY_ANSWER: lambda body: body == b"",
    Fault.HTML_ANSWER: lambda body: body.startswith(b"<html>"),
    Fault.HALF_JSON: lambda body: is_no_json(body) and body.startswith(b'{"version":"V2"'),
    Fault.NOT_UTF8: lambda body: is_no_json(body) and not is_no_json(body.decode(errors="replace").encode()),
    Fault.DEEP_JSON: lambda body: body.count(b"[") == body.count(b"]") == 100_000,
    Fault.WRONG_TYPE: lambda body: decode(body, Receipt).problems,
    Fault.UNKNOWN_FIELD: lambda body: list(decode(body, Receipt).unknown_fields()),
    Fault.OTHER_REQUEST_ID: lambda body: json.loads(body)["requestId"] not in {"", REQUEST_ID},
    Fault.OTHER_DOCUMENT: lambda body: "creditCard" in image_in(body) and "receipt" not in image_in(body),
    Fault.GENERAL_ANSWER: lambda body: "fields" in image_in(body) and "receipt" not in image_in(body),
}
NETWORK = {
    Fault.RESET_BEFORE_BODY,
    Fault.RESET_DURING_BODY,
    Fault.RESET_AFTER_BODY,
    Fault.CLOSE_AFTER_BODY,
    Fault.SILENCE,
    Fault.GARBAGE,
    Fault.CUT_ANSWER,
    Fault.TRICKLE,
    Fault.GZIP_BOMB,
    Fault.LATE_DUPLICATE,
}
EARLY = {Fault.RESET_BEFORE_BODY, Fault.RESET_DURING_BODY}
BILLED_ERRORS = {
    Fault.UNKNOWN_ERROR_BILLED: Fault.UNKNOWN_ERROR,
    Fault.ENGINE_ERROR_BILLED: Fault.ENGINE_ERROR,
    Fault.BAD_GATEWAY_BILLED: Fault.BAD_GATEWAY_PAGE,
    Fault.UNAVAILABLE_BILLED: Fault.UNAVAILABLE_PAGE,
}
UNPAID = {*SERVICE_ERRORS, *GATEWAY_ERRORS, *FOREIGN_PAGES, *EARLY} - {*BILLED_ERRORS, Fault.GATEWAY_TIMEOUT}


def request_for(clova: Emulator, document: str = "receipt", data: bytes = SAMPLE) -> bytes:
    """Return the bytes of a request that ends its connection."""
    request = build_request(
        url=clova.url(document),
        secret=clova.secret,
        data=data,
        format="jpg",
        name="NAME",
        request_id=REQUEST_ID,
        timestamp=1,
    )
    headers = {**request.headers, "Host": "localhost", "Connection": "close", "Content-Length": str(request.body.size)}
    lines = [f"POST {urlsplit(request.url).path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + b"".join(request.body.chunks())


async def connect(clova: Emulator) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection."""
    url = urlsplit(clova.url())
    return await asyncio.open_connection(url.hostname, url.port)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, however it ended."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


async def talk(clova: Emulator, document: str = "receipt", data: bytes = SAMPLE) -> bytes:
    """Make a call; return all bytes until the connection ends."""
    reader, writer = await connect(clova)
    try:
        writer.write(request_for(clova, document, data))
        return await reader.read()
    finally:
        await close(writer)


def taken_apart(came: bytes) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    head, _, body = came.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, body


def test_every_fault_is_carried_out_in_one_way() -> None:
    """Every fault is in exactly one of the four tables, and in one of those of this test."""
    assert sorted([*ERROR_FAULTS, *PROXY_PAGES, *UNEXPECTED_BODIES, *NETWORK_FAULTS]) == sorted(Fault)
    assert sorted([*SERVICE_ERRORS, *GATEWAY_ERRORS, *FOREIGN_PAGES, *SUCCESSES, *NETWORK]) == sorted(Fault)


@pytest.mark.parametrize("fault", SERVICE_ERRORS)
async def test_an_error_of_the_service(fault: Fault) -> None:
    """An error of the service has its status, and its code in the service's envelope."""
    async with Emulator(faults=[fault]) as clova:
        status, headers, body = taken_apart(await talk(clova))
    answer = json.loads(body)
    assert headers["content-type"].startswith("application/json")
    assert (status, answer["code"]) == SERVICE_ERRORS[fault]
    assert answer["message"]
    assert "{" not in answer["message"]


@pytest.mark.parametrize("fault", GATEWAY_ERRORS)
async def test_an_error_of_the_gateway(fault: Fault) -> None:
    """An error of the gateway has its status, and its errorCode in the gateway's envelope."""
    async with Emulator(faults=[fault]) as clova:
        status, headers, body = taken_apart(await talk(clova))
    answer = json.loads(body)
    assert headers["content-type"].startswith("application/json")
    assert (status, answer["error"]["errorCode"]) == GATEWAY_ERRORS[fault]
    assert answer["error"]["message"]


@pytest.mark.parametrize("fault", FOREIGN_PAGES)
async def test_a_page_that_neither_service_nor_gateway_wrote(fault: Fault) -> None:
    """The page of a proxy has its status and is not JSON."""
    async with Emulator(faults=[fault]) as clova:
        status, headers, body = taken_apart(await talk(clova))
    expected, title = FOREIGN_PAGES[fault]
    assert status == expected
    assert title in body
    assert "json" not in headers.get("content-type", "")
    assert ("location" in headers) == (fault is Fault.REDIRECT)


@pytest.mark.parametrize("fault", SUCCESSES)
async def test_a_successful_answer_that_is_not_what_was_hoped_for(fault: Fault) -> None:
    """An unexpected body has the status 200, its whole length, and the fault of its name."""
    async with Emulator(faults=[fault]) as clova:
        status, headers, body = taken_apart(await talk(clova))
    assert status == 200
    assert int(headers["content-length"]) == len(body)
    assert SUCCESSES[fault](body)


@pytest.mark.parametrize("document", DOCUMENTS)
async def test_wrong_answers_fit_any_document(document: str) -> None:
    """For each document a wrong type is a problem, and another document differs from a General answer."""
    cls = DOCUMENTS[document]
    data = draw_sample(document).data
    async with Emulator(faults=["wrong-type", "other-document", "general-answer"]) as clova:
        wrong, other, general = [taken_apart(await talk(clova, document, data))[2] for _ in range(3)]
    assert decode(wrong, cls).problems
    with pytest.raises(DomainError, match="not " + cls.answer_key):
        decode(other, cls)
    with pytest.raises(DomainError, match="General"):
        decode(general, cls)


@pytest.mark.parametrize("fault", ["wrong-type", "other-document", "general-answer", "failure"])
async def test_wrong_answers_fit_a_picture_that_nothing_is_read_in(fault: str) -> None:
    """A fault that changes an answer changes one without a document, too."""
    async with Emulator(faults=[fault]) as clova:
        status, _, body = taken_apart(await talk(clova, data=b"no picture"))
    assert status == 200
    with pytest.raises(RecognitionError):
        decode(body, Receipt)


async def test_a_page_under_200_says_that_it_is_one() -> None:
    """A page in the place of an answer has the content type of a page, as a proxy's has."""
    async with Emulator(faults=["html-answer"]) as clova:
        _, headers, _ = taken_apart(await talk(clova))
    assert headers["content-type"].startswith("text/html")


async def test_the_limit_that_is_named_on_demand() -> None:
    """A scripted rate limit names the domain's ceiling, or without one the number of running calls."""
    for concurrency, limit in ((7, "7"), (None, "1")):
        async with Emulator(concurrency=concurrency, faults=["rate-limited"]) as clova:
            answer = json.loads(taken_apart(await talk(clova))[2])
        assert re.findall(r"\d+", answer["message"]) == [limit]


@pytest.mark.parametrize("fault", sorted(set(Fault) - {Fault.SILENCE, Fault.TRICKLE}))
async def test_a_fault_pays_what_has_run(fault: Fault) -> None:
    """A call that did not run is not billed, any other is; the next call succeeds."""
    async with Emulator(concurrency=1, faults=[fault]) as clova:
        with suppress(ConnectionError):
            await talk(clova)
        assert clova.billed.total() == (0 if fault in UNPAID else 1)
        assert decode(taken_apart(await talk(clova))[2], Receipt).document


@pytest.mark.parametrize(("fault", "unbilled"), BILLED_ERRORS.items())
async def test_an_error_after_the_call_has_run(fault: Fault, unbilled: Fault) -> None:
    """A billed error takes time and quota like a call, and its answer equals that of the unbilled error."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with Emulator(latency=7.0, quota=1, faults=[unbilled, fault], sleep=sleep) as clova:
        free = taken_apart(await talk(clova))
        assert (pauses, clova.billed.total(), clova.domain_state().quota) == ([], 0, 1)
        billed = taken_apart(await talk(clova))
        assert (pauses, clova.billed.total(), clova.domain_state().quota) == ([7.0], 1, 0)
    assert (billed[0], without_origin(billed[2])) == (free[0], without_origin(free[2]))
    assert billed[1].keys() == free[1].keys()


def without_origin(body: bytes) -> bytes:
    """Return the body of an error without its timestamp and traceId."""
    return re.sub(rb'("traceId":"|"timestamp":)\w+', rb"\1", body)


@pytest.mark.parametrize("fault", sorted({*EARLY, Fault.RESET_AFTER_BODY}))
async def test_a_reset(fault: Fault) -> None:
    """The caller gets a reset, not an orderly end of the connection."""
    async with Emulator(faults=[fault]) as clova:
        with pytest.raises(ConnectionResetError):
            await talk(clova)


async def test_a_reset_before_the_body_waits_for_none() -> None:
    """The connection is reset as soon as the headers have arrived."""
    async with Emulator(faults=["reset-before-body"]) as clova:
        reader, writer = await connect(clova)
        head = request_for(clova).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        writer.write(head)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await close(writer)


async def test_a_reset_during_the_body_waits_for_some() -> None:
    """The connection is kept until the first bytes of the body arrive, and then reset."""
    async with Emulator(faults=["reset-during-body"]) as clova:
        reader, writer = await connect(clova)
        head, end, body = request_for(clova).partition(b"\r\n\r\n")
        writer.write(head + end)
        await until(lambda: clova.requests == 1)
        await steps()
        assert reader.exception() is None
        writer.write(body[:1])
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await close(writer)
        assert (clova.requests, clova.billed.total()) == (1, 0)


async def test_a_reset_while_the_caller_still_sends() -> None:
    """A caller cannot finish sending a body that is larger than the buffers of the sockets."""
    async with Emulator(faults=["reset-during-body"]) as clova:
        _, writer = await connect(clova)
        writer.write(request_for(clova, data=bytes(32 * 1024 * 1024)))
        with pytest.raises(ConnectionError):
            await writer.drain()
        assert writer.transport.is_closing()
        await close(writer)
        assert clova.billed.total() == 0


async def until(reached: Callable[[], bool]) -> None:
    """Run the other tasks until a condition holds."""
    while not reached():  # noqa: ASYNC110 - the server has no event for an arrived request
        await asyncio.sleep(0)


async def test_a_caller_who_goes_before_the_reset(caplog: pytest.LogCaptureFixture) -> None:
    """A caller that disconnects before the body causes no error of the server, and the next call succeeds."""
    async with Emulator(faults=["reset-during-body"]) as clova:
        _, writer = await connect(clova)
        writer.write(request_for(clova).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        await until(lambda: clova.requests == 1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await close(writer)
        assert taken_apart(await talk(clova))[0] == 200
    assert caplog.records == []


@pytest.mark.parametrize(("fault", "expected"), [("close-after-body", b""), ("garbage", b"this is no HTTP\r\n\r\n")])
async def test_an_end_without_an_answer(fault: str, expected: bytes) -> None:
    """The connection ends in order, after no bytes or after bytes that are not HTTP."""
    async with Emulator(faults=[fault]) as clova:
        assert await talk(clova) == expected


async def test_a_cut_answer() -> None:
    """The first half of the right answer is sent, under its whole length."""
    async with Emulator(faults=["cut-answer"]) as clova:
        status, headers, body = taken_apart(await talk(clova))
        _, _, whole = taken_apart(await talk(clova))
    assert status == 200
    assert int(headers["content-length"]) == len(whole)
    assert body == whole[: len(whole) // 2]


async def test_silence_lasts_until_the_caller_hangs_up() -> None:
    """No answer is sent, and the slot is held until the caller disconnects."""
    entered = asyncio.Event()

    async def sleep(_: float) -> None:
        entered.set()

    async with Emulator(concurrency=1, faults=["silence"], sleep=sleep) as clova:
        reader, writer = await connect(clova)
        writer.write(request_for(clova))
        await entered.wait()
        assert b'"0025"' in await talk(clova)
        assert clova.billed.total() == 1
        assert not reader.at_eof()
        await close(writer)
        assert taken_apart(await until_read(clova))[0] == 200


async def until_read(clova: Emulator) -> bytes:
    """Call until the ceiling refuses no call any more."""
    while b'"0025"' in (came := await talk(clova)):
        pass
    return came


async def test_silence_ends_when_the_server_stops() -> None:
    """A server that stops ends a silent call at once and without an answer."""
    entered = asyncio.Event()

    async def sleep(_: float) -> None:
        entered.set()

    async with Emulator(faults=["silence"], sleep=sleep) as clova:
        reader, writer = await connect(clova)
        writer.write(request_for(clova))
        await entered.wait()
    assert await reader.read() == b""
    await close(writer)
    assert clova.domain_state().in_flight == 0


async def test_a_trickle_is_a_whole_answer_byte_by_byte() -> None:
    """Every byte of the right answer is sent in its own chunk, after a pause."""
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with Emulator(faults=["trickle"], sleep=sleep) as clova:
        status, headers, body = taken_apart(await talk(clova))
        _, _, whole = taken_apart(await talk(clova))
    assert (status, headers["transfer-encoding"]) == (200, "chunked")
    assert body == b"".join(b"1\r\n%c\r\n" % byte for byte in whole) + b"0\r\n\r\n"
    assert len([pause for pause in pauses if pause > 0]) == len(whole)


async def test_a_trickle_ends_when_the_caller_hangs_up(caplog: pytest.LogCaptureFixture) -> None:
    """A caller that disconnects during a trickle frees the slot, without an error of the server."""
    async with Emulator(concurrency=1, faults=["trickle"]) as clova:
        reader, writer = await connect(clova)
        writer.write(request_for(clova))
        assert (await reader.readuntil(b"\r\n\r\n1\r\n{\r\n")).startswith(b"HTTP/1.1 200 ")
        assert b'"0025"' in await talk(clova)
        await close(writer)
        assert taken_apart(await until_read(clova))[0] == 200
    assert caplog.records == []


async def test_a_trickle_ends_when_the_server_stops() -> None:
    """A server that stops breaks a trickle off, without the last chunk of a complete answer."""
    async with Emulator(faults=["trickle"]) as clova:
        reader, writer = await connect(clova)
        writer.write(request_for(clova))
        await reader.readuntil(b"\r\n\r\n1\r\n{\r\n")
    assert not (await reader.read()).endswith(b"0\r\n\r\n")
    await close(writer)


async def test_a_gzip_bomb() -> None:
    """A small body with the encoding gzip unpacks to 64 MiB."""
    async with Emulator(faults=["gzip-bomb"]) as clova:
        status, headers, body = taken_apart(await talk(clova))
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert len(body) < 100_000
    unpack = zlib.decompressobj(wbits=31)
    size, piece = 0, unpack.decompress(body, 1 << 20)
    while piece:
        size += len(piece)
        piece = unpack.decompress(unpack.unconsumed_tail, 1 << 20)
    assert size == 64 * 1024 * 1024


@pytest.mark.parametrize("fault", sorted(NETWORK - EARLY))
async def test_an_accident_after_the_caller_has_gone(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """A network fault after the caller has disconnected frees the slot, without an error of the server."""
    entered, gone = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        entered.set()
        await gone.wait()

    async with Emulator(concurrency=1, faults=[fault], sleep=sleep) as clova:
        _, writer = await connect(clova)
        writer.write(request_for(clova))
        await entered.wait()
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await close(writer)
        assert b'"0025"' in await talk(clova)
        gone.set()
        assert taken_apart(await until_read(clova))[0] == 200
        assert clova.billed.total() == 2
    assert caplog.records == []


async def test_faults_come_in_the_order_they_were_said() -> None:
    """Scripted faults are used in their order, None means success, and calls behind the script succeed."""
    async with Emulator(faults=[Fault.QUOTA, None]) as clova:
        clova.script("blocked", None, Fault.REFUSED)
        codes = [json.loads(taken_apart(await talk(clova))[2]).get("code") for _ in range(7)]
    assert codes == ["0023", None, "1022", None, "1002", None, None]


async def test_a_refused_request_takes_no_fault() -> None:
    """A request that is refused for its secret, path or body, or for the ceiling, uses up no fault."""
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def sleep(_: float) -> None:
        entered.set()
        await go_on.wait()

    async with Emulator(concurrency=1, sleep=sleep, faults=[None, "blocked"]) as clova, asyncio.TaskGroup() as group:
        running = group.create_task(talk(clova))
        await entered.wait()
        assert b'"0025"' in await talk(clova)
        assert b'"0001"' in await talk(clova, document="poem")
        assert b'"0011"' in await talk(clova, data=b"")
        go_on.set()
        await running
        assert b'"1022"' in await talk(clova)


def test_an_unknown_fault_is_refused() -> None:
    """An unknown fault is refused with a list of all faults, and none of its script is taken."""
    with pytest.raises(ConfigurationError) as refused:
        Emulator(faults=["silense"])
    assert "'silense'" in str(refused.value)
    assert all(fault in str(refused.value) for fault in Fault)


async def test_a_script_is_taken_whole_or_not_at_all() -> None:
    """An unknown name among faults leaves the script as it was."""
    async with Emulator() as clova:
        with pytest.raises(ConfigurationError):
            clova.script("blocked", "silense")
        assert taken_apart(await talk(clova))[0] == 200
