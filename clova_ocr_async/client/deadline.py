"""The deadline of one call, and the error of a call that passes it."""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import Billing, ClovaOCRError, ConnectionFailedError, ResponseTimeoutError

if TYPE_CHECKING:
    from types import TracebackType

    from clova_ocr_async.client.retry.call import Call

__all__ = ["TOO_LATE", "Deadline", "deadline_error"]

TOO_LATE = "the deadline passed while it came"
_UNKNOWN_BILLING = "after the request was sent; it may have been billed"


class Deadline:
    """The time limit of one call, or of one request of a batch; its context raises TimeoutError when it has passed.

    Part of the time may be reserved for the request itself: a call that still waits to be sent is over when only that
    part is left. The context has one timer, which is set anew if it fires too early. Most calls are answered soon, and
    for them a timer for each phase would cost more than all other bookkeeping.

    Args:
        seconds: Seconds from now; None for no bound.
        loop: The running loop; its clock counts.

    Attributes:
        seconds: As given.
    """

    __slots__ = ("_due", "_loop", "_reserved", "_timeout", "_timer", "seconds")

    def __init__(self, seconds: float | None, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = seconds
        self._loop = loop
        self._due = math.inf if seconds is None else loop.time() + seconds
        self._reserved = 0.0
        # It raises TimeoutError for its own cancellation only; one from outside stays a cancellation.
        self._timeout = asyncio.Timeout(None)
        self._timer: asyncio.TimerHandle | None = None

    def anew(self) -> Deadline:
        """Return a deadline of as many seconds from now on."""
        return Deadline(self.seconds, self._loop)

    @property
    def left(self) -> float:
        """Seconds until it passes; infinite without a bound."""
        return self._due - self._loop.time()

    @property
    def expired(self) -> bool:
        """Whether its context has raised TimeoutError."""
        return self._timeout.expired()

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._arm()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        # Cancelled first: a timer that fires later would reschedule a timeout that has ended, which is an error.
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, where)

    def reserve(self, seconds: float) -> None:
        """Reserve some seconds for the request; 0 once it is sent, since all of the time is for it then."""
        self._reserved = seconds
        # A timer that fires too early sets itself anew; only a later one must be replaced.
        if self._timer is not None and self._timer.when() > self._due - seconds:
            self._timer.cancel()
            self._arm()

    def _arm(self) -> None:
        if self._due < math.inf:
            self._timer = self._loop.call_at(self._due - self._reserved, self._on_timer)

    def _on_timer(self) -> None:
        now = self._loop.time()
        if now < self._due - self._reserved:
            self._arm()
        else:
            self._timeout.reschedule(now)


def deadline_error(call: Call[Any], keep: float) -> ClovaOCRError:
    """Return the error of a call whose deadline has passed, by how far its request had come.

    Args:
        call: The call.
        keep: Seconds that the answer is kept if the request runs on.
    """
    request = call.request
    seconds = f"the deadline of {call.deadline.seconds or 0.0:g} s passed"
    if call.joined:
        return ResponseTimeoutError(
            f"{seconds} while an earlier request for the same image was in flight; nothing more was sent",
            billing=Billing.NOT_BILLED,
        )
    partial = request.progress.response(TOO_LATE)
    # An error of the service is raised now. A recognition that is still arriving is kept when it is complete.
    if partial is not None and not (request.detached and partial.status == HTTPStatus.OK):
        try:
            call.decode(partial)
        except ClovaOCRError as error:
            return error
    if not request.progress.body_began:
        return ConnectionFailedError(f"{seconds} before anything was sent")
    again = (
        f"; called again within {keep:g} s of the answer, the call gets it unbilled"
        if request.detached and keep
        else ""
    )
    billing = max(Billing.MAYBE_BILLED, request.billing_if_cancelled())
    phase = "while its answer came; it was billed" if billing is Billing.BILLED else _UNKNOWN_BILLING
    late = ResponseTimeoutError(f"{seconds} {phase}{again}", billing=billing)
    late.raw = b"" if partial is None else partial.body
    return late
