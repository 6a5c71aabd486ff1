from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    SPENT,
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

from clova_ocr_async.client import Attempt, CallFinished, ClovaOCRClient, Event
from clova_ocr_async.client.journal import NULL_JOURNAL, NullJournal, announce_sending, withdraw_sending
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    MalformedResponseError,
)
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.slots import LocalSlots


def client_of(
    transport: FakeTransport, slots: LocalSlots | None = None, time: FakeTime | None = None
) -> ClovaOCRClient:
    """Return a client over a fake transport."""
    runtime = (time or FakeTime()).runtime()
    return ClovaOCRClient(domain(), transport=transport, runtime=runtime, slots=slots or LocalSlots(1, runtime=runtime))


async def test_no_journal() -> None:
    """The empty journal keeps nothing and refuses nothing."""
    attempt = Attempt("id", 1, "receipt", "domain")
    assert NULL_JOURNAL.sending(attempt) is None
    assert NULL_JOURNAL.answered(attempt, BUSY) is None
    assert NULL_JOURNAL.unanswered(attempt, ConnectionLostError("x"), body_began=True) is None


async def test_before_and_after_each_request() -> None:
    """The journal is notified of every request before it leaves and of every answer, refusals included."""
    journal, transport = RecordingJournal(), FakeTransport(BUSY, ConnectionFailedError)
    await client_of(transport).recognize(JPEG, Receipt, journal=journal)
    assert journal.log == ["sending", "answered", "sending", "unanswered", "sending", "answered"]
    attempts = [call[0] for call in journal.calls]
    assert [attempt.number for attempt in attempts] == [1, 1, 2, 2, 3, 3]
    assert journal.calls[1][1] == BUSY
    assert journal.calls[3][2] is False


@pytest.mark.parametrize(
    ("steps_", "billings"),
    [
        ((BUSY, ConnectionFailedError), [Billing.NOT_BILLED, Billing.NOT_BILLED, Billing.BILLED]),
        ((FAILED,), [Billing.MAYBE_BILLED, Billing.BILLED]),
    ],
)
async def test_the_end_of_each_request(steps_: tuple[Any, ...], billings: list[Billing]) -> None:
    """The journal is notified of the end of each request, with the worst billing of its call so far."""
    journal = RecordingJournal()
    await client_of(FakeTransport(*steps_)).recognize(JPEG, Receipt, journal=journal)
    assert journal.billings == billings


async def cancel_in_flight(journal: RecordingJournal) -> None:
    """Cancel a call whose request is in flight."""
    held = Held()
    call = asyncio.create_task(client_of(FakeTransport(held)).recognize(JPEG, Receipt, journal=journal))
    await held.reached.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_the_end_of_a_request_that_is_cut_off() -> None:
    """The journal of a cancelled call is notified that the request in flight may have been billed."""
    journal = RecordingJournal()
    await cancel_in_flight(journal)
    assert journal.billings == [Billing.MAYBE_BILLED]


class Veto(NullJournal):
    """A journal that lets no request leave, and writes nothing."""

    def sending(self, attempt: Attempt) -> None:
        """Refuse."""
        raise ConfigurationError(f"request {attempt.number} may not leave")


async def test_a_journal_without_writing_may_refuse_a_request() -> None:
    """A journal whose methods return None is called without a task, and what it raises keeps the request back."""
    transport = FakeTransport()
    with pytest.raises(ConfigurationError, match="request 1 may not leave"):
        await client_of(transport).recognize(JPEG, Receipt, journal=Veto())
    assert transport.sent == []


async def test_a_journal_without_writing_takes_no_step_of_the_loop() -> None:
    """A journal that has nothing to write costs its call no task, whether the request leaves or is taken back."""
    attempt = Attempt("id", 1, "receipt", "https://host")
    for notified in (
        announce_sending(NULL_JOURNAL, attempt),
        withdraw_sending(NULL_JOURNAL, attempt, ConnectionFailedError("x")),
    ):
        with pytest.raises(StopIteration):
            notified.send(None)


async def test_the_slot_first_then_the_journal_then_the_wire() -> None:
    """The entry of sending is awaited with the slot held and before the transport is asked."""
    journal, transport, slots = RecordingJournal(pause_at="sending"), FakeTransport(), LocalSlots(1)
    client = client_of(transport, slots)
    call = asyncio.create_task(client.recognize(JPEG, Receipt, journal=journal))
    await journal.reached.wait()
    await steps()
    assert (slots.state(client.domains[0]).free, transport.sent) == (0, [])
    journal.go_on.set()
    await call


