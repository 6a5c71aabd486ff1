"""Late answers: a request whose caller has gone runs on, and its answer is for the next call with the same image.

A call loses its caller when its deadline passes, or when a web server, a task group or ``asyncio.timeout`` cancels it.
The request is billed all the same. Cutting it off would free a slot here while the service still works on the request,
and would lose the answer. So the request keeps its slot until the answer has arrived, and the answer is kept for a
while: a caller that gave up often tries again.

Only single calls without a journal run on. A batch waits for its own requests or cuts them off, and reports what that
may have cost. With a ledger, only the owner of the claim may record an answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.client.hooks import AnswerDropped, AnswerKept, AnswerTaken, notify
from clova_ocr_async.errors import Billing, ClovaOCRError, RecognitionError
from clova_ocr_async.host.tasks import call_unblocking, wait_shielded
from clova_ocr_async.protocol.response import decode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from clova_ocr_async.client.admission import Admission
    from clova_ocr_async.client.hooks import Hook, Reason
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.client.retry.call import Call, Lease
    from clova_ocr_async.client.retry.routing import DomainRouter
    from clova_ocr_async.documents import Document
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["LateAnswers", "LateRequest"]

logger = logging.getLogger("clova_ocr_async")

MOST_ANSWERS = 64
MOST_BYTES = 64 * 1024 * 1024  # of all answers kept


class LateRequest:
    """A detached request, whose caller has gone, and its answer.

    Args:
        call: The call that it was sent for.

    Attributes:
        attempt: The request.
        context: The object that its caller gave, for events.
        began: When it got its slot, by the client's clock.
        key: The document asked for, and the size of the image in bytes.
        elapsed: Seconds that it held its slot; 0 until it has ended.
        ended: Set when it has ended.
        redact: Masks the secrets of its domain.
        response: The answer, if one arrived that was billed.
        claimed: Whether a call waits for the answer, so that no other call may.
        timer: Drops the answer; None while it is not kept.
    """

    __slots__ = (
        "_data",
        "_digest",
        "attempt",
        "began",
        "claimed",
        "context",
        "elapsed",
        "ended",
        "key",
        "redact",
        "response",
        "timer",
    )

    def __init__(self, call: Call[Any]) -> None:
        assert call.request.attempt is not None  # noqa: S101 - for the type checkers: it was sent
        self.attempt: Attempt = call.request.attempt
        self.context = call.context
        self.began = call.request.began
        self.key: tuple[type[Document], int] = (call.document, len(call.image.data))
        self.redact: Callable[[str], str] = call.request.redact
        self.elapsed = 0.0
        self.response: HTTPResponse | None = None
        self.ended = asyncio.Event()
        self.claimed = False
        self.timer: asyncio.TimerHandle | None = None
        self._data = call.image.data
        self._digest = b""

    async def hash(self) -> None:
        """Replace the image by its hash, which takes less memory."""
        self._digest = await _hash(self._data)
        self._data = b""

    def matches(self, data: bytes, digest: bytes) -> bool:
        """Return whether the request was sent for an image; only for images of the same size."""
        # The hash of a large image takes a thread some milliseconds, and the next call may come before it is ready.
        return self._digest == digest if self._digest else self._data == data


class LateAnswers:
    """The detached requests of a client, and the answers that are kept for later calls.

    Args:
        hooks: Notified of the end of each request.
        admission: Learns the answer times.
        router: Learns which domains answer.
        keep: Seconds that an answer is kept; 0 keeps none.
        longest: Seconds that a request may run on.
        clock: Returns monotonic seconds.

    Attributes:
        keep: As given.
    """

    def __init__(
        self,
        hooks: Sequence[Hook],
        admission: Admission,
        router: DomainRouter,
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
        self._router = router
        self._open: dict[tuple[type[Document], int], list[LateRequest]] = {}  # in flight or kept, and not yet taken
        self._kept: dict[LateRequest, int] = {}  # with the size of the answer in bytes; the oldest one first
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def adopt(self, call: Call[Any], lease: Lease) -> bool:
        """Let the request of a cancelled call run on if it may; return whether it does.

        Args:
            call: The call.
            lease: The slot, which the request holds until it ends.
        """
        request = call.request.task
        # A request that is being cancelled belongs to a client that closes.
        if request is None or not call.may_detach or request.cancelled() or request.cancelling():
            return False
        lease.keep()  # the service still works on the request
        call.request.detached = True
        late = LateRequest(call)
        self._start(late, self._finish(late, call, request, lease))
        return True

    def keep_received(self, call: Call[Any], error: BaseException) -> None:
        """Keep the answer of a cancelled call if it had arrived, and its caller could not be given it any more.

        The caller went while a large answer was decoded for it after its deadline, or while its slot was released. The
        request has ended and holds no slot, so that only its answer is left.

        Args:
            call: The call.
            error: The error that ended it.
        """
        answer = call.request.received() if isinstance(error, asyncio.CancelledError) and call.is_single else None
        if answer is None or call.request.detached:
            return
        if call.request.error is not None and call.request.error.billing is not Billing.BILLED:
            return  # not a paid answer: the next call must send its own request
        late = LateRequest(call)
        self._start(late, self._finish_received(late, call, answer))

    def _start(self, late: LateRequest, work: Coroutine[Any, Any, None]) -> None:
        if self.keep:
            self._open.setdefault(late.key, []).append(late)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def any(self) -> bool:
        """True if an answer is kept or still to come."""
        return bool(self._open)

    async def take(self, call: Call[DocumentT]) -> Recognition[DocumentT] | None:
        """Return the late answer for a call's image, after a wait if it is still to come; None if there is none.

        Raises:
            ClovaOCRError: The answer is an error.
        """
        call.deadline.reserve(0.0)  # all of the time is for that answer
        late = await self._find(call)
        if late is None:
            return None
        # No await lies between the search and this line, or two calls with the same image could get the answer.
        late.claimed = call.joined = True  # one answer is for one call, as one payment is
        try:
            await late.ended.wait()
        except asyncio.CancelledError:
            late.claimed = False
            if late.response is not None:
                self._store(late, late.response)
            raise
        if late.response is None:
            call.joined = False
            return None  # nothing was billed, so the call sends its own request
        self._remove(late)
        logger.info(
            "call %s gets the answer of call %s, whose caller had gone", call.request_id, late.attempt.request_id
        )
        notify(self._hooks, AnswerTaken(late.attempt, call.request_id, context=call.context))
        try:
            recognition = await self._decode(late, late.response, call)
        except asyncio.CancelledError:
            # This caller has gone as well, so the answer is for the next one.
            late.claimed = False
            self._open.setdefault(late.key, []).append(late)
            self._store(late, late.response)
            raise
        call.joined = False
        return recognition

    async def _decode(self, late: LateRequest, response: HTTPResponse, call: Call[DocumentT]) -> Recognition[DocumentT]:
        """Return the recognition in an answer, under the name of this call's image, not of the other caller's."""
        decode = partial(
            decode_response, response, call.document, request_id=late.attempt.request_id, redact=late.redact
        )
        try:
            recognition = await call_unblocking(len(response.body), decode)
        except RecognitionError as error:
            error.recognition = error.recognition and msgspec.structs.replace(error.recognition, name=call.image.name)
            raise
        return msgspec.structs.replace(recognition, name=call.image.name)

    async def close(self) -> None:
        """Wait for the detached requests, which end with the client's requests, and drop the answers."""
        try:
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:  # a close that is cancelled ends the client as well
            self._closed = True
            if self._kept:
                logger.warning(
                    "%d billed answers whose callers had gone are dropped: the client is closed", len(self._kept)
                )
            for late in list(self._kept):
                self._drop(late, "closed", Billing.BILLED)

    async def _find(self, call: Call[Any]) -> LateRequest | None:
        key = (call.document, len(call.image.data))
        if key not in self._open:
            return None  # lengths are compared first: most calls need no hash
        digest = await _hash(call.image.data)
        candidates = self._open.get(key, ())
        return next((late for late in candidates if not late.claimed and late.matches(call.image.data, digest)), None)

    async def _finish(
        self, late: LateRequest, call: Call[Any], request: asyncio.Task[HTTPResponse], lease: Lease
    ) -> None:
        """Wait for a detached request, record how it ended, and release its slot."""
        try:
            await late.hash()  # only now: most calls never lose their caller
            await asyncio.wait([request], timeout=self._longest)
            if not request.done():
                request.cancel()
                await wait_shielded(request)  # its part of the answer is complete only then
        finally:
            late.elapsed = self._clock() - late.began
            try:
                response, error = await _result(request, call)
                self._record(late, call, lease, response, error)
            finally:
                if late.response is None:
                    self._remove(late)
                late.ended.set()  # even after an error: a call waits for it
                await lease.release()

    async def _finish_received(self, late: LateRequest, call: Call[Any], answer: HTTPResponse) -> None:
        """Keep an answer that has arrived, for a caller that has gone."""
        try:
            await late.hash()
            late.elapsed = self._clock() - late.began
            self._keep_or_drop(late, answer, await _error_in(answer, call))
        finally:
            if late.response is None:
                self._remove(late)
            late.ended.set()

    def _record(
        self,
        late: LateRequest,
        call: Call[Any],
        lease: Lease,
        response: HTTPResponse | None,
        error: BaseException | None,
    ) -> None:
        if error is None or isinstance(error, ClovaOCRError):
            lease.report(error)
        # Only such an answer shows that the domain serves, and how long it takes.
        if _billing_of(error) is Billing.BILLED:
            domain = lease.slot.domain
            self._router.on_answer(call, domain, error if isinstance(error, ClovaOCRError) else None)
            self._admission.learn(call, domain, late.elapsed)
        call.end_timing_probe()
        self._keep_or_drop(late, response, error)

    def _keep_or_drop(self, late: LateRequest, response: HTTPResponse | None, error: BaseException | None) -> None:
        billing = _billing_of(error)
        if response is None or billing is not Billing.BILLED:
            # The text of an error of another library may hold a secret.
            why = repr(error) if isinstance(error, ClovaOCRError) else type(error).__name__
            self._drop_logged(late, "no answer", billing, why)
        elif not self.keep:
            self._drop_logged(late, "not kept", billing, "keep_late_answers is 0")
        else:
            late.response = response
            if not late.claimed:
                self._store(late, response)

    def _store(self, late: LateRequest, response: HTTPResponse) -> None:
        if self._closed:  # a caller may go while its slot is released, after the close
            self._drop_logged(late, "closed", Billing.BILLED, "the client is closed")
            return
        self._kept[late] = len(response.body)
        late.timer = asyncio.get_running_loop().call_later(
            self.keep, self._drop_logged, late, "expired", Billing.BILLED, "no call came for it in time"
        )
        logger.info(
            "call %s was answered after its caller had gone; the answer is kept for %g s",
            late.attempt.request_id,
            self.keep,
        )
        notify(self._hooks, AnswerKept(late.attempt, late.elapsed, context=late.context))
        while len(self._kept) > MOST_ANSWERS or sum(self._kept.values()) > MOST_BYTES:
            self._drop_logged(next(iter(self._kept)), "no room", Billing.BILLED, "too many answers are kept")

    def _drop_logged(self, late: LateRequest, reason: Reason, billing: Billing, why: str) -> None:
        level = logging.INFO if billing is Billing.NOT_BILLED else logging.WARNING
        logger.log(
            level, "call %s, whose caller had gone, was in vain (%s): %s", late.attempt.request_id, billing.name, why
        )
        self._drop(late, reason, billing)

    def _drop(self, late: LateRequest, reason: Reason, billing: Billing) -> None:
        self._remove(late)
        notify(self._hooks, AnswerDropped(late.attempt, reason, billing, context=late.context))

    def _remove(self, late: LateRequest) -> None:
        self._kept.pop(late, None)
        if late.timer is not None:
            late.timer.cancel()
        same_key = self._open.get(late.key, [])
        if late in same_key:
            same_key.remove(late)
        if not same_key:
            self._open.pop(late.key, None)


async def _result(
    request: asyncio.Task[HTTPResponse], call: Call[Any]
) -> tuple[HTTPResponse | None, BaseException | None]:
    """Return the answer to a request, and the error that it is or that the request ended in."""
    if not request.done() or request.cancelled():
        response = call.request.progress.response("the request was cut off")  # the part that has arrived is billed
        if response is None:
            return None, asyncio.CancelledError("the request was cut off")
    elif (failure := request.exception()) is not None:
        return None, failure
    else:
        response = request.result()
    return response, await _error_in(response, call)


async def _error_in(answer: HTTPResponse, call: Call[Any]) -> ClovaOCRError | None:
    try:
        await call.decode_unblocking(answer)
    except ClovaOCRError as error:
        return error
    return None


def _billing_of(error: BaseException | None) -> Billing:
    return Billing.BILLED if error is None else getattr(error, "billing", Billing.MAYBE_BILLED)


async def _hash(data: bytes) -> bytes:
    return await call_unblocking(len(data), lambda: hashlib.sha256(data).digest())
