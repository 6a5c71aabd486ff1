"""Another call's answer in a run: the item is ambiguous, and the bytes are kept, but not as this image's data."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import JPEG, FakeTime, FakeTransport, Sent, domain, steps, success
from support.ledger_batches import FullDisk
from support.ledgers import (
    Clock,
    answers,
    calls,
    claimed,
    crash,
    dead_process,
    item,
    maybe_billed,
    opened,
    query,
    remote_process,
    source,
    states,
)

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, Fault
from clova_ocr_async.errors import Billing, ClovaOCRError, DiskFullError, MalformedResponseError
from clova_ocr_async.ledger import RunReader
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.settlement import replay, settle_from_answer
from clova_ocr_async.ledger.states import Entry, ItemEvent, State
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.ledger.sqlite import SqliteLedger


ANSWER = HTTPResponse(200, encode_response("r", 0, {"inferResult": "SUCCESS", "receipt": {"result": {}}}))


async def batch(run: Path | SqliteLedger, images: list[Any], transport: FakeTransport) -> list[Any]:
    """Run a batch to its end, one call at a time."""
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), concurrency=1)
    async with BatchDispatcher(client, 1, ledger=run).dispatch(images, Receipt, ordered=True) as outcomes:
        return [outcome async for outcome in outcomes]


class Late:
    """Answers the first request well, and the next with the first one's answer."""

    def __init__(self) -> None:
        self.first: HTTPResponse | None = None

    async def __call__(self, sent: Sent) -> HTTPResponse:
        """Answer."""
        if self.first is None:
            self.first = success(sent.request)
        return self.first


async def test_anothers_answer_leaves_the_item_ambiguous(run: Path) -> None:
    """The item is ambiguous and counted once as maybe billed, and the bytes of the answer are on the disk."""
    late = Late()
    found = await batch(run, [JPEG + b"1", JPEG + b"2"], FakeTransport(late, late))
    assert isinstance(found[0], Success)
    assert isinstance(found[1], Failure)
    assert isinstance(found[1].error, MalformedResponseError)
    assert states(run) == ["succeeded", "ambiguous"]
    assert (calls(run), maybe_billed(run)) == (2, 1)
    assert answers(run) == [found[0].recognition.raw] * 2
    again = await batch(run, [JPEG + b"2"], transport := FakeTransport())
    assert transport.sent == []
    assert isinstance(again[0].error, MalformedResponseError)
    assert (again[0].error.raw, again[0].error.billing) == (found[0].recognition.raw, Billing.MAYBE_BILLED)
    assert again[0].error.maybe_billed == 1
    with RunReader(run) as reader:
        assert reader.status().images == {"succeeded": 1, "ambiguous": 1}


async def test_anothers_answer_over_a_socket(run: Path) -> None:
    """A late duplicate on a kept connection makes one item ambiguous, and no image gets the data of another."""
    images = [JPEG + bytes([number]) for number in range(4)]
    async with (
        Emulator(faults=[Fault.LATE_DUPLICATE]) as clova,
        ClovaOCRClient(Domain(clova.url(), clova.secret), concurrency=1) as client,
        BatchDispatcher(client, 1, ledger=run).dispatch(images, Receipt, ordered=True) as outcomes,
    ):
        found = [outcome async for outcome in outcomes]
    assert [type(outcome) for outcome in found] == [Success, Failure, Success, Success]
    assert states(run) == ["succeeded", "ambiguous", "succeeded", "succeeded"]
    assert len({outcome.recognition.raw for outcome in found if isinstance(outcome, Success)}) == 3


@pytest.mark.parametrize("beside", [False, True], ids=["in the ledger", "beside it"])
async def test_anothers_answer_of_a_process_that_died(run: Path, beside: bool) -> None:
    """Settling the items of a dead process does not take another call's answer for the item's own."""
    settings: dict[str, Any] = {"watch": FullDisk("answered")} if beside else {}
    ledger = opened(run, process=dead_process(), **settings)
    await ledger.__aenter__()
    claim = claimed(await ledger.admit(item("a"), None))
    await ledger.sending(claim, "mine")
    await ledger.answered(claim, "mine", ANSWER)  # of call "r"
    await crash(ledger)
    with RunReader(run) as reader:
        assert reader.status().images == {"ambiguous": 1}
    async with opened(run):
        pass
    assert states(run) == ["ambiguous"]
    assert (maybe_billed(run), answers(run)) == (1, [ANSWER.body])
    async with opened(run):
        pass
    assert (states(run), maybe_billed(run)) == (["ambiguous"], 1)
    assert query(run, "SELECT billing FROM item") == [(int(Billing.MAYBE_BILLED),)]