async def test_a_journal_that_cannot_write_stops_the_request() -> None:
    """When sending raises, nothing is sent, the slot is free and the error comes out as it is."""
    journal, transport, slots, events = (
        RecordingJournal(fail_at="sending"),
        FakeTransport(),
        LocalSlots(1),
        list[Event](),
    )
    client = ClovaOCRClient(
        domain(), transport=transport, runtime=FakeTime().runtime(), slots=slots, hooks=[events.append]
    )
    with pytest.raises(OSError, match="disk is full"):
        await client.recognize(JPEG, Receipt, journal=journal)
    _, finished = events
    assert isinstance(finished, CallFinished)
    assert (finished.attempts, finished.billing) == (0, Billing.NOT_BILLED)
    assert (slots.state(client.domains[0]).free, transport.sent, journal.log) == (1, [], [])


@pytest.mark.parametrize("answer", [HTTPResponse(200, b""), HTTPResponse(200, b"{", {}, "cut"), error("0011")])
async def test_an_answer_is_kept_before_it_is_read(answer: HTTPResponse) -> None:
    """An answer reaches the journal byte for byte whatever decoding makes of it."""
    journal = RecordingJournal()
    with pytest.raises(ClovaOCRError):
        await client_of(FakeTransport(answer)).recognize(JPEG, Receipt, journal=journal)
    assert journal.log == ["sending", "answered"]
    assert journal.calls[1][1] == answer


async def test_an_answer_the_journal_cannot_keep_is_not_shown() -> None:
    """When answered raises, its error comes out instead of the recognition."""
    with pytest.raises(OSError, match="disk is full"):
        await client_of(FakeTransport()).recognize(JPEG, Receipt, journal=RecordingJournal(fail_at="answered"))


@pytest.mark.parametrize(("lost", "began"), [(ConnectionLostError, True), (ConnectionFailedError, False)])
async def test_a_lost_request_is_told(lost: type[ClovaOCRError], began: bool) -> None:
    """A request without an answer reaches the journal with its error and whether its body had begun."""
    journal = RecordingJournal()
    with pytest.raises(lost):
        await client_of(FakeTransport(then=lost)).recognize(JPEG, Receipt, journal=journal)
    assert journal.log[:2] == ["sending", "unanswered"]
    assert (type(journal.calls[1][1]), journal.calls[1][2]) == (lost, began)


async def test_a_cancelled_request_reaches_the_journal() -> None:
    """A cancellation in flight reaches the journal before it comes out."""
    journal = RecordingJournal()
    await cancel_in_flight(journal)
    assert journal.log == ["sending", "unanswered"]
    assert isinstance(journal.calls[1][1], asyncio.CancelledError)
    assert journal.calls[1][2] is True


@pytest.mark.parametrize("times", [1, 2, 10])
@pytest.mark.parametrize("method", ["answered", "unanswered"])
async def test_cancelling_cuts_no_entry_short(method: str, times: int) -> None:
    """A call that is cancelled while its journal writes, however often, waits until the entry is written."""
    journal, slots = RecordingJournal(pause_at=method), LocalSlots(1)
    client = client_of(FakeTransport(None if method == "answered" else ConnectionLostError), slots)
    call = asyncio.create_task(client.recognize(JPEG, Receipt, journal=journal))
    await journal.reached.wait()
    for _ in range(times):
        call.cancel()
        await steps()
        assert not call.done()
    journal.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert journal.log == ["sending", method]
    assert slots.state(client.domains[0]).free == 1


async def test_anyio_cuts_no_entry_short() -> None:
    """A cancelled anyio scope lets the entry be finished as well."""
    journal = RecordingJournal(pause_at="answered")
    client = client_of(FakeTransport())
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: client.recognize(JPEG, Receipt, journal=journal))
            await journal.reached.wait()
            scope.cancel()
            asyncio.get_running_loop().call_soon(journal.go_on.set)
    assert scope.cancelled_caught
    assert journal.log == ["sending", "answered"]


async def test_a_journal_that_fails_under_cancellation() -> None:
    """A cancellation gets through when the journal fails meanwhile, with that failure as its cause."""
    journal = RecordingJournal(pause_at="answered", fail_at="answered")
    call = asyncio.create_task(client_of(FakeTransport()).recognize(JPEG, Receipt, journal=journal))
    await journal.reached.wait()
    call.cancel()
    await steps()
    journal.go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await call
    assert isinstance(caught.value.__cause__, OSError)


# ---------------------------------------------------------------------------------------------------------------------
# Cancellation sweep


