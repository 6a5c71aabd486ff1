from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.fakes import BUSY, FAILED, JPEG, FakeTime, FakeTransport, Held, Sent, domain, steps
from support.ledgers import answers, calls, dead_process, eventually, maybe_billed, opened, states

from clova_ocr_async.batch import Batch, BatchDispatcher, Failure, Success
from clova_ocr_async.batch.sources.iterables import EXHAUSTED, AsyncSource, SyncSource
from clova_ocr_async.client import Attempt, ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.emulator import Emulator
from clova_ocr_async.errors import (
    Billing,
    ConfigurationError,
    ConnectionLostError,
    MalformedResponseError,
    NotSentError,
)
from clova_ocr_async.ledger import RunReader
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from pathlib import Path

    from clova_ocr_async.ledger.states import Claim


def picture(number: int) -> bytes:
    """Return a picture unlike any other."""
    return JPEG[:4] + f"{number}".encode() + JPEG[4:]


class Source:
    """Pictures, of which those are kept that were pulled."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pulled: list[Image] = []
        self.closed = False

    def __iter__(self) -> Iterator[Image]:
        try:
            for number in range(self.count):
                self.pulled.append(Image(picture(number), f"{number}"))
                yield self.pulled[-1]
        finally:
            self.closed = True

    async def asynchronously(self) -> AsyncGenerator[Image]:
        """Yield the same, with a turn of the loop before and behind each."""
        for image in self:
            await asyncio.sleep(0)
            yield image
            await asyncio.sleep(0)


def client_of(transport: FakeTransport, **settings: Any) -> ClovaOCRClient:
    """Return a client with two slots."""
    settings = {"concurrency": 2} | settings
    return ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), **settings)


def sources(*outcomes: Any) -> list[str]:
    """Return the names of the images of outcomes."""
    return [outcome.source.name for outcome in outcomes]


def billing_by_name(outcomes: tuple[Any, ...]) -> dict[str, Any]:
    """Return the outcomes that are left over, by name: True for a success, else the billing of the error."""
    return {
        outcome.source.name: True if isinstance(outcome, Success) else outcome.error.billing for outcome in outcomes
    }


# ---------------------------------------------------------------------------------------------------------------------
# Outcomes that were not taken


@pytest.mark.parametrize("ordered", [False, True])
async def test_outcomes_that_were_not_taken_are_left_over(ordered: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A batch that is left early names the outcomes that were not taken, the calls cut off, and the images not sent."""
    held = Held()
    transport = FakeTransport(None, held, None, None, then=held)
    source = Source(9)
    async with BatchDispatcher(client_of(transport), 6).dispatch(source, Receipt, ordered=ordered) as outcomes:
        first = await anext(outcomes)
        await steps(200)
        assert outcomes.left_over == ()
    assert transport.in_flight == 0
    left_over: tuple[Any, ...] = outcomes.left_over
    finished = [outcome for outcome in left_over if isinstance(outcome, Success)]
    assert sources(first, *finished) == ["0", "2", "3"]
    cut_off = {name: billing for name, billing in billing_by_name(left_over).items() if billing is not True}
    assert cut_off == {"1": Billing.MAYBE_BILLED, "4": Billing.MAYBE_BILLED} | dict.fromkeys("5678", Billing.NOT_BILLED)
    unsent = [outcome.error for outcome in left_over[4:]]
    assert [str(failure) for failure in unsent] == ["not sent yet"] * 4
    assert all(isinstance(failure, NotSentError) for failure in unsent)
    assert (
        "2 finished outcomes were not taken, 2 calls were cut off and may have been billed, and 4 images were not"
        in caplog.text
    )
    assert [outcome async for outcome in outcomes] == []


async def test_nothing_is_left_over_of_a_batch_that_was_read(run: Path) -> None:
    """A batch whose outcomes were all taken leaves nothing over, with a ledger or without."""
    for ledger in (None, run):
        async with BatchDispatcher(client_of(FakeTransport()), ledger=ledger).dispatch(Source(9), Receipt) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 9
        assert outcomes.left_over == ()


