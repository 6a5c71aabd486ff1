"""Requests whose callers have gone: they run on, and their answers are for the next call with the same image."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    Connection,
    Diary,
    FakeTransport,
    Held,
    Sent,
    domain,
    raw_server,
    steps,
    success,
)
from virtual import run_virtually

from clova_ocr_async.client import (
    AnswerDropped,
    AnswerKept,
    AnswerTaken,
    AttemptFinished,
    CallFinished,
    ClovaOCRClient,
    Event,
    RetryPolicy,
)
from clova_ocr_async.client.late_answers import LateRequest
from clova_ocr_async.documents import CreditCard, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    MalformedResponseError,
    RecognitionError,
    ResponseTimeoutError,
)
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.host.tasks import LARGE
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

NOT, MAYBE, BILLED = Billing
LATE = (AnswerKept, AnswerTaken, AnswerDropped)


@dataclass
class Case:
    """A client with one slot, the events of its late answers, and the first request held.

    Attributes:
        events: All events.
        held: Holds the first request.
        transport: The wire.
        slots: The slots.
    """

    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    step: Any = None
    events: list[Event] = field(default_factory=list[Event])

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.held = Held(self.step)
        self.transport = FakeTransport(self.held)
        runtime = Runtime(clock=loop.time, sleep=asyncio.sleep)
        self.slots = LocalSlots(2, runtime=runtime)
        self.client = ClovaOCRClient(
            domain(),
            transport=self.transport,
            slots=self.slots,
            runtime=runtime,
            hooks=[self.events.append],
            **{"retry": RetryPolicy(max_attempts=1), **self.settings},
        )

    def call(self, image: Any = JPEG, **settings: Any) -> asyncio.Task[Any]:
        """Begin a call."""
        return asyncio.create_task(self.client.recognize(image, Receipt, **settings))

    async def lose(self, image: Any = JPEG, **settings: Any) -> None:
        """Begin a call, and cancel it when its request is in flight."""
        call = self.call(image, **settings)
        await self.held.reached.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()

    def late(self) -> list[Any]:
        """Return the events of late answers."""
        return [event for event in self.events if isinstance(event, LATE)]

    def finished(self) -> list[tuple[int, Billing]]:
        """Return how many requests each call has sent, and what it may have cost."""
        return [(event.attempts, event.billing) for event in self.events if isinstance(event, CallFinished)]

    @property
    def in_flight(self) -> int:
        """Slots that are held."""
        return self.slots.state(self.client.domains[0]).in_flight


async def reached(what: Callable[[], object]) -> None:
    """Let the loop go on until something is so."""
    while not what():  # noqa: ASYNC110 - what is waited for is in another object, which has no event for it
        await asyncio.sleep(0)


# ---------------------------------------------------------------------------------------------------------------------
# The promise


async def test_a_caller_that_is_cancelled_and_asks_again_is_billed_once() -> None:
    """Over real sockets: a call cancelled in flight and made again costs one payment, and has its answer."""
    picture = draw_sample("receipt").data
    async with Emulator(latency=0.3) as clova, ClovaOCRClient(Domain(clova.url(), clova.secret)) as client:
        first = asyncio.create_task(client.recognize(picture, Receipt))
        await reached(lambda: clova.requests)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        again = await client.recognize(picture, Receipt)
        assert (again.attempts, again.maybe_billed, clova.billed.total()) == (0, 0, 1)
        assert again.document.result.store_info.name.value
        assert (await client.recognize(picture, Receipt)).attempts == 1  # it is given once
        assert clova.billed.total() == 2


async def test_a_deadline_that_passes_in_flight_costs_one_payment() -> None:
    """Over real sockets: a call that timed out says how to get the answer unbilled, and the next call gets it."""
    picture = draw_sample("receipt").data
    async with Emulator(latency=0.4) as clova, ClovaOCRClient(Domain(clova.url(), clova.secret)) as client:
        with pytest.raises(ResponseTimeoutError, match="called again within 60 s of the answer") as caught:
            await client.recognize(picture, Receipt, deadline=0.2)
        assert (caught.value.billing, caught.value.attempts, caught.value.maybe_billed) == (MAYBE, 1, 1)
        assert (await client.recognize(picture, Receipt)).attempts == 0
        assert clova.billed.total() == 1


def test_an_answer_is_kept_and_given_once() -> None:
    """The answer waits for the next call with the same bytes and document, which sends nothing and pays nothing."""

    async def main() -> None:
        case = Case()
        await case.lose(Image(JPEG, "of-one.jpg"))
        assert case.in_flight == 1  # the service still works on it
        case.held.go_on.set()
        await asyncio.sleep(10)
        assert case.in_flight == 0
        taken = await case.call(Image(JPEG, "of-another.jpg"))
        assert (taken.attempts, taken.maybe_billed, taken.name) == (0, 0, "of-another.jpg")
        assert taken.document.result.store_info.name.value == "canarySHOP"
        assert len(case.transport.sent) == 1
        kept, given = case.late()
        assert (type(kept), type(given)) == (AnswerKept, AnswerTaken)
        assert kept.attempt == given.attempt
        assert kept.attempt.request_id == taken.request_id != given.request_id
        assert case.finished() == [(1, MAYBE), (0, NOT)]
        assert (await case.call()).attempts == 1

    run_virtually(main())


def test_a_call_waits_for_an_answer_that_is_still_to_come() -> None:
    """While the request runs on, the next call with the same image waits for it, and only one call does."""

    async def main() -> None:
        case = Case()
        await case.lose()
        second, third = case.call(), case.call()
        await steps()
        assert (second.done(), (await third).attempts) == (False, 1)
        case.held.go_on.set()
        assert (await second).attempts == 0
        assert [type(event) for event in case.late()] == [AnswerTaken]

    run_virtually(main())


@pytest.mark.parametrize("landed", [False, True], ids=["in flight", "just landed"])
def test_a_call_that_waits_may_go_as_well(landed: bool) -> None:
    """If the call that waits is cancelled, the answer is there for the one after it."""

    async def main() -> None:
        case = Case()
        await case.lose()
        second = case.call()
        await steps()
        if landed:
            case.held.go_on.set()
            await reached(lambda: case.transport.in_flight == case.in_flight == 0)
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        case.held.go_on.set()
        assert (await case.call()).attempts == 0
        assert len(case.transport.sent) == 1

    run_virtually(main())


def test_the_deadline_of_a_call_that_waits() -> None:
    """A call whose deadline passes while it waits for an earlier request has cost nothing, and says why."""

    async def main() -> None:
        case = Case()
        await case.lose()
        with pytest.raises(
            ResponseTimeoutError, match="while an earlier request for the same image was in f"
        ) as caught:
            await case.call(deadline=5)
        assert (caught.value.billing, caught.value.attempts, caught.value.request_id) == (NOT, 0, None)
        case.held.go_on.set()
        assert (await case.call()).attempts == 0

    run_virtually(main())


@pytest.mark.parametrize("landed", [False, True], ids=["in flight", "kept"])
def test_a_late_answer_needs_no_time_of_its_own(landed: bool) -> None:
    """A call with less time than answers usually take gets a late answer all the same, and waits for it."""

    async def main() -> None:
        case = Case()
        case.transport.steps.clear()
        case.transport.then = slowly
        await case.call(JPEG + b"other")
        case.transport.then = case.held
        await case.lose()
        if landed:
            case.held.go_on.set()
            await steps()
        second = case.call(deadline=3)
        await asyncio.sleep(2)
        case.held.go_on.set()
        assert (await second).attempts == 0

    async def slowly(sent: Sent) -> HTTPResponse:
        await asyncio.sleep(8)
        return success(sent.request)

    run_virtually(main())


@pytest.mark.parametrize("landed", [False, True], ids=["in flight", "kept"])
@pytest.mark.parametrize(
    "other",
    [JPEG + b"1", JPEG.replace(b"picture", b"PICTURE"), CreditCard, "batch", "journal"],
    ids=["longer", "other", "document", "batch", "journal"],
)
def test_only_the_same_call_takes_it(other: Any, landed: bool) -> None:
    """Another image, even of the same size, another document, a batch or a journal is sent for itself."""

    async def main() -> None:
        case = Case()
        await case.lose()
        if landed:
            case.held.go_on.set()
            await steps()
        if other == "batch":
            await case.call(lane="batch")
        elif other == "journal":
            await case.call(journal=Diary())
        elif isinstance(other, bytes):
            await case.call(other)
        else:
            with pytest.raises(ClovaOCRError):  # the fake answers with a receipt
                await case.client.recognize(JPEG, other)
        assert len(case.transport.sent) == 2

    run_virtually(main())


def test_calls_whose_callers_wait_are_not_joined() -> None:
    """Two calls with the same image whose callers both wait are two requests."""

    async def main() -> None:
        case = Case()
        calls = [case.call(), case.call()]
        await steps()
        assert len(case.transport.sent) == 2
        case.held.go_on.set()
        assert [(await call).attempts for call in calls] == [1, 1]
        assert case.late() == []

    run_virtually(main())


def test_a_large_image() -> None:
    """An image too large to be hashed in the event loop is found as well, in flight and kept."""

    async def main() -> None:
        picture = JPEG + bytes(LARGE)
        case = Case()
        await case.lose(picture)
        second = case.call(picture)
        await reached(lambda: len(asyncio.all_tasks()) > 3)
        case.held.go_on.set()
        assert (await second).attempts == 0
        assert (await case.call(picture)).attempts == 1

    asyncio.run(main())


# ---------------------------------------------------------------------------------------------------------------------
# What becomes of it


def test_an_answer_nobody_takes_expires(caplog: pytest.LogCaptureFixture) -> None:
    """After keep_late_answers seconds it is dropped, with an event and a warning, and the next call is sent."""

    async def main() -> None:
        case = Case({"keep_late_answers": 30})
        await case.lose()
        case.held.go_on.set()
        await asyncio.sleep(29)
        assert [type(event) for event in case.late()] == [AnswerKept]
        await asyncio.sleep(1.1)
        [_, dropped] = case.late()
        assert (dropped.reason, dropped.billing) == ("expired", BILLED)
        assert (await case.call()).attempts == 1

    run_virtually(main())
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "was in vain (BILLED): no call came for it in time" in record.getMessage()


def test_nothing_is_kept_if_so_chosen() -> None:
    """keep_late_answers=0 keeps no answer, in flight neither; the slot stays held as long as the service works."""

    async def main() -> None:
        case = Case({"keep_late_answers": 0})
        call = case.call(deadline=5)
        with pytest.raises(ResponseTimeoutError, match=r"it may have been billed$"):
            await call
        assert case.in_flight == 1
        assert (await case.call()).attempts == 1
        case.held.go_on.set()
        await steps()
        assert [(event.reason, event.billing) for event in case.late()] == [("not kept", BILLED)]
        assert case.in_flight == 0

    run_virtually(main())


@pytest.mark.parametrize("value", [-1, True, "60", float("inf")])
def test_keep_late_answers_is_checked(value: Any) -> None:
    """What is no duration is refused by its name."""
    with pytest.raises(ConfigurationError, match=r"keep_late_answers is .*; it must be seconds, 0 or more"):
        ClovaOCRClient(domain(), keep_late_answers=value)


async def lost_answers(case: Case, count: int, body: bytes = b"") -> list[bytes]:
    """Lose the callers of some calls, and let them be answered; return their pictures."""
    pictures = [JPEG + number.to_bytes(4, "big") for number in range(count)]
    case.transport.steps.clear()
    case.transport.then = Held(HTTPResponse(200, body)) if body else Held()
    for picture in pictures:
        call = case.call(picture)
        await case.transport.then.reached.wait()
        call.cancel()
        await asyncio.wait([call])
        case.transport.then.go_on.set()
        await reached(lambda: case.in_flight == 0)
        case.transport.then.go_on.clear()
        case.transport.then.reached.clear()
    case.transport.then = None
    return pictures


def test_no_more_than_64_answers_are_kept() -> None:
    """The oldest answer goes first when there are more than 64, with a warning and an event."""

    async def main() -> None:
        case = Case()
        first, second, *_ = await lost_answers(case, 65)
        assert Counter(type(event) for event in case.late()) == {AnswerKept: 65, AnswerDropped: 1}
        [dropped] = [event for event in case.late() if isinstance(event, AnswerDropped)]
        assert (dropped.reason, dropped.attempt) == ("no room", case.late()[0].attempt)
        assert ((await case.call(first)).attempts, (await case.call(second)).attempts) == (1, 0)

    run_virtually(main())


async def test_no_more_than_64_mib_are_kept() -> None:
    """The oldest answers go first when all together are larger than 64 MiB."""
    case = Case()
    answer = b'{"images":[{"inferResult":"SUCCESS","receipt":{}}]' + b" " * (25 * 1024 * 1024) + b"}"
    first, second, third = await lost_answers(case, 3, answer)
    assert [(await case.call(picture)).attempts for picture in (second, third, first)] == [0, 0, 1]


NOTHING_READ = HTTPResponse(200, b'{"images":[{"inferResult":"FAILURE","message":"no receipt"}]}')


@pytest.mark.parametrize(
    ("step", "kind"),
    [(NOTHING_READ, RecognitionError), (HTTPResponse(200, b"<html>"), MalformedResponseError)],
    ids=["nothing read", "unreadable"],
)
def test_a_paid_failure_is_given_as_well(step: HTTPResponse, kind: type[ClovaOCRError]) -> None:
    """What was paid and could not be read is raised to the next call with its bytes, and costs that one nothing."""

    async def main() -> None:
        case = Case(step=step)
        await case.lose()
        case.held.go_on.set()
        await steps()
        with pytest.raises(kind) as caught:
            await case.call()
        assert (caught.value.billing, caught.value.attempts, caught.value.request_id) == (NOT, 0, None)
        assert len(case.transport.sent) == 1
        assert case.finished()[-1] == (0, NOT)
        assert (await case.call()).attempts == 1

    run_virtually(main())


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize(
    ("step", "billing", "rejections"),
    [(BUSY, NOT, 1), (FAILED, MAYBE, 0), (ConnectionLostError("broken"), MAYBE, 0)],
    ids=["refused", "failed", "lost"],
)
def test_a_request_that_comes_to_nothing(step: Any, billing: Billing, rejections: int, waits: bool) -> None:
    """If no paid answer came, an event says so, the gate knows of a refusal, and the next call is sent."""

    async def main() -> None:
        case = Case(step=step)
        await case.lose()
        second = case.call() if waits else None
        await steps()
        case.held.go_on.set()
        await steps()
        second = second or case.call()
        assert (await second).attempts == 1
        assert [(event.reason, event.billing) for event in case.late()] == [("no answer", billing)]
        [gate] = case.client.gates.values()
        assert (gate.in_flight, gate.rejections) == (0, rejections)

    run_virtually(main())


def test_an_error_of_the_transports_own(caplog: pytest.LogCaptureFixture) -> None:
    """An error that is none of ours may have been paid; its text, which may hold a secret, is not logged."""

    async def main() -> None:
        case = Case()

        async def broken(sent: Sent) -> HTTPResponse:
            await case.held(sent)
            raise RuntimeError("a bug in a transport")

        case.transport.steps[0] = broken
        await case.lose()
        case.held.go_on.set()
        await steps()
        assert [(event.reason, event.billing) for event in case.late()] == [("no answer", MAYBE)]
        assert case.in_flight == 0

    run_virtually(main())
    assert "RuntimeError" in caplog.text
    assert "a bug" not in caplog.text


def test_a_request_runs_on_for_a_read_timeout_at_the_most() -> None:
    """A request that gets no answer is cut off, its slot is free, and its event says what it may have cost."""

    async def main() -> None:
        case = Case({"read_timeout": 20})
        await case.lose()
        await asyncio.sleep(19.9)
        assert case.in_flight == 1
        await asyncio.sleep(0.2)
        assert (case.in_flight, case.transport.in_flight) == (0, 0)
        assert [(event.reason, event.billing) for event in case.late()] == [("no answer", MAYBE)]

    run_virtually(main())


def test_a_request_that_had_not_left_is_cut_off() -> None:
    """A call cancelled while its connection is made is sent for nobody."""

    async def main() -> None:
        case = Case()

        async def connecting(sent: Sent) -> HTTPResponse:
            sent.progress.body_began = False
            return await case.held(sent)

        case.transport.steps[0] = connecting
        await case.lose()
        assert (case.in_flight, case.transport.in_flight, case.late()) == (0, 0, [])
        assert case.finished() == [(1, NOT)]

    run_virtually(main())


@pytest.mark.parametrize("kind", ["batch", "journal"])
def test_what_a_batch_or_a_journal_answers_for_is_cut_off(kind: str) -> None:
    """A cancelled call of a batch, or one with a journal, is cut off: they say themselves what it may have cost."""

    async def main() -> None:
        case, diary = Case(), Diary()
        await case.lose(**({"lane": "batch"} if kind == "batch" else {"journal": diary}))
        assert (case.in_flight, case.transport.in_flight, case.late()) == (0, 0, [])
        assert diary.log == ([] if kind == "batch" else ["sending", "unanswered"])

    run_virtually(main())


async def test_an_answer_that_comes_as_its_call_is_cancelled_reaches_the_journal() -> None:
    """An answer that has come whole is told to the journal as one, though its call is cancelled in that moment."""
    diary, held = Diary(), Held()
    client = ClovaOCRClient(domain(), transport=FakeTransport(held))
    call = asyncio.create_task(client.recognize(JPEG, Receipt, journal=diary))
    await held.reached.wait()
    held.go_on.set()
    await asyncio.sleep(0)  # the answer is there, and its caller has not been woken
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert diary.log == ["sending", "answered"]


def test_an_answer_that_comes_as_the_deadline_of_its_request_passes() -> None:
    """A call of a batch whose answer comes in the moment of its deadline has the answer."""

    async def main() -> None:
        async def just(sent: Sent) -> HTTPResponse:
            loop = asyncio.get_running_loop()
            due = loop.create_future()
            loop.call_at(began + 5.0, due.set_result, None)
            await due
            return success(sent.request)

        began = asyncio.get_running_loop().time()
        case = Case({"deadline": 5.0})
        case.transport.steps[0] = just
        assert (await case.call(lane="batch")).attempts == 1

    run_virtually(main())


def test_the_answer_ends_an_outage() -> None:
    """A late answer is an answer: a domain on hold for an outage is back."""

    async def main() -> None:
        case = Case({"retry": RetryPolicy(max_attempts=1, server_base=50.0)})
        await case.lose()
        case.transport.steps.append(ConnectionFailedError)
        batch = case.call(JPEG + b"other", lane="batch")
        await steps()
        assert list(case.client.on_hold.values()) == ["outage"]
        case.held.go_on.set()
        await steps()
        assert case.client.on_hold == {}
        await batch

    run_virtually(main())


def test_hooks_tell_nothing_of_the_image(caplog: pytest.LogCaptureFixture) -> None:
    """Neither events nor the log repeat the image's name or what was read in it."""
    caplog.set_level(logging.DEBUG)

    async def main() -> str:
        case = Case()
        await case.lose(Image(JPEG, "canaryNAME.jpg"))
        case.held.go_on.set()
        await steps()
        await case.call()
        return repr(case.late())

    told = run_virtually(main()) + caplog.text
    assert "canary" not in told
    assert "AnswerTaken" in told


