"""The protocol of a table's file, and the sink that libraries write to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Sink", "TableFile"]


class TableFile(Protocol):
    """A table that is written row by row."""

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write a row: a value for each column, by the columns' names."""

    def close(self) -> None:
        """Write the rest. Without it the file is not complete."""


class Sink:
    """A file object that passes bytes on to a function, for libraries that want to write to a file.

    It is never closed: the function's owner ends the file. (A class of ``io`` would close itself in the garbage
    collection, and a library's last write, after a failure, would be an error there.)

    Args:
        write: Takes the bytes.
    """

    closed = False

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._position = 0
        self._ended = False

    def write(self, data: Any) -> int:
        """Pass all bytes on, and return their number."""
        part = bytes(data)
        if not self._ended:
            try:
                self._write(part)
            except BaseException:
                self._ended = True
                raise
        self._position += len(part)
        return len(part)

    def end(self) -> None:
        """Drop all further bytes.

        A library that is left after a failure may still write its last bytes, when it is collected as garbage: to an
        output that is closed by then, or to another file that has got the number of its descriptor.
        """
        self._ended = True

    def tell(self) -> int:
        """Return the number of bytes so far."""
        return self._position

    def flush(self) -> None:
        """Do nothing: no byte is held back."""

    def close(self) -> None:
        """Do nothing: the file is not this object's."""
