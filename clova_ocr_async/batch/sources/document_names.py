"""Names of documents as people write them, in lists and as names of folders."""

from __future__ import annotations

from clova_ocr_async.documents import DOCUMENTS

__all__ = ["DOCUMENT_WORDS", "document_named"]

DOCUMENT_WORDS = ", ".join(DOCUMENTS)
"""The vendor's path words, for messages."""


def document_named(name: str) -> str | None:
    """Return the vendor's path word for a name such as ``id-card``, ``id_card`` or ``ID_CARD``; None for any other."""
    word = name.strip().lower().replace("_", "-")
    return word if word in DOCUMENTS else None
