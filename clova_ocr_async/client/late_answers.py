"""Late answers: a request whose caller has gone runs on, and its answer is for the next call with the same image.

A caller goes by its deadline, or because a web server, a task group or ``asyncio.timeout`` cancels it. The request is
paid all the same. Cutting it off would free a slot here while the service still works on it, and would lose the answer.
So the request keeps its slot until its answer has come, and the answer waits for a while: callers that gave up often
come again.

Only single calls without a journal run on. A batch waits for its own requests or cuts them off, and says what that may
have cost; with a ledger the answer must be written down by the one who claimed the image, or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec

from clova_ocr_async.client.decoding import decoded_aside
from clova_ocr_async.client.hooks import AnswerDropped, AnswerKept, AnswerTaken, notify
from clova_ocr_async.errors import Billing, ClovaOCRError, RecognitionError
from clova_ocr_async.host.tasks import wait_shielded
from clova_ocr_async.protocol.response import decode_response
from clova_ocr_async.slots.interface import report_to_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from clova_ocr_async.client.admission import Admission
    from clova_ocr_async.client.hooks import Hook, Reason
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.client.lease import Lease
    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.client.retry.routing import DomainRouter
    from clova_ocr_async.documents import Document
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.protocol.response import HTTPResponse
    from clova_ocr_async.slots.interface import Slot

__all__ = ["LateAnswers", "LateRequest"]

logger = logging.getLogger("clova_ocr_async")

MOST_ANSWERS = 64
MOST_BYTES = 64 * 1024 * 1024  # of all answers kept
_HASHED_HERE = 1024 * 1024  # bytes; more of them are hashed in a thread, as the loop would stand still for too long


class LateRequest:
    """A request whose caller has gone, and its answer.

    Args:
        call: The call it was sent for.

    Attributes:
        attempt: The request.
        began: When it got its slot, by the client's clock.
        key: What it asked for, and the size of its image in bytes.
        elapsed: Seconds it held its slot; 0 until it has ended.
        landed: Set when it has ended.
        redact: Masks the secrets of its domain.
        response: Its answer, if one came that was paid.
        taken: Whether a call waits for it, so that no other one may.
        timer: Ends its keeping; None while it is not kept.
    """

    __slots__ = (
        "_data",
        "_digest",
        "attempt",
        "began",
        "elapsed",
        "key",
        "landed",
        "redact",
        "response",
        "taken",
        "timer",
    )

    def __init__(self, call: Call[Any]) -> None:
        assert call.attempt is not None  # noqa: S101 - for the type checkers: it was sent
        self.attempt: Attempt = call.attempt
        self.began = call.began
        self.key: tuple[type[Document], int] = (call.document, len(call.image.data))
        self.redact: Callable[[str], str] = call.redact
        self.elapsed = 0.0
        self.response: HTTPResponse | None = None
        self.landed = asyncio.Event()
        self.taken = False
        self.timer: asyncio.TimerHandle | None = None
        self._data = call.image.data
        self._digest = b""

    async def hash(self) -> None:
        """Let go of the image, and keep its hash."""
        self._digest = await _hashed(self._data)
        self._data = b""

    def is_of(self, data: bytes, digest: bytes) -> bool:
        """Whether it is the request for an image of the same size."""
        return self._digest == digest if self._digest else self._data == data


class LateAnswers:
    """The requests of a client whose callers have gone, while they are in flight and while their answers are kept.

    Args:
        hooks: Told what became of each.
        admission: Learns from how long each took.
        turns: Told which domains answer.
        keep: Seconds an answer is kept; 0 keeps none.
        longest: Seconds a request may run on.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self,
        hooks: Sequence[Hook],
        admission: Admission,
        turns: DomainRouter,
        *,
        keep: float,
        longest: float,
        clock: Callable[[], float],
    ) -> None:
        self.keep = keep
        self._hooks = hooks
        self._longest = longest
        self._clock = clock
        self._admission = admission
        self._turns = turns
        self._open: dict[tuple[type[Document], int], list[LateRequest]] = {}
        self._kept: dict[LateRequest, int] = {}
        self._landing: set[asyncio.Task[None]] = set()

    def adopt(self, call: Call[Any], lease: Lease) -> bool:
        """Let the request of a cancelled call run on, if there is one that may; return whether it does.

        Args:
            call: The call.
            lease: Its slot, which it keeps until it ends.
        """
        wire = call.wire
        if wire is None or not call.outlives or wire.cancelled() or wire.cancelling():
            return False
        lease.keep()
        call.runs_on = True
        late = LateRequest(call)
        self._run_on(late, self._land(late, call, wire, lease))
        return True

    def keep_arrived(self, call: Call[Any], error: BaseException) -> None:
        """Keep the answer of a cancelled call if it had come, and its caller could not be given it any more.

        The caller went while a large answer was decoded for it after its deadline, or while its slot was given back.
        The request has ended and holds no slot, so that only its answer is left.

        Args:
            call: The call.
            error: What ended it.
        """
        answer = call.arrived() if isinstance(error, asyncio.CancelledError) and call.unheard else None
        if answer is None or call.refusal is not None or call.runs_on:
            return
        late = LateRequest(call)
        self._run_on(late, self._land_arrived(late, call, answer))

    def _run_on(self, late: LateRequest, landing: Coroutine[Any, Any, None]) -> None:
        if self.keep:
            self._open_to_others(late)
        task = asyncio.get_running_loop().create_task(landing)
        self._landing.add(task)
        task.add_done_callback(self._landing.discard)

    @property
    def any(self) -> bool:
        """Whether an answer is kept, or to come."""
        return bool(self._open)

    async def take(self, call: Call[DocumentT]) -> Recognition[DocumentT] | None:
        """Return the late answer for a call's image, waiting for it if it is still to come; None if there is none.

        Raises:
            ClovaOCRError: The answer says so.
        """
        call.deadline.reserve(0.0)  # all of the time is for that answer
        late = await self._find(call)
        if late is None:
            return None
        late.taken = call.joined = True
        try:
            await late.landed.wait()
        except asyncio.CancelledError:
            late.taken = False
            if late.response is not None:
                self._store(late, late.response)
            raise
        if late.response is None:
            call.joined = False
            return None
        self._forget(late)
        logger.info(
            "call %s takes the answer of call %s, whose caller had gone", call.request_id, late.attempt.request_id
        )
        notify(self._hooks, AnswerTaken(late.attempt, call.request_id))
        try:
            recognition = await self._taken(late, late.response, call)
        except asyncio.CancelledError:
            self._put_back(late, late.response)
            raise
        call.joined = False
        return recognition

    async def _taken(self, late: LateRequest, response: HTTPResponse, call: Call[DocumentT]) -> Recognition[DocumentT]:
        """Return what an answer holds, under the name of this call's image and not that of the other caller's."""
        decode = partial(
            decode_response, response, call.document, request_id=late.attempt.request_id, redact=late.redact
        )
        try:
            recognition = await decoded_aside(len(response.body), decode)
        except RecognitionError as error:
            error.recognition = error.recognition and msgspec.structs.replace(error.recognition, name=call.image.name)
            raise
        return msgspec.structs.replace(recognition, name=call.image.name)

    async def close(self) -> None:
        """Wait for what runs on, which the end of its request ends, and drop what is kept."""
        if self._landing:
            await asyncio.wait(self._landing)
        if self._kept:
            logger.warning("%d paid answers whose callers had gone are dropped: the client is closed", len(self._kept))
        for late in list(self._kept):
            self._drop(late, "closed", Billing.BILLED)

    async def _find(self, call: Call[Any]) -> LateRequest | None:
        key = (call.document, len(call.image.data))
        if key not in self._open:
            return None
        digest = await _hashed(call.image.data)
        found = self._open.get(key, ())
        return next((late for late in found if not late.taken and late.is_of(call.image.data, digest)), None)

    async def _land(self, late: LateRequest, call: Call[Any], wire: asyncio.Task[HTTPResponse], lease: Lease) -> None:
        try:
            await late.hash()
            await asyncio.wait([wire], timeout=self._longest)
            if not wire.done():
                wire.cancel()
                await wait_shielded(wire)
        finally:
            late.elapsed = self._clock() - late.began
            try:
                response, error = await _outcome(wire, call)
                self._settle(late, call, lease.slot, response, error)
            finally:
                if late.response is None:
                    self._forget(late)
                late.landed.set()
                await lease.give_back()

    async def _land_arrived(self, late: LateRequest, call: Call[Any], answer: HTTPResponse) -> None:
        try:
            await late.hash()
            late.elapsed = self._clock() - late.began
            error = await _error_in(answer, call)
            self._keep_or_drop(late, answer, error)
        finally:
            if late.response is None:
                self._forget(late)
            late.landed.set()

    def _settle(
        self, late: LateRequest, call: Call[Any], slot: Slot, response: HTTPResponse | None, error: BaseException | None
    ) -> None:
        if error is None:
            slot.admitted()
        elif isinstance(error, ClovaOCRError):
            report_to_slot(slot, error)
        if _billing_of(error) is Billing.BILLED:
            self._turns.answered(call, slot.domain, error if isinstance(error, ClovaOCRError) else None)
        self._admission.learn(call, slot.domain, late.elapsed, error)
        self._keep_or_drop(late, response, error)

    def _keep_or_drop(self, late: LateRequest, response: HTTPResponse | None, error: BaseException | None) -> None:
        billing = _billing_of(error)
        if response is None or billing is not Billing.BILLED:
            # The text of an error that is none of ours may hold a secret.
            why = repr(error) if isinstance(error, ClovaOCRError) else type(error).__name__
            self._drop_logged(late, "no answer", billing, why)
        elif not self.keep:
            self._drop_logged(late, "not kept", billing, "keep_late_answers is 0")
        else:
            late.response = response
            if not late.taken:
                self._store(late, response)

    def _open_to_others(self, late: LateRequest) -> None:
        self._open.setdefault(late.key, []).append(late)

    def _put_back(self, late: LateRequest, response: HTTPResponse) -> None:
        """Keep an answer again that was taken by a call which has gone before it had it."""
        late.taken = False
        self._open_to_others(late)
        self._store(late, response)

    def _store(self, late: LateRequest, response: HTTPResponse) -> None:
        self._kept[late] = len(response.body)
        late.timer = asyncio.get_running_loop().call_later(self.keep, self._expire, late)
        logger.info(
            "call %s was answered after its caller had gone; the answer is kept for %g s",
            late.attempt.request_id,
            self.keep,
        )
        notify(self._hooks, AnswerKept(late.attempt, late.elapsed))
        while len(self._kept) > MOST_ANSWERS or sum(self._kept.values()) > MOST_BYTES:
            self._drop_logged(next(iter(self._kept)), "no room", Billing.BILLED, "too many answers are kept")

    def _expire(self, late: LateRequest) -> None:
        self._drop_logged(late, "expired", Billing.BILLED, "no call came for it in time")

    def _drop_logged(self, late: LateRequest, reason: Reason, billing: Billing, why: str) -> None:
        level = logging.INFO if billing is Billing.NOT_BILLED else logging.WARNING
        logger.log(
            level,
            "call %s, whose caller had gone, was for nothing (%s): %s",
            late.attempt.request_id,
            billing.name,
            why,
        )
        self._drop(late, reason, billing)

    def _drop(self, late: LateRequest, reason: Reason, billing: Billing) -> None:
        self._forget(late)
        notify(self._hooks, AnswerDropped(late.attempt, reason, billing))

    def _forget(self, late: LateRequest) -> None:
        self._kept.pop(late, None)
        if late.timer is not None:
            late.timer.cancel()
        same = self._open.get(late.key, [])
        if late in same:
            same.remove(late)
        if not same:
            self._open.pop(late.key, None)


async def _outcome(
    wire: asyncio.Task[HTTPResponse], call: Call[Any]
) -> tuple[HTTPResponse | None, BaseException | None]:
    """Return the answer of a request, and the error it was or ended in."""
    if not wire.done() or wire.cancelled():
        response = call.exchange.response("the request was cut off")  # as far as it came, it is paid
        if response is None:
            return None, asyncio.CancelledError("the request was cut off")
    elif (failure := wire.exception()) is not None:
        return None, failure
    else:
        response = wire.result()
    return response, await _error_in(response, call)


async def _error_in(answer: HTTPResponse, call: Call[Any]) -> ClovaOCRError | None:
    try:
        await decoded_aside(len(answer.body), partial(call.decoded, answer))
    except ClovaOCRError as error:
        return error
    return None


def _billing_of(error: BaseException | None) -> Billing:
    return Billing.BILLED if error is None else getattr(error, "billing", Billing.MAYBE_BILLED)


async def _hashed(data: bytes) -> bytes:
    if len(data) <= _HASHED_HERE:
        return hashlib.sha256(data).digest()
    return await anyio.to_thread.run_sync(lambda: hashlib.sha256(data).digest())
