"""The content of a PDF page, looked at before anything decodes it: a few kilobytes may hold gigabytes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import pikepdf

from clova_ocr_async.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["check_content", "largest_image"]

_MAX_CONTENT = 100 * 2**20  # bytes, decoded, of the drawing instructions of a page
_MAX_PARTS = 10_000  # of a page
_RATIO = 1032  # zlib's highest
_USUAL_RATIO = 100  # Assumed: of instructions that are packed in other ways
_CHUNK = 2**20
_PACKED = frozenset(("/FlateDecode", "/LZWDecode", "/RunLengthDecode"))


def check_content(name: str, page: pikepdf.Page) -> None:
    """Refuse a page whose drawing instructions are too long to be parsed.

    Args:
        name: The page, as messages show it.
        page: The page.

    Raises:
        ImageError: They have more than 100 MiB.
    """
    left = _MAX_CONTENT
    for stream in _instructions(page):
        left -= _length(stream, left)
        if left < 0:
            raise ImageError(
                f"{name} has drawing instructions of more than {_MAX_CONTENT:,} bytes; print it to a PDF as a picture"
            )


def largest_image(pdf: pikepdf.Pdf) -> int:
    """Return the pixels of the largest picture in a document; 0 without any."""
    return max((_pixels(item) for item in pdf.objects if isinstance(item, pikepdf.Stream)), default=0)


def _pixels(stream: pikepdf.Stream) -> int:
    sides: tuple[object, object] = stream.get("/Width"), stream.get("/Height")
    width, height = sides
    return int(width * height) if isinstance(width, int) and isinstance(height, int) else 0


def _instructions(page: pikepdf.Page) -> Iterator[pikepdf.Stream]:
    """Yield the content of a page, and of the parts (form XObjects) that it draws by a name, and that those draw."""
    contents = page.obj.get("/Contents")
    yield from _streams(contents if isinstance(contents, pikepdf.Array) else [contents])
    seen = set[tuple[int, int]]()
    waiting = _streams(page.form_xobjects.values())
    while waiting:
        part = waiting.pop()
        if part.objgen not in seen and len(seen) < _MAX_PARTS:
            seen.add(part.objgen)
            yield part
            waiting += _parts(part)


def _parts(stream: pikepdf.Stream) -> list[pikepdf.Stream]:
    resources = stream.get("/Resources")
    named = resources.get("/XObject") if isinstance(resources, pikepdf.Dictionary) else None
    found = _streams(value for _, value in named.items()) if isinstance(named, pikepdf.Dictionary) else []
    return [part for part in found if part.get("/Subtype") == "/Form"]


def _streams(items: Iterable[object]) -> list[pikepdf.Stream]:
    return [item for item in items if isinstance(item, pikepdf.Stream)]


def _length(stream: pikepdf.Stream, limit: int) -> int:
    """Return the decoded length of a stream; an upper bound where that is within the limit, and nothing is decoded."""
    raw = stream.read_raw_bytes()
    filters = stream.get("/Filter")
    names = [str(name) for name in (filters if isinstance(filters, pikepdf.Array) else [filters]) if name is not None]
    if names == ["/FlateDecode"]:
        return len(raw) * _RATIO if len(raw) * _RATIO <= limit else _inflated(raw, limit)
    packings = sum(name in _PACKED for name in names)
    return len(raw) * int(_USUAL_RATIO**packings)


def _inflated(raw: bytes, limit: int) -> int:
    """Return the length of deflated data, or any number above the limit."""
    length, inflate = 0, zlib.decompressobj()
    try:
        while raw and length <= limit and not inflate.eof:
            length += len(inflate.decompress(raw, _CHUNK))
            raw = inflate.unconsumed_tail
    except zlib.error:
        pass  # readers show what comes before the break
    return length
