"""The pictures of a folder or of a zip archive."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, overload

from clova_ocr_async.batch.sources.archives import members_in
from clova_ocr_async.batch.sources.exclusions import (
    PICTURE_SUFFIXES,
    Exclusions,
    is_hidden,
    is_system_folder,
    may_be_picture,
    suffix_of,
)
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.archives import is_archive_name
from clova_ocr_async.host.files import open_to_read
from clova_ocr_async.pictures.page_selection import PageSelection
from clova_ocr_async.pictures.pages import pages_in
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.picture_signatures import SIGNATURE_BYTES, is_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clova_ocr_async.pictures.page import Page

__all__ = ["begins_like_picture", "entries_in", "images_in"]

logger = logging.getLogger("clova_ocr_async")


@overload
def images_in(folder: str | os.PathLike[str], recursive: bool = True, pages: None = None) -> Iterator[Path]: ...  # noqa: FBT001, FBT002 - as below


@overload
def images_in(folder: str | os.PathLike[str], recursive: bool = True, *, pages: str) -> Iterator[Path | Page]: ...  # noqa: FBT001, FBT002 - as below


@overload
def images_in(folder: str | os.PathLike[str], recursive: bool, pages: str) -> Iterator[Path | Page]: ...  # noqa: FBT001 - as below


def images_in(
    folder: str | os.PathLike[str],
    recursive: bool = True,  # noqa: FBT001, FBT002 - part of the contract
    pages: str | None = None,
) -> Iterator[Path] | Iterator[Path | Page]:
    """Yield the pictures of a folder or of a zip archive, as they are found, without holding the list.

    A picture is a file with one of some endings, in any case; formats that the service does not take are yielded as
    well, so that each is refused by name. A file without an ending, or with an unknown one, is a picture if its first
    bytes are those of one. Left out are hidden entries, symbolic links, zip archives, and the folders in which systems
    keep thumbnails, deleted files and snapshots (``@eaDir``, ``#recycle``, ``$RECYCLE.BIN``, ``__MACOSX`` …). At its
    end the walk logs the number of those files. A folder or archive that is left out is read if it is given itself as
    ``folder``. The path of a hidden file or of a symbolic link is read as an image of its own.

    The pictures of an archive are read in place, as ``a.zip!/sub/x.jpg``; nothing is unpacked to the disk.

    Args:
        folder: The folder, or the archive.
        recursive: Also its sub-folders.
        pages: Which pages of a file of several to yield, each as a ``Page``: "all", or numbers as in "1-3,7". None
            yields each file whole.

    Raises:
        ConfigurationError: It is neither a folder nor a zip archive, or cannot be read; or ``pages`` names no pages.
    """
    root = os.fsdecode(folder)
    exclusions = Exclusions()
    found: Iterator[str]
    if is_archive_name(root) and os.path.isfile(root):  # noqa: PTH113 - a Path raises where a name is too long
        found = members_in(root, recursive, exclusions)
    else:
        found = (entry.path for entry in entries_in(root, recursive, exclusions))
    return _logged(root, _paged(found, pages), exclusions)


def _paged(paths: Iterable[str], pages: str | None) -> Iterator[Path | Page]:
    """Yield files, or the pages of those that have several."""
    if pages is None:
        return map(Path, paths)
    PageSelection.parse(pages)  # here, so that a mistake is refused by the call and not by the first pull
    return (image for path in paths for image in pages_in(path, pages))


def _logged(folder: str, pictures: Iterator[Path | Page], exclusions: Exclusions) -> Iterator[Path | Page]:
    yield from pictures
    if inclusions := exclusions.inclusions():
        logger.info("%s: %s", folder, inclusions)
    if summary := exclusions.summary():
        # A warning only if pictures may be missing: other files lie in every folder of scans.
        unseen = exclusions.pictures.total() or exclusions.archives or exclusions.members
        logger.log(logging.WARNING if unseen else logging.INFO, "%s: %s", folder, summary)


def entries_in(
    folder: str | os.PathLike[str],
    recursive: bool = True,  # noqa: FBT001, FBT002 - as images_in has it
    exclusions: Exclusions | None = None,
) -> Iterator[os.DirEntry[str]]:
    """Yield the pictures of a folder as ``images_in`` does, as entries that are cheap to make and to ``stat``.

    Args:
        folder: The folder.
        recursive: Also its sub-folders.
        exclusions: Counts the files that are left out.

    Raises:
        ConfigurationError: It is not a folder, or cannot be read.
    """
    root = os.fsdecode(folder)
    try:  # here, so that a wrong folder is refused by the call and not by the first pull
        os.scandir(root).close()
    except NotADirectoryError as error:
        advice = "images_in reads folders and zip archives; for the pages of a file see pages_in"
        raise ConfigurationError(f"{shown_path(root)}: {error.strerror}; {advice}") from None
    except OSError as error:
        raise ConfigurationError(f"{shown_path(root)}: {error.strerror}") from None
    return _walk([root], Exclusions() if exclusions is None else exclusions, recursive=recursive)


def _walk(pending: list[str], exclusions: Exclusions, *, recursive: bool) -> Iterator[os.DirEntry[str]]:
    while pending:
        folders: list[os.DirEntry[str]] = []
        # The last one first: what is pending are then the folders beside one path, and not a whole level of the tree.
        yield from _pictures_of(pending.pop(), folders, exclusions)
        for folder in folders if recursive else ():
            if is_hidden(folder.name) or is_system_folder(folder.name):
                logger.info("left out, a system's own folder by its name: %s", shown_path(folder.path))
                exclusions.add_folder(folder)
            else:
                pending.append(folder.path)


def _pictures_of(folder: str, folders: list[os.DirEntry[str]], exclusions: Exclusions) -> Iterator[os.DirEntry[str]]:
    """Yield the pictures of one folder, and add its sub-folders to a list."""
    try:
        entries = os.scandir(folder)
    except OSError as error:
        logger.warning("left out, %s: %s", error.strerror, shown_path(folder))
        return
    with entries:
        for entry in entries:
            name = entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry)
            elif is_hidden(name):
                logger.debug("left out, hidden: %s", shown_path(entry.path))
                exclusions.add_hidden(name)
            elif entry.is_symlink():  # it may lead out of the folder, or to a file that is read under its own name
                logger.info("left out, a symbolic link: %s", shown_path(entry.path))
                exclusions.add_link()
            elif suffix_of(name) in PICTURE_SUFFIXES:
                yield entry
            elif is_archive_name(name):
                logger.info("left out, a zip archive: %s", shown_path(entry.path))
                exclusions.archives += 1
            elif may_be_picture(name) and entry.is_file(follow_symlinks=False) and begins_like_picture(entry.path):
                logger.info("a picture by its first bytes: %s", shown_path(entry.path))
                exclusions.by_content += 1
                yield entry
            else:
                logger.info("left out, not a picture by its name: %s", shown_path(entry.path))
                exclusions.add_other(name)


def begins_like_picture(path: str) -> bool:
    """Return whether the first bytes of a file are those of a picture; it must not be a pipe or a device."""
    try:
        descriptor = open_to_read(path)
    except OSError:
        return False
    try:
        return is_picture(os.read(descriptor, SIGNATURE_BYTES))
    except OSError:
        return False
    finally:
        os.close(descriptor)
