from __future__ import annotations

import asyncio
import contextvars
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.batches import Countdown, Source, both, dispatcher, either, names, pictures, tasks
from support.fakes import (
    FAILED,
    JPEG,
    KEY,
    SECRET,
    FakeTime,
    FakeTransport,
    Held,
    Sent,
    domain,
    error,
    steps,
    success,
)

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Document, Passport, Receipt
from clova_ocr_async.errors import (
    ConfigurationError,
    ImageError,
)
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clova_ocr_async.protocol.response import HTTPResponse


async def backwards(sent: Sent) -> HTTPResponse:
    """Answer later pictures sooner."""
    for _ in range(30 - int(sent.parsed.name)):
        await asyncio.sleep(0)
    return success(sent.request)


@pytest.mark.parametrize("ordered", [False, True])
async def test_every_image_comes_out_once(ordered: bool) -> None:
    """Each image pulled comes out once; with ordered=True in the order of the images, else as they finish."""
    async with dispatcher(FakeTransport(then=backwards)).dispatch(pictures(30), Receipt, ordered=ordered) as outcomes:
        found = [outcome async for outcome in outcomes]
    in_order = [str(number) for number in range(30)]
    assert (names(found) == in_order) is ordered
    assert sorted(names(found), key=int) == in_order
    assert all(isinstance(outcome, Success) for outcome in found)
    assert (outcomes.stopped, tasks()) == (None, 1)


async def apictures(count: int) -> AsyncGenerator[Image]:
    """Yield pictures asynchronously."""
    for image in pictures(count):
        await asyncio.sleep(0)
        yield image


@pytest.mark.parametrize(
    "images", [apictures, pictures, Countdown, lambda n: list(pictures(n)), lambda n: set(pictures(n))]
)
@pytest.mark.parametrize("count", [0, 1, 4, 5, 50])
@pytest.mark.parametrize("ordered", [False, True])
async def test_any_iterable(images: Any, count: int, ordered: bool) -> None:
    """Iterables and asynchronous iterables of any length come out whole."""
    async with dispatcher().dispatch(images(count), Receipt, ordered=ordered) as outcomes:
        found = [outcome async for outcome in outcomes]
        assert [outcome async for outcome in outcomes] == []
    assert sorted(names(found), key=int) == [str(number) for number in range(count)]


async def test_pairs() -> None:
    """Without a class each item is a pair of image and class."""
    client = ClovaOCRClient(domain(), transport=FakeTransport(), runtime=FakeTime().runtime())
    pairs: list[tuple[Any, type[Document]]] = [(JPEG, Receipt), (Image(JPEG, "x"), Receipt), (b"no picture", Passport)]
    async with BatchDispatcher(client).dispatch(pairs, ordered=True) as outcomes:
        found = [outcome async for outcome in outcomes]
    assert [outcome.source for outcome in found] == [pair[0] for pair in pairs]
    match found:
        case [Success(_, one, True), Success(), Failure(b"no picture", ImageError())]:
            assert isinstance(one.document, Receipt)
        case _:
            pytest.fail(str(found))


@pytest.mark.parametrize("item", [JPEG, "a.jpg", (JPEG,), (JPEG, Receipt, 1), (JPEG, "receipt"), None])
async def test_items_that_are_not_pairs(item: Any) -> None:
    """An item that is not a pair is a TypeError that names its type, raised when all images before it have come out."""
    held = Held()
    found: list[Any] = []
    transport = FakeTransport(held, then=None)
    async with dispatcher(transport).dispatch([(JPEG, Receipt)] * 3 + [item, (JPEG, Receipt)]) as outcomes:
        await held.reached.wait()
        await steps()
        held.go_on.set()
        with pytest.raises(TypeError, match=f"yielded a {type(item).__name__}"):
            found.extend([outcome async for outcome in outcomes])
    assert len(transport.sent) == 3


@pytest.mark.parametrize(
    "images", ["folder", Path(), JPEG, bytearray(JPEG), memoryview(JPEG), Image(JPEG), io.BytesIO(JPEG)]
)
def test_one_image_instead_of_many(images: Any) -> None:
    """A path, a file or an image in place of the iterable is a TypeError that names images_in."""
    with pytest.raises(TypeError, match=r"images_in\(folder, recursive=True\)"):
        dispatcher().dispatch(images, Receipt)


