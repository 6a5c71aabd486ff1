"""The meaning of each failure on the wire: sent or not, billed or not, passing or not, and the wait."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.fakes import JPEG, SECRET, Connection, FakeTime, FakeTransport, answering, domain, http, raw_server, url_of

from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.domains.environment import domains_from_env
from clova_ocr_async.domains.file import domains_from_file
from clova_ocr_async.emulator import Emulator
from clova_ocr_async.errors import (
    APIError,
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    DomainError,
    InvalidRequestError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ServerError,
)
from clova_ocr_async.protocol.response import HTTPResponse, decode_response, encode_response
from clova_ocr_async.slots.limit import LimitSignal, result_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


NOT, MAYBE, BILLED = Billing


def service(code: str) -> bytes:
    """Return the body of a service's error."""
    return json.dumps({"code": code, "message": "said"}).encode()


def gateway(code: str) -> bytes:
    """Return the body of a gateway's error."""
    return json.dumps({"error": {"errorCode": code, "message": "said"}}).encode()


def image(**fields: Any) -> bytes:
    """Return an answer of no call in particular."""
    return encode_response("", 0, fields)


SPRING = json.dumps(
    {"timestamp": "2026-01-01T00:00:00.000+00:00", "status": 404, "error": "Not Found", "path": "/"}
).encode()

# status, body, error, billing, retryable, stops the run
ROWS: list[tuple[int, bytes, type[ClovaOCRError], Billing, bool, bool]] = [
    (504, b"<html>", ServerError, MAYBE, False, False),
    (504, gateway("510"), ServerError, MAYBE, False, False),
    (500, b"", ServerError, MAYBE, False, False),
    (520, b"", ServerError, MAYBE, False, False),
    (520, gateway("500"), ServerError, MAYBE, True, False),
    (500, gateway("900"), ServerError, MAYBE, False, False),
    (500, service("0500"), ServerError, MAYBE, True, False),
    (500, service("0501"), ServerError, MAYBE, True, False),
    (502, b"<html>", ServerError, MAYBE, True, False),
    (503, b"", ServerError, MAYBE, True, False),
    (503, gateway("500"), ServerError, MAYBE, True, False),
    (200, b"", MalformedResponseError, BILLED, False, False),
    (200, b"<html>", MalformedResponseError, BILLED, False, False),
    (200, b'{"images":[{"rec', MalformedResponseError, BILLED, False, False),
    (200, encode_response("other", 0, {"receipt": {}}), MalformedResponseError, MAYBE, False, False),
    (200, image(inferResult="FAILURE"), RecognitionError, BILLED, False, False),
    (200, image(inferResult="ERROR"), RecognitionError, BILLED, False, False),
    (200, image(inferResult="SUCCESS", fields=[]), DomainError, BILLED, False, True),
    (400, service("0025"), RateLimitError, NOT, True, False),
    (200, service("0025"), RateLimitError, NOT, True, False),
    (200, b'{"images":[],"code":"0025"}', RateLimitError, NOT, True, False),
    (200, b'{"images":[null,{}],"code":"0025"}', RateLimitError, NOT, True, False),
    (429, gateway("410"), RateLimitError, NOT, True, False),
    (429, gateway("420"), RateLimitError, NOT, True, False),
    (429, b"", RateLimitError, NOT, True, False),
    (400, service("0023"), QuotaExceededError, NOT, True, True),
    (429, gateway("400"), QuotaExceededError, NOT, True, True),
    (400, service("0011"), InvalidRequestError, NOT, False, False),
    (413, gateway("430"), InvalidRequestError, NOT, False, False),
    (413, b"", InvalidRequestError, NOT, False, False),
    (418, b"", InvalidRequestError, NOT, False, False),
    (401, service("0002"), AuthenticationError, NOT, False, True),
    (401, gateway("200"), AuthenticationError, NOT, False, True),
    (401, gateway("210"), AuthenticationError, NOT, False, True),
    *((400, service(code), DomainError, NOT, False, True) for code in ("0001", "0021", "0022", "1002", "1022")),
    (500, service("1021"), DomainError, NOT, False, True),
    (404, gateway("300"), DomainError, NOT, False, True),
    (404, SPRING, DomainError, NOT, False, True),
    *((status, b"", DomainError, NOT, False, True) for status in (301, 302, 307, 308, 399)),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1][:40]!r}")
def test_every_row_of_the_table(row: tuple[int, bytes, type[ClovaOCRError], Billing, bool, bool]) -> None:
    """Each answer is its error, with its billing, whether asking again helps, and whether all others would meet it."""
    status, body, kind, billing, retryable, stops_run = row
    with pytest.raises(ClovaOCRError) as caught:
        decode_response(HTTPResponse(status, body), Receipt, request_id="mine")
    error = caught.value
    assert type(error) is kind
    assert (error.billing, error.retryable, error.stops_run) == (billing, retryable, stops_run)
    if isinstance(error, RecognitionError):
        assert error.recognition is not None
        assert error.recognition.raw == body
    else:
        assert error.raw == (body if billing is BILLED or isinstance(error, MalformedResponseError) else b"")


