"""What the headers of a picture say about its side lengths and its pages. Pure, and safe against any bytes.

Nothing here decodes pixels, follows a length unchecked, or raises: what cannot be read is None. The work is bounded by
the length of the input and by the caps below, so that a hostile file costs no more than an honest one.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = [
    "BeyondEndError",
    "Layout",
    "TiffField",
    "UnreadableError",
    "jpeg_layout",
    "jpeg_segments",
    "pdf_layout",
    "png_layout",
    "tiff_directories",
    "tiff_layout",
]


class Layout(NamedTuple):
    """Side lengths in pixels and number of pages; None where the header does not say."""

    width: int | None = None
    height: int | None = None
    pages: int | None = None


_Order: TypeAlias = Literal["little", "big"]


class UnreadableError(Exception):
    """The header is broken, or written in a way that is not understood here. For the readers of headers alone."""


class BeyondEndError(UnreadableError):
    """The header names a place behind the end of the file."""


_PNG_IHDR = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
_PNG_SIDES = struct.Struct(">II")


def png_layout(data: bytes) -> Layout:
    """Read the IHDR chunk, which must come first."""
    if not data.startswith(_PNG_IHDR) or len(data) < len(_PNG_IHDR) + _PNG_SIDES.size:
        return Layout(pages=1)
    width, height = _PNG_SIDES.unpack_from(data, len(_PNG_IHDR))
    return Layout(width or None, height or None, 1)


_JPEG_MARKER = re.compile(rb"\xff([\x01-\xfe])")  # passes over fill bytes (FF FF) and stuffed zeros (FF 00)
_JPEG_MAX_SEGMENTS = 10_000  # full ones would fill 650 MB; a hostile file has one every two bytes
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0-15 without DHT, JPG, DAC
_JPEG_BARE = frozenset((0x01, *range(0xD0, 0xD8)))  # TEM and RST0-7 have no length
_JPEG_NO_FRAME_AFTER = frozenset((0xD8, 0xD9, 0xDA))  # a second SOI, EOI, SOS: the frame header should have come before


def jpeg_layout(data: bytes) -> Layout:
    """Walk the segments to the frame header; an EXIF thumbnail lies inside a segment and is stepped over."""
    width = height = None
    try:
        at = _jpeg_frame(data)
        height = _unsigned(data, at + 5, 2, "big")  # 0 if a DNL segment after the scan tells it
        width = _unsigned(data, at + 7, 2, "big")
    except UnreadableError:
        pass
    return Layout(width or None, height or None, 1)


def _jpeg_frame(data: bytes) -> int:
    """Return where the frame header's marker stands."""
    for marker, at in jpeg_segments(data):
        if marker in _JPEG_FRAMES:
            return at
        if marker in _JPEG_NO_FRAME_AFTER:
            break
    raise UnreadableError


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of a JPEG up to its first scan, and where each stands; a segment's content is stepped over.

    Raises:
        UnreadableError: A segment has no length.
    """
    at = 2
    for _ in range(_JPEG_MAX_SEGMENTS):
        match = _JPEG_MARKER.search(data, at)
        if match is None:
            return
        marker, at = data[match.start(1)], match.end()
        yield marker, match.start()
        if marker not in _JPEG_BARE:
            at += _jpeg_segment(data, at)


def _jpeg_segment(data: bytes, at: int) -> int:
    length = _unsigned(data, at, 2, "big")
    if length < 2:  # noqa: PLR2004 - the length counts its own two bytes
        raise UnreadableError
    return length


def _unsigned(data: bytes, at: int, size: int, order: _Order) -> int:
    if at + size > len(data):
        raise BeyondEndError
    return int.from_bytes(data[at : at + size], order)


_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _IMAGE_WIDTH, _IMAGE_LENGTH = 254, 255, 256, 257
_TIFF_BIG = 43  # the version number of BigTIFF
_TIFF_TAGS = frozenset((_NEW_SUBFILE_TYPE, _SUBFILE_TYPE, _IMAGE_WIDTH, _IMAGE_LENGTH))
_TIFF_SIZES = {1: 1, 3: 2, 4: 4, 16: 8}  # BYTE, SHORT, LONG, LONG8: type -> bytes
_TIFF_NO_PAGE = 0b101  # NewSubfileType: bit 0 a reduced version of another picture, bit 2 a transparency mask
_TIFF_OLD_REDUCED = 2  # SubfileType, the older tag: a reduced version of another picture
_TIFF_MAX_ENTRIES = 100_000  # of all directories; a page has about 15


class TiffField(NamedTuple):
    """One entry of a directory.

    Attributes:
        order: The file's byte order.
        kind: The type of its values, by number.
        count: How many values it has.
        value: The values where they fit, else where they stand; as it is written.
    """

    order: _Order
    kind: int
    count: int
    value: bytes


_Directory: TypeAlias = dict[int, int]


def tiff_layout(data: bytes) -> Layout:
    """Follow the chain of directories of a TIFF or BigTIFF; the side lengths are the first page's.

    Pages are the directories of the chain that are neither a reduced version nor a mask of another one. Sub-directories
    stand outside the chain and are not counted. A chain that breaks or bites its own tail leaves the pages unknown.
    """
    directories: list[_Directory] = []
    intact = True
    try:
        directories.extend(map(_tiff_numbers, tiff_directories(data, _TIFF_TAGS)))  # keeps what came before a break
    except UnreadableError:
        intact = False
    pages = [directory for directory in directories if not _is_no_page(directory)]
    first = next(iter(pages or directories), _Directory())
    # Nothing but reduced versions: alone it is the page all the same, several could be versions of one or pages.
    count = len(pages) or (1 if len(directories) == 1 else None)
    return Layout(first.get(_IMAGE_WIDTH) or None, first.get(_IMAGE_LENGTH) or None, count if intact else None)


def _is_no_page(directory: _Directory) -> bool:
    kind, old_kind = directory.get(_NEW_SUBFILE_TYPE, 0), directory.get(_SUBFILE_TYPE)
    return kind & _TIFF_NO_PAGE > 0 or old_kind == _TIFF_OLD_REDUCED


def tiff_directories(data: bytes, tags: Collection[int]) -> Iterator[dict[int, TiffField]]:
    """Yield the directories of the chain of a TIFF or BigTIFF, each with the fields looked for.

    Raises:
        BeyondEndError: The chain leads behind the end of the file.
        UnreadableError: The chain breaks, or leads back to where it was.
    """
    order: _Order = "little" if data[:2] == b"II" else "big"
    big = _unsigned(data, 2, 2, order) == _TIFF_BIG
    word, count_size, layout = (8, 8, "HHQ8s") if big else (4, 2, "HHI4s")
    entry = struct.Struct(("<" if order == "little" else ">") + layout)
    at = _unsigned(data, word, word, order)
    # Ends a chain that loops, too. Directories that do not overlap cannot have more entries than fit into the file.
    budget = min(_TIFF_MAX_ENTRIES, len(data) // entry.size)
    while at:
        count = _unsigned(data, at, count_size, order)
        start, end = at + count_size, at + count_size + count * entry.size
        budget -= count
        if end > len(data):
            raise BeyondEndError
        if count == 0 or budget < 0:
            raise UnreadableError
        entries = entry.iter_unpack(data[start:end])
        yield {tag: TiffField(order, kind, times, value) for tag, kind, times, value in entries if tag in tags}
        at = _unsigned(data, end, word, order)


def _tiff_numbers(directory: dict[int, TiffField]) -> _Directory:
    return {
        tag: int.from_bytes(field.value[: _TIFF_SIZES[field.kind]], field.order)
        for tag, field in directory.items()
        if field.count == 1 and field.kind in _TIFF_SIZES
    }


_PDF_TAIL = 4096  # bytes at the end that are searched for startxref
_PDF_WINDOW = 256 * 1024  # bytes a dictionary may take
_PDF_MAX_SECTIONS = 100  # incremental updates
_PDF_MAX_SUBSECTIONS = 10_000
_PDF_MAX_TOKENS = 200_000
_PDF_MAX_NODES = 100  # of the page tree that are compared with /Count

# Quantifiers are possessive, so that a token costs its length whatever follows it.
_PDF_BLANK = rb"(?:[\x00\t\n\x0c\r ]++|%[^\r\n]*+)*+"
_PDF_STRING = rb"\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*+\))*+\)"  # parentheses may nest once, which is rare enough
_PDF_TOKEN = re.compile(
    _PDF_BLANK + rb"(<<|>>|[\[\]]|" + _PDF_STRING + rb"|<[^<>]*+>|/?[^\x00\t\n\x0c\r ()<>\[\]{}/%]++|/)", re.DOTALL
)
_PDF_STARTXREF = re.compile(rb"startxref\s{1,99}+(\d{1,10})\s{1,99}+%%EOF")
_PDF_XREF = re.compile(rb"\s{0,99}+xref\s{1,99}+")
_PDF_SUBSECTION = re.compile(rb"\s{0,99}+(\d{1,10}) {1,99}+(\d{1,10})\s{1,99}+")
_PDF_TRAILER = re.compile(rb"\s{0,99}+trailer(?=[\s<])")
_PDF_ENTRY = re.compile(rb"(\d{10}) (\d{5}) ([nf])(?: \r| \n|\r\n)")
_PDF_ENTRY_SIZE = 20
_PDF_OBJECT = re.compile(rb"\s{0,99}+(\d{1,10})\s{1,99}+(\d{1,5})\s{1,99}+obj(?![0-9A-Za-z])")
_PDF_BEGINNINGS, _PDF_ENDS = frozenset((b"<<", b"[")), frozenset((b">>", b"]"))
_PDF_INTEGER = re.compile(rb"\d{1,9}")

_Reference: TypeAlias = tuple[int, int]  # object number, generation
_Value: TypeAlias = list[bytes]  # the tokens of one value


def pdf_layout(data: bytes) -> Layout:
    """Count the pages of a plain PDF; a page has no side lengths in pixels.

    Plain means: classic cross-reference tables, nothing encrypted, and a page tree that agrees with itself. The tables
    are followed as a reader follows them, newest first, so that what merely looks like an object (inside a stream, a
    comment, an older revision) is never taken for one. Any other file leaves the pages unknown.
    """
    try:
        return Layout(pages=_PlainPdf(data).count_pages())
    except UnreadableError:
        return Layout()


class _PlainPdf:
    """The cross-reference tables of a PDF and the few objects between its trailer and its pages."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._tokens_left = _PDF_MAX_TOKENS
        self._subsections: list[tuple[int, int, int]] = []  # first object, how many, where; newest first
        self._trailer = self._read_sections()

    def count_pages(self) -> int:
        catalog = self._dictionary_of(_reference(self._trailer.get(b"/Root")))
        root = _reference(catalog.get(b"/Pages"))
        tree = self._dictionary_of(root)
        count = self._integer(tree.get(b"/Count"))
        if catalog.get(b"/Type") != [b"/Catalog"] or tree.get(b"/Type") != [b"/Pages"] or count < 1:
            raise UnreadableError
        if not self._agrees(root, count):
            raise UnreadableError
        return count

    def _agrees(self, root: _Reference, count: int) -> bool:
        """Count the pages one by one; where the tree is too big for that, as far as the cap goes."""
        leaves, seen, waiting = 0, set[_Reference](), [root]
        while waiting:
            node = waiting.pop()
            if node in seen:
                raise UnreadableError
            seen.add(node)
            if len(seen) > _PDF_MAX_NODES:
                return leaves <= count
            entries = self._dictionary_of(node)
            match entries.get(b"/Type"):
                case [b"/Page"]:
                    leaves += 1
                case [b"/Pages"]:
                    waiting.extend(_references(entries.get(b"/Kids")))
                case _:
                    raise UnreadableError
        return leaves == count

    def _read_sections(self) -> dict[bytes, _Value]:
        """Read the chain of tables, newest first, and return the newest trailer."""
        end = self._data.rfind(b"startxref", max(0, len(self._data) - _PDF_TAIL))
        newest: dict[bytes, _Value] = {}
        at = int(self._match(_PDF_STARTXREF, end)[1])
        for _ in range(_PDF_MAX_SECTIONS):  # ends a chain that loops, too
            trailer = self._read_section(at)
            newest = newest or trailer
            if b"/Prev" not in trailer:
                return newest
            at = _integer_of(trailer[b"/Prev"])
        raise UnreadableError

    def _read_section(self, at: int) -> dict[bytes, _Value]:
        at = self._match(_PDF_XREF, at).end()
        while (trailer := _PDF_TRAILER.match(self._data, at)) is None:
            match = self._match(_PDF_SUBSECTION, at)
            first, count = int(match[1]), int(match[2])
            self._subsections.append((first, count, match.end()))
            if len(self._subsections) > _PDF_MAX_SUBSECTIONS:
                raise UnreadableError
            at = match.end() + count * _PDF_ENTRY_SIZE
        entries = self._dictionary_at(trailer.end())
        if b"/Encrypt" in entries or b"/XRefStm" in entries:
            raise UnreadableError
        return entries

    def _match(self, pattern: re.Pattern[bytes], at: int) -> re.Match[bytes]:
        match = pattern.match(self._data, at)
        if match is None:
            raise UnreadableError
        return match

    def _body_of(self, reference: _Reference) -> int:
        """Return where the newest definition of an object begins."""
        number, generation = reference
        for first, count, at in self._subsections:
            if first <= number < first + count:
                entry = self._match(_PDF_ENTRY, at + (number - first) * _PDF_ENTRY_SIZE)
                found = self._match(_PDF_OBJECT, int(entry[1]))
                if entry[3] == b"n" and (int(found[1]), int(found[2])) == (number, generation):
                    return found.end()
                break
        raise UnreadableError

    def _dictionary_of(self, reference: _Reference) -> dict[bytes, _Value]:
        return self._dictionary_at(self._body_of(reference))

    def _integer(self, value: _Value | None) -> int:
        if value is not None and value[-1] == b"R":
            value = [next(self._tokens(self._body_of(_reference(value))))]
        return _integer_of(value)

    def _dictionary_at(self, at: int) -> dict[bytes, _Value]:
        """Read one dictionary; a nested one stays the list of its tokens."""
        tokens = self._tokens(at)
        if next(tokens) != b"<<":
            raise UnreadableError
        values = _values(tokens)
        names = [name for value in values[::2] for name in value]
        entries = dict(zip(names, values[1::2], strict=False))
        # Fewer entries than names: a name twice, an odd one out, or something else in the place of a name.
        if len(entries) < len(names) or any(not name.startswith(b"/") or b"#" in name for name in names):
            raise UnreadableError
        return entries

    def _tokens(self, at: int) -> Iterator[bytes]:
        end = min(len(self._data), at + _PDF_WINDOW)
        while self._tokens_left:
            self._tokens_left -= 1
            match = _PDF_TOKEN.match(self._data, at, end)
            if match is None:
                break
            yield match[1]
            at = match.end()
        raise UnreadableError


def _values(tokens: Iterator[bytes]) -> list[_Value]:
    """Cut the tokens of a dictionary, up to its end, into values."""
    values: list[_Value] = []
    depth = 0
    while (token := next(tokens)) not in _PDF_ENDS or depth:
        if depth:
            values[-1].append(token)
        elif token == b"R":
            values[-2:] = [[part for value in values[-2:] for part in value] + [token]]
        else:
            values.append([token])
        depth += (token in _PDF_BEGINNINGS) - (token in _PDF_ENDS)
    return values


def _reference(value: _Value | None) -> _Reference:
    if value is None or len(value) != 3 or value[2] != b"R":  # noqa: PLR2004 - number, generation, R
        raise UnreadableError
    return _integer_of(value[:1]), _integer_of(value[1:2])


def _references(value: _Value | None) -> list[_Reference]:
    if value is None or value[0] != b"[":
        raise UnreadableError
    inner = value[1:-1]
    return [_reference(inner[start : start + 3]) for start in range(0, len(inner), 3)]


def _integer_of(value: _Value | None) -> int:
    if value is None or len(value) != 1 or _PDF_INTEGER.fullmatch(value[0]) is None:
        raise UnreadableError
    return int(value[0])
