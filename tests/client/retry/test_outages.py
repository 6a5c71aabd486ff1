from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.fakes import (
    BUSY,
    JPEG,
    KEY,
    SECRET,
    SPENT,
    FakeTime,
    FakeTransport,
    Held,
    Sent,
    domain,
    error,
    steps,
    success,
    url_of,
)
from support.holds import HeldDomain

from clova_ocr_async.client import ClovaOCRClient, Event, RetryPolicy, RetryScheduled
from clova_ocr_async.client.hooks import HoldChanged
from clova_ocr_async.documents import IdCard, Receipt, Recognition
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ResponseTimeoutError,
    ServerError,
)
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.protocol.response import HTTPResponse

NOT, MAYBE, _ = Billing
DOWN = HTTPResponse(503, b"")
REFUSED = ConnectionFailedError("cannot connect")


class Service:
    """A client of a service that is out until its time has come, and what its requests met."""

    def __init__(self, out: HTTPResponse | type[ClovaOCRError], lasts: float, **settings: Any) -> None:
        self.time = FakeTime()
        self.back = self.time.now + lasts
        self.out = out
        self.transport = FakeTransport(then=self._meet)
        self.events: list[Event] = []
        self.sent_at: list[float] = []
        self.probing_together: list[int] = []
        self.client = ClovaOCRClient(
            domain(),
            transport=self.transport,
            runtime=self.time.runtime(),
            hooks=[self._hear],
            **({"concurrency": 5} | settings),
        )

    def _hear(self, event: Event) -> None:
        self.events.append(event)

    @property
    def changes(self) -> list[tuple[str, bool]]:
        """The events of breakers."""
        return [(event.cause, event.held) for event in self.events if isinstance(event, HoldChanged)]

    async def _meet(self, sent: Sent) -> HTTPResponse:
        self.sent_at.append(self.time.now)
        if self.changes and self.changes[-1][1]:
            self.probing_together.append(self.transport.in_flight)
        if self.time.now >= self.back:
            return success(sent.request)
        if isinstance(self.out, HTTPResponse):
            return self.out
        sent.progress.body_began = not issubclass(self.out, ConnectionFailedError)
        raise self.out("cannot connect")

    def call(self, lane: Any = "batch") -> asyncio.Task[Recognition[Receipt]]:
        """Start a call."""
        return asyncio.create_task(self.client.recognize(JPEG, Receipt, lane=lane))

    async def batch(self, count: int = 32) -> list[Recognition[Receipt] | ClovaOCRError]:
        """Make the calls of a batch, and return what each ended in."""
        calls = [self.call() for _ in range(count)]
        await asyncio.wait(calls)
        return [ended(call) for call in calls]


def ended(call: asyncio.Task[Any]) -> Any:
    """Return what a call ended in."""
    failure = call.exception()
    assert failure is None or isinstance(failure, ClovaOCRError)
    return failure or call.result()


# ---------------------------------------------------------------------------------------------------------------------
# Of minutes, and of hours


async def test_an_outage_of_minutes_fails_no_call_of_a_batch(caplog: pytest.LogCaptureFixture) -> None:
    """Over five minutes without a connection no call of a batch fails, and only one at a time asks meanwhile."""
    caplog.set_level(logging.INFO, logger="clova_ocr_async")
    service = Service(ConnectionFailedError, 300.0)
    outcomes = await service.batch()
    assert all(isinstance(outcome, Recognition) for outcome in outcomes)
    assert service.changes == [("outage", True), ("outage", False)]
    assert service.transport.most_in_flight == 5
    assert set(service.probing_together[5:]) == {1}
    # At most three attempts of each, then one a wait: after 1, 2, 4, 8, 16 and nine times 30 s; at the end one each.
    assert sum(sent > 1010 for sent in service.sent_at) <= 12 + 31
    logged = [record for record in caplog.records if "on hold" in record.getMessage()]
    assert [record.levelno for record in logged] == [logging.WARNING, logging.INFO]
    assert KEY not in caplog.text
    assert "/777/***" in logged[0].getMessage()


