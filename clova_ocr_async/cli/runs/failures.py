"""File of the images of a run that were not read; it lies beside the ledger, and another run can read from it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from clova_ocr_async.cli.terminal.output import atomic_write
from clova_ocr_async.cli.terminal.shell_hints import record_for_shell
from clova_ocr_async.results.records import encode_record, record_of, without_answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.ledger.storage import RunView

__all__ = ["FAILURES", "write_failures"]

FAILURES = "failures.jsonl"
"""The file's name in a run directory."""


def write_failures(folder: Path, reader: RunView, watch: Callable[[str], object] | None = None) -> Path | None:
    """Write a record, without its answer, for every image that failed, was skipped or is ambiguous.

    Args:
        folder: The run directory.
        reader: Reads the run.
        watch: As in ``replace_file``.

    Returns:
        The file's path; None if there are no such images, and then there is no file.

    Raises:
        OutputError: The file cannot be written.
    """
    path = folder / FAILURES
    # The file lies beside the ledger, readable: what the ledger seals must not be in it.
    sealed = reader.status().sealed is not None
    records = (record for record in reader.records(unread=True) if record.path is not None)
    if (first := next(records, None)) is None:
        path.unlink(missing_ok=True)  # one of an earlier command would name images that were read since
        return None
    # Whole or not at all: images that a broken-off list leaves out would not be retried.
    with atomic_write(path, watch) as write:
        for record in itertools.chain((first,), records):
            write(encode_record(record_for_shell(without_answer(record_of(record), sealed=sealed))))
    return path
