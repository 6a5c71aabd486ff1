"""Calls that have no time or no place left to wait for a slot: they fail at once, and cost nothing."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import math
import os
import random
import subprocess
import sys
from dataclasses import replace
from typing import Any

import overload
import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    SECRET,
    SPENT,
    FakeTransport,
    Held,
    RecordingJournal,
    Sent,
    domain,
    steps,
    success,
    url_of,
)
from virtual import run_virtually

from clova_ocr_async.batch import BatchDispatcher, Failure
from clova_ocr_async.client import Backlog, CallFinished, ClovaOCRClient, Event, RetryPolicy
from clova_ocr_async.documents import CreditCard, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    NotSentError,
    OverloadedError,
    RateLimitError,
    ResponseTimeoutError,
    ServerError,
)
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.slots import GateState, LocalSlots

NOT, MAYBE, BILLED = Billing


class Pacer:
    """A step that answers after some seconds, which may change."""

    def __init__(self, seconds: float = 1.0, step: HTTPResponse | None = None) -> None:
        self.seconds = seconds
        self.step = step

    async def __call__(self, sent: Sent) -> HTTPResponse:
        """Answer."""
        await asyncio.sleep(self.seconds)
        return success(sent.request) if self.step is None else self.step


def client_of(transport: FakeTransport, *domains: Domain, **settings: Any) -> ClovaOCRClient:
    """Return a client whose clock is the loop's."""
    runtime = Runtime(clock=asyncio.get_running_loop().time, sleep=asyncio.sleep, uniform=random.Random(1).uniform)  # noqa: S311 - for a simulation
    settings.setdefault("concurrency", 1)
    return ClovaOCRClient(*(domains or (domain(),)), transport=transport, runtime=runtime, **settings)


pictures = itertools.count()


def picture() -> bytes:
    """Return a picture that no other call has."""
    return JPEG + next(pictures).to_bytes(4, "big")


def call(client: ClovaOCRClient, **settings: Any) -> asyncio.Task[Any]:
    """Begin a call."""
    return asyncio.create_task(client.recognize(picture(), Receipt, **settings))


async def ended(task: asyncio.Task[Any]) -> Any:
    """Return what a call ended in: its recognition or its error."""
    await asyncio.wait([task])
    return task.exception() or task.result()


async def overloaded(task: asyncio.Task[Any], match: str = "deadline") -> OverloadedError:
    """Return the error of a call that must not have been sent."""
    with pytest.raises(OverloadedError, match=match) as caught:
        await task
    error = caught.value
    assert (error.billing, error.attempts, error.request_id, error.retryable) == (NOT, 0, None, True)
    assert error.retry_after > 0
    assert "nothing was sent" in str(error)
    return error


# ---------------------------------------------------------------------------------------------------------------------
# The promise, over a minute


