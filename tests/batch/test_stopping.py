from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from anyio.to_thread import current_default_thread_limiter
from support.fakes import BUSY, JPEG, SPENT, FakeTime, FakeTransport, Held, domain, error, parsed

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import IdCard, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    DomainError,
    NotSentError,
    QuotaExceededError,
)
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from support.fakes import Sent

GENERAL = HTTPResponse(200, encode_response("", 0, {"inferResult": "SUCCESS", "fields": []}))


def client_of(transport: FakeTransport, *domains: Domain, **settings: Any) -> ClovaOCRClient:
    """Return a client over a fake transport."""
    settings = {"concurrency": 2} | settings
    return ClovaOCRClient(*(domains or (domain(),)), transport=transport, runtime=FakeTime().runtime(), **settings)


async def failures_of(client: ClovaOCRClient, count: int = 100) -> tuple[list[ClovaOCRError], ClovaOCRError | None]:
    """Run a batch that only fails; return its errors and the one that stopped it."""
    async with BatchDispatcher(client).dispatch((Image(JPEG) for _ in range(count)), Receipt) as outcomes:
        found = [outcome async for outcome in outcomes]
    errors = [outcome.error for outcome in found if isinstance(outcome, Failure)]
    assert len(errors) == len(found)
    return errors, outcomes.stopped


@pytest.mark.parametrize("refusals", [0, 30])
async def test_images_that_wait_when_a_batch_is_stopped_are_not_paid_for(refusals: int) -> None:
    """A wrong domain, found out by a paid answer, is paid for once a slot, also by images that were refused before."""
    transport = FakeTransport(*[BUSY] * refusals, then=GENERAL)
    errors, stopped = await failures_of(client_of(transport))
    assert isinstance(stopped, DomainError)
    paid = [failure for failure in errors if failure.billing is Billing.BILLED]
    assert all(failure.raw == GENERAL.body for failure in paid)
    assert all(isinstance(failure, NotSentError) for failure in errors if failure not in paid)
    assert 0 < len(paid) == len(transport.sent) - refusals <= 2


async def test_a_quota_that_stays_spent_ends_the_batch() -> None:
    """Images still being read when the quota stops the batch come out unsent; the service is not asked again."""
    slow = asyncio.Event()

    async def images() -> AsyncGenerator[Image]:
        yield Image(JPEG)
        await slow.wait()
        yield Image(JPEG)

    transport = FakeTransport(then=SPENT)
    client = client_of(transport, retry=RetryPolicy(quota_probes=0))
    async with BatchDispatcher(client).dispatch(images(), Receipt) as outcomes:
        first = await anext(outcomes)
        slow.set()
        rest = [outcome async for outcome in outcomes]
    assert isinstance(first, Failure)
    assert isinstance(first.error, QuotaExceededError)
    assert all(isinstance(outcome, Failure) and isinstance(outcome.error, NotSentError) for outcome in rest)
    assert len(transport.sent) == 1


async def test_only_images_that_were_sent_carry_the_answer() -> None:
    """Of the images that wait for a spent quota, those never sent are NotSentError, with that error as reason."""
    errors, stopped = await failures_of(client_of(FakeTransport(then=SPENT)))
    assert isinstance(stopped, QuotaExceededError)
    asked = [failure for failure in errors if failure.attempts]
    assert all(isinstance(failure, QuotaExceededError) for failure in asked)
    unsent = [failure for failure in errors if not failure.attempts]
    assert unsent
    assert all(isinstance(failure, NotSentError) and failure.reason is stopped for failure in unsent)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_defect_of_the_callers_own_costs_no_other_image(ordered: bool) -> None:
    """An exception of an image's own code is raised unchanged, after all outcomes that were paid for."""

    class Odd:
        def __fspath__(self) -> str:
            raise ZeroDivisionError("in the caller's own code")

    images: list[Any] = [Image(JPEG, f"{number}") for number in range(10)]
    images.insert(3, Odd())
    found: list[Any] = []

    async def run() -> None:
        batch = BatchDispatcher(client_of(FakeTransport())).dispatch(images, Receipt, ordered=ordered)
        async with batch as outcomes:
            async for outcome in outcomes:
                found.append(outcome.source)  # noqa: PERF401 - what came out before the error counts

    with pytest.raises(ZeroDivisionError, match="the caller's own code"):
        await run()
    assert len(found) >= 3
    assert not ordered or found == [image for image in images if image in found]


