"""Spans and metrics for OpenTelemetry, made of a client's hook events.

A call is a span below the caller's current span, and each of its requests is a span below that. The caller's span is
the one that is current at ``recognize``; in a batch, the one that is current where the batch is opened.

Of an image and its answer nothing is recorded. Of a domain, its host and its ``label`` are: the path of an invoke URL
holds the invoke key, so no attribute has a URL. While a request is in flight, instrumentations of HTTP clients are
suppressed, since they would record that URL.

Source: OpenTelemetry semantic conventions 1.45.0, "HTTP client span" and "HTTP metrics".
"""

from __future__ import annotations

import asyncio
import time
from contextvars import Token
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from clova_ocr_async import (
    AnswerDropped,
    AnswerKept,
    AnswerTaken,
    AttemptFinished,
    AttemptStarted,
    Billing,
    CallFinished,
    RecognitionError,
    RetryScheduled,
    __version__,
)
from clova_ocr_async.client import CallStarted

try:
    from opentelemetry import context as otel_context
    from opentelemetry import metrics, trace
    from opentelemetry.context import (
        _SUPPRESS_HTTP_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage]  # instrumentations import it as well
    )
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"OpenTelemetryHook needs {missing.name}: pip install 'clova-ocr-async[otel]'", name=missing.name
    ) from None

if TYPE_CHECKING:
    from clova_ocr_async.client import Attempt, Event

__all__ = ["OpenTelemetryHook"]

_SCHEMA = "https://opentelemetry.io/schemas/1.45.0"
# Calls take 5 to 20 s and time out after 60 s; OpenTelemetry's own buckets end at 10 s.
_BUCKETS = (0.5, 1, 2, 5, 10, 15, 20, 30, 60)

_DOCUMENT, _DOMAIN = "clova.document", "clova.domain"
_ERROR_TYPE, _STATUS = "error.type", "http.response.status_code"


class _OpenAttempt(msgspec.Struct):
    """A request in flight: its span, and the attributes of its metrics."""

    span: trace.Span
    began: float
    http: dict[str, Any]
    token: Token[otel_context.Context]


class _OpenCall(msgspec.Struct):
    """A call that has not finished: its span, and what of its waiting is recorded."""

    span: trace.Span
    waiting: bool = True
    waited: float = 0.0
    attempt: _OpenAttempt | None = None


