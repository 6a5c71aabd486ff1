from __future__ import annotations

import asyncio
import gc
import io
import itertools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import (
    FAILED,
    JPEG,
    KEY,
    SECRET,
    SPENT,
    Connection,
    FakeTime,
    FakeTransport,
    Held,
    Sent,
    domain,
    error,
    http,
    raw_server,
    steps,
    success,
)

from clova_ocr_async.batch import Batch, BatchDispatcher, Failure, Success
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Document, Passport, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ImageError,
    InvalidRequestError,
    QuotaExceededError,
)
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

    from clova_ocr_async.protocol.response import HTTPResponse


def dispatcher(transport: FakeTransport | None = None, concurrency: int | None = 4, **settings: Any) -> BatchDispatcher:
    """Return a dispatcher over a fake transport."""
    client = ClovaOCRClient(
        domain(), transport=transport or FakeTransport(), runtime=FakeTime().runtime(), concurrency=4
    )
    return BatchDispatcher(client, concurrency, **settings)


def pictures(count: int | None = None) -> Iterator[Image]:
    """Yield pictures told apart by their names; without a count, for ever."""
    for number in itertools.count() if count is None else range(count):
        yield Image(JPEG, f"{number}")


def tasks() -> int:
    """Count the tasks of the loop."""
    return len(asyncio.all_tasks())


async def backwards(sent: Sent) -> HTTPResponse:
    """Answer later pictures sooner."""
    for _ in range(30 - int(sent.parsed.name)):
        await asyncio.sleep(0)
    return success(sent.request)


def names(outcomes: list[Any]) -> list[str]:
    """Return what was sent in, in the order it came out."""
    return [outcome.source.name for outcome in outcomes]


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


class Countdown:
    """An asynchronous iterator without aclose."""

    def __init__(self, count: int) -> None:
        self.left = count

    def __aiter__(self) -> Countdown:
        return self

    async def __anext__(self) -> Image:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return Image(JPEG, f"{self.left}")


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
async def test_items_that_are_no_pairs(item: Any) -> None:
    """An item that is no pair is a TypeError by its type, raised when all that was pulled before has come out."""
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


async def test_a_wrong_item_of_an_idle_source() -> None:
    """A wrong item ends the batch even if its source never yields again."""

    async def idle() -> AsyncGenerator[Any]:
        yield JPEG
        await asyncio.Event().wait()

    async with dispatcher().dispatch(idle()) as outcomes:
        with pytest.raises(TypeError, match="yielded a bytes"):
            await anext(outcomes)
    assert tasks() == 1


@pytest.mark.parametrize(
    "images", ["folder", Path(), JPEG, bytearray(JPEG), memoryview(JPEG), Image(JPEG), io.BytesIO(JPEG)]
)
def test_one_image_instead_of_many(images: Any) -> None:
    """A path, a file or an image in place of the iterable is a TypeError that names images_in."""
    with pytest.raises(TypeError, match=r"images_in\(folder, recursive=True\)"):
        dispatcher().dispatch(images, Receipt)


@pytest.mark.parametrize("images", [None, 7, object()])
def test_what_cannot_be_iterated(images: Any) -> None:
    """What cannot be iterated is a TypeError by its type."""
    with pytest.raises(TypeError, match=f"images is a {type(images).__name__}"):
        dispatcher().dispatch(images, Receipt)


