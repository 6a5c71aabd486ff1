from __future__ import annotations

import asyncio
import ssl
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.fakes import (
    Connection,
    answering,
    raw_server,
)
from support.wire import OK, send_one

from clova_ocr_async.client import RequestProgress
from clova_ocr_async.client.transport import translate_error
from clova_ocr_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
)

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_handshake_that_never_comes() -> None:
    """A server that accepts and stays silent in the TLS handshake is a connection that failed in time."""

    async def script(connection: Connection) -> None:
        await connection.hung_up()

    async with raw_server(script) as server:
        error, _ = await send_one(server.port, scheme="https", connect_timeout=0.05)
    assert type(error) is ConnectionFailedError
    assert "ConnectionTimeoutError" in str(error)


async def test_tls_to_a_plain_port() -> None:
    """TLS to a port that speaks none is a configuration error."""

    async def script(connection: Connection) -> None:
        await connection.reader.read(1)
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with raw_server(script) as server:
        error, _ = await send_one(server.port, scheme="https")
    assert type(error) is ConfigurationError
    assert f"TLS with 127.0.0.1:{server.port} failed (it does not speak TLS); check the host and port" in str(error)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    run = subprocess.run(
        [*command.split(), "-keyout", path, "-out", path.with_suffix(".crt")], check=True, capture_output=True
    )
    assert run.returncode == 0
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_self_signed_certificate(certificate: Path, host: str) -> None:
    """A certificate that is not trusted is a configuration error with the reason and the way out; nothing was sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's own side fails as well
    async with raw_server(answering(OK), context) as server:
        error, progress = await send_one(server.port, scheme="https", host=host)
    assert type(error) is ConfigurationError
    assert f"TLS with {host}:{server.port} failed (self-signed certificate); " in str(error)
    assert "--ca-file" in str(error)
    assert "AiohttpTransport(tls=…)" in str(error)
    assert not progress.body_began


@pytest.mark.parametrize("reset", [False, True])
async def test_a_handshake_that_is_cut(reset: bool) -> None:
    """A connection that is cut in the handshake is not a fault of the settings, and may be tried again."""

    async def script(connection: Connection) -> None:
        await connection.reader.read(1)
        if reset:
            connection.reset()

    async with raw_server(script) as server:
        error, progress = await send_one(server.port, scheme="https")
    assert type(error) is ConnectionFailedError
    assert not progress.body_began


def test_a_handshake_that_is_cut_in_other_words() -> None:
    """The end of the stream, as OpenSSL reports it, is a cut as well."""
    key: Any = None
    for cut in (ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed")):
        error = aiohttp.ClientConnectorSSLError(key, cut)
        assert type(translate_error(error, RequestProgress())) is ConnectionFailedError
    assert (
        type(translate_error(aiohttp.ClientConnectorSSLError(key, ssl.SSLError(1, "x")), RequestProgress()))
        is ConfigurationError
    )


PLACE: Any = SimpleNamespace(host="ocr.example", port=443, ssl=True)


def handshake(code: int, words: str) -> aiohttp.ClientConnectorCertificateError:
    """Return the error of a certificate that was not accepted."""
    cause = ssl.SSLCertVerificationError(1, "x")
    cause.verify_code, cause.verify_message = code, words
    return aiohttp.ClientConnectorCertificateError(PLACE, cause)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (handshake(10, "certificate has expired"), "certificate has expired); check the clock of this machine"),
        (handshake(62, "Hostname mismatch."), "Hostname mismatch); check the host and port of the invoke URL"),
        (
            handshake(20, "unable to get local issuer certificate"),
            "issuer certificate); if it is the right host, trust",
        ),
        (
            aiohttp.ClientConnectorSSLError(PLACE, ssl.SSLError(1, "no reason")),
            "SSLError); check the host",
        ),
        (
            aiohttp.ServerFingerprintMismatch(b"a", b"b", "ocr.example", 443),
            "another certificate than expected); check the host",
        ),
    ],
)
def test_a_failure_of_tls_says_with_whom_and_why(error: Exception, why: str) -> None:
    """TLS that failed names the host, the reason and the way out that fits it."""
    assert str(translate_error(error, RequestProgress())).startswith("TLS with ocr.example:443 failed (")
    assert why in str(translate_error(error, RequestProgress()))


def test_a_failure_of_tls_in_words_of_openssl() -> None:
    """Any other reason is given in OpenSSL's own words."""
    cause = ssl.SSLError(1, "x")
    cause.reason = "TLSV1_ALERT_PROTOCOL_VERSION"
    error = aiohttp.ClientConnectorSSLError(PLACE, cause)
    assert "(tlsv1 alert protocol version)" in str(translate_error(error, RequestProgress()))


@pytest.mark.parametrize(("proxied", "what"), [(True, "the proxy ocr.example:443"), (False, "ocr.example:443")])
def test_a_name_that_cannot_be_found_behind_a_proxy_is_that_of_the_proxy(what: str, *, proxied: bool) -> None:
    """With a proxy only its own name is looked up, so an error about a name is the proxy's."""
    error = aiohttp.ClientConnectorDNSError(PLACE, OSError(-2, "Name or service not known"))
    said = str(translate_error(error, RequestProgress(), proxied=proxied))
    assert said == f"no connection to {what} (Name or service not known); nothing was sent"
