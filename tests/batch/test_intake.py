from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.batches import batch_of
from support.fakes import JPEG, FakeTime, FakeTransport, Held, Sent, domain, error, steps, success, url_of
from support.ledgers import eventually

from clova_ocr_async.batch import BatchDispatcher, Success
from clova_ocr_async.batch.intake import Intake, PulledImage
from clova_ocr_async.batch.sources.iterables import open_source
from clova_ocr_async.batch.stop import StopSwitch
from clova_ocr_async.batch.window import MAX_UNREAD, Window
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import IdCard, Receipt
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.slots.interface import GateState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

    from clova_ocr_async.protocol.response import HTTPResponse

KIB = 1024


def picture(number: int, size: int = 0) -> bytes:
    """Return a picture unlike any other."""
    return JPEG[:4] + f"{number}".encode() + bytes(size) + JPEG[4:]


class Counted:
    """An endless source of pictures that counts its pulls."""

    def __init__(self, images: Iterable[Any] | None = None) -> None:
        self.pulled = 0
        self._images = images

    def __iter__(self) -> Iterator[Any]:
        for image in self._images or (Image(picture(number)) for number in itertools.count()):
            self.pulled += 1
            yield image


def client_of(transport: FakeTransport, *limits: int | None, **settings: Any) -> ClovaOCRClient:
    """Return a client of as many domains as there are limits."""
    domains = [domain(url_of(number), max_concurrency=limit) for number, limit in enumerate(limits)]
    return ClovaOCRClient(*domains, transport=transport, runtime=FakeTime().runtime(), **settings)


# ---------------------------------------------------------------------------------------------------------------------
# Slots


@pytest.mark.parametrize("limits", [(64,), (16, 16, 16, 16), (1, 63)])
@pytest.mark.parametrize("kept", [False, True])
async def test_a_pool_of_64_slots_is_full(limits: tuple[int, ...], kept: bool, tmp_path: Path) -> None:
    """With no option at all, as many calls are in flight as all domains of the document have slots."""
    transport = FakeTransport(then=Held())
    dispatcher = BatchDispatcher(client_of(transport, *limits), ledger=tmp_path / "run" if kept else None)
    task = asyncio.create_task(_read(dispatcher, Counted()))
    await eventually(lambda: transport.in_flight == 64)
    await steps(100)
    for _ in range(2):
        task.cancel()
        await steps()
    await asyncio.wait([task])
    assert transport.most_in_flight == 64


async def _read(dispatcher: BatchDispatcher, source: Counted) -> None:
    async with dispatcher.dispatch(source, Receipt) as outcomes:
        async for outcome in outcomes:
            assert isinstance(outcome, Success)


@pytest.mark.parametrize(("slots", "in_work"), [(1, 5), (4, 8), (5, 9), (6, 10), (16, 24), (64, 96)])
async def test_the_images_in_work_follow_the_slots(slots: int, in_work: int) -> None:
    """As many images are in work as there are slots, and half as many more, at least four."""
    source = Counted()
    async with BatchDispatcher(client_of(FakeTransport(then=Held()), slots)).dispatch(source, Receipt):
        await steps(400)
    assert source.pulled == in_work


async def test_images_come_into_work_as_the_limit_is_learned() -> None:
    """A domain that takes 40 calls at once gets 40, although no limit was given: it is learned from the answers."""
    transport, most = FakeTransport(then=None), 0

    async def answer(sent: Sent) -> HTTPResponse:
        nonlocal most
        if transport.in_flight > 40:
            return error("0025")
        for _ in range(60):
            await asyncio.sleep(0)
        most = max(most, transport.in_flight)
        return success(sent.request)

    transport.then = answer
    images = Counted([Image(picture(number)) for number in range(1500)])
    await _read(BatchDispatcher(client_of(transport, None)), images)
    assert most >= 40


class Gates:
    """The part of a client that an intake asks: gates that a test sets."""

    def __init__(self, **gates: GateState) -> None:
        self.gates = dict(gates)
        self.on_hold: dict[str, str] = {}

    def serving(self, document: str) -> tuple[str, ...]:
        """Return the domains whose names begin with a document's."""
        return tuple(name for name in self.gates if name.startswith(document))


def intake_of(gates: Gates, document: str, ahead: int = 200, source: Any = None) -> tuple[Intake, StopSwitch]:
    """Return an intake of endless pictures that asks those gates, and the switch that stops it."""
    stop = StopSwitch()
    source = open_source(source or itertools.repeat(JPEG))
    return Intake(source, cast("Any", document), cast("ClovaOCRClient", gates), Window(ahead), stop), stop


