"""How one image of a batch ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic

from clova_ocr_async.documents.base import safe_repr
from clova_ocr_async.documents.recognition import DocumentT, Recognition
from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.protocol.echoed_input import quoted
from clova_ocr_async.protocol.redacted import Redacted

__all__ = ["Failure", "Outcome", "Success"]


class Success(Redacted, Generic[DocumentT], frozen=True):
    """An image that was read.

    Attributes:
        source: The image as it was pulled.
        recognition: What was read.
        billed: Whether a call was paid for it.
    """

    source: Any
    recognition: Recognition[DocumentT]
    billed: bool = True

    def _shown(self) -> str:
        """Return the names, the source if it is a path, and what a recognition shows."""
        return f"source={_named(self.source)}, recognition={self.recognition!r}, billed={self.billed}"


class Failure(Redacted, frozen=True):
    """An image that was not read.

    Attributes:
        source: The image as it was pulled.
        error: Why; ``error.billing`` tells whether it may have been paid.
    """

    source: Any
    error: ClovaOCRError

    def _shown(self) -> str:
        """Return the names, the source if it is a path, and the error."""
        return f"source={_named(self.source)}, error={self.error!r}"


Outcome = Success[DocumentT] | Failure


def _named(source: object) -> str:
    """Name a path, which is the user's own word for the image, and nothing else."""
    return quoted(str(source)) if isinstance(source, str | Path) else safe_repr(source)
