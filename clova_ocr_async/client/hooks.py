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
    "AttemptFinished",
    "AttemptStarted",
    "CallFinished",
    "Cause",
    "Event",
    "HoldChanged",
    "Hook",
    "RetryScheduled",
    "tell",
]

logger = logging.getLogger("clova_ocr_async")

Cause = Literal["quota", "outage", "credentials", "deployment"]
"""Why a domain is on hold: its allowance is spent, or it does not answer; or why it has left the pool, while others
serve: it does not take the secret, or is of another model, not deployed or blocked."""


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
        error: What it ended in, a cancellation included; None for a recognition.
    """

    attempt: Attempt
    elapsed: float
    error: BaseException | None


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
        billing: The worst over its attempts; BILLED for a recognition.
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


Event = AttemptStarted | AttemptFinished | RetryScheduled | CallFinished | HoldChanged
Hook = Callable[[Event], object]
"""Called with each event, in the event loop: it must not block. What it raises is logged and goes no further."""


def tell(hooks: Sequence[Hook], event: Event) -> None:
    """Tell every hook of an event."""
    for hook in hooks:
        try:
            if inspect.iscoroutine(result := hook(event)):
                result.close()
                raise TypeError("the hook returned a coroutine, which nobody awaits; return None")  # noqa: TRY301 - logged below
        except Exception:
            logger.exception("a hook failed on %s", type(event).__name__)
