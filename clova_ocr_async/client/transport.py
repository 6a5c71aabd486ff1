"""The wire: one request in, one answer out. The only module that touches aiohttp outside the emulator."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Protocol

import aiohttp
from aiohttp.payload import Payload

from clova_ocr_async.errors import (
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ResponseTimeoutError,
)
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from clova_ocr_async.protocol.request import Body, HTTPRequest

__all__ = ["AiohttpTransport", "Exchange", "Transport"]

_MOST_BYTES = 32 * 1024 * 1024  # of an answer after decompression; real ones have some 100 KiB at the most
_KEEP_ALIVE = 15.0  # seconds; shorter than a gateway's, so that a connection is rarely closed just as it is reused
_YIELD_EVERY = 384 * 1024  # bytes; a socket that never blocks would never let the loop go on
_REQUEST_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "clova-ocr-async"}
_TLS_ERRORS = (
    aiohttp.ClientConnectorSSLError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientSSLError,
    aiohttp.ServerFingerprintMismatch,
)


class Exchange:
    """How far one request has come; read when it failed or was cut off by a deadline.

    Attributes:
        body_began: Whether any of the image's request body has been handed to the network.
        response: The answer as far as it came; None before its headers.
    """

    __slots__ = ("_headers", "_received", "_status", "body_began")

    def __init__(self) -> None:
        self.body_began = False
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._received = bytearray()

    def begin_response(self, status: int, headers: dict[str, str]) -> None:
        """Note that the headers of an answer came; names in lower case."""
        self._status = status
        self._headers = headers

    def receive(self, chunk: bytes) -> int:
        """Keep a part of the body; return how many bytes are kept by now."""
        self._received += chunk
        return len(self._received)

    def response(self, cut: str | None = None) -> HTTPResponse | None:
        """Return the answer as far as it came, with why it is not whole; None before its headers."""
        if self._status is None:
            return None
        return HTTPResponse(self._status, bytes(self._received), self._headers, cut)


class Transport(Protocol):
    """Sends requests."""

    async def send(self, request: HTTPRequest, exchange: Exchange) -> HTTPResponse:
        """Send a request and return its answer, whatever its status; marks in ``exchange`` how far it came.

        Raises:
            ConfigurationError: TLS or its certificate, a proxy, a closed session.
            ConnectionFailedError: It failed before the body began.
            ConnectionLostError: It broke after the body began.
            ResponseTimeoutError: The body began and no answer came in time.
        """
        ...

    async def close(self) -> None:
        """Let go of what belongs to the transport."""
        ...


class _BodyPayload(Payload):
    """A body that is written anew each time, without a copy of the image, and tells when it began."""

    _autoclose = True

    def __init__(self, body: Body, exchange: Exchange) -> None:
        super().__init__(body)
        self._size = body.size
        self._body = body
        self._exchange = exchange

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        raise TypeError("a request body is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        since_yield = 0
        for chunk in self._body.chunks():
            # A connection found closed here raises before anything has left, so the mark comes after.
            await writer.write(chunk, drain=False)  # type: ignore[call-arg]  # the abstract class lacks the keyword
            self._exchange.body_began = True
            since_yield += len(chunk)
            if since_yield >= _YIELD_EVERY:
                since_yield = 0
                await asyncio.sleep(0)
            await writer.drain()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        if content_length not in {None, self._size}:
            raise ValueError(f"the body has {self._size} bytes, and {content_length} were announced")
        await self.write(writer)


class AiohttpTransport:
    """Sends through an aiohttp session, its own or the caller's.

    Its own session opens with the first request, keeps no cookies, ignores proxies of the environment, and has no limit
    of connections: the slots are the limit, so that no request waits for a connection while a timeout runs.

    Args:
        session: The caller's session; it is never closed here.
        connect_timeout: Seconds for name, connection and TLS (with the caller's session: for each connection tried).
        read_timeout: Seconds without a byte of the answer.
        proxy: The URL of an HTTP proxy for its own session, its user and password in it if need be.
        tls: Which certificates its own session trusts; those of the machine if not given.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._session = session
        self._proxy = proxy
        self._tls = tls
        self._own = session is None
        self._closed = False
        # With the caller's session `connect` would count waiting for one of its connections.
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=connect_timeout if self._own else None,
            sock_connect=connect_timeout,
            sock_read=read_timeout,
        )

    async def send(self, request: HTTPRequest, exchange: Exchange) -> HTTPResponse:
        """Send a request and return its answer."""
        session = self._opened()
        try:
            async with session.post(
                request.url,
                data=_BodyPayload(request.body, exchange),
                headers={**_REQUEST_HEADERS, **request.headers},
                allow_redirects=False,  # a redirect would carry the secret and the image to another host
                raise_for_status=False,  # a session of the caller's may ask for it, and lose what the answer says
                timeout=self._timeout,
            ) as response:
                exchange.begin_response(response.status, {k.lower(): v for k, v in response.headers.items()})
                return await _receive(response, exchange)
        except Exception as error:  # noqa: BLE001 - a session of the caller's may raise anything
            failure = _translated(error, exchange)
        # Raised out here, so that the original is not even its context: its repr and its request_info hold the secret.
        raise failure

    async def close(self) -> None:
        """Close the session if it is the transport's own."""
        self._closed = True
        if self._own and self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConfigurationError("the client was closed while the call was under way")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE, ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
            )
        if self._session.closed:
            raise ConfigurationError("the session is closed; hand in one that stays open as long as the client")
        return self._session


async def _receive(response: aiohttp.ClientResponse, exchange: Exchange) -> HTTPResponse:
    cut = None
    try:
        while chunk := await response.content.readany():
            if exchange.receive(chunk) > _MOST_BYTES:
                cut = f"it is larger than {_MOST_BYTES // 1024**2} MiB"
                response.close()
                break
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        cut = "no more of it came in time" if isinstance(error, TimeoutError) else "the connection broke"
    received = exchange.response(cut)
    assert received is not None  # noqa: S101 - for the type checkers: the headers were noted before
    return received


def _translated(error: Exception, exchange: Exchange) -> ClovaOCRError:
    """Turn what aiohttp raises into what it means, most specific first."""
    name = type(error).__name__
    if (wrong := _misconfigured(error)) is not None:
        return ConfigurationError(wrong)
    if not exchange.body_began:
        return ConnectionFailedError(f"no connection to {_reached(error)}; nothing was sent")
    if isinstance(error, TimeoutError):
        return ResponseTimeoutError("the request was sent and no answer came in time; it may have been billed")
    what = "what came back is no HTTP" if isinstance(error, aiohttp.ClientResponseError) else "the connection broke"
    return ConnectionLostError(f"the request was sent and {what} ({name}); it may have been billed")


def _reached(error: Exception) -> str:
    """Say where a connection was tried, and why there is none."""
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    reason = getattr(getattr(error, "os_error", None), "strerror", None) or type(error).__name__
    return f"{'the server' if host is None else f'{host}:{port}'} ({reason})"


def _misconfigured(error: Exception) -> str | None:
    """Return what is wrong with the settings, if that is what failed."""
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):
        return "the invoke URL's host cannot be one"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy refused the connection with HTTP {error.status}"
    if isinstance(error, _TLS_ERRORS) and not _handshake_broke(error):
        return "TLS with the server failed; check the invoke URL's host and the certificates this machine trusts"
    return None


def _handshake_broke(error: Exception) -> bool:
    """Whether the connection was cut during the handshake, which says nothing about the certificate."""
    return isinstance(getattr(error, "os_error", None), ssl.SSLEOFError | ssl.SSLZeroReturnError)
