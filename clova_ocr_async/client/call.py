"""One call under way: what it asks for, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Generic

import msgspec

from clova_ocr_async.client.holds import Hold
from clova_ocr_async.client.journal import Journal
from clova_ocr_async.client.retry import Tries
from clova_ocr_async.client.slots import Lane
from clova_ocr_async.client.transport import Exchange
from clova_ocr_async.documents.recognition import DocumentT
from clova_ocr_async.errors import Billing, ClovaOCRError
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["Call"]


class Call(msgspec.Struct, Generic[DocumentT]):
    """One call.

    Attributes:
        image: What is sent.
        document: What is asked for.
        lane: Who asks.
        journal: Who must know.
        request_id: The same over all its requests.
        since: When it first queued for a slot; None if it has not.
        sent: Requests so far.
        tries: How they ended.
        exchange: How far the last request has come.
        answer: Its whole answer, while the journal writes it.
        refusal: What it ended in, while no other is on the wire.
        asks: The hold it was sent under; None if its domain was not on hold.
        granted: The failure after which it is sent again, while that is the last one.
        redact: Masks the secrets of the domain it went to.
    """

    image: Image
    document: type[DocumentT]
    lane: Lane
    journal: Journal
    request_id: str
    since: float | None = None
    sent: int = 0
    tries: Tries = msgspec.field(default_factory=Tries)
    exchange: Exchange = msgspec.field(default_factory=Exchange)
    answer: HTTPResponse | None = None
    refusal: ClovaOCRError | None = None
    asks: Hold | None = None
    granted: ClovaOCRError | None = None
    redact: Callable[[str], str] = str

    def begin_request(self, redact: Callable[[str], str]) -> None:
        """Count a request that is about to leave, and forget the last one."""
        self.sent += 1
        self.exchange, self.answer, self.refusal, self.redact = Exchange(), None, None, redact

    def cut_off(self) -> Billing:
        """Return what a request may cost that was under way when its call was cancelled."""
        if self.refusal is not None or not self.exchange.body_began:
            return Billing.NOT_BILLED
        response = self.exchange.response()
        return Billing.BILLED if response is not None and response.status == HTTPStatus.OK else Billing.MAYBE_BILLED
