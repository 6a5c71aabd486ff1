"""The deadline of one call: when it must be over, and until when it is still of use to send it."""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import Billing, ClovaOCRError, ConnectionFailedError, ResponseTimeoutError

if TYPE_CHECKING:
    from types import TracebackType

    from clova_ocr_async.client.retry.call import Call

__all__ = ["TOO_LATE", "Deadline", "overdue"]

TOO_LATE = "the deadline passed while it came"
_IN_DOUBT = "after the request was sent; it may have been billed"


class Deadline:
    """How long one call, or one request of a batch, may take; its context raises TimeoutError when it is over.

    Part of the time may be reserved for the request: what waits to be sent is over when only that part is left. The
    context has one timer, which is put off when it rings too early: for a call that is answered soon, as most are, a
    timer for each of its phases would cost more than everything else that is noted of it.

    Args:
        seconds: How long; None for no bound.
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
        """Whether its context has raised."""
        return self._timeout.expired()

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._arm()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, where)

    def reserve(self, seconds: float) -> None:
        """Reserve so many seconds for the request; 0 once it is sent, as all of the time is for it then."""
        self._reserved = seconds
        if self._timer is not None and self._timer.when() > self._due - seconds:
            self._timer.cancel()
            self._arm()

    def _arm(self) -> None:
        if self._due < math.inf:
            self._timer = self._loop.call_at(self._due - self._reserved, self._ring)

    def _ring(self) -> None:
        now = self._loop.time()
        if now < self._due - self._reserved:
            self._arm()
        else:
            self._timeout.reschedule(now)


def overdue(call: Call[Any], keep: float) -> ClovaOCRError:
    """Return what a deadline means that passed over a request, by how far that had come.

    Args:
        call: The call.
        keep: Seconds its answer is kept if the request runs on.
    """
    seconds = f"the deadline of {call.deadline.seconds or 0.0:g} s passed"
    if call.joined:
        return ResponseTimeoutError(
            f"{seconds} while an earlier request for the same image was in flight; nothing more was sent",
            billing=Billing.NOT_BILLED,
        )
    partial = call.exchange.response(TOO_LATE)
    # Of an answer that goes on coming only the error is told now; the rest is kept when it is all there.
    if partial is not None and not (call.runs_on and partial.status == HTTPStatus.OK):
        try:
            call.decoded(partial)
        except ClovaOCRError as error:
            return error
    if not call.exchange.body_began:
        return ConnectionFailedError(f"{seconds} before anything was sent")
    again = (
        f"; called again within {keep:g} s of the answer, the call gets it unbilled" if call.runs_on and keep else ""
    )
    billing = max(Billing.MAYBE_BILLED, call.cut_off())
    far = "while its answer came; it was billed" if billing is Billing.BILLED else _IN_DOUBT
    late = ResponseTimeoutError(f"{seconds} {far}{again}", billing=billing)
    late.raw = b"" if partial is None else partial.body
    return late
