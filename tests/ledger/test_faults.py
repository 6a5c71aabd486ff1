from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import FakeTime, answering, http, raw_server
from support.ledgers import answers, calls, maybe_billed, opened, states
from support.wire import reset_after, reset_midway

from clova_ocr_async.batch import BatchDispatcher, Failure
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    MalformedResponseError,
    ResponseTimeoutError,
    ServerError,
)
from clova_ocr_async.protocol.image import Image, ImageLimits

if TYPE_CHECKING:
    from pathlib import Path

    from support.fakes import Connection

RECEIPT = http(b'{"images":[{"receipt":{"result":{}},"inferResult":"SUCCESS"}]}')
BIG = b"\xff\xd8\xff\xe0" + bytes(8 * 1024 * 1024) + b"\xff\xd9"
ONCE = RetryPolicy(max_attempts=1, outage_patience=0.0, server_errors="park")
NOT, MAYBE, PAID = Billing.NOT_BILLED, Billing.MAYBE_BILLED, Billing.BILLED


async def reset_before(connection: Connection) -> None:
    """Throw the connection away when it is made."""
    connection.reset()


async def silence(connection: Connection) -> None:
    """Read, and say nothing."""
    await connection.request()
    await connection.hung_up()


CUT = b'{"images":[{"receipt":{"result":{}},"inf'


async def outcome_on(run: Path, url: str, data: bytes = BIG) -> tuple[Any, ClovaOCRError | None]:
    """Send one image through a ledger; return what came out, and what stopped the batch."""
    client = ClovaOCRClient(
        Domain(url, "secret"),
        retry=ONCE,
        runtime=FakeTime().runtime(),
        read_timeout=0.2,
        limits=ImageLimits(),
    )
    async with client, BatchDispatcher(client, ledger=run).dispatch([Image(data)], Receipt) as outcomes:
        (found,) = [outcome async for outcome in outcomes]
    return found, outcomes.stopped


async def paid_by_a_rerun(run: Path, data: bytes = BIG) -> int:
    """Repeat the run on a service that works; return how many requests it got."""

    async def script(connection: Connection) -> None:
        server.requests.append(await connection.request())
        await connection.send(RECEIPT)

    async with raw_server(script) as server:
        await outcome_on(run, server.url, data)
        return len(server.requests)


@pytest.mark.parametrize(
    ("script", "kind", "state", "billing"),
    [
        (reset_midway, ConnectionLostError, "ambiguous", MAYBE),
        (reset_after, ConnectionLostError, "ambiguous", MAYBE),
        (silence, ResponseTimeoutError, "ambiguous", MAYBE),
        (answering(b"HTTP/1.1 nonsense\r\n\r\n"), ConnectionLostError, "ambiguous", MAYBE),
        (answering(http(b"", "504 Gateway Timeout")), ServerError, "ambiguous", MAYBE),
        (answering(http(b"", "502 Bad Gateway")), ServerError, "ambiguous", MAYBE),
        (answering(http(b'{"code":"0500"}', "500 Internal Server Error")), ServerError, "ambiguous", MAYBE),
        (answering(http(b'{"code":"0011"}', "400 Bad Request")), InvalidRequestError, "failed", NOT),
        (answering(http(CUT)[:-1]), MalformedResponseError, "failed", PAID),
        (answering(http(b"<html>")), MalformedResponseError, "failed", PAID),
    ],
    ids=["during", "after", "silence", "garbage", "504", "502", "0500", "0011", "cut", "html"],
)
async def test_the_billing_of_a_failure(
    tmp_path: Path, script: Any, kind: type[ClovaOCRError], state: str, billing: Billing
) -> None:
    """The ledger records of each failure whether it may have been billed, and a rerun sends none that may have been."""
    run = tmp_path / "run"
    async with raw_server(script) as server:
        found, stopped = await outcome_on(run, server.url)
    assert isinstance(found, Failure)
    assert type(found.error) is kind
    assert (found.error.billing, found.error.attempts) == (billing, 1)
    assert states(run) == [state]
    assert calls(run) == int(billing is not NOT)
    assert maybe_billed(run) == int(billing is MAYBE)
    if billing is PAID:
        assert answers(run)[0] in {CUT[:-1], b"<html>"}
    assert stopped is None
    assert await paid_by_a_rerun(run) == 0
    async with opened(run) as ledger:
        assert await ledger.requeue(billing) == 1
    assert await paid_by_a_rerun(run) == 1
    assert states(run) == ["succeeded"]
    assert calls(run) == 1 + (billing is not NOT)


async def test_a_refused_connection_is_not_billed(tmp_path: Path) -> None:
    """A service that does not listen costs nothing and fails no image; a rerun sends it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/custom/v1/1/key"
        found, stopped = await outcome_on(tmp_path / "run", url)
    assert isinstance(found.error, ConnectionFailedError)
    assert isinstance(stopped, ConnectionFailedError)
    assert (states(tmp_path / "run"), calls(tmp_path / "run")) == (["queued"], 0)
    assert await paid_by_a_rerun(tmp_path / "run") == 1


async def test_a_reset_at_once_is_ambiguous_only_if_the_body_began(tmp_path: Path) -> None:
    """For a connection that breaks as it is made, the ledger has the billing of the error."""
    run = tmp_path / "run"
    async with raw_server(reset_before) as server:
        found, _ = await outcome_on(run, server.url)
    doubtful = found.error.billing is MAYBE
    assert states(run) == (["ambiguous"] if doubtful else ["queued"])
    assert calls(run) == maybe_billed(run) == int(doubtful)
    assert await paid_by_a_rerun(run) == int(not doubtful)


async def test_an_untrusted_certificate_is_not_billed(tmp_path: Path) -> None:
    """A certificate that is not trusted stops the run before anything is sent, and the image stays to be sent."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "2", "-keyout"]
    command += [str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    async with raw_server(answering(RECEIPT), tls) as server:
        found, stopped = await outcome_on(tmp_path / "run", server.url.replace("http:", "https:"))
    assert isinstance(found.error, ConfigurationError)
    assert stopped is found.error
    assert (states(tmp_path / "run"), calls(tmp_path / "run")) == (["queued"], 0)
    assert await paid_by_a_rerun(tmp_path / "run") == 1