# ---------------------------------------------------------------------------------------------------------------------
# Proxies


def proxy(status: str, *headers: str) -> Callable[[Connection], Awaitable[None]]:
    """Return a proxy that answers a CONNECT."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(http(b"", status, *headers))

    return script


async def through(script: Callable[[Connection], Awaitable[None]], time: FakeTime, **settings: Any) -> Any:
    """Call through a proxy; return the error."""
    async with (
        raw_server(script) as server,
        aiohttp.ClientSession(proxy=f"http://127.0.0.1:{server.port}") as session,
        ClovaOCRClient(domain(), session=session, runtime=time.runtime(), **settings) as client,
    ):
        with pytest.raises(ClovaOCRError) as caught:
            await client.recognize(JPEG, Receipt)
    return caught.value


@pytest.mark.parametrize("status", ["500 Error", "502 Bad Gateway", "503 Busy", "504 Late", "429 Many", "408 Slow"])
async def test_a_proxy_that_is_busy_for_a_moment(status: str) -> None:
    """A request that a proxy cannot forward for the moment was not sent, is not billed, and is tried again."""
    time = FakeTime()
    error = await through(proxy(status), time)
    assert type(error) is ConnectionFailedError
    assert (error.billing, error.attempts, error.stops_run) == (NOT, 3, False)
    assert f"the proxy made no connection and answered HTTP {status[:3]}" in str(error)


@pytest.mark.parametrize("status", ["407 Who", "403 Never", "400 What", "404 Where", "301 There"])
async def test_a_proxy_that_refuses(status: str) -> None:
    """A lasting refusal by a proxy is a configuration error."""
    error = await through(proxy(status), FakeTime())
    assert type(error) is ConfigurationError
    assert (error.attempts, error.billing) == (1, NOT)
    assert f"HTTP {status[:3]}" in str(error)


async def test_a_proxy_that_says_when() -> None:
    """A proxy's Retry-After is the least wait before another connection is tried."""
    time = FakeTime()
    error = await through(proxy("503 Busy", "Retry-After: 7"), time)
    assert (error.retry_after, time.slept) == (7.0, [7.0, 7.0])


async def test_a_proxy_that_speaks_no_http() -> None:
    """An answer that is not HTTP is never taken for the server's 400: nothing was sent."""
    assert type(await through(saying_at_once(b"this is no HTTP\r\n\r\n"), FakeTime())) is ConnectionFailedError


def saying_at_once(answer: bytes) -> Callable[[Connection], Awaitable[None]]:
    """Return a script that answers the headers alone."""

    async def script(connection: Connection) -> None:
        await connection.head()
        await connection.send(answer)

    return script


@pytest.mark.parametrize(
    "answer",
    [b"this is no HTTP\r\n\r\n", http(b"{}", "200 OK", *(f"X-{number}: y" for number in range(500)))],
    ids=["garbage", "500 headers"],
)
async def test_aiohttps_own_400_is_not_the_servers(answer: bytes) -> None:
    """When aiohttp makes up a status for an unparseable answer, the request was sent and may have been billed."""
    async with raw_server(answering(answer)) as server, ClovaOCRClient(Domain(server.url, SECRET)) as client:
        with pytest.raises(ConnectionLostError) as caught:
            await client.recognize(JPEG, Receipt)
    assert caught.value.billing is MAYBE


# ---------------------------------------------------------------------------------------------------------------------
# Retry-After


@pytest.mark.parametrize(
    ("asked", "waited"),
    [("7", 7.0), ("0", 1.0), ("-1", 1.0), ("120", 120.0), ("121", 120.0), ("1e9", 120.0), ("soon", 1.0), ("nan", 1.0)],
)
@pytest.mark.parametrize("status", [502, 503, 500])
async def test_a_failing_server_that_asks_for_a_wait(status: int, asked: str, waited: float) -> None:
    """The Retry-After of a server's failure is the least wait, up to 120 s."""
    time = FakeTime()
    failing = HTTPResponse(status, service("0500"), {"retry-after": asked})
    client = ClovaOCRClient(domain(), transport=FakeTransport(failing), runtime=time.runtime())
    assert (await client.recognize(JPEG, Receipt)).attempts == 2
    assert time.slept == [waited]


def test_an_outage_that_says_when() -> None:
    """A domain that is out for a batch is not probed before the time that it asked for."""
    policy = RetryPolicy()
    error = ServerError(503)
    error.retry_after = 50.0
    assert policy.probe_delay("outage", 1, error, lambda low, _high: low) == 50.0
    error.retry_after = 500.0
    assert policy.probe_delay("outage", 1, error, lambda low, _high: low) == 120.0


