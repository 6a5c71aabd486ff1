"""Slots that a process has lost by the time it wakes, because it was stopped: nothing is sent in them."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from support.child_programs import line_of, running, write_to
from support.fakes import JPEG, FakeTime, FakeTransport, RecordingJournal, domain, steps

from clova_ocr_async.client import AttemptStarted, ClovaOCRClient, Event
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator.thread import emulator_in_thread
from clova_ocr_async.errors import Billing
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots import LocalSlots
from clova_ocr_async.slots.shared import StoreSlots
from clova_ocr_async.slots.sharing.sqlite_store import SqliteGateStore
from clova_ocr_async.slots.sharing.state import LEASE, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from support.slots import Host

SHORT_LEASE = 0.5
CALL = """
import asyncio, sys, time
from pathlib import Path
from clova_ocr_async import ClovaOCRClient, Domain, Image, Receipt
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots.shared import StoreSlots
from clova_ocr_async.slots.sharing.sqlite_store import SqliteGateStore
from clova_ocr_async.slots.sharing.state import Limits

class Journal:
    async def sending(self, attempt):
        print("sending", flush=True)
        sys.stdin.readline()  # with all of the process: it is stopped here

    def answered(self, attempt, response):
        print("answered", flush=True)

    def unanswered(self, attempt, error, *, body_began):
        print("unanswered", body_began, flush=True)

    def finished(self, billing, maybe_billed, raw):
        pass

async def main(path, url, lease):
    open_store = lambda: SqliteGateStore(Path(path), time.monotonic)
    slots = StoreSlots(open_store, Limits(1), Runtime(), lease=float(lease))
    image = Image(b"\\xff\\xd8\\xff\\xe0 1 \\xff\\xd9")
    async with ClovaOCRClient(Domain(url, "s", allow_http=True), slots=slots) as client:
        await client.recognize(image, Receipt, lane="batch", journal=Journal())

asyncio.run(main(*sys.argv[1:]))
"""


async def test_nothing_is_sent_in_a_slot_that_is_lost(host: Host) -> None:
    """A call whose slot is lost before it is sent takes its record back and waits anew; that costs no attempt."""
    time, events = FakeTime(), list[Event]()
    journal, transport = RecordingJournal(pause_at="sending"), FakeTransport()
    slots = host.slots(1, runtime=time.runtime())
    client = ClovaOCRClient(domain(), transport=transport, slots=slots, hooks=[events.append])
    task = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch", journal=journal))
    await journal.reached.wait()
    time.now += LEASE
    journal.go_on.set()
    recognition = await task
    assert journal.log == ["sending", "unanswered", "sending", "answered"]
    assert [type(journal.calls[1][1]).__name__, journal.calls[1][2]] == ["ConnectionFailedError", False]
    assert journal.billings == [Billing.NOT_BILLED, Billing.BILLED]
    assert (recognition.attempts, len(transport.sent)) == (1, 1)
    assert sum(isinstance(event, AttemptStarted) for event in events) == 1
    await steps()


async def test_a_slot_that_is_held_in_time_is_used() -> None:
    """A slot of one process is never lost, and one that is shared is not lost within its lease."""
    journal, time = RecordingJournal(pause_at="sending"), FakeTime()
    client = ClovaOCRClient(domain(), transport=FakeTransport(), slots=LocalSlots(runtime=time.runtime()))
    task = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch", journal=journal))
    await journal.reached.wait()
    time.now += 10 * LEASE
    journal.go_on.set()
    await task
    assert journal.log == ["sending", "answered"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes as Linux knows them")
def test_a_stopped_process_sends_nothing_that_exceeds_the_limit(tmp_path: Path) -> None:
    """A process that is stopped with an unused slot until another one has it sends nothing when it wakes, and waits."""
    path = tmp_path / "slots.sqlite"
    runtime = Runtime()
    slots = StoreSlots(lambda: SqliteGateStore(path, runtime.clock), Limits(1), runtime, lease=SHORT_LEASE)

    async def main(url: str) -> None:
        with running(CALL, path, url, SHORT_LEASE) as child:
            assert await asyncio.to_thread(line_of, child) == "sending"
            child.send_signal(signal.SIGSTOP)
            async with asyncio.timeout(10), slots.slot([Domain(url, "s", allow_http=True)], "batch", 0.0):
                child.send_signal(signal.SIGCONT)
                write_to(child)
                assert await asyncio.to_thread(line_of, child) == "unanswered False"
                assert emulator.requests == 0
            assert await asyncio.to_thread(line_of, child) == "sending"
            write_to(child)
            assert await asyncio.to_thread(line_of, child) == "answered"

    with emulator_in_thread(concurrency=1, secret="s") as emulator:
        asyncio.run(main(emulator.url()))
        assert emulator.requests == 1
