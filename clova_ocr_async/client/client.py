"""The client: checks its arguments, loads the image of each call, and hands the call to the sender."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self, Unpack

import msgspec

from clova_ocr_async.arguments import require_seconds, require_whole_number
from clova_ocr_async.client.deadline import Deadline, DeadlineTimer
from clova_ocr_async.client.event_loop import BoundLoop
from clova_ocr_async.client.hooks import CallFinished, CallStarted, Hook, notify
from clova_ocr_async.client.journal import NULL_JOURNAL, Journal
from clova_ocr_async.client.loading import ImageLoader, ImageSource, PreparedImage
from clova_ocr_async.client.retry.call import Call
from clova_ocr_async.client.retry.policy import RetryPolicy
from clova_ocr_async.client.sender import Sender
from clova_ocr_async.client.settings import (
    NOT_GIVEN,
    NotGiven,
    require_content,
    require_deadline,
    require_domains,
    require_hooks,
    require_instance,
    require_journal,
    require_lane,
    resolve_slots,
    resolve_transport,
)
from clova_ocr_async.client.timeouts import CONNECT_TIMEOUT, DEADLINE, KEEP_LATE_ANSWERS, READ_TIMEOUT
from clova_ocr_async.client.tracebacks import Given, frameless
from clova_ocr_async.domains.environment import domains_from_env
from clova_ocr_async.domains.file import domains_from_file
from clova_ocr_async.domains.pool import DomainPool
from clova_ocr_async.errors import ConfigurationError, RecognitionError
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.pictures.preparation import Preparation
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    import aiohttp

    from clova_ocr_async.client.admission import Backlog
    from clova_ocr_async.client.hooks import Cause
    from clova_ocr_async.client.settings import ClientSettings
    from clova_ocr_async.client.transport import Transport
    from clova_ocr_async.documents import Document
    from clova_ocr_async.documents.picture import Picture
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.errors import Billing
    from clova_ocr_async.protocol.request import Content
    from clova_ocr_async.slots.interface import GateState, Lane, Slots

__all__ = ["ClovaOCRClient"]


class ClovaOCRClient:
    """An asyncio client for CLOVA OCR. Make one, share it, and close it at the end.

    It can be made without an event loop; its first call binds it to the running one.

    Examples:
        >>> async with ClovaOCRClient(Domain("https://…/document/receipt", "secret")) as client:
        ...     recognition = await client.recognize("receipt.jpg", Receipt)

    Args:
        domain: The domain to call.
        more_domains: Further domains; several domains of one document class share its calls.
        concurrency: Calls at once per domain, if the limit is known; else it is learned from the service.
        deadline: Seconds that one call may take once its image is loaded, waiting and retries included; None for no
            bound. A call of a batch may wait longer for its slot: there the deadline bounds each request.
        connect_timeout: Seconds to reach the server.
        read_timeout: Seconds without a byte of the answer. Also the longest time that a request runs on when its caller
            has gone. An early timeout loses a billed answer: calls take up to 20 s.
        max_queued: Single calls that may wait for a slot; one more fails at once with OverloadedError. None for no
            bound. Calls of batches do not count.
        keep_late_answers: Seconds that the answer to a request whose caller has gone is kept for the next call with the
            same image and document; at most 64 answers and 64 MiB. 0 keeps none.
        retry: When a failed request is sent again.
        slots: The limit of calls at once, such as SharedSlots for all processes of this machine; give this or
            ``concurrency``.
        session: An aiohttp session of the caller's, for example for a proxy or for certificates; never closed here.
        hooks: Functions that are called with an event for every request, retry and call.
        content: How images travel: "multipart", or "json" for base64.
        limits: Limits beyond which images are refused before they are sent.
        prepare: How pictures that the service does not take as they are, such as HEIC photos, are made fit for it;
            None sends every image as it is. It needs the extra ``pictures``.
        transport: Sends the requests, such as an AiohttpTransport with a proxy; give this or ``session``.
        runtime: Time and randomness.

    Attributes:
        limits: As given.
        loader: Reads, prepares and checks the images of the client's calls.

    Raises:
        ConfigurationError: An argument cannot work; the message names it.
    """

    def __init__(  # noqa: PLR0913 - the settings of a client, each with a default
        self,
        domain: Domain,
        *more_domains: Domain,
        concurrency: int | None = None,
        deadline: float | None = DEADLINE,
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        max_queued: int | None = None,
        keep_late_answers: float = KEEP_LATE_ANSWERS,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
        slots: Slots | None = None,
        session: aiohttp.ClientSession | None = None,
        hooks: Iterable[Hook] = (),
        content: Content = "multipart",
        limits: ImageLimits = ImageLimits(),  # noqa: B008 - immutable
        prepare: Preparation | None = None,
        transport: Transport | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        self._deadline = require_deadline(deadline)
        policy = require_instance("retry", retry, RetryPolicy)
        self._slots = resolve_slots(slots, concurrency, runtime)
        self._hooks = require_hooks(hooks)
        self._pool = DomainPool(require_domains((domain, *more_domains)))
        self.limits = require_instance("limits", limits, ImageLimits)
        self.loader = ImageLoader(
            self.limits, None if prepare is None else require_instance("prepare", prepare, Preparation)
        )
        self._read_timeout = require_seconds("read_timeout", read_timeout)
        self._sender = Sender(
            resolve_transport(transport, session, connect_timeout=connect_timeout, read_timeout=read_timeout),
            self._slots,
            policy,
            self._hooks,
            runtime,
            content=require_content(content),
            max_queued=None if max_queued is None else require_whole_number("max_queued", max_queued, least=0),
            keep_late_answers=require_seconds("keep_late_answers", keep_late_answers, or_zero=True),
            read_timeout=self._read_timeout,
        )
        self._runtime = runtime
        self._loop = BoundLoop()
        self._timer = DeadlineTimer()

    @classmethod
    def from_env(cls, **settings: Unpack[ClientSettings]) -> Self:
        """Make a client for the domains that the environment names.

        ``CLOVA_OCR_CONFIG`` names a file of domains, as for ``from_config``; then only that file counts. Else
        ``CLOVA_OCR_INVOKE_URL`` and ``CLOVA_OCR_SECRET`` (or ``CLOVA_OCR_SECRET_FILE``), or per document
        ``CLOVA_OCR_RECEIPT_INVOKE_URL``, ``CLOVA_OCR_RECEIPT_SECRET`` and so on; these win.

        Args:
            settings: The keyword arguments of the client.

        Raises:
            ConfigurationError: The environment names no domain, or one that cannot work.
        """
        return cls(*domains_from_env(os.environ), **settings)

    @classmethod
    def from_config(cls, path: str | os.PathLike[str], **settings: Unpack[ClientSettings]) -> Self:
        """Make a client for the domains that a TOML file names; see examples/domains.toml.

        Args:
            path: The file.
            settings: The keyword arguments of the client.

        Raises:
            ConfigurationError: The file cannot be used; the message names line and key.
        """
        return cls(*domains_from_file(path, os.environ), **settings)

    @property
    def deadline(self) -> float | None:
        """Seconds that one call may take, as given; None for no bound."""
        return self._deadline

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The domains that the client calls."""
        return self._pool.domains

    @property
    def gates(self) -> dict[Domain, GateState]:
        """The state of each domain's gate: limit, calls in flight, calls waiting, rejections."""
        return {domain: self._slots.state(domain) for domain in self.domains}

    @property
    def on_hold(self) -> dict[Domain, Cause]:
        """The domains that are on hold, were given up a moment ago, or have left the pool, with the cause."""
        return self._sender.on_hold(self.domains)

    def backlog(self, document: type[Document]) -> Backlog:
        """Return the single calls that wait for a slot of a document's domains, and how fast slots get free.

        A server can refuse work by it before it takes any: a new call waits about
        ``max(0, waiting + 1 - free) / rate`` seconds.

        Raises:
            ConfigurationError: No domain reads the document, or the argument is not a document class.
        """
        return self._sender.backlog(document, self.serving(document))

    def serving(self, document: type[Document]) -> tuple[Domain, ...]:
        """Return the domains that calls for a document class go to.

        Raises:
            ConfigurationError: There is no such domain, or the argument is not a document class.
        """
        return self._pool.serving(document)

    async def __aenter__(self) -> Self:
        self._usable_loop()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # asyncio.run cancels its task at the first Ctrl-C. The second one raises KeyboardInterrupt, and asks not
        # to wait for the requests in flight.
        await self.close(wait=0 if kind is not None and issubclass(kind, KeyboardInterrupt) else None)

    async def close(self, *, wait: float | None = None) -> None:
        """Send nothing more, wait for the requests in flight, and close the connections.

        A second call only shortens the wait. A session of the caller's stays open. A call that is cut off, because the
        time is over or because ``close`` is cancelled, fails. It may have been billed, and ``raw`` holds the part of
        its answer that has arrived.

        Args:
            wait: Seconds to wait at most; ``read_timeout`` if not given, 0 to cut off at once.
        """
        await self._sender.close(self._read_timeout if wait is None else require_seconds("wait", wait, or_zero=True))

    async def recognize(
        self,
        image: ImageSource | PreparedImage,
        document: type[DocumentT],
        *,
        deadline: float | NotGiven | None = NOT_GIVEN,
        context: object = None,
        lane: Lane = "interactive",
        journal: Journal = NULL_JOURNAL,
    ) -> Recognition[DocumentT]:
        """Recognize one image.

        Args:
            image: A path, a Page of a file, bytes, a file opened in binary mode, an upload of FastAPI, a picture of
                Pillow, or an Image; one picture of one page. A file that can be rewound is read from its start.
            document: The document's class: Receipt, CreditCard, NameCard, BizLicense, IdCard or Passport.
            deadline: Seconds for this call, instead of the client's; None for no bound.
            context: Any object of yours, such as a tenant or a request id: each hook event of the call has it. It is
                neither logged nor printed.
            lane: "interactive", or "batch" for one of many calls: it waits for a slot as long as it takes, even while
                its domain is on hold for a spent quota or an outage.
            journal: Notified before a request leaves and before its answer is decoded.

        Returns:
            The recognition. ``attempts`` is 0 if nothing was sent, because it is the answer to an earlier request for
            the same image, whose caller had gone.

        Raises:
            ImageError: The image was refused; nothing was sent.
            ConfigurationError: No domain for the document, no such lane, a closed client, TLS.
            OverloadedError: No time or no place left to wait for a slot; nothing was sent.
            TransportError: No answer arrived.
            APIError: The service answered with an error.
            MalformedResponseError: The answer cannot be decoded; it is in ``.raw``.
            RecognitionError: The service recognized nothing.
        """
        given = Given(image, context)
        del image, context  # crash reporters print the variables of a frame
        loop = self._usable_loop()
        domains = self.serving(document)
        lane, journal = require_lane(lane), require_journal(journal)
        seconds = self._deadline if isinstance(deadline, NotGiven) else require_deadline(deadline)
        started = self._runtime.clock()
        # Loaded before the deadline begins: a slow disk is not the service's fault.
        load = frameless(self.loader.load(given.image))
        given.image = None
        loaded = await load
        limit = Deadline(seconds, loop, self._timer)
        call = Call(loaded.image, document, domains, lane, journal, self._runtime.new_id(), limit, given.context)
        picture = loaded.picture
        del given, load, loaded  # thousands of calls may wait; a coroutine that has ended keeps some of its frame, too
        if self._hooks:  # without hooks a call does not pay for events
            loading = self._runtime.clock() - started
            notify(self._hooks, CallStarted(call.request_id, document.path_word, lane, loading, context=call.context))
        try:
            recognition = await self._sender.run(call)
        except BaseException as error:
            # A cancelled call too has a billing, and other calls may wait for its probe.
            self._finish(call, started, error)
            if isinstance(error, RecognitionError) and error.recognition is not None:
                error.recognition = _with_picture(error.recognition, picture)
            raise
        elapsed = self._finish(call, started, None)
        return _with_picture(
            recognition,
            picture,
            attempts=call.sent,
            maybe_billed=call.history.maybe_billed,
            elapsed=elapsed,
        )

    def _finish(self, call: Call[Any], started: float, error: BaseException | None) -> float:
        now = self._runtime.clock()
        elapsed = now - started
        self._sender.release(call, error)
        billing = call.finish(error)
        if self._hooks:
            call.end_wait(now)  # a call that got no slot waits until its end
            notify(self._hooks, _finished_event(call, elapsed, billing, error))
        return elapsed

    def _usable_loop(self) -> asyncio.AbstractEventLoop:
        # First, since the loop of a closed client is often closed too, and this explains more.
        if self._sender.closed:
            raise ConfigurationError("the client is closed; make a new one")
        return self._loop.get()


def _finished_event(call: Call[Any], elapsed: float, billing: Billing, error: BaseException | None) -> CallFinished:
    return CallFinished(
        call.request_id,
        call.document.path_word,
        call.sent,
        elapsed,
        billing,
        error,
        waited=call.waited,
        in_slot=call.in_slot,
        context=call.context,
    )


def _with_picture(recognition: Recognition[DocumentT], picture: Picture, **known: Any) -> Recognition[DocumentT]:
    """Return a recognition with the picture that was sent for it, and with the other facts of its call."""
    picture = picture.as_converted(recognition.converted_image_info)
    return msgspec.structs.replace(recognition, picture=picture, **known)
