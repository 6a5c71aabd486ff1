"""A client that is closed while requests are in flight, with their callers or without."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import (
    JPEG,
    FakeTransport,
    Held,
    RecordingJournal,
    Sent,
    domain,
    steps,
    success,
)
from support.late import BILLED, MAYBE, NOT, Case, lost_answers, reached
from virtual import run_virtually

from clova_ocr_async.client import (
    AnswerDropped,
    ClovaOCRClient,
)
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.errors import (
    ConfigurationError,
    ConnectionLostError,
    MalformedResponseError,
)
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from clova_ocr_async.protocol.response import HTTPResponse


async def test_close_waits_for_what_is_in_flight() -> None:
    """Over real sockets: a client that is closed under a call lets it have its answer."""
    picture = draw_sample("receipt").data
    async with Emulator(latency=0.3) as clova:
        client = ClovaOCRClient(Domain(clova.url(), clova.secret))
        call = asyncio.create_task(client.recognize(picture, Receipt))
        await reached(lambda: clova.requests)
        closing = asyncio.create_task(client.close())
        await asyncio.sleep(0)
        with pytest.raises(ConfigurationError, match="the client is closed"):
            await client.recognize(picture, Receipt)
        await closing
        assert (await call).attempts == 1
        assert clova.billed.total() == 1


async def test_a_second_interrupt_waits_for_no_request() -> None:
    """A client that is left by KeyboardInterrupt cuts the requests in flight, instead of waiting for their answers."""
    held = Held()
    client = ClovaOCRClient(domain(), transport=FakeTransport(held), read_timeout=3600.0)
    call = asyncio.create_task(client.recognize(JPEG, Receipt))

    async def interrupted() -> None:
        async with client:
            await held.reached.wait()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await interrupted()
    with pytest.raises(ConnectionLostError, match="the client was closed"):
        await call


def test_closing_drops_what_nobody_has_taken(caplog: pytest.LogCaptureFixture) -> None:
    """Kept answers, and the ones that still came, are dropped with the client, with a warning of how many."""

    async def main() -> None:
        case = Case()
        await lost_answers(case, 2)
        case.transport.then = None
        case.transport.steps.append(case.held)
        await case.lose()
        closing = asyncio.create_task(case.client.close())
        await steps()
        assert not closing.done()
        case.held.go_on.set()
        await closing
        dropped = [event for event in case.late() if isinstance(event, AnswerDropped)]
        assert [(event.reason, event.billing) for event in dropped] == [("closed", BILLED)] * 3
        assert case.transport.closed == 1

    run_virtually(main())
    assert "3 billed answers whose callers had gone are dropped: the client is closed" in caplog.text


class Slow(LocalSlots):
    """A slot whose release takes three seconds."""

    @asynccontextmanager
    async def slot(self, *args: Any) -> AsyncGenerator[Any]:  # type: ignore[override]
        """Grant a slot."""
        async with super().slot(*args) as slot:
            yield slot
            await asyncio.sleep(3)


def test_closing_waits_until_slots_are_given_back() -> None:
    """A slot of a request that ran on has been given back when close() returns, however long that takes."""

    async def main() -> None:
        held, slots = Held(), Slow(1)
        client = ClovaOCRClient(domain(), transport=FakeTransport(held), slots=slots)
        call = asyncio.create_task(client.recognize(JPEG, Receipt))
        await held.reached.wait()
        call.cancel()
        await asyncio.wait([call])
        held.go_on.set()
        await client.close()
        assert slots.state(client.domains[0]).in_flight == 0

    run_virtually(main())


@pytest.mark.parametrize("goes", ["before", "after"])
def test_a_closed_client_keeps_no_answer(goes: str) -> None:
    """An answer whose slot is released while the client is closed is dropped, whenever its caller goes.

    Before: the answer is kept already when ``close()`` is cancelled. After: the caller is cancelled after ``close()``.
    """

    async def main() -> None:
        held, events = Held(), list[Any]()
        client = ClovaOCRClient(domain(), transport=FakeTransport(held), slots=Slow(1), hooks=[events.append])
        call = asyncio.create_task(client.recognize(JPEG, Receipt))
        await held.reached.wait()
        if goes == "before":
            call.cancel()
        held.go_on.set()
        await steps()
        closing = asyncio.create_task(client.close())
        await steps()
        assert closing.done() == (goes == "after")
        closing.cancel()
        call.cancel()
        await asyncio.wait([closing, call])
        await asyncio.sleep(100)  # nor does a timer drop it a second time
        dropped = [event for event in events if isinstance(event, AnswerDropped)]
        assert [(event.reason, event.billing) for event in dropped] == [("closed", BILLED)]

    run_virtually(main())


@pytest.mark.parametrize("lane", ["interactive", "batch"])
@pytest.mark.parametrize("how", ["wait=0", "cancelled", "second close", "in time"])
def test_closing_cuts_off(how: str, lane: Any) -> None:
    """close(wait=0), a cancelled close(), or its time cuts off requests in flight, and their errors name the reason."""

    async def main() -> None:
        case = Case()
        call, loop = (
            case.call(lane=lane, journal=RecordingJournal()) if lane == "batch" else case.call(),
            asyncio.get_running_loop(),
        )
        await case.held.reached.wait()
        began = loop.time()
        if how == "wait=0":
            await case.client.close(wait=0)
        else:
            closing = asyncio.create_task(case.client.close())
            await steps()
            assert not closing.done()
            if how == "cancelled":
                closing.cancel()
            elif how == "second close":
                await case.client.close(wait=0)
            await asyncio.wait([closing])
            assert closing.cancelled() == (how == "cancelled")
        assert loop.time() - began == pytest.approx(60.0 if how == "in time" else 0.0, abs=0.01)
        with pytest.raises(ConnectionLostError, match="the client was closed before the answer came") as caught:
            await call
        assert (caught.value.billing, caught.value.attempts) == (MAYBE, 1)
        assert (case.in_flight, case.transport.in_flight, case.transport.closed) == (0, 0, 1)
        await case.client.close()
        assert case.transport.closed == 1

    run_virtually(main())


def test_closing_before_the_request_has_left() -> None:
    """A call that is still connecting, or waits for a slot, has cost nothing when the client is closed under it."""

    async def main() -> None:
        case = Case()

        async def connecting(sent: Sent) -> HTTPResponse:
            sent.progress.body_began = False
            return await case.held(sent)

        case.transport.steps.clear()
        case.transport.then = connecting
        calls = [case.call() for _ in range(3)]
        await case.held.reached.wait()
        await steps()
        await case.client.close(wait=0)
        for call in calls:
            with pytest.raises(ConfigurationError, match="closed while the call was in flight") as caught:
                await call
            assert caught.value.billing is NOT

    run_virtually(main())


def test_a_call_that_waits_for_a_late_answer_as_the_client_is_closed() -> None:
    """A call that waits for an earlier request fails because the client was closed."""

    async def main() -> None:
        case = Case()
        await case.lose()
        second = case.call()
        await steps()
        await case.client.close(wait=0)
        with pytest.raises(ConfigurationError, match="closed while the call was in flight"):
            await second
        assert [(event.reason, event.billing) for event in case.late()] == [("no answer", MAYBE)]

    run_virtually(main())


@pytest.mark.parametrize("wait", [-1, float("nan"), "0"])
async def test_the_time_to_wait_is_checked(wait: Any) -> None:
    """A time to wait that is none is refused, and the client stays open."""
    client = ClovaOCRClient(domain(), transport=FakeTransport())
    with pytest.raises(ConfigurationError, match=r"wait is .*; it must be seconds, 0 or more"):
        await client.close(wait=wait)
    assert (await client.recognize(JPEG, Receipt)).attempts == 1


async def test_a_transport_that_cannot_be_closed() -> None:
    """An error of the closing transport is raised by close()."""

    class Broken(FakeTransport):
        async def close(self) -> None:
            raise OSError("cannot close")

    with pytest.raises(OSError, match="cannot close"):
        await ClovaOCRClient(domain(), transport=Broken()).close()


def test_a_loop_that_ends_over_a_request_that_runs_on() -> None:
    """A program that ends without closing the client leaves no task behind, and its slots are free."""

    async def main() -> Case:
        case = Case()
        await case.lose()
        return case

    case = run_virtually(main())
    assert case.in_flight == 0
    assert [(event.reason, event.billing) for event in case.late()] == [("no answer", MAYBE)]


def test_a_loop_that_ends_over_a_call() -> None:
    """A call that is cancelled together with its request, as at the end of a program, does not run on."""

    async def main() -> Case:
        case = Case()
        case.call()
        await case.held.reached.wait()
        return case

    case = run_virtually(main())
    assert (case.in_flight, case.late()) == (0, [])


@pytest.mark.parametrize("lane", ["interactive", "batch"])
@pytest.mark.parametrize("missing", [5, 0])
def test_closing_keeps_what_has_come_of_an_answer(missing: int, lane: Any) -> None:
    """close(wait=0) after an answer began returns it if it is whole, else an error that was billed and holds it."""

    async def main() -> None:
        case, reached, journal = Case(), asyncio.Event(), RecordingJournal()
        body = b""

        async def half(sent: Sent) -> HTTPResponse:
            nonlocal body
            whole = success(sent.request).body
            body = whole[: len(whole) - missing]
            sent.progress.begin_response(200, {})
            sent.progress.receive(body)
            if not missing:
                sent.progress.end_response()
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

        case.transport.steps.clear()
        case.transport.then = half
        call = case.call(lane=lane, **({"journal": journal} if lane == "batch" else {}))
        await reached.wait()
        await case.client.close(wait=0)
        if missing:
            with pytest.raises(
                MalformedResponseError, match="incomplete: the client was closed while it came"
            ) as caught:
                await call
            assert (caught.value.billing, caught.value.raw) == (BILLED, body)
        else:
            assert (await call).raw == body
        assert journal.log == (["sending", "answered"] if lane == "batch" else [])

    run_virtually(main())