@pytest.mark.parametrize("spread", [0.0, 0.2, 0.35])
@pytest.mark.parametrize("factor", [1.4, 1.6, 2.0])
def test_an_overload_costs_no_more_than_it_answers(factor: float, spread: float) -> None:
    """At more than it can do, the domain is kept busy, and at most one of a hundred paid answers has no caller."""
    outcomes = [overload.measure(overload.Load(factor=factor, spread=spread, seed=seed)) for seed in (1, 2, 3)]
    assert sum(one.answered for one in outcomes) / 3 >= 0.9
    assert sum(one.billed - len(one.answers) for one in outcomes) <= 0.01 * sum(one.billed for one in outcomes)
    # A call is refused at once, and not when its time is over.
    assert all(sorted(one.failures)[len(one.failures) // 2] < 0.1 for one in outcomes)


def test_without_overload_everybody_is_answered() -> None:
    """At half of what the domain can do no call is refused."""
    outcome = overload.measure(overload.Load(factor=0.5))
    assert (outcome.failures, outcome.thrown_away) == ([], 0.0)


def test_answers_come_again_after_a_slow_minute() -> None:
    """A service that is too slow for a minute is paid for few calls, and used again within a minute."""
    outcome = overload.measure(overload.Load(factor=1.6, slow=(30.0, 90.0, 20.0), lasts=170.0))
    assert outcome.billed - len(outcome.answers) <= 20
    assert min(came for came, _ in outcome.answers if came > 90.0) <= 150.0
    assert sum(came > 110.0 for came, _ in outcome.answers) >= 0.9 * 60 * outcome.capacity


def test_a_service_that_stays_slow_is_asked_once_in_a_while() -> None:
    """While calls take longer than callers wait, one probe in a minute or more is all that is paid."""
    outcome = overload.measure(overload.Load(factor=1.6, slow=(30.0, math.inf, 20.0), lasts=630.0))
    assert outcome.billed - len(outcome.answers) <= 25


# ---------------------------------------------------------------------------------------------------------------------
# The error of a refused call


def test_a_deadline_shorter_than_the_usual_time() -> None:
    """The error of a call that has too little time although nothing waits names the deadline, at once."""

    async def main() -> None:
        transport = FakeTransport(then=Pacer(8.0))
        client = client_of(transport)
        assert (await call(client)).attempts == 1
        began = asyncio.get_running_loop().time()
        error = await overloaded(call(client, deadline=3), "the deadline of 3 s is shorter than the 8 s that calls of")
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.0, abs=0.01)
        assert not error.stops_run
        assert error.retry_after == pytest.approx(8.0, abs=0.01)
        assert (await call(client, deadline=9)).attempts == 1
        assert len(transport.sent) == 2

    run_virtually(main())


def test_a_call_fails_when_its_time_to_be_sent_is_over() -> None:
    """A call that waits in vain fails as soon as too little time is left, not at its deadline; no slot is lost."""

    async def main() -> None:
        pace = Pacer(1.0)
        client, loop = client_of(FakeTransport(then=pace)), asyncio.get_running_loop()
        await call(client)
        pace.seconds = 30.0
        first = call(client)
        await steps()
        began = loop.time()
        await overloaded(call(client, deadline=5), "no slot was free in time .deadline 5 s.")
        assert loop.time() - began == pytest.approx(4.0, abs=0.01)
        assert (await first).attempts == 1
        assert [gate.free for gate in client.gates.values()] == [1]

    run_virtually(main())


def test_a_call_with_its_slot_and_no_time_is_not_sent() -> None:
    """A call that gets its slot is checked against the answer times of that moment, and the slot goes to the next."""

    async def main() -> None:
        transport = FakeTransport(then=Pacer(8.0))
        client = client_of(transport)
        first, hurried, patient = call(client), call(client, deadline=10), call(client, deadline=60)
        await overloaded(hurried, "less time is left than the 8 s that calls of this domain usually take")
        assert [(await task).attempts for task in (first, patient)] == [1, 1]
        assert len(transport.sent) == 2

    run_virtually(main())


def test_the_slot_goes_to_a_call_that_has_time() -> None:
    """With other calls waiting, a call with barely enough time leaves the slot to them; alone it would be sent."""

    async def main(*, others: bool) -> int:
        pace = Pacer(1.0)
        transport = FakeTransport(then=pace)
        client = client_of(transport)
        for number in range(40):
            pace.seconds = 2.0 if number == 20 else 1.0  # so the usual time is 1 s, the safe one 2 s
            await call(client)
        pace.seconds = 3.0
        first = call(client)
        await steps()
        edge = call(client, deadline=4.5)
        await steps()
        behind = call(client) if others else None
        pace.seconds = 1.0
        outcome = await ended(edge)
        await first
        assert behind is None or (await behind).attempts == 1
        return 0 if isinstance(outcome, OverloadedError) else int(outcome.attempts)

    assert run_virtually(main(others=False)) == 1
    assert run_virtually(main(others=True)) == 0


def test_a_queue_too_long_for_the_deadline() -> None:
    """A call that would wait too long fails at once, and its error names the length of the queue."""

    async def main() -> None:
        client = client_of(FakeTransport(then=Pacer(2.0)))
        await call(client)
        waiting = [call(client) for _ in range(4)]
        await steps()
        error = await overloaded(call(client, deadline=7), "3 calls wait for a slot, for about 8 s .deadline 7 s.")
        assert error.retry_after == pytest.approx(8.0, abs=0.01)
        assert [(await task).attempts for task in waiting] == [1] * 4

    run_virtually(main())


class Paced(LocalSlots):
    """Slots of a domain of which is known that it lets two calls a second in."""

    def state(self, domain: Domain) -> GateState:
        """Return the state of its gate."""
        return replace(super().state(domain), pace=2.0)


def test_a_domain_limited_by_rate() -> None:
    """The wait follows from the rate that is let through, where that is the lower bound."""

    async def main() -> None:
        slots = Paced(10)
        client = client_of(FakeTransport(then=Pacer(0.5)), concurrency=None, slots=slots)
        await call(client)
        waiting = [call(client) for _ in range(20)]
        await steps(40)
        error = await overloaded(call(client, deadline=5), "10 calls wait for a slot, for about 5.5 s")
        assert error.retry_after == pytest.approx(5.5)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)

    run_virtually(main())


