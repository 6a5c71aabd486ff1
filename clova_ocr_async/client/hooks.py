"""Observers: told synchronously what happens, and able to stop nothing."""

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
"""Why a domain is on hold: its allowance is spent, or it does not answer; or why it has left the pool, while others
serve: it does not take the secret, or is of another model, not deployed or blocked."""


Reason = Literal["no answer", "not kept", "expired", "no room", "closed"]
"""Why the answer of a request whose caller had gone was given to nobody."""


class AttemptStarted(msgspec.Struct, frozen=True):
    """A request is about to leave.

    Attributes:
        attempt: The request.
        waited: Seconds it waited for a slot.
    """

    attempt: Attempt
    waited: float


class AttemptFinished(msgspec.Struct, frozen=True):
    """A request ended.

    Attributes:
        attempt: The request.
        elapsed: Seconds it held its slot.
        error: What it ended in; None for a recognition. A cancellation if its caller has gone: the request may go on
            without it, and then one of the events of late answers follows.
        billing: Whether this request was paid, as far as that is known by then.
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
        delay: Seconds until it queues for a slot again; if its domain is on hold, until that is asked again.
        error: Why.
    """

    request_id: str
    attempts: int
    delay: float
    error: ClovaOCRError


class CallFinished(msgspec.Struct, frozen=True):
    """A call ended.

    Attributes:
        request_id: The call's requestId.
        path_word: The document asked for.
        attempts: Requests sent.
        elapsed: Seconds from its start, waiting included.
        billing: The worst over its attempts; BILLED for a recognition, unless it was an earlier request's.
        error: What it ended in, a cancellation included; None for a recognition.
    """

    request_id: str
    path_word: str
    attempts: int
    elapsed: float
    billing: Billing
    error: BaseException | None


class HoldChanged(msgspec.Struct, frozen=True):
    """A domain was put on hold, so that one call at a time asks it, or has left the pool; or it is back.

    Attributes:
        domain: The invoke URL, its key masked.
        cause: Why.
        held: Whether it is on hold for that now.
    """

    domain: str
    cause: Cause
    held: bool


class AnswerKept(msgspec.Struct, frozen=True):
    """A request whose caller had gone was answered; the answer waits for the next call with the same image.

    Attributes:
        attempt: The request.
        elapsed: Seconds it held its slot.
    """

    attempt: Attempt
    elapsed: float


class AnswerTaken(msgspec.Struct, frozen=True):
    """A call was given the answer of an earlier request, whose caller had gone; it has sent nothing itself.

    Attributes:
        attempt: The request that was paid.
        request_id: The id of the call that was given its answer.
    """

    attempt: Attempt
    request_id: str


class AnswerDropped(msgspec.Struct, frozen=True):
    """A request whose caller had gone came to nothing: no answer came, or no call took it.

    Attributes:
        attempt: The request.
        reason: "no answer": the request failed, was refused, or was cut off by its time or the client's end; "not
            kept": the client keeps no late answers; "expired": no call came for it in time; "no room": later answers
            took its place; "closed": the client was closed.
        billing: Whether it was paid.
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
"""Called with each event, in the event loop: it must not block. What it raises is logged and goes no further."""


def notify(hooks: Sequence[Hook], event: Event) -> None:
    """Tell every hook of an event."""
    for hook in hooks:
        try:
            if inspect.iscoroutine(result := hook(event)):
                result.close()
                raise TypeError("the hook returned a coroutine, which nobody awaits; return None")  # noqa: TRY301 - logged below
        except Exception:
            logger.exception("a hook failed on %s", type(event).__name__)