@pytest.mark.parametrize("kept", [False, True])
async def test_a_withdrawn_image_keeps_its_billing(kept: bool, run: Path) -> None:
    """An image that may have been billed and waits for a retry comes out as maybe billed when its batch is stopped."""
    time = FakeTime()
    time.gate = asyncio.Event()  # a call that waits to send again never does
    client = ClovaOCRClient(domain(), transport=FakeTransport(FAILED), runtime=time.runtime(), concurrency=1)
    async with BatchDispatcher(client, ledger=run if kept else None).dispatch([Image(JPEG)], Receipt) as outcomes:
        await time.asleep.wait()
        outcomes.stop(ConfigurationError("enough"))
        (found,) = [outcome async for outcome in outcomes]
    assert isinstance(found, Failure)
    assert isinstance(found.error, ConnectionLostError)
    assert found.error.billing is Billing.MAYBE_BILLED
    assert (found.error.request_id, found.error.attempts, found.error.maybe_billed) == ("id-1", 1, 1)
    if kept:
        assert (states(run), maybe_billed(run)) == (["ambiguous"], 1)


async def test_a_defect_after_a_request_has_left_hides_no_bill() -> None:
    """An image whose transport fails by a defect after the request has left is left over as maybe billed."""

    async def broken(sent: Sent) -> HTTPResponse:
        sent.progress.body_began = True
        raise ZeroDivisionError("a defect")

    async def read_all() -> None:
        async with batch as outcomes:
            async for _ in outcomes:
                pass

    batch = BatchDispatcher(client_of(FakeTransport(broken))).dispatch([Image(JPEG, "x")], Receipt)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        await read_all()
    (failure,) = batch.left_over
    assert isinstance(failure, Failure)
    assert (failure.error.billing, failure.error.maybe_billed) == (Billing.MAYBE_BILLED, 1)


async def test_an_image_that_waits_after_a_refusal_was_not_sent() -> None:
    """An image that was refused for the number of calls comes out unsent when its batch is stopped."""
    time = FakeTime()
    time.gate = asyncio.Event()
    client = ClovaOCRClient(domain(), transport=FakeTransport(BUSY), runtime=time.runtime(), concurrency=1)
    async with BatchDispatcher(client).dispatch([Image(JPEG)], Receipt) as outcomes:
        await time.asleep.wait()
        outcomes.stop(ConfigurationError("enough"))
        (found,) = [outcome async for outcome in outcomes]
    assert isinstance(found, Failure)
    assert isinstance(found.error, NotSentError)
    assert found.error.billing is Billing.NOT_BILLED


async def test_an_item_just_yielded_is_not_lost() -> None:
    """An item that an asynchronous iterable yields just as its batch is left is left over, alone or in a pair."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def late(item: Any) -> AsyncGenerator[Any]:
        asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go_on.wait()
            yield item

    class Odd:
        name = "x"

    for item, document in ((Image(JPEG, "x"), Receipt), ((Image(JPEG, "x"), Receipt), None), (Odd(), None)):
        asked.clear()
        source = AsyncSource(late(item))
        async with BatchDispatcher(client_of(FakeTransport())).dispatch(source, document) as outcomes:  # type: ignore[call-overload]
            await asked.wait()
            outcomes.stop(ConfigurationError("enough"))
            asyncio.get_running_loop().call_soon(go_on.set)
        assert billing_by_name(outcomes.left_over) == {"x": Billing.NOT_BILLED}


async def test_an_item_that_arrives_as_its_pull_is_cancelled_is_kept() -> None:
    """An item that an asynchronous iterable has yielded is kept, although the pull that waited for it is cancelled."""

    async def cancelling() -> AsyncGenerator[Image]:
        asyncio.get_running_loop().call_soon(pulling.cancel)  # before the pull wakes up with the item
        yield Image(JPEG, "x")

    source = AsyncSource(cancelling())
    pulling = asyncio.create_task(source.pull())
    await asyncio.wait([pulling])
    assert pulling.cancelled()
    assert [image.name for image in source.dropped] == ["x"]
    await source.close()


async def test_a_source_that_is_stopped_yields_nothing() -> None:
    """A source that was stopped before the first pull is not begun."""
    images = Source(1)
    source = AsyncSource(images.asynchronously())
    source.stop()
    assert await source.pull() is EXHAUSTED
    assert images.pulled == []


# ---------------------------------------------------------------------------------------------------------------------
# Waiting for calls in flight


async def left(
    run: Path | None, leave: Callable[[Batch[Receipt]], Awaitable[object]], *, finishes: bool = False
) -> tuple[Batch[Receipt], FakeTransport]:
    """Leave a batch of five in some way while both slots have a call in flight, which finishes soon or never."""
    held = Held()
    transport = FakeTransport(then=held)
    source = Source(5)
    batch = BatchDispatcher(client_of(transport), ledger=run).dispatch(source, Receipt)

    async def body() -> None:
        async with batch as outcomes:
            await eventually(lambda: transport.in_flight == 2)
            await pulled(source, 5)
            if finishes:
                asyncio.get_running_loop().call_later(0.05, held.go_on.set)
            await leave(outcomes)

    with contextlib.suppress(ZeroDivisionError, asyncio.CancelledError):
        await asyncio.create_task(body())
    return batch, transport


async def pulled(source: Source, count: int) -> None:
    """Wait until so many images were pulled."""
    await eventually(lambda: len(source.pulled) == count)
    await steps()


async def raises(_: Any) -> None:
    """Leave by an exception."""
    raise ZeroDivisionError


async def is_cancelled(_: Any) -> None:
    """Leave by a cancellation."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


