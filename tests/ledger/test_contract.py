from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import (
    ANSWER,
    FAILURE,
    Clock,
    ambiguous,
    claimed,
    dead_process,
    item,
    read,
    remote_process,
    shown,
    source,
)

from clova_ocr_async.errors import Billing, ConfigurationError, LedgerError, SpendingCeilingError
from clova_ocr_async.ledger.settlement import GONE
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.states import ClaimLostError, FileStamp, ItemEvent, Settlement, SourceFile, State
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from support.stores import Store

    from clova_ocr_async.ledger import RunLedger

RELEASE = Settlement(ItemEvent.RELEASE)
STAMP = FileStamp(1, 2, 3, 4)
CHANGED = FileStamp(9, 9, 9, 9)
FOREIGN = HTTPResponse(
    200, encode_response("another call", 0, {"uid": "u", "inferResult": "SUCCESS", "receipt": {"meta": {}}})
)


def states(store: Store, names: str, **settings: Any) -> list[str]:
    """Return the states of some items."""
    with store.view(**settings) as view:
        found = [view.find(item(name)) for name in names]
    return ["unknown" if entry is None else entry.state.value for entry in found]


def counts(store: Store, **settings: Any) -> tuple[int, int, int]:
    """Return how many calls are counted, maybe billed, and in flight."""
    with store.view(**settings) as view:
        status = view.status()
    return status.calls, status.maybe_billed, status.in_flight


def stored_answers(store: Store) -> int:
    """Return how many answers are stored."""
    with store.view() as view:
        return view.answers()


async def sent(ledger: RunLedger, name: str, answer: HTTPResponse | None = None) -> Any:
    """Have an item sent under a requestId that is its name, and answered if there is an answer."""
    claim = claimed(await ledger.admit(item(name), source(name)))
    assert await ledger.sending(claim, name)
    if answer is not None:
        await ledger.answered(claim, name, answer)
    return claim


# ---------------------------------------------------------------------------------------------------------------------
# Opening


async def test_a_ledger_is_opened_once(store: Store) -> None:
    """A second opening of one ledger is refused; the run itself is opened any number of times."""
    ledger = store.open()
    async with ledger:
        with pytest.raises(ConfigurationError, match="opened once"):
            await ledger.__aenter__()
    async with store.open():
        pass
    with store.view() as view:
        assert view.status().processes == 0


async def test_a_closed_ledger_is_refused(store: Store) -> None:
    """After closing every operation is refused, and callers that wait for an item wake."""
    ledger = store.open()
    async with ledger:
        claimed(await ledger.admit(item(), None))
        waiting = asyncio.create_task(ledger.changed((await ledger.admit(item(), None)).entry))
        await asyncio.sleep(0)
    await asyncio.wait_for(waiting, 10)
    with pytest.raises(LedgerError, match="not open"):
        await ledger.admit(item(), None)
    with pytest.raises(LedgerError, match="not open"):
        await ledger.open_for(["local"])


async def test_what_is_stored_of_answers_is_settled_when_the_run_begins(store: Store) -> None:
    """A run keeps the choice it was begun with, and refuses the other one."""
    async with store.open(store="none"):
        pass
    async with store.open():
        pass
    with pytest.raises(LedgerError, match="store is 'full'"):
        await store.open(store="full").__aenter__()


async def test_a_mistyped_host_can_be_corrected(store: Store) -> None:
    """A run whose calls all failed before they were billed is bound to the services that are given now."""
    async with store.open() as ledger:
        await ledger.open_for(["typo.invalid"])
        claim = await sent(ledger, "a")
        await ledger.refused(claim, "a", maybe_billed_before=False)
        await ledger.settle(claim, Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 0.1, b"{}"))
    async with store.open() as ledger:
        await ledger.open_for(["ocr.example"])
        with store.view() as view:
            assert view.status().services == ("ocr.example",)


