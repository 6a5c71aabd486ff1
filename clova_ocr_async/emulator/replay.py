"""Replay of a run: the emulator's answers to known pictures are those that the run has."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.documents.untyped import is_array, is_object
from clova_ocr_async.ledger import Item, load_seal
from clova_ocr_async.ledger.opening import locate, open_view
from clova_ocr_async.results.redaction import check_policy, mask_answer

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from clova_ocr_async.ledger import Entry, RunView
    from clova_ocr_async.protocol.request import ParsedRequest
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["Replay", "readdressed"]


class Replay:
    """The answers of a run, by document and hash of the picture.

    A run names a picture by its file. One that was converted, or cut out of a file of several pages, is found by the
    hash of the bytes that the run sent, which the run has as well.

    Args:
        run: The run directory, or ``postgresql://user@host/db?run=NAME``. If its answers are encrypted, the environment
            has the key, as for a batch.
        mask: The policy by which numbers in the answers are masked; None for the answers as they are.

    Attributes:
        served: Answers of the run that were given.

    Raises:
        LedgerError: There is no such run, or it cannot be read.
        ConfigurationError: There is no such policy, or the URL is of another kind.
    """

    def __init__(self, run: str | os.PathLike[str], mask: Policy | None = None) -> None:
        if mask is not None:
            check_policy(mask)
        self._mask: Policy | None = mask
        self._run = locate(run, "replay")
        self._seal = load_seal()
        self._reader: RunView | None = None
        self._made: dict[tuple[str, str], Item] | None = None  # by hash of the sent bytes in hex, and document
        self.served = 0
        with open_view(self._run, self._seal):  # so that a wrong path is an error here
            pass

    def open(self) -> None:
        """Open the run, in the thread that reads it."""
        self._reader = open_view(self._run, self._seal).__enter__()

    def close(self) -> None:
        """Close the run."""
        if self._reader is not None:
            self._reader.__exit__(None, None, None)
            self._reader = self._made = None

    def answer(self, document: str, request: ParsedRequest) -> bytes | None:
        """Return the body of the run's answer to a picture, with this request's own ids; None if the run has none.

        Args:
            document: The vendor's path word.
            request: The request.

        Raises:
            RedactionError: The answer cannot be masked for certain.
        """
        assert self._reader is not None  # noqa: S101 - for the type checkers: it is open while the server runs
        entry = self._find(self._reader, hashlib.sha256(request.data).digest(), document)
        if entry is None or entry.answer is None:
            return None
        answer = readdressed(entry.answer.body, request)
        if answer is None:
            return None
        self.served += 1
        return msgspec.json.encode(answer if self._mask is None else mask_answer(answer, self._mask))

    def _find(self, reader: RunView, digest: bytes, document: str) -> Entry | None:
        if (entry := reader.find(Item(digest, document))) is not None:
            return entry
        if self._made is None:  # read at the first need, since a run may be long
            self._made = dict(_made_pictures(reader))
        item = self._made.get((digest.hex(), document))
        return None if item is None else reader.find(item)


def _made_pictures(reader: RunView) -> Iterator[tuple[tuple[str, str], Item]]:
    """Yield the pictures of a run that were not sent as their file has them: hash and document, and the item."""
    for entry in filter(None, (record.entry for record in reader.records())):
        with contextlib.suppress(msgspec.MsgspecError):  # not recorded, or of a later version
            if sent := msgspec.json.decode(entry.picture, type=Picture).sha256:
                yield (sent, entry.item.document), entry.item


def readdressed(body: bytes, request: ParsedRequest) -> dict[str, Any] | None:
    """Return an answer under the ids of another request; None if it is not an answer that can be read.

    Args:
        body: The body of the answer.
        request: The request.
    """
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not is_object(answer) or not is_array(images := answer.get("images")):
        return None
    named = [image | {"name": request.name} if is_object(image) else image for image in images]
    return answer | {"requestId": request.request_id, "timestamp": request.timestamp, "images": named}
