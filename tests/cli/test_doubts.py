"""Requests that may have been paid are counted one by one, and none that never began to leave."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from support.fakes import FAILED, JPEG, FakeTime, FakeTransport, domain

from clova_ocr_async.cli.runs.calls import CallCounter
from clova_ocr_async.cli.runs.tracking import WatchedClient
from clova_ocr_async.client import AttemptFinished, ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing

if TYPE_CHECKING:
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
    """A call that is cancelled before the body of its retry began counts the doubt of its first request alone."""
    calls, transport, time = CallCounter(), NoConnection(), FakeTime()
    client = ClovaOCRClient(domain(), transport=transport, runtime=time.runtime(), hooks=[calls.note])
    await cancelled_in_its_retry(client, transport)
    assert (calls.perhaps, calls.billed, calls.under_way) == (1, 0, 0)


async def test_the_record_of_a_call_that_is_cut_off_counts_what_began() -> None:
    """The record of a call that is cut off has both its requests, and the doubt of the first one alone."""
    transport, time = NoConnection(), FakeTime()
    client = WatchedClient(domain(), transport=transport, runtime=time.runtime())
    await cancelled_in_its_retry(client, transport)
    (left,) = client.cut_off.values()
    assert (left.error.attempts, left.error.maybe_billed) == (2, 1)


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
