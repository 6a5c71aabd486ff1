"""Transport of one request and its answer; the only module outside the emulator that uses aiohttp."""

from __future__ import annotations

import asyncio
import logging
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast

import aiohttp
from aiohttp.payload import Payload

from clova_ocr_async.arguments import NOT_A_PROXY, is_proxy_url, require_seconds
from clova_ocr_async.client.timeouts import CONNECT_TIMEOUT, READ_TIMEOUT
from clova_ocr_async.client.tls import tls_failure
from clova_ocr_async.client.tracebacks import without_frames
from clova_ocr_async.errors import (
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ResponseTimeoutError,
)
from clova_ocr_async.protocol.codes import retry_after
from clova_ocr_async.protocol.content_encoding import decode_body
from clova_ocr_async.protocol.response import MAX_BODY_BYTES, HTTPResponse, is_answer_to

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from clova_ocr_async.protocol.request import Body, HTTPRequest

__all__ = ["AiohttpTransport", "BodyPayload", "RequestProgress", "Transport", "translate_error"]

logger = logging.getLogger("clova_ocr_async")

_KEEP_ALIVE = 15.0  # seconds; shorter than a gateway's, so that a connection is rarely closed just as it is reused
_YIELD_EVERY = 384 * 1024  # bytes; a socket that never blocks would otherwise block the loop
# "identity": the part of an answer that was cut off stays readable, and a small body cannot become a huge one.
_REQUEST_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "clova-ocr-async"}
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
# Some are subclasses of the error for a refused connection, which is retried. A certificate stays wrong.
_TLS_ERRORS = (
    aiohttp.ClientConnectorSSLError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientSSLError,
    aiohttp.ServerFingerprintMismatch,
)


class RequestProgress:
    """Progress of one request; it decides the billing of a request that failed or was cut off.

    Attributes:
        body_began: Whether any of the request body has been handed to the network.
        answer: The answer, once no more of it will arrive; None before that.
        called_off: Whether the request was cut off before its body began, so that the body must not begin.
    """

    __slots__ = ("_headers", "_received", "_status", "answer", "body_began", "called_off")

    def __init__(self) -> None:
        self.body_began = self.called_off = False
        self.answer: HTTPResponse | None = None
        self._status: int | None = None
        self._headers: dict[str, str] = {}
        self._received = bytearray()

    def begin_response(self, status: int, headers: dict[str, str]) -> None:
        """Record the headers of an answer; names in lower case."""
        self._status = status
        self._headers = headers

    def receive(self, chunk: bytes) -> int:
        """Keep a part of the body; return the number of bytes kept so far."""
        self._received += chunk
        return len(self._received)

    def end_response(self, cut: str | None = None) -> None:
        """Record that no more of the answer will arrive, and why it is incomplete."""
        self.answer = self.response(cut)

    def forget_response(self) -> None:
        """Drop what has arrived, since the request is sent again."""
        self.answer, self._status, self._headers, self._received = None, None, {}, bytearray()

    def response(self, cut: str | None = None) -> HTTPResponse | None:
        """Return the answer as far as it has arrived, without its Content-Encoding; None before its headers.

        Args:
            cut: Why it is incomplete; None if it is complete.
        """
        if self.answer is not None or self._status is None:
            return self.answer
        body, flaw = decode_body(bytes(self._received), self._headers.get("content-encoding", ""), MAX_BODY_BYTES)
        return HTTPResponse(self._status, body, self._headers, cut or flaw)


class Transport(Protocol):
    """A transport of requests."""

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
        """Send a request and return its answer, whatever its status; record in ``progress`` how far it comes.

        Raises:
            ConfigurationError: TLS or its certificate, a proxy, or a closed session.
            ConnectionFailedError: The request failed before its body began.
            ConnectionLostError: The connection broke after the body began.
            ResponseTimeoutError: The body began and no answer arrived in time.
        """
        ...

    async def close(self) -> None:
        """Close what belongs to the transport."""
        ...


class _UnreadDataError(aiohttp.ClientConnectionError):
    """The connection holds unexpected data, so an answer on it could be that of another call."""


