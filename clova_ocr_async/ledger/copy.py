"""A copy of a whole run from one store to another, compared with the original before it appears.

After that, only the copy may be worked on: both would pay for the images that neither has read. So the original is
marked as moved, before the copy appears. If the copy cannot appear, as the machine fails just then, the same command
makes it again. A run that is copied back replaces the one that was marked.

Results that this host keeps in overflow files must be in the run first. Those of other hosts cannot be seen from here:
their calls are ambiguous in the copy, so a batch is to be run there before.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.run_rows import AnswerRow, CorrectionRow, ItemRow, SettingsRow, SourceRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clova_ocr_async.ledger.run_rows import Row, RunRows

__all__ = ["CopyResult", "compare_runs", "copy_run"]

_KINDS: dict[type[Row], str] = {
    SettingsRow: "settings",
    ItemRow: "items",
    AnswerRow: "answers",
    SourceRow: "names",
    CorrectionRow: "corrections",
}


@dataclass(frozen=True, slots=True)
class CopyResult:
    """The result of a copy, which has the same rows as the original.

    Attributes:
        source: The place of the original.
        target: The place of the copy.
        items: Number of different images.
        answers: Number of stored answers, two of one image included.
        names: Number of names of images.
        corrections: Number of corrections.
        digest: SHA-256 over all rows, in hex; the same for both.
    """

    source: str
    target: str
    items: int
    answers: int
    names: int
    corrections: int
    digest: str


@dataclass(slots=True)
class _Kind:
    count: int = 0
    hash: Any = field(default_factory=hashlib.sha256)


class _Content:
    """The rows of a run, as the number and the digest of each kind."""

    def __init__(self) -> None:
        self._kinds = {name: _Kind() for name in _KINDS.values()}
        self._encoder = msgspec.msgpack.Encoder()

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Yield rows, and count them."""
        for row in rows:
            kind = self._kinds[_KINDS[type(row)]]
            kind.count += 1
            kind.hash.update(self._encoder.encode(row))
            yield row

    def count(self, name: str) -> int:
        """Return the number of rows of a kind."""
        return self._kinds[name].count

    def digest(self) -> str:
        """Return the digest of all rows."""
        return hashlib.sha256(b"".join(kind.hash.digest() for kind in self._kinds.values())).hexdigest()

    def differences(self, other: _Content) -> tuple[str, ...]:
        """Return the kinds of rows of which two runs have others."""
        return tuple(
            name
            for name, kind in self._kinds.items()
            if (kind.count, kind.hash.digest()) != (other._kinds[name].count, other._kinds[name].hash.digest())
        )


def _content_of(rows: Iterable[Row]) -> _Content:
    content = _Content()
    for _ in content.counted(rows):
        pass
    return content


def copy_run(source: RunRows, target: RunRows) -> CopyResult:
    """Copy a run to a place where there is none, and mark the original as moved.

    Args:
        source: The original.
        target: The place of the copy. There is no run, or one that was moved to the source: that one is replaced.

    Raises:
        LedgerError: A process has the original open, or results of it wait in an overflow file; there is another run;
            or a store cannot be used. Then there is no copy.
    """
    if source.place == target.place:
        raise LedgerError(f"{source.place} is both the run and the place of its copy; choose another place")
    with source.exporting(target.place) as original, target.importing(source.place) as copy:
        content = _Content()
        copy.write(content.counted(original.rows()))
        if different := content.differences(_content_of(copy.rows())):
            raise LedgerError(
                f"the copy has other {' and '.join(different)} than {source.place}, so it was removed; nothing else "
                "has changed"
            )
        # First, so that at no moment two runs can be worked on.
        original.mark_moved(target.place)
        copy.publish()
    counts = {name: content.count(name) for name in ("items", "answers", "names", "corrections")}
    return CopyResult(source.place, target.place, **counts, digest=content.digest())


def compare_runs(one: RunRows, other: RunRows) -> tuple[str, ...]:
    """Return the kinds of rows in which two runs differ; none if they have the same content.

    Raises:
        LedgerError: One of them cannot be read.
    """
    with one.reading() as its_rows, other.reading() as other_rows:
        return _content_of(its_rows).differences(_content_of(other_rows))
