from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import (
    BUSY,
    FAILED,
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
    parsed,
    steps,
    success,
    url_of,
)
from support.refusals import chain

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.client import ClovaOCRClient, Event, RetryPolicy, RetryScheduled
from clova_ocr_async.client.hooks import HoldChanged
from clova_ocr_async.documents import Document, Passport, Receipt, Recognition
from clova_ocr_async.domains import Domain
from clova_ocr_async.domains.pool import DomainPool
from clova_ocr_async.errors import (
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    DomainError,
    QuotaExceededError,
)
from clova_ocr_async.protocol.response import HTTPResponse, encode_response
from clova_ocr_async.slots import GateState, LocalSlots, SharedSlots

if TYPE_CHECKING:
    from pathlib import Path

NOT, _, BILLED = Billing
NO_SECRET, NOT_DEPLOYED = error("0002", 401), error("0022", 500)


async def general(sent: Sent) -> HTTPResponse:
    """Answer as a General domain: a good answer of another product, which is paid for."""
    came = parsed(sent.request)
    return HTTPResponse(200, encode_response(came.request_id, came.timestamp, {"uid": "u", "fields": []}))


# ---------------------------------------------------------------------------------------------------------------------
# Which domains read a document


def test_typed_before_untyped() -> None:
    """A class with domains of its own never goes to one for any document."""
    typed, untyped = Domain(url_of(1), SECRET, document=Receipt), Domain(url_of(2), SECRET)
    pool = DomainPool((untyped, typed))
    for _ in range(2):
        assert [*pool.serving(Receipt)] == [typed]
        assert [*pool.serving(Passport)] == [untyped]


@pytest.mark.parametrize("document", [Document, dict, "receipt", None, []])
def test_only_the_six_classes_are_served(document: Any) -> None:
    """A value that is not a document class is refused by name."""
    with pytest.raises(ConfigurationError, match="one of Receipt, CreditCard"):
        DomainPool((domain(),)).serving(document)


def test_no_domain_for_a_document() -> None:
    """A class that no domain reads is refused, the domains named without their keys."""
    with pytest.raises(ConfigurationError, match="no domain of this client reads Passport") as caught:
        DomainPool((domain(document=Receipt),)).serving(Passport)
    assert KEY not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Two domains


class Two:
    """A client with two domains, each of which follows its steps, one a request, and then answers."""

    def __init__(self, *ones: Any, others: tuple[Any, ...] = (), **settings: Any) -> None:
        self.time = FakeTime()
        self.scripts = {"1": list(ones), "2": list(others)}
        self.then: dict[str, Any] = {"1": None, "2": None}
        self.transport = FakeTransport(then=self._meet)
        self.events: list[Event] = []
        self.client = ClovaOCRClient(
            *(Domain(url_of(number), SECRET) for number in (1, 2)),
            transport=self.transport,
            runtime=self.time.runtime(),
            hooks=[self.events.append],
            **settings,
        )

    async def _meet(self, sent: Sent) -> HTTPResponse:
        host = host_of(sent)
        step = self.scripts[host].pop(0) if self.scripts[host] else self.then[host]
        if isinstance(step, type):
            sent.progress.body_began = not issubclass(step, ConnectionFailedError)
            raise step("made up")
        if step is None:
            return success(sent.request)
        answer: HTTPResponse = step if isinstance(step, HTTPResponse) else await step(sent)
        # The service repeats the key that was called.
        return HTTPResponse(answer.status, answer.body.replace(KEY.encode(), f"{KEY}{host}".encode()), answer.headers)

    def call(self, lane: Any = "interactive") -> asyncio.Task[Recognition[Receipt]]:
        """Start a call."""
        return asyncio.create_task(self.client.recognize(JPEG, Receipt, lane=lane))

    async def read(self, count: int = 1, lane: Any = "interactive") -> list[int]:
        """Make calls one after the other; return how many requests each took."""
        return [(await self.call(lane)).attempts for _ in range(count)]

    @property
    def went(self) -> str:
        """The number of each request's domain."""
        return "".join(host_of(sent) for sent in self.transport.sent)

    @property
    def changes(self) -> list[tuple[str, str, bool]]:
        """The events of breakers, each domain as its number."""
        changes = [event for event in self.events if isinstance(event, HoldChanged)]
        return [(event.domain.split(".")[0][-1], event.cause, event.held) for event in changes]


