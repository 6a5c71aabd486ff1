from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import BUSY, FAILED, SPENT, FakeTime, FakeTransport, domain, error
from support.ledger_batches import batch, errors_of, picture
from support.ledgers import FAILURE, answers, calls, maybe_billed, opened, states

from clova_ocr_async.batch import BatchDispatcher, Success
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    APIError,
    Billing,
    ClovaOCRError,
    ConnectionFailedError,
    ConnectionLostError,
    ImageError,
    InvalidRequestError,
    MalformedResponseError,
    NotSentError,
    QuotaExceededError,
    RecognitionError,
    SpendingCeilingError,
)
from clova_ocr_async.ledger.settlement import decode_failure, encode_failure, replay
from clova_ocr_async.ledger.states import Entry, Item, State
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from pathlib import Path


GENERAL = HTTPResponse(200, encode_response("", 0, {"inferResult": "SUCCESS", "fields": []}))


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (FAILURE, RecognitionError),
        (HTTPResponse(200, b'{"images": [{"inferResult"', cut="the connection was lost"), MalformedResponseError),
        (HTTPResponse(200, b"<html>"), MalformedResponseError),
    ],
)
async def test_a_paid_answer_without_a_document_is_kept_and_replayed(
    run: Path, response: HTTPResponse, kind: type[ClovaOCRError]
) -> None:
    """A paid answer without a document is kept byte for byte, and is the same error in the next run, without a call."""
    transport = FakeTransport(response)
    for _ in range(2):
        (failure,) = errors_of((await batch(run, [Image(picture("a"))], transport))[0])
        assert type(failure) is kind
        assert failure.billing is Billing.BILLED
        assert failure.attempts == 1
        assert failure.request_id == "id-1"
    assert len(transport.sent) == 1
    assert answers(run) == [response.body]
    assert (states(run), calls(run), maybe_billed(run)) == (["failed"], 1, 0)
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.NOT_BILLED) == 0
        assert await ledger.requeue(Billing.BILLED) == 1
    found, _ = await batch(run, [Image(picture("a"))], transport)
    assert isinstance(found[0], Success)
    assert len(answers(run)) == 2


async def test_a_refused_request_is_not_billed_and_may_be_requeued(run: Path) -> None:
    """A refused request fails its image, not billed; the same error is replayed, and --retry-failed sends it again."""
    transport = FakeTransport(error("0011"))
    for _ in range(2):
        (failure,) = errors_of((await batch(run, [Image(picture("a"))], transport))[0])
        assert type(failure) is InvalidRequestError
        assert (failure.code, failure.billing) == ("0011", Billing.NOT_BILLED)
    assert (states(run), calls(run)) == (["failed"], 0)
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.NOT_BILLED) == 1
    found, _ = await batch(run, [Image(picture("a"))], transport)
    assert found[0].billed
    assert found[0].recognition.attempts == 1


async def test_refusals_take_an_image_back_to_claimed(run: Path) -> None:
    """While a call waits after 0025 or 0023 its item is not marked as sent: a kill then leaves nothing ambiguous."""
    seen: list[list[str]] = []
    time = FakeTime()

    async def sleep(seconds: float) -> None:
        seen.append(states(run))
        await time.sleep(seconds)

    runtime = time.runtime()
    client = ClovaOCRClient(
        domain(), transport=FakeTransport(BUSY, SPENT), runtime=type(runtime)(**{**vars_of(runtime), "sleep": sleep})
    )
    async with BatchDispatcher(client, ledger=run).dispatch([Image(picture("a"))], Receipt) as outcomes:
        (found,) = [outcome async for outcome in outcomes]
    assert isinstance(found, Success)
    assert len(seen) >= 2
    assert all(state == ["claimed"] for state in seen)
    assert calls(run) == 1


def vars_of(runtime: Any) -> dict[str, Any]:
    """Return a runtime's parts."""
    return {name: getattr(runtime, name) for name in ("clock", "now", "sleep", "uniform", "new_id")}


async def test_a_retry_that_may_be_paid_twice_is_counted(run: Path) -> None:
    """A server's error that is retried counts as maybe billed beside the answer of the last request."""
    found, _ = await batch(run, [Image(picture("a"))], FakeTransport(FAILED, HTTPResponse(503, b"")))
    assert isinstance(found[0], Success)
    assert found[0].recognition.maybe_billed == 2
    assert (states(run), calls(run), maybe_billed(run)) == (["succeeded"], 3, 2)
    again, _ = await batch(run, [Image(picture("a"))], FakeTransport())
    assert (again[0].recognition.maybe_billed, again[0].recognition.attempts) == (2, 3)


