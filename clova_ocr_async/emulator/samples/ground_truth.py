"""The truth about a drawn picture, carried inside its file.

A sample picture states what a perfect reading of it would answer. The statement is plain ASCII between two markers, so
that it can stand in any container (a JPEG comment, a PNG text chunk, a TIFF tag, a PDF string) and be found again in
the file's bytes by somebody who knows nothing about containers, or pictures.
"""

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

DOCUMENTS: Final = ("receipt", "credit-card", "name-card", "biz-license", "id-card", "passport")
"""The vendor's path words, one a document type."""

START: Final = b"CLOVA-OCR-SAMPLE-TRUTH-1["
"""What a packed truth begins with. Square brackets, since round ones are escaped in a PDF's strings."""

END: Final = b"]CLOVA-OCR-SAMPLE-TRUTH-END"
"""What a packed truth ends with."""

MAX_PACKED: Final = 1 << 20
"""Longest packed truth that is looked at, in bytes, markers not counted."""

MAX_UNPACKED: Final = 4 << 20
"""Longest truth that is unpacked, in bytes of JSON: a small file must not fill the memory."""

MAX_STARTS: Final = 16
"""How many start markers of one file are followed: a file full of them must not take long."""


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """What a perfect reading of one drawn picture answers.

    Attributes:
        document: The vendor's path word, one of `DOCUMENTS`.
        width: Width of the drawn picture, in pixels.
        height: Height of the drawn picture, in pixels.
        answer: The document object in the shape it has on the wire, `{"meta": {…}, "result": {…}}`, for a passport
            `{"passportResult": {…}}`. Its polygons count pixels of the drawn picture from its top left corner.
    """

    document: str
    width: int
    height: int
    answer: dict[str, Any] = field(repr=False)


def pack_truth(truth: GroundTruth) -> bytes:
    """Pack a truth into one line of ASCII with an unmistakable start and end.

    Args:
        truth: What to pack; its answer must be made of JSON's types.

    Returns:
        `START`, then base64 of the compressed JSON, then `END`. Holds no whitespace, quotes, brackets or backslashes
        but the markers' own.

    Raises:
        ValueError: `find_ground_truth` would not give it back: not a known document, an impossible size, an answer that
            JSON does not have, or too long.
    """
    if not _is_plausible(truth):
        raise ValueError(f"not a truth: a {truth.document!r} of {truth.width!r} x {truth.height!r} pixels")
    fields = {"document": truth.document, "width": truth.width, "height": truth.height, "answer": truth.answer}
    text = json.dumps(fields, allow_nan=False, separators=(",", ":")).encode("ascii")
    packed = base64.b64encode(zlib.compress(text, 9))
    if len(text) > MAX_UNPACKED or len(packed) > MAX_PACKED:
        raise ValueError(f"the truth is too long to pack: {len(text)} bytes, {len(packed)} when packed")
    return START + packed + END


def find_ground_truth(data: bytes) -> GroundTruth | None:
    """Find the truth that a file carries.

    Args:
        data: The bytes of the file, whatever they are.

    Returns:
        The first whole truth in it; `None` if there is none, or it is damaged, too long or of another shape.
    """
    for packed in _marked(data):
        text = _unpacked(packed)
        truth = None if text is None else _read(text)
        if truth is not None:
            return truth
    return None


def _marked(data: bytes) -> Iterator[bytes]:
    """Yield what stands between the markers, start by start."""
    start = data.find(START)
    for _ in range(MAX_STARTS):
        if start < 0:
            return
        begin = start + len(START)
        end = data.find(END, begin, begin + MAX_PACKED + len(END))
        if end >= 0:
            yield data[begin:end]
        start = data.find(START, begin)


def _unpacked(packed: bytes) -> bytes | None:
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED)
    except (ValueError, zlib.error):
        return None
    return text if inflate.eof else None


def _read(text: bytes) -> GroundTruth | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match fields:
        case {"document": str(document), "width": int(width), "height": int(height), "answer": dict()}:
            truth = GroundTruth(document, width, height, cast("dict[str, Any]", fields["answer"]))
            return truth if _is_plausible(truth) else None
        case _:
            return None


def _is_plausible(truth: GroundTruth) -> bool:
    # type(), since True is an int too.
    sizes = all(type(side) is int and side > 0 for side in (truth.width, truth.height))
    return truth.document in DOCUMENTS and sizes
