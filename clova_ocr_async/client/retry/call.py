"""The state of one call while it runs: its image, its requests and their slots, and what they may have cost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic, Self

import anyio.to_thread
import msgspec

from clova_ocr_async.client.deadline import Deadline
from clova_ocr_async.client.journal import NULL_JOURNAL, Attempt, Journal
from clova_ocr_async.client.retry.breaker import Breaker
from clova_ocr_async.client.transport import RequestProgress
from clova_ocr_async.client.usual_time import UsualTime
from clova_ocr_async.documents.recognition import DocumentT, Recognition
from clova_ocr_async.domains.domain import Domain
from clova_ocr_async.errors import (
    AuthenticationError,
    Billing,
    ClovaOCRError,
    DomainError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from clova_ocr_async.host.tasks import LARGE
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.request import build_request
from clova_ocr_async.protocol.response import HTTPResponse, decode_response
from clova_ocr_async.slots.interface import Lane, Slot
from clova_ocr_async.slots.limit import result_of

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from clova_ocr_async.protocol.request import Content, HTTPRequest

__all__ = ["Call", "CallHistory", "Lease", "RequestState"]


class CallHistory(msgspec.Struct):
    """Failed requests of one call, as far as the retry policy needs them.

    Attributes:
        attempts: Failed requests that count against ``max_attempts``. Those refused for the rate or the quota, and
            those sent to a domain that cannot serve, do not count.
        server_errors: Attempts that ended in a server's passing error.
        maybe_billed: Requests of which it is unknown whether they were billed.
        billing: The worst billing over all requests.
        retry_price: Tokens that the last retry took out of the budget; 0 before the first one.
    """

    attempts: int = 0
    server_errors: int = 0
    maybe_billed: int = 0
    billing: Billing = Billing.NOT_BILLED
    retry_price: int = 0

    def count(self, error: ClovaOCRError) -> None:
        """Count a failed request."""
        self.billing = max(self.billing, error.billing)
        self.maybe_billed += error.billing is Billing.MAYBE_BILLED
        # Those requests did not run, or met a domain that serves no image: they say nothing about this one.
        if not isinstance(error, RateLimitError | QuotaExceededError | AuthenticationError | DomainError):
            self.attempts += 1
            self.server_errors += isinstance(error, ServerError) and error.retryable

    def forget_unbilled(self) -> None:
        """Keep only the attempts that may have been billed: during an outage the others do not count."""
        self.attempts = self.maybe_billed


class RequestState(msgspec.Struct):
    """The last request of a call: how far it has come, and how it ended.

    Attributes:
        attempt: Its number and its ids; None before the first request.
        began: When it got its slot, by the client's clock.
        redact: Masks the secrets of its domain.
        waited: Seconds it waited for its slot.
        progress: How far it has come on the wire.
        task: The task that sends it; None before it is sent.
        answer: The complete answer; None until it has arrived.
        error: The error in which it ended; None while it is in flight.
        detached: Whether it runs on without the caller.
    """

    attempt: Attempt | None = None
    began: float = 0.0
    redact: Callable[[str], str] = str
    waited: float = 0.0
    progress: RequestProgress = msgspec.field(default_factory=RequestProgress)
    task: asyncio.Task[HTTPResponse] | None = None
    answer: HTTPResponse | None = None
    error: ClovaOCRError | None = None
    detached: bool = False

    def received(self) -> HTTPResponse | None:
        """Return the answer if it has arrived, even if a middleware still holds it."""
        return self.answer or self.returned() or self.progress.answer

    def returned(self) -> HTTPResponse | None:
        """Return the answer that the task has returned; None if there is none."""
        task = self.task
        if task is None or not task.done() or task.cancelled() or task.exception() is not None:
            return None
        return task.result()

    def billing_if_cancelled(self) -> Billing:
        """Return the billing if the request is cut off now; NOT_BILLED if it is not in flight."""
        if self.error is not None or not self.progress.body_began:
            return Billing.NOT_BILLED
        # The service bills an answer when it sends its status, even if the rest never arrives.
        response = self.progress.response()
        return Billing.BILLED if response is not None and response.status == HTTPStatus.OK else Billing.MAYBE_BILLED


_NO_REQUEST = RequestState()
"""The state of a call that has sent nothing; never changed. Thousands may wait, so they share it."""


class Lease:
    """The slot that one request holds until the context closes or, once it is kept, until it is released.

    A detached request keeps the slot of its call.

    Args:
        context: The context manager of the slot, which was entered.
        slot: The slot.

    Attributes:
        slot: As given.
    """

    __slots__ = ("_context", "_kept", "slot")

    def __init__(self, context: AbstractAsyncContextManager[Slot], slot: Slot) -> None:
        self.slot = slot
        self._context = context
        self._kept = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if not self._kept:
            await self.release()

    @property
    def lost(self) -> bool:
        """True if other processes may have the slot by now; see ``Slot``."""
        return bool(getattr(self.slot, "lost", False))

    def report(self, error: ClovaOCRError | None) -> None:
        """Report to the slot how the service took the call, as far as that is known.

        Args:
            error: The error that the request ended in; None for a recognition.
        """
        result = "admitted" if error is None else result_of(error)
        if result == "admitted":
            self.slot.admitted()
        elif result is not None:
            self.slot.refused(result)

    def keep(self) -> None:
        """Hold the slot beyond the context; the new holder releases it."""
        self._kept = True

    async def release(self) -> None:
        """Release the slot."""
        # Without the error: the slot was given the result, and a detached request outlives the error of its caller.
        await self._context.__aexit__(None, None, None)


class Call(msgspec.Struct, Generic[DocumentT]):
    """One call.

    Attributes:
        image: The image to send.
        document: The document class asked for.
        domains: The client's domains that read it.
        lane: The lane in which the call queues for a slot.
        journal: Notified of each request.
        request_id: The requestId of all its requests.
        deadline: The call's deadline. In a batch each request gets a new one of as many seconds.
        context: The object that the caller gave, for events.
        queued_at: When the call first queued for a slot, by the client's clock; None before that.
        waiting_since: When its present wait for a slot began; None while it does not wait.
        waited: Seconds of its earlier waits for a slot.
        in_slot: Seconds in which its requests held a slot.
        sent: Requests sent so far.
        history: How they failed.
        request: The last one.
        joined: Whether the call waits for the answer to another call's detached request.
        probing: The breaker whose domain this call probes; None if it probes none.
        timing_probe: The answer times that this call measures anew; None if it does not.
    """

    image: Image
    document: type[DocumentT]
    domains: Sequence[Domain]
    lane: Lane
    journal: Journal
    request_id: str
    deadline: Deadline
    context: object = None
    queued_at: float | None = None
    waiting_since: float | None = None
    waited: float = 0.0
    in_slot: float = 0.0
    sent: int = 0
    history: CallHistory = msgspec.field(default_factory=CallHistory)
    request: RequestState = msgspec.field(default_factory=lambda: _NO_REQUEST)
    joined: bool = False
    probing: Breaker | None = None
    timing_probe: UsualTime | None = None

    def __repr__(self) -> str:
        # The fields hold the image, and the caller's own context.
        return f"Call({self.request_id!r}, {self.document.__name__}, sent={self.sent})"

    def end_wait(self, now: float) -> float:
        """End the wait for a slot, if the call waits; return its seconds."""
        if self.waiting_since is None:
            return 0.0
        seconds, self.waiting_since = now - self.waiting_since, None
        self.waited += seconds
        return seconds

    def begin_request(self, attempt: Attempt, began: float, redact: Callable[[str], str], waited: float) -> None:
        """Count a request that is about to leave."""
        self.sent += 1
        self.request = RequestState(attempt, began, redact, waited)

    @property
    def may_detach(self) -> bool:
        """True if the request in flight runs on when its caller is cancelled: it may be billed all the same.

        A call with a journal never detaches, since its journal must see the answer. Nor does a call whose answer came
        before the deadline passed: it returns that answer.
        """
        # Before the body begins nothing is billed, so the request may just as well be cut off.
        if not self.is_single or not self.request.progress.body_began:
            return False
        return not self.deadline.expired or self.request.received() is None

    @property
    def is_single(self) -> bool:
        """True if it is a single call without a journal, so that its answer is for its caller alone."""
        return self.lane == "interactive" and self.journal is NULL_JOURNAL

    def request_to(self, domain: Domain, content: Content, now: float) -> HTTPRequest:
        """Return the request to a domain.

        Args:
            domain: The domain.
            content: How the image travels.
            now: Unix time in seconds.
        """
        return build_request(
            url=domain.url.for_document(self.document.path_word),
            secret=domain.secret,
            data=self.image.data,
            format=self.image.format,
            name=self.image.name,
            request_id=self.request_id,
            timestamp=int(now * 1000),
            content=content,
        )

    def decode(self, response: HTTPResponse) -> Recognition[DocumentT]:
        """Return the recognition in an answer.

        Raises:
            ClovaOCRError: The answer is an error, cannot be decoded, or belongs to another call.
        """
        return decode_response(response, self.document, request_id=self.request_id, redact=self.request.redact)

    async def decode_unblocking(self, response: HTTPResponse) -> Recognition[DocumentT]:
        """Return the recognition in an answer, as ``decode``, a large one decoded in a thread."""
        if len(response.body) > LARGE:
            return await anyio.to_thread.run_sync(partial(self.decode, response))
        return self.decode(response)

    def end_timing_probe(self) -> None:
        """Let another call measure the answer times, if this one does."""
        if self.timing_probe is not None:
            self.timing_probe.prober = None
            self.timing_probe = None

    def finish(self, error: BaseException | None) -> Billing:
        """Write the call's attempts and billing into its error, and return the billing of the whole call."""
        if error is None:
            # A call that got an earlier call's answer is not billed.
            return Billing.BILLED if self.sent else Billing.NOT_BILLED
        if not isinstance(error, ClovaOCRError):
            return self.worst_billing()
        # A call that sent nothing may fail with another call's answer; the billing belongs to that other call.
        error.billing = max(error.billing, self.history.billing) if self.sent else Billing.NOT_BILLED
        error.attempts, error.maybe_billed = self.sent, self.history.maybe_billed
        # The vendor's support would search in vain for an id that was never sent.
        error.request_id = self.request_id if self.sent else None
        return error.billing

    def worst_billing(self) -> Billing:
        """Return the worst billing over all requests, one that was cut off included."""
        return max(self.history.billing, self.request.billing_if_cancelled())
