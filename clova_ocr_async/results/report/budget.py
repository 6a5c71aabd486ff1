"""The room in the page: a browser opens 60 MB in two seconds, and a phone not much more at all."""

from __future__ import annotations

__all__ = ["MOST_DOCUMENTS", "Budget"]

MOST_DOCUMENTS = 10_000
"""The documents that have a thumbnail in a page, unless another number is given."""

_BYTES = 6_000  # of the page for each of these documents: 60 MB for as many as usual
_LEAST = 60_000_000
_FRAME = 4_000_000  # for the script, and for what is known of the run as a whole, such as its failed checks
_USUAL, _COUNTED_AS = 3_000, 50  # bytes of a row before any was written, and the number of rows it stands for
_BARE = 500  # bytes of a row without its values


class Budget:
    """The room in the page for thumbnails, pictures and values.

    Rows come before pictures: a thumbnail is taken only if all rows that are still to come have room.

    Args:
        documents: Most documents with a thumbnail. More than usual make a larger page.
        expected: The number of rows.
    """

    def __init__(self, documents: int, expected: int) -> None:
        self._documents = documents
        self._expected = expected
        self._most = max(_LEAST, documents * _BYTES) - _FRAME
        self._rows = 0
        self._row_bytes = 0
        self._other_bytes = 0

    def has_thumbnail(self, number: int) -> bool:
        """Return whether a row is one of those that have a thumbnail."""
        return number < self._documents

    def takes(self, size: int) -> bool:
        """Return whether a picture of so many bytes has room, and take the room."""
        each = (self._row_bytes + _USUAL * _COUNTED_AS) / (self._rows + _COUNTED_AS)
        if self._used + size + self._left * each > self._most:
            return False
        self._other_bytes += size
        return True

    def takes_values(self, size: int) -> bool:
        """Return whether a row of so many bytes has room with its values; a row without them always has."""
        return self._used + size + self._left * _BARE <= self._most

    def add_row(self, size: int) -> None:
        """Count a row."""
        self._rows += 1
        self._row_bytes += size

    @property
    def _used(self) -> int:
        return self._row_bytes + self._other_bytes

    @property
    def _left(self) -> int:
        return max(0, self._expected - self._rows)