class Pulling:
    """Workers that pull images, and keep each in work for ever; counts them."""

    def __init__(self, intake: Intake) -> None:
        self.images: list[PulledImage] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._intake = intake
        intake.open(lambda: self.tasks.append(asyncio.create_task(self._work())))

    async def _work(self) -> None:
        if (image := await self._intake.pull()) is not None:
            self.images.append(image)
            self._intake.hold_bytes(0)

    async def new(self) -> int:
        """Return how many images were pulled since."""
        before = len(self.images)
        await steps(400)
        return len(self.images) - before


async def pulled(gates: Gates, document: str) -> int:
    """Return how many images are pulled."""
    return await Pulling(intake_of(gates, document)[0]).new()


async def test_slots_of_other_processes_are_not_read_for() -> None:
    """No image is read for the slots that other processes use; a few images wait all the same."""
    assert await pulled(Gates(a=GateState(10, elsewhere=8)), "a") == 2 + 4
    assert await pulled(Gates(a=GateState(4, elsewhere=9)), "a") == 4


async def test_slots_of_a_domain_on_hold_are_not_read_for() -> None:
    """A domain that is on hold takes no calls, so no images are read for it."""
    gates = Gates(a1=GateState(10), a2=GateState(30))
    gates.on_hold["a2"] = "outage"
    assert await pulled(gates, "a") == 15


async def test_fewer_images_are_in_work_once_the_limit_is_lower() -> None:
    """When a limit is lowered no image is pulled until fewer are in work; when it is raised, some are at once."""
    gates = Gates(a=GateState(20))
    intake, _ = intake_of(gates, "a")
    workers = Pulling(intake)
    assert await workers.new() == 30
    gates.gates["a"] = GateState(4)
    for _ in range(22):
        intake.finish_work(0)
    intake.follow_slots()
    assert await workers.new() == 0
    intake.finish_work(0)
    intake.use_room()
    assert await workers.new() == 1
    gates.gates["a"] = replace(gates.gates["a"], ceiling=8)
    intake.follow_slots()
    assert await workers.new() == 4


async def test_a_higher_limit_is_noticed_while_calls_are_in_flight() -> None:
    """A limit that other processes have learned is followed as soon as a request is sent, not when a call finishes."""
    gates = Gates(a=GateState(4))
    intake, stop = intake_of(gates, "a")
    workers = Pulling(intake)
    assert await workers.new() == 8
    gates.gates["a"] = GateState(64)
    assert await workers.new() == 0
    intake.follow_slots()
    assert await workers.new() == 88
    stop.end_input()
    intake.finish_work(0)
    intake.use_room()
    assert await workers.new() == 0


async def test_outcomes_taken_at_once_start_one_worker() -> None:
    """However many outcomes are taken in one go, one worker is started; the others follow as it pulls."""
    intake, _ = intake_of(Gates(a=GateState(40)), "a", ahead=20)
    workers = Pulling(intake)
    assert await workers.new() == 60
    images = list(workers.images)
    for _ in images:
        intake.finish_work(0)
    before = len(workers.tasks)
    for image in images:
        intake.mark_taken(image)
    assert len(workers.tasks) == before + 1
    assert await workers.new() == 60


