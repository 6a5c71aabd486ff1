"""The domains of a client: which of them reads a document, and which of those a call goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.client.domain import no_document
from clova_ocr_async.documents import DOCUMENTS, Document
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from clova_ocr_async.client.domain import Domain
    from clova_ocr_async.client.holds import Holds
    from clova_ocr_async.client.slots import Slots

__all__ = ["DomainPool"]


class DomainPool:
    """Several domains.

    Args:
        domains: At least one.
        slots: Knows how busy each is.
        holds: Knows which are on hold.
    """

    def __init__(self, domains: tuple[Domain, ...], slots: Slots, holds: Holds) -> None:
        self.domains = domains
        self._slots = slots
        self._holds = holds

    def choose(self, document: type[Document], call: object, now: float) -> Domain:
        """Return the domain with the most free slots, one that is not on hold if there is one.

        A domain on hold that should be asked by now, and that nobody asks, counts as not on hold: else it would never
        come back while the others serve.

        Args:
            document: What it has to read.
            call: Who asks.
            now: The time by the client's clock.

        Raises:
            ConfigurationError: There is none, or it is no document class.
        """
        candidates = self.serving(document)
        if len(candidates) == 1:
            return candidates[0]
        return min(candidates, key=lambda domain: (self._holds.rank(domain, call, now), -self._slots.free(domain)))

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