@pytest.mark.parametrize("images", [None, 7, object()])
def test_objects_that_cannot_be_iterated(images: Any) -> None:
    """An object that cannot be iterated is a TypeError that names its type."""
    with pytest.raises(TypeError, match=f"images is a {type(images).__name__}"):
        dispatcher().dispatch(images, Receipt)


@pytest.mark.parametrize(
    "settings", [{"concurrency": 0}, {"concurrency": True}, {"ahead": 0}, {"ahead": 1.5}, {"ledger": 5}]
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    """A setting that cannot work is refused by name."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        dispatcher(**settings)


@either
async def test_nothing_before_entering(kind: str) -> None:
    """A batch pulls nothing before it is entered, and one that is never entered nothing at all."""
    source = Source(3)
    batch = dispatcher().dispatch(both(source, kind), Receipt)
    await steps(40)
    assert source.pulled == 0
    async with batch as outcomes:
        assert len([outcome async for outcome in outcomes]) == 3


async def test_asked_before_entering() -> None:
    """The error of iterating a batch that is not open names the way to open it, and leaving it does nothing."""
    batch = dispatcher().dispatch([], Receipt)
    with pytest.raises(RuntimeError, match="async with"):
        await anext(batch)
    await batch.__aexit__(None, None, None)


async def test_opened_twice() -> None:
    """A batch is opened only once."""
    async with dispatcher().dispatch([], Receipt) as batch:
        with pytest.raises(RuntimeError, match="once"):
            await batch.__aenter__()
    with pytest.raises(RuntimeError, match="once"):
        await batch.__aenter__()


async def test_several_readers() -> None:
    """Several tasks may iterate one batch; each outcome goes to one of them, and all of them end."""

    async def read() -> list[str]:
        return names([outcome async for outcome in outcomes])

    async with dispatcher().dispatch(pictures(40), Receipt) as outcomes:
        readers = [asyncio.create_task(read()) for _ in range(3)]
        found = [name for reader in readers for name in await reader]
    assert sorted(found, key=int) == [str(number) for number in range(40)]


async def test_nothing_secret_in_a_batch(caplog: pytest.LogCaptureFixture) -> None:
    """Outcomes, their reprs and the log show no secret, no key, no image and no value read."""
    caplog.set_level(logging.DEBUG)
    transport = FakeTransport(None, error("0011"), error("0002", 401))
    async with dispatcher(transport, 1).dispatch(["/missing/x.jpg", *[JPEG] * 9], Receipt) as outcomes:
        found = [outcome async for outcome in outcomes]
    shown = f"{found} {outcomes.stopped!r} {caplog.text} {[vars(o.error) for o in found if isinstance(o, Failure)]}"
    assert f"Success(source=<{len(JPEG)} bytes>, recognition=Recognition(document=Receipt(" in shown
    assert "Failure(source='/missing/x.jpg', error=ImageError(" in shown
    for canary in (SECRET, KEY, "canarySHOP", "a picture"):
        assert canary not in shown


async def test_a_policy_of_the_clients_holds_in_a_batch() -> None:
    """The client's own policy decides about retries of a batch's calls."""
    transport = FakeTransport(then=FAILED)
    client = ClovaOCRClient(
        domain(), transport=transport, runtime=FakeTime().runtime(), retry=RetryPolicy(server_errors="park")
    )
    async with BatchDispatcher(client).dispatch([JPEG], Receipt) as outcomes:
        assert isinstance(await anext(outcomes), Failure)
    assert len(transport.sent) == 1


async def test_all_calls_run_in_the_context_in_which_the_batch_was_opened() -> None:
    """Context variables of a batch's calls are those of the code that opened it, not those of its consumer."""
    place = contextvars.ContextVar("place", default="nowhere")
    seen: list[str] = []

    async def note(sent: Sent) -> HTTPResponse:
        seen.append(place.get())
        return success(sent.request)

    place.set("opened")
    async with dispatcher(FakeTransport(then=note), ahead=1).dispatch(pictures(30), Receipt) as outcomes:
        place.set("consumed")  # further workers start when an outcome is taken
        assert len([outcome async for outcome in outcomes]) == 30
    assert set(seen) == {"opened"}
