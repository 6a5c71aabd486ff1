"""The part of each picture in a report: in the page, in the folder beside it, or the reason why it is not shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from urllib.parse import quote

from clova_ocr_async.errors import ConfigurationError, ImageError, RedactionError
from clova_ocr_async.host.archives import split_member_path
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.results.picture_files import copy_name, kept_hashes
from clova_ocr_async.results.report.page import picture, thumbnail
from clova_ocr_async.results.report.pictures import ShownPicture, picture_of, reason_without, shows_unread

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.results.report.budget import Budget
    from clova_ocr_async.results.report.reading import Reading
    from clova_ocr_async.results.report.rows import Place
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["Album", "PictureFolder", "Pictures", "Shown"]

Pictures = Literal["embed", "copy", "link", "none"]
"""The place of pictures in full size: in the page, copies or links in a folder beside it, or none."""


class PictureFolder(Protocol):
    """The folder of pictures beside a page."""

    @property
    def name(self) -> str:
        """Its name, beside the page."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Write a file that only its owner can read."""

    def link(self, name: str, target: str) -> None:
        """Make a link to a file."""


class Shown(NamedTuple):
    """The picture of a row.

    Attributes:
        keys: The keys of the row.
        thumbnail: The line of its thumbnail; empty if it has none.
        block: The text that embeds it; empty if it is not embedded.
        place: The place of polygons on it; None if the picture was not opened.
    """

    keys: dict[str, Any]
    thumbnail: str = ""
    block: str = ""
    place: Place | None = None


@dataclass(slots=True)
class Album:
    """The pictures of a report.

    Args:
        pictures: The place of pictures in full size.
        policy: How numbers are masked; None for as they are.
        budget: The room in the page.
        folder: The folder beside the page; needed for copies and links.
        words: As in ``row_of``.
        picture_of: Opens a picture.
    """

    pictures: Pictures
    policy: Policy | None
    budget: Budget
    folder: PictureFolder | None
    words: Callable[[str], str]
    picture_of: Callable[[Reading, Policy | None], ShownPicture] = field(
        default_factory=lambda: partial(picture_of, hashes=kept_hashes())  # one for all pages of a file
    )
    small: int = field(default=0, init=False)
    """Pictures whose thumbnail had no room in the page."""
    large: int = field(default=0, init=False)
    """Pictures that have no place in full size."""
    missing: str | None = field(default=None, init=False)
    """The error about a library that is not installed; None if all are there."""

    def show(self, reading: Reading, number: int) -> Shown:
        """Return the picture of a row.

        Args:
            reading: The record.
            number: The number of the row.
        """
        wanted = self.pictures != "none" or self.budget.has_thumbnail(number)
        there = reading.recognition is not None or shows_unread(reading, self.policy)
        if not (there and wanted) or self.missing is not None:
            self.small += there and not wanted
            return Shown({})
        try:
            return self._shown(self.picture_of(reading, self.policy), reading, number)
        except ConfigurationError as error:
            self.missing = str(error)
            return Shown({})
        except (ImageError, RedactionError) as error:
            return Shown({"no_picture": reason_without(error, reading, self.words)})

    def _shown(self, found: ShownPicture, reading: Reading, number: int) -> Shown:
        keys: dict[str, Any] = {}
        line = block = ""
        if self.budget.has_thumbnail(number):
            line = thumbnail(number, found.thumbnail())
            if not self.budget.takes(len(line)):
                line = ""
                self.small += 1
        if self.pictures == "embed":
            block = picture(number, found.embedded())
            if self.budget.takes(len(block)):
                keys["picture"] = "embedded"
            else:
                block = ""
                self.large += 1
        elif self.folder is not None:
            keys["picture"] = self._beside(found, reading, number, self.folder)
        return Shown(keys, line, block, found.place)

    def _beside(self, found: ShownPicture, reading: Reading, number: int, folder: PictureFolder) -> str:
        """Put a picture into the folder, and return its address."""
        path = reading.record.path or ""
        if self.pictures == "link" and (ending := _browsable(path, found.data)) is not None:
            name = copy_name(path, number + 1, ending)
            folder.link(name, str(Path(path).absolute()))
        else:
            data, ending = found.copy()
            # The name of the file may repeat a number of its picture.
            name = copy_name(reading.text(path), number + 1, ending)
            folder.write(name, data)
        return f"{quote(folder.name.encode('utf-8', 'surrogateescape'), safe='')}/{quote(name, safe='')}"


def _browsable(path: str, data: bytes) -> str | None:
    """Return the ending of a file that a browser shows as it is; None for all others, and for members of archives."""
    header = read_header(data)
    if header is None or split_member_path(path) is not None:
        return None
    return {"jpeg": "jpg", "png": "png", "webp": "webp"}.get(header.kind)
