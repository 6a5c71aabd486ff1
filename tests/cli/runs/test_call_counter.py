from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from support.fakes import FAILED, JPEG, FakeTime, FakeTransport, Held, domain

from clova_ocr_async.cli.runs.call_counter import CallCounter
from clova_ocr_async.cli.runs.input_file import InputFile
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.cli.runs.line_writer import LineWriter
from clova_ocr_async.cli.runs.one_shot import OneShotRun
from clova_ocr_async.cli.terminal.progress import shown_progress
from clova_ocr_async.client import AttemptFinished, ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    Billing,
)

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.client import Event, RequestProgress
    from clova_ocr_async.protocol.request import HTTPRequest
    from clova_ocr_async.protocol.response import HTTPResponse


class NoConnection(FakeTransport):
    """A transport that answers the first request, and then waits for a connection that it never gets."""

    def __init__(self) -> None:
        super().__init__(FAILED)
        self.waits = asyncio.Event()

    async def send(self, request: HTTPRequest, exchange: RequestProgress) -> HTTPResponse:
        """Answer the first request; wait with the next one, whose body never begins."""
        if not self.sent:
            return await super().send(request, exchange)
        self.waits.set()
        never: asyncio.Future[HTTPResponse] = asyncio.get_running_loop().create_future()
        return await never


async def cancelled_in_its_retry(client: ClovaOCRClient, transport: NoConnection) -> None:
    """Cancel a call whose first request may have been paid, and whose second one has not begun to leave."""
    call = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
    await transport.waits.wait()
    call.cancel()
    await asyncio.wait([call])


async def test_a_request_that_never_began_is_not_counted() -> None:
    """A call that is cancelled before the body of its retry began counts its first request alone as maybe billed."""
    calls, transport, time = CallCounter(), NoConnection(), FakeTime()
    client = ClovaOCRClient(domain(), transport=transport, runtime=time.runtime(), hooks=[calls.note])
    await cancelled_in_its_retry(client, transport)
    assert (calls.maybe_billed, calls.billed, calls.in_flight) == (1, 0, 0)


async def test_the_record_of_a_call_that_is_cut_off_names_its_requests(tmp_path: Path) -> None:
    """The record of a call that is cut off has its requestId and both requests; one of them may have been billed."""
    (tmp_path / "a.jpg").write_bytes(JPEG)
    lines: list[bytes] = []
    calls, transport, time = CallCounter(), NoConnection(), FakeTime()
    async with ClovaOCRClient(domain(), transport=transport, runtime=time.runtime(), hooks=[calls.note]) as client:
        run = OneShotRun(client, calls, Receipt, LineWriter(lines.append), Search(()))
        with shown_progress(quiet=True) as progress:
            files = [InputFile(str(tmp_path / "a.jpg"))]
            reading = asyncio.create_task(run.read(files, progress, jobs=1, ordered=False))
            await transport.waits.wait()
            reading.cancel()
            await asyncio.wait([reading])
    record = json.loads(*lines)
    assert (record["status"], record["attempts"], record["maybe_billed"]) == ("ambiguous", 2, 1)
    assert record["request_id"] == transport.sent[0].parsed.request_id
    assert (run.counts.statuses, run.counts.maybe_billed) == ({"ambiguous": 1}, 1)


async def test_a_hook_hears_of_each_request_what_it_may_have_cost() -> None:
    """The end of each request names its own billing: failed, never begun, answered."""
    events: list[Event] = []
    transport, time = NoConnection(), FakeTime()
    client = ClovaOCRClient(domain(), transport=transport, runtime=time.runtime(), hooks=[events.append])
    await cancelled_in_its_retry(client, transport)
    client = ClovaOCRClient(domain(), transport=FakeTransport(), hooks=[events.append])
    await client.recognize(JPEG, Receipt)
    assert [event.billing for event in events if isinstance(event, AttemptFinished)] == [
        Billing.MAYBE_BILLED,
        Billing.NOT_BILLED,
        Billing.BILLED,
    ]


@pytest.mark.parametrize("begun", [False, True])
async def test_a_maybe_billed_request_is_counted_once(begun: bool) -> None:
    """A call that is cancelled counts its earlier request once as maybe billed, and its last one if that had begun."""
    calls, time, held = CallCounter(), FakeTime(), Held()
    if not begun:
        time.gate = asyncio.Event()  # a call that waits to send again waits for ever
    transport = FakeTransport(FAILED, held)
    client = ClovaOCRClient(domain(), transport=transport, runtime=time.runtime(), hooks=[calls.note])
    call = asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch"))
    await (held.reached if begun else time.asleep).wait()
    call.cancel()
    await asyncio.wait([call])
    assert calls.maybe_billed == len(transport.sent) == 1 + begun
    assert (calls.billed, calls.in_flight) == (0, 0)
