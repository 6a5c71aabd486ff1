"""Requests whose callers have gone: they run on, and their answers are for the next call with the same image."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import (
    BUSY,
    FAILED,
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
    AnswerKept,
    AnswerTaken,
    ClovaOCRClient,
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
from clova_ocr_async.host.tasks import LARGE
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


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
    """Over real sockets: the error of a timeout names how to get the answer unbilled, and the next call gets it."""
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
    """A call whose deadline passes while it waits for an earlier request is unbilled, and its error names the wait."""

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
            await case.call(journal=RecordingJournal())
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
# The end of a late answer


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
    """A value that is not a duration is refused by its name."""
    with pytest.raises(ConfigurationError, match=r"keep_late_answers is .*; it must be seconds, 0 or more"):
        ClovaOCRClient(domain(), keep_late_answers=value)


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
    """A billed answer that cannot be decoded is raised to the next call with its bytes, unbilled."""

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
    """Without a billed answer there is an event, a refusal reaches the slots, and the next call is sent."""

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
    """A request that gets no answer is cut off, its slot is free, and its event has the billing."""

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
    """A call that is cancelled while its connection is made is never sent."""

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
    """A cancelled call of a batch, or one with a journal, is cut off: these report themselves what it may have cost."""

    async def main() -> None:
        case, journal = Case(), RecordingJournal()
        await case.lose(**({"lane": "batch"} if kind == "batch" else {"journal": journal}))
        assert (case.in_flight, case.transport.in_flight, case.late()) == (0, 0, [])
        assert journal.log == ([] if kind == "batch" else ["sending", "unanswered"])

    run_virtually(main())


async def test_an_answer_that_comes_as_its_call_is_cancelled_reaches_the_journal() -> None:
    """A complete answer reaches the journal as an answer, although its call is cancelled in that moment."""
    journal, held = RecordingJournal(), Held()
    client = ClovaOCRClient(domain(), transport=FakeTransport(held))
    call = asyncio.create_task(client.recognize(JPEG, Receipt, journal=journal))
    await held.reached.wait()
    held.go_on.set()
    await asyncio.sleep(0)  # the answer is there, and its caller has not been woken
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert journal.log == ["sending", "answered"]


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

    printed = run_virtually(main()) + caplog.text
    assert "canary" not in printed
    assert "AnswerTaken" in printed


def test_the_answer_to_a_request_is_not_that_to_the_next() -> None:
    """A request that does not leave, as the client was closed, has no answer, whatever the one before it had."""

    async def main() -> None:
        journal = RecordingJournal()

        async def pausing(_: Sent) -> HTTPResponse:
            journal.pause_at = "sending"
            return FAILED

        case = Case({"retry": RetryPolicy(server_base=0.001)})
        case.transport.steps.clear()
        case.transport.steps.append(pausing)
        call = case.call(lane="batch", journal=journal)
        await journal.reached.wait()
        await case.client.close()
        journal.go_on.set()
        with pytest.raises(ConfigurationError):
            await call
        assert journal.log == ["sending", "answered", "sending", "unanswered"]
        assert len(case.transport.sent) == 1

    run_virtually(main())


def test_a_paid_failure_has_the_name_of_the_call_that_takes_it() -> None:
    """No call sees the file name of the other caller, even when the service recognized nothing."""

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
