"""The domains of a client: which of them reads a document, and which of those a call goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.client.domain import no_document
from clova_ocr_async.client.quota import QuotaHold
from clova_ocr_async.documents import DOCUMENTS, Document
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from clova_ocr_async.client.domain import Domain
    from clova_ocr_async.client.slots import Slots

__all__ = ["DomainPool"]


class DomainPool:
    """Several domains and their quota holds.

    Args:
        domains: At least one.
        slots: Knows how busy each is.
    """

    def __init__(self, domains: tuple[Domain, ...], slots: Slots) -> None:
        self.domains = domains
        self._slots = slots
        self._holds = {domain.key: QuotaHold() for domain in domains}

    def hold_of(self, domain: Domain) -> QuotaHold:
        """Return the quota hold of a domain."""
        return self._holds[domain.key]

    def choose(self, document: type[Document]) -> Domain:
        """Return the domain with the most free slots, one whose quota is not known to be spent if there is one."""
        candidates = self.serving(document)
        if len(candidates) == 1:
            return candidates[0]
        return min(candidates, key=lambda domain: (self.hold_of(domain).held, -self._slots.free(domain)))

    def serving(self, document: type[Document]) -> list[Domain]:
        """Return the domains of a document class; those of any document only if it has none of its own.

        Raises:
            ConfigurationError: There is none, or it is no document class.
        """
        if document not in DOCUMENTS.values():
            raise ConfigurationError(f"{no_document(document)}; as in recognize(image, Receipt)")
        serving = [domain for domain in self.domains if domain.serves(document)]
        if not serving:
            raise ConfigurationError(f"no domain of this client reads {document.__name__}: {list(self.domains)}")
        return [domain for domain in serving if domain.document is not None] or serving