async def test_an_ambiguous_item_is_sent_only_when_requeued(run: Path) -> None:
    """An item without an answer is ambiguous, is not sent by a rerun, and is sent when it is requeued."""
    transport = FakeTransport(ConnectionLostError)
    for _ in range(2):
        (failure,) = errors_of((await batch(run, [Image(picture("a"))], transport))[0])
        assert type(failure) is ConnectionLostError
        assert (failure.billing, failure.maybe_billed) == (Billing.MAYBE_BILLED, 1)
    assert len(transport.sent) == 1
    assert (states(run), calls(run), maybe_billed(run)) == (["ambiguous"], 1, 1)
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.MAYBE_BILLED) == 1
    found, _ = await batch(run, [Image(picture("a"))], transport)
    assert found[0].billed
    assert (states(run), calls(run), maybe_billed(run)) == (["succeeded"], 2, 1)


async def test_a_connection_that_fails_leaves_nothing_ambiguous(run: Path) -> None:
    """A request that never left is retried, and is neither counted nor ambiguous."""
    found, _ = await batch(run, [Image(picture("a"))], FakeTransport(ConnectionFailedError))
    assert isinstance(found[0], Success)
    assert (states(run), calls(run), maybe_billed(run)) == (["succeeded"], 1, 0)


async def test_a_refusal_after_a_maybe_billed_request_is_ambiguous(run: Path) -> None:
    """A call with a request that may have been billed is ambiguous, also if a later request is refused."""
    transport = FakeTransport(FAILED, BUSY, error("0011"))
    (failure,) = errors_of((await batch(run, [Image(picture("a"))], transport))[0])
    assert failure.billing is Billing.MAYBE_BILLED
    assert (states(run), calls(run), maybe_billed(run)) == (["ambiguous"], 1, 1)


@pytest.mark.parametrize("ends", [error("0002", 401), GENERAL, SPENT])
async def test_an_error_that_stops_the_run_leaves_the_rest_queued(run: Path, ends: HTTPResponse) -> None:
    """An error that all images would meet fails only the images it was paid for; a later run sends the rest."""
    images = [Image(picture(f"{number}")) for number in range(20)]
    found, stopped = await batch(
        run, images, FakeTransport(then=ends), concurrency=2, retry=RetryPolicy(quota_probes=0)
    )
    assert stopped is not None
    paid = [error for error in errors_of(found) if error.billing is Billing.BILLED]
    assert calls(run) == len(paid) <= 2
    assert set(states(run)) <= ({"queued", "failed"} if paid else {"queued"})
    transport = FakeTransport()
    again, stopped = await batch(run, images, transport)
    assert stopped is None
    assert len(transport.sent) == 20 - len(paid)
    assert sum(isinstance(outcome, Success) for outcome in again) == 20 - len(paid)


async def test_without_stored_answers_a_rerun_pays_nothing(run: Path) -> None:
    """A run that keeps no answers fails with that reason when it is repeated, instead of paying again."""
    async with opened(run, store="none") as ledger:
        await batch(ledger, [Image(picture("a"))], FakeTransport())
        transport = FakeTransport()
        (failure,) = errors_of((await batch(ledger, [Image(picture("a"))], transport))[0])
    assert type(failure) is AnswerNotKeptError
    assert failure.billing is Billing.BILLED
    assert transport.sent == []


async def test_the_call_limit_holds_for_two_processes(run: Path) -> None:
    """Two processes of one run together make no more calls than its call limit, and leave the rest queued."""
    async with opened(run, max_calls=5) as one, opened(run, max_calls=5) as two:
        transports = [FakeTransport(BUSY, FAILED), FakeTransport(BUSY)]
        images = [[Image(picture(f"{side}{number}")) for number in range(10)] for side in "ab"]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(batch(ledger, some, transport))
                for ledger, some, transport in zip((one, two), images, transports, strict=True)
            ]
        assert any(isinstance(task.result()[1], SpendingCeilingError) for task in tasks)
        paid = sum(isinstance(outcome, Success) for task in tasks for outcome in task.result()[0])
    assert calls(run) == 5
    assert paid + maybe_billed(run) == 5


def test_a_queued_item_is_replayed_as_not_sent() -> None:
    """An item that is still queued is replayed as not sent, and not billed."""
    outcome = replay(Entry(1, Item(b"", "receipt"), State.QUEUED, billing=Billing.BILLED), Receipt)
    assert isinstance(outcome, NotSentError)
    assert (str(outcome), outcome.billing) == ("not sent yet", Billing.NOT_BILLED)


@pytest.mark.parametrize(
    "failure",
    [
        ImageError("said"),
        ConnectionLostError("said"),
        MalformedResponseError("said"),
        RecognitionError("said"),
        QuotaExceededError(400, "0023", "said", "/p", "t", 5),
        APIError(418),
        NotSentError(ImageError("said")),
        ClovaOCRError(),
    ],
)
def test_an_error_is_decoded_as_it_was(failure: ClovaOCRError) -> None:
    """An error is decoded from its record as the same class, with the same message."""
    found = decode_failure(encode_failure(failure))
    assert str(found) == str(failure) or isinstance(failure, NotSentError)
    assert type(found) is (ClovaOCRError if isinstance(failure, NotSentError) else type(failure))
    assert str(found) == str(failure)
