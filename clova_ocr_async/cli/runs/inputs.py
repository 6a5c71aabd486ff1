"""Images that a command reads: files, folders, archives, lists of files, and inputs that can be read only once."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from clova_ocr_async.batch.sources.archives import members_in
from clova_ocr_async.batch.sources.document_folders import check_folder, images_by_folder
from clova_ocr_async.batch.sources.exclusions import READ_SUFFIXES, Exclusions, listed
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.batch.sources.listed_image import ListedImage
from clova_ocr_async.batch.sources.own_columns import OwnColumns
from clova_ocr_async.cli.runs.input_file import STDIN, InputFile, InputPage, LastFileHash
from clova_ocr_async.cli.runs.pipes import check_once, is_piped
from clova_ocr_async.cli.terminal.phrases import list_names
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.archives import file_exists, is_archive_name, split_member_path
from clova_ocr_async.host.plural import plural
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.page_selection import PageSelection
from clova_ocr_async.pictures.pages import count_pages, pages_in
from clova_ocr_async.protocol.echoed_input import non_path, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from clova_ocr_async.batch.sources.listed_image import FoundImage
    from clova_ocr_async.batch.sources.manifest import Manifest
    from clova_ocr_async.documents import Document

__all__ = ["Search", "check_paths", "documents_of", "pages_contradiction"]


def check_paths(paths: Sequence[str], *, folders: bool) -> None:
    """Refuse paths that are mistakes, before anything is paid.

    Args:
        paths: Paths of files, folders and archives; "-" for standard input.
        folders: Whether folders and archives are allowed.

    Raises:
        ConfigurationError: A path does not exist, is a folder, is a broken archive, or can be read only once and is
            given twice.
    """
    for path in paths:
        if path == STDIN:
            continue
        if not file_exists(path):
            raise ConfigurationError(_not_there(path, folders=folders))
        kind = "a folder" if Path(path).is_dir() else "an archive" if _is_archive(path) else None
        if kind is not None and not folders:
            raise ConfigurationError(f"{shown_path(path)} is {kind}; for all images in it use clova-ocr batch")
        if kind == "an archive":
            members_in(path)  # only for its errors, which must come before anything is paid
    check_once(paths)


def pages_contradiction(pages: str, paths: Iterable[str]) -> str | None:
    """Return why --pages cannot be used with some paths; None if it can.

    Raises:
        ConfigurationError: ``pages`` names no pages.
    """
    PageSelection.parse(pages)
    if (piped := next(filter(is_piped, paths), None)) is None:
        return None
    kind = "standard input" if piped == STDIN else "a pipe"
    return f"{shown_path(piped)}: {kind} cannot be read again for each page, as --pages needs it; give a file"


def _is_archive(path: str) -> bool:
    return is_archive_name(path) and Path(path).is_file()


def _not_there(path: str, *, folders: bool) -> str:
    odd = non_path(path)
    if odd is None:
        file, mark, number = path.rpartition("#")  # as records and messages name a page
        page = f"; for page {number} of the file give the file and --pages {number}"
        is_page = mark and number.isdecimal() and number.isascii() and file_exists(file)
        return f"{shown_path(path)}: no such file or folder{page if is_page else ''}"
    name = "PATH" if folders else "IMAGE"  # as in the help of the command
    if odd.kind == "a URL":
        return f"{name} is {odd.what}; URLs are not fetched: download the file, and give its path"
    return f"{name} is {odd.what}; give the path of a file, or - and the image on standard input"


def documents_of(document: type[Document] | None, paths: Iterable[str], manifests: Iterable[Manifest]) -> set[str]:
    """Return the documents that a command needs domains for, by their path words; refuse images of unknown ones.

    Args:
        document: The class of all images; None if the folder or the list of each decides.
        paths: Files, folders and archives.
        manifests: Lists of further images.

    Raises:
        ConfigurationError: A list has a mistake; an image has no document, or two; two lines give it other columns.
    """
    word = None if document is None else document.path_word
    needed: set[str] = set() if word is None else {word}
    for path in paths if word is None else ():
        if path == STDIN or not (Path(path).is_dir() or _is_archive(path)):
            name = "standard input" if path == STDIN else shown_path(path)
            raise ConfigurationError(
                f"{name}: auto reads folders that are named after documents, and lists with a column document; "
                "for one file give its document in place of auto"
            )
        needed |= check_folder(path)
    columns = OwnColumns()
    for manifest in manifests:
        needed |= manifest.check(word, columns)
    return needed


class Search:
    """A search for the images of some paths. It can be repeated, and counts the files that it leaves out.

    Args:
        paths: Paths of files, folders and archives; "-" for standard input.
        by_folder: Whether the folders of the images are named after their documents.
        recursive: Whether to search sub-folders.
        pages: Which pages of files of several to find, as in ``images_in``; None for whole files.
        piped: The contents of paths that can be read only once.
        manifests: Lists of further images.
        manifest_names: The names of those in messages.
    """

    def __init__(
        self,
        paths: Iterable[str],
        *,
        by_folder: bool = False,
        recursive: bool = True,
        pages: str | None = None,
        piped: Mapping[str, bytes] = MappingProxyType({}),
        manifests: Iterable[Manifest] = (),
        manifest_names: Iterable[str] = (),
    ) -> None:
        self._paths = tuple(paths)
        self._manifests = tuple(manifests)
        self._manifest_names = tuple(manifest_names)
        self._by_folder = by_folder
        self._recursive = recursive
        self._pages = pages
        self._piped = piped
        self._hashes = LastFileHash()
        self._left_out = Exclusions()
        self._repeated = 0
        self._found_files = False

    @property
    def opens_files(self) -> bool:
        """True if the search looks into files, for their pages, and is slow."""
        return self._pages is not None or bool(self._manifests)

    def files(self) -> Iterator[InputFile | InputPage]:
        """Yield the images to read, each once: files as they are given, folders by their pictures."""
        for found in self.found(once=True):
            image = found if isinstance(found, ListedImage) else ListedImage(os.fspath(found))
            document = None if image.document is None else DOCUMENTS[image.document]
            if image.page is None:
                yield InputFile(image.path, self._piped.get(image.path), document, image.columns)
            else:
                yield InputPage(image.path, image.page, document, image.columns, self._hashes)

    def found(self, *, once: bool = False) -> Iterator[FoundImage]:
        """Yield the images as they are found.

        Args:
            once: Leave out an image that is found a second time. A run's ledger does that by itself.
        """
        left_out, repeated = Exclusions(), 0
        # The walk of one folder finds each file once, and need not remember millions of them.
        seen = _Seen() if once and len(self._paths) + len(self._manifests) * 2 > 1 else None
        listed_in = (image for manifest in self._manifests for image in _listed_in(manifest, by_row=self._by_folder))
        for image in self.divided(itertools.chain(self._in_paths(left_out), listed_in)):
            if seen is not None and seen.before(image):
                repeated += 1
            else:
                yield image
        # Set at the end: two searches run at the same time, and each has counts of its own.
        self._left_out, self._repeated = left_out, repeated

    def _in_paths(self, left_out: Exclusions) -> Iterator[FoundImage]:
        for path in self._paths:
            if self._by_folder:
                yield from images_by_folder(path, self._recursive, left_out)
            elif path != STDIN and Path(path).is_dir():
                yield from entries_in(path, self._recursive, left_out)
            elif path != STDIN and _is_archive(path):
                yield from members_in(path, self._recursive, left_out)
            else:
                yield path

    def divided(self, found: Iterable[FoundImage]) -> Iterator[FoundImage]:
        """Yield the pages of files of several, where they are asked for."""
        for image in found:
            # A list that names a page asks for that one, whatever --pages asks for.
            if isinstance(image, ListedImage) and image.page is not None:
                yield _whole_if_only_page(image)
            elif self._pages is None or image == STDIN:
                yield image
            else:
                self._found_files = True
                yield from _pages_of(image, self._pages)

    def remarks(self) -> Iterator[str]:
        """Yield messages about files that the last complete search has left out."""
        if self._repeated:
            one, many = "file was found a second time, and is read", "files were found a second time, and are read"
            yield f"{plural(self._repeated, one, many)} once"
        if inclusions := self._left_out.inclusions():
            yield inclusions
        if left_out := self._left_out.summary():
            yield f"{left_out}; {self._left_out.way_out()}"

    def absence(self) -> str:
        """Return the message for a search without a file: where it searched, and for which names."""
        lists = ("standard input" if name == STDIN else shown_path(name) for name in self._manifest_names)
        places = [*map(shown_path, self._paths), *lists]
        endings = listed(sorted(READ_SUFFIXES), "or")
        message = f"no images found in {list_names(places, len(places))}"
        if self._found_files:
            return f"{message}: no file has the pages {self._pages}"
        if not self._paths:
            return f"{message}: it lists no file" if len(places) == 1 else f"{message}: they list no file"
        below = "" if self._recursive else ", and sub-folders are not searched (--no-recursive)"
        return f"{message}; a folder is searched for files that end in {endings}{below}"


def _pages_of(image: FoundImage, pages: str) -> Iterator[FoundImage]:
    """Yield the pages of an image; the image itself if its file has one page, or cannot be divided."""
    listed_image = image if isinstance(image, ListedImage) else ListedImage(os.fspath(image))
    for found in pages_in(listed_image.path, pages):
        yield replace(listed_image, page=found.number) if isinstance(found, Page) else image


def _whole_if_only_page(image: ListedImage) -> ListedImage:
    """Return an image without its page if that is the only one: such a file is sent and paid as a whole."""
    if image.page == 1 and count_pages(image.path) == 1:
        return replace(image, page=None)
    return image


class _Seen:
    """Images that a search has found already."""

    def __init__(self) -> None:
        self._keys: set[int] = set()

    def before(self, image: FoundImage) -> bool:
        """Return whether an image was found before, by any path, and remember it."""
        key = _key_of(image)
        if key is None or key in self._keys:
            return key is not None
        self._keys.add(key)
        return False


def _key_of(image: FoundImage) -> int | None:
    """Return the same number for all paths of an image; None for standard input and a path that does not exist."""
    if image == STDIN:
        return None
    if isinstance(image, ListedImage):
        key = _key_of_path(image.path)
        return None if key is None else hash((key, image.page, image.document))
    key = _key_of_path(os.fspath(image))
    return None if key is None else hash((key, None, None))


def _key_of_path(path: str) -> int | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - for each file, and Path takes longer than the file system
    except (OSError, ValueError):
        # Members of an archive by the archive and their name; the archive itself may be given by two paths.
        if (member := split_member_path(path)) is None:
            return None
        return hash((_key_of_path(member[0]), member[1]))
    if found.st_ino and found.st_nlink == 1:
        return hash((found.st_dev, found.st_ino))
    # Two hard links are two images for the user, and some file systems do not number their files.
    return hash(os.path.realpath(path))


def _listed_in(manifest: Manifest, *, by_row: bool) -> Iterator[ListedImage]:
    for image in manifest.images():
        # A dash in a list is the name of a file; only as an argument does it mean standard input.
        path = os.path.join(os.curdir, STDIN) if image.path == STDIN else image.path  # noqa: PTH118 - Path drops the dot
        yield replace(image, path=path, document=image.document if by_row else None)
