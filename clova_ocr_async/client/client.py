"""The session manager: one call, from the image to the recognition.

Sending is nested, one concern each: ``recognize`` reads the image and tells how it ended, ``_bounded`` keeps the
deadline, ``_with_retries`` sends again what is granted a retry, ``_in_a_slot`` waits for its turn, ``_send_once`` puts
one request on the wire.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Self, Unpack

import msgspec

from clova_ocr_async.client.call import Call
from clova_ocr_async.client.config import domains_from_env
from clova_ocr_async.client.config_file import domains_from_file
from clova_ocr_async.client.holds import Holds
from clova_ocr_async.client.hooks import AttemptFinished, AttemptStarted, CallFinished, Hook, tell
from clova_ocr_async.client.journal import NO_JOURNAL, Attempt, Journal, NoJournal, announced, written
from clova_ocr_async.client.pool import DomainPool
from clova_ocr_async.client.reading import ImageSource, read_image
from clova_ocr_async.client.retry import RetryPolicy
from clova_ocr_async.client.retrying import Retries
from clova_ocr_async.client.runtime import Runtime
from clova_ocr_async.client.settings import (
    checked_content,
    checked_domains,
    checked_hooks,
    checked_kind,
    checked_seconds,
    chosen_slots,
    chosen_transport,
)
from clova_ocr_async.client.slots import tell_gate
from clova_ocr_async.client.turns import Turns
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ResponseTimeoutError,
)
from clova_ocr_async.protocol.image import ImageLimits
from clova_ocr_async.protocol.request import HTTPRequest, build_request
from clova_ocr_async.protocol.response import HTTPResponse, decode_response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    import aiohttp

    from clova_ocr_async.client.domain import Domain
    from clova_ocr_async.client.hooks import Cause
    from clova_ocr_async.client.settings import ClientSettings
    from clova_ocr_async.client.slots import GateState, Lane, Slots
    from clova_ocr_async.client.transport import Transport
    from clova_ocr_async.documents import Document
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.protocol.request import Content

__all__ = ["ClovaOCRClient"]

logger = logging.getLogger("clova_ocr_async")

_TOO_LATE = "the deadline passed while it came"


class ClovaOCRClient:
    """Calls CLOVA OCR. Make one, share it, close it at the end.

    Making one needs no event loop; its first call binds it to the running one.

    Example:
        >>> async with ClovaOCRClient(Domain("https://…/document/receipt", "secret")) as client:
        ...     recognition = await client.recognize("receipt.jpg", Receipt)

    Args:
        domain: The domain to call.
        more_domains: Further domains; several of one document class share its calls.
        concurrency: Calls at once per domain, if that is known; else it is learned from the service.
        deadline: Seconds one call may take once its image is read, waiting and retries included; None for no bound. A
            call of a batch may wait longer for its turn: for it the deadline bounds each request.
        connect_timeout: Seconds to reach the server.
        read_timeout: Seconds without a byte of the answer. An early timeout is a lost payment: calls take up to 20 s.
        retry: When a failed request is sent again.
        slots: Who limits the calls at once, say SharedSlots for all processes of this machine; give this or
            ``concurrency``.
        session: An aiohttp session of the caller's, say for a proxy or for certificates; never closed here.
        hooks: Told of every request, retry and call.
        content: How images travel: "multipart", or "json" for base64.
        limits: Which images are refused before they are sent.
        transport: Replaces aiohttp; give this or ``session``.
        runtime: Time and randomness.

    Attributes:
        limits: As given.

    Raises:
        ConfigurationError: An argument cannot work; the message says which.
    """

    def __init__(  # noqa: PLR0913 - the settings of a client, each with a default
        self,
        domain: Domain,
        *more_domains: Domain,
        concurrency: int | None = None,
        deadline: float | None = 300.0,
        connect_timeout: float = 10.0,
        read_timeout: float = 60.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
        slots: Slots | None = None,
        session: aiohttp.ClientSession | None = None,
        hooks: Iterable[Hook] = (),
        content: Content = "multipart",
        limits: ImageLimits = ImageLimits(),  # noqa: B008 - immutable
        transport: Transport | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        self._deadline = None if deadline is None else checked_seconds("deadline", deadline)
        policy = checked_kind("retry", retry, RetryPolicy)
        self._slots = chosen_slots(slots, concurrency, runtime)
        self._hooks = checked_hooks(hooks)
        self._holds = holds = Holds(self._hooks)
        self._pool = DomainPool(checked_domains((domain, *more_domains)))
        self._retries = Retries(policy, runtime, self._hooks)
        self._turns = Turns(self._pool, holds, policy, self._retries, runtime)
        self._content: Content = checked_content(content)
        self.limits = checked_kind("limits", limits, ImageLimits)
        self._transport = chosen_transport(
            transport, session, connect_timeout=connect_timeout, read_timeout=read_timeout
        )
        self._runtime = runtime
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._closed = False

    @classmethod
    def from_env(cls, **settings: Unpack[ClientSettings]) -> Self:
        """Make a client for the domains the environment names.

        ``CLOVA_OCR_CONFIG`` names a file of domains, as for ``from_config``; then it alone counts. Else
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
    def domains(self) -> tuple[Domain, ...]:
        """The domains it calls."""
        return self._pool.domains

    @property
    def gates(self) -> dict[Domain, GateState]:
        """How the gate of each domain stands: its ceiling, calls in flight and waiting, rejections."""
        return {domain: self._slots.state(domain) for domain in self.domains}

    @property
    def on_hold(self) -> dict[Domain, Cause]:
        """The domains that are on hold or have left the pool, and why."""
        holds = {domain: self._holds.of(domain) for domain in self.domains}
        return {domain: hold.cause for domain, hold in holds.items() if hold is not None}

    def serving(self, document: type[Document]) -> tuple[Domain, ...]:
        """Return the domains that calls for a document class go to.

        Raises:
            ConfigurationError: There is none, or it is no document class.
        """
        return self._pool.serving(document)

    async def __aenter__(self) -> Self:
        self._check_usable()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; a second time does nothing. A session of the caller's stays open."""
        if not self._closed:
            self._closed = True
            await self._transport.close()

    async def recognize(
        self,
        image: ImageSource,
        document: type[DocumentT],
        *,
        lane: Lane = "interactive",
        journal: Journal = NO_JOURNAL,
    ) -> Recognition[DocumentT]:
        """Read one image.

        Args:
            image: A path, bytes, a file opened in binary mode, or an Image; one picture of one page.
            document: The document's class: Receipt, CreditCard, NameCard, BizLicense, IdCard or Passport.
            lane: "interactive", or "batch" for one of many: it waits for its turn as long as it takes, also while
                its domain is on hold for a spent quota or an outage.
            journal: Told before the request leaves and before its answer is read.

        Returns:
            What was read.

        Raises:
            ImageError: The image was refused; nothing was sent.
            ConfigurationError: No domain for the document, a closed client, TLS.
            TransportError: No answer came.
            APIError: The service answered with an error.
            MalformedResponseError: An answer nobody can read; it is in ``.raw``.
            RecognitionError: The service read nothing.
        """
        self._check_usable()
        self.serving(document)
        started = self._runtime.clock()
        loaded = await read_image(image, self.limits)
        call = Call(loaded, document, lane, journal, self._runtime.new_id())
        try:
            recognition = await self._bounded(call)
        except BaseException as error:
            self._finish(call, started, error)
            raise
        elapsed = self._finish(call, started, None)
        return msgspec.structs.replace(
            recognition, attempts=call.sent, maybe_billed=call.tries.maybe_billed, elapsed=elapsed
        )

    def _finish(self, call: Call[Any], started: float, error: BaseException | None) -> float:
        elapsed = self._runtime.clock() - started
        self._turns.leave(call)
        if error is None:
            billing = Billing.BILLED
        elif isinstance(error, ClovaOCRError):
            billing = error.billing = max(error.billing, call.tries.billing)
            error.attempts, error.maybe_billed = call.sent, call.tries.maybe_billed
            error.request_id = call.request_id if call.sent else None
        else:
            billing = max(call.tries.billing, call.cut_off())
            if isinstance(call.journal, NoJournal):
                call.journal.cut_off(billing)
        tell(self._hooks, CallFinished(call.request_id, call.document.path_word, call.sent, elapsed, billing, error))
        return elapsed

    async def _bounded(self, call: Call[DocumentT]) -> Recognition[DocumentT]:
        if call.lane == "batch":
            return await self._with_retries(call)
        limit = self._limit()
        try:
            async with limit:
                return await self._with_retries(call)
        except TimeoutError:
            if not limit.expired():
                raise
        if call.refusal is None and call.answer is not None:
            # It came in time, and only its journal did not.
            return decode_response(call.answer, call.document, redact=call.redact)
        raise call.refusal or self._overdue(call)

    def _with_retries(self, call: Call[DocumentT]) -> Awaitable[Recognition[DocumentT]]:
        return self._retries.run(call, self._in_a_slot)

    async def _in_a_slot(self, call: Call[DocumentT]) -> Recognition[DocumentT]:
        call.granted = None
        while True:
            domains = await self._turns.turn(call)
            queued = self._runtime.clock()
            if call.since is None:
                call.since = queued
            async with self._slots.slot(domains, call.lane, call.since) as slot:
                # Whoever queued while the quota ran out, or the service went, must not run into it as well.
                if not self._turns.admits(slot.domain, call):
                    continue
                try:
                    recognition = await self._send_once(call, slot.domain, self._runtime.clock() - queued)
                except ClovaOCRError as error:
                    tell_gate(slot, error)
                    if not self._turns.failed(call, slot.domain, error):
                        raise
                else:
                    slot.admitted()
                    self._turns.answered(call, slot.domain)
                    return recognition

    async def _send_once(self, call: Call[DocumentT], domain: Domain, waited: float) -> Recognition[DocumentT]:
        request = self._request(call, domain)
        attempt = Attempt(call.request_id, call.sent + 1, call.document.path_word, str(domain.url))
        await announced(call.journal, attempt)
        call.begin_request(domain.redact)
        tell(self._hooks, AttemptStarted(attempt, waited))
        began = self._runtime.clock()
        try:
            response = await self._answer(call, request, attempt)
            recognition = decode_response(response, call.document, redact=call.redact)
        except BaseException as error:
            if isinstance(error, ClovaOCRError):
                call.tries.note(error)
                call.refusal = error
            tell(self._hooks, AttemptFinished(attempt, self._runtime.clock() - began, error))
            raise
        tell(self._hooks, AttemptFinished(attempt, self._runtime.clock() - began, None))
        if recognition.request_id not in {None, call.request_id}:
            logger.warning("call %s was answered under another requestId", call.request_id)
        return recognition

    def _request(self, call: Call[Any], domain: Domain) -> HTTPRequest:
        return build_request(
            url=domain.url.for_document(call.document.path_word),
            secret=domain.secret.reveal(),
            data=call.image.data,
            format=call.image.format,
            name=call.image.name,
            request_id=call.request_id,
            timestamp=int(self._runtime.now() * 1000),
            content=self._content,
        )

    async def _answer(self, call: Call[Any], request: HTTPRequest, attempt: Attempt) -> HTTPResponse:
        """Return the answer, journal first."""
        if isinstance(call.journal, NoJournal):
            try:
                return await self._sent(call, request)
            finally:
                call.journal.landed()
        try:
            call.answer = await self._sent(call, request)
        except BaseException as error:
            await written(call.journal.unanswered(attempt, error, body_began=call.exchange.body_began))
            raise
        await written(call.journal.answered(attempt, call.answer))
        return call.answer

    async def _sent(self, call: Call[Any], request: HTTPRequest) -> HTTPResponse:
        if call.lane == "interactive":
            return await self._transport.send(request, call.exchange)
        limit = self._limit()
        try:
            async with limit:
                return await self._transport.send(request, call.exchange)
        except TimeoutError:
            if not limit.expired():
                raise
        if (partial := call.exchange.response(_TOO_LATE)) is not None:
            return partial
        raise self._overdue(call)

    def _overdue(self, call: Call[Any]) -> ClovaOCRError:
        """Return what a deadline means, by how far the last request had come."""
        if (partial := call.exchange.response(_TOO_LATE)) is not None:
            try:
                decode_response(partial, call.document, redact=call.redact)
            except ClovaOCRError as error:
                return error
        seconds = f"the deadline of {self._deadline:g} s passed"
        if call.exchange.body_began:
            return ResponseTimeoutError(f"{seconds} after the request was sent; it may have been billed")
        return ConnectionFailedError(f"{seconds} before anything was sent")

    def _limit(self) -> asyncio.Timeout:
        # What asyncio.timeout() would make, without asking for the loop again.
        if self._deadline is None or self._loop is None:
            return asyncio.timeout(self._deadline)
        return asyncio.Timeout(self._loop.time() + self._deadline)

    def _check_usable(self) -> None:
        if self._closed:
            raise ConfigurationError("the client is closed; make a new one")
        # Asking for the running loop costs a system call, and within one thread no other can run.
        if self._loop is not None and self._thread == threading.get_ident() and self._loop.is_running():
            return
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._thread = running, threading.get_ident()
        if self._loop is not running:
            raise ConfigurationError("the client belongs to another event loop; make one in each")