async def test_a_pair_without_a_domain_costs_only_itself() -> None:
    """In a mixed batch an image whose document no domain reads fails, and the others are read."""
    client = client_of(FakeTransport(), Domain("https://gateway.example/custom/v1/1/key/document/receipt", "secret"))
    pairs: list[tuple[Image, type[Any]]] = [(Image(JPEG), kind) for kind in (Receipt, IdCard, Receipt)]
    async with BatchDispatcher(client).dispatch(pairs, ordered=True) as outcomes:
        first, second, third = [outcome async for outcome in outcomes]
    assert isinstance(first, Success)
    assert isinstance(second, Failure)
    assert isinstance(second.error, ConfigurationError)
    assert isinstance(third, Success)
    assert outcomes.stopped is None


def test_a_batch_that_no_domain_reads_is_refused_at_once() -> None:
    """A class that no domain of the client reads is refused before an image is touched."""
    client = client_of(FakeTransport(), Domain("https://gateway.example/custom/v1/1/key/document/receipt", "secret"))
    with pytest.raises(ConfigurationError, match="no domain of this client reads IdCard"):
        BatchDispatcher(client).dispatch(iter(()), IdCard)


def test_a_dispatcher_needs_a_client() -> None:
    """Something else in the client's place is named by its kind."""
    with pytest.raises(ConfigurationError, match="client is a str"):
        BatchDispatcher("client")  # type: ignore[arg-type]


async def test_leaving_early_logs_what_was_not_taken(caplog: pytest.LogCaptureFixture) -> None:
    """Finished outcomes that were not taken, and calls cut off, are counted in the log of outcomes."""
    async with BatchDispatcher(client_of(FakeTransport()), ahead=40).dispatch(
        (Image(JPEG) for _ in range(100)), Receipt
    ) as outcomes:
        await anext(outcomes)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("clova_ocr_async.batch.outcome", "WARNING")
    assert "the batch was left early" in record.getMessage()


async def test_a_batch_read_to_its_end_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A batch that is read to its end has nothing to warn of."""
    async with BatchDispatcher(client_of(FakeTransport(error("0011")))).dispatch(
        (Image(JPEG) for _ in range(9)), Receipt
    ) as outcomes:
        assert len([outcome async for outcome in outcomes]) == 9
    assert caplog.records == []


async def test_a_batch_can_be_stopped_from_outside() -> None:
    """After stop no request is sent, calls in flight come out, and the other images name the first reason."""
    first, second = ConfigurationError("enough"), ConfigurationError("more than enough")
    held = Held()
    transport = FakeTransport(None, held)
    async with BatchDispatcher(client_of(transport, concurrency=1), 4).dispatch(
        (Image(JPEG) for _ in range(100)), Receipt
    ) as outcomes:
        assert isinstance(await anext(outcomes), Success)
        await held.reached.wait()
        outcomes.stop(first)
        outcomes.stop(second)
        held.go_on.set()
        rest = [outcome async for outcome in outcomes]
    assert outcomes.stopped is first
    assert sum(isinstance(outcome, Success) for outcome in rest) == 1
    unsent = [outcome.error for outcome in rest if isinstance(outcome, Failure)]
    assert unsent
    assert all(isinstance(failure, NotSentError) and failure.reason is first for failure in unsent)
    assert len(transport.sent) == 2


async def test_a_paid_answer_that_is_still_decoded_comes_out_of_a_stopped_batch() -> None:
    """A stopped batch waits for an answer that has arrived, however long its decoding takes."""
    loop, limiter, holder = asyncio.get_running_loop(), current_default_thread_limiter(), object()

    async def large(sent: Sent) -> HTTPResponse:
        await limiter.acquire_on_behalf_of(holder)  # so that the decoding waits for a thread
        image: dict[str, Any] = {"receipt": {"result": {}}, "inferResult": "SUCCESS", "more": "y" * 2 * 1024 * 1024}
        return HTTPResponse(200, encode_response(parsed(sent.request).request_id, 0, image))

    async with BatchDispatcher(client_of(FakeTransport(large))).dispatch([Image(JPEG)], Receipt) as outcomes:
        limiter.total_tokens = 1
        while not limiter.statistics().tasks_waiting:  # noqa: ASYNC110 - a limiter has no event for it
            await asyncio.sleep(0)
        outcomes.stop(ConfigurationError("enough"))
        # Longer than a call that has landed may take to send another request.
        loop.call_later(1.2, limiter.release_on_behalf_of, holder)
        (found,) = [outcome async for outcome in outcomes]
    assert isinstance(found, Success)
    assert found.recognition.attempts == 1