async def test_waiting_for_an_outage_to_end_holds_no_slot() -> None:
    """While a domain is out, its slots are free for single calls."""
    service = Service(ConnectionFailedError, 1e9)
    service.time.gate = sleepers = asyncio.Event()
    calls = [service.call() for _ in range(32)]
    while ("outage", True) not in service.changes:
        await service.time.asleep.wait()
        sleepers.set()
        await steps(1)
    sleepers.clear()
    await steps(100)
    [gate] = service.client.gates.values()
    assert (gate.in_flight, gate.waiting) == (0, 0)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)


async def test_an_outage_that_is_too_long_ends_a_batch() -> None:
    """When no answer has come for the policy's patience, all calls of a batch fail with an error that stops the run."""
    service = Service(ConnectionFailedError, 1e9, retry=RetryPolicy(max_attempts=1))
    began = service.time.now
    outcomes = await service.batch()
    assert 600 <= service.time.now - began < 640
    failures = [outcome for outcome in outcomes if isinstance(outcome, ConnectionFailedError)]
    assert len(failures) == 32
    assert all(failure.stops_run and failure.billing is NOT for failure in failures)
    assert all("no usable answer for 6" in str(failure) for failure in failures)
    unsent = [failure for failure in failures if not failure.attempts]
    assert len(unsent) == 32 - 5
    assert all(failure.request_id is None for failure in unsent)
    assert len({id(failure) for failure in failures}) == 32
    assert service.changes == [("outage", True), ("outage", False)]
    # The next call probes anew.
    service.back = service.time.now
    assert (await service.call()).attempts == 1


@pytest.mark.parametrize("patience", [0, 5.0])
async def test_the_patience_is_the_users(patience: float) -> None:
    """outage_patience bounds the waiting, and 0 means none."""
    service = Service(ConnectionFailedError, 1e9, retry=RetryPolicy(outage_patience=patience))
    began = service.time.now
    [failure] = await service.batch(1)
    assert isinstance(failure, ConnectionFailedError)
    assert failure.stops_run
    assert service.time.now - began <= patience * 2 + 1


# ---------------------------------------------------------------------------------------------------------------------
# What may be paid


@pytest.mark.parametrize("budget", [0, 28])
async def test_an_outage_that_may_be_paid_costs_one_request_a_wait(budget: int) -> None:
    """With a failing server and no budget left, one maybe billed request leaves at a time, each after a longer wait."""
    service = Service(DOWN, 300.0, retry=RetryPolicy(budget=budget))
    outcomes = await service.batch()
    failures = [outcome for outcome in outcomes if isinstance(outcome, ServerError)]
    assert {(failure.attempts, failure.billing, failure.stops_run) for failure in failures} == {(3, MAYBE, False)}
    assert len(failures) + sum(isinstance(outcome, Recognition) for outcome in outcomes) == 32
    assert set(service.probing_together[5:]) == {1}
    waits = [later - earlier for earlier, later in zip(service.sent_at, service.sent_at[1:], strict=False)]
    # The backoff is the breaker's: the next prober waits as long as the one before would have.
    assert [wait for wait in waits if wait >= 4][:11] == [4.0, 8.0, 16.0, *[30.0] * 8]
    maybe_billed = sum(sent < service.back for sent in service.sent_at)
    assert maybe_billed <= 5 + budget // 14 + 16
    assert service.changes[-1] == ("outage", False)


async def test_a_failing_server_that_stays_ends_a_batch() -> None:
    """When a server keeps failing, a call that sent nothing fails as not billed, and one that did as maybe billed."""
    service = Service(DOWN, 1e9, retry=RetryPolicy(budget=0, outage_patience=20.0))
    outcomes = await service.batch()
    failures = [outcome for outcome in outcomes if isinstance(outcome, ServerError)]
    assert len(failures) == 32
    stopped = [failure for failure in failures if failure.stops_run]
    assert {(failure.status, failure.billing) for failure in stopped if not failure.attempts} == {(503, NOT)}
    assert {failure.billing for failure in failures if failure.attempts} == {MAYBE}
    assert any(failure.attempts for failure in stopped)
    assert "no usable answer for" in str(stopped[0])


@pytest.mark.parametrize("lost", [ConnectionLostError, ResponseTimeoutError])
async def test_ambiguous_requests_are_bounded_too(lost: type[ClovaOCRError]) -> None:
    """With ambiguous="retry" an image is sent no more often than its attempts, also over an outage."""
    service = Service(lost, 1e9, retry=RetryPolicy(ambiguous="retry", budget=0, outage_patience=50.0))
    failures = await service.batch(8)
    assert all(isinstance(failure, lost) for failure in failures)
    assert max(failure.attempts for failure in failures if isinstance(failure, ClovaOCRError)) == 3


