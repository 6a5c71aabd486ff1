"""A service that could never be reached is given up sooner than one that has answered before."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.fakes import JPEG, FakeTime, FakeTransport, Sent, domain, error, success, url_of

from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ConfigurationError, ConnectionFailedError, ServerError
from clova_ocr_async.protocol.response import HTTPResponse

IMPATIENT = RetryPolicy(connect_patience=5.0)


class Unreachable:
    """A client of a service that cannot be reached from some request on."""

    def __init__(self, retry: RetryPolicy, first: HTTPResponse | None = None, *, works: int = 0) -> None:
        """Answer some requests first."""
        self.time = FakeTime()
        self.works = works
        self.first = first
        self.client = ClovaOCRClient(
            domain(),
            transport=FakeTransport(then=self._meet),
            runtime=self.time.runtime(),
            retry=retry,
            concurrency=5,
        )

    async def _meet(self, sent: Sent) -> HTTPResponse:
        if self.works:
            self.works -= 1
            return self.first or success(sent.request)
        raise ConnectionFailedError("no connection to nowhere:443; nothing was sent")

    async def batch(self, count: int = 12) -> tuple[float, list[Any]]:
        """Make the calls of a batch; return how long they took, and what each ended in."""
        began = self.time.now
        calls = [asyncio.create_task(self.client.recognize(JPEG, Receipt, lane="batch")) for _ in range(count)]
        await asyncio.wait(calls)
        return self.time.now - began, [call.exception() or call.result() for call in calls]


async def test_a_batch_that_reaches_nobody_ends_quickly() -> None:
    """If no connection was ever made, the calls of a batch end after connect_patience, unbilled, and stop the run."""
    took, ended = await Unreachable(IMPATIENT).batch()
    assert 5 <= took < 20
    assert len(ended) == 12
    for failure in ended:
        assert isinstance(failure, ConnectionFailedError)
        assert failure.stops_run
        assert "no connection to nowhere:443" in str(failure)


@pytest.mark.parametrize(
    "first", [None, error("0500", 500), error("0011"), HTTPResponse(503, b"")], ids=["success", "0500", "0011", "503"]
)
async def test_a_service_that_has_answered_is_waited_for(first: HTTPResponse | None) -> None:
    """After any answer, be it an error, the patience for outages applies."""
    took, ended = await Unreachable(IMPATIENT, first, works=1).batch()
    assert 600 <= took < 660
    assert sum(isinstance(failure, ConnectionFailedError) for failure in ended) >= 11


async def test_a_library_waits_as_long_as_for_an_outage() -> None:
    """Without connect_patience nothing is different for a service that was never reached."""
    took, _ = await Unreachable(RetryPolicy()).batch()
    assert 600 <= took < 660


async def test_another_domain_takes_over_from_one_that_is_never_reached() -> None:
    """A domain behind a mistyped host does not end a batch that another one serves."""

    async def answer(sent: Sent) -> HTTPResponse:
        if "host1." in sent.request.url:
            raise ConnectionFailedError("no connection to wrong")
        return success(sent.request)

    time = FakeTime()
    client = ClovaOCRClient(
        domain(url=url_of(1)),
        domain(url=url_of(2)),
        transport=FakeTransport(then=answer),
        runtime=time.runtime(),
        retry=IMPATIENT,
        concurrency=2,
    )
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch")) for _ in range(12)]
    await asyncio.wait(calls)
    assert [call.exception() for call in calls] == [None] * 12


async def test_a_first_answer_that_is_an_error_is_retried_as_ever() -> None:
    """Only what fails to connect is put on hold at once."""
    unreachable = Unreachable(RetryPolicy(connect_patience=0, outage_patience=0), HTTPResponse(503, b""), works=99)
    _, ended = await unreachable.batch(1)
    assert isinstance(ended[0], ServerError)
    assert ended[0].attempts == 3


@pytest.mark.parametrize("wrong", [-1, "5", True, float("nan")])
def test_a_patience_is_seconds(wrong: Any) -> None:
    """A value that is not a duration is refused by name."""
    with pytest.raises(ConfigurationError, match=r"RetryPolicy.connect_patience is .*; it must be seconds"):
        RetryPolicy(connect_patience=wrong)
