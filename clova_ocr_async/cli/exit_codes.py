"""Exit codes: stable, and the same for every verb."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from clova_ocr_async.errors import (
    AuthenticationError,
    ClovaOCRError,
    ConfigurationError,
    DomainError,
    LedgerError,
    QuotaExceededError,
    ServerError,
    SpendingCeilingError,
    TransportError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ExitCode", "exit_code_of"]


class ExitCode(enum.IntEnum):
    """How a command ended."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    CREDENTIALS = 3
    STOPPED = 4
    NO_INPUT = 5
    INTERRUPTED = 130


_BY_ERROR: Sequence[tuple[type[ClovaOCRError], ExitCode]] = (
    (AuthenticationError, ExitCode.CREDENTIALS),
    (QuotaExceededError, ExitCode.STOPPED),
    (SpendingCeilingError, ExitCode.STOPPED),
    (ConfigurationError, ExitCode.USAGE),
    (LedgerError, ExitCode.USAGE),
    (DomainError, ExitCode.USAGE),
    (ClovaOCRError, ExitCode.SOME_FAILED),
)


def exit_code_of(error: ClovaOCRError) -> ExitCode:
    """Return the exit code of a command that an error ended."""
    if error.stops_run and isinstance(error, TransportError | ServerError):  # nobody answers any more
        return ExitCode.STOPPED
    if isinstance(error, LedgerError) and error.resumable:
        return ExitCode.STOPPED
    return next(code for kind, code in _BY_ERROR if isinstance(error, kind))