# ---------------------------------------------------------------------------------------------------------------------
# The backlog


def seen(client: ClovaOCRClient) -> Backlog:
    """Return the backlog, its rate without the rest of virtual time."""
    found = client.backlog(Receipt)
    return found if found.rate is None else Backlog(found.waiting, found.free, found.slots, round(found.rate, 3))


def test_the_backlog_of_a_client() -> None:
    """The backlog names the calls that wait, the free slots, and the calls a second once one was answered."""

    async def main() -> None:
        client = client_of(FakeTransport(then=Pacer(2.0)), concurrency=2)
        assert seen(client) == Backlog(0, 2, 2, None)
        await call(client)
        assert seen(client) == Backlog(0, 2, 2, 1.0)
        assert client.backlog(CreditCard) == Backlog(0, 2, 2, None)  # each document has its own times
        tasks = [call(client) for _ in range(5)]
        await steps(20)
        assert seen(client) == Backlog(3, 0, 2, 1.0)
        for task in tasks:
            await task

    run_virtually(main())


def test_the_backlog_counts_no_calls_of_a_batch() -> None:
    """A new single call goes before the calls of a batch that wait, and after those in flight."""

    async def main() -> None:
        client = client_of(FakeTransport(then=Pacer()), concurrency=2)
        tasks = [call(client, lane="batch") for _ in range(5)]
        await steps(20)
        assert seen(client) == Backlog(0, 0, 2, None)
        for task in tasks:
            await task

    run_virtually(main())


class Elsewhere(LocalSlots):
    """Slots of which other processes hold some."""

    held = 4

    def state(self, domain: Domain) -> GateState:
        """Return the state of its gate."""
        return replace(super().state(domain), elsewhere=self.held)


@pytest.mark.parametrize(("held", "slots"), [(4, 1), (5, 1), (2, 3)])
def test_the_slots_of_other_processes_serve_their_own_calls(held: int, slots: int) -> None:
    """Where other processes hold slots, the rest of them decides how fast this process is served; at least one does."""

    async def main() -> None:
        shared = Elsewhere(5)
        shared.held = held
        client = client_of(FakeTransport(then=Pacer(2.0)), concurrency=None, slots=shared)
        await call(client)
        assert seen(client) == Backlog(0, slots, slots, slots / 2)

    run_virtually(main())


