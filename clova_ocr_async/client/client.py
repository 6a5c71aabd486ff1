"""The session manager: one call, from the image to the recognition.

Sending is nested, one concern each: ``recognize`` reads the image and tells how it ended, ``_bounded`` keeps the
deadline, ``_with_retries`` sends again what is granted a retry, ``_in_a_slot`` waits for its turn, ``_send_once`` puts
one request on the wire. A request in flight is a task of its own (``in_flight``), and may outlive its call
(``late_answers``).
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Self, Unpack

import msgspec

from clova_ocr_async.client.admission import Admission
from clova_ocr_async.client.deadline import Deadline, overdue
from clova_ocr_async.client.decoding import decoded_aside
from clova_ocr_async.client.frames import frameless
from clova_ocr_async.client.hooks import AttemptFinished, AttemptStarted, CallFinished, Hook, notify
from clova_ocr_async.client.in_flight import InFlight
from clova_ocr_async.client.journal import (
    NULL_JOURNAL,
    Attempt,
    Journal,
    NullJournal,
    announce_sending,
    run_to_completion,
)
from clova_ocr_async.client.late_answers import LateAnswers
from clova_ocr_async.client.lease import Lease
from clova_ocr_async.client.loading import ImageSource, load_image
from clova_ocr_async.client.loop import BoundLoop
from clova_ocr_async.client.retry.breaker import Breakers
from clova_ocr_async.client.retry.call import Call
from clova_ocr_async.client.retry.loop import RetryLoop
from clova_ocr_async.client.retry.policy import RetryPolicy
from clova_ocr_async.client.retry.routing import DomainRouter
from clova_ocr_async.client.settings import (
    NOT_GIVEN,
    NotGiven,
    checked_content,
    checked_count,
    checked_deadline,
    checked_domains,
    checked_hooks,
    checked_seconds,
    chosen_transport,
    require_instance,
    resolve_slots,
)
from clova_ocr_async.domains.environment import domains_from_env
from clova_ocr_async.domains.file import domains_from_file
from clova_ocr_async.domains.pool import DomainPool
from clova_ocr_async.errors import Billing, ClovaOCRError, ConfigurationError
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.protocol.image import ImageLimits
from clova_ocr_async.slots.interface import report_to_slot

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    import aiohttp

    from clova_ocr_async.client.hooks import Cause
    from clova_ocr_async.client.settings import ClientSettings
    from clova_ocr_async.client.transport import Transport
    from clova_ocr_async.documents import Document
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.protocol.request import Content, HTTPRequest
    from clova_ocr_async.protocol.response import HTTPResponse
    from clova_ocr_async.slots.interface import GateState, Lane, Slots

__all__ = ["ClovaOCRClient"]


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
        read_timeout: Seconds without a byte of the answer, and the longest that a request runs on whose caller has
            gone. An early timeout is a lost payment: calls take up to 20 s.
        max_queued: Single calls that may wait for a slot; one more fails at once with OverloadedError. None for no
            bound. Calls of batches are not counted.
        keep_late_answers: Seconds that the answer of a request whose caller has gone is kept for the next call with the
            same image and document; at most 64 answers and 64 MiB. 0 keeps none.
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
        max_queued: int | None = None,
        keep_late_answers: float = 60.0,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 - immutable
        slots: Slots | None = None,
        session: aiohttp.ClientSession | None = None,
        hooks: Iterable[Hook] = (),
        content: Content = "multipart",
        limits: ImageLimits = ImageLimits(),  # noqa: B008 - immutable
        transport: Transport | None = None,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        self._deadline = checked_deadline(deadline)
        policy = require_instance("retry", retry, RetryPolicy)
        self._slots = resolve_slots(slots, concurrency, runtime)
        self._hooks = checked_hooks(hooks)
        self._holds = holds = Breakers(self._hooks)
        self._pool = DomainPool(checked_domains((domain, *more_domains)))
        self._retries = RetryLoop(policy, runtime, self._hooks)
        self._turns = DomainRouter(self._pool, holds, policy, self._retries, runtime)
        self._content: Content = checked_content(content)
        self.limits = require_instance("limits", limits, ImageLimits)
        self._read_timeout = checked_seconds("read_timeout", read_timeout)
        self._in_flight = InFlight(
            chosen_transport(transport, session, connect_timeout=connect_timeout, read_timeout=read_timeout)
        )
        most = None if max_queued is None else checked_count("max_queued", max_queued)
        self._admission = Admission(self._slots, most, runtime.clock)
        self._late = LateAnswers(
            self._hooks,
            self._admission,
            self._turns,
            keep=checked_seconds("keep_late_answers", keep_late_answers, or_zero=True),
            longest=self._read_timeout,
            clock=runtime.clock,
        )
        self._runtime = runtime
        self._loop = BoundLoop()

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
        self._usable_loop()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self, *, wait: float | None = None) -> None:
        """Send nothing more, wait for the requests in flight, and close the connections.

        A second time only shortens the waiting. A session of the caller's stays open. A call that is cut off, after
        that time or because this is cancelled, fails, may have been billed, and has what came of its answer in ``raw``.

        Args:
            wait: Seconds to wait at most; ``read_timeout`` if not given, 0 to cut off at once.
        """
        longest = self._read_timeout if wait is None else checked_seconds("wait", wait, or_zero=True)
        try:
            await self._in_flight.close(longest)
        finally:
            await self._late.close()

    async def recognize(
        self,
        image: ImageSource,
        document: type[DocumentT],
        *,
        deadline: float | NotGiven | None = NOT_GIVEN,
        lane: Lane = "interactive",
        journal: Journal = NULL_JOURNAL,
    ) -> Recognition[DocumentT]:
        """Read one image.

        Args:
            image: A path, bytes, a file opened in binary mode, or an Image; one picture of one page.
            document: The document's class: Receipt, CreditCard, NameCard, BizLicense, IdCard or Passport.
            deadline: Seconds for this call, instead of the client's; None for no bound.
            lane: "interactive", or "batch" for one of many: it waits for its turn as long as it takes, also while
                its domain is on hold for a spent quota or an outage.
            journal: Told before the request leaves and before its answer is read.

        Returns:
            What was read. ``attempts`` is 0 if nothing was sent, as it is the answer to an earlier request for the same
            image, whose caller had gone.

        Raises:
            ImageError: The image was refused; nothing was sent.
            ConfigurationError: No domain for the document, a closed client, TLS.
            OverloadedError: No time or no place left to wait for a slot; nothing was sent.
            TransportError: No answer came.
            APIError: The service answered with an error.
            MalformedResponseError: An answer nobody can read; it is in ``.raw``.
            RecognitionError: The service read nothing.
        """
        loop = self._usable_loop()
        self.serving(document)
        seconds = self._deadline if isinstance(deadline, NotGiven) else checked_deadline(deadline)
        started = self._runtime.clock()
        loading = frameless(load_image(image, self.limits))
        del image  # so that no frame from here on holds the picture
        loaded = await loading
        call = Call(loaded, document, lane, journal, self._runtime.new_id(), Deadline(seconds, loop))
        try:
            recognition = await self._bounded(call)
        except BaseException as error:
            self._late.keep_arrived(call, error)
            self._finish(call, started, error)
            raise
        elapsed = self._finish(call, started, None)
        return msgspec.structs.replace(
            recognition, attempts=call.sent, maybe_billed=call.tries.maybe_billed, elapsed=elapsed
        )

    def _finish(self, call: Call[Any], started: float, error: BaseException | None) -> float:
        elapsed = self._runtime.clock() - started
        self._turns.leave(call)
        if not call.runs_on:
            self._admission.end_probe(call)
        billing = call.judged(error)
        notify(self._hooks, CallFinished(call.request_id, call.document.path_word, call.sent, elapsed, billing, error))
        return elapsed

    async def _bounded(self, call: Call[DocumentT]) -> Recognition[DocumentT]:
        if call.lane == "batch":
            return await self._retries.run(call, self._in_a_slot)
        self._admission.reserve(call, self.serving(call.document))
        try:
            async with call.deadline:
                if self._late.any and call.journal is NULL_JOURNAL:
                    recognition = await self._late.take(call)
                    if recognition is not None:
                        return recognition
                return await self._retries.run(call, self._in_a_slot)
        except TimeoutError:
            if not call.deadline.expired:
                raise
        answer = None if call.runs_on else call.answer or call.arrived()
        if call.refusal is None and answer is not None:
            # It came in time, and only its journal, its decoding or a middleware did not.
            return await decoded_aside(len(answer.body), partial(call.decoded, answer))
        raise self._too_late(call)

    def _too_late(self, call: Call[Any]) -> ClovaOCRError:
        if call.refusal is not None:
            return call.refusal
        if not call.sent and not call.joined:
            return self._admission.too_late(call, self.serving(call.document))
        error = overdue(call, self._late.keep)
        if call.sent:
            call.tries.note(error)
        return error

    async def _in_a_slot(self, call: Call[DocumentT]) -> Recognition[DocumentT]:
        call.granted = None
        while True:
            domains = await self._turns.turn(call)
            queued = self._runtime.clock()
            single = call.lane == "interactive"
            if single:
                domains = self._admission.check_queue(call, domains)
            if call.since is None:
                call.since = queued
            slot = self._slots.slot(domains, call.lane, call.since)
            async with (lease := Lease(slot, domains, self._admission if single else None)):
                # Whoever queued while the quota ran out, or the service went, must not run into it as well.
                if not self._turns.admits(lease.slot.domain, call):
                    continue
                self._in_flight.check_open()
                self._admission.check_time(call, lease.slot.domain)
                try:
                    recognition = await self._send_once(call, lease, self._runtime.clock() - queued)
                except ClovaOCRError as error:
                    report_to_slot(lease.slot, error)
                    if not self._turns.failed(call, lease.slot.domain, error):
                        raise
                else:
                    lease.slot.admitted()
                    self._turns.answered(call, lease.slot.domain)
                    return recognition

    async def _send_once(self, call: Call[DocumentT], lease: Lease, waited: float) -> Recognition[DocumentT]:
        domain = lease.slot.domain
        request = call.request_to(domain, self._content, self._runtime.now())
        attempt = Attempt(call.request_id, call.sent + 1, call.document.path_word, str(domain.url))
        await announce_sending(call.journal, attempt)
        began = self._runtime.clock()
        call.begin_request(attempt, began, domain.redact)
        notify(self._hooks, AttemptStarted(attempt, waited))
        try:
            response = await self._answer(call, request, attempt)
            recognition = await decoded_aside(len(response.body), partial(call.decoded, response))
        except BaseException as error:
            elapsed = self._runtime.clock() - began
            domain.explain(error)
            if isinstance(error, ClovaOCRError):
                call.tries.note(error)
                call.refusal = error
            billing = error.billing if isinstance(error, ClovaOCRError) else call.cut_off()
            notify(self._hooks, AttemptFinished(attempt, elapsed, error, billing))
            if isinstance(error, Exception) or not self._late.adopt(call, lease):  # an error is an end
                self._admission.learn(call, domain, elapsed, error)
            raise
        finally:
            if isinstance(call.journal, NullJournal):
                call.journal.landed()
        elapsed = self._runtime.clock() - began
        notify(self._hooks, AttemptFinished(attempt, elapsed, None, Billing.BILLED))
        self._admission.learn(call, domain, elapsed, None)
        return recognition

    async def _answer(self, call: Call[Any], request: HTTPRequest, attempt: Attempt) -> HTTPResponse:
        """Return the answer, journal first."""
        if isinstance(call.journal, NullJournal):
            return await self._in_flight.send(call, request)
        try:
            call.answer = await self._in_flight.send(call, request)
        except BaseException as error:
            if (answer := call.arrived()) is not None:  # just as the call was cancelled, and it is paid
                await run_to_completion(call.journal.answered(attempt, answer))
            else:
                await run_to_completion(call.journal.unanswered(attempt, error, body_began=call.exchange.body_began))
            raise
        await run_to_completion(call.journal.answered(attempt, call.answer))
        return call.answer

    def _usable_loop(self) -> asyncio.AbstractEventLoop:
        if self._in_flight.closed:
            raise ConfigurationError("the client is closed; make a new one")
        return self._loop.get()