@pytest.mark.parametrize(
    "settings", [{"concurrency": 0}, {"concurrency": True}, {"ahead": 0}, {"ahead": 1.5}, {"ledger": 5}]
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    """A setting that cannot work is refused by name."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        dispatcher(**settings)


class Source:
    """A generator of pictures that notes what is done with it."""

    def __init__(self, count: int | None = None, error: Exception | None = None) -> None:
        self.count, self.error = count, error
        self.pulled = 0
        self.closed = False

    def __iter__(self) -> Generator[Image]:
        try:
            for image in pictures(self.count):
                self.pulled += 1
                yield image
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True

    async def asynchronously(self) -> AsyncGenerator[Image]:
        """Yield the same, always in one task."""
        task = asyncio.current_task()
        images = iter(self)
        try:
            async with asyncio.timeout(1000):  # bears no other task
                for image in images:
                    assert asyncio.current_task() is task
                    await asyncio.sleep(0)
                    yield image
        finally:
            assert asyncio.current_task() is task
            await asyncio.sleep(0)
            images.close()


def both(source: Source, kind: str) -> Any:
    """Return a source as an iterable of a kind."""
    return iter(source) if kind == "sync" else source.asynchronously()


either = pytest.mark.parametrize("kind", ["sync", "async"])


@either
async def test_the_source_fails_midway(kind: str) -> None:
    """What the source raises comes out bare, after all that was pulled before."""
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


@either
async def test_the_body_fails(kind: str) -> None:
    """What the body raises comes out bare, and nothing goes on behind it."""
    source, transport = Source(), FakeTransport()
    with pytest.raises(ValueError, match="of the body") as caught:  # noqa: PT012 - what a body raises
        async with dispatcher(transport).dispatch(both(source, kind), Receipt) as outcomes:
            async for _ in outcomes:
                raise ValueError("of the body")
    assert caught.value.__cause__ is None
    assert (source.closed, tasks(), transport.in_flight) == (True, 1, 0)


@either
async def test_break(kind: str) -> None:
    """Leaving by break pulls no more, cancels what flies, closes the source and leaves no task."""
    source, transport = Source(), FakeTransport(None, None, then=Held())
    async with dispatcher(transport).dispatch(both(source, kind), Receipt) as outcomes:
        async for _ in outcomes:
            break
        await steps(40)
        assert transport.in_flight > 0
    pulled = source.pulled
    await steps(40)
    assert (source.pulled, source.closed, tasks(), transport.in_flight) == (pulled, True, 1, 0)


@either
async def test_leaving_at_once(kind: str) -> None:
    """A batch that is left before it began has pulled nothing, and can be asked without hanging."""
    source = Source()
    batch = dispatcher().dispatch(both(source, kind), Receipt)
    async with batch:
        pass
    assert [outcome async for outcome in batch] == []
    assert (source.pulled, tasks()) == (0, 1)


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
    """Iterating a batch that is not open says how to open it, and leaving one does nothing."""
    batch = dispatcher().dispatch([], Receipt)
    with pytest.raises(RuntimeError, match="async with"):
        await anext(batch)
    await batch.__aexit__(None, None, None)


async def test_opened_twice() -> None:
    """A batch is opened once."""
    async with dispatcher().dispatch([], Receipt) as batch:
        with pytest.raises(RuntimeError, match="once"):
            await batch.__aenter__()
    with pytest.raises(RuntimeError, match="once"):
        await batch.__aenter__()


@either
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_slow_consumer(kind: str, ordered: bool) -> None:
    """Nobody takes, and no more than 200 images are pulled; each one taken lets one more be pulled."""
    source = Source()
    async with dispatcher().dispatch(both(source, kind), Receipt, ordered=ordered) as outcomes:
        await steps(3000)
        assert source.pulled == 200
        for _ in range(10):
            await anext(outcomes)
        await steps(300)
        assert source.pulled == 210


async def test_ahead() -> None:
    """The setting ahead bounds what is pulled, but never below the concurrency."""
    for ahead, pulled in ((7, 7), (1, 4)):
        source = Source()
        async with dispatcher(ahead=ahead).dispatch(source, Receipt):
            await steps(300)
        assert source.pulled == pulled


async def test_the_number_of_workers() -> None:
    """No more images are in work than concurrency says; by default as many as there are slots, and four more."""
    for concurrency, pulled in ((3, 3), (None, 8), (100, 8)):
        source = Source()
        async with dispatcher(FakeTransport(then=Held()), concurrency).dispatch(source, Receipt):
            await steps(200)
        assert source.pulled == pulled


async def kept_by(count: int) -> int:
    """Return the most objects alive while so many images go through."""
    most = 0
    gc.collect()
    before = len(gc.get_objects())

    async def answer(sent: Sent) -> HTTPResponse:
        transport.sent.clear()
        return success(sent.request)

    transport = FakeTransport(then=answer)
    async with dispatcher(transport, 16).dispatch((JPEG for _ in range(count)), Receipt) as outcomes:
        taken = 0
        async for _ in outcomes:
            taken += 1
            if taken % (count // 4) == 0:
                gc.collect()
                most = max(most, len(gc.get_objects()) - before)
    assert taken == count
    return most


async def test_memory_is_bounded() -> None:
    """Twenty times as many images hold no more objects."""
    few = await kept_by(200)
    assert await kept_by(4000) < few + 1000


async def test_a_hundred_thousand_refused_images() -> None:
    """A hundred thousand images go through with no more than 200 pulled ahead."""
    source, taken, most = Source(100_000), 0, 0
    images = (b"no picture" for _ in source)
    async with dispatcher(None, 32).dispatch(images, Receipt) as outcomes:
        async for _ in outcomes:
            taken += 1
            most = max(most, source.pulled - taken)
    assert (taken, most <= 200) == (100_000, True)


async def test_an_infinite_source() -> None:
    """An infinite source is read for as long as outcomes are taken."""
    async with dispatcher().dispatch(pictures(), Receipt) as outcomes:
        for _ in range(500):
            assert isinstance(await anext(outcomes), Success)
    assert tasks() == 1


STOPPING: list[tuple[HTTPResponse, type[Exception]]] = [
    (error("0002", 401), AuthenticationError),
    (SPENT, QuotaExceededError),
]


@either
@pytest.mark.parametrize(("answer", "kind_of_error"), STOPPING, ids=["secret", "quota"])
async def test_an_error_of_every_image_stops_the_pulling(
    kind: str, answer: HTTPResponse, kind_of_error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    """An error that all others would meet ends the pulling: what was pulled comes out, and .stopped tells why."""
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
    """A quota that is spent and comes back costs no image."""
    transport = FakeTransport(None, SPENT, SPENT, SPENT)
    async with dispatcher(transport).dispatch(pictures(20), Receipt) as outcomes:
        found = [outcome async for outcome in outcomes]
    assert all(isinstance(outcome, Success) for outcome in found)
    assert len(found) == 20


async def test_a_defect_comes_out_bare() -> None:
    """What is none of our errors ends the batch, bare."""

    async def broken(_: Sent) -> HTTPResponse:
        raise ZeroDivisionError("a defect")

    async with dispatcher(FakeTransport(then=broken)).dispatch(pictures(9), Receipt) as outcomes:
        with pytest.raises(ZeroDivisionError, match="a defect"):
            await anext(outcomes)
    assert tasks() == 1


async def test_cancelled_in_the_body() -> None:
    """A cancelled caller leaves nothing behind, and is cancelled."""
    transport, source = FakeTransport(then=Held()), Source()

    async def body() -> None:
        async with dispatcher(transport).dispatch(source.asynchronously(), Receipt) as outcomes:
            await anext(outcomes)

    task = asyncio.create_task(body())
    await transport.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (transport.in_flight, source.closed, tasks()) == (0, True, 1)


@pytest.mark.parametrize("times", [1, 3])
async def test_cancelled_while_leaving(times: int) -> None:
    """However often the caller is cancelled while it leaves, all is cleaned up first, and then it is cancelled."""
    cleaning, go_on = asyncio.Event(), asyncio.Event()
    cleaned = False

    async def slow() -> AsyncGenerator[Image]:
        nonlocal cleaned
        try:
            for image in pictures():
                yield image
        finally:
            cleaning.set()
            await go_on.wait()
            cleaned = True

    async def body() -> None:
        async with dispatcher(FakeTransport(then=Held())).dispatch(slow(), Receipt):
            await steps()

    task = asyncio.create_task(body())
    await cleaning.wait()
    for _ in range(times):
        task.cancel()
        await steps()
        assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (cleaned, tasks()) == (True, 1)


async def test_cancelled_while_calls_end(caplog: pytest.LogCaptureFixture) -> None:
    """Calls slow to end are waited for; a cancellation meanwhile comes out, and a failing cleanup is logged."""
    ending, go_on = asyncio.Event(), asyncio.Event()

    async def reluctant(_: Sent) -> HTTPResponse:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await go_on.wait()
        raise AssertionError

    def images() -> Generator[Image]:
        try:
            yield from pictures()
        finally:
            raise ZeroDivisionError("of the cleanup")

    async def body() -> None:
        async with dispatcher(transport).dispatch(images(), Receipt):
            await transport.arrived.wait()
            await steps()

    transport = FakeTransport(then=reluctant)
    task = asyncio.create_task(body())
    await ending.wait()
    task.cancel()
    await steps()
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (transport.in_flight, tasks()) == (0, 1)
    assert "failed while it was closed" in caplog.text


async def test_cancelling_at_every_step() -> None:
    """A caller can be cancelled at whichever step of a batch, and no task and no call stays behind."""
    for count in itertools.count():
        transport, source = FakeTransport(), Source(3)

        async def body(transport: FakeTransport = transport, source: Source = source) -> None:
            async with dispatcher(transport, 2).dispatch(source.asynchronously(), Receipt) as outcomes:
                assert len([outcome async for outcome in outcomes]) == 3

        task = asyncio.create_task(body())
        await steps(count)
        late = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert late or task.cancelled()
        assert (transport.in_flight, tasks()) == (0, 1)
        assert source.closed or source.pulled == 0
        if late:
            assert count > 10
            return


async def test_a_failing_cleanup_of_the_source(caplog: pytest.LogCaptureFixture) -> None:
    """What the source raises while it is closed comes out, unless something else is on its way; then it is logged."""

    def sync() -> Generator[Image]:
        try:
            yield from pictures()
        finally:
            raise ZeroDivisionError("of the cleanup")

    async def asynchronous() -> AsyncGenerator[Image]:
        try:
            for image in pictures():
                yield image
        finally:
            raise ZeroDivisionError("of the cleanup")

    async def left(make: Any, *, failing: bool) -> None:
        async with dispatcher().dispatch(make(), Receipt) as outcomes:
            await anext(outcomes)
            if failing:
                raise ValueError("of the body")

    for make in (sync, asynchronous):
        with pytest.raises(ZeroDivisionError, match="of the cleanup"):
            await left(make, failing=False)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        caplog.clear()
        with pytest.raises(ValueError, match="of the body"):
            await left(make, failing=True)
        assert [record.exc_info is not None for record in caplog.records] == [False, True]
        caplog.clear()
    assert tasks() == 1


class SlowToClose(Countdown):
    """An asynchronous iterator whose closing takes a while."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.closed = False

    async def aclose(self) -> None:
        """Close, in several steps."""
        for _ in range(30):
            await asyncio.sleep(0)
        self.closed = True


async def test_an_iterator_that_is_slow_to_close() -> None:
    """An iterator that is slow to close is closed to its end, and nobody waits for it for ever."""
    for taken in (3, 5):
        source = SlowToClose(5)
        async with dispatcher(None, 8).dispatch(source, Receipt) as outcomes:
            for _ in range(taken):
                await anext(outcomes)
            if taken == 5:
                with pytest.raises(StopAsyncIteration):
                    await anext(outcomes)
        assert (source.closed, tasks()) == (True, 1)


async def test_a_source_cancelled_from_within() -> None:
    """A source that is cancelled by its own doing ends the batch with an error, not silently."""

    async def cancelled() -> AsyncGenerator[Image]:
        yield Image(JPEG)
        raise asyncio.CancelledError

    found = []
    async with dispatcher().dispatch(cancelled(), Receipt) as outcomes:
        with pytest.raises(RuntimeError, match="cancelled from within"):  # noqa: PT012 - what comes before the error counts
            async for outcome in outcomes:
                found.append(outcome)  # noqa: PERF401 - what came before the error
    assert len(found) == 1


async def test_left_from_another_task() -> None:
    """A batch entered in one task is read and left in others."""
    batch = dispatcher().dispatch(Source(5).asynchronously(), Receipt)
    outcomes = await asyncio.create_task(batch.__aenter__())
    assert isinstance(await asyncio.create_task(anext(outcomes)), Success)
    await asyncio.create_task(batch.__aexit__(None, None, None))
    assert tasks() == 1


@pytest.fixture
async def opened() -> AsyncIterator[Batch[Receipt]]:
    """An open batch; pytest may leave it from another task."""
    async with dispatcher().dispatch(pictures(), Receipt) as outcomes:
        yield outcomes


async def test_in_a_fixture(opened: Batch[Receipt]) -> None:
    """A batch can be held open by a fixture."""
    assert isinstance(await anext(opened), Success)


async def test_in_a_streaming_handler() -> None:
    """A batch inside an asynchronous generator survives the generator's being closed by another task."""
    source = Source()

    async def stream() -> AsyncGenerator[str]:
        async with dispatcher().dispatch(source, Receipt) as outcomes:
            async for outcome in outcomes:
                yield repr(outcome)

    lines = stream()
    for _ in range(3):
        assert "Success" in await asyncio.create_task(anext(lines))
    await asyncio.create_task(lines.aclose())
    assert (source.closed, tasks()) == (True, 1)


async def test_several_readers() -> None:
    """Several tasks may read one batch; each outcome comes to one of them, and all see the end."""

    async def read() -> list[str]:
        return names([outcome async for outcome in outcomes])

    async with dispatcher().dispatch(pictures(40), Receipt) as outcomes:
        readers = [asyncio.create_task(read()) for _ in range(3)]
        found = [name for reader in readers for name in await reader]
    assert sorted(found, key=int) == [str(number) for number in range(40)]


async def test_the_server_sees_the_hang_up() -> None:
    """Calls in flight when a batch is left by break are hung up on."""
    reached = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        if server.connections == 1:
            await connection.send(http(b'{"images":[{"receipt":{"result":{}}}]}'))
        else:
            reached.set()
        await connection.hung_up()

    async with raw_server(script) as server:
        async with ClovaOCRClient(Domain(server.url, SECRET), concurrency=1) as client:
            async with BatchDispatcher(client, 2).dispatch(pictures(), Receipt) as outcomes:
                async for _ in outcomes:
                    break
            await server.hung_up.wait()
        assert (server.connections, tasks() <= 3) == (1, True)


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
