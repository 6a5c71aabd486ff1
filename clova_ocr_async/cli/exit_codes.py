"""Exit codes of the commands. All of them are decided here, by one function without side effects.

They are stable, and the same for every command. Nothing heavy is imported at the top, because the handlers of signals
need a code before anything else is loaded.
"""

from __future__ import annotations

import enum

__all__ = ["ExitCode", "exit_code"]


class ExitCode(enum.IntEnum):
    """The exit code of a command."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    CREDENTIALS = 3
    STOPPED = 4
    NO_INPUT = 5
    INTERRUPTED = 130  # 128 and the number of SIGINT, as shells report it


def exit_code(
    error: BaseException | None = None, *, interrupted: bool = False, found: bool = True, unread: bool = False
) -> ExitCode:
    """Decide the exit code of a command; the first reason that applies counts.

    Args:
        error: The error that ended the command or stopped its batch early.
        interrupted: Whether a signal asked the command to end, or its question was answered with no.
        found: Whether there was any image.
        unread: Whether images failed, were skipped or are ambiguous.
    """
    # Before all errors: calls that are cut off end with errors of their own, which are consequences.
    if interrupted or isinstance(error, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    if error is not None:
        return _code_of(error)
    if not found:
        return ExitCode.NO_INPUT
    return ExitCode.SOME_FAILED if unread else ExitCode.OK


def _code_of(error: BaseException) -> ExitCode:
    from clova_ocr_async import errors

    # An outage and a full disk pass, and then the same command goes on. The same classes of errors also end single
    # images, or mean a run or settings that cannot be used at all; those have the codes of the table.
    is_outage = isinstance(error, errors.TransportError | errors.ServerError) and error.stops_run
    is_unreachable = isinstance(error, errors.ConfigurationError) and error.retryable
    if is_outage or is_unreachable or (isinstance(error, errors.LedgerError) and error.resumable):
        return ExitCode.STOPPED
    table = (
        (errors.AuthenticationError, ExitCode.CREDENTIALS),
        (errors.QuotaExceededError, ExitCode.STOPPED),
        (errors.SpendingCeilingError, ExitCode.STOPPED),
        (errors.ConfigurationError, ExitCode.USAGE),
        (errors.LedgerError, ExitCode.USAGE),
        (errors.DomainError, ExitCode.USAGE),
    )
    return next((code for kind, code in table if isinstance(error, kind)), ExitCode.SOME_FAILED)