@pytest.mark.parametrize("answered", [False, True])
async def test_a_run_in_which_a_call_may_have_been_billed_keeps_its_services(store: Store, answered: bool) -> None:
    """A run with an answer, or with a call that may have been billed, refuses other services."""
    async with store.open() as ledger:
        await ledger.open_for(["one.example"])
        claim = await sent(ledger, "a", ANSWER if answered else None)
        await ledger.settle(claim, read("a") if answered else ambiguous("a"))
    async with store.open() as ledger:
        with pytest.raises(LedgerError, match=r"one\.example.*two\.example"):
            await ledger.open_for(["two.example"])


async def test_services_hold_while_another_process_has_the_run_open(store: Store) -> None:
    """Another process may be about to send, so its services hold although nothing was billed."""
    async with store.open() as ledger:
        await ledger.open_for(["one.example"])
        async with store.open(process=remote_process()) as other:
            with pytest.raises(LedgerError, match="choose another run directory"):
                await other.open_for(["two.example"])


# ---------------------------------------------------------------------------------------------------------------------
# Claims


async def test_an_image_is_billed_once_under_all_its_names(store: Store) -> None:
    """An item that was read under one name is known under the next, and an unchanged file need not be read."""
    async with store.open() as ledger:
        claim = claimed(await ledger.admit(item(), SourceFile(b"a", STAMP)))
        assert await ledger.recall(SourceFile(b"a", STAMP), "receipt") is None
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", ANSWER)
        await ledger.settle(claim, read())
        again = await ledger.admit(item(), source("b"))
        assert (again.claim, again.entry.state, again.entry.answer) == (None, State.SUCCEEDED, ANSWER)
        recalled = await ledger.recall(SourceFile(b"a", STAMP), "receipt")
        assert recalled is not None
        assert recalled.answer == ANSWER
        for other in (SourceFile(b"b", STAMP), SourceFile(b"a", CHANGED), SourceFile(b"a")):
            assert await ledger.recall(other, "receipt") is None
        assert await ledger.recall(SourceFile(b"a", STAMP), "passport") is None
    assert counts(store) == (1, 0, 0)


async def test_one_caller_of_all_processes_gets_the_claim(store: Store) -> None:
    """While one process works on an item another one is not given it, and is when it was released."""
    async with store.open() as one, store.open(process=remote_process()) as two:
        claim = claimed(await one.admit(item(), None))
        assert (await one.admit(item(), None)).claim is None
        waiting = await two.admit(item(), None)
        assert (waiting.claim, waiting.entry.state) == (None, State.CLAIMED)
        await one.settle(claim, RELEASE)
        await asyncio.wait_for(two.changed(waiting.entry), 10)
        assert claimed(await two.admit(item(), None)).number == claim.number


async def test_a_claim_without_a_caller_is_released(store: Store) -> None:
    """A caller that is cancelled while an image is admitted, at any moment, leaves it free for the next."""
    async with store.open() as ledger:
        for steps in range(8):
            admitting = asyncio.create_task(ledger.admit(item(), None))
            for _ in range(steps):
                await asyncio.sleep(0.0002)
            admitting.cancel()
            await asyncio.wait([admitting])
            # The one before may have been claimed only now, and be released a moment later.
            if not admitting.cancelled() and (claim := admitting.result().claim) is not None:
                await ledger.settle(claim, RELEASE)
            async with asyncio.timeout(10):
                while (admission := await ledger.admit(item(), None)).claim is None:
                    await ledger.changed(admission.entry)
            await ledger.settle(claimed(admission), RELEASE)
    assert states(store, "a") == ["queued"]


async def test_a_file_that_cannot_be_read_is_kept_by_name(store: Store) -> None:
    """Such a file is recorded with its error, and is an image again once it was read."""
    async with store.open() as ledger:
        assert await ledger.reject(source("a"), "receipt", b"{}") is None
        with store.view() as view:
            (record,) = view.records()
        assert (record.path, record.status, record.entry, record.failure) == ("a", "skipped", None, b"{}")
        await ledger.admit(item(), source("a"))
        with store.view() as view:
            (record,) = view.records()
    assert (record.failure, record.entry is not None) == (b"", True)