async def test_used_up_attempts_that_may_be_paid_hold_nothing() -> None:
    """A picture the server fails on three times costs itself and nothing else."""
    service = Service(DOWN, 1e9)
    [failure] = await service.batch(1)
    assert isinstance(failure, ServerError)
    assert (failure.attempts, failure.stops_run, service.changes) == (3, False, [])


async def test_a_parked_request_holds_nothing() -> None:
    """A failure that the policy never retries puts no domain on hold."""
    service = Service(ConnectionLostError, 1e9, retry=RetryPolicy(budget=0))
    failures = await service.batch(4)
    assert all(isinstance(failure, ConnectionLostError) and failure.attempts == 1 for failure in failures)
    assert service.changes == []


async def test_a_maybe_billed_prober_leaves_the_hold() -> None:
    """A prober whose answer is lost fails as maybe billed, and the next one probes after the next wait."""
    service = Service(ConnectionFailedError, 1e9, retry=RetryPolicy(budget=0), concurrency=1)
    service.transport.steps.extend([REFUSED, ConnectionLostError, REFUSED, None])
    first, second = await service.batch(2)
    assert isinstance(first, ConnectionLostError)
    assert (first.attempts, first.stops_run) == (2, False)
    assert isinstance(second, Recognition)
    assert (second.attempts, service.time.slept) == (2, [1.0, 2.0, 4.0])


async def test_what_was_not_billed_uses_up_no_attempt_of_a_prober() -> None:
    """A prober that was refused the connection, however often, still has its attempts at a failing server."""
    service = Service(ConnectionFailedError, 1e9)
    service.transport.steps.extend([REFUSED] * 10 + [DOWN, DOWN, None])
    [outcome] = await service.batch(1)
    assert isinstance(outcome, Recognition)
    assert (outcome.attempts, outcome.maybe_billed) == (13, 2)


# ---------------------------------------------------------------------------------------------------------------------
# Budget


async def test_without_a_budget_a_batch_waits_and_a_single_call_fails() -> None:
    """When the budget is spent, a call of a batch waits for the service, and a single call raises at once."""
    service = Service(ConnectionFailedError, 100.0, retry=RetryPolicy(budget=0))
    with pytest.raises(ConnectionFailedError) as caught:
        await service.call("interactive")
    assert (caught.value.attempts, caught.value.stops_run, service.changes) == (1, False, [])
    [outcome] = await service.batch(1)
    assert isinstance(outcome, Recognition)
    assert service.changes == [("outage", True), ("outage", False)]


async def test_further_requests_are_told() -> None:
    """Hooks and log hear of each further request of a call that waits for an outage to end."""
    service = Service(DOWN, 2.0, retry=RetryPolicy(budget=0))
    recognition = await service.call()
    assert recognition.attempts == 3
    scheduled = [event for event in service.events if isinstance(event, RetryScheduled)]
    assert [(event.attempts, event.delay) for event in scheduled] == [(1, 1.0), (2, 2.0)]


# ---------------------------------------------------------------------------------------------------------------------
# The end of a hold


class Scene(HeldDomain):
    """A client without a retry budget, whose first call has put the domain on hold and waits in its backoff."""

    def __init__(self, *later: Any, first: Any = REFUSED, **settings: Any) -> None:
        super().__init__(first, *later, **({"retry": RetryPolicy(budget=0)} | settings))


OUTAGE, QUOTA = [("outage", True), ("outage", False)], [("quota", True), ("quota", False)]


@pytest.mark.parametrize("answer", [error("0011"), HTTPResponse(200, b"<html>"), error("9999", 418)])
async def test_any_answer_ends_an_outage(answer: HTTPResponse) -> None:
    """An answer that is not a failure of the service closes the breaker, even a refusal of the prober's own image."""
    scene = await Scene(answer).held()
    waiting = [scene.call() for _ in range(5)]
    await steps()
    scene.let_go()
    with pytest.raises(ClovaOCRError):
        await scene.prober
    assert [(await call).attempts for call in waiting] == [1] * 5
    assert scene.changes == OUTAGE


