from __future__ import annotations

import asyncio
import contextlib
import json
import runpy
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import create_trace_config
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.fakes import BUSY, FAILED, JPEG, KEY, SECRET, SPENT, FakeTime, FakeTransport, Held, domain, steps
from support.late import Case

from clova_ocr_async.batch import BatchDispatcher
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator
from clova_ocr_async.errors import ClovaOCRError, OverloadedError, ResponseTimeoutError
from clova_ocr_async.integrations import opentelemetry
from clova_ocr_async.integrations.opentelemetry import OpenTelemetryHook
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Telemetry:
    """A hook, and what it has recorded."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.provider = provider
        self.tracer = provider.get_tracer("the caller's")
        self.hook = OpenTelemetryHook(
            tracer_provider=provider, meter_provider=MeterProvider(metric_readers=[self.reader])
        )

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Return the ended spans, or those of a name."""
        return [span for span in self.exporter.get_finished_spans() if name in {"", span.name}]

    def points(self, metric: str) -> list[Any]:
        """Return the data points of a metric."""
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        found = [one for part in data.resource_metrics for scope in part.scope_metrics for one in scope.metrics]
        return [point for one in found if one.name == metric for point in one.data.data_points]

    def values(self, metric: str) -> list[Any]:
        """Return the values of a metric's data points."""
        return [point.value for point in self.points(metric)]

    def everything(self) -> str:
        """Return all spans and metrics as text."""
        data = self.reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans()) + ("" if data is None else data.to_json())


def parents(spans: Sequence[ReadableSpan]) -> set[Any]:
    """Return the ids of the spans' parents."""
    return {None if span.parent is None else span.parent.span_id for span in spans}


def id_of(span: Any) -> int:
    """Return the id of a span."""
    return int(span.get_span_context().span_id)


async def test_a_call_is_a_span_and_each_request_one_below_it() -> None:
    """Below the caller's span is the call's, and below that one of kind CLIENT a request, with these attributes."""
    told = Telemetry()
    client = ClovaOCRClient(
        domain(), transport=FakeTransport(BUSY, FAILED), runtime=FakeTime().runtime(), hooks=[told.hook]
    )
    with told.tracer.start_as_current_span("caller") as caller:
        recognition = await client.recognize(JPEG, Receipt)
        assert trace.get_current_span() is caller
    [call] = told.spans("recognize receipt")
    attempts = told.spans("POST")
    assert (parents([call]), parents(attempts)) == ({id_of(caller)}, {id_of(call)})
    assert dict(call.attributes or {}) == {
        "clova.document": "receipt",
        "clova.lane": "interactive",
        "clova.request_id": recognition.request_id,
        "clova.attempts": 3,
        "clova.billing": "billed",
    }
    sent = {"http.request.method": "POST", "server.address": "host.apigw.ntruss.com"}
    assert [dict(span.attributes or {}) for span in attempts] == [
        sent | {"error.type": "RateLimitError", "http.response.status_code": 400},
        sent | {"error.type": "ServerError", "http.response.status_code": 500, "http.request.resend_count": 1},
        sent | {"http.response.status_code": 200, "http.request.resend_count": 2},
    ]
    assert {span.kind for span in attempts} == {trace.SpanKind.CLIENT}
    assert [span.status.status_code.name for span in attempts] == ["ERROR", "ERROR", "UNSET"]
    assert (call.kind, call.status.status_code.name) == (trace.SpanKind.INTERNAL, "UNSET")
    assert call.instrumentation_scope is not None
    assert call.instrumentation_scope.schema_url == "https://opentelemetry.io/schemas/1.45.0"


@pytest.mark.parametrize("ahead", [1, 200])
async def test_the_calls_of_a_batch_are_below_the_span_that_opened_it(ahead: int) -> None:
    """Calls of a batch hang on the span in which it was opened, not on those in which outcomes are taken."""
    told = Telemetry()
    client = ClovaOCRClient(domain(), transport=FakeTransport(), hooks=[told.hook], concurrency=2)
    images = (Image(JPEG, f"{number}") for number in range(12))
    with told.tracer.start_as_current_span("batch") as opened:
        async with BatchDispatcher(client, 2, ahead=ahead).dispatch(images, Receipt) as outcomes:
            async for _ in outcomes:
                with told.tracer.start_as_current_span("outcome"):
                    await steps()
    calls = told.spans("recognize receipt")
    assert (len(calls), parents(calls)) == (12, {id_of(opened)})
    assert parents(told.spans("POST")) == {id_of(call) for call in calls}


async def test_calls_beside_each_other_do_not_mix() -> None:
    """Calls at the same time each hang on the span of their own caller."""
    told, held = Telemetry(), Held()
    client = ClovaOCRClient(domain(), transport=FakeTransport(held, held), hooks=[told.hook])

    async def caller(name: str) -> int:
        with told.tracer.start_as_current_span(name) as span:
            await client.recognize(JPEG, Receipt)
            return id_of(span)

    callers = [asyncio.create_task(caller(name)) for name in "ab"]
    await steps()
    held.go_on.set()
    expected = {await one for one in callers}
    assert parents(told.spans("recognize receipt")) == expected
    assert len(parents(told.spans("POST"))) == 2


