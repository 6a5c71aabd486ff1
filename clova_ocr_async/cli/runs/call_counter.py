"""Counter of a command's calls, fed by the events of the client."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from clova_ocr_async.client.hooks import AttemptFinished, AttemptStarted, CallFinished
from clova_ocr_async.errors import Billing, ClovaOCRError

if TYPE_CHECKING:
    from clova_ocr_async.client.hooks import Event

__all__ = ["CallCounter"]

logger = logging.getLogger("clova_ocr_async")


class CallCounter:
    """Counts the calls of a client; its ``note`` is one of the client's hooks.

    Attributes:
        billed: Calls that were billed.
        maybe_billed: Requests that may have been billed and have no answer.
        in_flight: Requests whose answer has not arrived.
        cut_off: RequestIds of the calls that were cancelled and may have been billed.
    """

    def __init__(self) -> None:
        self.billed = 0
        self.maybe_billed = 0
        self.in_flight = 0
        self.cut_off: set[str] = set()

    def note(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, AttemptStarted):
            self.in_flight += 1
        elif isinstance(event, AttemptFinished):
            self.in_flight -= 1
            # Request by request: one call may leave several behind whose bill is not known.
            if event.billing is Billing.MAYBE_BILLED:
                self.maybe_billed += 1
            _log(event)
        elif isinstance(event, CallFinished):
            self.billed += event.billing is Billing.BILLED
            # Every other error carries its own billing, and reaches the consumer of the outcomes.
            cancelled = event.error is not None and not isinstance(event.error, ClovaOCRError)
            if cancelled and event.billing is not Billing.NOT_BILLED:
                self.cut_off.add(event.request_id)


def _log(event: AttemptFinished) -> None:
    end = "read" if event.error is None else repr(event.error)
    attempt = event.attempt
    logger.debug("call %s, request %d: %.2f s, %s", attempt.request_id, attempt.number, event.elapsed, end)
