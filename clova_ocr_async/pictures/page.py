"""One page of a file of several, as an image to recognize."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Page"]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a PDF or TIFF file.

    Args:
        path: The file.
        number: The page, from 1.
    """

    path: str | os.PathLike[str]
    number: int

    def __str__(self) -> str:
        return f"{os.fsdecode(self.path)}#{self.number}"
