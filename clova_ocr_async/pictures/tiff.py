"""Pages of TIFF files, cut by copying their directory and their strips or tiles: not one pixel is decoded.

Dropped are the tags that point to something else in the file: sub-directories, EXIF, GPS, lists of free bytes. JPEG
tables and the orientation stay. A BigTIFF, and a page whose strips cannot be copied alone, goes through Pillow.

Glossary: *directory* (IFD), the list of the tags of one picture; the directories of a file form a chain. *Strip* and
*tile*, the parts in which the pixels are stored.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from clova_ocr_async.documents.picture import Picture, swapped
from clova_ocr_async.errors import ImageError
from clova_ocr_async.extras import load_module
from clova_ocr_async.host.plural import plural
from clova_ocr_async.pictures.library_lock import LibraryLock
from clova_ocr_async.pictures.open_documents import OpenDocuments
from clova_ocr_async.pictures.picture_header import orientation_of
from clova_ocr_async.protocol.dimensions import BeyondEndError, UnreadableError
from clova_ocr_async.protocol.image_headers import TiffField, tiff_directories, tiff_pages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clova_ocr_async.pictures.paged_file import PagedFile
    from clova_ocr_async.pictures.preparation import Preparation

__all__ = ["count_pages", "cut_page"]

_WIDTH, _LENGTH, _COMPRESSION, _ORIENTATION = 256, 257, 259, 274
_STRIPS, _STRIP_SIZES, _TILES, _TILE_SIZES = 273, 279, 324, 325
_POINTERS = frozenset((288, 289, 297, 330, 34665, 34853, 40965))  # free bytes, PageNumber, sub-IFDs, EXIF, GPS, interop
_OLD_JPEG = 6  # a compression whose tables lie anywhere in the file
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}  # type -> bytes
_NUMBERS = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
_LONG, _CLASSIC = 4, 42
_HEADER, _ENTRY, _INLINE = 8, 12, 4  # bytes of the header, of an entry, and of a value that stands in its entry
_EVERY_TAG = range(65536)


class _ExoticError(Exception):
    """A page that cannot be copied; never leaves this module."""


class _Slices:
    """A file of which slices are read as they are needed."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(self._size)
        self._stream.seek(start)
        return self._stream.read(max(end - start, 0))

    def at(self, start: int, size: int) -> bytes:
        """Return some bytes.

        Raises:
            BeyondEndError: The file ends before them.
        """
        found = self[start : start + size]
        if len(found) < size:
            raise BeyondEndError
        return found


class _Document:
    """A TIFF from which pages are cut; used by one thread at a time."""

    def __init__(self, file: PagedFile) -> None:
        self._file = file
        with ExitStack() as stack:
            self._stream = stack.enter_context(file.open())
            self._data = _Slices(self._stream, file.size)
            try:
                self._directories = list(tiff_directories(self._data, _EVERY_TAG))
            except BeyondEndError:
                raise _cut_off(file.name) from None
            except UnreadableError:
                raise ImageError(f"{file.name} is damaged: its chain of pages is broken; {_REPAIR}") from None
            self.pages = tiff_pages(self._directories)
            if not self.pages:
                raise ImageError(f"{file.name} has no page, or only versions of one; {_REPAIR}")
            self._resources = stack.pop_all()

    def close(self) -> None:
        self._resources.close()

    def cut(self, number: int) -> _CutPage:
        """Cut a page.

        Raises:
            ImageError: There is no such page, or a part of it is missing.
        """
        if number > len(self.pages):
            raise ImageError(
                f"{self._file.name} has {plural(len(self.pages), 'page')}, so there is no page {number:,}; "
                f"give a number from 1 to {len(self.pages):,}"
            )
        name = f"page {number:,} of {self._file.name}"
        place = self.pages[number - 1]
        found = self._directories[place]
        try:
            data = _copied(self._data, found)
        except _ExoticError:
            data = None
        # Refused, although most of the page may be there: the call would be paid, and what is missing not be read.
        except BeyondEndError:
            raise _cut_off(name) from None
        except UnreadableError:
            raise ImageError(f"{name} is damaged: its parts overlap; {_REPAIR}") from None
        self._file.check_unchanged(self._stream)
        largest = max(_number(one, _WIDTH) * _number(one, _LENGTH) for one in self._directories[: place + 1])
        sides = _number(found, _WIDTH), _number(found, _LENGTH)
        return _CutPage(name, data, place, sides, orientation_of(_number(found, _ORIENTATION)), largest)


