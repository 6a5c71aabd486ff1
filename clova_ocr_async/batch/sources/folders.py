"""The pictures of a folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sources.exclusions import (
    PICTURE_SUFFIXES,
    Exclusions,
    is_hidden,
    is_system_folder,
    suffix_of,
)
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["entries_in", "images_in"]

logger = logging.getLogger("clova_ocr_async")


def images_in(
    folder: str | os.PathLike[str],
    recursive: bool = True,  # noqa: FBT001, FBT002 - part of the contract
) -> Iterator[Path]:
    """Yield the pictures of a folder, as they are found, without holding the list.

    A picture is a file with one of some endings, in any case; formats that the service does not take are yielded as
    well, so that each is refused by name. Left out are hidden entries, symbolic links, and the folders in which systems
    keep thumbnails, deleted files and snapshots (``@eaDir``, ``#recycle``, ``$RECYCLE.BIN``, ``__MACOSX`` …). At its
    end the walk logs the number of those files. A folder that is left out is read if it is given itself as ``folder``.
    The path of a hidden file or of a symbolic link is read as an image of its own.

    Args:
        folder: The folder.
        recursive: Also its sub-folders.

    Raises:
        ConfigurationError: It is not a folder, or cannot be read.
    """
    exclusions = Exclusions()
    entries = entries_in(folder, recursive, exclusions)
    return _logged(os.fsdecode(folder), (Path(entry.path) for entry in entries), exclusions)


def _logged(folder: str, pictures: Iterator[Path], exclusions: Exclusions) -> Iterator[Path]:
    yield from pictures
    if summary := exclusions.summary():
        level = logging.WARNING if exclusions.pictures.total() else logging.INFO
        logger.log(level, "%s: %s", folder, summary)


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
    except OSError as error:
        raise ConfigurationError(f"{shown_path(root)}: {error.strerror}") from None
    return _walk([root], Exclusions() if exclusions is None else exclusions, recursive=recursive)


def _walk(pending: list[str], exclusions: Exclusions, *, recursive: bool) -> Iterator[os.DirEntry[str]]:
    while pending:
        folders: list[os.DirEntry[str]] = []
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
            else:
                logger.info("left out, not a picture by its name: %s", shown_path(entry.path))
                exclusions.add_other(name)