def test_a_domain_on_hold_is_not_counted_while_others_serve() -> None:
    """Of a pool the open domains answer; if none is open, all of them count."""

    async def main() -> None:
        transport = FakeTransport(SPENT, then=SPENT)
        one, two = domain(url_of(1)), domain(url_of(2))
        client = client_of(transport, one, two, retry=RetryPolicy(quota_probes=5))
        assert client.backlog(Receipt).slots == 2
        transport.then = Pacer(1.0)
        await call(client)
        assert len(client.on_hold) == 1
        assert client.backlog(Receipt).slots == 1
        transport.then = SPENT
        await ended(call(client, deadline=2.0))
        assert len(client.on_hold) == 2
        assert client.backlog(Receipt).slots == 2

    run_virtually(main())


def test_a_domain_that_was_given_up_is_on_hold_until_it_answers() -> None:
    """A call that used up the probes of a spent quota leaves the domain on hold for readers, and open for the next."""

    async def main() -> None:
        transport = FakeTransport(then=SPENT)
        client = client_of(transport, retry=RetryPolicy(quota_probes=1, quota_base=1.0))
        for _ in range(2):
            await ended(call(client))
            assert list(client.on_hold.values()) == ["quota"]
        transport.then = BUSY  # proves nothing about the quota
        await ended(call(client, deadline=1.0))
        assert list(client.on_hold.values()) == ["quota"]
        transport.then = Pacer(1.0)
        await call(client)
        assert client.on_hold == {}
        transport.then = SPENT
        await ended(call(client))
        assert list(client.on_hold.values()) == ["quota"]
        await asyncio.sleep(120)
        assert client.on_hold == {}

    run_virtually(main())


def test_a_domain_that_was_not_called_for_a_minute_is_not_on_hold() -> None:
    """A minute after a probe was due and none came, the hold is worth nothing: the next call may go there."""

    async def main() -> None:
        client = client_of(FakeTransport(SPENT, then=SPENT), retry=RetryPolicy(quota_probes=5))
        task = call(client, deadline=1.0)
        await ended(task)
        assert list(client.on_hold.values()) == ["quota"]
        await asyncio.sleep(200)
        assert client.on_hold == {}

    run_virtually(main())


# ---------------------------------------------------------------------------------------------------------------------
# max_queued


def test_no_more_calls_wait_than_may() -> None:
    """When max_queued calls wait, the next one fails at once; a call in flight is not one that waits."""

    async def main() -> None:
        held, transport = Held(), FakeTransport()
        transport.steps.append(held)
        client = client_of(transport, max_queued=2)
        tasks = [call(client) for _ in range(3)]
        await steps()
        error = await overloaded(
            call(client), "2 calls wait for a slot, and more may not .max_queued. .deadline 300 s."
        )
        assert error.retry_after == 1.0  # nothing is known yet
        await overloaded(call(client, deadline=None), "max_queued.; nothing was sent")
        held.go_on.set()
        assert [(await task).attempts for task in tasks] == [1] * 3
        assert (await call(client)).attempts == 1

    run_virtually(main())


def test_no_queue_at_all() -> None:
    """max_queued=0 means a slot or nothing."""

    async def main() -> None:
        held, transport = Held(), FakeTransport()
        transport.steps.append(held)
        client = client_of(transport, max_queued=0)
        first = call(client)
        await steps()
        await overloaded(call(client), "0 calls wait for a slot")
        held.go_on.set()
        await first
        assert (await call(client)).attempts == 1

    run_virtually(main())


def test_a_batch_takes_no_place_of_single_calls() -> None:
    """The waiting images of a batch count neither against a single call nor against max_queued."""

    async def main() -> None:
        client = client_of(FakeTransport(then=Pacer(1.0)), max_queued=1)
        batch = [call(client, lane="batch") for _ in range(20)]
        await steps()
        assert (await call(client)).attempts == 1
        assert [(await task).attempts for task in batch] == [1] * 20

    run_virtually(main())


