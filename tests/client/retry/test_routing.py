from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import BUSY, JPEG, FakeTime, FakeTransport, domain

import clova_ocr_async
from clova_ocr_async.batch import BatchDispatcher, Success
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.client.deadline import Deadline, DeadlineTimer
from clova_ocr_async.client.journal import NULL_JOURNAL
from clova_ocr_async.client.retry.breaker import Breakers
from clova_ocr_async.client.retry.budget import RetryBudget
from clova_ocr_async.client.retry.call import Call
from clova_ocr_async.client.retry.routing import Action, Decision, DomainRouter
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    AuthenticationError,
    ClovaOCRError,
    ConnectionFailedError,
    ConnectionLostError,
    InvalidRequestError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
)
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, FrameType

    from clova_ocr_async.client import RequestProgress
    from clova_ocr_async.domains import Domain
    from clova_ocr_async.protocol.request import HTTPRequest
    from clova_ocr_async.protocol.response import HTTPResponse
    from clova_ocr_async.slots import Lane

ONE = domain("https://host.apigw.ntruss.com/custom/v1/1/key1")
TWO = domain("https://host.apigw.ntruss.com/custom/v1/2/key2")


class Scene:
    """A router, and calls that meet failures."""

    def __init__(self, **policy: Any) -> None:
        settings = RetryPolicy(**policy)
        self.budget = RetryBudget(settings.budget)
        self.router = DomainRouter(Breakers(), settings, self.budget, FakeTime().runtime())

    def call(self, lane: Lane = "interactive", domains: Sequence[Domain] = (ONE,)) -> Call[Receipt]:
        """Return a call that has sent nothing yet."""
        deadline = Deadline(None, asyncio.get_running_loop(), DeadlineTimer())
        return Call(Image(JPEG), Receipt, domains, lane, NULL_JOURNAL, "id", deadline)

    def fail(self, call: Call[Receipt], error: ClovaOCRError, at: Domain = ONE) -> Decision:
        """Let a request of a call fail, and return what the router decides."""
        call.history.count(error)
        return self.router.on_failure(call, at, error)


@pytest.mark.parametrize("lane", ["interactive", "batch"])
@pytest.mark.parametrize("asked", [None, 7.0])
async def test_a_refusal_for_the_rate_is_always_retried_at_once(lane: Lane, asked: float | None) -> None:
    """A call that was refused for the rate queues for a slot again at once, at no price, however often it happens."""
    scene = Scene(budget=0, max_attempts=1)
    call = scene.call(lane)
    for _ in range(100):
        error = RateLimitError(400, "0025")
        error.retry_after = asked
        assert scene.fail(call, error) == Decision(Action.RETRY, error, 0.0)
    assert (scene.budget.left, call.history.attempts, call.history.retry_price) == (0, 0, 0)


@pytest.mark.parametrize("lane", ["interactive", "batch"])
async def test_a_retry_is_paid_for_and_has_the_delay_of_the_policy(lane: Lane) -> None:
    """A failure that a retry can repair is decided with the policy's delay, and its price leaves the budget."""
    scene, error = Scene(), ConnectionFailedError("x")
    call = scene.call(lane)
    assert scene.fail(call, error) == Decision(Action.RETRY, error, 0.05)
    assert (scene.budget.left, call.history.retry_price) == (495, 5)


@pytest.mark.parametrize("error", [InvalidRequestError(400), RecognitionError("x"), ConnectionLostError("x")])
@pytest.mark.parametrize("lane", ["interactive", "batch"])
async def test_a_failure_that_must_not_be_retried_fails_the_call(error: ClovaOCRError, lane: Lane) -> None:
    """A failure that would repeat, or could be paid twice, is decided to fail with its own error."""
    scene = Scene()
    assert scene.fail(scene.call(lane), error) == Decision(Action.FAIL, error)


async def test_a_single_call_without_a_retry_left_fails() -> None:
    """A single call fails when its attempts or the budget are used up."""
    for policy in ({"max_attempts": 1}, {"budget": 4}):
        scene, error = Scene(**policy), ConnectionFailedError("x")
        assert scene.fail(scene.call(), error) == Decision(Action.FAIL, error)


