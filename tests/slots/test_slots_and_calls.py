"""Slots under whole calls: the requests that a limited service sees, and the remains of a call that is cut off."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    SECRET,
    SPENT,
    FakeTime,
    FakeTransport,
    Sent,
    error,
    gateway_error,
    jump,
    run_jumping,
    steps,
    success,
    url_of,
)

from clova_ocr_async.batch import BatchDispatcher, Success
from clova_ocr_async.client import AttemptFinished, AttemptStarted, ClovaOCRClient, Event, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.errors import ClovaOCRError, ConnectionFailedError, ConnectionLostError, RateLimitError
from clova_ocr_async.protocol.response import HTTPResponse, encode_error
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.host.runtime import Runtime

NO_SECRET = error("0002", 401)
LONGEST_HOLD = 600.0  # seconds until a domain on hold is asked again, at the most


def busy(named: int) -> HTTPResponse:
    """Return a refusal that names a number."""
    message = f"Calls to this API are limited to {named} API calls per domain at the same time."
    return HTTPResponse(400, encode_error("0025", message, path="/p", trace_id="t", timestamp=1))


@dataclass
class Limited:
    """A service that takes so many calls at once, and logs its requests.

    Attributes:
        ceiling: Calls at once.
        refusal: Its answer beyond that.
        lasts: Steps of the event loop that a call takes.
        running: Running calls.
        most: Most of them at once.
        log: Each event of a request in order: "came", "refused" or "read", with its requestId.
    """

    ceiling: int
    refusal: HTTPResponse
    lasts: Callable[[], int]
    running: int = 0
    most: int = 0
    log: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def __call__(self, sent: Sent) -> HTTPResponse:
        """Answer."""
        self.log.append(("came", sent.parsed.request_id))
        if self.running >= self.ceiling:
            await steps(3)
            self.log.append(("refused", sent.parsed.request_id))
            return self.refusal
        self.running += 1
        self.most = max(self.most, self.running)
        await steps(self.lasts())
        self.running -= 1
        self.log.append(("read", sent.parsed.request_id))
        return success(sent.request)


def lengths(seed: int) -> Callable[[], int]:
    """Return a function that draws the lengths of calls."""
    draw = random.Random(seed)  # noqa: S311 - for a simulation
    return lambda: draw.randint(60, 120)


class TickingTime(FakeTime):
    """A clock that shows each reader another time."""

    def runtime(self) -> Runtime:
        """Return a runtime for a client."""
        return replace(super().runtime(), clock=self.tick)

    def tick(self) -> float:
        """Return the time, a little later than the last one."""
        self.now += 1e-6
        return self.now


def client_of(transport: FakeTransport, *, domains: int = 1, time: FakeTime | None = None, **settings: Any) -> Any:
    """Return a client."""
    runtime = (time or FakeTime()).runtime()
    return ClovaOCRClient(
        *(Domain(url_of(number), SECRET) for number in range(1, domains + 1)),
        transport=transport,
        runtime=runtime,
        **settings,
    )


# ---------------------------------------------------------------------------------------------------------------------
# The requests that the service sees


@pytest.mark.parametrize("names_it", [True, False], ids=["with a number", "without"])
@pytest.mark.parametrize("ceiling", [1, 2, 5, 12])
async def test_a_service_with_an_unknown_limit_is_filled_and_rarely_refuses(ceiling: int, *, names_it: bool) -> None:
    """A batch finds the limit, uses all of it and is seldom refused, and every item is read."""
    service = Limited(ceiling, busy(ceiling) if names_it else BUSY, lengths(ceiling))
    transport = FakeTransport(then=service)
    client = client_of(transport, retry=RetryPolicy(max_attempts=1))
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch")) for _ in range(300)]
    attempts = [(await call).attempts for call in calls]
    assert service.most == ceiling
    assert len(transport.sent) - 300 <= 25
    assert sum(attempts) == len(transport.sent)
    assert max(attempts) <= 4
    [gate] = client.gates.values()
    assert gate.ceiling in {ceiling, ceiling + 1}
    assert (gate.in_flight, gate.waiting, gate.rejections) == (0, 0, len(transport.sent) - 300)


async def test_a_refused_item_is_sent_again_first() -> None:
    """A refused call is sent again before all that still wait, without a backoff of its own."""
    service = Limited(5, busy(5), lengths(1))
    time, refused, again, first = TickingTime(), set[str](), list[str](), list[bool]()

    def watch(event: Event) -> None:
        if isinstance(event, AttemptFinished) and isinstance(event.error, RateLimitError):
            refused.add(event.attempt.request_id)
        elif isinstance(event, AttemptStarted):
            first.append(not refused or event.attempt.request_id in refused)
            again.extend(refused & {event.attempt.request_id})
            refused.discard(event.attempt.request_id)

    client = client_of(FakeTransport(then=service), time=time, hooks=[watch])
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch")) for _ in range(300)]
    for call in calls:
        await call
    assert all(first)
    assert again
    assert not refused
    assert not any(time.slept)


async def test_an_interactive_call_waits_for_one_slot_at_most() -> None:
    """A single call gets the next free slot, however many calls of a batch wait."""
    service = Limited(3, busy(3), lengths(2))
    client = client_of(FakeTransport(then=service), concurrency=3)
    batch = [asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch")) for _ in range(60)]
    await steps(300)
    before = len(service.log)
    assert (await client.recognize(JPEG, Receipt)).attempts == 1
    [begun] = (
        {request_id for event, request_id in service.log[before:] if event == "read"}
        - {request_id for event, request_id in service.log[:before] if event == "came"}
        - {f"id-{number}" for number in range(1, 61)}
    )
    later = [request_id for event, request_id in service.log[before:] if event == "came"]
    assert later[0] == begun
    await asyncio.wait(batch)


async def test_refusals_use_up_no_attempt() -> None:
    """With one attempt each, every item is read although most requests are refused."""
    refusals = iter([True, True, True, False] * 1000)

    async def moody(sent: Sent) -> HTTPResponse:
        return BUSY if next(refusals) else success(sent.request)

    client = client_of(FakeTransport(then=moody), retry=RetryPolicy(max_attempts=1, budget=0))
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch")) for _ in range(50)]
    assert sum([(await call).attempts for call in calls]) == 200


async def test_a_batch_at_the_emulator_is_paid_once_an_image() -> None:
    """Over real sockets, at an unknown limit, every image of a batch is read and paid exactly once."""
    picture = draw_sample("receipt").data
    images = [picture + bytes([number]) for number in range(60)]
    async with Emulator(concurrency=5) as clova, ClovaOCRClient(Domain(clova.url(), clova.secret)) as client:
        async with BatchDispatcher(client, concurrency=32).dispatch(images, Receipt) as outcomes:
            assert all([isinstance(outcome, Success) async for outcome in outcomes])
        [gate] = client.gates.values()
    assert len(clova.billed) == clova.billed.total() == 60
    assert clova.requests - 60 == gate.rejections <= 20


# ---------------------------------------------------------------------------------------------------------------------
# No call waits for ever

Answer = HTTPResponse | type[ClovaOCRError] | None
answers = st.sampled_from(
    [
        *([None] * 6),
        BUSY,
        busy(1),
        busy(3),
        busy(500),
        error("0025", headers={"retry-after": "7"}),
        gateway_error("410", 429),
        gateway_error("420", 429),
        SPENT,
        FAILED,
        NO_SECRET,
        error("0011"),
        HTTPResponse(200, b"<html>"),
        HTTPResponse(504, b""),
        ConnectionFailedError,
        ConnectionLostError,
    ]
)


@given(
    script=st.lists(answers, max_size=60),
    callers=st.lists(st.tuples(st.booleans(), st.none() | st.integers(0, 200)), min_size=1, max_size=25),
    domains=st.integers(1, 3),
    known=st.none() | st.integers(1, 4),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None)
def test_no_call_waits_for_ever(
    script: list[Answer], callers: list[tuple[bool, int | None]], domains: int, known: int | None, seed: int
) -> None:
    """Every call ends and no slot is lost, for any answers of the service and any cancelled calls."""
    draw = random.Random(seed)  # noqa: S311 - for a simulation

    def slowly(answer: Answer) -> Callable[[Sent], Awaitable[HTTPResponse]]:
        async def step(sent: Sent) -> HTTPResponse:
            await steps(draw.randint(0, 30))
            if isinstance(answer, type):
                sent.progress.body_began = not issubclass(answer, ConnectionFailedError)
                raise answer("made up")
            return success(sent.request) if answer is None else answer

        return step

    async def caller(*, interactive: bool, patience: int | None) -> None:
        call = asyncio.create_task(client.recognize(JPEG, Receipt, lane="interactive" if interactive else "batch"))
        if patience is not None:
            await steps(patience)
            call.cancel()
        await asyncio.wait([call])
        assert call.cancelled() or isinstance(call.exception(), ClovaOCRError | None)

    async def main() -> None:
        tasks = [
            asyncio.create_task(caller(interactive=interactive, patience=patience)) for interactive, patience in callers
        ]
        for _ in range(20_000):
            if all(task.done() for task in tasks):
                break
            await asyncio.sleep(0)
        assert all(task.done() for task in tasks)
        await check_nothing_is_left(client, transport, slots, time)

    transport = FakeTransport(*map(slowly, script), then=slowly(None))
    time = FakeTime()
    slots = LocalSlots(known, runtime=time.runtime())
    client = client_of(transport, domains=domains, time=time, slots=slots)
    asyncio.run(main())


async def check_nothing_is_left(
    client: ClovaOCRClient, transport: FakeTransport, slots: LocalSlots, time: FakeTime
) -> None:
    """Check that no slot is held or awaited, that all slots can be taken, and that calls go through."""
    await steps(40)  # a request that runs on without its caller needs as many
    assert transport.in_flight == 0
    for domain, gate in client.gates.items():
        assert (gate.in_flight, gate.waiting) == (0, 0)
        async with AsyncExitStack() as stack:
            for _ in range(gate.ceiling):
                await stack.enter_async_context(slots.slot([domain], "batch", 0.0))
            assert slots.state(domain).free == 0
    transport.steps.clear()
    transport.then = None
    time.now += LONGEST_HOLD  # while a domain is on hold single calls fail at once; then one call probes it
    assert (await client.recognize(JPEG + b"another", Receipt)).attempts >= 1
    await steps()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# ---------------------------------------------------------------------------------------------------------------------
# Cut off at every step


def slow(sent: Sent) -> Awaitable[HTTPResponse]:
    """Take some steps to answer."""

    async def answer() -> HTTPResponse:
        await steps(12)
        return success(sent.request)

    return answer()


@dataclass(frozen=True)
class Script:
    """A scenario.

    Attributes:
        script: The answers to the requests, those of the neighbours first.
        neighbours: Calls that began before.
        known: The given limit; None to learn it.
        domains: The number of domains.
    """

    script: list[Any]
    neighbours: int = 0
    known: int | None = 1
    domains: int = 1


SCRIPTS = {
    "sending": Script([slow]),
    "queued": Script([slow], neighbours=1),
    "queued behind several": Script([slow] * 4, neighbours=4),
    "refused alone": Script([BUSY, BUSY]),
    "refused beside others": Script([slow, slow, busy(2)], neighbours=2, known=3),
    "refused, unknown limit": Script([slow, slow, BUSY], neighbours=2, known=None),
    "refused for the rate": Script([slow, gateway_error("410", 429)], neighbours=1, known=2),
    "while others pause": Script([BUSY, BUSY, slow], neighbours=2, known=2),
    "two domains": Script([slow] * 3, neighbours=2, domains=2),
    "two domains, refused by one": Script([slow, slow, slow, BUSY], neighbours=3, known=2, domains=2),
    "two domains, one leaves": Script([slow, NO_SECRET, slow], neighbours=1, domains=2),
    "two domains, both leave": Script([NO_SECRET, NO_SECRET], domains=2),
    "two domains, one spent": Script([SPENT, slow], domains=2),
}

scripts = pytest.mark.parametrize("name", SCRIPTS)
lanes = pytest.mark.parametrize("lane", ["interactive", "batch"])


class Scenario:
    """One course of a call, set up anew for each step at which it is cut off."""

    def __init__(self, script: Script, lane: Any, **settings: Any) -> None:
        self.script = script
        self.lane = lane
        self.time = time = FakeTime()
        self.slots = LocalSlots(script.known, runtime=time.runtime())
        self.transport = FakeTransport(*script.script)
        self.client = client_of(self.transport, domains=script.domains, time=time, slots=self.slots, **settings)

    async def begin(self) -> tuple[list[asyncio.Task[Any]], asyncio.Task[Any]]:
        """Start the neighbours, and then the call."""
        neighbours = [self.call("batch") for _ in range(self.script.neighbours)]
        await steps(4)
        return neighbours, self.call(self.lane)

    def call(self, lane: Any) -> asyncio.Task[Any]:
        """Call."""
        return asyncio.create_task(self.client.recognize(JPEG, Receipt, lane=lane))

    async def check(self, neighbours: list[asyncio.Task[Any]]) -> None:
        """Check that no other call was harmed, and nothing is left."""
        for neighbour in neighbours:
            assert (await neighbour).document
        await check_nothing_is_left(self.client, self.transport, self.slots, self.time)


async def cancelled_after(scenario: Scenario, count: int) -> bool:
    """Cancel a call after so many steps; return whether it was still in flight."""
    neighbours, call = await scenario.begin()
    await steps(count)
    late = call.done()
    call.cancel()
    await asyncio.wait([call])
    assert late or call.cancelled()
    await scenario.check(neighbours)
    return not late


@scripts
@lanes
async def test_cancelling_at_every_step(name: str, lane: Any) -> None:
    """A call that is cancelled at any step leaves no slot taken, no waiter and no task."""
    count = 0
    while await cancelled_after(Scenario(SCRIPTS[name], lane), count):
        count += 1
    assert count >= 5


@scripts
def test_a_deadline_at_every_step(name: str) -> None:
    """A single call whose deadline passes at any step ends, and leaves nothing behind."""

    async def late_after(count: int) -> bool:
        scenario = Scenario(SCRIPTS[name], "interactive", deadline=30.0)
        neighbours, call = await scenario.begin()
        await steps(count)
        late = call.done()
        jump(31.0)
        await asyncio.wait([call])
        assert isinstance(call.exception(), ClovaOCRError | None)
        for neighbour in neighbours:
            # A call of a batch has the deadline for each of its requests.
            await asyncio.wait([neighbour])
            assert isinstance(neighbour.exception(), ClovaOCRError | None)
        await scenario.check([])
        return not late

    async def main() -> None:
        count = 0
        while await late_after(count):
            count += 1
        assert count >= 5

    run_jumping(main())
