"""The replay of overflow files: their records are written into the ledger."""

from __future__ import annotations

import functools
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.ledger.overflow_file import packed_in, size_of
from clova_ocr_async.ledger.overflow_records import StrayAnswerError, decode_record
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from clova_ocr_async.ledger.overflow_records import OverflowRecord

__all__ = ["replay_records"]

logger = logging.getLogger("clova_ocr_async")


def replay_records(write: Callable[[OverflowRecord], object], paths: Iterable[Path]) -> dict[Path, int]:
    """Write the records of some files into the ledger, inside the caller's transaction.

    A file with an answer that is of none of the run's images is kept, and named in the log. Its other records are
    written, at each replay: to write one again changes nothing.

    Args:
        write: Writes a record; raises a StrayAnswerError for an answer that is of none of the run's images.
        paths: The files.

    Returns:
        For each file the bytes that were read, for ``delete_replayed`` once the transaction is committed.
    """
    replayed: dict[Path, int] = {}
    for path in paths:
        with suppress(FileNotFoundError):  # another process was quicker
            packed = packed_in(path)
            try:
                records = [decode_record(one) for one in packed]
            except msgspec.DecodeError:
                _log_other_version(path)
                continue
            if all([_written(write, record) for record in records]):  # noqa: C419 - to the last one
                replayed[path] = size_of(packed)
            else:
                _log_strays(path)
    return replayed


def _written(write: Callable[[OverflowRecord], object], record: OverflowRecord) -> bool:
    """Write a record; return False if it is an answer of none of the run's images."""
    try:
        write(record)
    except StrayAnswerError:
        return False
    return True


@functools.cache  # the file is found at every renewal of the lease, and one line is enough
def _log_other_version(path: Path) -> None:
    logger.error(
        "%s holds paid answers and was written by another version of this package; open the run with that version "
        "first",
        shown_path(str(path)),
    )


@functools.cache  # as above
def _log_strays(path: Path) -> None:
    logger.error(
        "%s holds paid answers of images that the run does not have under their numbers: the run was restored from a "
        "backup, or has lost its last writes. The file is kept; restore a newer backup, or move the file away",
        shown_path(str(path)),
    )
