"""The end of a batch: its states, and the rules by which it passes from one to the next.

    PULLING ──▶ DRAINING ──▶ STOPPED ──▶ CUT_OFF

A batch only moves to the right, and may skip states. The switch does no I/O and wakes nothing by itself: the parts of a
batch subscribe to it, and ask it before they pull or send.
"""

from __future__ import annotations

import asyncio
import logging
from enum import IntEnum
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ClovaOCRError, NotSentError
from clova_ocr_async.host.interrupts import deferred_interrupts

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["StopState", "StopSwitch"]

# A logger of its own: the command line drops these records, since its summary repeats them.
logger = logging.getLogger("clova_ocr_async.batch.outcome")


class StopState(IntEnum):
    """The states of a batch, from its begin to its end."""

    PULLING = 0
    """Images are pulled and sent."""
    DRAINING = 1
    """No further image is pulled; those that were pulled are sent."""
    STOPPED = 2
    """No further request is sent; the calls in flight finish."""
    CUT_OFF = 3
    """The calls in flight are cancelled."""


class StopSwitch:
    """The state of one batch, shared by all its parts.

    Attributes:
        state: The state.
        reason: The first error that stopped the batch; None if it was not stopped by one.
        failure: The first exception of the caller's own code, such as the iterable of images; None if there is none.
    """

    def __init__(self) -> None:
        self.state = StopState.PULLING
        self.reason: ClovaOCRError | None = None
        self.failure: Exception | None = None
        self._requested = False
        self._subscribers: list[Callable[[StopState], object]] = []

    def subscribe(self, subscriber: Callable[[StopState], object]) -> None:
        """Call a function with the new state at each change."""
        self._subscribers.append(subscriber)

    def end_input(self) -> None:
        """Note that the iterable has no further image."""
        self._move_to(StopState.DRAINING)

    def fail(self, error: Exception) -> None:
        """Pull no more images, and keep an exception that the batch raises at its end."""
        self.failure = self.failure or error
        self._move_to(StopState.DRAINING)

    def stop(self, reason: ClovaOCRError) -> None:
        """Send no other request, at the request of the caller."""
        self._requested = True
        self._stop(reason)

    def note_error(self, error: ClovaOCRError) -> ClovaOCRError:
        """Stop the batch by an error that every other image would meet.

        Returns:
            The error of the image that met it: NotSentError if the batch had been stopped before anything was sent.
        """
        if not error.stops_run:
            return error
        # Logged once: all calls in flight meet the same error, and would repeat it.
        if self.reason is None:
            self._stop(error)
            logger.warning("the batch stops pulling images: %s", error)
            return error
        # An image for which a request was sent keeps its own error, which holds what it may have cost.
        return error if error.attempts else self.unsent()

    def leave(self, *, waits: bool, cancelled: bool) -> bool:
        """Stop the batch because its caller leaves it; return whether the calls in flight are waited for.

        Args:
            waits: Whether calls in flight are waited for, as they are with a ledger.
            cancelled: Whether a cancellation makes the caller leave. After ``stop`` it is the second request to end,
                and the calls in flight are not waited for.
        """
        # Without a ledger an answer that arrives later is recorded nowhere, and waiting for it would be in vain.
        self._move_to(StopState.STOPPED if waits and not (cancelled and self._requested) else StopState.CUT_OFF)
        return self.state is not StopState.CUT_OFF

    def cut_off(self) -> None:
        """Have the calls in flight cancelled."""
        self._move_to(StopState.CUT_OFF)

    def _stop(self, reason: ClovaOCRError) -> None:
        self.reason = self.reason or reason  # later errors are mostly consequences of the first
        self._move_to(StopState.STOPPED)

    def _move_to(self, state: StopState) -> None:
        if state > self.state:  # never back: an input that ends after a cut-off changes nothing
            with deferred_interrupts():  # a second Ctrl-C must find all parts of the batch told, or none
                self.state = state
                for subscriber in self._subscribers:
                    subscriber(state)

    @property
    def sends_nothing(self) -> bool:
        """True if no further request may be sent."""
        return self.state >= StopState.STOPPED

    def check_may_send(self) -> None:
        """Raise what keeps a request from being sent.

        Raises:
            NotSentError: The batch is stopped.
            CancelledError: It is cut off.
        """
        if self.state is StopState.CUT_OFF:
            # A call that waits inside of the ledger, shielded from its task's cancellation, must end as well.
            raise asyncio.CancelledError
        if self.state is StopState.STOPPED:
            raise self.unsent()

    def unsent(self) -> NotSentError:
        """Return the error of an image that was not sent."""
        return NotSentError(self.reason)
