"""One page of a file of several, as an image to recognize."""

from __future__ import annotations

import os
from dataclasses import dataclass

from clova_ocr_async.arguments import require_whole_number
from clova_ocr_async.errors import ConfigurationError

__all__ = ["Page"]

_BYTES = (bytes, bytearray, memoryview)


@dataclass(frozen=True, slots=True, repr=False)
class Page:
    """One page of a PDF or TIFF file. ``str`` gives "scan.pdf#3".

    Examples:
        >>> recognition = await client.recognize(Page("scan.pdf", 2), Receipt)

    Args:
        path: The file.
        number: The page, from 1.

    Raises:
        ConfigurationError: The path is not a path, or the number is not a whole number from 1.
    """

    path: str | os.PathLike[str]
    number: int

    def __post_init__(self) -> None:
        path: object = self.path  # callers are not all typed
        if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
            kind = type(path).__name__
            advice = "; for bytes, write them to a file first" if isinstance(path, _BYTES) else ""
            raise ConfigurationError(f"Page.path is a {kind}; it must be the path of a file{advice}")
        require_whole_number("Page.number", self.number, advice="the first page is 1")

    def __str__(self) -> str:
        return f"{os.fsdecode(self.path)}#{self.number}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({os.fsdecode(self.path)!r}, {self.number})"