class _CutPage(NamedTuple):
    """A page as a file of its own.

    Attributes:
        name: Page and file, as messages show them.
        data: The file; None for a page that Pillow must decode.
        place: The place of its directory in the chain.
        sides: Width and height in pixels, as stored.
        orientation: The EXIF orientation.
        largest: Pixels of the largest picture up to the page, since Pillow looks at each.
    """

    name: str
    data: bytes | None
    place: int
    sides: tuple[int, int]
    orientation: int
    largest: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as a viewer shows the page."""
        return swapped(self.sides, self.orientation)


_REPAIR = "get the whole file, or save it anew"
# The lock is for the position in the stream, which the reads of all threads move.
_DOCUMENTS = OpenDocuments(_Document, LibraryLock())


def _cut_off(name: str) -> ImageError:
    return ImageError(f"{name} is cut off: the end of its tiff data is missing; get the whole file", truncated=True)


def count_pages(file: PagedFile) -> int:
    """Count the pages of a TIFF.

    Raises:
        ImageError: The file is broken.
    """
    with _DOCUMENTS.borrow(file) as document:
        return len(document.pages)


def cut_page(
    file: PagedFile, number: int, *, max_bytes: int | None, preparation: Preparation | None
) -> tuple[bytes, Picture]:
    """Return one page of a TIFF as a file of its own: a TIFF, or a PNG or JPEG where it cannot be copied.

    A file of one page is returned as it is, if it may be.

    Args:
        file: The file.
        number: The page, from 1.
        max_bytes: The largest file that may be sent; None for no limit.
        preparation: The settings, for the quality of a JPEG; None for the default ones.

    Raises:
        ImageError: The file is broken, has no such page, or the page cannot be made small enough.
    """
    with _DOCUMENTS.borrow(file) as document:
        cut, count = document.cut(number), len(document.pages)
    page, steps = (None, ()) if count == 1 else (number, (f"page {number:,} of {count:,}",))
    if page is None and (max_bytes is None or file.size <= max_bytes):
        return file.read(), Picture(size=cut.size, orientation=cut.orientation)
    if cut.data is not None and (max_bytes is None or len(cut.data) <= max_bytes):
        digest = hashlib.sha256(cut.data).hexdigest()
        return cut.data, Picture(steps=steps, page=page, size=cut.size, orientation=cut.orientation, sha256=digest)
    decode = load_module("clova_ocr_async.pictures.tiff_decoding", "a TIFF that cannot be cut as it is").decoded_page
    # A stream of its own: Pillow moves about in it for as long as it decodes, and no other page has to wait for that.
    with file.open() as stream:
        data, step = decode(
            stream, cut.name, place=cut.place, pixels=cut.largest, max_bytes=max_bytes, preparation=preparation
        )
    return data, Picture(
        steps=(*steps, step),
        page=page,
        size=cut.size,
        sent_size=cut.size,
        orientation=cut.orientation,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _number(directory: Mapping[int, TiffField], tag: int) -> int:
    """Return the single number of a tag; 0 without one."""
    field = directory.get(tag)
    if field is None or field.value_count != 1 or field.value_type not in _NUMBERS:
        return 0
    return int.from_bytes(field.value[: _SIZES[field.value_type]], field.order)


def _copied(data: _Slices, directory: Mapping[int, TiffField]) -> bytes:
    """Return a file with one directory.

    Raises:
        BeyondEndError: The file ends before the end of the page.
        UnreadableError: The parts of the page overlap: together they are larger than the file.
        _ExoticError: The page cannot be copied.
    """
    if data[2:4] not in {b"\x2a\0", b"\0\x2a"} or _number(directory, _COMPRESSION) == _OLD_JPEG:
        raise _ExoticError
    places, sizes = (_TILES, _TILE_SIZES) if _TILES in directory else (_STRIPS, _STRIP_SIZES)
    kept = {tag: found for tag, found in directory.items() if tag not in _POINTERS and found.value_type in _SIZES}
    size = sum(map(_size, kept.values()))
    # Before anything is read: a few entries that all point to the same bytes would fill the memory.
    if size > len(data):
        raise UnreadableError
    values = {tag: _Value(found.value_type, found.value_count, _read(data, found)) for tag, found in kept.items()}
    order = "<" if data[:2] == b"II" else ">"
    starts, lengths = (values[tag].numbers(order) if tag in values else () for tag in (places, sizes))
    if not starts or len(starts) != len(lengths):
        raise _ExoticError
    if size + sum(lengths) > len(data):
        raise UnreadableError
    parts = [data.at(start, length) for start, length in zip(starts, lengths, strict=True)]
    return _written(order, values, places, parts)


class _Value(NamedTuple):
    """The values of a tag: the number of their type, their number, and their bytes."""

    value_type: int
    value_count: int
    content: bytes

    def numbers(self, order: str) -> tuple[int, ...]:
        """Return whole numbers; none if they are of another type."""
        kind = _NUMBERS.get(self.value_type)
        return () if kind is None else struct.unpack(f"{order}{self.value_count}{kind}", self.content)


def _size(field: TiffField) -> int:
    return _SIZES[field.value_type] * field.value_count


def _read(data: _Slices, field: TiffField) -> bytes:
    size = _size(field)
    return field.value[:size] if size <= len(field.value) else data.at(int.from_bytes(field.value, field.order), size)


def _written(order: str, values: dict[int, _Value], places: int, parts: list[bytes]) -> bytes:
    """Write a file: its header, the directory, the values that are too long for it, and the parts."""
    empty = _Value(_LONG, len(parts), bytes(4 * len(parts)))  # until the places of the parts are known
    # Ascending by their tags. Source: TIFF 6.0 (1992), section 2, which also asks for even places.
    filled = dict(sorted({**values, places: empty}.items()))
    long_tags = [tag for tag, value in filled.items() if len(value.content) > _INLINE]
    starts = _starts(_HEADER + 2 + _ENTRY * len(filled) + 4, [*(filled[tag].content for tag in long_tags), *parts])
    # A sparse tile has no place.
    table = [start if part else 0 for start, part in zip(starts[len(long_tags) :], parts, strict=True)]
    filled[places] = empty._replace(content=struct.pack(f"{order}{len(table)}I", *table))
    place_of = dict(zip(long_tags, starts, strict=False))
    magic = b"II" if order == "<" else b"MM"
    pieces = [magic + struct.pack(f"{order}HIH", _CLASSIC, _HEADER, len(filled))]
    for tag, value in filled.items():
        inline = struct.pack(f"{order}I", place_of[tag]) if tag in place_of else value.content.ljust(_INLINE, b"\0")
        pieces.append(struct.pack(f"{order}HHI", tag, value.value_type, value.value_count) + inline)
    pieces.append(bytes(4))  # the end of the chain
    for content in [*(filled[tag].content for tag in long_tags), *parts]:
        pieces += (content, bytes(len(content) % 2))
    return b"".join(pieces)


def _starts(at: int, pieces: list[bytes]) -> list[int]:
    """Return the places of pieces that follow each other; each begins at an even one."""
    return list(itertools.accumulate((len(piece) + len(piece) % 2 for piece in pieces[:-1]), initial=at))