def test_what_was_refused_by_the_service_keeps_its_place() -> None:
    """A call that comes back from a refusal is not a new one to max_queued."""

    async def main() -> None:
        transport = FakeTransport(BUSY, then=Pacer(1.0))
        client = client_of(transport, max_queued=1)
        first = call(client)
        await asyncio.sleep(0)
        second = call(client)
        assert [(await task).attempts for task in (first, second)] == [2, 1]

    run_virtually(main())


@pytest.mark.parametrize("max_queued", [-1, 1.5, True, "5"])
def test_max_queued_is_checked(max_queued: Any) -> None:
    """A value that is not a number of calls is refused by its name."""
    with pytest.raises(ConfigurationError, match=r"max_queued is .*; it must be a whole number from 0"):
        ClovaOCRClient(domain(), max_queued=max_queued)


# ---------------------------------------------------------------------------------------------------------------------
# A deadline of one call


def test_a_deadline_of_one_call() -> None:
    """deadline= of a call goes before the client's, in both directions; None takes the bound away."""

    async def main() -> None:
        client, loop = client_of(FakeTransport(then=Pacer(20.0)), deadline=5), asyncio.get_running_loop()
        for given, seconds in ((2.0, 2.0), (30, 20.0)):
            began = loop.time()
            ended_in = await ended(call(client, deadline=given))
            assert isinstance(ended_in, ResponseTimeoutError) is (given == 2.0)
            assert loop.time() - began == pytest.approx(seconds, abs=20.0 if given == 30 else 0.01)
        assert (await call(client, deadline=None)).attempts == 1

    run_virtually(main())


def test_a_deadline_of_one_call_of_a_batch() -> None:
    """In a batch it bounds each request of that call."""

    async def main() -> None:
        client = client_of(FakeTransport(then=Pacer(20.0)), deadline=5)
        with pytest.raises(ResponseTimeoutError, match="deadline of 2 s"):
            await call(client, lane="batch", deadline=2)
        assert (await call(client, lane="batch", deadline=30)).attempts == 1

    run_virtually(main())


@pytest.mark.parametrize("deadline", [0, -1, math.nan, math.inf, True, "5"])
async def test_a_deadline_is_checked(deadline: Any) -> None:
    """A deadline that is none is refused before anything is read."""
    client = ClovaOCRClient(domain(), transport=FakeTransport())
    with pytest.raises(ConfigurationError, match=r"deadline is .*; it must be seconds, more than 0"):
        await client.recognize("no such file", Receipt, deadline=deadline)


def test_the_signature_says_whose_deadline_it_is() -> None:
    """In help() the default of deadline= reads as the client's."""
    assert "deadline: 'float | NotGiven | None' = as the client has it" in str(
        inspect.signature(ClovaOCRClient.recognize)
    )


# ---------------------------------------------------------------------------------------------------------------------
# Learning


def test_a_probe_after_a_minute() -> None:
    """When no caller has got an answer for a minute, one call is sent whatever its deadline, and the others are not."""

    async def main() -> None:
        pace = Pacer(8.0)
        transport = FakeTransport(then=pace)
        client = client_of(transport, concurrency=5)
        await call(client)
        await asyncio.sleep(59.0)
        await overloaded(call(client, deadline=3))
        await asyncio.sleep(2.0)
        pace.seconds = 1.0
        probe, other = call(client, deadline=3), call(client, deadline=3)
        await overloaded(other, "the deadline of 3 s is shorter than the 8 s")
        assert (await probe).attempts == 1
        assert [(await call(client, deadline=3)).attempts for _ in range(3)] == [1] * 3

    run_virtually(main())


