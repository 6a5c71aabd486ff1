"""The client for code without asyncio: scripts, thread pools, workers of Django and Celery.

A ``BlockingClient`` runs one ``ClovaOCRClient`` in an event loop, in a thread of its own. The thread starts with the
first call. It is a daemon, so it never keeps the interpreter from exiting; at the exit, requests in flight are waited
for. Any number of threads may share a client.

A thread in which an event loop runs must not wait, so there each call is refused: in asyncio code, and in notebooks,
where ``await ClovaOCRClient(…).recognize(…)`` works in any cell.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import logging
import os
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, Unpack, cast, overload

from clova_ocr_async import (
    Batch,
    BatchDispatcher,
    ClovaOCRClient,
    ClovaOCRError,
    ConfigurationError,
    Document,
    Domain,
    Outcome,
)
from clova_ocr_async.arguments import require_seconds
from clova_ocr_async.batch.sources.caller_thread import CallerThreadSource
from clova_ocr_async.client.loop_thread import LoopThread
from clova_ocr_async.documents.recognition import DocumentT
from clova_ocr_async.domains import domains_from_env, domains_from_file

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator

    from clova_ocr_async import GateState, ImageSource
    from clova_ocr_async.client.hooks import Cause
    from clova_ocr_async.client.loop_thread import LoopWork
    from clova_ocr_async.client.settings import ClientSettings
    from clova_ocr_async.ledger import Ledger

__all__ = ["BlockingBatch", "BlockingClient"]

logger = logging.getLogger("clova_ocr_async")

P = ParamSpec("P")
T = TypeVar("T")


def _blocking(
    method: Callable[Concatenate[ClovaOCRClient, P], Coroutine[Any, Any, T]],
) -> Callable[[Callable[..., Any]], Callable[Concatenate[BlockingClient, P], T]]:
    """Give a method the signature and the docstring of a method of the asyncio client."""

    def decorate(function: Callable[..., Any]) -> Callable[Concatenate[BlockingClient, P], T]:
        described = functools.wraps(method, assigned=("__doc__", "__annotations__"))(function)
        return cast("Callable[Concatenate[BlockingClient, P], T]", described)

    return decorate


class BlockingClient:
    """A client for CLOVA OCR whose methods wait for their result. Make one, share it among threads, and close it.

    Ctrl-C raises KeyboardInterrupt in the calling thread at once. Leaving the ``with`` then waits for the request in
    flight, which is paid, at most a ``read_timeout``; a second Ctrl-C cuts it off. Hooks are called in the client's own
    thread.

    Examples:
        >>> with BlockingClient(Domain("https://…/document/receipt", "secret")) as client:
        ...     recognition = client.recognize("receipt.jpg", Receipt)

    Args:
        domain: The domain to call.
        more_domains: Further domains.
        settings: The keyword arguments of ``ClovaOCRClient``, except ``session``.

    Raises:
        ConfigurationError: An argument cannot work; the message names it.
    """

    def __init__(self, domain: Domain, *more_domains: Domain, **settings: Unpack[ClientSettings]) -> None:
        if settings.get("session") is not None:
            raise ConfigurationError(
                "session belongs to the event loop in which it was made, and BlockingClient has one of its own; "
                "for a proxy or certificates give transport=AiohttpTransport(proxy=…, tls=…) of clova_ocr_async.client"
            )
        self._client = ClovaOCRClient(domain, *more_domains, **settings)
        self._thread = LoopThread(self._client)
        atexit.register(self.close)

    @classmethod
    def from_env(cls, **settings: Unpack[ClientSettings]) -> Self:
        """Make a client for the domains that the environment names, as ``ClovaOCRClient.from_env`` does.

        Args:
            settings: The keyword arguments of the client.

        Raises:
            ConfigurationError: The environment names no domain, or one that cannot work.
        """
        return cls(*domains_from_env(os.environ), **settings)

    @classmethod
    def from_config(cls, path: str | os.PathLike[str], **settings: Unpack[ClientSettings]) -> Self:
        """Make a client for the domains that a TOML file names, as ``ClovaOCRClient.from_config`` does.

        Args:
            path: The file.
            settings: The keyword arguments of the client.

        Raises:
            ConfigurationError: The file cannot be used; the message names line and key.
        """
        return cls(*domains_from_file(path, os.environ), **settings)

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The domains that the client calls."""
        return self._client.domains

    @property
    def gates(self) -> dict[Domain, GateState]:
        """The state of each domain's gate: limit, calls in flight, calls waiting, rejections."""
        return self._client.gates

    @property
    def on_hold(self) -> dict[Domain, Cause]:
        """The domains that are on hold, were given up a moment ago, or have left the pool, with the cause."""
        return self._client.on_hold

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @_blocking(ClovaOCRClient.recognize)
    def recognize(self, *args: Any, **kwargs: Any) -> Any:  # noqa: D102 - the asyncio client's docstring
        try:
            call = self._client.recognize(*args, **kwargs)
        finally:
            del args, kwargs  # so that no frame that a crash reporter prints holds the picture
        return self._thread.run(call)

    @overload
    def batch(
        self,
        images: Iterable[ImageSource],
        document: type[DocumentT],
        *,
        ledger: str | os.PathLike[str] | Ledger | None = None,
        concurrency: int | None = None,
        ordered: bool = False,
        context: object = None,
    ) -> BlockingBatch[DocumentT]: ...

    @overload
    def batch(
        self,
        images: Iterable[tuple[ImageSource, type[Document]]],
        document: None = None,
        *,
        ledger: str | os.PathLike[str] | Ledger | None = None,
        concurrency: int | None = None,
        ordered: bool = False,
        context: object = None,
    ) -> BlockingBatch[Document]: ...

    def batch(
        self,
        images: Iterable[Any],
        document: type[Any] | None = None,
        *,
        ledger: str | os.PathLike[str] | Ledger | None = None,
        concurrency: int | None = None,
        ordered: bool = False,
        context: object = None,
    ) -> BlockingBatch[Any]:
        """Return a batch to open with ``with`` and read with ``for``.

        Args:
            images: Any iterable of images; of pairs of image and document class if ``document`` is not given. It is
                read in the thread that iterates over the batch, while that waits for an outcome.
            document: The class of all the images.
            ledger: A run directory or ``postgresql://user@host/db?run=NAME``, where a ledger is opened for the batch;
                or a ledger that is open.
            concurrency: Most images in work at once.
            ordered: Yield outcomes in the order of the images; else as they finish.
            context: Any object of yours, as ``BatchDispatcher.dispatch`` takes it.

        Raises:
            TypeError: ``images`` is a single image or path, or cannot be iterated.
            ConfigurationError: An argument cannot work.
        """
        dispatcher = BatchDispatcher(self._client, concurrency, ledger=ledger)
        source = CallerThreadSource.of(images)
        batch: Batch[Any] = dispatcher.dispatch(
            cast("Any", source or images), document, ordered=ordered, context=context
        )
        return BlockingBatch(self._thread, batch, source)

    def close(self, *, wait: float | None = None) -> None:
        """Send nothing more, wait for the requests in flight, and end the client's thread.

        Called at the exit of the interpreter, if it was not called before. In a process that was forked from the
        client's own it does nothing.

        Args:
            wait: Seconds to wait at most; ``read_timeout`` if not given, 0 to cut off at once.
        """
        if not self._thread.here or self._thread.closed:
            self._thread.closed = True
            atexit.unregister(self.close)
            return
        wait = None if wait is None else require_seconds("wait", wait, or_zero=True)  # before anything is cut off
        in_flight = sum(gate.in_flight for gate in self.gates.values())
        ending = self._thread.begin(self._client.close(wait=wait))
        try:
            if in_flight and wait != 0:
                logger.warning("requests in flight: %d; they are waited for, and Ctrl-C cuts them off", in_flight)
            ending.result()
        except BaseException:  # the second Ctrl-C
            ending.cut_off()
            # Again, since the first one may have been cancelled before it began.
            self._thread.run(self._client.close(wait=0))
            raise
        finally:
            atexit.unregister(self.close)
            self._thread.stop()


