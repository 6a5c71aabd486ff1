from __future__ import annotations

import asyncio
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support.child_programs import line_of, running, write_to
from support.ledgers import eventually

from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator.thread import emulator_in_thread
from clova_ocr_async.slots import SharedSlots

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes as Linux knows them")

HOLD = """
import asyncio, sys
from clova_ocr_async import Domain, SharedSlots

async def hold(slots, domain, since):
    async with slots.slot([domain], "batch", since):
        print("holds", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

async def main(path, url, concurrency, *sinces):
    slots, domain = SharedSlots(path, concurrency=int(concurrency)), Domain(url, "s")
    tasks = [asyncio.create_task(hold(slots, domain, float(since))) for since in sinces]
    while True:
        state = slots.state(domain)
        if state.waiting + state.in_flight == len(tasks) and state.in_flight + state.elsewhere:
            break
        await asyncio.sleep(0.001)
    print("waits", flush=True)
    await asyncio.wait(tasks)

asyncio.run(main(*sys.argv[1:]))
"""
BATCH = """
import asyncio, sys
from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Domain, Image, Receipt, SharedSlots

async def main(path, url, first, count):
    numbers = range(int(first), int(first) + int(count))
    images = [Image(b"\\xff\\xd8\\xff\\xe0 %d \\xff\\xd9" % number) for number in numbers]
    async with ClovaOCRClient(Domain(url, "s", allow_http=True), slots=SharedSlots(path)) as client:
        print("ready", flush=True)
        sys.stdin.readline()
        async with BatchDispatcher(client).dispatch(images, Receipt) as outcomes:
            async for outcome in outcomes:
                print(type(outcome).__name__, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""
URL = "https://host.apigw.ntruss.com/custom/v1/7/0123456789abcdef"


async def seconds_to_a_slot(slots: SharedSlots, since: float = 0.0) -> float:
    """Return the seconds that it took to get a slot."""
    began = time.monotonic()
    async with asyncio.timeout(5), slots.slot([Domain(URL, "s")], "batch", since):
        return time.monotonic() - began


def test_the_slots_of_a_killed_process_are_soon_free(tmp_path: Path) -> None:
    """The slots of a killed process go to waiting calls within some two seconds, and to a new process at once."""
    path = tmp_path / "slots.sqlite"
    slots = SharedSlots(path, concurrency=1)
    with running(HOLD, path, URL, 1, 0.0) as holder:
        assert {line_of(holder), line_of(holder)} == {"holds", "waits"}

        async def wait() -> float:
            waiting = asyncio.create_task(seconds_to_a_slot(slots))
            await eventually(lambda: slots.state(Domain(URL, "s")).elsewhere)
            holder.kill()
            return await waiting

        assert asyncio.run(wait()) < 2.5
    with running(HOLD, path, URL, 1, 0.0) as holder:
        assert {line_of(holder), line_of(holder)} == {"holds", "waits"}
        holder.kill()
        holder.wait()
        assert asyncio.run(seconds_to_a_slot(SharedSlots(path, concurrency=1))) < 0.7


def test_a_stopped_process_keeps_no_slot_from_others(tmp_path: Path) -> None:
    """A slot that is offered to a stopped process goes to the next waiter; when the process goes on, it gets one."""
    path = tmp_path / "slots.sqlite"
    slots = SharedSlots(path, concurrency=1)

    async def main(sleeper: subprocess.Popen[str]) -> float:
        async with slots.slot([Domain(URL, "s")], "batch", 0.0):
            write_to(sleeper)
            assert await asyncio.to_thread(line_of, sleeper) == "waits"
            sleeper.send_signal(signal.SIGSTOP)
            behind = asyncio.create_task(seconds_to_a_slot(slots, time.monotonic() + 9))
            await asyncio.sleep(0)
        return await behind

    with running("import sys\nsys.stdin.readline()\n" + HOLD, path, URL, 1, 1.0) as sleeper:
        assert asyncio.run(main(sleeper)) < 2.0
        sleeper.send_signal(signal.SIGCONT)
        assert line_of(sleeper) == "holds"
        write_to(sleeper)
        assert sleeper.wait(5) == 0


@pytest.mark.timeout(60)
def test_two_processes_keep_one_limit(tmp_path: Path) -> None:
    """Two processes that know nothing are seldom refused at the limit they share, and the next one knows the limit."""
    path = tmp_path / "slots.sqlite"
    with emulator_in_thread(latency=0.02, concurrency=3, secret="s") as emulator:
        with running(BATCH, path, emulator.url(), 0, 60) as one, running(BATCH, path, emulator.url(), 60, 60) as two:
            for process in (one, two):
                assert line_of(process) == "ready"
            for process in (one, two):
                write_to(process)
            outputs = [process.stdout.read() for process in (one, two) if process.stdout is not None]
        assert [output.count("Success") for output in outputs] == [60, 60]
        refused = rejected(emulator)
        assert refused <= 120 // 25
        with running(BATCH, path, emulator.url(), 120, 10) as three:
            write_to(three)
            assert three.stdout is not None
            assert three.stdout.read().count("Success") == 10
        assert rejected(emulator) - refused <= 1


def rejected(emulator: Emulator) -> int:
    """Return the number of refused calls."""
    return emulator.requests - sum(emulator.billed.values())


def test_a_process_that_starts_later_gets_its_share(tmp_path: Path) -> None:
    """Calls of a process that starts while another one has many waiting get their slots in the order of their times."""
    path = tmp_path / "slots.sqlite"
    slots, order = SharedSlots(path, concurrency=1), list[str]()

    async def call(since: float) -> None:
        async with slots.slot([Domain(URL, "s")], "batch", since):
            order.append("this process")

    async def main(other: subprocess.Popen[str]) -> None:
        async with slots.slot([Domain(URL, "s")], "batch", 0.0):
            write_to(other)
            early = asyncio.create_task(call(1.0))
            late = asyncio.create_task(call(3.0))
            assert await asyncio.to_thread(line_of, other) == "waits"
        assert await asyncio.to_thread(line_of, other) == "holds"
        order.append("the other process")
        write_to(other)
        async with asyncio.timeout(5):
            await early
            await late

    with running("import sys\nsys.stdin.readline()\n" + HOLD, path, URL, 1, 2.0) as other:
        asyncio.run(main(other))
        assert other.wait(5) == 0
    assert order == ["this process", "the other process", "this process"]
