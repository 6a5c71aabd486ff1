"""Manifests: lists of images, as lines with a path, as a table in CSV, or as JSON Lines."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from clova_ocr_async.batch.sources.document_names import DOCUMENT_WORDS
from clova_ocr_async.batch.sources.file_names import as_on_disk
from clova_ocr_async.batch.sources.manifest_lines import (
    CP949,
    UTF8,
    encoding_of,
    is_utf8,
    lines_of,
    other_encoding,
    place,
)
from clova_ocr_async.batch.sources.manifest_rows import (
    RowError,
    delimiter_of,
    image_in_line,
    image_in_record,
    images_in_table,
)
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.archives import file_exists
from clova_ocr_async.protocol.echoed_input import non_path, shown_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clova_ocr_async.batch.sources.listed_image import ListedImage
    from clova_ocr_async.batch.sources.own_columns import OwnColumns
    from clova_ocr_async.pictures.page import Page

__all__ = ["Manifest", "images_from"]

logger = logging.getLogger("clova_ocr_async")

_TABLE_SUFFIXES = (".csv", ".tsv")


class _Billed(msgspec.Struct):
    billed: object = False


def images_from(manifest: str | os.PathLike[str]) -> Iterator[Path | Page]:
    """Yield the images that a file lists, as it is read.

    The first line that is not blank decides the form of the file:

    * one path a line;
    * JSON Lines, one object a line, with the path under ``path`` or ``source``, as the command line's output has it;
    * a table in CSV, with commas, semicolons or tabs, whose header has a column ``path``.

    ``page`` (from 1) names one page of a file of several. Other keys and columns do not matter here. Blank lines are
    left out. Relative paths start at the current folder, wherever the manifest is. A name is also found in the other
    normal form of Unicode, as macOS writes it. The file is in UTF-8, in UTF-16 with its mark, or in CP949 of Korean
    Windows if the files that it names exist.

    Args:
        manifest: The file.

    Returns:
        Paths, and a ``Page`` where a page is named.

    Raises:
        ConfigurationError: It is not a regular file, or cannot be read. While it is read: a line names no image; the
            message has its number.
    """
    listed = Manifest(manifest)
    if listed.is_cp949:
        logger.warning("%s: read as CP949, the encoding of Korean Windows", shown_path(os.fsdecode(manifest)))
    return (image.source for image in listed.images())


class Manifest:
    """A list of images. It can be read any number of times.

    Args:
        path: The file.

    Raises:
        ConfigurationError: It is not a regular file, or cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._name = os.fsdecode(path)
        self._encoding = encoding_of(self._name)
        # Bytes of any kind can pass for Hangul in CP949, so the files decide that the names lead to.
        if self._encoding == CP949 and not self._names_exist():
            self._encoding = UTF8  # its names are bytes of another kind, or wrong

    @property
    def is_cp949(self) -> bool:
        """True if it is read as CP949, the encoding of Korean Windows."""
        return self._encoding == CP949

    def images(self) -> Iterator[ListedImage]:
        """Yield the images, as the file is read.

        Raises:
            ConfigurationError: A line names no image; the message has its number.
        """
        return (image for _, image in self._numbered())

    def check(self, document: str | None, columns: OwnColumns) -> frozenset[str]:
        """Read the list to its end, and return the documents that it asks for.

        Args:
            document: The vendor's path word of the document of all images; None if the list has one for each.
            columns: The columns that earlier lists of the command gave their images; those of this one are added.

        Raises:
            ConfigurationError: As ``images``. Also: a line does not look like a path and names no file, such as base64,
                which the message does not repeat; an image has no document, or has another one; two lines give one
                image different columns.
        """
        documents: set[str] = set()
        in_lines: bool | None = None
        for number, image in self._numbered():
            in_lines = self._form().kind == "lines" if in_lines is None else in_lines
            try:
                _check_path(image.path, in_line=in_lines)
                documents.add(_checked_document(image, document))
                columns.add(image, self._name, number)
            except ConfigurationError as error:
                raise ConfigurationError(f"{place(self._name, number)}: {error}") from None
        return frozenset(documents)

    def billed(self) -> tuple[int, int]:
        """Return how many images the list has as billed, and as maybe billed; none if it has no records.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        billed = maybe_billed = 0
        for _, line in self._lines() if self._begins_records() else ():
            try:
                record = msgspec.json.decode(line, type=_Billed)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
                continue  # reported with its line when the images are read
            billed += record.billed is True
            maybe_billed += record.billed is None
        return billed, maybe_billed

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, with their numbers and ends."""
        return ((number, line) for number, line in lines_of(self._name, self._encoding) if line.strip())

    def _begins_records(self) -> bool:
        return next(self._lines(), (1, b""))[1].lstrip().startswith(b"{")

    def _numbered(self) -> Iterator[tuple[int, ListedImage]]:
        try:
            for number, image in self._rows():
                try:
                    # Lists are written on Windows and Linux, and files copied from macOS, which spells Hangul apart.
                    path = as_on_disk(image.path)
                except ConfigurationError as error:
                    raise RowError(number, str(error)) from None
                yield number, image if path == image.path else replace(image, path=path)
        except RowError as error:
            raise ConfigurationError(f"{place(self._name, error.number)}: {error}") from None

    def _rows(self) -> Iterator[tuple[int, ListedImage]]:
        form = self._form()
        if form.kind == "table":
            after = ((number, line) for number, line in lines_of(self._name, self._encoding) if number >= form.begins)
            yield from images_in_table(after, form.delimiter)
            return
        image_in = image_in_record if form.kind == "records" else image_in_line
        for number, line in self._lines():
            try:
                yield number, image_in(line.removesuffix(b"\n").removesuffix(b"\r"))
            except ConfigurationError as error:
                raise RowError(number, str(error)) from None

    def _form(self) -> _Form:
        """Return the form of the list, which its first line that is not blank decides."""
        number, line = next(self._lines(), (1, b""))
        if self._begins_records():
            return _Form("records", number)
        delimiter = delimiter_of(line)
        # A list of paths may begin with a file named "path".
        if delimiter is not None and not _names_file(line):
            return _Form("table", number, delimiter)
        # Otherwise each row of such a table would be taken for one path, and refused as a missing file.
        if line and self._name.lower().endswith(_TABLE_SUFFIXES) and not _names_file(line):
            raise RowError(number, "no column is named path; a table begins with the names of its columns")
        return _Form("lines", number)

    def _names_exist(self) -> bool:
        """Return whether a list may be in the encoding that it was opened with, by the files that it names."""
        missing = False
        try:
            for image in self.images():
                if not image.path.isascii():
                    if file_exists(image.path):
                        return True
                    missing = True
        except ConfigurationError:
            return False
        return not missing


