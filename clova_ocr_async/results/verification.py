"""A search of files for what a masked copy must not hold, whichever program masked them.

Of pictures and PDFs it reports every part that people do not see: metadata, comments, thumbnails, further frames,
trailing bytes, transparent pixels, text layers. Of tables, records and all other texts it reports numbers that identify
a person or a card. It does not read the pixels: nothing here recognizes a number that is still to be seen.
"""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING, BinaryIO

from clova_ocr_async.errors import ImageError
from clova_ocr_async.extras import load_module
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.remains import Remain, remains_of_jpeg, remains_of_png, remains_of_tiff
from clova_ocr_async.results.archive_search import leaks_in_archive
from clova_ocr_async.results.number_search import kinds_of_numbers
from clova_ocr_async.results.text_search import PUBLIC, UNCHECKED, Leak, kinds_in_value, leaks_in_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Leak", "find_leaks"]

_HEAD = 64 * 1024  # bytes that show the format of a file
_PDF_HEAD = 1024  # bytes that hold the mark of a PDF
_NOT_ASCII = bytes.maketrans(bytes(range(128, 256)), b"?" * 128)
_MAX_WHOLE = 256 * 2**20  # bytes of a picture, a PDF, or a table in an archive, which are held in memory


def find_leaks(file: BinaryIO, name: str = "") -> Iterator[Leak]:
    """Yield what a file holds that a masked copy must not hold.

    Texts, tables and archives of any length are read in parts. Pictures and PDFs are held in memory, and those that are
    too large for that are reported as files that cannot be checked.

    Args:
        file: The file, opened to be read in any order.
        name: Its name, which is searched as well; its ending decides how a text is read.

    Raises:
        ConfigurationError: The file is a PDF or Parquet, and the extra ``pictures`` or ``tables`` is not installed.
    """
    yield from (Leak(kind, "in the file's name") for kind in kinds_of_numbers(name))
    yield from _leaks_in(file, name, 0)


def _leaks_in(file: BinaryIO, name: str, depth: int) -> Iterator[Leak]:
    head = file.read(_HEAD)
    file.seek(0)
    is_table, is_archive = head.startswith(b"PAR1"), head.startswith(b"PK\x03\x04")
    is_picture = not (is_table or is_archive) and _may_be_a_picture(head)
    # A member of an archive is unpacked from its start again whenever a reader goes back.
    if is_picture or (depth > 0 and (is_table or is_archive)):
        if file.seek(0, os.SEEK_END) > _MAX_WHOLE:
            yield Leak(UNCHECKED, f"it has more than {_MAX_WHOLE:,} bytes, and is not a text")
            return
        file.seek(0)
        data = file.read()
        if is_picture:
            yield from _in_whole(data, name, depth)
            return
        file = io.BytesIO(data)
    if is_archive:
        yield from leaks_in_archive(file, depth, _leaks_in)
    else:
        yield from _in_parquet(file) if is_table else _in_text(file, name, depth)


def _may_be_a_picture(head: bytes) -> bool:
    # The header of a HEIC may be longer than the head.
    return b"%PDF-" in head[:_PDF_HEAD] or head[4:8] == b"ftyp" or read_header(head) is not None


def _in_whole(data: bytes, name: str, depth: int) -> Iterator[Leak]:
    header = read_header(data)
    if header is not None:
        yield from _in_picture(data, header.kind)
    elif b"%PDF-" in data[:_PDF_HEAD]:
        yield from _in_pdf(data)
    else:
        yield from _in_text(io.BytesIO(data), name, depth)


def _in_text(file: BinaryIO, name: str, depth: int) -> Iterator[Leak]:
    return leaks_in_text(file, name, lambda embedded: _leaks_in(embedded, "", depth + 1))


def _in_picture(data: bytes, kind: str) -> Iterator[Leak]:
    remains: dict[str, Callable[[bytes], Iterable[Remain]]] = {
        "jpeg": remains_of_jpeg,
        "png": remains_of_png,
        "tiff": remains_of_tiff,
    }
    if kind not in remains:
        yield Leak(UNCHECKED, f"{kind}: save the picture as PNG or JPEG")
        return
    yield from (Leak(*remain) for remain in remains[kind](data))
    header = read_header(data)
    if header is not None and header.alpha and _hides_pixels(data):
        yield Leak("transparent pixels", "under them the picture may be whole")
    yield from (Leak(number, "in the bytes of the file") for number in kinds_of_numbers(_ascii(data)))


def _ascii(data: bytes) -> str:
    """Return the ASCII characters of a file; others, most of its bytes, need no search for digits of all scripts."""
    return data.translate(_NOT_ASCII).decode("ascii")


def _hides_pixels(data: bytes) -> bool:
    found: bool = load_module("clova_ocr_async.pictures.convert", "a picture with transparency").has_transparency(data)
    return found


def _in_pdf(data: bytes) -> Iterator[Leak]:
    parts = load_module("clova_ocr_async.pictures.pdf_remains", "a PDF")
    try:
        texts, hidden, jpegs = parts.texts_of_pages(data), parts.hidden_parts(data), parts.jpegs_in(data)
    except ImageError:
        yield Leak(UNCHECKED, "the PDF is encrypted or broken")
        return
    for number, text in enumerate(texts, 1):
        if text.strip():
            yield Leak("text layer", f"page {number}")
        yield from (Leak(kind, f"in the text layer of page {number}") for kind in kinds_of_numbers(text))
    yield from (Leak(kind, "beside the pages") for kind in hidden)
    for jpeg in jpegs:
        yield from (Leak(kind, f"of a picture in the PDF, {place}") for kind, place in remains_of_jpeg(jpeg))
    ends = [found.end() for found in re.finditer(rb"%%EOF", data)]
    # A file for the web has two ends.
    if len(ends) > (2 if b"/Linearized" in data[:_PDF_HEAD] else 1):
        yield Leak("earlier version", "before the last end of the file")
    if ends and data[ends[-1] :].strip():
        yield Leak("trailing bytes", "behind the end of the PDF")
    yield from (Leak(kind, "in the bytes of the file") for kind in kinds_of_numbers(_ascii(data)))


def _in_parquet(file: BinaryIO) -> Iterator[Leak]:
    tables = load_module("clova_ocr_async.results.files.parquet_reading", "a Parquet file", "tables")
    try:
        for column, values in tables.values_of_columns(file):
            kinds = () if column in PUBLIC else (kind for value in values for kind in kinds_in_value(value))
            yield from (Leak(kind, "in a column of the Parquet file") for kind in kinds)
    except tables.BrokenTableError:
        yield Leak(UNCHECKED, "the Parquet file is encrypted or broken")
