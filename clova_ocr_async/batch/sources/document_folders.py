"""Folders that are named after documents: each picture is read as the document of the folder it lies in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sources.archives import members_in
from clova_ocr_async.batch.sources.document_names import DOCUMENT_WORDS, document_named
from clova_ocr_async.batch.sources.exclusions import Exclusions
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.batch.sources.listed_image import ListedImage
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.archives import MEMBER_MARK, is_archive_name
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_folder", "images_by_folder"]

_MAX_NAMED = 5
_WAY_OUT = f"auto reads folders that are named {DOCUMENT_WORDS}"


def images_by_folder(path: str, recursive: bool = True, exclusions: Exclusions | None = None) -> Iterator[ListedImage]:  # noqa: FBT001, FBT002 - as images_in has it
    """Yield the pictures of a folder or of a zip archive, each with the document that its folder is named after.

    Sub-folders are of the document of the folder above them. A folder that is itself named after a document counts as
    well, so ``scans/*`` and ``scans`` are the same.

    Args:
        path: The folder or archive.
        recursive: Also sub-folders of the folders that are named after documents.
        exclusions: Counts the files that are left out.

    Raises:
        ConfigurationError: The folder or archive cannot be read. As the images are pulled: a picture lies in no such
            folder, or in folders of two documents.
    """
    for image, folders in _placed(path, Exclusions() if exclusions is None else exclusions):
        document = _document_of(path, folders)
        if document is None:
            raise ConfigurationError(_unnamed(path, [*folders[:1]]))
        if recursive or len(folders) <= (document_named(_own_name(path)) is None):
            yield ListedImage(image, document=document)


def check_folder(path: str) -> frozenset[str]:
    """Return the documents of the pictures of a folder or of a zip archive.

    Raises:
        ConfigurationError: As ``images_by_folder``; the message names the first few folders that have other names.
    """
    documents: set[str] = set()
    unknown: dict[str, None] = {}
    for _, folders in _placed(path, Exclusions()):
        if (document := _document_of(path, folders)) is None:
            if not folders:
                raise ConfigurationError(_unnamed(path, folders))
            unknown[folders[0]] = None
        else:
            documents.add(document)
    if unknown:
        raise ConfigurationError(_unnamed(path, [*unknown]))
    return frozenset(documents)


def _placed(path: str, exclusions: Exclusions) -> Iterator[tuple[str, list[str]]]:
    """Yield the pictures with the folders that they lie in, from the outermost on."""
    found: Iterator[str]
    if is_archive_name(path) and os.path.isfile(path):  # noqa: PTH113 - a Path raises where a name is too long
        start, found = path + MEMBER_MARK, members_in(path, exclusions=exclusions)
    else:
        start = os.path.join(path, "")  # noqa: PTH118 - a Path drops the slash
        found = (entry.path for entry in entries_in(path, exclusions=exclusions))
    return ((image, image[len(start) :].split("/")[:-1]) for image in found)


def _document_of(root: str, folders: list[str]) -> str | None:
    """Return the document of the outermost folder; None if that is not named after one."""
    own = document_named(_own_name(root))
    outermost = own or (document_named(folders[0]) if folders else None)
    for folder in folders if outermost is not None else ():
        if (other := document_named(folder)) not in {None, outermost}:
            inside = shown_path(os.path.join(root, *folders[: folders.index(folder) + 1]))  # noqa: PTH118 - it may be in an archive
            raise ConfigurationError(
                f"{inside} is named after the document {other}, and lies in a folder of {outermost}; move or rename it"
            )
    return outermost


def _own_name(root: str) -> str:
    return os.path.basename(os.path.abspath(root))  # noqa: PTH100, PTH119 - a link keeps its own name


def _unnamed(root: str, folders: list[str]) -> str:
    if not folders:
        return f"pictures lie directly in {shown_path(root)}, so no folder names their document; {_WAY_OUT}"
    named = [shown_path(os.path.join(root, folder)) for folder in folders[:_MAX_NAMED]]  # noqa: PTH118 - as above
    more = f" and {len(folders) - _MAX_NAMED:,} more" if len(folders) > _MAX_NAMED else ""
    are = "is" if len(folders) == 1 else "are"
    return f"{', '.join(named)}{more} {are} not named after a document; {_WAY_OUT}"