async def test_a_call_of_a_batch_without_a_retry_left_waits_for_its_domain() -> None:
    """A call of a batch that has no retry left chooses a domain again, after the pause of the one on hold."""
    scene, error = Scene(budget=0), ConnectionFailedError("x")
    call = scene.call("batch")
    assert scene.fail(call, error) == Decision(Action.NEXT_DOMAIN, error, 1.0)


async def test_a_batch_that_waited_too_long_fails_with_the_outage() -> None:
    """A call that gives up its domain fails with the outage, of the class of the last failure."""
    scene, error = Scene(budget=0, outage_patience=0), ConnectionFailedError("x")
    decision = scene.fail(scene.call("batch"), error)
    assert (decision.action, str(decision.error)) == (Action.FAIL, "no usable answer for 0 s: x")


@pytest.mark.parametrize("error", [AuthenticationError(401), QuotaExceededError(400)])
async def test_a_call_goes_to_the_next_domain_at_once(error: ClovaOCRError) -> None:
    """A call whose domain cannot serve goes to another one without a delay, and at no price."""
    scene = Scene()
    assert scene.fail(scene.call(domains=(ONE, TWO)), error) == Decision(Action.NEXT_DOMAIN, error, 0.0)
    assert scene.budget.left == 500


# ---------------------------------------------------------------------------------------------------------------------
# The way of a refusal through the package

PACKAGE = Path(clova_ocr_async.__file__).parent


class Trace:
    """Collects the modules of the package in which a function is called, in any thread, while it is on.

    A coroutine that goes on after an await is not called anew: all that wait for a request do so with its answer.
    """

    def __init__(self) -> None:
        self.on = False
        self.modules: set[str] = set()
        self._begun: dict[FrameType, CodeType] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Note an event of the interpreter."""
        path = Path(frame.f_code.co_filename)
        if event != "call" or PACKAGE not in path.parents or frame in self._begun:
            return
        self._begun[frame] = frame.f_code
        if self.on:
            self.modules.add(path.relative_to(PACKAGE).with_suffix("").as_posix())


class TracedTransport(FakeTransport):
    """A transport that begins a trace when it returns a refusal."""

    def __init__(self, trace: Trace) -> None:
        super().__init__(BUSY)
        self._trace = trace

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
        """Send, and begin the trace if that is refused."""
        response = await super().send(request, progress)
        self._trace.on = response is BUSY
        return response


class TracedSlots(LocalSlots):
    """Slots that end a trace when a call waits for a slot."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def slot(self, *args: Any) -> Any:
        """End the trace, and wait for a slot."""
        self._trace.on = False
        return super().slot(*args)


@pytest.mark.parametrize(("has_ledger", "most"), [(False, 12), (True, 22)])
async def test_a_refusal_takes_a_short_way(tmp_path: Path, *, has_ledger: bool, most: int) -> None:
    """A refused request of a batch enters few modules before its call waits for a slot again.

    Eight of them act: the sender, the call's own state, the router and the loop of retries, the image's progress in
    the batch, and of the slots those that hold them, their limit and their rate. Four say what the answer is: its
    decoding, the table of codes, the class of the error, and the masking of secrets in its texts. No other call waits
    here, and no hook listens.

    A ledger adds ten that mark the row as claimed again: the journal, which waits to the end of its write, the ledger
    and the room it had reserved for an answer, its thread with its queue, its lock and its guard against forks, and
    the statements of the row and of the count of calls.
    """
    trace = Trace()
    ledger = tmp_path / "run" if has_ledger else None
    client = ClovaOCRClient(domain(), transport=TracedTransport(trace), slots=TracedSlots(trace))
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        async with BatchDispatcher(client, ledger=ledger).dispatch([JPEG], Receipt) as outcomes:
            [outcome] = [outcome async for outcome in outcomes]
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert isinstance(outcome, Success)
    assert outcome.recognition.attempts == 2
    assert len(trace.modules) <= most, sorted(trace.modules)
    acting = {module for module in trace.modules if module.startswith(("batch/", "client/", "slots/"))}
    assert len(acting) <= 8 + has_ledger, sorted(acting)