async def test_a_refusal_for_the_rate_ends_an_outage() -> None:
    """0025 is an answer."""
    scene = await Scene(BUSY).held()
    scene.let_go()
    assert (await scene.prober).attempts == 3
    assert scene.changes == OUTAGE


async def test_an_outage_turns_into_a_spent_quota() -> None:
    """A prober that gets 0023 goes on probing, now for the quota."""
    scene = await Scene(SPENT).held()
    waiting = scene.call()
    await steps()
    scene.let_go()
    assert (await scene.prober).attempts == 3
    assert (await waiting).attempts == 1
    assert scene.changes == [*OUTAGE, *QUOTA]
    assert scene.time.slept == [1.0, 0.5]


async def test_a_spent_quota_turns_into_an_outage() -> None:
    """A prober of the quota that gets no answer any more goes on probing, now for the outage."""
    scene = await Scene(REFUSED, REFUSED, REFUSED, first=SPENT).held()
    waiting = scene.call()
    await steps()
    scene.let_go()
    assert (await scene.prober).attempts == 5
    assert (await waiting).attempts == 1
    assert scene.changes == [*QUOTA, *OUTAGE]


async def test_what_meets_the_outage_later_waits_too() -> None:
    """A call that was in flight when the outage began waits as well, sends nothing before it ends, and fails not."""
    held = Held(ConnectionFailedError("x"))
    scene = Scene(retry=RetryPolicy(budget=0, outage_patience=0.5))  # which is for the prober to judge
    scene.transport.steps.append(held)
    other = scene.call()
    await scene.held()
    await held.reached.wait()
    held.go_on.set()
    await steps()
    assert len(scene.transport.sent) == 2
    scene.let_go()
    assert (await scene.prober).attempts == (await other).attempts == 2
    assert scene.time.slept == [1.0]


async def test_what_left_before_the_outage_may_end_it() -> None:
    """An answer to a request that left before the domain went on hold shows that the service is there."""
    held = Held()
    scene = Scene()
    scene.transport.steps.append(held)
    other = scene.call()
    await scene.held()
    await held.reached.wait()
    waiting = scene.call()
    held.go_on.set()
    assert [(await call).attempts for call in (other, waiting)] == [1, 1]
    assert scene.changes == OUTAGE
    scene.let_go()
    assert (await scene.prober).attempts == 2


async def test_what_left_before_says_nothing_of_the_quota() -> None:
    """A success of a request that left before the quota was spent does not close the breaker."""
    held = Held()
    scene = Scene(first=SPENT)
    scene.transport.steps.append(held)
    other = scene.call()
    await scene.held()
    held.go_on.set()
    assert (await other).attempts == 1
    assert scene.changes == [("quota", True)]
    scene.let_go()
    await scene.prober


@pytest.mark.parametrize("cause", ["quota", "outage"])
async def test_a_cancelled_prober_hands_over(cause: str) -> None:
    """The next waiting call takes over from a cancelled prober, with its count and its backoff."""
    step = SPENT if cause == "quota" else REFUSED
    policy = RetryPolicy(budget=0, quota_probes=3, outage_patience=6.9)
    scene = await Scene(then=step, first=step, retry=policy).held()
    calls = [scene.prober, *(scene.call() for _ in range(3))]
    for call in calls[:2]:
        await steps()
        scene.time.asleep.clear()
        call.cancel()
        await scene.time.asleep.wait()
    scene.let_go()
    await asyncio.wait(calls)
    assert scene.time.slept == ([0.5, 1.0, 2.0] if cause == "quota" else [1.0, 2.0, 4.0])
    assert [call.cancelled() for call in calls] == [True, True, False, False]
    assert all(ended(call).stops_run for call in calls[2:])
    assert len(scene.transport.sent) == 4
    assert [held for _, held in scene.changes] == [True, False]


async def test_who_takes_over_waits_what_is_left() -> None:
    """A call that takes over as prober sends its probe when it is due, and not at once."""
    service = Service(ConnectionFailedError, 1e9, retry=RetryPolicy(budget=0))
    clock = service.time

    async def interrupted(seconds: float) -> None:
        clock.slept.append(seconds)
        clock.now += seconds / 4
        raise asyncio.CancelledError

    runtime = clock.runtime()
    client = ClovaOCRClient(
        domain(),
        transport=service.transport,
        runtime=Runtime(clock=runtime.clock, sleep=interrupted, uniform=runtime.uniform),
        retry=RetryPolicy(budget=0),
    )
    calls = [asyncio.create_task(client.recognize(JPEG, Receipt, lane="batch")) for _ in range(3)]
    await asyncio.wait(calls)
    assert clock.slept == [1.0, 0.75, 0.75 * 0.75]


