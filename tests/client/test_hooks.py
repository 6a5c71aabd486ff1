from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    SPENT,
    FakeTime,
    FakeTransport,
    Held,
    Sent,
    SteppedTime,
    domain,
    steps,
    success,
)
from support.late import Case, reached

from clova_ocr_async.batch import BatchDispatcher
from clova_ocr_async.client import (
    AnswerDropped,
    AnswerKept,
    AnswerTaken,
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    ClovaOCRClient,
    Event,
    HoldChanged,
    RetryScheduled,
)
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    Billing,
    ConfigurationError,
    ImageError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from clova_ocr_async.protocol.response import HTTPResponse


async def asynchronous(*_: Any) -> None:
    """Never run."""


def generator(_: Event) -> Iterator[int]:
    """Never run."""
    yield 1


async def both(_: Event) -> AsyncIterator[int]:
    """Never run."""
    yield 1


class Asynchronous:
    """A callable whose call is asynchronous."""

    async def __call__(self, _: Event) -> None:
        """Never run."""

    async def method(self, _: Event) -> None:
        """Never run."""


@pytest.mark.parametrize(
    ("hook", "kind"),
    [
        (asynchronous, "an async function"),
        (functools.partial(asynchronous, 1), "an async function"),
        (functools.partial(functools.partial(Asynchronous()), 1), "an async function"),
        (Asynchronous(), "an async function"),
        (Asynchronous().method, "an async function"),
        (generator, "a generator function"),
        (both, "a generator function"),
    ],
)
def test_a_hook_that_would_never_run_is_refused(hook: Any, kind: str) -> None:
    """A coroutine or generator function, in whatever it is wrapped, is refused by name, with the way out."""
    with pytest.raises(ConfigurationError, match=rf"hooks holds {kind}.*make it a plain function"):
        ClovaOCRClient(domain(), hooks=[hook])


def wrapped(event: Event) -> Any:
    """Return a coroutine, which no signature shows."""
    return asynchronous(event)


