"""Metrics of a service that calls CLOVA, for Prometheus: what was billed, how long calls took, and the state of gates.

The state of the gates is read from ``client.gates`` at each scrape, and everything else is counted by a hook. No label
holds a URL: the path of an invoke URL holds the invoke key.

Needs: pip install prometheus-client

Run: CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… python examples/prometheus_metrics.py receipt.jpg another.jpg
Then see http://127.0.0.1:9464/metrics, or the same text on standard output at the end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter as Counts
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from clova_ocr_async import (
    AnswerDropped,
    AnswerKept,
    AnswerTaken,
    AttemptFinished,
    Billing,
    CallFinished,
    ClovaOCRClient,
    ClovaOCRError,
    Event,
    Receipt,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.client import Attempt

_SECONDS = (0.5, 1, 2, 5, 10, 15, 20, 30, 60)


class CallMetrics:
    """A hook that counts calls and what they cost."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._billed = Counter(
            "clova_ocr_billed", "Requests that were billed.", ("domain", "document"), registry=registry
        )
        self._maybe_billed = Counter(
            "clova_ocr_maybe_billed", "Requests that may have been billed.", ("domain", "document"), registry=registry
        )
        self._service = Histogram(
            "clova_ocr_request_seconds",
            "Time of the service.",
            ("domain", "error"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._waiting = Histogram(
            "clova_ocr_wait_seconds", "Time in the queue of a call.", ("document",), buckets=_SECONDS, registry=registry
        )
        self._began: dict[tuple[str, int], float] = {}  # requests whose callers have gone

    def __call__(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, AttemptFinished):
            if event.detached:  # it runs on without its caller, and what it costs is known at its end
                self._began[_key(event.attempt)] = time.monotonic() - event.elapsed
            else:
                error = "" if event.error is None else type(event.error).__name__
                self._count(event.attempt, event.billing, event.elapsed, error)
        elif isinstance(event, AnswerKept | AnswerTaken | AnswerDropped):
            began = self._began.pop(_key(event.attempt), None)
            if began is not None:  # the first of these events is the end
                billing = event.billing if isinstance(event, AnswerDropped) else Billing.BILLED
                error = "" if billing is Billing.BILLED else "CancelledError"
                self._count(event.attempt, billing, time.monotonic() - began, error)
        elif isinstance(event, CallFinished):
            self._waiting.labels(event.path_word).observe(event.waited)

    def _count(self, attempt: Attempt, billing: Billing, seconds: float, error: str) -> None:
        self._service.labels(attempt.label, error).observe(seconds)
        if billing is Billing.BILLED:
            self._billed.labels(attempt.label, attempt.path_word).inc()
        elif billing is Billing.MAYBE_BILLED:
            self._maybe_billed.labels(attempt.label, attempt.path_word).inc()


def _key(attempt: Attempt) -> tuple[str, int]:
    return attempt.request_id, attempt.number


class GateMetrics(Collector):
    """The gates of a client, as they are at the moment of the scrape."""

    def __init__(self, client: ClovaOCRClient) -> None:
        self._client = client

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the metrics of all domains."""
        for name, text in (
            ("ceiling", "Calls at once that the domain allows, as far as is known."),
            ("in_flight", "Calls that hold a slot."),
            ("waiting", "Calls that wait for a slot."),
        ):
            metric = GaugeMetricFamily(f"clova_ocr_slots_{name}", text, labels=("domain",))
            totals: Counts[str] = Counts()  # Prometheus refuses a label twice, and domains of one host may share theirs
            for domain, gate in self._client.gates.items():
                totals[domain.label] += getattr(gate, name)
            for label, total in totals.items():
                metric.add_metric((label,), total)
            yield metric


async def main(images: list[str]) -> None:
    """Read some receipts, with metrics at a port."""
    registry = CollectorRegistry()
    async with ClovaOCRClient.from_env(hooks=[CallMetrics(registry)]) as client:
        registry.register(GateMetrics(client))
        server, thread = start_http_server(int(os.environ.get("METRICS_PORT", "9464")), "127.0.0.1", registry)
        try:
            for image in images:
                try:
                    await client.recognize(image, Receipt)
                except ClovaOCRError as error:
                    print(image, error, file=sys.stderr)
            print(generate_latest(registry).decode())
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