class BodyPayload(Payload):
    """A request body that is written without a copy of the image, and that records when it began.

    Attributes:
        connection: The connection that it was last written to; None before that.
    """

    _autoclose = True  # bytes in memory: aiohttp has nothing to close after it has sent them

    def __init__(self, body: Body, progress: RequestProgress) -> None:
        super().__init__(body)
        self._size = body.size
        self._body = body
        self._progress = progress
        self.connection: asyncio.WriteTransport | None = None

    def close_connection(self) -> None:
        """Close the connection it was written to, so that it is not used again."""
        if self.connection is not None:
            self.connection.abort()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        """Refuse: aiohttp decodes only bodies that it logs."""
        raise TypeError("a request body is not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body in parts, unless the request was cut off or the connection is unusable."""
        # aiohttp writes in a task of its own, which may get here after the request was cancelled.
        if self._progress.called_off:
            raise asyncio.CancelledError
        if getattr(getattr(writer, "protocol", None), "should_close", False):
            raise _UnreadDataError
        self.connection = getattr(writer, "transport", None)
        since_yield = 0
        for chunk in self._body.chunks():
            # A connection that is closed by now raises before anything has left, so the mark comes after.
            await writer.write(chunk, drain=False)  # type: ignore[call-arg]  # the abstract class lacks the keyword
            self._progress.body_began = True
            since_yield += len(chunk)
            if since_yield >= _YIELD_EVERY:
                since_yield = 0
                await asyncio.sleep(0)
            await writer.drain()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the body, whose length must be the announced one."""
        if content_length not in {None, self._size}:
            raise ValueError(f"the body has {self._size} bytes, and {content_length} were announced")
        await self.write(writer)


class AiohttpTransport:
    """A transport over an aiohttp session, its own or the caller's.

    Its own session opens with the first request, keeps no cookies, ignores proxies of the environment, and has no limit
    of connections: the slots are the limit. So no request waits for a connection while its timeout runs.

    Args:
        session: The caller's session; it is never closed here.
        connect_timeout: Seconds for name, connection and TLS (with the caller's session: for each connection tried);
            those of the client if not given.
        read_timeout: Seconds without a byte of the answer; those of the client if not given.
        proxy: The URL of an HTTP proxy for its own session, with user and password if the proxy needs them.
        tls: The certificates that its own session trusts; those of the machine if not given.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
        proxy: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        # A wrapper around a session is good as well.
        if session is not None and not hasattr(session, "post"):
            raise ConfigurationError(f"session is a {type(session).__name__}; it must be an aiohttp.ClientSession")
        if session is not None and (proxy is not None or tls is not None):
            raise ConfigurationError("proxy and tls are for a session of the transport's own; give them to the session")
        if proxy is not None and not is_proxy_url(proxy):
            raise ConfigurationError(f"proxy: {NOT_A_PROXY}")
        if tls is not None and not isinstance(cast("object", tls), ssl.SSLContext):
            raise ConfigurationError(
                f"tls is a {type(tls).__name__}; it must be an ssl.SSLContext, "
                "such as ssl.create_default_context(cafile=…)"
            )
        self._session = session
        self._proxy = proxy
        self._tls = tls
        self._own = session is None
        self._closed = False
        self._connect = None if connect_timeout is None else require_seconds("connect_timeout", connect_timeout)
        self._read = None if read_timeout is None else require_seconds("read_timeout", read_timeout)
        self.use_timeouts(CONNECT_TIMEOUT, READ_TIMEOUT)

    def use_timeouts(self, connect: float, read: float) -> None:
        """Use the timeouts of a client, in seconds, in place of those that were not given."""
        connect = self._connect or connect
        # With the caller's session `connect` would include the wait for one of its connections.
        self._timeout = aiohttp.ClientTimeout(
            total=None,  # the deadline bounds the call
            connect=connect if self._own else None,
            sock_connect=connect,
            sock_read=self._read or read,
        )

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
        """Send a request and return its answer."""
        session = self._open_session()
        payload = BodyPayload(request.body, progress)
        answer: HTTPResponse | None
        failure: BaseException | None = None
        try:
            answer = await self._post(session, request, payload, progress)
        except Exception as error:  # noqa: BLE001 - a session of the caller's may raise anything
            answer = progress.answer
            failure = translate_error(error, progress, proxied=self._proxy is not None)
            if answer is not None:
                logger.warning("the session's middleware or trace raised %s; the answer stands", type(error).__name__)
        except BaseException as error:  # noqa: BLE001 - raised below
            answer, failure = None, without_frames(error)
        if answer is None:
            # Raised out here, so that the original is not even its context: its repr and its request_info hold the
            # secret. A cancellation is the same one, without the frames of aiohttp, whose locals hold it as well.
            assert failure is not None  # noqa: S101 - for the type checkers: without an answer there is one
            raise failure
        if request.request_id is not None and not is_answer_to(answer.body, request.request_id):
            payload.close_connection()
        return answer

    async def _post(
        self, session: aiohttp.ClientSession, request: HTTPRequest, payload: BodyPayload, progress: RequestProgress
    ) -> HTTPResponse:
        """Send a request and return its answer, read before any middleware can read it."""
        # A wrapper around a session has none; None leaves the session its own.
        middlewares = getattr(session, "_middlewares", None)
        async with session.post(
            request.url,
            data=payload,
            headers={**_REQUEST_HEADERS, **request.headers},
            allow_redirects=False,  # a redirect would carry the secret and the image to another host
            raise_for_status=False,  # a session of the caller's may set it, which would lose the answer
            auto_decompress=False,  # an answer that cannot be decompressed is billed all the same
            timeout=self._timeout,
            middlewares=None if middlewares is None else (*middlewares, _reading_middleware(progress)),
        ) as response:
            # Without our middleware, as in a wrapper around a session, other code may have read the answer already.
            return progress.answer or await _receive(response, progress, maybe_read=True)

    async def close(self) -> None:
        """Close the session if it is the transport's own."""
        self._closed = True  # first, so that no request opens a new session meanwhile
        if self._own and self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ConfigurationError("the client was closed while the call was in flight")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE, ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
            )
            # Crash reporters and tracers patch aiohttp to record the URL of each request, and this one holds the
            # invoke key. In a session of the caller's their traces are the caller's affair.
            self._session.trace_configs.clear()
        if self._session.closed:
            raise ConfigurationError("the session is closed; hand in one that stays open as long as the client")
        return self._session


def _reading_middleware(progress: RequestProgress) -> aiohttp.ClientMiddlewareType:
    """Return a middleware that reads an answer before the middlewares of the caller's session see it."""

    async def keep(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        progress.forget_response()
        response = await handler(request)
        if not progress.body_began:  # the data was there before the request
            response.close()
            raise _UnreadDataError
        try:
            answer = await _receive(response, progress)
        except BaseException:
            response.close()  # aiohttp closes only what a middleware has returned
            raise
        # Code that reads it later gets the same bytes.
        response._body = answer.body  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # there is no other way
        return response

    return keep


async def _receive(
    response: aiohttp.ClientResponse, progress: RequestProgress, *, maybe_read: bool = False
) -> HTTPResponse:
    """Read an answer as far as it arrives; one that other code has read already is taken from there."""
    # Before the body is read: with the status 200 the call is billed, whatever arrives.
    progress.begin_response(response.status, {name.lower(): value for name, value in response.headers.items()})
    cut, size = None, 0
    try:
        while chunk := await response.content.readany():
            if (size := progress.receive(chunk)) > MAX_BODY_BYTES:
                cut = f"it is larger than {MAX_BODY_BYTES // 1024**2} MiB"
                response.close()  # the rest is still to come, so the connection cannot serve another call
                break
        if maybe_read and not size:
            progress.receive(await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        cut = "no more of it came in time" if isinstance(error, TimeoutError) else "the connection broke"
    progress.end_response(cut)
    assert progress.answer is not None  # noqa: S101 - for the type checkers: the headers were noted before
    return progress.answer


def translate_error(error: Exception, progress: RequestProgress, *, proxied: bool = False) -> ClovaOCRError:
    """Translate an error of aiohttp: first by whether anything was sent, then by its cause.

    Args:
        error: The error.
        progress: How far the request had come.
        proxied: Whether it was sent through a proxy, whose name is then the only one that is looked up.
    """
    name = type(error).__name__
    if not progress.body_began:
        wrong = _settings_fault(error)
        return _not_connected(error, proxied=proxied) if wrong is None else ConfigurationError(wrong)
    if isinstance(error, TimeoutError):
        return ResponseTimeoutError("the request was sent and no answer came in time; it may have been billed")
    # Raised for a status line or headers that cannot be parsed. Its status 400 is aiohttp's own, not the service's.
    what = "the answer is not HTTP" if isinstance(error, aiohttp.ClientResponseError) else "the connection broke"
    return ConnectionLostError(f"the request was sent and {what} ({name}); it may have been billed")


def _not_connected(error: Exception, *, proxied: bool) -> ConnectionFailedError:
    """Return the error of a request that could not be sent, for a reason that may pass."""
    if isinstance(error, _UnreadDataError):
        return ConnectionFailedError("the connection held unread data that no call had asked for; nothing was sent")
    if not isinstance(error, aiohttp.ClientHttpProxyError):
        return ConnectionFailedError(
            f"no connection to {_address_and_reason(error, proxied=proxied)}; nothing was sent"
        )
    failure = ConnectionFailedError(f"the proxy made no connection and answered HTTP {error.status}; nothing was sent")
    failure.retry_after = retry_after({name.lower(): value for name, value in (error.headers or {}).items()})
    return failure


def _address_and_reason(error: Exception, *, proxied: bool) -> str:
    """Return the address that could not be reached, and the reason."""
    host, port = getattr(error, "host", None), getattr(error, "port", None)
    reason = getattr(getattr(error, "os_error", None), "strerror", None) or type(error).__name__
    unknown = proxied and isinstance(error, aiohttp.ClientConnectorDNSError)
    what = "the proxy " if unknown or isinstance(error, aiohttp.ClientProxyConnectionError) else ""
    return f"{'the server' if host is None else f'{what}{host}:{port}'} ({reason})"


def _settings_fault(error: Exception) -> str | None:
    """Return the fault in the settings, if that is the cause; else None."""
    if isinstance(error, aiohttp.InvalidURL | UnicodeError):
        return "the invoke URL's host is not a valid host name"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        # With these, the proxy or the host behind it fails only for the moment.
        passes = error.status >= HTTPStatus.INTERNAL_SERVER_ERROR or error.status in _PASSING
        return None if passes else f"the proxy refused the connection with HTTP {error.status}"
    # A connection that was cut during the handshake has nothing to do with the certificate.
    was_cut = isinstance(getattr(error, "os_error", None), ssl.SSLEOFError | ssl.SSLZeroReturnError)
    return tls_failure(error) if isinstance(error, _TLS_ERRORS) and not was_cut else None
