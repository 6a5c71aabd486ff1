"""The stop of all payments after an error of the ledger."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, TypeVar

from clova_ocr_async.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.errors import ClovaOCRError

__all__ = ["PaymentStop"]

T = TypeVar("T")


class PaymentStop:
    """A switch that keeps requests from leaving after the first error, until the ledger is opened anew.

    Args:
        on_stop: Called at each such error.

    Attributes:
        error: The first one; None while payments are allowed.
    """

    def __init__(self, on_stop: Callable[[], object]) -> None:
        self.error: ClovaOCRError | None = None
        self._on_stop = on_stop
        self._logged: set[str] = set()

    def is_first(self, event: str) -> bool:
        """Return whether an event was not seen before: it is logged once, not for every call."""
        first = event not in self._logged
        self._logged.add(event)
        return first

    def stop(self, error: ClovaOCRError) -> None:
        """Send nothing more, because of an error."""
        self.error = self.error or error
        self._on_stop()

    def check(self) -> None:
        """Raise the first error, if there is one."""
        if self.error is not None:
            raise copy.copy(self.error)  # a call notes its own attempts in its error

    async def guard(self, job: Awaitable[T]) -> T:
        """Wait for a job; if it fails in a way that every other job would, stop."""
        try:
            return await job
        except LedgerError as error:
            if error.resumable:
                self.stop(error)
            raise
