"""The number of pages of a plain PDF, from its tables and page tree. Pure, and safe against any bytes.

The work is bounded by the length of the input and by the limits below, so that a hostile file costs no more than an
ordinary one.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, TypeAlias

from clova_ocr_async.protocol.dimensions import Dimensions, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["pdf_dimensions"]

_PDF_TAIL = 4096  # bytes at the end that are searched for startxref
_PDF_WINDOW = 256 * 1024  # bytes a dictionary may take
_PDF_MAX_SECTIONS = 100  # incremental updates
_PDF_MAX_SUBSECTIONS = 10_000
_PDF_MAX_TOKENS = 200_000
_PDF_MAX_PASSES = 3  # over each byte, on average
_PDF_MAX_NODES = 100  # nodes of the page tree that are compared with /Count

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


def pdf_dimensions(data: bytes) -> Dimensions:
    """Count the pages of a plain PDF; a page has no side lengths in pixels.

    Plain means: classic cross-reference tables, nothing encrypted, and a page tree that agrees with itself. The tables
    are followed as a PDF reader follows them, newest first, so that bytes that merely look like an object (inside a
    stream, a comment, an older revision) are never taken for one. The pages of any other file are unknown.
    """
    try:
        return Dimensions(pages=_PlainPdf(data).count_pages())
    except UnreadableError:
        return Dimensions()


class _PlainPdf:
    """The cross-reference tables of a PDF and the few objects between its trailer and its pages."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._tokens_left = _PDF_MAX_TOKENS
        # An ordinary file is read once or twice; a hostile one has the same bytes read again and again.
        self._work_left = _PDF_MAX_PASSES * len(data)
        self._subsections: list[tuple[int, int, int]] = []  # first object, number of objects, place; newest first
        self._trailer = self._read_sections()

    def count_pages(self) -> int:
        catalog = self._dictionary_of(_reference(self._trailer.get(b"/Root")))
        root = _reference(catalog.get(b"/Pages"))
        tree = self._dictionary_of(root)
        count = self._integer(tree.get(b"/Count"))
        if catalog.get(b"/Type") != [b"/Catalog"] or tree.get(b"/Type") != [b"/Pages"] or count < 1:
            raise UnreadableError
        if not self._page_tree_has(count, root):
            raise UnreadableError
        return count

    def _page_tree_has(self, count: int, root: _Reference) -> bool:
        """Count the pages one by one; in a tree over the limit, those of the first nodes."""
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
        for _ in range(_PDF_MAX_SECTIONS):  # also ends a circular chain
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
        """Return the place of the newest definition of an object."""
        number, generation = reference
        for first, count, at in self._subsections:
            self._spend(_PDF_ENTRY_SIZE)
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
        """Parse one dictionary; a nested one stays a list of tokens."""
        tokens = self._tokens(at)
        if next(tokens) != b"<<":
            raise UnreadableError
        values = _values(tokens)
        names = [name for value in values[::2] for name in value]
        entries = dict(zip(names, values[1::2], strict=False))
        # Fewer entries than names: a name twice, a name without a value, or another token in the place of a name.
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
            self._spend(match.end() - at)
            yield match[1]
            at = match.end()
        raise UnreadableError

    def _spend(self, work: int) -> None:
        """Subtract work from the budget of a file of this length."""
        self._work_left -= work
        if self._work_left < 0:
            raise UnreadableError


def _values(tokens: Iterator[bytes]) -> list[_Value]:
    """Split the tokens of a dictionary, up to its end, into values."""
    values: list[_Value] = []
    depth = 0
    while (token := next(tokens)) not in _PDF_ENDS or depth:
        if depth:
            values[-1].append(token)
        elif token == b"R":
            values[-2:] = [_checked_reference([*itertools.chain.from_iterable(values[-2:]), token])]
        else:
            values.append([token])
        depth += (token in _PDF_BEGINNINGS) - (token in _PDF_ENDS)
    return values


def _checked_reference(value: _Value) -> _Value:
    _reference(value)
    return value


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
