"""The pictures of a folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sources.left_out import PICTURE_SUFFIXES, LeftOut, is_hidden, is_system_folder, suffix_of
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

    Pictures are told by their ending (case aside); formats the service does not take are yielded as well, so that each
    is refused by name. Left out are hidden entries, symbolic links, and the folders in which systems keep thumbnails,
    deleted files and snapshots (``@eaDir``, ``#recycle``, ``$RECYCLE.BIN``, ``__MACOSX`` …). At its end the walk logs
    how many files that were. A folder that is left out is read where it is given itself as ``folder``. The path of a
    hidden file or of a symbolic link is read as an image of its own.

    Args:
        folder: The folder.
        recursive: Also its sub-folders.

    Raises:
        ConfigurationError: It is not a folder, or cannot be read.
    """
    left_out = LeftOut()
    entries = entries_in(folder, recursive, left_out)
    return _logged(os.fsdecode(folder), (Path(entry.path) for entry in entries), left_out)


def _logged(folder: str, pictures: Iterator[Path], left_out: LeftOut) -> Iterator[Path]:
    yield from pictures
    if told := left_out.told():
        level = logging.WARNING if left_out.pictures.total() else logging.INFO
        logger.log(level, "%s: %s", folder, told)


def entries_in(
    folder: str | os.PathLike[str],
    recursive: bool = True,  # noqa: FBT001, FBT002 - as images_in has it
    left_out: LeftOut | None = None,
) -> Iterator[os.DirEntry[str]]:
    """Yield the pictures of a folder as ``images_in`` does, as entries that are cheap to make and to ``stat``.

    Args:
        folder: The folder.
        recursive: Also its sub-folders.
        left_out: Counts what is left out.

    Raises:
        ConfigurationError: It is not a folder, or cannot be read.
    """
    root = os.fsdecode(folder)
    try:
        os.scandir(root).close()
    except OSError as error:
        raise ConfigurationError(f"{shown_path(root)}: {error.strerror}") from None
    return _walk([root], LeftOut() if left_out is None else left_out, recursive=recursive)


def _walk(pending: list[str], left_out: LeftOut, *, recursive: bool) -> Iterator[os.DirEntry[str]]:
    while pending:
        folders: list[os.DirEntry[str]] = []
        yield from _pictures_of(pending.pop(), folders, left_out)
        for folder in folders if recursive else ():
            if is_hidden(folder.name) or is_system_folder(folder.name):
                logger.info("left out, not the user's by its name: %s", shown_path(folder.path))
                left_out.add_folder(folder)
            else:
                pending.append(folder.path)


def _pictures_of(folder: str, folders: list[os.DirEntry[str]], left_out: LeftOut) -> Iterator[os.DirEntry[str]]:
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
                left_out.add_hidden(name)
            elif entry.is_symlink():
                logger.info("left out, a symbolic link: %s", shown_path(entry.path))
                left_out.add_link()
            elif suffix_of(name) in PICTURE_SUFFIXES:
                yield entry
            else:
                logger.info("left out, not a picture by its name: %s", shown_path(entry.path))
                left_out.add_other(name)
