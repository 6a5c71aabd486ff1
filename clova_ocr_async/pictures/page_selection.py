"""The pages that are wanted of files of several pages: "all", or numbers and ranges such as "1-3,7". Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PageSelection"]

_ALL = "all"
_ADVICE = f'write "{_ALL}", or numbers and ranges such as "1-3,7"'
_PIECE = re.compile(r"([0-9]{1,9})(?:\s*-\s*([0-9]{1,9}))?")


@dataclass(frozen=True, slots=True)
class PageSelection:
    """The wanted pages of each file; in the order of the file, and each once.

    Args:
        ranges: First and last page of each range, from 1; ascending, and apart from each other. None for all pages.
    """

    ranges: tuple[tuple[int, int], ...] | None = None

    @classmethod
    def parse(cls, text: str | PageSelection) -> PageSelection:
        """Parse a text such as "all" or "1-3,7".

        Args:
            text: "all" in any case, or page numbers and ranges with commas between them, in any order. A selection is
                returned as it is.

        Raises:
            ConfigurationError: A piece of the text is neither a page number nor a range, and the message names it.
        """
        if isinstance(text, PageSelection):
            return text
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
            raise ConfigurationError(f"pages is {shown(text)}; {_ADVICE}")
        if text.strip().lower() == _ALL:
            return cls()
        return cls(_merged([_range(piece.strip()) for piece in text.split(",")]))

    def numbers(self, count: int) -> Iterator[int]:
        """Yield the wanted pages of a file, ascending; pages that the file does not have are left out.

        Args:
            count: The number of pages that the file has.
        """
        for first, last in ((1, count),) if self.ranges is None else self.ranges:
            yield from range(first, min(last, count) + 1)

    def __str__(self) -> str:
        if self.ranges is None:
            return _ALL
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.ranges)


def _range(piece: str) -> tuple[int, int]:
    match = _PIECE.fullmatch(piece)
    if match is None:
        what = f"{quoted(piece)} is neither a page nor a range of pages" if piece else "a page is missing at a comma"
        raise ConfigurationError(f"pages: {what}; {_ADVICE}")
    first, last = int(match[1]), int(match[2] or match[1])
    if first < 1:
        raise ConfigurationError(f"pages: {quoted(piece)} begins with page 0, and the first page is 1; {_ADVICE}")
    if last < first:
        raise ConfigurationError(f"pages: the range {quoted(piece)} ends before it begins; write {last}-{first}")
    return first, last


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Sort ranges, and join those that overlap or touch."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)
