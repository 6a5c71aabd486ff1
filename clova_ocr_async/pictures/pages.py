"""Files of several pages, taken apart: their pages are named, counted, and cut out one by one."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clova_ocr_async.arguments import require_whole_number
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.extras import load_module
from clova_ocr_async.host.plural import plural
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.page_selection import PageSelection
from clova_ocr_async.pictures.paged_file import PagedFile
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.image import Image, ImageFormat, ImageLimits, check_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clova_ocr_async.pictures.preparation import Preparation

__all__ = ["count_pages", "cut_page", "pages_in", "require_pages"]

logger = logging.getLogger("clova_ocr_async")


def pages_in(path: str | os.PathLike[str], pages: str | PageSelection = "all") -> Iterator[Path | Page]:
    """Yield the pages of a PDF or TIFF file, as images to recognize. A page is cut out when it is its turn to be sent.

    A file of one page is yielded whole, as its path, and so is a file of another format. So is one that cannot be split
    (encrypted, broken); it is refused when it is read. Blocking: the file is opened at the first page.

    Args:
        path: The file.
        pages: "all", or numbers and ranges such as "1-3,7". Pages that the file does not have are left out; if none is
            left, a warning names the file.

    Raises:
        ConfigurationError: ``path`` is not a path, ``pages`` is not such a text, or the extra ``pictures`` is not
            installed.
    """
    if not isinstance(path, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
        raise ConfigurationError(f"pages_in: path is a {type(path).__name__}; it must be the path of a file")
    return _pages_in(Path(os.fsdecode(path)), PageSelection.parse(pages))


def _pages_in(path: Path, selection: PageSelection) -> Iterator[Path | Page]:
    count = count_pages(path)
    if count is None:  # refused when it is read, with a message of its own and without an end of the whole walk
        yield path
        return
    numbers = selection.numbers(count)
    first = next(numbers, None)
    if first is None:
        logger.warning(
            "%s: none of the pages %s is there, as the file has %s; nothing of it is read",
            shown_path(str(path)),
            selection,
            plural(count, "page"),
        )
    elif count == 1:
        yield path
    else:
        yield Page(path, first)
        yield from (Page(path, number) for number in numbers)


def count_pages(file: str | os.PathLike[str] | bytes) -> int | None:
    """Count the pages that can be cut out of a file. Blocking.

    Args:
        file: The path of the file, or its bytes.

    Returns:
        The number of pages, 1 for a file that is neither a PDF nor a TIFF; None if the file cannot be split.

    Raises:
        ConfigurationError: The file is a PDF, and the extra ``pictures`` is not installed.
    """
    try:
        return require_pages(file)
    except ImageError:
        return None


def require_pages(file: str | os.PathLike[str] | bytes, *, name: str = "the image") -> int:
    """Count the pages of a file as ``count_pages`` does, or raise why it cannot be split.

    Args:
        file: The path of the file, or its bytes.
        name: The name of bytes in messages.

    Raises:
        ImageError: The file cannot be read, or is encrypted, broken or empty.
        ConfigurationError: The file is a PDF, and the extra ``pictures`` is not installed.
    """
    found = PagedFile.of(file, name)
    format_ = _format_of(found)
    return 1 if format_ is None else int(_module_of(format_).count_pages(found))


def cut_page(
    file: str | os.PathLike[str] | bytes,
    number: int,
    *,
    max_bytes: int | None,
    preparation: Preparation | None,
    name: str = "the image",
) -> tuple[bytes, Picture]:
    """Return one page of a file as a file of its own, and how it was made. Blocking, and safe in several threads.

    The file stays open for some seconds, so that its next page is cut at once. A page of a PDF becomes a PDF, or a
    JPEG where the page as a PDF would be wasteful or too large, or if ``preparation.render`` asks for it. A page of a
    TIFF becomes a TIFF, or where that cannot be, a PNG or JPEG. The only page of a file is the file, byte for byte.

    Args:
        file: The path of the file, or its bytes.
        number: The page, from 1.
        max_bytes: The largest file that may be sent; None for no limit.
        preparation: The settings of pages that are rendered; None for the default ones.
        name: The name of bytes in messages.

    Raises:
        ImageError: The file cannot be read, is encrypted, broken or empty, has no such page, or the page cannot be made
            small enough.
        ConfigurationError: ``number`` is not a whole number from 1, or the extra ``pictures`` is not installed.
    """
    require_whole_number("number", number, advice="the first page is 1")
    found = PagedFile.of(file, name)
    format_ = _format_of(found)
    if format_ is not None:
        result: tuple[bytes, Picture] = _module_of(format_).cut_page(
            found, number, max_bytes=max_bytes, preparation=preparation
        )
        return result
    if number > 1:
        raise ImageError(
            f"{found.name} is neither a PDF nor a TIFF, so it has no page {number:,}; give the file itself"
        )
    check_size(found.size, found.name, ImageLimits(max_bytes=max_bytes))
    return found.read(), Picture()


def _format_of(file: PagedFile) -> ImageFormat | None:
    """Return the format of a file of pages; None for any other file."""
    # By the first bytes: a file of several pages with a wrong ending must not be sent, and refused, whole.
    try:
        found = Image(file.head).format
    except ImageError:
        return None
    return found if found in _MODULES else None


_MODULES = {ImageFormat.PDF: "pdf", ImageFormat.TIFF: "tiff"}


def _module_of(format_: ImageFormat) -> Any:
    name = _MODULES[format_]
    return load_module(f"clova_ocr_async.pictures.{name}", f"a page of a {name}")