class BlockingBatch(Generic[DocumentT]):
    """A running batch: a context manager, and in it an iterator of outcomes; see ``Batch``."""

    def __init__(self, thread: LoopThread, batch: Batch[DocumentT], source: CallerThreadSource | None) -> None:
        self._thread = thread
        self._batch = batch
        self._source = source
        self._inbox: SimpleQueue[asyncio.Future[Any] | LoopWork[Any]] = (
            SimpleQueue() if source is None else source.inbox
        )
        self._next: LoopWork[Outcome[DocumentT] | None] | None = None
        self._untaken: tuple[Outcome[DocumentT], ...] = ()
        self._opened = False

    @property
    def stopped(self) -> ClovaOCRError | None:
        """The error by which the batch ended before the images did; None if it did not."""
        return self._batch.stopped

    @property
    def left_over(self) -> tuple[Outcome[DocumentT], ...]:
        """The outcomes that were not taken when the batch was left, and what is known of calls that were cut off."""
        return (*self._untaken, *self._batch.left_over)

    def stop(self, reason: ClovaOCRError) -> None:
        """Pull no more images and send no other request; the calls in flight finish, and their outcomes come out.

        Args:
            reason: The error of the images that are not sent any more.
        """

        async def stop() -> None:
            self._batch.stop(reason)

        self._thread.run(stop())

    def __enter__(self) -> Self:
        self._thread.run(self._batch.__aenter__(), to_its_end=True)
        self._opened = True
        return self

    def __iter__(self) -> Iterator[Outcome[DocumentT]]:
        return self

    def __next__(self) -> Outcome[DocumentT]:
        if not self._opened:
            raise RuntimeError("open the batch first: with client.batch(…) as outcomes")
        # Kept until it has ended: an interrupted wait must not lose the outcome that comes next.
        if self._next is None:
            self._next = self._thread.begin(self._take())
            self._next.add_done_callback(self._inbox.put)
        while isinstance(request := self._inbox.get(), asyncio.Future):
            cast("CallerThreadSource", self._source).serve(request)
        taken, self._next = self._next, None
        outcome = taken.result()
        if outcome is None:
            raise StopIteration
        return outcome

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._next is not None and (outcome := self._next.cut_off()) is not None:
            self._untaken = (outcome,)
        # For a batch Ctrl-C is a cancellation: with a ledger the calls in flight finish, until it comes a second time.
        kind = asyncio.CancelledError if kind is not None and issubclass(kind, KeyboardInterrupt) else kind
        try:
            self._thread.run(self._batch.__aexit__(kind, None, None), to_its_end=True)
        finally:
            if self._source is not None:
                self._source.close_iterable()

    async def _take(self) -> Outcome[DocumentT] | None:
        """Return the next outcome; None at the end."""
        return await anext(self._batch, None)