async def test_a_removed_file_keeps_what_was_paid_for(store: Store) -> None:
    """The name of a removed file keeps its finished item; one that was never read counts as vanished."""
    async with store.open() as ledger:
        await ledger.settle(await sent(ledger, "a", ANSWER), read("a"))
        known = await ledger.reject(source("a"), "receipt", GONE)
        assert known is not None
        assert known.item == item("a")
        assert await ledger.reject(source("b"), "receipt", GONE) is None
    with store.view() as view:
        assert [record.status for record in view.records()] == ["succeeded", "skipped"]
        assert view.status().vanished == 1


async def test_a_picture_replaced_under_its_last_name_is_listed_if_it_was_billed(store: Store) -> None:
    """A picture whose name holds another one by now is listed beside the images if it cost a call."""
    async with store.open() as ledger:
        await ledger.settle(await sent(ledger, "billed", ANSWER), read("billed"))
        await ledger.admit(item("new"), source("billed"))
        await ledger.settle(claimed(await ledger.admit(item("free"), source("other"))), Settlement(ItemEvent.SKIP))
        await ledger.admit(item("newer"), source("other"))
        with store.view() as view:
            records = list(view.records())
            assert view.status().total == 2
        assert await ledger.requeue(Billing.NOT_BILLED) == 0  # no file holds the picture any more
    assert [(one.path, one.status, one.replaced) for one in records] == [
        ("billed", "pending", False),
        ("other", "pending", False),
        ("billed", "succeeded", True),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Marks


async def test_marks_count_calls(store: Store) -> None:
    """Another process sees each mark, and the call it counts, when the method has returned."""
    async with store.open() as ledger:
        claim = await sent(ledger, "a")
        assert (states(store, "a"), counts(store)) == (["sent"], (1, 0, 1))
        await ledger.refused(claim, "a", maybe_billed_before=False)
        assert (states(store, "a"), counts(store)) == (["claimed"], (0, 0, 0))
        await ledger.sending(claim, "a")
        await ledger.maybe_billed(claim, "a")
        assert (states(store, "a"), counts(store)) == (["sent"], (1, 1, 0))
        await ledger.sending(claim, "a")
        await ledger.refused(claim, "a", maybe_billed_before=True)
        assert (states(store, "a"), counts(store)) == (["sent"], (1, 1, 0))
        await ledger.settle(claim, ambiguous("a"))
    assert (states(store, "a"), counts(store)) == (["ambiguous"], (1, 1, 0))


@pytest.mark.parametrize(
    ("settlement", "state", "count"),
    [
        (ambiguous("a"), "ambiguous", (1, 1, 0)),
        (Settlement(ItemEvent.RELEASE, request_id="a"), "queued", (0, 0, 0)),
        (Settlement(ItemEvent.SKIP, request_id="a"), "skipped", (0, 0, 0)),
        (Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, b"{}", "a"), "failed", (1, 0, 0)),
    ],
)
async def test_a_settlement_makes_up_for_a_missing_mark(
    store: Store, settlement: Settlement, state: str, count: tuple[int, int, int]
) -> None:
    """A call that is settled while its request is still marked as in flight is counted as the settlement has it."""
    async with store.open() as ledger:
        await ledger.settle(await sent(ledger, "a"), settlement)
        assert (states(store, "a"), counts(store)) == ([state], count)


async def test_a_doubt_counts_a_call_whose_answer_is_anothers(store: Store) -> None:
    """A sent item that has an answer and is settled as MAYBE_BILLED has one call more that may have been billed."""
    async with store.open() as ledger:
        claim = await sent(ledger, "a")
        await ledger.maybe_billed(claim, "a")
        await ledger.sending(claim, "a")
        await ledger.answered(claim, "a", FOREIGN)
        await ledger.settle(claim, ambiguous("a"))
        assert (states(store, "a"), counts(store)) == (["ambiguous"], (2, 2, 0))
        assert (await ledger.admit(item("a"), None)).entry.maybe_billed == 2
    assert (states(store, "a"), counts(store)) == (["ambiguous"], (2, 2, 0))