async def breaks(_: Any) -> None:
    """Leave early."""


ways = pytest.mark.parametrize("leave", [raises, is_cancelled, breaks])


@ways
async def test_with_a_ledger_calls_in_flight_finish(leave: Any, run: Path) -> None:
    """However a batch with a ledger is left, calls in flight are waited for, written down, and left over."""
    batch, transport = await left(run, leave, finishes=True)
    assert (states(run).count("succeeded"), states(run).count("ambiguous"), maybe_billed(run)) == (2, 0, 0)
    assert (len(transport.sent), calls(run)) == (2, 2)
    assert sorted(billing_by_name(batch.left_over)) == list("01234")
    assert sorted(billing_by_name(batch.left_over).values()) == [Billing.NOT_BILLED] * 3 + [True] * 2


@ways
async def test_without_a_ledger_calls_in_flight_are_cut_off_at_once(leave: Any) -> None:
    """Without a ledger no call is waited for, and those cut off are left over as maybe billed."""
    batch, transport = await left(None, leave)
    assert len(transport.sent) == 2
    assert billing_by_name(batch.left_over) == dict.fromkeys("01", Billing.MAYBE_BILLED) | dict.fromkeys(
        "234", Billing.NOT_BILLED
    )
    assert all(isinstance(outcome, Failure) for outcome in batch.left_over)


async def test_a_cancel_scope_lets_calls_finish(run: Path) -> None:
    """The cancellation of a scope, which comes again at every await, counts once: calls in flight finish."""
    held = Held()
    transport = FakeTransport(then=held)
    batch = BatchDispatcher(client_of(transport), ledger=run).dispatch(Source(5), Receipt)
    with anyio.CancelScope() as scope:
        async with batch:
            await eventually(lambda: transport.in_flight == 2)
            scope.cancel()
            asyncio.get_running_loop().call_later(0.05, held.go_on.set)
            await asyncio.Event().wait()
    assert scope.cancelled_caught
    assert (states(run).count("succeeded"), maybe_billed(run)) == (2, 0)


@pytest.mark.parametrize("leave", [raises, breaks, is_cancelled])
async def test_a_cancellation_while_calls_are_waited_for_cuts_them_off(leave: Any, run: Path) -> None:
    """A batch that is cancelled while it waits for its calls cuts them off: ambiguous, left over as maybe billed."""
    transport = FakeTransport(then=Held())
    source = Source(5)
    found = BatchDispatcher(client_of(transport), ledger=run).dispatch(source, Receipt)

    async def use() -> None:
        async with found as outcomes:
            await eventually(lambda: transport.in_flight == 2)
            await pulled(source, 5)
            await leave(outcomes)

    task = asyncio.create_task(use())
    await eventually(lambda: transport.in_flight == 2)
    await pulled(source, 5)
    await asyncio.sleep(0.02)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (states(run).count("ambiguous"), maybe_billed(run), len(asyncio.all_tasks())) == (2, 2, 1)
    assert sorted(billing_by_name(found.left_over)) == list("01234")
    assert sorted(billing_by_name(found.left_over).values()) == [Billing.NOT_BILLED] * 3 + [Billing.MAYBE_BILLED] * 2