async def test_a_coroutine_that_a_hook_returns_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A hook that returns a coroutine without being async is logged, its coroutine closed, and the call goes on."""
    async with ClovaOCRClient(domain(), transport=FakeTransport(), hooks=[wrapped]) as client:
        await client.recognize(JPEG, Receipt)
    failures = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(failures) == 4  # of the beginning and the end of the request and of the call
    assert all("a hook failed on" in record.message for record in failures)
    assert "the hook returned a coroutine" in str(failures[0].exc_info)


async def test_plain_callables_stay_hooks() -> None:
    """Bound methods and partials of them are called."""
    seen: list[Any] = []
    hooks: list[Any] = [seen.append, functools.partial(seen.append), functools.partial(functools.partial(seen.append))]
    async with ClovaOCRClient(domain(), transport=FakeTransport(), hooks=hooks) as client:
        await client.recognize(JPEG, Receipt)
    assert len(seen) == 12


# ---------------------------------------------------------------------------------------------------------------------
# The beginning of a call, its context, and the times of waiting and of service


class Tenant:
    """A context that must not be printed."""

    def __repr__(self) -> str:
        return "canaryCONTEXT"


async def test_a_call_begins_when_it_has_its_image() -> None:
    """CallStarted is the first event of a call, with its id, its document and its lane; a refused image has none."""
    events: list[Event] = []
    async with ClovaOCRClient(domain(), transport=FakeTransport(), hooks=[events.append]) as client:
        with pytest.raises(ImageError):
            await client.recognize(b"", Receipt)
        assert events == []
        recognition = await client.recognize(JPEG, Receipt, lane="batch")
    started = events[0]
    assert isinstance(started, CallStarted)
    assert (started.request_id, started.path_word, started.lane) == (recognition.request_id, "receipt", "batch")
    assert started.loading >= 0


async def test_each_event_of_a_call_has_its_context() -> None:
    """The object given as context is in each event of its call, and in no repr of them."""
    events: list[Event] = []
    transport = FakeTransport(BUSY, FAILED)
    async with ClovaOCRClient(domain(), transport=transport, hooks=[events.append]) as client:
        tenant = Tenant()
        await client.recognize(JPEG, Receipt, context=tenant)
        await client.recognize(JPEG, Receipt)
    own, other = events[:10], events[10:]
    kinds = {type(event) for event in own}
    assert kinds == {CallStarted, AttemptStarted, AttemptFinished, RetryScheduled, CallFinished}
    assert all(event.context is tenant for event in own if not isinstance(event, HoldChanged))
    assert all(event.context is None for event in other if not isinstance(event, HoldChanged))
    assert "canaryCONTEXT" not in repr(events)
    assert repr(other[1]).startswith("AttemptStarted(attempt=Attempt(request_id=")
    assert dict(other[1].__rich_repr__()).keys() == {"attempt", "waited"}


@pytest.mark.parametrize("ledger", [False, True])
async def test_the_calls_of_a_batch_have_its_context(ledger: bool, tmp_path: Path) -> None:
    """The context of a batch is that of each of its calls, with a ledger and without one."""
    events: list[Any] = []
    async with ClovaOCRClient(domain(), transport=FakeTransport(), hooks=[events.append]) as client:
        dispatcher = BatchDispatcher(client, ledger=tmp_path / "run" if ledger else None)
        async with dispatcher.dispatch([JPEG, JPEG[:-2] + b"!\xff\xd9"], Receipt, context={"tenant": "a"}) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 2
    assert [event.context for event in events] == [{"tenant": "a"}] * 8


async def test_late_answers_have_the_context_of_the_call_they_were_sent_for() -> None:
    """AnswerKept and AnswerDropped have the context of the lost call, AnswerTaken that of the next one."""
    case = Case()
    await case.lose(context="lost")
    case.held.go_on.set()
    await reached(case.late)
    await case.call(context="new")
    await case.client.close()
    assert [(type(event), event.context) for event in case.late()] == [(AnswerKept, "lost"), (AnswerTaken, "new")]
    case = Case({"keep_late_answers": 0})
    await case.lose(context="lost")
    case.held.go_on.set()
    await case.client.close()
    assert [(type(event), event.context) for event in case.late()] == [(AnswerDropped, "lost")]


async def test_a_request_that_runs_on_says_so() -> None:
    """The end of an attempt says whether its request runs on without the caller, and an event of its end follows."""
    case = Case()
    await case.lose()
    [finished] = [event for event in case.events if isinstance(event, AttemptFinished)]
    assert (finished.detached, finished.billing) == (True, Billing.MAYBE_BILLED)
    case.held.go_on.set()
    await case.call()
    assert [event.detached for event in case.events if isinstance(event, AttemptFinished)] == [True]
    await case.client.close()


async def test_waiting_is_apart_from_service() -> None:
    """Events tell the seconds that a call waited for slots from the seconds in which its requests held one."""
    time = SteppedTime()
    first = Held()

    async def slow(sent: Sent) -> HTTPResponse:
        await time.sleep(2.0)
        return success(sent.request)

    events: list[Event] = []
    client = ClovaOCRClient(
        domain(), transport=FakeTransport(first, slow), concurrency=1, runtime=time.runtime(), hooks=[events.append]
    )
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt)) for _ in range(2)]
    await first.reached.wait()
    await time.go_on(5.0)
    first.go_on.set()
    await steps()
    await time.go_on(2.0)
    await asyncio.wait(calls)
    ends = [(event.waited, event.elapsed) for event in events if isinstance(event, AttemptFinished)]
    assert ends == [(0.0, 5.0), (5.0, 2.0)]
    assert [(event.waited, event.in_slot, event.elapsed) for event in events if isinstance(event, CallFinished)] == [
        (0.0, 5.0, 5.0),
        (5.0, 2.0, 7.0),
    ]


async def test_a_call_without_a_slot_has_waited_until_its_end() -> None:
    """A call that ends before it gets a slot has waited for all of its time, and was in no slot."""
    time, held, events = SteppedTime(), Held(), list[Any]()
    client = ClovaOCRClient(
        domain(), transport=FakeTransport(held), concurrency=1, runtime=time.runtime(), hooks=[events.append]
    )
    first = asyncio.create_task(client.recognize(JPEG, Receipt))
    await held.reached.wait()
    second = asyncio.create_task(client.recognize(JPEG, Receipt))
    await steps()
    await time.go_on(3.0)
    second.cancel()
    await asyncio.wait([second])
    assert isinstance(events[-1], CallFinished)
    assert (events[-1].waited, events[-1].in_slot) == (3.0, 0.0)
    held.go_on.set()
    await first


async def test_events_name_the_domain_by_its_label() -> None:
    """Attempts and holds have the label of their domain, for metrics."""
    events: list[Any] = []
    client = ClovaOCRClient(
        domain(label="shop 1"),
        transport=FakeTransport(SPENT),
        runtime=FakeTime().runtime(),
        hooks=[events.append],
    )
    await client.recognize(JPEG, Receipt, lane="batch")
    attempts = [event.attempt for event in events if isinstance(event, AttemptStarted | AttemptFinished)]
    assert [attempt.label for attempt in attempts] == ["shop 1"] * 4
    assert [(event.label, event.held) for event in events if isinstance(event, HoldChanged)] == [
        ("shop 1", True),
        ("shop 1", False),
    ]
