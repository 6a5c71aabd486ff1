"""Sending of one call: the wait for a domain and a slot, the request, and further requests where they can help.

Sending is nested, one concern each: ``run`` keeps the deadline, ``RetryLoop.run`` tries again, ``_in_a_slot`` waits for
a domain and a slot, ``_send_or_decide`` decides after a failure, ``_send_once`` puts one request on the wire. A call
that waits for a retry holds no slot. A request in flight is a task of its own (``in_flight``), and may outlive its call
(``late_answers``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from clova_ocr_async.client.admission import Admission, Backlog
from clova_ocr_async.client.hooks import AttemptFinished, AttemptStarted, Cause, Hook, notify
from clova_ocr_async.client.in_flight import InFlight, deadline_error
from clova_ocr_async.client.journal import NULL_JOURNAL, Attempt, announce_sending, withdraw_sending
from clova_ocr_async.client.late_answers import LateAnswers
from clova_ocr_async.client.retry.breaker import Breakers
from clova_ocr_async.client.retry.budget import RetryBudget
from clova_ocr_async.client.retry.call import Lease
from clova_ocr_async.client.retry.loop import RetryLoop
from clova_ocr_async.client.retry.routing import Action, Decision, DomainRouter
from clova_ocr_async.errors import (
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConnectionFailedError,
    DomainError,
)
from clova_ocr_async.host.tasks import run_to_completion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.client.retry.policy import RetryPolicy
    from clova_ocr_async.client.transport import Transport
    from clova_ocr_async.documents import Document
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.protocol.request import Content, HTTPRequest
    from clova_ocr_async.protocol.response import HTTPResponse
    from clova_ocr_async.slots.interface import Slots

__all__ = ["Sender"]

logger = logging.getLogger("clova_ocr_async")


class Sender:
    """The sender of one client's calls.

    Args:
        transport: The transport of one request.
        slots: The limit of calls at once.
        policy: When a failed request is sent again.
        hooks: Notified of each request.
        runtime: Time and randomness.
        content: How images travel.
        max_queued: Single calls that may wait for a slot; None for no bound.
        keep_late_answers: Seconds that the answer to a detached request is kept.
        read_timeout: Seconds that a detached request may run on.
    """

    def __init__(  # noqa: PLR0913 - the parts and settings of a client
        self,
        transport: Transport,
        slots: Slots,
        policy: RetryPolicy,
        hooks: Sequence[Hook],
        runtime: Runtime,
        *,
        content: Content,
        max_queued: int | None,
        keep_late_answers: float,
        read_timeout: float,
    ) -> None:
        self._slots = slots
        self._hooks = hooks
        self._runtime = runtime
        self._content: Content = content
        self._breakers = Breakers(hooks)
        budget = RetryBudget(policy.budget)
        self._router = DomainRouter(self._breakers, policy, budget, runtime)
        self._retries = RetryLoop(self._in_a_slot, budget, runtime, hooks)
        self._in_flight = InFlight(transport)
        self._admission = Admission(slots, max_queued, runtime.clock)
        self._late_answers = LateAnswers(
            hooks, self._admission, self._router, keep=keep_late_answers, longest=read_timeout, clock=runtime.clock
        )

    @property
    def closed(self) -> bool:
        """True if nothing more is sent."""
        return self._in_flight.closed

    def on_hold(self, domains: Sequence[Domain]) -> dict[Domain, Cause]:
        """Return the domains that are on hold or were given up a moment ago, and why."""
        now = self._runtime.clock()
        return {domain: cause for domain in domains if (cause := self._breakers.cause(domain, now)) is not None}

    def backlog(self, document: type[Document], domains: Sequence[Domain]) -> Backlog:
        """Return the calls before a new single call for a document, of the domains that are not on hold."""
        if held := self.on_hold(domains):
            domains = [domain for domain in domains if domain not in held] or domains
        return self._admission.backlog(document, domains)

    async def close(self, wait: float) -> None:
        """Send nothing more, wait for the requests in flight, cut off the rest, and drop the late answers.

        Args:
            wait: Seconds to wait at most.
        """
        try:
            await self._in_flight.close(wait)
        finally:
            await self._late_answers.close()

    async def run(self, call: Call[DocumentT]) -> Recognition[DocumentT]:
        """Return the recognition of a call.

        Raises:
            ClovaOCRError: The call failed.
        """
        if call.lane == "batch":
            # No deadline over the whole call: an image must not fail because the queue before it is long.
            return await self._retries.run(call)
        self._admission.reserve(call)
        try:
            async with call.deadline:
                # A call with a journal must not get an answer that its journal has not seen.
                if self._late_answers.any and call.journal is NULL_JOURNAL:
                    recognition = await self._late_answers.take(call)
                    if recognition is not None:
                        return recognition
                return await self._retries.run(call)
        except TimeoutError:
            if not call.deadline.expired:  # raised by a journal or a session of the caller's
                raise
        answer = None if call.request.detached else call.request.received()
        if call.request.error is None and answer is not None:
            # The answer came in time; only the journal, the decoding or a middleware did not finish.
            return await call.decode_unblocking(answer)
        raise self._too_late(call)

    def release(self, call: Call[Any], error: BaseException | None) -> None:
        """End a call: let other calls probe in its place, and keep an answer that its caller did not get.

        Args:
            call: The call.
            error: The error that ended it; None if it returned its recognition.
        """
        if error is not None:
            self._late_answers.keep_received(call, error)
        self._router.release(call)
        if not call.request.detached:  # else its request still measures
            call.end_timing_probe()

    def _too_late(self, call: Call[Any]) -> ClovaOCRError:
        # The failure that the call was about to retry explains more than a passed deadline.
        if call.request.error is not None:
            return call.request.error
        if not call.sent and not call.joined:
            return self._admission.too_late(call)
        error = deadline_error(call, self._late_answers.keep)
        if call.sent:
            call.history.count(error)
        return error

    async def _in_a_slot(self, call: Call[DocumentT]) -> Recognition[DocumentT] | Decision:
        """Send one request of a call in a slot; return the recognition, or the decision to try again."""
        domains = await self._router.wait_for_domain(call)
        queued = self._runtime.clock()
        single = call.lane == "interactive"
        if single:
            domains = self._admission.check_queue(call, domains)
        # The first time counts: a call that is sent again keeps its place in the queue.
        if call.queued_at is None:
            call.queued_at = queued
        call.waiting_since = queued
        context = self._slots.slot(domains, call.lane, call.queued_at)
        # No method and no context of its own for this: thousands of calls may wait here, and each would keep it.
        waiting, counted = self._admission.waiting, domains if single else ()
        waiting.add(counted)
        try:
            slot = await context.__aenter__()
        finally:
            waiting.remove(counted)
        async with Lease(context, slot) as lease:
            return await self._send_or_decide(call, lease, call.end_wait(self._runtime.clock()))

    async def _send_or_decide(
        self, call: Call[DocumentT], lease: Lease, waited: float
    ) -> Recognition[DocumentT] | Decision:
        """Send one request in a slot that was waited for, and let slots and router learn from how it ended."""
        domain = lease.slot.domain
        # While the call queued, other calls may have met a spent quota or an outage.
        if not self._router.still_allowed(domain, call):
            return Decision(Action.NEXT_DOMAIN)
        # Checked in the slot: the wait may have been long.
        self._in_flight.check_open()
        self._admission.check_time(call, domain)
        try:
            recognition = await self._send_once(call, lease, waited)
        except ClovaOCRError as error:
            lease.report(error)
            # Decided while the slot is held: the next call must find the domain on hold.
            decision = self._router.on_failure(call, domain, error)
            if decision.action is not Action.FAIL:
                return decision
            if decision.error is None or decision.error is error:
                raise
            # Its domain was given up: the error of all waiting calls, with this failure as its cause.
            raise decision.error from error
        if not isinstance(recognition, Decision):  # else the slot was lost before anything was sent
            lease.report(None)
            self._router.on_answer(call, domain)
        return recognition

    async def _send_once(self, call: Call[DocumentT], lease: Lease, waited: float) -> Recognition[DocumentT] | Decision:
        """Send one request and return its recognition, or the decision to wait for another slot."""
        domain = lease.slot.domain
        request = call.request_to(domain, self._content, self._runtime.now())
        attempt = Attempt(call.request_id, call.sent + 1, call.document.path_word, str(domain.url), domain.label)
        # Recorded before the first byte leaves, so that a crash from here on is known to be ambiguous.
        await announce_sending(call.journal, attempt)
        # The last look before the request leaves: the process may have been stopped since the slot was granted.
        if lease.lost:
            await self._withdraw(call, attempt)
            return Decision(Action.RETRY)
        call.begin_request(attempt, self._runtime.clock(), domain.redact, waited)
        if self._hooks:  # without hooks a call does not pay for events
            notify(self._hooks, AttemptStarted(attempt, waited, context=call.context))
        try:
            response = await self._exchange(call, request, attempt)
            recognition = await call.decode_unblocking(response)
        except BaseException as error:
            self._on_error(call, lease, attempt, error)
            raise
        elapsed = self._runtime.clock() - call.request.began
        call.in_slot += elapsed
        if self._hooks:
            notify(self._hooks, AttemptFinished(attempt, elapsed, None, Billing.BILLED, waited, context=call.context))
        self._admission.learn(call, domain, elapsed)
        call.end_timing_probe()
        self._finish_journal(call, Billing.BILLED, response)
        return recognition

    async def _withdraw(self, call: Call[Any], attempt: Attempt) -> None:
        """Take back a request that is announced, as its slot was lost; it uses up no attempt."""
        logger.info("call %s lost its slot before it was sent, and waits for another one", call.request_id)
        reason = ConnectionFailedError("nothing was sent: other processes may have the slot by now")
        await withdraw_sending(call.journal, attempt, reason)
        self._finish_journal(call, Billing.NOT_BILLED, None)

    def _on_error(self, call: Call[Any], lease: Lease, attempt: Attempt, error: BaseException) -> None:
        elapsed = self._runtime.clock() - call.request.began
        call.in_slot += elapsed
        domain = lease.slot.domain
        if isinstance(error, AuthenticationError | DomainError):
            domain.explain(error)
        if isinstance(error, ClovaOCRError):
            call.history.count(error)
            call.request.error = error
            billing = error.billing
        else:
            billing = call.request.billing_if_cancelled()
        # An error is the end of the request; a cancellation may be the end of its caller only.
        detached = not isinstance(error, Exception) and self._late_answers.adopt(call, lease)
        waited = call.request.waited
        if self._hooks:
            event = AttemptFinished(attempt, elapsed, error, billing, waited, detached=detached, context=call.context)
            notify(self._hooks, event)
        if not detached:
            # An answer that was billed took the usual time, even if it holds no recognition.
            if isinstance(error, ClovaOCRError) and error.billing is Billing.BILLED:
                self._admission.learn(call, domain, elapsed)
            call.end_timing_probe()
        self._finish_journal(call, billing, None if billing is Billing.NOT_BILLED else call.request.received())

    @staticmethod
    def _finish_journal(call: Call[Any], billing: Billing, answer: HTTPResponse | None) -> None:
        # A request that ended in an error of ours is in the history already.
        cut_off = call.request.error is None and billing is Billing.MAYBE_BILLED
        try:
            call.journal.finished(
                max(call.history.billing, billing),
                call.history.maybe_billed + cut_off,
                b"" if answer is None else answer.body,
            )
        except Exception as error:  # noqa: BLE001 - a journal of the caller's may raise anything
            # The answer is paid for, and its caller waits: the journal must not lose it. Of the error only its type is
            # logged, since the journal had the answer, and a message may repeat it.
            name = type(error).__name__
            logger.error("a journal raised %s as call %s finished a request", name, call.request_id)  # noqa: TRY400 - see above

    async def _exchange(self, call: Call[Any], request: HTTPRequest, attempt: Attempt) -> HTTPResponse:
        """Send a request and return its answer, after the journal has kept it."""
        try:
            call.request.answer = answer = await self._in_flight.send(call, request)
        except BaseException as error:
            if (answered := call.request.received()) is not None:  # just as the call was cancelled, and it is billed
                writing = call.journal.answered(attempt, answered)
            else:
                began = call.request.progress.body_began
                writing = call.journal.unanswered(attempt, error, body_began=began)
            if writing is not None:
                await run_to_completion(writing)
            raise
        if (writing := call.journal.answered(attempt, answer)) is not None:
            await run_to_completion(writing)
        return answer
