"""What the service does with a request: who may call, what it counts, what it answers."""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import time
import uuid
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator.answers import image_answer
from clova_ocr_async.emulator.domain_state import DomainState
from clova_ocr_async.emulator.fault_behaviour import (
    ACCIDENTS,
    EARLY_ACCIDENTS,
    PAGES,
    WRONG_ANSWERS,
    send_duplicate,
)
from clova_ocr_async.emulator.faults import ERROR_FAULTS, ErrorAnswer, Fault
from clova_ocr_async.errors import APIError
from clova_ocr_async.protocol.request import ParsedRequest, parse_request
from clova_ocr_async.protocol.response import encode_error, encode_gateway_error, encode_response

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

__all__ = ["Latency", "Service"]

_PATH = re.compile(r"/custom/v1/([^/]+/[^/]+)/document/([^/]+)")


@dataclass(slots=True)
class Latency:
    """How long calls take.

    Attributes:
        mean: Seconds.
        sigma: Spread of the log-normal distribution; 0 for always the mean.
        random: Where the lengths come from.
    """

    mean: float
    sigma: float
    random: random.Random

    def draw(self) -> float:
        """Return the seconds of one call."""
        if not self.sigma or not self.mean:
            return self.mean
        return self.random.lognormvariate(math.log(self.mean) - self.sigma**2 / 2, self.sigma)


@dataclass(slots=True)
class Service:
    """The service behind the server.

    Attributes:
        secret: What X-OCR-SECRET must hold.
        documents: Path words of the documents that are deployed.
        ceiling: Calls at once of a domain that is met for the first time.
        quota: Calls of a domain that is met for the first time.
        latency: How long calls take.
        faults: What goes wrong in the next calls.
        meters: The domains met so far.
        clock: Returns seconds that only grow.
        sleep: Waits some seconds.
    """

    secret: str
    documents: frozenset[str]
    ceiling: int | None
    quota: int | None
    latency: Latency
    faults: deque[Fault | None]
    meters: dict[str, DomainState]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]

    def meter(self, domain: str) -> DomainState:
        """Return the counts of a domain."""
        if domain not in self.meters:
            self.meters.setdefault(domain, DomainState(self.clock, self.ceiling, self.quota))
        return self.meters[domain]

    @property
    def billed(self) -> Counter[str]:
        """Calls paid over all domains, by the image's sha256 in hex."""
        # Copies, since calls of another thread may be paid meanwhile.
        return sum((meter.billed.copy() for meter in list(self.meters.values())), start=Counter[str]())

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        found = _PATH.fullmatch(request.path)
        if found is None or request.method != "POST":
            return _error(request, ERROR_FAULTS[Fault.GATEWAY_NOT_FOUND], None)
        meter, document = self.meter(found[1]), found[2]
        meter.requests += 1
        if (refusal := self._refusal(request, document)) is not None:
            return _error(request, ERROR_FAULTS[refusal], meter)
        accident = self.faults[0] if self.faults else None
        if accident is not None and accident in EARLY_ACCIDENTS:
            self.faults.popleft()
            return await ACCIDENTS[accident](request, b"", self.sleep)
        parsed = await _read(request)
        if isinstance(parsed, ErrorAnswer):
            return _error(request, parsed, meter)
        return await self._admit(request, meter, document, parsed)

    def _refusal(self, request: web.Request, document: str) -> Fault | None:
        """Return what is wrong before the body is looked at."""
        # A header's bytes that are no UTF-8 come as surrogates.
        secret = request.headers.get("X-OCR-SECRET", "").encode(errors="surrogateescape")
        if not secrets.compare_digest(secret, self.secret.encode()):
            return Fault.BAD_SECRET
        if document not in DOCUMENTS:
            return Fault.INVALID_URL
        return None if document in self.documents else Fault.WRONG_DOMAIN

    async def _admit(
        self, request: web.Request, meter: DomainState, document: str, parsed: ParsedRequest
    ) -> web.StreamResponse:
        send_duplicate(request)
        if not meter.enter():
            return _error(request, ERROR_FAULTS[Fault.RATE_LIMITED], meter)
        call = _Call(document, parsed, self.faults.popleft() if self.faults else None)
        try:
            if call.fault is not None and (refused := _not_run(request, call.fault, meter)) is not None:
                return refused
            if not meter.spend():
                return _error(request, ERROR_FAULTS[Fault.QUOTA], meter)
            meter.billed[hashlib.sha256(call.parsed.data).hexdigest()] += 1
            await self.sleep(self.latency.draw())
            return await self._answer(request, meter, call)
        finally:
            meter.leave()

    async def _answer(self, request: web.Request, meter: DomainState, call: _Call) -> web.StreamResponse:
        parsed, fault = call.parsed, call.fault
        image = image_answer(call.document, parsed)
        body = encode_response(parsed.request_id, parsed.timestamp, image)
        if fault is not None and fault in ERROR_FAULTS:
            return _error(request, ERROR_FAULTS[fault], meter)
        if fault is not None and fault in PAGES:
            return PAGES[fault].response()
        if fault is not None and fault in ACCIDENTS:
            return await ACCIDENTS[fault](request, body, self.sleep)
        if fault is not None:
            body = WRONG_ANSWERS[fault](parsed, call.document, image)
        content_type = "text/html" if fault is Fault.HTML_ANSWER else "application/json"
        return web.Response(body=body, content_type=content_type)


@dataclass(frozen=True, slots=True)
class _Call:
    document: str
    parsed: ParsedRequest
    fault: Fault | None


async def _read(request: web.Request) -> ParsedRequest | ErrorAnswer:
    try:
        return parse_request(request.headers.get("Content-Type", ""), await request.read())
    except web.HTTPRequestEntityTooLarge:
        return ERROR_FAULTS[Fault.GATEWAY_TOO_LARGE]
    except (web.RequestPayloadError, ConnectionError):
        return ERROR_FAULTS[Fault.GATEWAY_BAD_REQUEST]
    except APIError as error:
        return ErrorAnswer(error.status, str(error.code), str(error.message))


def _not_run(request: web.Request, fault: Fault, meter: DomainState) -> web.Response | None:
    """Return the answer of a fault that keeps the call from running."""
    if fault in PAGES and not PAGES[fault].billed:
        return PAGES[fault].response()
    if fault in ERROR_FAULTS and not ERROR_FAULTS[fault].billed:
        return _error(request, ERROR_FAULTS[fault], meter)
    return None


def _ceiling(meter: DomainState | None) -> int | None:
    """Return the number a refusal for the ceiling names; on demand there is one without a ceiling."""
    if meter is None:
        return None
    return meter.in_flight if meter.ceiling is None else meter.ceiling


def _error(request: web.Request, answer: ErrorAnswer, meter: DomainState | None) -> web.Response:
    message = answer.message.replace("{ceiling}", str(_ceiling(meter)))
    if answer.gateway:
        body = encode_gateway_error(answer.code, message, "")
    else:
        trace, now = uuid.uuid4().hex, int(time.time() * 1000)
        body = encode_error(answer.code, message, path=request.path, trace_id=trace, timestamp=now)
    return web.Response(status=answer.status, body=body, content_type="application/json")
