"""One call under way: what it asks for, and how far it has come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Generic

import msgspec

from clova_ocr_async.client.deadline import Deadline
from clova_ocr_async.client.journal import NULL_JOURNAL, Attempt, Journal, NullJournal
from clova_ocr_async.client.retry.breaker import Breaker
from clova_ocr_async.client.retry.policy import CallHistory
from clova_ocr_async.client.transport import RequestProgress
from clova_ocr_async.client.usual_time import UsualTime
from clova_ocr_async.documents.recognition import DocumentT, Recognition
from clova_ocr_async.errors import Billing, ClovaOCRError
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.request import build_request
from clova_ocr_async.protocol.response import HTTPResponse, decode_response
from clova_ocr_async.slots.interface import Lane

if TYPE_CHECKING:
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.protocol.request import Content, HTTPRequest

__all__ = ["Call"]


class Call(msgspec.Struct, Generic[DocumentT]):
    """One call.

    Attributes:
        image: What is sent.
        document: What is asked for.
        lane: Who asks.
        journal: Who must know.
        request_id: The same over all its requests.
        deadline: When it must be over; of a call of a batch only the seconds count, for each request.
        since: When it first queued for a slot; None if it has not.
        sent: Requests so far.
        tries: How they ended.
        attempt: The last request; None before the first one.
        began: When that got its slot, by the client's clock.
        exchange: How far the last request has come.
        wire: That request itself, in flight or landed; None before it is sent.
        runs_on: Whether it goes on without its caller.
        joined: Whether an earlier request for the same image is waited for, which runs on without its caller.
        answer: Its whole answer, while the journal writes it.
        refusal: What it ended in, while no other is on the wire.
        asks: The hold it was sent under; None if its domain was not on hold.
        granted: The failure after which it is sent again, while that is the last one.
        probe: The times that it was sent to learn anew; None if it was not.
        redact: Masks the secrets of the domain it went to.
    """

    image: Image
    document: type[DocumentT]
    lane: Lane
    journal: Journal
    request_id: str
    deadline: Deadline
    since: float | None = None
    sent: int = 0
    tries: CallHistory = msgspec.field(default_factory=CallHistory)
    attempt: Attempt | None = None
    began: float = 0.0
    exchange: RequestProgress = msgspec.field(default_factory=RequestProgress)
    wire: asyncio.Task[HTTPResponse] | None = None
    runs_on: bool = False
    joined: bool = False
    answer: HTTPResponse | None = None
    refusal: ClovaOCRError | None = None
    asks: Breaker | None = None
    granted: ClovaOCRError | None = None
    probe: UsualTime | None = None
    redact: Callable[[str], str] = str

    def begin_request(self, attempt: Attempt, began: float, redact: Callable[[str], str]) -> None:
        """Count a request that is about to leave, and forget the last one."""
        self.sent += 1
        self.attempt, self.began = attempt, began
        self.exchange, self.wire, self.answer, self.refusal, self.redact = RequestProgress(), None, None, None, redact

    @property
    def outlives(self) -> bool:
        """Whether a request in flight goes on when its caller is gone: nobody else knows of it, and it may be paid.

        One whose answer came before the deadline passed does not: its call returns that answer.
        """
        if not self.unheard or not self.exchange.body_began:
            return False
        return not self.deadline.expired or self.arrived() is None

    @property
    def unheard(self) -> bool:
        """Whether nobody but the caller hears of its answer: it is a single call without a journal."""
        return self.lane == "interactive" and self.journal is NULL_JOURNAL

    def arrived(self) -> HTTPResponse | None:
        """Return the answer to the last request, if it has come, also if a middleware still holds it."""
        return self.landed() or self.exchange.answer

    def landed(self) -> HTTPResponse | None:
        """Return the answer to the last request, if it has come."""
        if self.wire is None or not self.wire.done() or self.wire.cancelled() or self.wire.exception() is not None:
            return None
        return self.wire.result()

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

    def decoded(self, response: HTTPResponse) -> Recognition[DocumentT]:
        """Return what an answer holds.

        Raises:
            ClovaOCRError: It is an error, cannot be read, or is another call's.
        """
        return decode_response(response, self.document, request_id=self.request_id, redact=self.redact)

    def judged(self, error: BaseException | None) -> Billing:
        """Write into an error what the call knows of it, and return what the call may have cost."""
        if isinstance(error, ClovaOCRError):
            # One that nothing was sent for may be an earlier request's answer, whose own caller was told of its cost.
            error.billing = max(error.billing, self.tries.billing) if self.sent else Billing.NOT_BILLED
            error.attempts, error.maybe_billed = self.sent, self.tries.maybe_billed
            error.request_id = self.request_id if self.sent else None
            return error.billing
        if error is None:
            return Billing.BILLED if self.sent else Billing.NOT_BILLED
        billing = max(self.tries.billing, self.cut_off())
        if isinstance(self.journal, NullJournal):  # another one was told when the request ended
            answer = self.arrived() if self.refusal is None else None
            self.journal.cut_off(billing, b"" if answer is None else answer.body)
        return billing

    def cut_off(self) -> Billing:
        """Return what a request may cost that was under way when its call was cancelled."""
        if self.refusal is not None or not self.exchange.body_began:
            return Billing.NOT_BILLED
        response = self.exchange.response()
        return Billing.BILLED if response is not None and response.status == HTTPStatus.OK else Billing.MAYBE_BILLED