async def test_a_stranger_settles_nothing(store: Store) -> None:
    """A settlement of another call, or by another owner, changes nothing of the item."""
    async with store.open() as one, store.open(process=remote_process()) as two:
        claim = await sent(one, "a")
        await two.settle(claim, Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, b"{}", "another"))
        await two.refused(claim, "another", maybe_billed_before=False)
        await two.maybe_billed(claim, "another")
        assert (states(store, "a"), counts(store)) == (["sent"], (1, 0, 1))
        with pytest.raises(ClaimLostError):
            await two.sending(type(claim)(claim.number, claim.owner + 1, claim.item), "another")


async def test_two_answers_of_one_call_are_both_stored(store: Store) -> None:
    """If an answer that looked billed was none, the next answer of the same call is stored as well, and counts."""
    times = iter(range(1, 99))
    async with store.open(now=lambda: float(next(times))) as ledger:
        claim = await sent(ledger, "a", FAILURE)
        await ledger.sending(claim, "a")
        await ledger.answered(claim, "a", ANSWER)
        await ledger.settle(claim, read("a"))
        assert (await ledger.admit(item(), None)).entry.answer == ANSWER
    assert stored_answers(store) == 2


@pytest.mark.parametrize("kept", ["full", "none"])
async def test_what_is_stored_of_an_answer(store: Store, kept: Any) -> None:
    """A run that stores answers has their bytes as they arrived; one that does not has how each call ended."""
    cut = HTTPResponse(200, b"half an ans", cut="the connection was lost")
    failed = Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, b'{"type":"MalformedResponseError"}', "b")
    async with store.open(store=kept) as ledger:
        await ledger.settle(await sent(ledger, "a", ANSWER), read("a"))
        await ledger.settle(await sent(ledger, "b", cut), failed)
        entries = [(await ledger.admit(item(name), None)).entry for name in "ab"]
    assert [entry.state for entry in entries] == [State.SUCCEEDED, State.FAILED]
    assert [entry.failure for entry in entries] == [b"", failed.failure]
    assert [entry.answer for entry in entries] == ([ANSWER, cut] if kept == "full" else [None, None])
    assert counts(store) == (2, 0, 0)


async def test_the_call_limit_is_never_passed(store: Store) -> None:
    """Two processes together send no more than the run allows; while a call may turn out unbilled the other waits."""
    async with store.open(max_calls=2) as one, store.open(process=remote_process()) as two:
        first, second = claimed(await one.admit(item("a"), None)), claimed(await one.admit(item("b"), None))
        third = claimed(await two.admit(item("c"), None))
        await one.sending(first, "r1")
        await one.sending(second, "r2")
        assert not await two.sending(third, "r3")
        await one.refused(second, "r2", maybe_billed_before=False)
        assert await two.sending(third, "r3")
        await two.answered(third, "r3", ANSWER)
        await one.answered(first, "r1", ANSWER)
        with pytest.raises(SpendingCeilingError, match="call limit of the run is reached: 2 calls"):
            await one.sending(second, "r2")
        assert two.max_calls == 2
    async with store.open(max_calls="none") as ledger:
        assert ledger.max_calls is None
    assert counts(store)[0] == 2


# ---------------------------------------------------------------------------------------------------------------------
# Take-over


