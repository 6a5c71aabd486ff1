"""The images of a run that were not read, as a file beside its ledger that another run can read from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.cli.terminal.files import replaced
from clova_ocr_async.results.records import record_of, without_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.ledger.sqlite.run_view import RunReader

__all__ = ["FAILURES", "write_failures"]

FAILURES = "failures.jsonl"
"""Name of the file in a run directory."""


def write_failures(folder: str, reader: RunReader, watch: Callable[[str], object] | None = None) -> Path | None:
    """Write a record for every image that failed, is in doubt, or was skipped; without what was answered.

    Args:
        folder: The run directory.
        reader: Looks into it.
        watch: As ``replace_file`` takes it.

    Returns:
        The file; None if there are no such images, and then there is none.

    Raises:
        OutputError: It cannot be written.
    """
    path = Path(folder) / FAILURES
    sealed = reader.status().sealed is not None
    records = (record for record in reader.records(unread=True) if record.path is not None)
    if (first := next(records, None)) is None:
        path.unlink(missing_ok=True)
        return None
    with replaced(path, watch) as write:
        write(msgspec.json.encode(without_answer(record_of(first), sealed=sealed)) + b"\n")
        for record in records:
            write(msgspec.json.encode(without_answer(record_of(record), sealed=sealed)) + b"\n")
    return path