# ---------------------------------------------------------------------------------------------------------------------
# Single calls


async def test_single_calls_try_and_end_an_outage() -> None:
    """A single call is sent while a batch waits, and its success closes the breaker."""
    scene = await Scene().held()
    waiting = scene.call()
    await steps()
    assert (await scene.call("interactive")).attempts == 1
    assert (await waiting).attempts == 1
    assert scene.changes == OUTAGE
    scene.let_go()
    await scene.prober


async def test_single_calls_have_their_own_attempts_in_an_outage() -> None:
    """A single call fails with its own error after its own attempts, and changes nothing for the batch."""
    scene = await Scene(REFUSED, REFUSED, REFUSED, retry=RetryPolicy(max_attempts=1, budget=10)).held()
    for _ in range(3):
        with pytest.raises(ConnectionFailedError) as caught:
            await scene.call("interactive")
        assert (caught.value.attempts, caught.value.stops_run) == (1, False)
    scene.let_go()
    assert (await scene.prober).attempts == 2
    assert scene.time.slept == [1.0]


async def test_a_single_call_takes_an_empty_seat_once() -> None:
    """A single call is the probe of a domain without a prober; its retries are its own, and another call may probe."""
    scene = await Scene(REFUSED, REFUSED, retry=RetryPolicy(max_attempts=2, budget=10)).held()
    scene.let_go()
    while not scene.changes:
        await steps(1)
    scene.time.gate = asyncio.Event()
    scene.prober.cancel()
    await asyncio.wait([scene.prober])
    single = scene.call("interactive")
    await steps()
    batch = scene.call()
    await steps()
    assert [round(seconds, 2) for seconds in scene.time.slept] == [0.05, 1.0, 0.05, 1.95]
    scene.let_go()
    assert ((await single).attempts, (await batch).attempts) == (2, 1)


async def test_an_error_met_twice_is_granted_twice_or_not() -> None:
    """An error object that a transport raises again is judged again."""
    client = ClovaOCRClient(domain(), transport=FakeTransport(then=REFUSED), runtime=FakeTime().runtime())
    with pytest.raises(ConnectionFailedError) as caught:
        await client.recognize(JPEG, Receipt)
    assert caught.value.attempts == 3


async def test_an_old_hold_is_forgotten() -> None:
    """A breaker whose probe is overdue by more than a minute is closed for the next call."""
    scene = await Scene(then=REFUSED, retry=RetryPolicy(budget=0, outage_patience=5.0)).held()
    scene.prober.cancel()
    await asyncio.wait([scene.prober])
    scene.time.now += 61.0
    scene.let_go()
    scene.time.slept.clear()
    with pytest.raises(ConnectionFailedError, match="no usable answer for 7 s"):
        await scene.call()
    assert scene.time.slept == [1.0, 2.0, 4.0]
    assert scene.changes == OUTAGE * 2


# ---------------------------------------------------------------------------------------------------------------------
# Several domains


class Two:
    """A client of two domains, whose requests meet the steps of each domain, by number."""

    def __init__(self, *, bound: bool = False, **settings: Any) -> None:
        self.time = FakeTime()
        self.meets: dict[str, Any] = {"1": None, "2": None}
        self.transport = FakeTransport(then=self._meet)
        self.events: list[Event] = []
        documents: list[Any] = [Receipt, IdCard] if bound else [None, None]
        domains = [Domain(url_of(number), SECRET, document=documents[number - 1]) for number in (1, 2)]
        self.client = ClovaOCRClient(
            *domains, transport=self.transport, runtime=self.time.runtime(), hooks=[self.events.append], **settings
        )

    async def _meet(self, sent: Sent) -> HTTPResponse:
        step = self.meets[sent.request.url.split(".")[0][-1]]
        if isinstance(step, ClovaOCRError):
            raise step
        return success(sent.request, idCard={"result": {}}) if step is None else step

    def call(self, document: type[Any] = Receipt, lane: Any = "batch") -> asyncio.Task[Recognition[Any]]:
        """Start a call."""
        return asyncio.create_task(self.client.recognize(JPEG, document, lane=lane))

    @property
    def changes(self) -> list[tuple[str, str, bool]]:
        """The events of breakers, each domain by its number."""
        return [
            (event.domain.split(".")[0][-1], event.cause, event.held)
            for event in self.events
            if isinstance(event, HoldChanged)
        ]


