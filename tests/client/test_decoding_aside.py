"""Large answers are decoded in a thread, and a caller that goes meanwhile loses no billed answer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import JPEG, FakeTransport, Held, Sent, domain, jump, parsed, run_jumping, steps
from support.threads import no_thread_free, reached

from clova_ocr_async.client import AnswerDropped, AnswerKept, AnswerTaken, CallFinished, ClovaOCRClient, Event
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing, MalformedResponseError, ResponseTimeoutError
from clova_ocr_async.protocol.response import HTTPResponse, encode_response
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from clova_ocr_async.domains import Domain
    from clova_ocr_async.slots import GateState, Lane, Slot

LATE = (AnswerKept, AnswerTaken, AnswerDropped)


async def large(sent: Sent) -> HTTPResponse:
    """Answer with more than is decoded in the loop."""
    image: dict[str, Any] = {"receipt": {"result": {}}, "inferResult": "SUCCESS", "more": "y" * 2 * 1024 * 1024}
    return HTTPResponse(200, encode_response(parsed(sent.request).request_id, 0, image))


async def foreign(_: Sent) -> HTTPResponse:
    """Answer another call, at length."""
    return HTTPResponse(200, encode_response("other", 0, {"receipt": {"result": {}}, "more": "y" * 2 * 1024 * 1024}))


class Case:
    """A client, its events, and its transport."""

    def __init__(self, step: Any = large, **settings: Any) -> None:
        self.events: list[Event] = []
        self.transport = FakeTransport(then=step)
        settings = {"slots": LocalSlots(1)} | settings
        self.client = ClovaOCRClient(domain(), transport=self.transport, hooks=[self.events.append], **settings)

    def call(self, **settings: Any) -> asyncio.Task[Any]:
        """Begin a call."""
        return asyncio.create_task(self.client.recognize(JPEG, Receipt, **settings))

    def late(self) -> list[type[Event]]:
        """Return what became of late answers."""
        return [type(event) for event in self.events if isinstance(event, LATE)]

    def finished(self) -> list[tuple[int, Billing]]:
        """Return how many requests each call has sent, and what it may have cost."""
        return [(event.attempts, event.billing) for event in self.events if isinstance(event, CallFinished)]

    async def check_billed_once(self) -> None:
        """Call again for the image, and check that this call got the answer of the first one, unbilled."""
        assert (await self.call()).attempts == 0
        assert len(self.transport.sent) == 1
        assert self.finished() == [(1, Billing.BILLED), (0, Billing.NOT_BILLED)]


async def test_a_caller_that_goes_while_its_answer_is_decoded_is_billed_once() -> None:
    """An answer that is being decoded when its caller is cancelled is kept for the next call with the image."""
    case = Case()
    async with no_thread_free() as waiting:
        call = case.call()
        await reached(waiting)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
    await case.check_billed_once()
    assert case.late()[-1] is AnswerTaken
    await case.client.close()


async def test_an_answer_whose_decoding_outlasts_the_deadline_is_returned_and_not_kept() -> None:
    """An answer that came before the deadline belongs to its call, and no other call gets it as well."""
    case = Case()
    async with no_thread_free() as waiting:
        call = case.call(deadline=0.05)
        await reached(waiting)
        await reached(lambda: case.transport.in_flight == 0)
        await asyncio.wait([call], timeout=0.1)
        assert not call.done()
    assert (await call).attempts == 1
    assert case.late() == []
    await case.client.close()


async def test_a_caller_that_goes_after_its_deadline_is_billed_once() -> None:
    """An answer that is still decoded when the deadline has passed and the caller is cancelled is kept."""
    case = Case()
    async with no_thread_free() as waiting:
        call = case.call(deadline=0.05)
        await reached(waiting)
        await asyncio.wait([call], timeout=0.1)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
    await reached(case.late)
    await case.check_billed_once()
    assert case.late() == [AnswerKept, AnswerTaken]
    await case.client.close()


def test_a_caller_that_goes_just_as_its_deadline_passes_is_billed_once() -> None:
    """A cancellation in the same turn of the loop as the deadline costs no answer that has come."""

    async def main() -> None:
        case = Case()
        async with no_thread_free() as waiting:
            call = case.call(deadline=30.0)
            await reached(waiting)
            jump(60.0)
            await steps(2)  # now the deadline has cancelled the call, which has not heard of it yet
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
        await reached(case.late)
        await case.check_billed_once()
        await case.client.close()

    run_jumping(main())


class SlowToTakeBack:
    """Slots of which one is given back only when the test says so."""

    def __init__(self) -> None:
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        self._slots = LocalSlots(1)

    @asynccontextmanager
    async def slot(self, domains: Sequence[Domain], lane: Lane, since: float) -> AsyncGenerator[Slot]:
        """Hold a slot."""
        async with self._slots.slot(domains, lane, since) as slot:
            yield slot
            self.reached.set()
            await self.go_on.wait()

    def state(self, domain: Domain) -> GateState:
        """Return how a domain's gate stands."""
        return self._slots.state(domain)


