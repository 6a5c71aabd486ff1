"""Hooks: functions that are called with each event of a client, synchronously, and cannot influence it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from clova_ocr_async.client.journal import Attempt
from clova_ocr_async.errors import Billing, ClovaOCRError
from clova_ocr_async.slots.interface import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "AnswerDropped",
    "AnswerKept",
    "AnswerTaken",
    "AttemptFinished",
    "AttemptStarted",
    "CallFinished",
    "CallStarted",
    "Cause",
    "Event",
    "HoldChanged",
    "Hook",
    "RetryScheduled",
    "notify",
]

logger = logging.getLogger("clova_ocr_async")

Cause = Literal["quota", "outage", "credentials", "deployment"]
"""The reason why a domain is on hold: its quota is spent ("quota"), or it does not answer ("outage"). Or the reason why
it has left the pool while others serve: it does not accept the secret ("credentials"), or it is of another model, not
deployed or blocked ("deployment")."""

Reason = Literal["no answer", "not kept", "expired", "no room", "closed"]
"""The reason why the answer to a detached request was given to no call."""


class CallEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of one call.

    Attributes:
        context: The object that the caller gave as ``context``. No ``repr`` shows it, since it may hold anything.
    """

    context: object = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> Iterator[tuple[str, object]]:  # type: ignore[override]  # a struct's own shows all fields
        for name in self.__struct_fields__:
            if name != "context":
                yield name, getattr(self, name)


class CallStarted(CallEvent, frozen=True):
    """A call has its image and begins to wait for a slot; its ``CallFinished`` follows in any case.

    Attributes:
        request_id: The call's requestId.
        path_word: The document asked for.
        lane: "interactive" for a single call, "batch" for one of many.
        loading: Seconds that reading, checking and preparing the image took.
    """

    request_id: str
    path_word: str
    lane: Lane
    loading: float


class AttemptStarted(CallEvent, frozen=True):
    """A request is about to leave.

    Attributes:
        attempt: The request.
        waited: Seconds it waited for a slot.
    """

    attempt: Attempt
    waited: float


class AttemptFinished(CallEvent, frozen=True):
    """A request has ended.

    Attributes:
        attempt: The request.
        elapsed: Seconds it held its slot: the time of the service, without the wait for the slot.
        error: The error that it ended in; None for a recognition. A cancellation if its caller has gone.
        billing: Whether this request was billed, as far as that is known by then.
        waited: Seconds it waited for its slot.
        detached: Whether the request runs on without its caller. Then its end is the first ``AnswerKept``,
            ``AnswerTaken`` or ``AnswerDropped`` of the same attempt.
    """

    attempt: Attempt
    elapsed: float
    error: BaseException | None
    billing: Billing
    waited: float = 0.0
    detached: bool = False


class RetryScheduled(CallEvent, frozen=True):
    """A request will be sent again.

    Attributes:
        request_id: The call's requestId.
        attempts: Requests sent so far.
        delay: Seconds until it queues for a slot again; if its domain is on hold, until the next probe.
        error: The failure.
    """

    request_id: str
    attempts: int
    delay: float
    error: ClovaOCRError


class CallFinished(CallEvent, frozen=True):
    """A call has ended.

    Attributes:
        request_id: The call's requestId.
        path_word: The document asked for.
        attempts: Requests sent.
        elapsed: Seconds from the start of the call, waiting included.
        billing: The worst billing over its requests; BILLED for a recognition, unless it answers an earlier request.
        error: The error that it ended in, a cancellation included; None for a recognition.
        waited: Seconds in which it waited for a slot, over all its requests.
        in_slot: Seconds in which its requests held a slot. The rest of ``elapsed`` went into the image, into pauses
            before retries, and into waits for a domain on hold.
    """

    request_id: str
    path_word: str
    attempts: int
    elapsed: float
    billing: Billing
    error: BaseException | None
    waited: float = 0.0
    in_slot: float = 0.0


class HoldChanged(msgspec.Struct, frozen=True):
    """A domain was put on hold, has left the pool, or is back. While it is on hold, one call at a time probes it.

    Attributes:
        domain: The invoke URL, its key masked.
        cause: The reason.
        held: Whether the domain is on hold now.
        label: The label of the domain, for metrics.
    """

    domain: str
    cause: Cause
    held: bool
    label: str = ""


class AnswerKept(CallEvent, frozen=True):
    """A request whose caller had gone was answered, and the answer is kept for the next call with the same image.

    Attributes:
        attempt: The request.
        elapsed: Seconds it held its slot.
    """

    attempt: Attempt
    elapsed: float


class AnswerTaken(CallEvent, frozen=True):
    """A call got the answer to an earlier request, whose caller had gone; the call has sent nothing itself.

    ``context`` is that of the call that got the answer.

    Attributes:
        attempt: The request that was billed.
        request_id: The requestId of the call that got the answer.
    """

    attempt: Attempt
    request_id: str


class AnswerDropped(CallEvent, frozen=True):
    """A request whose caller had gone was in vain: no answer arrived, or no call took it.

    Attributes:
        attempt: The request.
        reason: "no answer": the request failed, was refused, or was cut off by its time limit or by ``close()``; "not
            kept": the client keeps no late answers; "expired": no call came for it in time; "no room": later answers
            took its place; "closed": the client was closed.
        billing: Whether the request was billed.
    """

    attempt: Attempt
    reason: Reason
    billing: Billing


Event = (
    CallStarted
    | AttemptStarted
    | AttemptFinished
    | RetryScheduled
    | CallFinished
    | HoldChanged
    | AnswerKept
    | AnswerTaken
    | AnswerDropped
)
Hook = Callable[[Event], object]
"""A function that is called with each event in the event loop, so it must not block. Its exceptions are logged."""


def notify(hooks: Sequence[Hook], event: Event) -> None:
    """Call every hook with an event."""
    for hook in hooks:
        try:
            if inspect.iscoroutine(result := hook(event)):
                result.close()  # else Python warns about it, far from here
                raise TypeError("the hook returned a coroutine, which is never awaited; return None")  # noqa: TRY301 - logged below
        except Exception:  # a hook must not lose an answer that is paid for
            logger.exception("a hook failed on %s", type(event).__name__)
