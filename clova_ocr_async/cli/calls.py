"""The calls of a command, counted as they end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from clova_ocr_async.client.hooks import AttemptFinished, AttemptStarted, CallFinished
from clova_ocr_async.errors import Billing, ClovaOCRError

if TYPE_CHECKING:
    from clova_ocr_async.client.hooks import Event

__all__ = ["CallCounter", "log_attempt"]

logger = logging.getLogger("clova_ocr_async")


class CallCounter:
    """Counts the calls of a client; its ``note`` is one of the client's hooks.

    Attributes:
        billed: Calls that were paid.
        perhaps: Requests that may have been paid, and nobody knows.
        under_way: Requests whose answer is awaited.
    """

    def __init__(self) -> None:
        self.billed = 0
        self.perhaps = 0
        self.under_way = 0

    def note(self, event: Event) -> None:
        """Count what an event tells."""
        if isinstance(event, AttemptStarted):
            self.under_way += 1
        elif isinstance(event, AttemptFinished):
            self.under_way -= 1
            if isinstance(event.error, ClovaOCRError):
                self.perhaps += event.error.billing is Billing.MAYBE_BILLED
            log_attempt(event)
        elif isinstance(event, CallFinished):
            self.billed += event.billing is Billing.BILLED
            cut_off = event.error is not None and not isinstance(event.error, ClovaOCRError)
            self.perhaps += cut_off and event.billing is Billing.MAYBE_BILLED


def log_attempt(event: AttemptFinished) -> None:
    """Log how a request ended."""
    ended = "read" if event.error is None else repr(event.error)
    attempt = event.attempt
    logger.debug("call %s, request %d: %.2f s, %s", attempt.request_id, attempt.number, event.elapsed, ended)