async def test_an_interrupt_in_the_middle_of_leaving_cuts_the_calls_off(run: Path) -> None:
    """A second Ctrl-C that is raised while the batch is being stopped cuts off its calls, which are ambiguous."""

    class Interrupt(BaseException):
        pass

    class Interrupted(SyncSource):
        interrupted = False

        def stop(self) -> None:
            if not self.interrupted:
                self.interrupted = True
                raise Interrupt

    transport = FakeTransport(then=Held())
    batch = BatchDispatcher(client_of(transport), ledger=run).dispatch(Interrupted(Source(50)), Receipt)  # type: ignore[call-overload]
    with pytest.raises(Interrupt):
        async with batch:
            await eventually(lambda: transport.in_flight == 2)
    assert (transport.in_flight, len(asyncio.all_tasks())) == (0, 1)
    assert (states(run).count("ambiguous"), maybe_billed(run)) == (2, 2)


async def test_a_batch_that_was_asked_to_end_is_cut_off_by_its_cancellation(run: Path) -> None:
    """After stop a cancellation is the second request to end: it cuts off the calls in flight."""

    async def stop_and_cancel(batch: Batch[Receipt]) -> None:
        batch.stop(ConfigurationError("enough"))
        await is_cancelled(batch)

    batch, _ = await left(run, stop_and_cancel)
    assert (states(run).count("ambiguous"), maybe_billed(run)) == (2, 2)
    assert [billing for billing in billing_by_name(batch.left_over).values() if billing] == [Billing.MAYBE_BILLED] * 2


@pytest.mark.parametrize("readable", [True, False])
async def test_an_answer_that_came_as_the_batch_was_cut_off_is_left_over(readable: bool, run: Path) -> None:
    """A call that is cut off while its answer is written down is left over with that answer, as billed."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Slow(SqliteLedger):
        async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
            reached.set()
            await go_on.wait()
            await super().answered(claim, request_id, response)

    transport = FakeTransport() if readable else FakeTransport(HTTPResponse(200, b'{"images": ['))
    async with Slow(run) as ledger:
        batch = BatchDispatcher(client_of(transport), ledger=ledger).dispatch(Source(1), Receipt)

        async def body() -> None:
            async with batch:
                await asyncio.Event().wait()

        task = asyncio.create_task(body())
        await reached.wait()
        for _ in range(2):
            task.cancel()
            await steps()
        go_on.set()
        await asyncio.wait([task])
    (found,) = batch.left_over
    assert maybe_billed(run) == 0
    if readable:
        assert isinstance(found, Success)
    else:
        assert isinstance(found, Failure)
        assert isinstance(found.error, MalformedResponseError)
        assert found.error.billing is Billing.BILLED


async def test_a_client_that_reports_no_billing_may_have_been_billed() -> None:
    """A cancelled call of a client that does not report its billing may have been billed."""

    class Silent(ClovaOCRClient):
        async def recognize(self, image: Any, document: Any, **given: Any) -> Any:  # noqa: ARG002 - the client's signature
            given["journal"].sending(Attempt("r", 1, "receipt", "https://…"))
            await asyncio.Event().wait()

    async with BatchDispatcher(Silent(domain())).dispatch([Image(JPEG, "x")], Receipt) as outcomes:
        await steps()
    assert billing_by_name(outcomes.left_over) == {"x": Billing.MAYBE_BILLED}


# ---------------------------------------------------------------------------------------------------------------------
# Cancelled at every step


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("ordered", [False, True])
async def test_cancelled_at_every_step_each_image_is_accounted_for(kind: str, ordered: bool) -> None:
    """Whenever a batch is cancelled, each image pulled was taken or is left over, once; nothing stays open."""
    for count in itertools.count():
        source, taken = Source(4), list[Any]()
        transport = FakeTransport(None, BUSY)
        batch = BatchDispatcher(client_of(transport)).dispatch(
            source if kind == "sync" else source.asynchronously(), Receipt, ordered=ordered
        )

        async def body(batch: Batch[Receipt] = batch, taken: list[Any] = taken) -> None:
            async with batch as outcomes:
                async for outcome in outcomes:
                    taken.append(outcome)  # noqa: PERF401 - what was taken before the cancellation counts

        task = asyncio.create_task(body())
        await steps(count)
        over = task.done()
        task.cancel()
        await asyncio.wait([task])
        assert sorted(sources(*taken, *batch.left_over)) == sorted(image.name for image in source.pulled)
        assert (len(asyncio.all_tasks()), transport.in_flight) == (1, 0)
        assert source.closed or not source.pulled
        if over:
            assert (count > 10, batch.left_over) == (True, ())
            return


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_cancelled_at_every_step_with_a_ledger(times: int, kind: str, tmp_path: Path) -> None:
    """Cancelled once at any step, nothing is ambiguous; cancelled twice, each call is answered, ambiguous or unsent."""
    for count in range(0, 48, 2):
        run, source, taken = tmp_path / f"{count}", Source(3), list[Any]()
        transport = FakeTransport(None, BUSY)
        async with opened(run, process=dead_process()) as ledger:
            batch = BatchDispatcher(client_of(transport), ledger=ledger).dispatch(
                source if kind == "sync" else source.asynchronously(), Receipt
            )

            async def body(batch: Batch[Receipt] = batch, taken: list[Any] = taken) -> None:
                async with batch as outcomes:
                    async for outcome in outcomes:
                        taken.append(outcome)  # noqa: PERF401 - what was taken before the cancellation counts

            task = asyncio.create_task(body())
            for _ in range(count):
                await asyncio.sleep(0.0002)
            for _ in range(times):
                task.cancel()
                await steps(3)
            await asyncio.wait([task])
            found = [*taken, *batch.left_over]
            assert sorted(sources(*found)) == sorted(image.name for image in source.pulled)
        assert calls(run) == len(answers(run)) + maybe_billed(run)
        billing = [outcome.error.billing for outcome in found if isinstance(outcome, Failure)]
        assert billing.count(Billing.MAYBE_BILLED) == maybe_billed(run) == states(run).count("ambiguous")
        assert sum(isinstance(outcome, Success) for outcome in found) == len(answers(run))
        assert times == 2 or maybe_billed(run) == 0
        assert set(states(run)) <= {"queued", "succeeded", "ambiguous"}


# ---------------------------------------------------------------------------------------------------------------------
# A program, and Ctrl-C

_PROGRAM = """
import asyncio, os, signal, sys
from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Domain, Receipt, images_in

