"""The columns of their own that lists give images: one set for each image, as its records have room for one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sources.manifest_lines import place
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from clova_ocr_async.batch.sources.listed_image import ListedImage

__all__ = ["OwnColumns"]


class OwnColumns:
    """The columns of the images of one command, which may have several lists."""

    def __init__(self) -> None:
        # Hashes in place of paths and columns, of which there may be a million.
        self._given: dict[int, tuple[int, str, int]] = {}

    def add(self, image: ListedImage, list_name: str, number: int) -> None:
        """Note the columns of an image. One without columns takes those of another line, so there is nothing to note.

        Args:
            image: The image.
            list_name: The path of its list.
            number: The number of its line.

        Raises:
            ConfigurationError: An earlier line has given it other columns. The message repeats no cell.
        """
        if not image.columns:
            return
        key = hash((os.path.abspath(image.path), image.page, image.document))  # noqa: PTH100 - links are other images
        columns = hash(image.columns)
        first, first_list, first_number = self._given.setdefault(key, (columns, list_name, number))
        if first != columns:
            raise ConfigurationError(
                f"{place(first_list, first_number)}, has the same image with other columns; its record takes those of "
                "one line: make the columns equal, or leave a line out"
            )
