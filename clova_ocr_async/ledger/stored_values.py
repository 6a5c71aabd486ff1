"""Values as the tables hold them: answers compressed and encrypted, the rest encrypted, rows as entries.

A value that cannot be opened is lost, and only that value: the rest of the run is read all the same.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.compression import CompressionError, compress, decompress
from clova_ocr_async.ledger.corrections import Correction, decode_change, encode_change
from clova_ocr_async.ledger.seal import SealError
from clova_ocr_async.ledger.states import Entry, Item, State
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from clova_ocr_async.ledger.corrections import Change
    from clova_ocr_async.ledger.seal import Seal
    from clova_ocr_async.ledger.states import SourceFile

__all__ = [
    "StoredAnswer",
    "correction_of",
    "entry_of",
    "opened_columns",
    "seal_context",
    "sealed_answer",
    "sealed_change",
    "sealed_columns",
    "sealed_failure",
]

logger = logging.getLogger("clova_ocr_async")

StoredAnswer = tuple[int, str | None, bytes, int | None]
"""An answer as it is stored: status, why the body is not whole, the packed and sealed body, its unpacked size."""


def seal_context(item: Item, what: str) -> bytes:
    """Return the context that binds a sealed value to its item, so that it opens nowhere else."""
    whole = b"|".join((what.encode(), item.document.encode(), item.sha256))
    if item.page is None and not item.recipe:  # as the versions wrote it that knew whole files only
        return whole
    return whole + f"|{item.page or 0}|{item.recipe}".encode()


def entry_of(row: tuple[Any, ...], seal: Seal | None) -> Entry:
    """Return a row of ``find_…`` as an entry.

    Args:
        row: The row.
        seal: Opens what is sealed; None to leave that out.
    """
    number, sha256, document, page, recipe, state, attempts, maybe_billed, billing, request_id, elapsed, *rest = row
    failure, picture, owner, is_in_flight, answered, status, body, unpacked, cut, came = rest
    item = Item(sha256, document, page or None, recipe)
    opened = None if seal is None else _answer(seal, body, unpacked, item)
    return Entry(
        number,
        item,
        State(state),
        attempts,
        maybe_billed,
        Billing(billing),
        request_id,
        elapsed,
        b"" if seal is None else _opened(seal, failure, item, "failure") or b"",
        None if opened is None else HTTPResponse(status, opened, cut=cut),
        None if seal is None else came,
        owner,
        bool(is_in_flight),
        bool(answered),
        picture or b"",
    )


def sealed_answer(seal: Seal, item: Item, response: HTTPResponse) -> StoredAnswer:
    """Return an answer as it is stored."""
    # In this order: sealed bytes look random, and do not compress.
    packed, size = compress(response.body)
    return response.status, response.cut, seal.seal(packed, seal_context(item, "answer")), size


def sealed_failure(seal: Seal, item: Item, failure: bytes) -> bytes | None:
    """Return a failure as it is stored."""
    return seal.seal(failure, seal_context(item, "failure")) if failure else None


def sealed_columns(seal: Seal, file: SourceFile, document: str) -> bytes | None:
    """Return the manifest's own columns of a file as they are stored; None if it has none."""
    return seal.seal(file.columns, _columns_context(file.path, file.page, document)) if file.columns else None


def opened_columns(seal: Seal | None, sealed: bytes | None, path: bytes, page: int | None, document: str) -> bytes:
    """Return the columns that were given to ``sealed_columns``; none if they cannot be opened."""
    if seal is None or sealed is None:
        return b""
    try:
        return seal.open(sealed, _columns_context(path, page, document))
    except SealError as error:
        logger.warning("the stored columns of %s do not open: %s", shown_path(os.fsdecode(path)), error)
        return b""


def sealed_change(seal: Seal, item: Item, number: int, change: Change) -> bytes:
    """Return a change as it is stored under a number."""
    return seal.seal(encode_change(change), seal_context(item, f"correction {number}"))


def correction_of(row: tuple[Any, ...], seal: Seal) -> Correction:
    """Return a row of a view's corrections as a correction."""
    number, made, stored, sha256, document, page, recipe = row
    item = Item(sha256, document, page or None, recipe)
    opened = _opened(seal, stored, item, f"correction {number}")
    try:
        return Correction(number, item, made, None if opened is None else decode_change(opened))
    except ValueError as error:
        _log_damage(f"correction {number}", item, error)
        return Correction(number, item, made, None)


def _columns_context(path: bytes, page: int | None, document: str) -> bytes:
    return f"columns|{document}|{page or 0}|".encode() + path


def _answer(seal: Seal, sealed: bytes | None, size: int | None, item: Item) -> bytes | None:
    if (packed := _opened(seal, sealed, item, "answer")) is None:
        return None
    try:
        return decompress(packed, size)
    except CompressionError as error:
        _log_damage("answer", item, error)
        return None


def _opened(seal: Seal, sealed: bytes | None, item: Item, what: str) -> bytes | None:
    if sealed is None:
        return None
    try:
        return seal.open(sealed, seal_context(item, what))
    except SealError as error:
        _log_damage(what, item, error)
        return None


def _log_damage(what: str, item: Item, error: Exception) -> None:
    # A value that is damaged is lost; the rest of the run is not, so this is not an error.
    logger.warning("the stored %s of image %s… does not open: %s", what, item.sha256.hex()[:12], error)
