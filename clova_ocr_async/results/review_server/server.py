"""The HTTP server of a review, for the browser of this machine's user alone.

The address is bound to the loopback interface, which other users and every web page of this machine's browsers can
reach as well. So a request must show three things. Its ``Host`` and ``Origin`` name this very server: a page of another
site that has its own name point here (DNS rebinding) sends its own. And it carries the token, which stands in the
fragment of the address that was printed, and so in no request line, log or ``Referer``. The page itself comes without a
token, since a browser sends no fragment: it has no data, and asks for them with the token.

No path, and no other name of a file, is ever taken from a request.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, ImageError, RedactionError
from clova_ocr_async.results.review_server.problems import ConflictError, HiddenError, InvalidChangeError, UnknownError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from clova_ocr_async.results.report.reading import Reading
    from clova_ocr_async.results.review_server.session import Changed, ReviewSession

__all__ = ["ReviewServer"]

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOOPBACK = "127.0.0.1"
_TOKEN_BYTES = 32
_MAX_BODY = 64 * 1024  # bytes; a change has a value of 2,000 characters at the most, and one of its old
_DIGITS = 9  # of a number in a query
_PATIENCE = 5.0  # seconds at the end for requests that have begun; a picture takes up to three

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "clova-ocr",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_ALL = "default-src 'none'; frame-ancestors 'none'"
_SHELL = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"  # the page's own policy has the rest

_STATUSES: dict[type[Exception], int] = {
    InvalidChangeError: 400,
    HiddenError: 403,
    UnknownError: 404,
    ConfigurationError: 404,  # a library for pictures is not installed
    ClovaOCRError: 503,  # the run cannot be read or written
}


class _Change(Protocol):
    """The body of a change."""

    def make(self, session: ReviewSession) -> Changed:
        """Have the session make it."""
        ...


class _Correct(msgspec.Struct, forbid_unknown_fields=True):
    n: int
    path: str
    old: str
    new: str

    def make(self, session: ReviewSession) -> Changed:
        return session.correct(self.n, self.path, self.old, self.new)


class _Confirm(msgspec.Struct, forbid_unknown_fields=True):
    n: int
    path: str
    old: str | None = None

    def make(self, session: ReviewSession) -> Changed:
        return session.confirm(self.n, self.path, self.old)


class _Done(msgspec.Struct, forbid_unknown_fields=True):
    n: int
    done: bool

    def make(self, session: ReviewSession) -> Changed:
        return session.mark_done(self.n, done=self.done)


class _Undo(msgspec.Struct, forbid_unknown_fields=True):
    id: int

    def make(self, session: ReviewSession) -> Changed:
        return session.undo(self.id)


_CHANGES: dict[str, type[_Change]] = {"correct": _Correct, "confirm": _Confirm, "done": _Done, "undo": _Undo}


class ReviewServer:
    """The server of one review; an asynchronous context manager.

    Args:
        open_session: Opens the run, which the server reads; entered and left in the server's own thread, in which the
            session is used.
        shell: The page without data, as HTML.
        picture_of: Returns the bytes of the picture of a record, PNG or JPEG; called in threads.
        port: The port; 0 for a free one.
        make_token: Returns a secret text of some random bytes.
        words: Returns the message of an error in the words of the place where the review was started.
        patience: The seconds that the end waits for requests that have begun. A change that the run was asked for is
            waited for in any case.

    Raises:
        ConfigurationError: On entering: the port is not free.
        LedgerError: On entering: the run cannot be opened.
    """

    def __init__(
        self,
        open_session: Callable[[], AbstractContextManager[ReviewSession]],
        shell: bytes,
        picture_of: Callable[[Reading], bytes],
        *,
        port: int = 0,
        make_token: Callable[[int], str] = secrets.token_urlsafe,
        words: Callable[[str], str] = str,
        patience: float = _PATIENCE,
    ) -> None:
        self._open_session = open_session
        self._shell = shell
        self._picture_of = picture_of
        self._port = port
        self._token = make_token(_TOKEN_BYTES)
        self._words = words
        self._patience = patience
        # One thread: the run's connections belong to it, and each change sees the ones before it.
        self._thread = ThreadPoolExecutor(1, "clova-ocr-review")
        # One picture at a time: a decoded one may take hundreds of megabytes.
        self._picture_thread = ThreadPoolExecutor(1, "clova-ocr-pictures")
        self._entered: AbstractContextManager[ReviewSession] | None = None
        self._loading: asyncio.Task[None] | None = None
        self.recorded = 0
        """Corrections that were recorded, once the server has ended."""

    @property
    def address(self) -> str:
        """The address of the page, with the token; a secret, since it lets a program read and correct the run."""
        return f"http://{_LOOPBACK}:{self._port}/#token={self._token}"

    @property
    def _hosts(self) -> frozenset[str]:
        return frozenset(f"{name}:{self._port}" for name in (_LOOPBACK, "localhost"))

    async def __aenter__(self) -> Self:
        application = web.Application(middlewares=[self._guarded], client_max_size=_MAX_BODY)
        application.on_response_prepare.append(_protect)
        application.router.add_get("/", self._page)
        application.router.add_get("/api/rows", self._rows)
        application.router.add_get("/api/row", self._row)
        application.router.add_get("/api/picture", self._picture)
        application.router.add_get("/api/corrections", self._corrections)
        for name, kind in _CHANGES.items():
            application.router.add_post(f"/api/{name}", partial(self._change, kind=kind))
        self._runner = web.AppRunner(application, access_log=None, logger=_log(), shutdown_timeout=self._patience)
        try:
            await self._runner.setup()
            await self._in_thread(self._enter)
            await self._listen()
        except BaseException:
            await self.__aexit__()
            raise
        self._loading = asyncio.create_task(self._load())
        return self

    async def _load(self) -> None:
        # Some images at a time: between them the thread answers the requests that wait for it.
        while await self._in_thread(self._session.load_more):
            pass

    async def loaded(self) -> None:
        """Wait until the whole run was read, while requests are answered.

        Raises:
            LedgerError: It cannot be read.
        """
        assert self._loading is not None  # noqa: S101 - the server is entered
        await asyncio.wait([self._loading])
        self._loading.result()

    def _enter(self) -> None:
        entered = self._open_session()
        self._session = entered.__enter__()
        self._entered = entered

    async def _listen(self) -> None:
        try:
            await web.TCPSite(self._runner, _LOOPBACK, self._port).start()
        except OSError as error:
            raise ConfigurationError(f"cannot listen at port {self._port}: {error.strerror}") from None
        self._port = int(self._runner.addresses[0][1])

    async def __aexit__(self, *_: object) -> None:
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.wait([self._loading])
        # First the requests, each of which is answered, then the run that they use.
        await self._runner.cleanup()
        await self._in_thread(self._leave)
        self._thread.shutdown()
        self._picture_thread.shutdown()

    def _leave(self) -> None:
        if self._entered is not None:
            self.recorded = self._session.recorded
            self._session.close()
            self._entered.__exit__(None, None, None)

    async def _in_thread(self, work: Callable[[], T], *, pictures: bool = False) -> T:
        # Waited for: if the caller is cancelled, a change that has begun is made all the same.
        done = asyncio.wrap_future((self._picture_thread if pictures else self._thread).submit(work))
        await asyncio.wait([done])
        return done.result()

    # -----------------------------------------------------------------------------------------------------------------
    # Every request

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if (refusal := self._refusal(request)) is not None:
            return _json(403, {"error": refusal, "refused": True})  # by which the page words it in its own language
        try:
            return await handler(request)
        except ConflictError as error:
            return _json(409, {"row": error.row, "error": str(error)})
        except web.HTTPException as error:
            return _problem(error.status, error.reason)
        except tuple(_STATUSES) as error:
            status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
            return _problem(status, self._words(str(error)))

    def _refusal(self, request: web.Request) -> str | None:
        """Return why a request is refused, whatever it asks for; None if it is not."""
        if request.headers.getall("Host", []) not in [[host] for host in self._hosts]:
            return "the request names another host; open the address that the command has printed"
        if any(
            origin not in {f"http://{host}" for host in self._hosts} for origin in request.headers.getall("Origin", [])
        ):
            return "the request comes from another site"
        if request.raw_path == "/":
            return None
        given = request.headers.get("X-Review-Token", "").encode(errors="surrogateescape")
        if not secrets.compare_digest(given, self._token.encode()):
            return "the token is missing or wrong; open the address that the command has printed"
        return None

    # -----------------------------------------------------------------------------------------------------------------
    # What is asked for

    async def _page(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _SHELL}
        return web.Response(body=self._shell, content_type="text/html", charset="utf-8", headers=headers)

    async def _rows(self, request: web.Request) -> web.Response:
        if self._loading is not None and self._loading.done():
            self._loading.result()  # the page shows why there are no more
        return _json(200, await self._in_thread(partial(self._session.rows, _number(request, "from"))))

    async def _row(self, request: web.Request) -> web.Response:
        return _json(200, {"row": await self._in_thread(partial(self._session.row, _number(request, "n")))})

    async def _corrections(self, _: web.Request) -> web.Response:
        return _json(200, {"corrections": await self._in_thread(self._session.corrections)})

    async def _picture(self, request: web.Request) -> web.Response:
        reading = await self._in_thread(partial(self._session.reading, _number(request, "n")))
        try:
            data = await self._in_thread(partial(self._picture_of, reading), pictures=True)
        except (ImageError, RedactionError) as error:
            # The name of a file may hold a number of its picture.
            return _problem(404, reading.text(self._words(str(error))))
        return web.Response(body=data, content_type="image/png" if data.startswith(b"\x89PNG") else "image/jpeg")

    async def _change(self, request: web.Request, *, kind: type[_Change]) -> web.Response:
        """Make a change; it is on the disk before the answer leaves."""
        if request.content_type != "application/json":
            raise InvalidChangeError("a change is sent as application/json")
        try:
            body = msgspec.json.decode(await _body_of(request), type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidChangeError(f"the change is not of the right form: {error}") from None
        changed = await self._in_thread(lambda: body.make(self._session))
        return _json(200, {"row": changed.row, "id": changed.number, "copies": changed.copies})


def _log() -> logging.Logger:
    """Return the logger of a server: requests that are no HTTP are answered, and are no errors of the server."""
    logger = logging.getLogger(__name__)
    logger.addFilter(_is_own_error)  # once, however often it is added
    return logger


def _is_own_error(record: logging.LogRecord) -> bool:
    # Every program, and every web page by an address that is too long, can have the parser raise one. Its text repeats
    # bytes of the request.
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError | web.RequestPayloadError)


async def _protect(_: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has."""
    response.headers.update(_HEADERS)
    response.headers.setdefault("Content-Security-Policy", _ALL)


async def _body_of(request: web.Request) -> bytes:
    try:
        return await request.read()
    except (web.RequestPayloadError, ConnectionError) as error:
        raise InvalidChangeError(f"the body of the change did not arrive whole ({type(error).__name__})") from None


def _json(status: int, content: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")


def _problem(status: int, text: str) -> web.Response:
    return _json(status, {"error": text})


def _number(request: web.Request, name: str) -> int:
    """Return the number in the query of a request, which has nothing else."""
    values = request.query.getall(name, [])
    if len(request.query) != 1 or len(values) != 1 or not (values[0].isascii() and values[0].isdigit()):
        raise InvalidChangeError(f"the query must be {name}=NUMBER")
    if len(values[0]) > _DIGITS:
        raise UnknownError("there is no row of this number")
    return int(values[0])
