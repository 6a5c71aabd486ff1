"""The domains of a client, by the documents that they read."""

from __future__ import annotations

from clova_ocr_async.documents import DOCUMENTS, Document
from clova_ocr_async.domains.domain import Domain, not_a_document
from clova_ocr_async.errors import ConfigurationError

__all__ = ["DomainPool"]


class DomainPool:
    """The domains of one client.

    Args:
        domains: At least one.
    """

    def __init__(self, domains: tuple[Domain, ...]) -> None:
        self.domains = domains
        self._serving: dict[type[Document], tuple[Domain, ...]] = {}

    def serving(self, document: type[Document]) -> tuple[Domain, ...]:
        """Return the domains that read a document class; those for any document only if it has none of its own.

        Raises:
            ConfigurationError: No domain reads it, or the argument is not a document class.
        """
        # The result never changes for a document, and every call needs it.
        try:
            found = self._serving.get(document)
        except TypeError:  # unhashable, such as a list
            found = None
        if found is None:
            found = self._serving[document] = self._find(document)
        return found

    def _find(self, document: type[Document]) -> tuple[Domain, ...]:
        if document not in DOCUMENTS.values():
            raise ConfigurationError(f"{not_a_document(document)}; as in recognize(image, Receipt)")
        serving = [domain for domain in self.domains if domain.serves(document)]
        if not serving:
            raise ConfigurationError(f"no domain of this client reads {document.__name__}: {list(self.domains)}")
        # A domain of one document serves it better than one for any, whose slots others need.
        return tuple([domain for domain in serving if domain.document is not None] or serving)