@pytest.mark.parametrize("beside", [False, True], ids=["in the ledger", "beside it"])
async def test_anothers_late_answer_leaves_an_image_ambiguous(run: Path, beside: bool) -> None:
    """Two requests of one call that may have been paid stay two, also when another call's answer comes late."""
    later = Clock()
    later.now += 31
    watch = FullDisk("answered") if beside else None
    async with opened(run, clock=Clock(), process=remote_process(), watch=watch) as sleeper:
        claim = claimed(await sleeper.admit(item("a"), None))
        await sleeper.sending(claim, "mine")
        await sleeper.maybe_billed(claim, "mine")
        await sleeper.sending(claim, "mine")
        async with opened(run, clock=later, process=remote_process()) as other:
            assert (states(run), maybe_billed(run)) == (["ambiguous"], 2)
            await sleeper.answered(claim, "mine", ANSWER)  # of call "r"
            await sleeper.settle(claim, settle_from_answer(ANSWER, Receipt, "mine"))
            later.now += 11  # the next order renews the lease, and looks for what came late
            await other.recall(source("x"), "receipt")
    async with opened(run):
        pass
    assert (states(run), calls(run), maybe_billed(run), answers(run)) == (["ambiguous"], 2, 2, [ANSWER.body])


async def test_anothers_late_answer_leaves_a_new_call_alone(run: Path) -> None:
    """An image that was sent again on request stays maybe billed for its first call, to which another's answer came."""
    later = Clock()
    later.now += 31
    async with opened(run, clock=Clock(), process=remote_process()) as sleeper:
        claim = claimed(await sleeper.admit(item("a"), None))
        await sleeper.sending(claim, "mine")
        async with opened(run, clock=later, process=remote_process()) as other:
            await other.requeue(Billing.MAYBE_BILLED, "receipt")
            again = claimed(await other.admit(item("a"), None))
            await other.sending(again, "again")
            await sleeper.answered(claim, "mine", ANSWER)  # of call "r"
            await other.answered(again, "again", own := HTTPResponse(200, ANSWER.body.replace(b'"r"', b'"again"')))
            await other.settle(again, settle_from_answer(own, Receipt, "again"))
    assert (states(run), calls(run), maybe_billed(run)) == (["succeeded"], 2, 1)


def test_the_settlement_of_anothers_answer() -> None:
    """Another call's answer settles its item as ambiguous."""
    verdict = settle_from_answer(ANSWER, Receipt, "mine")
    assert (verdict.event, verdict.billing) == (ItemEvent.MAYBE_BILLED, Billing.MAYBE_BILLED)
    assert settle_from_answer(ANSWER, Receipt, "r").event is ItemEvent.SUCCEED


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_a_stored_answer_of_another_call_is_not_recalled(state: State) -> None:
    """An answer with another requestId that an earlier version stored as a success is not replayed."""
    entry = Entry(1, item("a"), state, billing=Billing.BILLED, request_id="mine", answer=ANSWER)
    error = replay(entry, Receipt)
    assert isinstance(error, MalformedResponseError)
    assert (error.raw, error.billing) == (ANSWER.body, Billing.MAYBE_BILLED)
    assert not isinstance(replay(Entry(1, item("a"), state, request_id="r", answer=ANSWER), Receipt), ClovaOCRError)


async def test_a_refusal_beside_no_images_is_not_kept_as_paid(run: Path) -> None:
    """A refusal under 200 that has an empty list of images is a refusal: nothing is kept or counted as paid."""
    refusals = [
        HTTPResponse(200, b'{"images":[],"code":"0025"}'),
        HTTPResponse(200, b'{"images":[null],"code":"0025"}'),
        HTTPResponse(200, b'{"images":null,"error":{"errorCode":"420"}}'),
        HTTPResponse(200, b'{"images":[{}],"code":25}'),
    ]
    found = await batch(run, [JPEG], FakeTransport(*refusals))
    assert isinstance(found[0], Success)
    assert (calls(run), maybe_billed(run)) == (1, 0)
    assert answers(run) == [found[0].recognition.raw]