async def test_what_a_dead_process_left_is_settled(store: Store) -> None:
    """An unsent item is free, an answered one is finished, the others are ambiguous; an unsent file is read again."""
    dead = store.open(process=dead_process())
    await dead.__aenter__()
    await dead.admit(item("c"), source("c"))
    await sent(dead, "s")
    await sent(dead, "a", ANSWER)
    await sent(dead, "f", FAILURE)
    await dead.maybe_billed(await sent(dead, "m"), "m")
    await store.crash(dead)
    async with store.open() as ledger:
        assert states(store, "csafm") == ["queued", "ambiguous", "succeeded", "failed", "ambiguous"]
        assert counts(store) == (4, 2, 0)
        with store.view() as view:
            assert shown(view.to_read("receipt")) == ["c"]
        assert (await ledger.admit(item("s"), None)).claim is None
        assert (await ledger.admit(item("c"), None)).claim is not None
        assert await ledger.requeue(Billing.MAYBE_BILLED) == 2
        assert (await ledger.admit(item("s"), None)).claim is not None
        assert await ledger.requeue(Billing.BILLED) == 1
        assert await ledger.requeue(Billing.NOT_BILLED) == 0
    assert stored_answers(store) == 2


async def killed(store: Store, name: str, count: int | None = None) -> int:
    """Have a process claim an item, perhaps record a count, and die; return the count that its claim had."""
    dead = store.open(process=dead_process())
    await dead.__aenter__()
    claim = claimed(await dead.admit(item(name), source(name)))
    if count is not None:
        await dead.set_interrupted(claim, count)
    await store.crash(dead)
    return claim.interrupted


async def test_an_item_knows_how_many_processes_it_has_interrupted(store: Store) -> None:
    """The first death with a claim counts as one, later ones as what was recorded before; no call is counted."""
    assert [await killed(store, "a", count) for count in (None, None, 2, 3, None)] == [0, 1, 1, 2, 3]
    async with store.open() as ledger:
        claim = claimed(await ledger.admit(item("a"), None))
        assert claim.interrupted == 3
        await ledger.set_interrupted(claim, 0)
        await ledger.settle(claim, RELEASE)
        assert claimed(await ledger.admit(item("a"), None)).interrupted == 0
    assert counts(store) == (0, 0, 0)


async def test_a_process_that_leaves_in_order_was_not_interrupted(store: Store) -> None:
    """A claim that is open when its ledger is closed, or that is given back, counts no interruption."""
    async with store.open() as ledger:
        await ledger.settle(claimed(await ledger.admit(item("a"), source("a"))), RELEASE)
        await ledger.admit(item("b"), source("b"))
    async with store.open() as ledger:
        assert [claimed(await ledger.admit(item(name), None)).interrupted for name in "ab"] == [0, 0]


async def test_a_lost_claim_records_no_interruption(store: Store) -> None:
    """A process that slept past its lease, or that has ended its call, changes no count of the item."""
    clock = Clock()
    async with store.open(process=remote_process(), clock=clock) as slept:
        claim = claimed(await slept.admit(item("a"), source("a")))
        late = Clock()
        late.now = clock.now + LEASE + 1
        async with store.open(process=remote_process(), clock=late) as other:
            again = claimed(await other.admit(item("a"), None))
            await slept.set_interrupted(claim, 3)
            await other.settle(again, Settlement(ItemEvent.SKIP, failure=b"{}"))
            await other.set_interrupted(again, 3)
            assert await other.requeue(Billing.NOT_BILLED) == 1
            assert claimed(await other.admit(item("a"), None)).interrupted == 0


async def test_an_item_that_is_queued_again_has_interrupted_no_process(store: Store) -> None:
    """A user who asks for a parked image has it read as any other."""
    await killed(store, "a", 3)
    async with store.open() as ledger:
        claim = claimed(await ledger.admit(item("a"), None))
        await ledger.settle(claim, Settlement(ItemEvent.SKIP, failure=b"{}"))
        assert await ledger.requeue(Billing.NOT_BILLED) == 1
        assert claimed(await ledger.admit(item("a"), None)).interrupted == 0


