from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from clova_ocr_async import errors
from clova_ocr_async.cli.exit_codes import ExitCode, exit_code
from clova_ocr_async.errors import (
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    DiskFullError,
    LedgerError,
    ServerError,
    SpendingCeilingError,
)

if TYPE_CHECKING:
    from collections.abc import Generator


def all_errors() -> Generator[ClovaOCRError]:
    """Yield one of every error."""
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, ClovaOCRError):
            yield kind(400) if issubclass(kind, errors.APIError) else kind("what happened")


@pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: type(error).__name__)
def test_every_error_has_an_exit_code(error: ClovaOCRError) -> None:
    """No error can end a command without an exit code that is neither 0 nor 'no input'."""
    assert exit_code(error) not in {ExitCode.OK, ExitCode.NO_INPUT, ExitCode.INTERRUPTED}


def test_an_outage_and_a_full_disk_are_resumable() -> None:
    """Errors that end a run and that pass with time have the exit code of a stop; one image's own have not."""
    down, failing = ConnectionFailedError("refused"), ServerError(503)
    assert [exit_code(error) for error in (down, failing)] == [ExitCode.SOME_FAILED] * 2
    down.stops_run = failing.stops_run = True
    stops = (down, failing, DiskFullError("full"), SpendingCeilingError("reached"))
    assert [exit_code(error) for error in stops] == [ExitCode.STOPPED] * 4
    assert exit_code(LedgerError("of another key")) is ExitCode.USAGE
    assert exit_code(ConfigurationError("no server of slots", retryable=True)) is ExitCode.STOPPED
    assert exit_code(ConfigurationError("no domain")) is ExitCode.USAGE


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, ExitCode.OK),
        ({"unread": True}, ExitCode.SOME_FAILED),
        ({"found": False}, ExitCode.NO_INPUT),
        ({"error": OSError(28, "No space left on device")}, ExitCode.SOME_FAILED),
        ({"error": errors.AuthenticationError(401), "unread": True}, ExitCode.CREDENTIALS),
        ({"error": errors.QuotaExceededError(429), "found": False}, ExitCode.STOPPED),
        ({"error": KeyboardInterrupt()}, ExitCode.INTERRUPTED),
        ({"error": errors.QuotaExceededError(429), "interrupted": True}, ExitCode.INTERRUPTED),
    ],
)
def test_the_first_reason_that_applies_decides(facts: dict[str, Any], code: ExitCode) -> None:
    """An interrupt decides before an error, an error before missing images, and those before unread ones."""
    assert exit_code(**facts) is code
