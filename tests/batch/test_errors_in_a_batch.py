from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.batches import Source, both, dispatcher, either, pictures, tasks
from support.fakes import (
    FAILED,
    JPEG,
    SPENT,
    FakeTransport,
    Sent,
    domain,
    error,
)

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    AuthenticationError,
    InvalidRequestError,
    QuotaExceededError,
)
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from clova_ocr_async.protocol.response import HTTPResponse


STOPPING: list[tuple[HTTPResponse, type[Exception]]] = [
    (error("0002", 401), AuthenticationError),
    (SPENT, QuotaExceededError),
]


@either
@pytest.mark.parametrize(("answer", "kind_of_error"), STOPPING, ids=["secret", "quota"])
async def test_an_error_of_every_image_stops_the_pulling(
    kind: str, answer: HTTPResponse, kind_of_error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """An error that all others would meet ends the pulling: images already pulled come out; .stopped is that one."""
    source = Source()
    async with dispatcher(FakeTransport(None, None, then=answer)).dispatch(both(source, kind), Receipt) as outcomes:
        found = [outcome async for outcome in outcomes]
    assert isinstance(outcomes.stopped, kind_of_error)
    # An asynchronous source may have had one on its way when the pulling ended.
    assert len(found) <= source.pulled <= len(found) + (kind == "async") < 20
    assert sum(isinstance(outcome, Success) for outcome in found) == 2
    assert sum("stops pulling" in record.message for record in caplog.records) == 1
    assert (source.closed, tasks()) == (True, 1)


async def test_stopping_does_not_wait_for_an_idle_source() -> None:
    """A stopped batch ends even if its source never yields again."""

    async def idle() -> AsyncGenerator[Image]:
        yield Image(JPEG)
        await asyncio.Event().wait()

    async with dispatcher(FakeTransport(error("0002", 401))).dispatch(idle(), Receipt) as outcomes:
        assert len([outcome async for outcome in outcomes]) == 1
    assert isinstance(outcomes.stopped, AuthenticationError)
    assert tasks() == 1


async def test_an_error_of_one_image_stops_nothing() -> None:
    """An error of one image is its outcome, and the batch goes on."""
    async with dispatcher(FakeTransport(error("0011"), FAILED)).dispatch(
        pictures(9), Receipt, ordered=True
    ) as outcomes:
        found = [outcome async for outcome in outcomes]
    assert [isinstance(outcome, Success) for outcome in found] == [False] + [True] * 8
    assert isinstance(found[0], Failure)
    assert isinstance(found[0].error, InvalidRequestError)
    assert outcomes.stopped is None


async def test_the_quota_comes_back_in_a_batch() -> None:
    """A quota that is spent and returns fails no image."""
    transport = FakeTransport(None, SPENT, SPENT, SPENT)
    async with dispatcher(transport).dispatch(pictures(20), Receipt) as outcomes:
        found = [outcome async for outcome in outcomes]
    assert all(isinstance(outcome, Success) for outcome in found)
    assert len(found) == 20


async def test_a_defect_is_raised_unchanged() -> None:
    """An exception that is not a ClovaOCRError ends the batch, and is raised unchanged."""

    async def broken(_: Sent) -> HTTPResponse:
        raise ZeroDivisionError("a defect")

    async with dispatcher(FakeTransport(then=broken)).dispatch(pictures(9), Receipt) as outcomes:
        with pytest.raises(ZeroDivisionError, match="a defect"):
            await anext(outcomes)
    assert tasks() == 1


class _Cancelled(Source):
    """A source that raises a cancellation of its own, as the result of a cancelled task does."""

    def __iter__(self) -> Generator[Image]:
        yield from super().__iter__()
        raise asyncio.CancelledError


@either
@pytest.mark.parametrize("count", [0, 1, 9])
async def test_a_source_cancelled_from_within(kind: str, count: int) -> None:
    """A source that is cancelled by its own doing ends the batch with an error, not silently."""
    found = []
    async with asyncio.timeout(30), dispatcher().dispatch(both(_Cancelled(count), kind), Receipt) as outcomes:
        with pytest.raises(RuntimeError, match="cancelled from within"):  # noqa: PT012 - what comes before the error counts
            async for outcome in outcomes:
                found.append(outcome)  # noqa: PERF401 - what came before the error
    assert len(found) == count
    assert tasks() == 1


class _MoreThanAnError(BaseException):
    """An exception like the one by which pytest.fail ends a test."""


@pytest.mark.parametrize("count", [0, 3])
async def test_more_than_an_error_of_an_async_source(count: int) -> None:
    """A BaseException of an async source is raised when the images before it have come out; the batch does not hang."""

    async def broken() -> AsyncGenerator[Image]:
        for image in pictures(count):
            yield image
        raise _MoreThanAnError

    found = []
    with pytest.raises(_MoreThanAnError):
        async with asyncio.timeout(30) as limit, dispatcher().dispatch(broken(), Receipt) as outcomes:
            found = [outcome async for outcome in outcomes]
    assert (len(found), limit.expired(), tasks()) == (count, False, 1)


class _CancelledSlots(LocalSlots):
    """Slots that raise a cancellation of their own, as those that wait for a cancelled task do."""

    def slot(self, *_: object) -> Any:
        raise asyncio.CancelledError


@pytest.mark.parametrize("recorded", [False, True])
async def test_slots_cancelled_from_within(recorded: bool, tmp_path: Path) -> None:
    """Slots that are cancelled by their own doing end the batch with an error: no image is lost silently."""
    client = ClovaOCRClient(domain(), transport=FakeTransport(), slots=_CancelledSlots(4))
    batch = BatchDispatcher(client, ledger=tmp_path / "run" if recorded else None).dispatch(pictures(9), Receipt)
    async with asyncio.timeout(30), client, batch as outcomes:
        with pytest.raises(RuntimeError, match="cancelled from within"):
            await anext(outcomes)


@either
async def test_the_source_fails_midway(kind: str) -> None:
    """An exception of the source is raised unchanged, after all images that were pulled before have come out."""
    source = Source(10, ZeroDivisionError("midway"))
    found = []
    async with dispatcher().dispatch(both(source, kind), Receipt) as outcomes:
        with pytest.raises(ZeroDivisionError, match="midway"):  # noqa: PT012 - what comes before the error counts
            async for outcome in outcomes:
                found.append(outcome)  # noqa: PERF401 - what came before the error
        with pytest.raises(ZeroDivisionError):
            await anext(outcomes)
    assert len(found) == 10
    assert (source.closed, tasks()) == (True, 1)


async def test_a_wrong_item_of_an_idle_source() -> None:
    """A wrong item ends the batch even if its source never yields again."""

    async def idle() -> AsyncGenerator[Any]:
        yield JPEG
        await asyncio.Event().wait()

    async with dispatcher().dispatch(idle()) as outcomes:
        with pytest.raises(TypeError, match="yielded a bytes"):
            await anext(outcomes)
    assert tasks() == 1


async def test_an_exception_that_ends_the_workers_is_raised() -> None:
    """An exception that is not an Exception ends the workers, and is raised when the batch is left, not swallowed."""

    class Fatal(BaseException):
        pass

    async def broken(_: Sent) -> HTTPResponse:
        raise Fatal

    with pytest.raises(BaseExceptionGroup) as caught:
        async with dispatcher(FakeTransport(then=broken)).dispatch(pictures(9), Receipt) as outcomes:
            assert [outcome async for outcome in outcomes] == []
    assert caught.value.subgroup(Fatal) is not None
    assert tasks() == 1
