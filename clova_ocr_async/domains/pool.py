"""The domains of a client, and which of them read a document."""

from __future__ import annotations

from clova_ocr_async.documents import DOCUMENTS, Document
from clova_ocr_async.domains.domain import Domain, no_document
from clova_ocr_async.errors import ConfigurationError

__all__ = ["DomainPool"]


class DomainPool:
    """Several domains.

    Args:
        domains: At least one.
    """

    def __init__(self, domains: tuple[Domain, ...]) -> None:
        self.domains = domains
        self._serving: dict[type[Document], tuple[Domain, ...]] = {}

    def serving(self, document: type[Document]) -> tuple[Domain, ...]:
        """Return the domains of a document class; those of any document only if it has none of its own.

        Raises:
            ConfigurationError: There is none, or it is no document class.
        """
        # Never changes for a document; looked up twice a call.
        try:
            found = self._serving.get(document)
        except TypeError:  # what is no class may be no key, say a list
            found = None
        if found is None:
            found = self._serving[document] = self._found(document)
        return found

    def _found(self, document: type[Document]) -> tuple[Domain, ...]:
        if document not in DOCUMENTS.values():
            raise ConfigurationError(f"{no_document(document)}; as in recognize(image, Receipt)")
        serving = [domain for domain in self.domains if domain.serves(document)]
        if not serving:
            raise ConfigurationError(f"no domain of this client reads {document.__name__}: {list(self.domains)}")
        return tuple([domain for domain in serving if domain.document is not None] or serving)
