"""Shared slots as a user meets them: their arguments, real calls, and what is learned."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    KEY,
    FakeTime,
    FakeTransport,
    Held,
    RecordingJournal,
    domain,
    error,
    jump,
    run_jumping,
    steps,
)
from support.slots import Holder, Host, MemoryHost, SqliteHost, check_idle, held, holding, loop_runtime

from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, OverloadedError
from clova_ocr_async.slots import GateState, SharedSlots
from clova_ocr_async.slots.limit import INITIAL_LIMIT, LimitSignal

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.slots import Lane


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def test_a_state_before_anything_is_known(tmp_path: Path) -> None:
    """Before the first sync the state of a domain follows from the given limits, and no file is created."""
    path = tmp_path / "slots.sqlite"
    slots = SharedSlots(path, concurrency=3)
    assert slots.state(domain()) == GateState(ceiling=3)
    assert SharedSlots(path).state(domain()) == GateState(ceiling=INITIAL_LIMIT)
    assert slots.state(domain(max_concurrency=2)).ceiling == 3  # the first object of a domain gives its limits
    assert not path.exists()


def test_bad_arguments() -> None:
    """An argument that cannot work is refused by name."""
    for settings in ({"path": 7}, {"path": ""}, {"concurrency": 0}, {"max_per_second": -1}):
        with pytest.raises(ConfigurationError, match=next(iter(settings))):
            SharedSlots(**settings)


def test_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the file lies in the user's folder for state."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    async def main() -> None:
        async with held(holder := Holder(SharedSlots())):
            await holder.until_granted()

    asyncio.run(main())
    assert len(list(tmp_path.rglob("slots.sqlite"))) == 1


async def test_a_real_thread(host: Host) -> None:
    """With a thread of its own the slots work the same, and leave nothing open."""
    with ThreadPoolExecutor(1) as thread:
        slots = host.slots(2, executor=thread)

        async def call() -> None:
            async with slots.slot([domain()], "batch", 0.0) as slot:
                slot.admitted()
                assert slots.state(domain()).in_flight <= 2

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(call())
        await asyncio.wrap_future(thread.submit(int))  # the last sync is over
    check_idle(host, slots)


async def test_a_file_that_cannot_be_used_stops_no_call(tmp_path: Path) -> None:
    """If the file cannot be used, the slots go on for this process alone."""
    (tmp_path / "folder").mkdir()
    slots = SqliteHost(tmp_path / "folder").slots(1)
    holders = [Holder(slots, since=float(number)) for number in range(2)]
    async with held(*holders):
        assert holding(holders) == [True, False]
        await holders[0].end()
        assert holders[1].holds
    assert slots.state(domain()) == GateState(ceiling=1)


# ---------------------------------------------------------------------------------------------------------------------
# What is learned


async def test_a_result_is_learned_logged_and_remembered(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal lowers the limit, is counted, and is logged without a secret; the next process knows the limit."""
    caplog.set_level(logging.INFO)
    slots = host.slots()
    holders = [Holder(slots) for _ in range(INITIAL_LIMIT)]
    await steps()
    assert all(holding(holders))
    await holders[0].end(LimitSignal(3))
    state = slots.state(domain())
    assert (state.ceiling, state.rejections, state.in_flight) == (3, 1, 3)
    for holder in holders[1:]:
        await holder.end("admitted")
    check_idle(host, slots)
    assert f"{INITIAL_LIMIT - 1} calls at once, not {INITIAL_LIMIT}" in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(slots)
    another = host.slots()
    holders = [Holder(another) for _ in range(INITIAL_LIMIT)]
    async with held(*holders):
        assert holding(holders) == [True, True, True, False]
        assert another.state(domain()).rejections == 0


# ---------------------------------------------------------------------------------------------------------------------
# Real calls


@pytest.mark.parametrize("lane", ["interactive", "batch"])
@pytest.mark.parametrize("answers", [[], [BUSY], [FAILED, BUSY], [error("0023")], [OverloadedError]])
def test_a_call_cancelled_anywhere_leaves_no_trace(lane: Lane, answers: list[Any]) -> None:
    """Cancelled at any of its awaits, a call releases its slot, leaves the queue and closes the store."""

    async def cancel_after(moment: int) -> bool:
        host = MemoryHost()  # one that has learned of no refusals yet
        slots, transport = host.slots(2, runtime=loop_runtime()), FakeTransport(*answers)
        client = ClovaOCRClient(domain(), transport=transport, slots=slots, runtime=FakeTime().runtime())
        others = [Holder(slots) for _ in range(2)]
        await steps(3)
        task = asyncio.create_task(client.recognize(JPEG, Receipt, lane=lane, journal=RecordingJournal()))
        for count in range(moment):
            await asyncio.sleep(0)
            jump(0.01)
            if count in {10, 50}:
                others[count // 50].may_end.set()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, ClovaOCRError):
            await task
        for other in others:
            await other.end()
        assert transport.in_flight == 0
        check_idle(host, slots)
        return task.cancelled()

    async def main() -> None:
        moment = 0
        while await cancel_after(moment):
            moment += 1
            assert moment < 300
        assert moment > 20

    run_jumping(main())


def test_a_deadline_while_waiting_for_a_slot(host: Host) -> None:
    """A call whose deadline passes while other processes hold all slots fails unsent, and leaves the queue."""

    async def main() -> None:
        slots, elsewhere = host.slots(1), host.slots(1)
        client = ClovaOCRClient(domain(), transport=FakeTransport(), slots=slots)
        other = Holder(elsewhere)
        await steps()
        task = asyncio.create_task(client.recognize(JPEG, Receipt))
        await steps()
        jump(301)
        with pytest.raises(OverloadedError, match="deadline"):
            await task
        await other.end()
        await steps()
        check_idle(host, slots, elsewhere)

    run_jumping(main())


async def test_two_clients_with_the_same_slots(host: Host) -> None:
    """Two clients with the same slots share them."""
    slots, step = host.slots(1), Held()
    clients = [ClovaOCRClient(domain(), transport=FakeTransport(step), slots=slots) for _ in range(2)]
    tasks = [asyncio.create_task(client.recognize(JPEG, Receipt)) for client in clients]
    await step.reached.wait()
    await steps()
    assert slots.state(domain()) == GateState(ceiling=1, in_flight=1, waiting=1)
    step.go_on.set()
    for task in tasks:
        await task
    await steps()
    check_idle(host, slots)


async def test_a_refused_call_goes_again(host: Host) -> None:
    """A refused call takes the next free slot, and is counted as a rejection."""
    slots, time = host.slots(), FakeTime()
    client = ClovaOCRClient(domain(), transport=FakeTransport(BUSY), slots=slots, runtime=time.runtime())
    recognition = await client.recognize(JPEG, Receipt)
    assert recognition.attempts == 2
    assert slots.state(domain()).rejections == 1
    await steps()
    check_idle(host, slots)
