"""The end of all paying, once something could not be written down."""

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
    """Keeps requests from leaving after the first error that cost the ledger something, until it is opened anew.

    Args:
        halted: Called at each such error.

    Attributes:
        error: The first one; None while all is well.
    """

    def __init__(self, halted: Callable[[], object]) -> None:
        self.error: ClovaOCRError | None = None
        self._halted = halted
        self._logged: set[str] = set()

    def is_news(self, what: str) -> bool:
        """Whether something is to be logged, which is worth one line, and not one a call."""
        news = what not in self._logged
        self._logged.add(what)
        return news

    def note(self, error: ClovaOCRError) -> None:
        """Send nothing more, because of an error."""
        self.error = self.error or error
        self._halted()

    def check(self) -> None:
        """Raise the first error, if there is one."""
        if self.error is not None:
            raise copy.copy(self.error)  # of its own: a call notes in its error how far it came

    async def guard(self, order: Awaitable[T]) -> T:
        """Wait for something; if it fails by what every other order would meet as well, nothing more is sent."""
        try:
            return await order
        except LedgerError as error:
            if error.resumable:
                self.note(error)
            raise
