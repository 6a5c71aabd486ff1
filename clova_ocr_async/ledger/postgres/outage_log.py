"""The log of the times in which a server is away: one warning at the beginning and one at the end of each.

Every part of a ledger meets the same outage, again and again: the lease, each answer, the end of each call.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from clova_ocr_async.ledger.postgres.errors import StoreAwayError

if TYPE_CHECKING:
    from clova_ocr_async.errors import ClovaOCRError

__all__ = ["OutageLog"]

logger = logging.getLogger("clova_ocr_async")


class OutageLog:
    """Logs the outages of one server; any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cause: str | None = None

    def warn(self, what: str, error: ClovaOCRError) -> None:
        """Log an error, with the outage that it may be part of.

        Args:
            what: What could not be done.
            error: Why.
        """
        if not isinstance(error, StoreAwayError):
            logger.warning("%s: %s", what, error)
            return
        with self._lock:
            is_first, self._cause = self._cause is None, self._cause or error.cause
        logger.debug("%s: %s", what, error)
        if is_first:
            logger.warning("%s; what it cannot take meanwhile is kept on this machine", error.cause)

    def end(self) -> None:
        """Log that the server can be used again, if it was away."""
        with self._lock:
            cause, self._cause = self._cause, None
        if cause is not None:
            logger.warning("the PostgreSQL server of the run can be used again")
