"""A search of zip archives, of which XLSX is one, for numbers and for files that must not be in a masked copy.

Members are read in parts. Of a sheet of XLSX only the cell that is searched is in memory, and of its shared strings
only those that matter.
"""

from __future__ import annotations

import codecs
import html
import io
import re
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from clova_ocr_async.results.number_search import kinds_of_numbers
from clova_ocr_async.results.text_search import PUBLIC, UNCHECKED, Leak

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["leaks_in_archive"]

_MAX_UNPACKED = 4 * 2**30  # bytes of all members; of an archive that was made to fill memory there are many more
_MAX_DEPTH = 3  # archives in archives
_PART = 1024 * 1024  # bytes that are decoded together
_LONGEST = 1024 * 1024  # characters of a cell or a shared string; Excel writes 32,767 at the most
_SHARED = "xl/sharedStrings.xml"
_SHEETS = "xl/worksheets/"
_BINARY = ".bin"
_PRINTER_SETTINGS = "xl/printerSettings/"
_MOST_SETTINGS = 1024 * 1024  # bytes; those of a printer have some thousand
# Of the Windows structure DEVMODEW: a name of 32 characters, two versions, its length and that of the driver's bytes.
# Source: MS-RPRN 2.2.2.1.
_DEVMODE = struct.Struct("<64x4xHH")
_DEVMODE_LENGTHS = range(_DEVMODE.size, 221)
# Some programs write the names of elements with a prefix, and attributes in another order than Excel. No such element
# holds another one of its kind: so text full of beginnings without an end is read once, and not once for each of them.
_ITEM = re.compile(r"<(?:\w+:)?si\b[^<>]*?(?:/>|>([^<]*+(?:<(?!(?:\w+:)?si\b)[^<]*+)*?)</(?:\w+:)?si>)")
_CELL = re.compile(r"<(?:\w+:)?c\b([^<>]*?)(?:/>|>([^<]*+(?:<(?!(?:\w+:)?c\b)[^<]*+)*?)</(?:\w+:)?c>)")
_BEGUN = re.compile(r"<(?:\w+:)?(?:c|si)\b|<[\w:]*$")
_REFERENCE = re.compile(r'\br="([A-Z]+)([0-9]+)"')
_TAG = re.compile(r"<[^>]*>")
# The errors of other ways, which newer versions of Python unpack, are of further classes.
_UNPACKED = frozenset((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))