class Full(NoSeal):
    """Seals as a disk stores that has no room for answers."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Fail for an answer."""
        if context.startswith(b"answer|"):
            raise DiskFullError("made up: the disk is full")
        return super().seal(plain, context)


async def test_anothers_answer_that_cannot_be_stored_is_not_this_images(run: Path) -> None:
    """The image is ambiguous with the bytes in its error, and is neither billed nor counted as a lost answer."""
    late = Late()
    late.first = ANSWER
    async with opened(run, seal=Full()) as ledger:
        (found,) = await batch(ledger, [JPEG], transport := FakeTransport(late))
    assert len(transport.sent) == 1
    assert isinstance(found.error, MalformedResponseError)
    assert (found.error.billing, found.error.raw) == (Billing.MAYBE_BILLED, ANSWER.body)
    assert (states(run), calls(run), maybe_billed(run), answers(run)) == (["ambiguous"], 1, 1, [])


async def test_anothers_answer_that_cannot_be_stored_as_the_batch_is_cut_off(run: Path) -> None:
    """An image that got another call's answer is left over as maybe billed, with the bytes in its error."""
    client = ClovaOCRClient(domain(), transport=FakeTransport(then=ANSWER), runtime=FakeTime().runtime())
    async with opened(run, seal=Full(), watch=(stalled := Stalled("maybe billed"))) as ledger:
        batch = BatchDispatcher(client, ledger=ledger).dispatch([JPEG], Receipt)

        async def take() -> None:
            async with batch:
                await anext(batch)

        taking = asyncio.create_task(take())
        await asyncio.to_thread(stalled.reached.wait)
        taking.cancel()
        await steps()
        taking.cancel()
        await steps()
        stalled.go_on.set()
        await asyncio.wait([taking])
    (found,) = batch.left_over
    assert isinstance(found, Failure)
    assert isinstance(found.error, MalformedResponseError)
    assert (found.error.billing, found.error.raw) == (Billing.MAYBE_BILLED, ANSWER.body)
    assert (states(run), maybe_billed(run)) == (["ambiguous"], 1)


class Stalled:
    """A watch that holds up the first of some commits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, where: str) -> None:
        """Wait."""
        if where == f"before commit of {self.name}":
            self.reached.set()
            self.go_on.wait()


class Counting(NoSeal):
    """A seal that counts the values it opens.

    Attributes:
        opened: How many values.
    """

    opened = 0

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Open a value."""
        self.opened += 1
        return super().open(sealed, context)


@pytest.mark.parametrize("beside", [False, True], ids=["in the ledger", "beside it"])
async def test_anothers_answer_of_a_process_that_slept(run: Path, beside: bool) -> None:
    """An abandoned call that then gets another call's answer stays ambiguous, and is decided once a process."""
    later, seal = Clock(), Counting()
    later.now += 31
    watch = FullDisk("answered") if beside else None
    async with opened(run, clock=Clock(), process=remote_process(), watch=watch) as sleeper:
        claim = claimed(await sleeper.admit(item("a"), None))
        await sleeper.sending(claim, "mine")
        async with opened(run, clock=later, process=remote_process(), seal=seal) as other:
            assert (states(run), maybe_billed(run)) == (["ambiguous"], 1)
            await sleeper.answered(claim, "mine", ANSWER)  # of call "r"
            await sleeper.settle(claim, settle_from_answer(ANSWER, Receipt, "mine"))
            later.now += 11  # the next order renews the lease, and looks for what came late
            await other.recall(source("x"), "receipt")
            assert (calls(run), maybe_billed(run), answers(run)) == (1, 1, [ANSWER.body])
            before = seal.opened
            for _ in range(3):
                await other.others_at_work(["receipt"])
            assert seal.opened == before
    assert (states(run), maybe_billed(run)) == (["ambiguous"], 1)
    assert query(run, "SELECT billing FROM item") == [(int(Billing.MAYBE_BILLED),)]