def host_of(sent: Sent) -> str:
    """Return the number of a request's domain."""
    return sent.request.url.split(".")[0][-1]


USELESS: list[tuple[HTTPResponse, str, type[ClovaOCRError]]] = [
    (NO_SECRET, "credentials", AuthenticationError),
    (NOT_DEPLOYED, "deployment", DomainError),
]
CAUSES = [cause for _, cause, _ in USELESS]
useless = pytest.mark.parametrize("answer", [answer for answer, _, _ in USELESS], ids=CAUSES)
useless_and_cause = pytest.mark.parametrize(("answer", "cause"), [row[:2] for row in USELESS], ids=CAUSES)
useless_and_kind = pytest.mark.parametrize(("answer", "kind"), [row[::2] for row in USELESS], ids=CAUSES)
useless_with_both = pytest.mark.parametrize(("answer", "cause", "kind"), USELESS, ids=CAUSES)
lanes = pytest.mark.parametrize("lane", ["interactive", "batch"])


@useless_with_both
@lanes
async def test_an_ejected_domain_leaves_the_pool(
    answer: HTTPResponse, cause: str, kind: type[ClovaOCRError], lane: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A domain that takes no secret, or has nothing deployed, leaves the pool while another serves, with an event."""
    caplog.set_level(logging.INFO, logger="clova_ocr_async")
    two = Two(answer)
    assert await two.read(5, lane) == [2, 1, 1, 1, 1]
    assert two.went == "122222"
    assert two.changes == [("1", cause, True)]
    [scheduled] = [event for event in two.events if isinstance(event, RetryScheduled)]
    assert (scheduled.attempts, scheduled.delay, type(scheduled.error)) == (1, 0.0, kind)
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"has left the pool ({cause})" in warning.getMessage()
    assert "/custom/v1/1/***" in warning.getMessage()
    assert KEY not in caplog.text
    assert SECRET not in caplog.text
    assert KEY not in repr(two.events)
    assert two.time.slept == []


@useless_and_cause
async def test_a_domain_that_was_mended_comes_back(answer: HTTPResponse, cause: str) -> None:
    """An ejected domain is asked again after a minute, by one call, then more and more rarely, until it answers."""
    two = Two(answer, answer, answer)
    await two.read()
    asked = []
    for wait in (59.0, 1.0, 119.0, 1.0, 240.0):
        two.time.now += wait
        before = len(two.transport.sent)
        await two.read(3)
        asked.append(two.went[before:])
    assert asked == ["222", "1222", "222", "1222", "1" + "11"]
    assert two.changes == [("1", cause, True), ("1", cause, False)]


@useless
async def test_only_one_call_asks_an_ejected_domain(answer: HTTPResponse) -> None:
    """While one call asks an ejected domain again, the others go where they are served."""
    held = Held(answer)
    two = Two(answer, held)
    await two.read()
    two.time.now += 61.0
    asking = two.call("batch")
    await held.reached.wait()
    assert await two.read(3) == [1, 1, 1]
    held.go_on.set()
    assert (await asking).attempts == 2
    assert two.went == "12" + "1" + "222" + "2"


@lanes
async def test_a_cause_that_changes_is_not_asked_about_by_every_call(lane: Any) -> None:
    """A domain that is probed and is rejected for another reason is left alone as long as before."""
    two = Two(NO_SECRET, NOT_DEPLOYED)
    await two.read(1, lane)
    two.time.now += 61.0
    assert await two.read(4, lane) == [2, 1, 1, 1]
    two.time.now += 61.0
    assert await two.read(2, lane) == [1, 1]
    assert two.changes == [
        ("1", "credentials", True),
        ("1", "credentials", False),
        ("1", "deployment", True),
        ("1", "deployment", False),
    ]


@useless
async def test_leaving_an_ejected_domain_uses_up_no_attempt(answer: HTTPResponse) -> None:
    """A call that has met an ejected domain has all its attempts left at the other."""
    two = Two(
        answer, others=(ConnectionFailedError, ConnectionFailedError), retry=RetryPolicy(max_attempts=3, budget=10)
    )
    assert await two.read() == [4]


@useless_and_kind
@lanes
async def test_all_domains_unusable(answer: HTTPResponse, kind: type[ClovaOCRError], lane: Any) -> None:
    """When there is no other domain left, the error is raised, as one that every call would meet."""
    two = Two(answer, others=(answer,) * 3)
    for attempts in (2, 1):
        with pytest.raises(kind) as caught:
            await two.call(lane)
        failure = caught.value
        assert (failure.attempts, failure.stops_run, failure.billing) == (attempts, True, NOT)
        assert KEY not in chain(failure)
    assert len(two.changes) == 1
    # The other is asked each time; and the first one when it is due.
    two.time.now += 61.0
    assert await two.read() == [1]
    assert two.went == "1221"


@useless_and_kind
async def test_the_only_domain_does_not_leave(answer: HTTPResponse, kind: type[ClovaOCRError]) -> None:
    """The only domain of a client gets every call, whatever it answers."""
    events: list[Event] = []
    client = ClovaOCRClient(
        domain(), transport=FakeTransport(then=answer), runtime=FakeTime().runtime(), hooks=[events.append]
    )
    for _ in range(3):
        with pytest.raises(kind):
            await client.recognize(JPEG, Receipt)
    assert not any(isinstance(event, HoldChanged) for event in events)


@useless_and_kind
@pytest.mark.parametrize("before", [ConnectionFailedError, SPENT], ids=["outage", "quota"])
async def test_the_only_domain_answers_after_a_hold(
    answer: HTTPResponse, kind: type[ClovaOCRError], before: Any
) -> None:
    """A refusal of the only domain's secret closes its breaker for an outage or a spent quota: it answers."""
    transport, events = FakeTransport(before, answer, then=answer), list[Event]()
    client = ClovaOCRClient(
        domain(),
        transport=transport,
        runtime=FakeTime().runtime(),
        hooks=[events.append],
        retry=RetryPolicy(max_attempts=1),
    )
    with pytest.raises(kind):
        await client.recognize(JPEG, Receipt, lane="batch")
    assert [event.held for event in events if isinstance(event, HoldChanged)] == [True, False]


@lanes
async def test_an_ejected_domain_that_costs_is_not_asked_again(lane: Any) -> None:
    """An answer of another product fails its call as paid, stops no run, and its domain is asked no more by itself."""
    two = Two(general)
    with pytest.raises(DomainError) as caught:
        await two.call(lane)
    assert (caught.value.billing, caught.value.stops_run, caught.value.attempts) == (BILLED, False, 1)
    assert caught.value.raw
    two.time.now += 1e6
    assert await two.read(5, lane) == [1] * 5
    assert two.went == "122222"
    assert two.changes == [("1", "deployment", True)]


async def test_two_that_pay_an_ejected_domain_together() -> None:
    """Calls in flight at a domain of another product are each billed, and fail as billed; no other call goes there."""
    held = Held()
    two = Two(held, general, concurrency=2)
    first = two.call()
    await held.reached.wait()
    blocker = Held()
    two.scripts["2"] = [blocker]
    second = two.call()
    third = two.call()
    await blocker.reached.wait()
    with pytest.raises(DomainError):
        await third
    held.step = error("0002", 401)
    held.go_on.set()
    blocker.go_on.set()
    # The one that is refused for its secret meanwhile does not bring the domain back earlier.
    assert ((await first).attempts, (await second).attempts) == (2, 1)
    two.time.now += 1e6
    assert await two.read(3) == [1, 1, 1]
    assert two.went == "121" + "2" * 4


async def test_a_batch_goes_on_without_an_ejected_domain() -> None:
    """One image is lost to an answer of another product, all others of the batch are read by the other domain."""
    two = Two(general)
    images = [JPEG + bytes([number]) for number in range(20)]
    async with BatchDispatcher(two.client).dispatch(images, Receipt) as outcomes:
        ended = [outcome async for outcome in outcomes]
    failures = [outcome for outcome in ended if isinstance(outcome, Failure)]
    # Those in flight there when the first answer came are lost too.
    assert 1 <= len(failures) <= 4
    assert all(isinstance(failure.error, DomainError) for failure in failures)
    assert sum(isinstance(outcome, Success) for outcome in ended) == 20 - len(failures)


async def test_a_batch_without_credentials_at_one_domain_loses_nothing() -> None:
    """Every image of a batch is read although one of two domains does not take its secret."""
    two = Two()
    two.then["1"] = NO_SECRET
    images = [JPEG + bytes([number]) for number in range(30)]
    async with BatchDispatcher(two.client).dispatch(images, Receipt) as outcomes:
        assert all([isinstance(outcome, Success) async for outcome in outcomes])
    assert two.changes == [("1", "credentials", True)]


@useless
async def test_who_queues_at_a_domain_that_leaves_goes_elsewhere(answer: HTTPResponse) -> None:
    """Calls that wait for a slot of a domain while it leaves the pool send nothing there."""
    held, busy = Held(answer), Held()
    two = Two(held, others=(busy,), concurrency=1)
    calls = [two.call() for _ in range(5)]
    await held.reached.wait()
    await busy.reached.wait()
    held.go_on.set()
    await steps()
    busy.go_on.set()
    assert sorted([(await call).attempts for call in calls]) == [1, 1, 1, 1, 2]
    assert two.went == "12" + "2" * 4


# ---------------------------------------------------------------------------------------------------------------------
# Quota and outage of one of two


@lanes
async def test_a_spent_quota_of_one_of_two(lane: Any) -> None:
    """While one domain's quota is spent all calls are served by the other, at once."""
    two = Two(SPENT)
    assert await two.read(4, lane) == [2, 1, 1, 1]
    assert (two.went, two.time.slept) == ("12222", [])


async def test_an_outage_of_one_of_two() -> None:
    """A batch goes on at the other domain while one is out, and comes back when that answers."""
    two = Two(retry=RetryPolicy(max_attempts=1))
    two.then["1"] = ConnectionFailedError
    assert await two.read(6, "batch") == [2, 1, 1, 1, 1, 1]
    two.then["1"] = None
    two.time.now += 100.0
    await two.read(2, "batch")
    assert two.went == "12" + "2" * 5 + "11"
    assert two.changes == [("1", "outage", True), ("1", "outage", False)]


async def test_one_ejected_and_the_other_spent() -> None:
    """With one domain out of the pool, a batch waits for the quota of the other, and a single call fails with it."""
    two = Two(NO_SECRET, others=(SPENT, SPENT))
    two.time.gate = asyncio.Event()
    batch = two.call("batch")
    await two.time.asleep.wait()
    with pytest.raises(QuotaExceededError):
        await two.call()
    two.time.gate.set()
    assert (await batch).attempts == 4
    assert two.went == "1222"


async def test_an_ejected_domain_is_asked_while_a_batch_waits_for_the_other() -> None:
    """A domain that is due to be asked again is asked, although the only other one is on hold for its quota."""
    two = Two(NO_SECRET, others=(error("0023", headers={"retry-after": "100"}),))
    two.time.gate = asyncio.Event()
    waiting = two.call("batch")
    await two.time.asleep.wait()
    assert await two.read(2, "batch") == [1, 1]
    assert two.changes[-1] == ("1", "credentials", False)
    two.time.gate.set()
    assert (await waiting).attempts == 3
    assert two.went[:4] == "1211"


async def test_giving_up_brings_no_ejected_domain_back() -> None:
    """A batch that gives up the spent domain leaves the one that is not to be paid for again where it is."""
    two = Two(general, retry=RetryPolicy(quota_probes=1))
    two.then["2"] = SPENT
    with pytest.raises(DomainError):
        await two.call("batch")
    with pytest.raises(QuotaExceededError):
        await two.call("batch")
    assert two.changes == [("1", "deployment", True), ("2", "quota", True), ("2", "quota", False)]
    two.then["2"] = None
    assert await two.read(2, "batch") == [1, 1]
    assert two.went == "1" + "22" + "22"


async def test_one_spent_and_the_other_ejected_in_the_end() -> None:
    """When the domain a batch waits for proves unusable, and there is no other, that error is raised."""
    two = Two(NO_SECRET, others=(SPENT, NOT_DEPLOYED))
    with pytest.raises(DomainError) as caught:
        await two.call("batch")
    assert (caught.value.stops_run, two.went) == (True, "122")
    assert two.changes[-1] == ("2", "quota", False)


async def test_an_ejected_domain_after_an_outage() -> None:
    """A domain that comes back from an outage without taking its secret leaves the pool."""
    two = Two(ConnectionFailedError, NO_SECRET, retry=RetryPolicy(max_attempts=1))
    await two.read(1, "batch")
    two.time.now += 100.0
    assert await two.read(3, "batch") == [2, 1, 1]
    assert two.changes == [
        ("1", "outage", True),
        ("1", "outage", False),
        ("1", "credentials", True),
    ]


async def test_an_outage_of_a_domain_that_was_ejected() -> None:
    """An ejected domain that does not answer its probe is on hold for an outage."""
    two = Two(NO_SECRET, ConnectionFailedError, retry=RetryPolicy(max_attempts=1))
    await two.read(1, "batch")
    two.time.now += 61.0
    assert await two.read(2, "batch") == [2, 1]
    assert two.changes[-2:] == [("1", "credentials", False), ("1", "outage", True)]


# ---------------------------------------------------------------------------------------------------------------------
# The gates of several domains


async def test_a_call_that_waits_is_served_by_whichever_is_free() -> None:
    """A call waits for all its domains at once, and goes to the first that has a slot."""
    slow, quick = Held(), Held()
    two = Two(slow, others=(quick,), concurrency=1)
    flying = [two.call(), two.call()]
    await slow.reached.wait()
    await quick.reached.wait()
    waiting = two.call()
    await steps()
    quick.go_on.set()
    assert (await waiting).attempts == 1
    assert two.went == "122"
    slow.go_on.set()
    assert [(await call).attempts for call in flying] == [1, 1]


async def test_interactive_before_batch_at_two_domains() -> None:
    """Single calls that come last go first, at either domain."""
    slow, quick = Held(), Held()
    two = Two(slow, others=(quick,), concurrency=1)
    flying = [two.call("batch"), two.call("batch")]
    await slow.reached.wait()
    await quick.reached.wait()
    batch = [two.call("batch") for _ in range(4)]
    await steps()
    single = [two.call() for _ in range(2)]
    await steps()
    slow.go_on.set()
    quick.go_on.set()
    await asyncio.wait(single)
    assert not any(call.done() for call in batch)
    await asyncio.wait([*flying, *batch])


async def test_what_is_on_hold_is_told() -> None:
    """client.on_hold names the domains that have left the pool or wait, and why."""
    two = Two(error("0002", 401))
    assert two.client.on_hold == {}
    await two.read()
    assert two.client.on_hold == {two.client.domains[0]: "credentials"}


@pytest.mark.parametrize("shared", [False, True])
async def test_slots_of_two_clients_send_each_with_its_own_secret(tmp_path: Path, *, shared: bool) -> None:
    """Of two clients that share their slots, each sends the secret of its own domain."""
    slots = SharedSlots(tmp_path / "slots") if shared else LocalSlots()
    for secret in ("old", "new"):
        transport = FakeTransport()
        async with ClovaOCRClient(Domain(url_of(1), secret), slots=slots, transport=transport) as client:
            await client.recognize(JPEG, Receipt)
        assert transport.sent[0].request.headers["X-OCR-SECRET"] == secret


async def test_the_gates_of_a_client() -> None:
    """client.gates has the state of each domain's gate, and shows no key."""
    held = Held()
    two = Two(held, concurrency=2)
    call = two.call()
    await held.reached.wait()
    one, other = two.client.domains
    assert two.client.gates == {one: GateState(ceiling=2, in_flight=1), other: GateState(ceiling=2)}
    assert KEY not in repr(two.client.gates)
    held.go_on.set()
    await call
    assert {gate.in_flight for gate in two.client.gates.values()} == {0}


async def test_a_refusal_at_one_domain_says_nothing_of_the_other() -> None:
    """Each domain has its own slots: a refused call may go to the other domain at once."""
    two = Two(BUSY, FAILED, slots=None)
    assert await two.read() == [2]
    assert two.went == "12"
    one, other = two.client.gates.values()
    assert (one.rejections, other.rejections) == (1, 0)
    assert two.time.slept == []


async def test_slots_may_be_shared_by_clients() -> None:
    """Two clients with the same slots have one ceiling a domain."""
    held, slots = Held(), LocalSlots(1)
    transport = FakeTransport(held)
    clients = [ClovaOCRClient(domain(), transport=transport, slots=slots) for _ in range(2)]
    first = asyncio.create_task(clients[0].recognize(JPEG, Receipt))
    await held.reached.wait()
    second = asyncio.create_task(clients[1].recognize(JPEG, Receipt))
    await steps()
    assert [[*client.gates.values()] for client in clients] == [[GateState(ceiling=1, in_flight=1, waiting=1)]] * 2
    held.go_on.set()
    assert ((await first).attempts, (await second).attempts) == (1, 1)
    assert transport.most_in_flight == 1
