"""The pictures of a zip archive, by the same rules as those of a folder."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sources.exclusions import (
    PICTURE_SUFFIXES,
    Exclusions,
    is_hidden,
    is_system_folder,
    may_be_picture,
    suffix_of,
)
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.archives import MEMBER_MARK, ArchiveError, is_archive_name, members_of, read_member_start
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.picture_signatures import SIGNATURE_BYTES, is_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["members_in"]

logger = logging.getLogger("clova_ocr_async")


def members_in(
    archive: str | os.PathLike[str],
    recursive: bool = True,  # noqa: FBT001, FBT002 - as images_in has it
    exclusions: Exclusions | None = None,
) -> Iterator[str]:
    """Yield the pictures of a zip archive as paths such as ``a.zip!/sub/x.jpg``, in the order of the archive.

    Args:
        archive: The archive.
        recursive: Also those in its folders.
        exclusions: Counts the files that are left out.

    Raises:
        ConfigurationError: It is not a zip archive, is broken, or is larger than the limits allow.
    """
    path = os.fsdecode(archive)
    try:
        members = members_of(path)
    except ArchiveError as error:
        raise ConfigurationError(f"{shown_path(path)}: {error}") from None
    except OSError as error:
        raise ConfigurationError(f"{shown_path(path)}: {error.strerror}") from None
    counts = Exclusions() if exclusions is None else exclusions
    counts.members.update(members.left_out)
    # Only the names are held, so that the walk needs no more memory when the archive is read anew.
    return _pictures_of(path, tuple(members.by_name), counts, recursive=recursive)


def _pictures_of(archive: str, names: tuple[str, ...], exclusions: Exclusions, *, recursive: bool) -> Iterator[str]:
    for name in names:
        *folders, last = name.split("/")
        if folders and not recursive:
            continue
        path = f"{archive}{MEMBER_MARK}{name}"
        if (reason := _exclusion(archive, name, folders, last, exclusions)) is None:
            yield path
            continue
        logger.info("left out, %s: %s", reason, shown_path(path))
        # As in a folder of a system: what has no ending of a picture there is nobody's picture.
        if not reason.startswith("in ") or (suffix_of(last) in PICTURE_SUFFIXES and not is_hidden(last)):
            exclusions.members[reason] += 1


def _exclusion(archive: str, name: str, folders: list[str], last: str, exclusions: Exclusions) -> str | None:
    """Return why a member is left out; None for a picture."""
    for folder in folders:
        if is_hidden(folder) or is_system_folder(folder):
            return f"in {folder}"
    if is_hidden(last):
        return "hidden"
    if suffix_of(last) in PICTURE_SUFFIXES:
        return None
    if is_archive_name(last):
        return "archive in an archive"
    if not may_be_picture(last) or not _begins_like_picture(archive, name):
        return "with another ending"
    exclusions.by_content += 1
    return None


def _begins_like_picture(archive: str, name: str) -> bool:
    try:
        return is_picture(read_member_start(archive, name, SIGNATURE_BYTES))
    except (ArchiveError, OSError):
        return False