def leaks_in_archive(
    file: BinaryIO, depth: int, search: Callable[[BinaryIO, str, int], Iterator[Leak]]
) -> Iterator[Leak]:
    """Yield what the members of an archive hold that a masked copy must not hold.

    Args:
        file: The archive.
        depth: The number of archives around it.
        search: Searches a member: a file that can be read from its start again, its name, and the depth.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if sum(member.file_size for member in members) > _MAX_UNPACKED or depth == _MAX_DEPTH:
                yield Leak(UNCHECKED, "the archive is too large or too deep")
                return
            yield from (Leak(kind, "in the comment of the archive") for kind in _kinds_in_bytes(archive.comment))
            if any(member.compress_type not in _UNPACKED for member in members):
                yield Leak(UNCHECKED, "the archive is packed in a way that is not unpacked here")
                return
            # Of several members of one name, a reader finds the last one.
            shared = next((member for member in reversed(members) if member.filename == _SHARED), None)
            strings, used = _shared_strings(archive, shared), set[int]()
            for number, member in enumerate(members, 1):
                place = f"member {number:,} of the archive"
                yield from (Leak(kind, f"in the name of {place}") for kind in kinds_of_numbers(member.filename))
                yield from (Leak(kind, f"in the comment of {place}") for kind in _kinds_in_bytes(member.comment))
                if member is shared:  # searched where the cells are
                    continue
                with archive.open(member) as content:
                    if member.filename.startswith(_SHEETS):
                        is_binary = member.filename.endswith(_BINARY)
                        found = iter((_BINARY_SHEET,)) if is_binary else _in_sheet(content, strings, used)
                    elif member.filename.startswith(_PRINTER_SETTINGS) and member.file_size <= _MOST_SETTINGS:
                        data = content.read()
                        known = _are_printer_settings(data)
                        found = _in_bytes(data) if known else search(io.BytesIO(data), member.filename, depth + 1)
                    else:
                        found = search(cast("BinaryIO", content), member.filename, depth + 1)
                    yield from (Leak(kind, f"{place}, {inside}") for kind, inside in found)
            # A program may keep the text of a cell that was overwritten.
            unused = (text for place, text in strings.items() if place not in used)
            yield from (Leak(kind, "a text that no cell shows") for text in unused for kind in kinds_of_numbers(text))
    # A name that is not text is a ValueError.
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, zlib.error):
        yield Leak(UNCHECKED, "the archive is encrypted or broken")


class _TooLongError(RuntimeError):
    """A cell is longer than any that Excel writes: the sheet is broken."""


def _elements(content: IO[bytes], pattern: re.Pattern[str]) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Yield the elements of a pattern in XML that is read in parts, each with the text in front of it.

    The text behind the last element of a part has None in place of an element.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = ""
    while part := content.read(_PART):
        text += decoder.decode(part)
        end = 0
        for found in pattern.finditer(text):
            yield text[end : found.start()], found
            end = found.end()
        begun = _BEGUN.search(text, end)
        start = len(text) if begun is None else begun.start()
        yield text[end:start], None
        text = text[start:]
        if len(text) > _LONGEST:
            raise _TooLongError
    yield text, None  # of an element that has no end


_BINARY_SHEET = Leak(UNCHECKED, "a sheet in binary form; save the workbook as XLSX")


def _are_printer_settings(data: bytes) -> bool:
    """Return whether bytes are settings of a printer, as Excel keeps them of every sheet that was set up for one."""
    if len(data) < _DEVMODE.size:
        return False
    length, of_driver = _DEVMODE.unpack_from(data)
    return length in _DEVMODE_LENGTHS and length + of_driver <= len(data)


def _in_bytes(data: bytes) -> Iterator[Leak]:
    """Yield the numbers in bytes that hold texts in ASCII or UTF-16, which may begin at any byte."""
    texts = [data.decode("ascii", "replace")]
    texts += [data[start:].decode(form, "replace") for start in (0, 1) for form in ("utf-16-le", "utf-16-be")]
    yield from (Leak(kind, "in its bytes") for text in texts for kind in kinds_of_numbers(text))


def _kinds_in_bytes(data: bytes) -> Iterator[str]:
    return kinds_of_numbers(data.decode("utf-8", "replace"))


def _text_of(element: str | None) -> str:
    """Return the text that people see of the inner part of an element."""
    return html.unescape(_TAG.sub("", element or ""))


def _shared_strings(archive: zipfile.ZipFile, member: zipfile.ZipInfo | None) -> Mapping[int, str]:
    """Return the shared strings that hold a number or name a public column, by their places in the list."""
    if member is None:
        return {}
    with archive.open(member) as content:
        items = (found for _, found in _elements(content, _ITEM) if found is not None)
        texts = (_text_of(found[1]) for found in items)
        return {
            place: text
            for place, text in enumerate(texts)
            if text in PUBLIC or any(True for _ in kinds_of_numbers(text))
        }


def _in_sheet(content: IO[bytes], strings: Mapping[int, str], used: set[int]) -> Iterator[Leak]:
    """Yield the leaks in a sheet of an XLSX, whose first row has the names of the columns.

    Args:
        content: The sheet.
        strings: The shared strings that matter, by their places.
        used: Gets the places of the shared strings that a cell shows.
    """
    public: set[str] = set()
    for beside, found in _elements(content, _CELL):
        yield from (Leak(kind, "beside its cells") for kind in kinds_of_numbers(html.unescape(beside)))
        if found is None:
            continue
        text = _text_of(found[2])
        if 't="s"' in found[1] and text.isdecimal():
            used.add(int(text))
            text = strings.get(int(text), "")
        reference = _REFERENCE.search(found[1])
        column, place = ("", "a cell") if reference is None else (reference[1], f"cell {reference[1]}{reference[2]}")
        # A text further down may be any, and makes no column public.
        if text in PUBLIC and place == f"cell {column}1":
            public.add(column)
        if column not in public:
            yield from (Leak(kind, place) for kind in kinds_of_numbers(text))
