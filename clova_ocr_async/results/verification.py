"""A search of files for what a masked copy must not hold, whichever program masked them.

Of pictures and PDFs it reports every part that people do not see: metadata, comments, thumbnails, further frames,
trailing bytes, transparent pixels, text layers. Of tables, records and all other texts it reports numbers that identify
a person or a card. It does not read the pixels: nothing here recognizes a number that is still to be seen.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

from clova_ocr_async.documents.untyped import is_array, is_object
from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.extras import load_module
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.remains import Remain, remains_of_jpeg, remains_of_png, remains_of_tiff
from clova_ocr_async.results.number_search import kinds_of_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Leak", "find_leaks"]


class Leak(NamedTuple):
    """Something that a masked copy must not hold; it shows no value.

    Attributes:
        kind: Its kind, in words.
        place: Its place in the file, in words.
    """

    kind: str
    place: str


# Columns of numbers of the same form that are no secret.
_PUBLIC = frozenset(
    ("corp_register_num", "corp_register_num_more", "corpRegisterNum", "법인등록번호", "법인등록번호(추가)")
)
_PDF_HEAD = 1024  # bytes that hold the mark of a PDF
_MAX_UNPACKED = 512 * 2**20  # bytes of all members of an archive
_MAX_DEPTH = 3  # archives in archives


def find_leaks(data: bytes, name: str = "") -> Iterator[Leak]:
    """Yield what a file holds that a masked copy must not hold.

    Args:
        data: The whole file.
        name: Its name, which is searched as well; its ending decides how a text is read.

    Raises:
        ConfigurationError: The file is a PDF or Parquet, and the extra ``pictures`` or ``tables`` is not installed.
    """
    yield from (Leak(kind, "in the file's name") for kind in kinds_of_numbers(name))
    yield from _leaks_in(data, name, 0)


def _leaks_in(data: bytes, name: str, depth: int) -> Iterator[Leak]:
    header = read_header(data)
    if header is not None:
        yield from _in_picture(data, header.kind)
    elif b"%PDF-" in data[:_PDF_HEAD]:
        yield from _in_pdf(data)
    elif data.startswith(b"PK\x03\x04"):
        yield from _in_archive(data, depth)
    elif data.startswith(b"PAR1"):
        yield from _in_parquet(data)
    else:
        yield from _in_text(data, name)


def _in_picture(data: bytes, kind: str) -> Iterator[Leak]:
    remains: dict[str, Callable[[bytes], Iterable[Remain]]] = {
        "jpeg": remains_of_jpeg,
        "png": remains_of_png,
        "tiff": remains_of_tiff,
    }
    if kind not in remains:
        yield Leak("format that cannot be checked", f"{kind}: save the picture as PNG or JPEG")
        return
    yield from (Leak(*remain) for remain in remains[kind](data))
    header = read_header(data)
    if header is not None and header.alpha and _hides_pixels(data):
        yield Leak("transparent pixels", "under them the picture may be whole")
    yield from (Leak(number, "in the bytes of the file") for number in kinds_of_numbers(data.decode("latin-1")))


def _hides_pixels(data: bytes) -> bool:
    found: bool = load_module("clova_ocr_async.pictures.convert", "a picture with transparency").has_transparency(data)
    return found


def _in_pdf(data: bytes) -> Iterator[Leak]:
    parts = load_module("clova_ocr_async.pictures.pdf_remains", "a PDF")
    try:
        texts, hidden, jpegs = parts.texts_of_pages(data), parts.hidden_parts(data), parts.jpegs_in(data)
    except ImageError:
        yield Leak("format that cannot be checked", "the PDF is encrypted or broken")
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
    yield from (Leak(kind, "in the bytes of the file") for kind in kinds_of_numbers(data.decode("latin-1")))


# ---------------------------------------------------------------------------------------------------------------------
# Texts and tables


def _in_text(data: bytes, name: str) -> Iterator[Leak]:
    text = _decoded(data)
    ending = name.rpartition(".")[2].lower()
    if ending in {"csv", "tsv"}:
        yield from _in_rows(csv.reader(io.StringIO(text), delimiter="\t" if ending == "tsv" else ","))
        return
    for number, line in enumerate(text.splitlines(), 1):
        value = _json(line)
        found = kinds_of_numbers(line) if value is None else _in_json(value)
        yield from (Leak(kind, f"line {number:,}") for kind in found)


def _decoded(data: bytes) -> str:
    encodings = ("utf-16",) if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else ("utf-8-sig", "cp949")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            pass
    return data.decode("latin-1")


def _json(line: str) -> Any:
    """Return the value of a line of JSON Lines; None if it is not an object or array."""
    if not line.startswith(("{", "[")):
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _in_json(value: Any) -> Iterator[str]:
    """Yield the kinds of numbers in texts, whole numbers and keys; coordinates and confidences have a point."""
    if is_object(value):
        for key, child in value.items():
            yield from kinds_of_numbers(key)
            if key not in _PUBLIC:
                yield from _in_json(child)
    elif is_array(value):
        for child in value:
            yield from _in_json(child)
    elif isinstance(value, str | int):
        yield from kinds_of_numbers(str(value))


def _in_rows(rows: Iterable[list[str]]) -> Iterator[Leak]:
    header: list[str] = []
    for number, row in enumerate(rows, 1):
        header = header or row
        for column, cell in enumerate(row):
            if column >= len(header) or header[column] not in _PUBLIC:
                yield from (Leak(kind, f"row {number:,}, column {column + 1}") for kind in kinds_of_numbers(cell))


def _in_parquet(data: bytes) -> Iterator[Leak]:
    tables = load_module("clova_ocr_async.results.files.parquet_reading", "a Parquet file", "tables")
    for column, values in tables.texts_of_columns(data):
        kinds = () if column in _PUBLIC else (kind for value in values for kind in kinds_of_numbers(value))
        yield from (Leak(kind, "in a column of the Parquet file") for kind in kinds)


# ---------------------------------------------------------------------------------------------------------------------
# Archives, of which XLSX is one


def _in_archive(data: bytes, depth: int) -> Iterator[Leak]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if sum(member.file_size for member in members) > _MAX_UNPACKED or depth == _MAX_DEPTH:
                yield Leak("format that cannot be checked", "the archive is too large or too deep")
                return
            strings = _shared_strings(archive)
            for number, member in enumerate(members, 1):
                place = f"member {number:,} of the archive"
                yield from (Leak(kind, f"in the name of {place}") for kind in kinds_of_numbers(member.filename))
                content = archive.read(member)
                if member.filename.startswith("xl/worksheets/"):
                    found: Iterable[Leak] = _in_sheet(content.decode("utf-8", "replace"), strings)
                elif member.filename == _SHARED:
                    found = ()  # searched where the cells are
                else:
                    found = _leaks_in(content, member.filename, depth + 1)
                yield from (Leak(kind, f"{place}, {inside}") for kind, inside in found)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        yield Leak("format that cannot be checked", "the archive is encrypted or broken")


_SHARED = "xl/sharedStrings.xml"
_ITEM = re.compile(r"<si>(.*?)</si>|<si/>", re.DOTALL)
_CELL = re.compile(r'<c r="([A-Z]+)([0-9]+)"([^>]*?)(?:/>|>(.*?)</c>)', re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def _shared_strings(archive: zipfile.ZipFile) -> list[str]:
    if _SHARED not in archive.namelist():
        return []
    text = archive.read(_SHARED).decode("utf-8", "replace")
    return [_TAG.sub("", found[1] or "") for found in _ITEM.finditer(text)]


def _in_sheet(text: str, strings: list[str]) -> Iterator[Leak]:
    """Yield the leaks in a sheet of an XLSX, whose first row has the names of the columns."""
    public: set[str] = set()
    for found in _CELL.finditer(text):
        column, row, attributes, content = found[1], found[2], found[3], _TAG.sub("", found[4] or "")
        if 't="s"' in attributes and content.isdigit() and int(content) < len(strings):
            content = strings[int(content)]
        if content in _PUBLIC:
            public.add(column)
        if column not in public:
            yield from (Leak(kind, f"cell {column}{row}") for kind in kinds_of_numbers(content))