class _Form(NamedTuple):
    kind: Literal["lines", "records", "table"]
    begins: int
    delimiter: str = ""


def _names_file(line: bytes) -> bool:
    return file_exists(os.fsdecode(line.removesuffix(b"\n").removesuffix(b"\r")))


def _check_path(path: str, *, in_line: bool) -> None:
    if file_exists(path):
        return
    if (odd := non_path(path)) is not None:
        fetch = "; URLs are not fetched: download the file, and list its path" if odd.kind == "a URL" else ""
        raise ConfigurationError(f"it is {odd.what}, not a path; a manifest holds one path a line{fetch}")
    # A record names the bytes of a name that is not UTF-8, so there it is not a mistake.
    if in_line and not is_utf8(name := os.fsencode(path)):
        raise ConfigurationError(f"no file has this name, and {other_encoding(name)}")


def _checked_document(image: ListedImage, document: str | None) -> str:
    asked = image.document
    if document is None:
        if asked is None:
            raise ConfigurationError(f"it has no document, and auto needs one: {DOCUMENT_WORDS}")
        return asked
    if asked not in {None, document} and not image.from_record:
        raise ConfigurationError(
            f"its document is {asked}, and the command reads {document}; leave the column out, or use auto in place of "
            f"{document}"
        )
    return document