class Scenario:
    """One way a call can go, made anew for each step it is cancelled at."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.time = FakeTime()
        self.slots = LocalSlots(1, runtime=self.time.runtime())
        self.transport = FakeTransport(*SCRIPTS[name])
        self.client = client_of(self.transport, self.slots, self.time)
        self.journal = RecordingJournal()

    async def call(self) -> None:
        """Call."""
        lane: Any = "interactive" if "single" in self.name else "batch"
        journal = self.journal if "journal" in self.name else NULL_JOURNAL
        await self.client.recognize(JPEG, Receipt, lane=lane, journal=journal)


SCRIPTS: dict[str, list[Any]] = {
    "single": [None],
    "single, journal": [None],
    "single, in backoff": [FAILED, FAILED, None],
    "single, refused": [BUSY, BUSY, None],
    "batch": [None],
    "batch, journal": [BUSY, None],
    "batch, in the hold": [SPENT, SPENT, None],
    "batch, lost": [ConnectionFailedError, None],
}


async def cancelled_after(scenario: Scenario, count: int, *, behind: bool) -> bool:
    """Cancel a call after so many steps; return whether it was still running."""
    first = asyncio.create_task(scenario.call()) if behind else None
    call = asyncio.create_task(scenario.call())
    await steps(count)
    late = call.done()
    call.cancel()
    done, _ = await asyncio.wait([call])
    assert done
    assert late or call.cancelled()
    if first is not None:
        await first
    await steps()  # a single request goes on without its caller
    # Whatever was cancelled: all slots are free, nothing flies, no hold stands, and the next call works.
    assert scenario.slots.state(scenario.client.domains[0]).free == 1
    assert scenario.transport.in_flight == 0
    scenario.transport.steps.clear()
    await scenario.client.recognize(JPEG, Receipt)
    assert len(scenario.journal.log) % 2 == 0 or scenario.journal.log[-1] == "sending"
    assert len(asyncio.all_tasks()) == 1
    return not late


@pytest.mark.parametrize("behind", [False, True], ids=["alone", "behind another"])
@pytest.mark.parametrize("name", SCRIPTS)
async def test_cancelling_at_every_step(name: str, behind: bool) -> None:
    """A call can be cancelled at whichever step: it ends, and leaks no slot, no hold and no task."""
    count = 0
    while await cancelled_after(Scenario(name), count, behind=behind):
        count += 1
    assert count >= 3


async def test_a_cut_answer_is_kept_when_a_deadline_cuts_it() -> None:
    """The journal gets an answer that is cut short as far as it came, and its bytes are raised."""
    journal = RecordingJournal()
    with pytest.raises(MalformedResponseError) as caught:
        await client_of(FakeTransport(HTTPResponse(200, b'{"ima', {}, "cut"))).recognize(JPEG, Receipt, journal=journal)
    assert caught.value.raw == b'{"ima'
    assert journal.calls[1][1].cut == "cut"


async def test_cancelled_while_the_journal_is_told_it_will_leave() -> None:
    """A call cancelled before its request left is noted as one that did not leave, and nothing is sent."""
    journal, transport, slots = RecordingJournal(pause_at="sending"), FakeTransport(), LocalSlots(1)
    client = client_of(transport, slots)
    call = asyncio.create_task(client.recognize(JPEG, Receipt, journal=journal))
    await journal.reached.wait()
    call.cancel()
    await steps()
    journal.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert journal.log == ["sending", "unanswered"]
    assert journal.calls[1][2] is False
    assert (transport.sent, slots.state(client.domains[0]).free) == ([], 1)


def test_an_answer_that_came_in_time_is_shown_though_its_journal_was_late() -> None:
    """A deadline that passes while the complete answer is written down does not lose the answer."""

    async def run() -> None:
        journal = RecordingJournal(pause_at="answered")
        call = asyncio.create_task(client_of(FakeTransport()).recognize(JPEG, Receipt, journal=journal))
        await journal.reached.wait()
        jump(301.0)
        await steps()
        journal.go_on.set()
        assert (await call).infer_result == "SUCCESS"
        assert journal.log == ["sending", "answered"]

    run_jumping(run())


async def test_a_journal_that_fails_at_the_end_loses_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a journal, once the request has ended, is logged; the paid answer reaches its caller."""

    class Failing(NullJournal):
        def finished(self, billing: Billing, maybe_billed: int, raw: bytes) -> None:  # noqa: ARG002 - fails in any case
            raise ZeroDivisionError("canaryVALUE")

    client = ClovaOCRClient(domain(), transport=FakeTransport())
    recognition = await client.recognize(JPEG, Receipt, lane="batch", journal=Failing())
    assert recognition.attempts == 1
    assert "a journal raised ZeroDivisionError as call" in caplog.text
    assert "canaryVALUE" not in caplog.text