class OpenTelemetryHook:
    """A hook that makes spans and metrics. Several clients may share one.

    Examples:
        >>> client = ClovaOCRClient(domain, hooks=[OpenTelemetryHook()])

    Args:
        tracer_provider: Makes the spans; the global provider if not given.
        meter_provider: Makes the metrics; the global provider if not given.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer("clova_ocr_async", __version__, tracer_provider, _SCHEMA)
        meter = metrics.get_meter("clova_ocr_async", __version__, meter_provider, _SCHEMA)
        self._calls: dict[str, _OpenCall] = {}
        self._detached: dict[tuple[str, int], _OpenAttempt] = {}
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._queue = meter.create_histogram(
            "clova.queue.duration",
            "s",
            "Time that a request waited for a slot.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )
        self._billed = meter.create_counter("clova.calls.billed", "{call}", "Requests that were certainly billed.")
        self._maybe_billed = meter.create_counter(
            "clova.calls.maybe_billed", "{call}", "Requests that may have been billed, without certainty."
        )
        self._in_use = meter.create_up_down_counter("clova.slots.in_use", "{slot}", "Requests that hold a slot.")
        self._waiting = meter.create_up_down_counter("clova.slots.waiting", "{call}", "Calls that wait for a slot.")

    def __call__(self, event: Event) -> None:
        """Record an event."""
        match event:
            case CallStarted():
                self._start_call(event)
            case AttemptStarted():
                self._start_attempt(event)
            case AttemptFinished():
                self._finish_attempt(event)
            case RetryScheduled():
                self._calls[event.request_id].waiting = True
                self._waiting.add(1)
            case CallFinished():
                self._finish_call(event)
            case AnswerKept() | AnswerTaken():
                self._finish_detached(event.attempt, Billing.BILLED)
            case AnswerDropped():
                self._finish_detached(event.attempt, event.billing)
            case _:  # a domain on hold is a state and not a piece of work
                pass

    def _start_call(self, event: CallStarted) -> None:
        began = time.time_ns() - int(event.loading * 1e9)
        attributes = {_DOCUMENT: event.path_word, "clova.lane": event.lane, "clova.request_id": event.request_id}
        span = self._tracer.start_span(f"recognize {event.path_word}", attributes=attributes, start_time=began)
        self._calls[event.request_id] = _OpenCall(span)
        self._waiting.add(1)

    def _start_attempt(self, event: AttemptStarted) -> None:
        attempt, call = event.attempt, self._calls[event.attempt.request_id]
        http: dict[str, Any] = {
            "http.request.method": "POST",
            "server.address": urlsplit(attempt.domain).hostname or "",
        }
        again = {"http.request.resend_count": attempt.number - 1} if attempt.number > 1 else {}
        below = trace.set_span_in_context(call.span)
        span = self._tracer.start_span("POST", below, trace.SpanKind.CLIENT, http | again)
        # Current until AttemptFinished, which arrives in the same task.
        inside = otel_context.set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, value=True, context=below)
        token = otel_context.attach(trace.set_span_in_context(span, inside))
        call.attempt = _OpenAttempt(span, time.monotonic(), http, token)
        call.waiting = False
        call.waited += event.waited
        self._waiting.add(-1)
        self._in_use.add(1, {_DOMAIN: attempt.label})
        self._queue.record(event.waited, _of(attempt))

    def _finish_attempt(self, event: AttemptFinished) -> None:
        call = self._calls[event.attempt.request_id]
        assert call.attempt is not None  # noqa: S101 - for the type checkers: it has started
        attempt, call.attempt = call.attempt, None
        otel_context.detach(attempt.token)
        if event.detached:  # the request runs on, and its span with it
            self._detached[event.attempt.request_id, event.attempt.number] = attempt
            return
        self._end_request(event.attempt, attempt, _end_of(event.error), event.elapsed, event.billing)

    def _finish_detached(self, attempt: Attempt, billing: Billing) -> None:
        # An answer may be kept again after a second caller has gone; it is counted at the first of these events.
        detached = self._detached.pop((attempt.request_id, attempt.number), None)
        if detached is None:
            return
        end = _end_of(None if billing is Billing.BILLED else asyncio.CancelledError())
        self._end_request(attempt, detached, end, time.monotonic() - detached.began, billing)

    def _end_request(
        self, attempt: Attempt, opened: _OpenAttempt, end: dict[str, Any], elapsed: float, billing: Billing
    ) -> None:
        opened.span.set_attributes(end)
        if _ERROR_TYPE in end:
            opened.span.set_status(trace.StatusCode.ERROR)
        opened.span.end()
        self._in_use.add(-1, {_DOMAIN: attempt.label})
        self._duration.record(elapsed, opened.http | end)
        if billing is Billing.BILLED:
            self._billed.add(1, _of(attempt))
        elif billing is Billing.MAYBE_BILLED:
            self._maybe_billed.add(1, _of(attempt))

    def _finish_call(self, event: CallFinished) -> None:
        call = self._calls.pop(event.request_id)
        if call.waiting:
            self._waiting.add(-1)
            self._queue.record(event.waited - call.waited, {_DOCUMENT: event.path_word} | _error_of(event.error))
        call.span.set_attributes({"clova.attempts": event.attempts, "clova.billing": event.billing.name.lower()})
        if event.error is not None:
            call.span.set_attributes(_error_of(event.error))
            call.span.set_status(trace.StatusCode.ERROR)
        call.span.end()


def _of(attempt: Attempt) -> dict[str, Any]:
    return {_DOMAIN: attempt.label, _DOCUMENT: attempt.path_word}


def _error_of(error: BaseException | None) -> dict[str, Any]:
    # Its type alone: the message of an error of another library may hold anything.
    return {} if error is None else {_ERROR_TYPE: type(error).__name__}


def _end_of(error: BaseException | None) -> dict[str, Any]:
    """Return the attributes of the end of a request."""
    answered = error is None or isinstance(error, RecognitionError)
    status = HTTPStatus.OK.value if answered else getattr(error, "status", None)
    return _error_of(error) | ({} if status is None else {_STATUS: status})
