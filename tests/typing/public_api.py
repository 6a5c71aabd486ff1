"""The public API as users' type checkers see it. Never run: mypy and pyright check it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never, assert_type

from ray.data import Dataset

from clova_ocr_async import (
    BatchDispatcher,
    ClovaOCRClient,
    ClovaOCRError,
    Document,
    Domain,
    Event,
    Failure,
    IdCard,
    Outcome,
    Receipt,
    Recognition,
    RecognitionError,
    RetryPolicy,
    Success,
    images_in,
)
from clova_ocr_async.blocking import BlockingClient
from clova_ocr_async.integrations import ray
from clova_ocr_async.integrations.taskiq import recognize_task
from clova_ocr_async.results import OutcomeRow, outcome_row

if TYPE_CHECKING:
    from taskiq import AsyncBroker


def hook(event: Event) -> None:
    """See what happens."""


async def one_call(client: ClovaOCRClient) -> None:
    """A call gives the document it was asked for."""
    recognition = await client.recognize("receipt.jpg", Receipt)
    assert_type(recognition, Recognition[Receipt])
    result = recognition.document.result
    assert_type(result.store_info.name.value, str | None)
    assert_type(result.payment_info.date.date, dt.date | None)
    assert_type(result.total_price.price.decimal, Decimal | None)
    card = (await client.recognize(Path("card.png"), IdCard)).document
    assert_type(card.result.ic.name[0].value, str | None)
    await client.recognize(b"", Receipt)
    with Path("receipt.jpg").open("rb") as file:  # noqa: ASYNC230 - never run
        await client.recognize(file, Receipt)


async def many_calls(client: ClovaOCRClient) -> None:
    """A batch gives outcomes of its document, and a match over them can be exhaustive."""
    dispatcher = BatchDispatcher(client, concurrency=8)
    async with dispatcher.dispatch(images_in("scans/"), Receipt, ordered=True) as outcomes:
        async for outcome in outcomes:
            assert_type(outcome, Outcome[Receipt])
            match outcome:
                case Success(_, recognition):
                    assert_type(recognition, Recognition[Receipt])
                case Failure(_, error):
                    assert_type(error, ClovaOCRError)
                case _:
                    assert_never(outcome)
    async with dispatcher.dispatch([("a.jpg", Receipt), ("b.jpg", IdCard)]) as mixed:
        async for outcome_of_any in mixed:
            assert_type(outcome_of_any, Outcome[Document])


def settings() -> None:
    """Settings are checked by the checker before they are by the client."""
    ClovaOCRClient(Domain("https://a/b", "secret"), hooks=[hook], retry=RetryPolicy(ambiguous="retry"), content="json")


def settings_of_the_environment() -> None:
    """A misspelt setting or name is found by the checker."""
    ClovaOCRClient.from_env(concurrency=3)
    ClovaOCRClient.from_env(concurency=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def errors(error: RecognitionError) -> None:
    """An error of a reading has the answer with it."""
    if error.recognition is not None:
        assert_type(error.recognition.message, str | None)


def blocking() -> None:
    """The client without asyncio has the signatures of the other one, and returns the results themselves."""
    with BlockingClient(Domain("https://a/b", "secret"), deadline=5.0) as client:
        recognition = client.recognize("receipt.jpg", Receipt, deadline=5, context="mine")
        assert_type(recognition, Recognition[Receipt])
        assert_type(client.recognize(b"", document=IdCard), Recognition[IdCard])
        client.recognize("receipt.jpg")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        client.recognize("receipt.jpg", Receipt, dead=5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        with client.batch(images_in("scans/"), Receipt, ledger="run/") as outcomes:
            for outcome in outcomes:
                assert_type(outcome, Outcome[Receipt])
        with client.batch([("a.jpg", Receipt), ("b.jpg", IdCard)]) as mixed:
            assert_type(next(mixed), Outcome[Document])
    BlockingClient.from_env(concurrency=3)
    BlockingClient.from_env(concurency=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def engines(broker: AsyncBroker, dataset: Dataset, outcome: Outcome[Receipt]) -> None:
    """A task takes a path and a document and gives a row, and a dataset gives a dataset."""
    task = recognize_task(broker, make_client=ClovaOCRClient.from_env, ledger="run/")
    sent = await task.kiq("receipt.jpg", "receipt")
    assert_type((await sent.wait_result()).return_value, dict[str, Any])
    assert_type(ray.recognize(dataset, Receipt, make_client=ClovaOCRClient.from_env, ledger="run/"), Dataset)
    assert_type(outcome_row(outcome), OutcomeRow)