# ---------------------------------------------------------------------------------------------------------------------
# Closing


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


def test_closing_waits_until_slots_are_given_back() -> None:
    """A slot of a request that ran on has been given back when close() returns, however long that takes."""

    class Slow(LocalSlots):
        @asynccontextmanager
        async def slot(self, *args: Any) -> AsyncGenerator[Any]:  # type: ignore[override]
            async with super().slot(*args) as slot:
                yield slot
                await asyncio.sleep(3)

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


@pytest.mark.parametrize("lane", ["interactive", "batch"])
@pytest.mark.parametrize("how", ["wait=0", "cancelled", "second close", "in time"])
def test_closing_cuts_off(how: str, lane: Any) -> None:
    """close(wait=0), cancelling close(), or its time cuts off what is in flight; the error says why, maybe billed."""

    async def main() -> None:
        case = Case()
        call, loop = (
            case.call(lane=lane, journal=Diary()) if lane == "batch" else case.call(),
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
    """A call that waits for an earlier request is told that the client was closed."""

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
    """What closing the transport raises is raised by close()."""

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


# ---------------------------------------------------------------------------------------------------------------------
# Cancelled at every step


@dataclass
class Ledger:
    """Who paid for what, by the events of a client.

    Attributes:
        given: Answers that callers got.
        kept: Answers that are kept.
        dropped: Answers that nobody got.
    """

    given: int = 0
    kept: int = 0
    dropped: int = 0

    def note(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, AttemptFinished):
            self.given += event.error is None
        elif isinstance(event, AnswerKept):
            self.kept += 1
        elif isinstance(event, AnswerDropped) and event.billing is not NOT:
            self.kept -= event.reason in {"expired", "no room", "closed"}
            self.dropped += 1


async def cancelled_after(turns: int, *, how: str) -> bool:
    """Cancel a call after so many turns of the loop; return whether it was still under way."""
    picture = draw_sample("receipt").data
    ledger = Ledger()
    async with Emulator(concurrency=2) as clova:
        client = ClovaOCRClient(
            Domain(clova.url(), clova.secret), concurrency=1, hooks=[ledger.note], keep_late_answers=60.0
        )
        call = asyncio.create_task(client.recognize(picture, Receipt))
        second = asyncio.create_task(client.recognize(picture, Receipt)) if how == "two" else None
        for _ in range(turns):
            await asyncio.sleep(0)
        under_way = not call.done()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled() or not under_way
        if second is not None:
            await second
        other = await client.recognize(picture + b"other", Receipt)
        assert other.attempts == 1
        again = await client.recognize(picture, Receipt)
        [gate] = client.gates.values()
        assert (gate.in_flight, gate.waiting) == (0, 0)
        taken = int(again.attempts == 0)  # kept before, by the count
        ledger.kept -= taken
        ledger.given += taken
        assert clova.billed.total() == ledger.given + ledger.kept + ledger.dropped
        assert ledger.dropped == 0
        assert call.cancelled() or ledger.given >= 3
        await client.close()
        assert clova.billed.total() == ledger.given + ledger.dropped
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    return under_way


@pytest.mark.parametrize("how", ["alone", "two"])
async def test_cancelled_at_every_turn_of_the_loop(how: str) -> None:
    """Whenever a call is cancelled, what was billed is what callers got, what is kept, and what was dropped."""
    for turns in itertools.count():
        if not await cancelled_after(turns, how=how):
            break
    assert turns > 10


async def test_a_connection_is_not_left_open() -> None:
    """A request that runs on ends with its answer, and its connection serves the next call."""
    came, answers = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        for _ in range(2):
            await connection.request()
            came.set()
            await answers.wait()
            body = b'{"images":[{"inferResult":"SUCCESS","receipt":{}}]}'
            await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await connection.hung_up()

    async with raw_server(script) as server:
        where = Domain(server.url, "s" * 20)
        async with ClovaOCRClient(where) as client:
            call = asyncio.create_task(client.recognize(JPEG, Receipt))
            await came.wait()
            call.cancel()
            await asyncio.wait([call])
            answers.set()
            assert (await client.recognize(JPEG, Receipt)).attempts == 0
            assert (await client.recognize(JPEG, Receipt)).attempts == 1
        assert server.connections == 1


# ---------------------------------------------------------------------------------------------------------------------
# What has come of an answer when the client is closed, and what goes wrong as a request ends


@pytest.mark.parametrize("lane", ["interactive", "batch"])
@pytest.mark.parametrize("missing", [5, 0])
def test_closing_keeps_what_has_come_of_an_answer(missing: int, lane: Any) -> None:
    """close(wait=0) after an answer began returns it if it is whole, else an error that was billed and holds it."""

    async def main() -> None:
        case, reached, diary = Case(), asyncio.Event(), Diary()
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
        call = case.call(lane=lane, **({"journal": diary} if lane == "batch" else {}))
        await reached.wait()
        await case.client.close(wait=0)
        if missing:
            with pytest.raises(
                MalformedResponseError, match="not whole: the client was closed while it came"
            ) as caught:
                await call
            assert (caught.value.billing, caught.value.raw) == (BILLED, body)
        else:
            assert (await call).raw == body
        assert diary.log == (["sending", "answered"] if lane == "batch" else [])

    run_virtually(main())


def test_the_answer_to_a_request_is_not_that_to_the_next() -> None:
    """A request that does not leave, as the client was closed, has no answer, whatever the one before it had."""

    async def main() -> None:
        diary = Diary()

        async def pausing(_: Sent) -> HTTPResponse:
            diary.pause_at = "sending"
            return FAILED

        case = Case({"retry": RetryPolicy(server_base=0.001)})
        case.transport.steps.clear()
        case.transport.steps.append(pausing)
        call = case.call(lane="batch", journal=diary)
        await diary.reached.wait()
        await case.client.close()
        diary.go_on.set()
        with pytest.raises(ConfigurationError):
            await call
        assert diary.log == ["sending", "answered", "sending", "unanswered"]
        assert len(case.transport.sent) == 1

    run_virtually(main())


def test_a_paid_failure_has_the_name_of_the_call_that_takes_it() -> None:
    """Nobody sees the file name of the other caller, also where the service read nothing."""

    async def main() -> None:
        case = Case(step=NOTHING_READ)
        await case.lose(Image(JPEG, "canary.jpg"))
        case.held.go_on.set()
        await steps()
        with pytest.raises(RecognitionError) as caught:
            await case.call(Image(JPEG, "mine.jpg"))
        assert caught.value.recognition is not None
        assert caught.value.recognition.name == "mine.jpg"
        assert "canary" not in repr(caught.value)

    run_virtually(main())


def test_a_slot_that_fails_as_a_request_ends_is_given_back() -> None:
    """Slots of the caller's own that raise keep no slot, and no call that waits for the answer."""

    class Slot:
        def __init__(self, domain: Domain) -> None:
            self.domain = domain

        def admitted(self) -> None:
            raise ZeroDivisionError("in the caller's own code")

    class Failing(LocalSlots):
        count = 0

        @asynccontextmanager
        async def slot(self, *args: Any, **named: Any) -> AsyncGenerator[Any]:  # type: ignore[override]
            async with super().slot(*args, **named) as slot:
                self.count += 1
                yield Slot(slot.domain) if self.count == 1 else slot

    async def main() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
        held, slots = Held(), Failing(1)
        client = ClovaOCRClient(domain(), transport=FakeTransport(held), slots=slots)
        call = asyncio.create_task(client.recognize(JPEG, Receipt))
        await held.reached.wait()
        call.cancel()
        await asyncio.wait([call])
        again = asyncio.create_task(client.recognize(JPEG, Receipt))
        await steps()
        held.go_on.set()
        assert (await again).attempts == 1
        assert slots.state(client.domains[0]).in_flight == 0
        await client.close()
        gc.collect()
        assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
        reports.clear()  # the exception's frames hold the request
        gc.collect()
        assert not [found for found in gc.get_objects() if isinstance(found, LateRequest)]

    run_virtually(main())