async def test_a_limit_that_rises_during_a_pull_is_used_after_it() -> None:
    """Room that appears while an asynchronous source is slow to yield is used as soon as it has yielded."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncGenerator[bytes]:
        for number in itertools.count():
            if number == 4:
                reached.set()
                await go_on.wait()
            yield JPEG

    gates = Gates(a=GateState(1))
    intake, _ = intake_of(gates, "a", source=slow())
    workers = Pulling(intake)
    await reached.wait()
    gates.gates["a"] = GateState(40)
    intake.follow_slots()
    go_on.set()
    await steps(2000)
    assert len(workers.images) == 60
    for task in workers.tasks:
        task.cancel()
    await intake.close()


async def test_a_mixed_batch_reads_for_the_documents_it_has_met() -> None:
    """Without a class for all, the slots count of those domains that read a document pulled so far."""
    receipts = domain(url_of(1) + "/document/receipt", max_concurrency=10)
    cards = domain(url_of(2) + "/document/id-card", max_concurrency=20)
    client = ClovaOCRClient(receipts, cards, transport=FakeTransport(then=Held()))
    for documents, in_work in (((Receipt,), 15), ((Receipt, IdCard), 45)):
        source = Counted((Image(picture(0)), kind) for kind in itertools.cycle(documents))
        async with BatchDispatcher(client).dispatch(source):
            await steps(400)
        assert source.pulled == in_work


# ---------------------------------------------------------------------------------------------------------------------
# Bytes


def window_of(max_bytes: int) -> Window:
    """Return a window of so many bytes."""
    return Window(200, max_bytes=max_bytes)


def files(folder: Path, count: int, size: int) -> list[str]:
    """Write pictures of so many bytes."""
    names = [str(folder / f"{number}.jpg") for number in range(count)]
    for number, name in enumerate(names):
        Path(name).write_bytes(picture(number).ljust(size, b"\0"))
    return names


@pytest.mark.parametrize("kind", ["files", "open files", "bytes", "images", "views", "kept files", "kept images"])
async def test_bytes_in_work_are_bounded(kind: str, tmp_path: Path) -> None:
    """However many slots there are, no further image is pulled once those in work take so many bytes."""
    held = Held()
    transport = FakeTransport(then=held)
    client = client_of(transport, 64)
    names = files(tmp_path, 40, 10 * KIB)
    with_handles = [Path(name).open("rb") for name in names]  # noqa: ASYNC230, SIM115 - a few small ones, closed below
    of_kind: dict[str, Any] = {
        "files": lambda: names,
        "open files": lambda: with_handles,
        "bytes": lambda: (picture(number, 10 * KIB) for number in range(40)),
        "images": lambda: (Image(picture(number, 10 * KIB)) for number in range(40)),
        "views": lambda: (memoryview(picture(number, 5 * KIB)) for number in range(40)),
    }
    source = Counted(of_kind[kind.removeprefix("kept ")]())
    async with SqliteLedger(tmp_path / "run") as ledger:
        batch = batch_of(client, source, window_of(100 * KIB), ledger=ledger if kind.startswith("kept") else None)
        async with batch:
            await eventually(lambda: transport.in_flight >= 10)
            await asyncio.sleep(0.01)
            pulled_at_once = source.pulled
            held.go_on.set()
            found = [outcome async for outcome in batch]
    for file in with_handles:
        file.close()
    assert (len(found), all(isinstance(outcome, Success) for outcome in found)) == (40, True)
    assert 10 <= pulled_at_once <= 10 + (MAX_UNREAD if kind == "kept files" else 1)


async def test_an_image_that_is_larger_than_all_that_is_allowed() -> None:
    """An image that takes more than is allowed is worked on alone, and the batch goes on behind it."""
    transport = FakeTransport()
    images = [Image(picture(number, 10 * KIB)) for number in range(5)]
    async with batch_of(client_of(transport, 4), images, window_of(KIB)) as batch:
        assert len([outcome async for outcome in batch]) == 5
    assert transport.most_in_flight == 1


async def test_bytes_of_outcomes_that_were_not_taken_are_bounded() -> None:
    """Images handed in as bytes count until their outcome is taken, in order or not."""
    for ordered in (False, True):
        source = Counted(Image(picture(number, 10 * KIB)) for number in itertools.count())
        async with batch_of(client_of(FakeTransport(), 4), source, window_of(100 * KIB), ordered=ordered) as batch:
            await steps(1000)
            assert source.pulled == 10
            for _ in range(5):
                await anext(batch)
            await steps(200)
            assert source.pulled == 15


# ---------------------------------------------------------------------------------------------------------------------
# The window


@settings(deadline=None)
@given(st.data())
def test_the_window_counts_right(data: st.DataObject) -> None:
    """Whatever happens, nothing is pulled over a bound, an idle batch pulls, and the counts return to zero."""
    ahead, concurrency = data.draw(st.integers(1, 20)), data.draw(st.none() | st.integers(1, 20))
    max_bytes = data.draw(st.integers(1, 100))
    window = Window(ahead, concurrency, max_bytes=max_bytes)
    unread, at_work, done = list[int](), list[tuple[int, int]](), list[int]()
    for _ in range(data.draw(st.integers(0, 60))):
        window.follow_slots(data.draw(st.integers(0, 20)))
        if window.room() > 0:
            assert len(unread) + len(at_work) < window.size <= (concurrency or 100)
            assert len(unread) + len(at_work) + len(done) < max(ahead, window.size)
            assert len(unread) < MAX_UNREAD
            size = data.draw(st.integers(0, 40))
            window.add_pulled(size)
            unread.append(size)
        elif not (unread or at_work):
            assert done  # which are to be taken
        if data.draw(st.booleans()) and unread:
            size, read = unread.pop(), data.draw(st.integers(0, 40))
            window.hold_bytes(read)
            at_work.append((size, read))
        if data.draw(st.booleans()) and at_work:
            size, read = at_work.pop()
            window.finish_work(read)
            done.append(size)
        if data.draw(st.booleans()) and done:
            window.mark_taken(done.pop())
        assert window.bytes_held == sum(unread) + sum(map(sum, at_work)) + sum(done)
        assert (window.in_work, window.unread) == (len(unread) + len(at_work), len(unread))
        assert window.may_resume() or unread or at_work
    for size in unread:
        window.finish_work(None)
        window.mark_taken(size)
    for size, read in at_work:
        window.finish_work(read)
        window.mark_taken(size)
    for size in done:
        window.mark_taken(size)
    assert (window.in_work, window.unread, window.bytes_held) == (0, 0, 0)
    window.follow_slots(1)
    assert window.room() > 0
