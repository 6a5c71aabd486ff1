"""The ground truth of a sample, carried inside its file.

A sample's file contains the answer of a perfect recognition. It is plain ASCII between two markers, so that it fits
into any container (a JPEG comment, a PNG text chunk, a TIFF tag, a PDF string) and can be found in the file's bytes
without parsing the container or the picture.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "DOCUMENTS",
    "END",
    "MAX_PACKED",
    "MAX_STARTS",
    "MAX_UNPACKED",
    "START",
    "GroundTruth",
    "find_ground_truth",
    "pack_ground_truth",
]


DOCUMENTS = ("receipt", "credit-card", "name-card", "biz-license", "id-card", "passport")
"""The vendor's path words of the six documents."""

START = b"CLOVA-OCR-SAMPLE-TRUTH-1["
"""The first bytes of a packed ground truth. PDF escapes round brackets in its strings, so this one is square."""

END = b"]CLOVA-OCR-SAMPLE-TRUTH-END"
"""The last bytes of a packed ground truth."""

MAX_PACKED = 1 << 20
"""Maximum length of a packed ground truth, in bytes, without its markers."""

MAX_UNPACKED = 4 << 20
"""Maximum length of an unpacked ground truth, in bytes of JSON: a small file must not fill the memory."""

MAX_STARTS = 16
"""Maximum number of start markers that are followed in one file: a file full of them must not take long."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """The answer of a perfect recognition of one sample.

    Attributes:
        document: The vendor's path word, one of ``DOCUMENTS``.
        width: Width of the picture, in pixels.
        height: Height of the picture, in pixels.
        answer: The document object as the service sends it, ``{"meta": {…}, "result": {…}}``, for a passport
            ``{"passportResult": {…}}``. Its polygons are in pixels from the picture's top left corner.
    """

    document: str
    width: int
    height: int
    answer: dict[str, Any] = field(repr=False)


def pack_ground_truth(truth: GroundTruth) -> bytes:
    """Pack a ground truth into one line of ASCII between two markers.

    Args:
        truth: The ground truth; its answer must consist of JSON's types.

    Returns:
        ``START``, base64 of the compressed JSON, ``END``. Contains no whitespace, quotes, brackets or backslashes but
        those of the markers.

    Raises:
        ValueError: ``find_ground_truth`` would not return it: the document is unknown, the size impossible, or the
            answer not JSON or too long.
    """
    if not _is_valid(truth):
        raise ValueError(f"not a ground truth: a {truth.document!r} of {truth.width!r} x {truth.height!r} pixels")
    fields = {"document": truth.document, "width": truth.width, "height": truth.height, "answer": truth.answer}
    text = json.dumps(fields, allow_nan=False, separators=(",", ":")).encode("ascii")
    packed = base64.b64encode(zlib.compress(text, 9))
    if len(text) > MAX_UNPACKED or len(packed) > MAX_PACKED:
        raise ValueError(f"the ground truth is too long to pack: {len(text)} bytes, {len(packed)} when packed")
    return START + packed + END


def find_ground_truth(data: bytes) -> GroundTruth | None:
    """Return the ground truth that a file carries.

    Args:
        data: The bytes of any file.

    Returns:
        The first complete ground truth; None if there is none, or if it is damaged, too long or of another shape.
    """
    for packed in _packed_truths(data):
        text = _unpacked(packed)
        truth = None if text is None else _read(text)
        if truth is not None:
            return truth
    return None


def _packed_truths(data: bytes) -> Iterator[bytes]:
    """Yield the bytes between each start marker and the next end marker."""
    start = data.find(START)
    for _ in range(MAX_STARTS):
        if start < 0:
            return
        begin = start + len(START)
        end = data.find(END, begin, begin + MAX_PACKED + len(END))
        if end >= 0:
            yield data[begin:end]
        start = data.find(START, begin)  # behind the marker only: it may have been part of another text


def _unpacked(packed: bytes) -> bytes | None:
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED)
    except (ValueError, zlib.error):
        return None
    return text if inflate.eof else None  # an incomplete stream is damaged, or longer than allowed


def _read(text: bytes) -> GroundTruth | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match fields:
        case {"document": str(document), "width": int(width), "height": int(height), "answer": dict()}:
            truth = GroundTruth(document, width, height, cast("dict[str, Any]", fields["answer"]))
            return truth if _is_valid(truth) else None
        case _:
            return None


def _is_valid(truth: GroundTruth) -> bool:
    # type(), because isinstance(True, int) is true.
    sizes = all(type(side) is int and side > 0 for side in (truth.width, truth.height))
    return truth.document in DOCUMENTS and sizes