@pytest.mark.parametrize("end", ["fails", "is cancelled unsent", "comes late"])
def test_a_probe_that_learned_nothing_lets_another_one_probe(end: str) -> None:
    """The next call may probe when a probe has ended, in whatever way; and a late answer was learned."""

    async def main() -> None:
        pace = Pacer(8.0)
        transport = FakeTransport(then=pace)
        client = client_of(transport, concurrency=5, retry=RetryPolicy(max_attempts=1))
        await call(client)
        await asyncio.sleep(61.0)
        if end == "fails":
            transport.steps.append(FAILED)
            assert isinstance(await ended(call(client, deadline=3)), ServerError)
        elif end == "comes late":
            assert isinstance(await ended(call(client, deadline=3)), ResponseTimeoutError)
            await overloaded(call(client, deadline=3))
            await asyncio.sleep(5.5)
            await overloaded(call(client, deadline=3))
            await asyncio.sleep(61.0)
        else:
            transport.steps.append(stuck)
            probe = call(client, deadline=3)
            await steps()
            probe.cancel()
            await asyncio.wait([probe])
        pace.seconds = 1.0
        assert (await call(client, deadline=3)).attempts == 1

    async def stuck(sent: Sent) -> HTTPResponse:
        sent.progress.body_began = False
        await asyncio.Event().wait()
        raise AssertionError

    run_virtually(main())


def test_a_probe_that_is_not_sent_lets_another_one_probe() -> None:
    """A probe whose journal lets nothing leave has not probed, and the next call may."""

    async def main() -> None:
        client = client_of(FakeTransport(then=Pacer(8.0)), concurrency=5)
        await call(client)
        await asyncio.sleep(61.0)
        with pytest.raises(OSError, match="disk is full"):
            await call(client, deadline=3, journal=RecordingJournal(fail_at="sending"))
        assert isinstance(await ended(call(client, deadline=3)), ResponseTimeoutError)

    run_virtually(main())


def test_refusals_teach_nothing() -> None:
    """The time of a refusal, or of a broken connection, is not learned as an answer time."""

    async def main() -> None:
        transport = FakeTransport(Pacer(0.01, BUSY), Pacer(8.0), Pacer(0.01, FAILED), Pacer(8.0))
        client = client_of(transport)
        assert (await call(client)).attempts == 2
        assert (await call(client)).attempts == 2
        await overloaded(call(client, deadline=3), "the 8 s that calls")

    run_virtually(main())


def test_a_paid_failure_teaches() -> None:
    """An answer that read nothing took the service its time, and was paid."""

    async def main() -> None:
        nothing = b'{"images":[{"inferResult":"FAILURE","message":"no receipt"}]}'
        client = client_of(FakeTransport(Pacer(8.0, HTTPResponse(200, nothing))))
        assert (await ended(call(client))).billing is BILLED
        await overloaded(call(client, deadline=3), "the 8 s that calls")

    run_virtually(main())


def test_each_document_has_its_own_time() -> None:
    """The answer times of receipts do not count for cards."""

    async def main() -> None:
        pace = Pacer(8.0)
        client = client_of(FakeTransport(then=pace))
        await call(client)
        pace.seconds = 1.0
        with pytest.raises(ClovaOCRError) as caught:  # the fake answers with a receipt, whatever is asked for
            await client.recognize(picture(), CreditCard, deadline=3)
        assert not isinstance(caught.value, OverloadedError)

    run_virtually(main())


def test_of_several_domains_the_fastest_counts() -> None:
    """A call is refused at once if no domain can make it, and at the slot if that one cannot."""

    async def main() -> None:
        paces = {1: Pacer(8.0), 2: Pacer(1.0)}

        async def answer(sent: Sent) -> HTTPResponse:
            return await paces[1 if "host1" in sent.request.url else 2](sent)

        transport = FakeTransport(then=answer)
        client = client_of(transport, *(Domain(url_of(number), SECRET) for number in (1, 2)))
        both = [call(client), call(client)]
        assert [(await task).attempts for task in both] == [1, 1]
        # A slot of the slow one is of no use to it.
        assert [(await task).attempts for task in [call(client, deadline=3), call(client, deadline=3)]] == [1, 1]
        assert [sent.request.url.count("host2") for sent in transport.sent[2:]] == [1, 1]
        paces[2].seconds = 6.0
        for _ in range(10):
            await asyncio.wait([call(client), call(client)])
        await overloaded(call(client, deadline=3), "the deadline of 3 s is shorter than the 6 s")

    run_virtually(main())