@pytest.mark.parametrize("step", [REFUSED, SPENT])
async def test_two_domains_are_independent(step: Any) -> None:
    """While one domain is on hold the other's calls go on, and its answers end nothing."""
    two = Two(bound=True, retry=RetryPolicy(budget=0))
    two.time.gate = asyncio.Event()
    two.meets["1"] = step
    receipts = [two.call() for _ in range(3)]
    await steps(100)
    for lane in ("batch", "interactive"):
        assert (await two.call(IdCard, lane)).attempts == 1
    cause = "quota" if step is SPENT else "outage"
    assert two.changes == [("1", cause, True)]
    assert not any(call.done() for call in receipts)
    two.meets["1"] = None
    two.time.gate.set()
    await asyncio.wait(receipts)
    assert not any(call.exception() for call in receipts)
    assert two.changes[1:] == [("1", cause, False)]


async def test_the_domain_that_serves_takes_the_batch_over() -> None:
    """While one of two domains of a document is out, the other serves, for longer than any patience."""
    two = Two(retry=RetryPolicy(budget=0, outage_patience=10.0))
    two.meets["1"] = REFUSED
    for _ in range(20):
        two.time.now += 20.0
        recognition = await two.call()
        assert recognition.attempts <= 2
    assert two.time.slept == []
    two.meets["1"] = None
    two.time.now += 31.0
    await two.call()
    assert two.changes == [("1", "outage", True), ("1", "outage", False)]


@pytest.mark.parametrize("step", [REFUSED, SPENT])
async def test_a_batch_ends_when_no_domain_is_left(step: Any) -> None:
    """Only when every domain of a document was asked for long enough does its batch fail, and then all of it."""
    two = Two(retry=RetryPolicy(budget=0, outage_patience=100.0))
    two.meets = {"1": step, "2": step}
    calls = [two.call() for _ in range(12)]
    await asyncio.wait(calls)
    assert all(ended(call).stops_run for call in calls)
    assert [held for _, _, held in two.changes] == [True, True, False, False]


async def test_who_waits_goes_where_it_can() -> None:
    """A call that waits for a domain takes another one of its document as soon as that is back."""
    two = Two(retry=RetryPolicy(budget=0))
    two.time.gate = asyncio.Event()
    two.meets = {"1": REFUSED, "2": REFUSED}
    calls = [two.call() for _ in range(8)]
    await steps(200)
    assert two.changes == [("1", "outage", True), ("2", "outage", True)]
    two.meets["2"] = None
    two.time.gate.set()
    await asyncio.wait(calls)
    assert not any(call.exception() for call in calls)


# ---------------------------------------------------------------------------------------------------------------------
# Others


async def test_a_sleep_by_another_clock() -> None:
    """A runtime whose clock stands still while it sleeps is asked to sleep once a probe, not for ever."""
    time = FakeTime()
    runtime = time.runtime()
    frozen = Runtime(clock=lambda: 0.0, sleep=runtime.sleep, uniform=runtime.uniform)
    transport = FakeTransport(REFUSED, SPENT, REFUSED)
    client = ClovaOCRClient(domain(), transport=transport, runtime=frozen, retry=RetryPolicy(budget=0))
    assert (await client.recognize(JPEG, Receipt, lane="batch")).attempts == 4
    assert time.slept == [1.0, 0.5, 1.0]


async def test_a_prober_that_is_told_nothing_leaves_the_seat() -> None:
    """A prober that ends before an answer, in an error of the settings, lets the next ask at once."""
    scene = await Scene(ConfigurationError("a certificate")).held()
    waiting = scene.call()
    await steps()
    scene.let_go()
    with pytest.raises(ConfigurationError):
        await scene.prober
    assert (await waiting).attempts == 1
    assert scene.time.slept == [1.0]
