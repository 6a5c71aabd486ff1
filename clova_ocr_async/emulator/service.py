"""The emulated service: authentication, limits, billing and the answer of each request."""

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
    EARLY_NETWORK_FAULTS,
    NETWORK_FAULTS,
    PROXY_PAGES,
    UNEXPECTED_BODIES,
    send_duplicate,
)
from clova_ocr_async.emulator.faults import ERROR_FAULTS, ErrorAnswer, Fault
from clova_ocr_async.errors import APIError
from clova_ocr_async.protocol.request import ParsedRequest, parse_request
from clova_ocr_async.protocol.response import encode_error, encode_gateway_error, encode_response

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.emulator.replay import Replay

__all__ = ["Latency", "Service"]

_PATH = re.compile(r"/custom/v1/([^/]+/[^/]+)/document/([^/]+)")


@dataclass(slots=True)
class Latency:
    """The random duration of calls.

    Attributes:
        mean: Mean duration, in seconds.
        sigma: Spread of the log-normal distribution; 0 for always the mean.
        random: The source of randomness.
    """

    mean: float
    sigma: float
    random: random.Random

    def draw(self) -> float:
        """Return the duration of one call, in seconds."""
        if not self.sigma or not self.mean:
            return self.mean
        # The mean of a log-normal distribution is above its median, so the median is shifted down.
        return self.random.lognormvariate(math.log(self.mean) - self.sigma**2 / 2, self.sigma)


@dataclass(slots=True)
class Service:
    """The service behind the server.

    Attributes:
        secret: The required value of X-OCR-SECRET.
        documents: Path words of the deployed documents.
        ceiling: Calls at once that a new domain allows.
        quota: Calls that a new domain allows.
        latency: The duration of calls.
        faults: The faults of the next calls.
        states: The state of each domain that was called.
        clock: A monotonic clock, in seconds.
        sleep: Waits for a number of seconds.
        replay: The answers of a run, for the pictures that it knows.
    """

    secret: str
    documents: frozenset[str]
    ceiling: int | None
    quota: int | None
    latency: Latency
    faults: deque[Fault | None]
    states: dict[str, DomainState]
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[Any]]
    replay: Replay | None = None

    def domain_state(self, domain: str) -> DomainState:
        """Return the state of a domain."""
        if domain not in self.states:  # setdefault, because a test may ask from another thread
            self.states.setdefault(domain, DomainState(self.clock, self.ceiling, self.quota))
        return self.states[domain]

    @property
    def billed(self) -> Counter[str]:
        """Billed calls of all domains, by the image's sha256 in hex."""
        # Copies, because another thread may add calls meanwhile.
        return sum((state.billed.copy() for state in list(self.states.values())), start=Counter[str]())

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        found = _PATH.fullmatch(request.path)
        if found is None or request.method != "POST":
            return _error(request, ERROR_FAULTS[Fault.GATEWAY_NOT_FOUND], None)
        state, document = self.domain_state(found[1]), found[2]
        state.requests += 1
        if (refusal := self._refusal(request, document)) is not None:
            return _error(request, ERROR_FAULTS[refusal], state)
        fault = self.faults[0] if self.faults else None
        # Before the body is read: the caller must still be sending when the connection breaks.
        if fault is not None and fault in EARLY_NETWORK_FAULTS:
            self.faults.popleft()
            return await NETWORK_FAULTS[fault](request, b"", self.sleep)
        parsed = await _read(request)
        if isinstance(parsed, ErrorAnswer):
            return _error(request, parsed, state)
        return await self._admit(request, state, document, parsed)

    def _refusal(self, request: web.Request, document: str) -> Fault | None:
        """Return the fault of a request that is refused before its body is read."""
        # aiohttp decodes bytes of a header that are not UTF-8 to surrogates.
        secret = request.headers.get("X-OCR-SECRET", "").encode(errors="surrogateescape")
        # In constant time: the emulator may be exposed, and may have the secret of the real service.
        if not secrets.compare_digest(secret, self.secret.encode()):
            return Fault.BAD_SECRET
        if document not in DOCUMENTS:
            return Fault.INVALID_URL
        return None if document in self.documents else Fault.WRONG_DOMAIN

    async def _admit(
        self, request: web.Request, state: DomainState, document: str, parsed: ParsedRequest
    ) -> web.StreamResponse:
        send_duplicate(request)
        # The ceiling comes before the quota: a call that is refused for the ceiling uses up no quota.
        if not state.admit():
            return _error(request, ERROR_FAULTS[Fault.RATE_LIMITED], state)
        call = _Call(document, parsed, self.faults.popleft() if self.faults else None)
        try:
            if call.fault is not None and (refused := _not_run(request, call.fault, state)) is not None:
                return refused
            if not state.take_quota():
                return _error(request, ERROR_FAULTS[Fault.QUOTA], state)
            # Before the answer: a call that runs is billed, also if its caller disconnects meanwhile.
            state.billed[hashlib.sha256(call.parsed.data).hexdigest()] += 1
            await self.sleep(self.latency.draw())
            return await self._answer(request, state, call)
        finally:  # as at the service, the slot is held until the call ends, not until its caller disconnects
            state.release()

    async def _answer(self, request: web.Request, state: DomainState, call: _Call) -> web.StreamResponse:
        parsed, fault = call.parsed, call.fault
        # Made for every fault: the unexpected bodies and network faults change or cut a right answer.
        image = image_answer(call.document, parsed)
        replayed = None if self.replay is None else self.replay.answer(call.document, parsed)
        body = replayed or encode_response(parsed.request_id, parsed.timestamp, image)
        if fault is not None and fault in ERROR_FAULTS:
            return _error(request, ERROR_FAULTS[fault], state)
        if fault is not None and fault in PROXY_PAGES:
            return PROXY_PAGES[fault].response()
        if fault is not None and fault in NETWORK_FAULTS:
            return await NETWORK_FAULTS[fault](request, body, self.sleep)
        if fault is not None:
            body = UNEXPECTED_BODIES[fault](parsed, call.document, image)
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
    except (web.RequestPayloadError, ConnectionError):  # the caller broke off; no one reads this answer
        return ERROR_FAULTS[Fault.GATEWAY_BAD_REQUEST]
    except APIError as error:
        return ErrorAnswer(error.status, str(error.code), str(error.message))


def _not_run(request: web.Request, fault: Fault, state: DomainState) -> web.Response | None:
    """Return the answer of a fault with which the call does not run; None if the call runs."""
    if fault in PROXY_PAGES and not PROXY_PAGES[fault].billed:
        return PROXY_PAGES[fault].response()
    if fault in ERROR_FAULTS and not ERROR_FAULTS[fault].billed:
        return _error(request, ERROR_FAULTS[fault], state)
    return None


def _named_ceiling(state: DomainState | None) -> int | None:
    """Return the number of calls at once that a refusal names; a scripted refusal may happen without a ceiling."""
    if state is None:
        return None
    return state.in_flight if state.ceiling is None else state.ceiling


def _error(request: web.Request, answer: ErrorAnswer, state: DomainState | None) -> web.Response:
    message = answer.message.replace("{ceiling}", str(_named_ceiling(state)))
    if answer.gateway:
        body = encode_gateway_error(answer.code, message, "")
    else:
        trace, now = uuid.uuid4().hex, int(time.time() * 1000)
        body = encode_error(answer.code, message, path=request.path, trace_id=trace, timestamp=now)
    return web.Response(status=answer.status, body=body, content_type="application/json")
