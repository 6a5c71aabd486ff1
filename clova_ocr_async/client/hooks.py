"""Hooks: functions that are called with each event of a client, synchronously, and cannot influence it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import msgspec

from clova_ocr_async.client.journal import Attempt
from clova_ocr_async.errors import Billing, ClovaOCRError

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = [
    "AnswerDropped",
    "AnswerKept",
    "AnswerTaken",
    "AttemptFinished",
    "AttemptStarted",
    "CallFinished",
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


class AttemptStarted(msgspec.Struct, frozen=True):
    """A request is about to leave.

    Attributes:
        attempt: The request.
        waited: Seconds it waited for a slot.
    """

    attempt: Attempt
    waited: float


class AttemptFinished(msgspec.Struct, frozen=True):
    """A request has ended.

    Attributes:
        attempt: The request.
        elapsed: Seconds it held its slot.
        error: The error that it ended in; None for a recognition. A cancellation if its caller has gone: then the
            request may run on, and one of the events of late answers follows.
        billing: Whether this request was billed, as far as that is known by then.
    """

    attempt: Attempt
    elapsed: float
    error: BaseException | None
    billing: Billing


class RetryScheduled(msgspec.Struct, frozen=True):
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


class CallFinished(msgspec.Struct, frozen=True):
    """A call has ended.

    Attributes:
        request_id: The call's requestId.
        path_word: The document asked for.
        attempts: Requests sent.
        elapsed: Seconds from the start of the call, waiting included.
        billing: The worst billing over its requests; BILLED for a recognition, unless it answers an earlier request.
        error: The error that it ended in, a cancellation included; None for a recognition.
    """

    request_id: str
    path_word: str
    attempts: int
    elapsed: float
    billing: Billing
    error: BaseException | None


class HoldChanged(msgspec.Struct, frozen=True):
    """A domain was put on hold, so that only one call at a time probes it, or has left the pool; or it is back.

    Attributes:
        domain: The invoke URL, its key masked.
        cause: The reason.
        held: Whether the domain is on hold now.
    """

    domain: str
    cause: Cause
    held: bool


class AnswerKept(msgspec.Struct, frozen=True):
    """A request whose caller had gone was answered, and the answer is kept for the next call with the same image.

    Attributes:
        attempt: The request.
        elapsed: Seconds it held its slot.
    """

    attempt: Attempt
    elapsed: float


class AnswerTaken(msgspec.Struct, frozen=True):
    """A call got the answer to an earlier request, whose caller had gone; the call has sent nothing itself.

    Attributes:
        attempt: The request that was billed.
        request_id: The requestId of the call that got the answer.
    """

    attempt: Attempt
    request_id: str


class AnswerDropped(msgspec.Struct, frozen=True):
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
    AttemptStarted
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