async def test_metrics_of_calls() -> None:
    """Durations, billed calls and slots are counted, by label and document; the buckets reach to 60 s."""
    told = Telemetry()
    transport = FakeTransport(None, ResponseTimeoutError, BUSY)
    client = ClovaOCRClient(domain(label="shop 1"), transport=transport, hooks=[told.hook])
    for _ in range(3):
        with contextlib.suppress(ResponseTimeoutError):
            await client.recognize(JPEG, Receipt)
    labels = {"clova.domain": "shop 1", "clova.document": "receipt"}
    assert [(point.value, dict(point.attributes)) for point in told.points("clova.calls.billed")] == [(2, labels)]
    assert [(point.value, dict(point.attributes)) for point in told.points("clova.calls.maybe_billed")] == [(1, labels)]
    assert (told.values("clova.slots.in_use"), told.values("clova.slots.waiting")) == ([0], [0])
    durations = told.points("http.client.request.duration")
    assert sum(point.count for point in durations) == 4
    assert {point.explicit_bounds[-1] for point in durations} == {60}
    assert {key for point in durations for key in point.attributes} == {
        "http.request.method",
        "server.address",
        "http.response.status_code",
        "error.type",
    }
    assert [point.count for point in told.points("clova.queue.duration")] == [4]


async def test_slots_in_use_and_waiting_follow_the_calls() -> None:
    """While one call holds the slot and two wait, the metrics say so; one that gives up has waited."""
    told, held = Telemetry(), Held()
    client = ClovaOCRClient(domain(), transport=FakeTransport(held), hooks=[told.hook], concurrency=1, max_queued=1)
    first, second = (asyncio.create_task(client.recognize(JPEG, Receipt)) for _ in range(2))
    await held.reached.wait()
    await steps()
    assert (told.values("clova.slots.in_use"), told.values("clova.slots.waiting")) == ([1], [1])
    with pytest.raises(OverloadedError):
        await client.recognize(JPEG, Receipt)
    second.cancel()
    await asyncio.wait([second])
    held.go_on.set()
    await first
    assert (told.values("clova.slots.in_use"), told.values("clova.slots.waiting")) == ([0], [0])
    failed = {point.attributes.get("error.type") for point in told.points("clova.queue.duration")}
    assert failed == {None, "CancelledError", "OverloadedError"}
    [refused] = [span for span in told.spans() if (span.attributes or {}).get("error.type") == "OverloadedError"]
    assert (refused.status.status_code.name, (refused.attributes or {})["clova.billing"]) == ("ERROR", "not_billed")


@pytest.mark.parametrize(("keep", "then_taken"), [(60.0, True), (60.0, False), (0, False)])
async def test_a_request_that_lost_its_caller_is_counted_once(keep: float, then_taken: bool) -> None:
    """The span of a request that runs on ends with its answer, and the request is counted once, as billed."""
    told = Telemetry()
    case = Case({"keep_late_answers": keep, "hooks": [told.hook]})
    await case.lose()
    assert (told.spans("POST"), told.values("clova.slots.in_use")) == ([], [1])
    case.held.go_on.set()
    if then_taken:
        await case.call()
    await case.client.close()
    assert [span.attributes["http.response.status_code"] for span in told.spans("POST") if span.attributes] == [200]
    assert (told.values("clova.calls.billed"), told.values("clova.calls.maybe_billed")) == ([1], [])
    assert told.values("clova.slots.in_use") == [0]


async def test_a_request_that_ran_on_in_vain_may_have_been_billed() -> None:
    """A detached request that is cut off is counted as maybe billed, and its span is an error."""
    told = Telemetry()
    case = Case({"hooks": [told.hook]})
    await case.lose()
    await case.client.close(wait=0)
    [span] = told.spans("POST")
    assert (span.attributes or {})["error.type"] == "CancelledError"
    assert (told.values("clova.calls.billed"), told.values("clova.calls.maybe_billed")) == ([], [1])


async def test_a_domain_on_hold_is_no_span() -> None:
    """Other events are not recorded."""
    told = Telemetry()
    client = ClovaOCRClient(domain(), transport=FakeTransport(SPENT), runtime=FakeTime().runtime(), hooks=[told.hook])
    await client.recognize(JPEG, Receipt, lane="batch")
    assert {span.name for span in told.spans()} == {"recognize receipt", "POST"}


async def test_an_instrumented_session_records_no_url() -> None:
    """With the hook, an instrumented session of the caller's makes no spans: they would hold the invoke key."""
    told = Telemetry()
    traced = aiohttp.ClientSession(trace_configs=[create_trace_config(tracer_provider=told.provider)])
    async with Emulator(secret=SECRET) as clova, traced:
        where = Domain(clova.url(domain=f"1/{KEY}"), SECRET)
        await ClovaOCRClient(where, session=traced).recognize(JPEG, Receipt)
        assert KEY in told.everything()  # without the hook
        told.exporter.clear()
        await ClovaOCRClient(where, session=traced, hooks=[told.hook]).recognize(JPEG, Receipt)
    assert len(told.spans()) == 2
    assert KEY not in told.everything()


async def test_nothing_personal_is_recorded() -> None:
    """Neither spans nor metrics hold a secret, an invoke key, the name of a file, a value or the caller's context."""
    told = Telemetry()
    transport = FakeTransport(None, FAILED, BUSY, ResponseTimeoutError)
    client = ClovaOCRClient(domain(), transport=transport, hooks=[told.hook], retry=RetryPolicy(max_attempts=1))
    for _ in range(4):
        with contextlib.suppress(ClovaOCRError):
            await client.recognize(Image(JPEG, "canaryFILE.jpg"), Receipt, context="canaryCONTEXT")
    shown = told.everything()
    assert json.dumps("recognize receipt") in shown
    for canary in (SECRET, KEY, "canaryFILE", "canarySHOP", "canaryCONTEXT", "/777/"):
        assert canary not in shown


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without OpenTelemetry the import fails, and the message has the command that installs it."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ModuleNotFoundError, match=r"OpenTelemetryHook needs opentelemetry: pip install '.*\[otel\]'"):
        runpy.run_path(str(opentelemetry.__file__))
