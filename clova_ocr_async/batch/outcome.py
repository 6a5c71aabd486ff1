"""The outcome of one image of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic

from clova_ocr_async.documents.base import safe_repr
from clova_ocr_async.documents.recognition import DocumentT, Recognition
from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.ledger.states import Item
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.protocol.echoed_input import quoted
from clova_ocr_async.protocol.repr_without_values import Redacted

__all__ = ["Failure", "Outcome", "Success"]


class Success(Redacted, Generic[DocumentT], frozen=True):
    """An image that was read.

    Attributes:
        source: The image as it was pulled.
        recognition: The recognition.
        billed: Whether a call was billed for it; false for a copy, and for an answer of an earlier run.
        item: What is billed once, as the ledger has it; None without a ledger.
    """

    source: Any
    recognition: Recognition[DocumentT]
    billed: bool = True
    item: Item | None = None

    def _shown(self) -> str:
        """Return the fields; the source only if it is a path, and the recognition without its values."""
        return f"source={_named(self.source)}, recognition={self.recognition!r}, billed={self.billed}"


class Failure(Redacted, frozen=True):
    """An image that was not read.

    Attributes:
        source: The image as it was pulled.
        error: The error; ``error.billing`` is whether it may have been billed.
        item: What is billed once, as the ledger has it; None without a ledger, or if the image was not read.
    """

    source: Any
    error: ClovaOCRError
    item: Item | None = None

    def _shown(self) -> str:
        """Return the fields; the source only if it is a path."""
        return f"source={_named(self.source)}, error={self.error!r}"


Outcome = Success[DocumentT] | Failure


def _named(source: object) -> str:
    """Return a path or a page, which the user has given; of any other source only its kind and size."""
    return quoted(str(source)) if isinstance(source, str | Path | Page) else safe_repr(source)