# ---------------------------------------------------------------------------------------------------------------------
# Refusals for the rate, rejected secrets


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, service("0025"), "at_once"),
        (400, b'{"code":25}', "at_once"),
        (429, gateway("410"), "per_second"),
        (429, gateway("420"), "per_second"),
        (429, b"", "per_second"),
    ],
)
def test_what_there_was_too_much_of(status: int, body: bytes, kind: str) -> None:
    """The kind of a refusal, at once or per second, reaches the slot."""
    with pytest.raises(RateLimitError) as caught:
        decode_response(HTTPResponse(status, body), Receipt)
    assert caught.value.kind == kind
    assert result_of(caught.value) == LimitSignal(by_rate=kind == "per_second")


@pytest.mark.parametrize("source", ["CLOVA_OCR_SECRET", "domains.toml, domain 2, secret_env RECEIPT_SECRET"])
async def test_a_rejected_secret_says_where_to_look(source: str) -> None:
    """A rejected secret names where it was read, and the page of the console that shows the right one."""
    async with Emulator() as clova, ClovaOCRClient(Domain(clova.url(), "another", source=source)) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.recognize(JPEG, Receipt)
    assert f"compare the secret in {source} with" in str(caught.value)
    assert "API Gateway integration page in the CLOVA OCR console" in str(caught.value)
    assert "another" not in str(caught.value)


async def test_a_rejected_secret_of_the_program_itself() -> None:
    """A rejected secret that the program handed in names the page of the console."""
    rejected = HTTPResponse(401, service("0002"))
    client = ClovaOCRClient(Domain(url_of(1), SECRET), transport=FakeTransport(rejected))
    with pytest.raises(AuthenticationError, match="compare the secret with the one on the domain's API Gateway"):
        await client.recognize(JPEG, Receipt)


# ---------------------------------------------------------------------------------------------------------------------
# What to do about an error of the domain


@pytest.mark.parametrize(
    ("status", "body", "way_out"),
    [
        (
            400,
            service("0001"),
            "compare the invoke URL in CLOVA_OCR_INVOKE_URL with the one on the domain's API Gateway",
        ),
        (400, service("0011"), "check that the image opens"),
        (400, service("0021"), "the invoke URL in CLOVA_OCR_INVOKE_URL is of a Document domain"),
        (400, service("0022"), "the invoke URL in CLOVA_OCR_INVOKE_URL of a domain made for this one"),
        (400, service("1002"), "the invoke URL in CLOVA_OCR_INVOKE_URL and the secret"),
        (500, service("1021"), "deploy the domain's model"),
        (500, service("1022"), "NAVER Cloud's support"),
        (404, gateway("300"), "the invoke URL in CLOVA_OCR_INVOKE_URL"),
        (413, gateway("430"), "send a smaller image"),
        (404, b"<html>", "the invoke URL in CLOVA_OCR_INVOKE_URL"),
        (405, b"", "the invoke URL in CLOVA_OCR_INVOKE_URL"),
        (302, b"", "the invoke URL in CLOVA_OCR_INVOKE_URL"),
    ],
)
async def test_an_error_of_the_domain_says_what_to_do(status: int, body: bytes, way_out: str) -> None:
    """An error that needs a change of the settings names the change and where the URL was read, after its words."""
    transport = FakeTransport(HTTPResponse(status, body))
    client = ClovaOCRClient(Domain(url_of(1), SECRET, url_source="CLOVA_OCR_INVOKE_URL"), transport=transport)
    with pytest.raises(APIError) as caught:
        await client.recognize(JPEG, Receipt)
    assert way_out in str(caught.value)
    assert str(caught.value).endswith(")")


@pytest.mark.parametrize(("status", "body"), [(400, service("0023")), (429, gateway("400"))])
def test_a_spent_quota_says_what_to_do(status: int, body: bytes) -> None:
    """The error of a spent quota names both ways out: raise it, or wait."""
    with pytest.raises(QuotaExceededError, match="raise it in the console, or wait"):
        decode_response(HTTPResponse(status, body), Receipt)


async def test_a_url_of_the_program_itself_is_not_said_to_be_anywhere() -> None:
    """The error of a wrong URL without a known source names no place."""
    client = ClovaOCRClient(Domain(url_of(1), SECRET), transport=FakeTransport(HTTPResponse(404, gateway("300"))))
    with pytest.raises(DomainError, match="compare the invoke URL with the one on"):
        await client.recognize(JPEG, Receipt)


def test_the_environment_and_a_file_name_where_the_url_is(tmp_path: Path) -> None:
    """A URL of the environment is named by its variable, one of a file by the place in it."""
    environ = {"CLOVA_OCR_RECEIPT_INVOKE_URL": url_of(1), "CLOVA_OCR_SECRET": SECRET}
    (domain_,) = domains_from_env(environ)
    assert domain_.url_source == "CLOVA_OCR_RECEIPT_INVOKE_URL"
    config = tmp_path / "domains.toml"
    config.write_text(f'[[domain]]\ninvoke_url = "{url_of(1)}"\nsecret_env = "S"\n', encoding="utf-8")
    (domain_,) = domains_from_file(config, {"S": SECRET})
    assert str(domain_.url_source).endswith("domain 1, invoke_url")