def test_a_refusal_or_failure_before_is_what_is_raised() -> None:
    """A call that was sent before and has no time for another request fails with what the last one ended in."""

    async def main() -> None:
        for step, kind in ((Pacer(3.0, BUSY), RateLimitError), (Pacer(3.0, FAILED), ServerError)):
            pace = Pacer(2.0)
            client = client_of(FakeTransport(Pacer(2.0), step, then=pace), retry=RetryPolicy(server_base=0.0))
            await call(client)
            assert type(await ended(call(client, deadline=4.5))) is kind

    run_virtually(main())


def test_a_journal_is_told_of_nothing_that_was_not_sent() -> None:
    """The journal is not notified of a call that had no time, and CallFinished has it as not billed."""

    async def main() -> None:
        journal, events = RecordingJournal(), list[Event]()
        client = client_of(FakeTransport(then=Pacer(8.0)), hooks=[events.append])
        await call(client)
        error = await overloaded(call(client, deadline=3, journal=journal))
        assert journal.log == []
        finished = events[-1]
        assert isinstance(finished, CallFinished)
        assert (finished.error, finished.billing, finished.attempts) == (error, NOT, 0)

    run_virtually(main())


# ---------------------------------------------------------------------------------------------------------------------
# Batches


def test_a_batch_whose_deadline_is_too_short_stops() -> None:
    """A batch whose requests could not be answered in time fails once, stops, and is not billed."""

    async def main() -> None:
        transport = FakeTransport(then=Pacer(8.0))
        client = client_of(transport, deadline=5)
        await call(client, deadline=60)
        outcomes = [one async for one in dispatched(client)]
        first, *others = [one.error for one in outcomes if isinstance(one, Failure)]
        assert isinstance(first, OverloadedError)
        assert "the deadline of 5 s is shorter than the 8 s" in str(first)
        assert {type(error) for error in others} <= {NotSentError}
        assert len(transport.sent) == 1

    async def dispatched(client: ClovaOCRClient) -> Any:
        async with BatchDispatcher(client, concurrency=1).dispatch([picture() for _ in range(5)], Receipt) as outcomes:
            async for outcome in outcomes:
                yield outcome

    run_virtually(main())


def test_a_batch_waits_as_long_as_it_takes() -> None:
    """The deadline of a call of a batch does not count while it waits."""

    async def main() -> None:
        client = client_of(FakeTransport(then=Pacer(4.0)), deadline=5)
        batch = [call(client, lane="batch") for _ in range(10)]
        assert [(await task).attempts for task in batch] == [1] * 10

    run_virtually(main())


# ---------------------------------------------------------------------------------------------------------------------
# What waiting costs


MEASURED = """
import asyncio, gc, tracemalloc
from support.fakes import JPEG, FakeTransport, Held, domain, steps
from clova_ocr_async import ClovaOCRClient, Receipt

async def main():
    held, count = Held(), 1000
    client = ClovaOCRClient(domain(), transport=FakeTransport(then=held), concurrency=1)
    tasks = [asyncio.create_task(client.recognize(JPEG, Receipt))]
    await held.reached.wait()
    tracemalloc.start()
    tasks += [asyncio.create_task(client.recognize(JPEG, Receipt)) for _ in range(count)]
    await steps()
    assert client.backlog(Receipt).waiting == count
    gc.collect()
    print(tracemalloc.get_traced_memory()[0] / count)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await client.close(wait=0)

asyncio.run(main())
"""


def test_ten_thousand_waiting_calls_take_forty_megabytes() -> None:
    """A call that waits for its slot takes 4,000 bytes at most, its task and its deadline included."""
    # In a process whose coverage is not measured: that makes an object of each frame.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, env=environment)
    assert float(done.stdout) < 4000