async def main():
    async with ClovaOCRClient(Domain(sys.argv[1], sys.argv[2]), read_timeout=100) as client:
        async with BatchDispatcher(client, ledger=sys.argv[4]).dispatch(images_in(sys.argv[3]), Receipt) as outcomes:
            try:
                async for outcome in outcomes:
                    pass
            finally:
                if sys.argv[5] == "at once":
                    os.kill(os.getpid(), signal.SIGINT)
                asyncio.get_running_loop().call_later(0.2, lambda: print("waiting", flush=True))

asyncio.run(main())
"""


@pytest.mark.parametrize(("times", "when"), [(1, "never"), (2, "later"), (2, "at once")])
async def test_ctrl_c_in_a_program(times: int, when: str, run: Path, tmp_path: Path) -> None:
    """One SIGINT during five calls leaves none ambiguous, two leave all of them; the program ends as interrupted.

    The later one comes as from a person, when the program waits: in the middle of its own bookkeeping, asyncio can lose
    the wake-up of a task by it, in any program.
    """
    (tmp_path / "scans").mkdir()
    for number in range(20):
        (tmp_path / "scans" / f"{number}.jpg").write_bytes(picture(number))
    async with Emulator(concurrency=5, latency=1.0 if times == 1 else 50.0) as clova:
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM, clova.url("receipt"), clova.secret),
            *(str(tmp_path / "scans"), str(run), when),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert program.stdout is not None
        await eventually(lambda: clova.domain_state().in_flight >= 4)
        program.send_signal(signal.SIGINT)
        if when == "later":
            assert await program.stdout.readline() == b"waiting\n"
            program.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            _, stderr = await program.communicate()
        assert b"KeyboardInterrupt" in stderr
        with RunReader(run) as reader:
            images = reader.status().images
        if times == 1:
            assert images.get("ambiguous", 0) == 0
            assert images["succeeded"] == clova.billed.total() >= 4
        else:
            assert images["ambiguous"] >= 4
