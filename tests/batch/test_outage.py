from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fakes import JPEG, FakeTime, FakeTransport, Sent, domain, success

from clova_ocr_async.batch import BatchDispatcher, Failure, Outcome, Success
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing, ClovaOCRError, ConnectionFailedError, NotSentError
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from clova_ocr_async.protocol.response import HTTPResponse


class Outage:
    """A service that answers ten requests, is out for some time, and answers again."""

    def __init__(self, lasts: float) -> None:
        self.time = FakeTime()
        self.lasts = lasts
        self.back = 0.0
        self.transport = FakeTransport(*[None] * 10, then=self._meet)
        self.client = ClovaOCRClient(domain(), transport=self.transport, runtime=self.time.runtime(), concurrency=3)

    async def _meet(self, sent: Sent) -> HTTPResponse:
        self.back = self.back or self.time.now + self.lasts
        if self.time.now >= self.back:
            return success(sent.request)
        sent.progress.body_began = False
        raise ConnectionFailedError("cannot connect")

    async def run(self, count: int) -> tuple[list[Outcome[Receipt]], ClovaOCRError | None]:
        """Run a batch; return its outcomes and the error that stopped it."""
        images = (Image(JPEG, f"{number}") for number in range(count))
        async with BatchDispatcher(self.client).dispatch(images, Receipt) as outcomes:
            return [outcome async for outcome in outcomes], outcomes.stopped


async def test_an_outage_pauses_a_batch() -> None:
    """A batch over an outage of some minutes reads every image, and sends hardly more than that."""
    outage = Outage(300.0)
    outcomes, stopped = await outage.run(500)
    assert (len(outcomes), stopped) == (500, None)
    assert all(isinstance(outcome, Success) for outcome in outcomes)
    assert len(outage.transport.sent) <= 500 + 3 * 32 + 20


@pytest.mark.parametrize("count", [50, 100_000])
async def test_an_outage_that_stays_stops_a_batch(count: int) -> None:
    """A batch whose service stays out is stopped, however many images remain; those pulled come out as not sent."""
    outage = Outage(1e9)
    outcomes, stopped = await outage.run(count)
    assert isinstance(stopped, ConnectionFailedError)
    assert stopped.stops_run
    assert "no usable answer for" in str(stopped)
    assert len(outcomes) <= 200 + 10
    assert sum(isinstance(outcome, Success) for outcome in outcomes) == 10
    failures = [outcome.error for outcome in outcomes if isinstance(outcome, Failure)]
    assert all(failure.billing is Billing.NOT_BILLED for failure in failures)
    assert all(isinstance(failure, NotSentError) or failure.attempts for failure in failures)
    unsent = [failure for failure in failures if isinstance(failure, NotSentError)]
    assert all(failure.reason is stopped for failure in unsent)
