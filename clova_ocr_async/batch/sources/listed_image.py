"""An image as a list or a walk names it: more than a path where a page, a document or columns go with it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from clova_ocr_async.pictures.page import Page

__all__ = ["FoundImage", "ListedImage"]


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image of a list.

    Attributes:
        path: The file.
        page: The page of the file, from 1; None for the whole file.
        document: The vendor's path word of the document that the list asks for; None if it asks for none.
        columns: The list's own columns as a JSON object; empty if it has none.
        from_record: Whether it is a record of an earlier command, so that its document is only the one of then.
    """

    path: str
    page: int | None = None
    document: str | None = None
    columns: bytes = field(default=b"", repr=False)
    from_record: bool = False

    @property
    def source(self) -> Path | Page:
        """The image as the client takes it."""
        path = Path(self.path)
        return path if self.page is None else Page(path, self.page)


FoundImage: TypeAlias = os.DirEntry[str] | str | ListedImage
"""An image as a search finds it: an entry of a folder, a path, or an image of a list."""