async def test_a_view_shows_what_the_next_process_will_store(store: Store) -> None:
    """Every item of a dead process, and every count, is the same before and after the next process opens the run."""
    dead = store.open(process=dead_process())
    await dead.__aenter__()
    await dead.admit(item("c"), source("c"))
    for name, answer in (("s", None), ("a", ANSWER), ("f", FAILURE), ("o", FOREIGN)):
        await sent(dead, name, answer)
    await dead.maybe_billed(await sent(dead, "m"), "m")
    await store.crash(dead)
    with store.view() as view:
        before = [view.find(item(name)) for name in "csafom"], view.status(), list(view.ambiguous_names())
    async with store.open():
        pass
    with store.view() as view:
        after = [view.find(item(name)) for name in "csafom"], view.status(), list(view.ambiguous_names())
    assert before == after
    assert before[2] == ["s", "o", "m"]


async def test_closing_in_the_middle_settles_what_is_left(store: Store) -> None:
    """A call that is in flight when its ledger is closed is ambiguous; an item that only waited is free."""
    async with store.open() as ledger:
        await sent(ledger, "a")
        await ledger.admit(item("b"), None)
    assert (states(store, "ab"), counts(store)) == (["ambiguous", "queued"], (1, 1, 0))


async def test_a_process_that_slept_sends_nothing_and_loses_nothing(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that slept past its lease is refused before it sends, and stores the answers it waited for."""
    clock, other = Clock(), Clock()
    async with (
        store.open(process=remote_process(), clock=clock) as sleeper,
        store.open(process=remote_process(), clock=other) as awake,
    ):
        one, two = claimed(await sleeper.admit(item("a"), None)), await sent(sleeper, "b")
        other.now += LEASE + 1
        await awake.others_at_work(["receipt"])
        assert states(store, "ab", clock=other) == ["queued", "ambiguous"]
        again = claimed(await awake.admit(item("a"), None))
        clock.now = other.now
        with pytest.raises(ClaimLostError):
            await sleeper.sending(one, "late")
        await awake.sending(again, "again")
        await sleeper.answered(two, "b", ANSWER)
        await sleeper.settle(two, read("b"))
        third = claimed(await sleeper.admit(item("c"), None))
        assert third.owner not in {one.owner, again.owner}
        assert states(store, "abc", clock=other) == ["sent", "succeeded", "claimed"]
        assert counts(store, clock=other) == (2, 0, 1)
    assert "slept past its lease, or its run was restored; it goes on as another owner" in caplog.text


@pytest.mark.parametrize("taken", [False, True])
async def test_a_late_answer_keeps_a_requeued_item_from_being_sent(store: Store, taken: bool) -> None:
    """When the answer of a sleeper arrives before its requeued image is sent again, the image is not sent."""
    clock, later = Clock(), Clock()
    later.now += LEASE + 1
    async with store.open(process=remote_process(), clock=clock) as sleeper:
        slept = await sent(sleeper, "a")
        async with store.open(process=remote_process(), clock=later) as ledger:
            assert await ledger.requeue(Billing.MAYBE_BILLED) == 1
            again = claimed(await ledger.admit(item(), None)) if taken else None
            await sleeper.answered(slept, "a", ANSWER)
            if again is not None:
                with pytest.raises(ClaimLostError):
                    await ledger.sending(again, "again")
            assert (await ledger.admit(item(), None)).claim is None
            await ledger.others_at_work(["receipt"])
            entry = (await ledger.admit(item(), None)).entry
            assert (entry.state, entry.answer) == (State.SUCCEEDED, ANSWER)
    assert counts(store, clock=later) == (1, 0, 0)


@pytest.mark.parametrize("settlement", [read("a"), Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b"{}", "a")])
async def test_a_late_settlement_without_an_answer_counts(store: Store, settlement: Settlement) -> None:
    """A call that was taken over and ends after all is not ambiguous any more, also where no answers are stored."""
    clock, other = Clock(), Clock()
    async with (
        store.open(process=remote_process(), clock=clock, store="none") as sleeper,
        store.open(process=remote_process(), clock=other) as awake,
    ):
        claim = await sent(sleeper, "a")
        other.now += LEASE + 1
        await awake.others_at_work(["receipt"])
        assert counts(store, clock=other) == (1, 1, 0)
        await sleeper.answered(claim, "a", ANSWER)
        await sleeper.settle(claim, settlement)
        assert counts(store, clock=other) == (int(settlement.billing is Billing.BILLED), 0, 0)


@pytest.mark.parametrize(("answer", "state", "requeued"), [(ANSWER, "succeeded", 0), (FOREIGN, "ambiguous", 1)])
async def test_a_late_answer_settles_an_ambiguous_item(
    store: Store, answer: HTTPResponse, state: str, requeued: int
) -> None:
    """If a sleeper dies after its late answer, the image is settled from that, unless it is another call's."""
    clock, other = Clock(), Clock()
    async with store.open(process=remote_process(), clock=other) as awake:
        sleeper = store.open(process=remote_process(), clock=clock)
        await sleeper.__aenter__()
        claim = await sent(sleeper, "a")
        other.now += LEASE + 1
        await awake.others_at_work(["receipt"])
        await sleeper.answered(claim, "a", answer)
        await store.crash(sleeper)
        for _ in range(2):  # a foreign answer is counted once
            await awake.others_at_work(["receipt"])
            assert (states(store, "a", clock=other), counts(store, clock=other)) == ([state], (1, requeued, 0))
            assert (await awake.admit(item("a"), None)).entry.maybe_billed == requeued
        assert await awake.requeue(Billing.MAYBE_BILLED) == requeued


async def test_another_calls_late_answer_takes_back_no_doubt(store: Store) -> None:
    """Two requests of one call that may have been billed stay two when an answer to another call arrives late."""
    clock, other = Clock(), Clock()
    async with (
        store.open(process=remote_process(), clock=clock) as sleeper,
        store.open(process=remote_process(), clock=other) as awake,
    ):
        claim = await sent(sleeper, "a")
        await sleeper.maybe_billed(claim, "a")
        await sleeper.sending(claim, "a")
        other.now += LEASE + 1
        await awake.others_at_work(["receipt"])
        assert counts(store, clock=other) == (2, 2, 0)
        await sleeper.answered(claim, "a", FOREIGN)
        await awake.others_at_work(["receipt"])
        assert (states(store, "a", clock=other), counts(store, clock=other)) == (["ambiguous"], (2, 2, 0))


async def test_a_waiting_caller_does_not_wait_for_a_dead_process(store: Store) -> None:
    """A caller that waits for an item wakes when the process that has it dies, and gets the claim."""
    clock, other = Clock(), Clock()
    dead = store.open(process=remote_process(), clock=clock)
    await dead.__aenter__()
    async with store.open(process=remote_process(), clock=other) as ledger:
        await dead.admit(item(), None)
        waiting = asyncio.create_task(ledger.changed((await ledger.admit(item(), None)).entry))
        await asyncio.sleep(0)
        await store.crash(dead)
        other.now += LEASE + 1
        await asyncio.wait_for(waiting, 10)
        assert (await ledger.admit(item(), None)).claim is not None


# ---------------------------------------------------------------------------------------------------------------------
# The work list, and requeueing


async def test_files_are_handed_out_once_in_order(store: Store) -> None:
    """Each file goes to one process, in the order they were found; released files are free again."""
    async with store.open() as one, store.open(process=remote_process()) as two:
        one.add_files([source(name) for name in "abcd"], "receipt")
        assert shown(await one.claim_files(["receipt"], 2)) == ["a", "b"]
        assert shown(await two.claim_files(["receipt"], 9)) == ["c", "d"]
        assert shown(await two.claim_files(["receipt"], 9)) == []
        await two.admit(item("c"), source("c"))
        await two.release_files(["receipt"])
        assert shown(await one.claim_files(["receipt"], 9)) == ["d"]
        assert shown(await one.claim_files(["passport"], 9)) == []


async def test_there_is_more_to_do_while_others_hold_something(store: Store) -> None:
    """While another process has a file or an item, or a file is free, there may be more to do."""
    async with store.open() as one, store.open(process=remote_process()) as two:
        one.add_files([source("a")], "receipt")
        assert await two.others_at_work(["receipt"])
        assert not await two.others_at_work(["passport"])
        await one.claim_files(["receipt"], 1)
        assert await two.others_at_work(["receipt"])
        assert not await one.others_at_work(["receipt"])
        claim = claimed(await one.admit(item("a"), source("a")))
        assert await two.others_at_work(["receipt"])
        await one.settle(claim, Settlement(ItemEvent.SKIP))
        assert not await two.others_at_work(["receipt"])


async def test_files_are_read_again_if_they_changed_or_could_not_be_read(store: Store) -> None:
    """An unchanged file stays what it was; a changed one, a young one and a rejected one are to be read again."""
    stamped = {name: SourceFile(name.encode(), STAMP) for name in ("same", "changed", "removed")}
    async with store.open() as ledger:
        for name, file in stamped.items():
            await ledger.settle(claimed(await ledger.admit(item(name), file)), Settlement(ItemEvent.SKIP))
        await ledger.admit(item("young"), source("young"))
        await ledger.reject(source("rejected"), "receipt", b"{}")
        ledger.add_files(
            [
                stamped["same"],
                SourceFile(b"changed", CHANGED),
                source("removed"),
                SourceFile(b"young", STAMP),
                SourceFile(b"rejected", STAMP),
                SourceFile(b"new", STAMP, b"/alias/new"),
            ],
            "receipt",
        )
        ledger.add_files([SourceFile(b"/alias/new", STAMP, b"new")], "receipt")
        assert shown(await ledger.claim_files(["receipt"], 9)) == ["changed", "young", "rejected", "new"]


async def test_the_files_of_a_dead_process_are_free(store: Store) -> None:
    """The files that a dead process had taken are handed out again."""
    dead = store.open(process=dead_process())
    await dead.__aenter__()
    dead.add_files([source("a")], "receipt")
    await dead.claim_files(["receipt"], 1)
    await store.crash(dead)
    async with store.open() as ledger:
        assert shown(await ledger.claim_files(["receipt"], 1)) == ["a"]


@pytest.mark.parametrize("event", [ItemEvent.RELEASE, ItemEvent.FAIL, ItemEvent.SKIP])
async def test_a_request_is_ended_by_its_own_call_alone(store: Store, event: ItemEvent) -> None:
    """A call that has sent nothing takes no request of another one back, also where a restore gave both one number."""
    async with store.open() as ledger:
        claim = await sent(ledger, "a")
        await ledger.settle(claim, Settlement(event, request_id="another call"))
        await ledger.settle(claim, Settlement(event))
        assert (states(store, "a"), counts(store)) == (["sent"], (1, 0, 1))
        await ledger.settle(claim, Settlement(event, request_id="a"))
        assert counts(store) == (0, 0, 0)


async def test_unread_items_are_requeued_by_their_billing(store: Store) -> None:
    """Requeued items are those of one billing and document; their files are to be read again, without their error."""
    ends = {
        "n": Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, b"{}"),
        "s": Settlement(ItemEvent.SKIP, failure=b"{}"),
        "b": Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, b"{}", "b"),
        "m": ambiguous("m"),
    }
    async with store.open() as ledger:
        for name, end in ends.items():
            claim = claimed(await ledger.admit(item(name), source(name)))
            if end.request_id is not None:
                await ledger.sending(claim, end.request_id)
            await ledger.settle(claim, end)
        assert await ledger.requeue(Billing.NOT_BILLED, "passport") == 0
        assert await ledger.requeue(Billing.NOT_BILLED, "receipt") == 2
        assert states(store, "nsbm") == ["queued", "queued", "failed", "ambiguous"]
        assert [await ledger.requeue(billing) for billing in Billing] == [0, 1, 1]
        with store.view() as view:
            entry = view.find(item("m"))
            assert shown(view.to_read("receipt")) == ["n", "s", "b", "m"]
        assert entry is not None
        assert (entry.state, entry.failure, entry.maybe_billed) == (State.QUEUED, b"", 1)