async def test_a_caller_that_goes_while_its_slot_is_given_back_is_billed_once() -> None:
    """An answer is not lost with a caller that is cancelled behind its decoding, before it has the answer."""
    slots = SlowToTakeBack()
    case = Case(slots=slots)
    call = case.call()
    await slots.reached.wait()
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    slots.go_on.set()
    await reached(case.late)
    assert (await case.call()).attempts == 0
    assert len(case.transport.sent) == 1
    await case.client.close()


async def test_an_answer_that_nobody_can_keep_is_dropped_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """A client that keeps no late answers says that the answer of such a caller was for nothing."""
    case = Case(keep_late_answers=0)
    async with no_thread_free() as waiting:
        call = case.call(deadline=0.05)
        await reached(waiting)
        await asyncio.wait([call], timeout=0.1)
        call.cancel()
        await asyncio.wait([call])
    await reached(case.late)
    assert case.late() == [AnswerDropped]
    assert "was in vain (BILLED)" in caplog.text
    await case.client.close()


async def test_a_foreign_answer_is_kept_for_nobody() -> None:
    """Another call's answer is not given to the next call, however its own caller went."""
    case = Case(foreign)
    async with no_thread_free() as waiting:
        call = case.call(deadline=0.05)
        await reached(waiting)
        await asyncio.wait([call], timeout=0.1)
        call.cancel()
        await asyncio.wait([call])
    await reached(case.late)
    assert case.late() == [AnswerDropped]
    await case.client.close()


async def test_an_answer_that_is_an_error_is_not_kept() -> None:
    """A large answer that cannot be the call's is raised, and leaves nothing for the next call."""
    case = Case(foreign)
    with pytest.raises(MalformedResponseError, match="another call's requestId"):
        await case.call()
    await case.client.close()  # which waits for what runs on
    assert case.late() == []


async def lost(case: Case, held: Held) -> None:
    """Begin a call whose caller goes while its request is in flight."""
    call = case.call()
    await held.reached.wait()
    call.cancel()
    await asyncio.wait([call])


class HeldLarge(Held):
    """Holds its request, and then answers at length."""

    async def __call__(self, sent: Sent) -> HTTPResponse:
        """Hold."""
        await super().__call__(sent)
        return await large(sent)


async def test_a_large_late_answer_is_decoded_in_a_thread() -> None:
    """The loop goes on while an answer is decoded whose caller has gone, and while the next call takes it."""
    held = HeldLarge()
    case = Case(held)
    await lost(case, held)
    async with no_thread_free() as waiting:
        held.go_on.set()
        await reached(waiting)
        assert case.late() == []
    await reached(case.late)
    async with no_thread_free() as waiting:
        call = case.call()
        await reached(waiting)
        assert not call.done()
    assert (await call).attempts == 0
    assert case.late() == [AnswerKept, AnswerTaken]
    await case.client.close()


@pytest.mark.parametrize("how", ["cancelled", "deadline"])
async def test_a_late_answer_stays_for_the_next_call_if_the_one_that_took_it_goes(how: str) -> None:
    """A call that goes while a late answer is decoded for it leaves that answer to the next one."""
    held = HeldLarge()
    case = Case(held)
    await lost(case, held)
    held.go_on.set()
    await reached(case.late)
    async with no_thread_free() as waiting:
        call = case.call(deadline=0.02 if how == "deadline" else None)
        await reached(waiting)
        if how == "cancelled":
            call.cancel()
        await asyncio.wait([call])
    if how == "deadline":
        error = call.exception()
        assert isinstance(error, ResponseTimeoutError)
        assert "an earlier request for the same image" in str(error)
        assert error.billing is Billing.NOT_BILLED
    assert call.cancelled() == (how == "cancelled")
    assert (await case.call()).attempts == 0
    assert case.late() == [AnswerKept, AnswerTaken] * 2
    assert len(case.transport.sent) == 1
    await case.client.close()
