"""A domain of CLOVA OCR, and its secret."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clova_ocr_async.arguments import require_number, require_whole_number
from clova_ocr_async.documents import DOCUMENTS, Document
from clova_ocr_async.errors import AuthenticationError, ConfigurationError, DomainError
from clova_ocr_async.protocol.invoke_url import InvokeURL, parse_invoke_url
from clova_ocr_async.protocol.secret_masking import masker
from clova_ocr_async.secret import SecretText, hide_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Domain", "Secret", "not_a_document"]

_LONGEST_SECRET = 1024  # characters; real ones have 44
_LONGEST_LABEL = 64  # characters; labels are repeated with every sample of a metric


class Secret(SecretText):
    """The secret of a domain: a text that is never printed and cannot be pickled; ``reveal()`` returns it.

    Args:
        value: The secret, as copied from the console.

    Raises:
        ConfigurationError: The value cannot be a secret: it is empty or too long, or holds blanks, control characters
            or characters outside ASCII.
    """

    __slots__ = ()

    @hide_arguments
    def __init__(self, value: str) -> None:
        super().__init__(_checked_secret(value))


def _checked_secret(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"secret is a {type(value).__name__}; it must be a str")
    if not value.strip():
        raise ConfigurationError("secret is empty; copy it from the domain's API Gateway page in the console")
    # Such a character cannot be in a header, and comes from a bad copy.
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError("secret has blanks, control characters or characters outside ASCII in it")
    if len(value) > _LONGEST_SECRET:
        raise ConfigurationError(f"secret has {len(value)} characters, more than {_LONGEST_SECRET}")
    return value


class Domain:
    """A CLOVA OCR domain: the URL that its calls go to, and the secret that they carry.

    Examples:
        >>> domain = Domain("https://…/document/receipt", "secret", max_concurrency=5)
        >>> client = ClovaOCRClient(domain)

    Args:
        invoke_url: The API Gateway's invoke URL from the console, with or without its /document/{type} tail.
        secret: The domain's secret (X-OCR-SECRET).
        document: The document class that the domain reads, if the URL has no tail; None if it reads any.
        allow_http: Accept ``http://`` to a private address. To this machine it is always accepted.
        max_concurrency: Calls at once that the domain is known to allow; None to learn it from the service.
        max_per_second: Most calls a second; None for no bound.
        label: A short name for metrics and spans, of at most 64 characters; by default the document and the first part
            of the host, such as "receipt@abc123".
        source: The place of the secret, for messages, such as "CLOVA_OCR_SECRET"; None if it is unknown.
        url_source: The place of the URL, for messages, such as "CLOVA_OCR_INVOKE_URL"; None if it is unknown.

    Attributes:
        label: A short name for metrics: as given, or made of document and host.
        key: The identity of the domain: the URL without its tail. It holds the invoke key, so it must not be printed.

    Raises:
        ConfigurationError: The URL, the secret or a limit cannot work, or tail and ``document`` contradict each other.
    """

    __slots__ = (
        "document",
        "key",
        "label",
        "max_concurrency",
        "max_per_second",
        "secret",
        "source",
        "url",
        "url_source",
    )

    @hide_arguments
    def __init__(  # noqa: PLR0913 - the settings of a domain, each with a default
        self,
        invoke_url: str,
        secret: str | Secret,
        *,
        document: type[Document] | None = None,
        allow_http: bool = False,
        max_concurrency: int | None = None,
        max_per_second: float | None = None,
        label: str | None = None,
        source: str | None = None,
        url_source: str | None = None,
    ) -> None:
        self.url = parse_invoke_url(invoke_url, allow_http=allow_http)
        self.key = self.url.base
        self.secret = secret if isinstance(secret, Secret) else Secret(secret)
        self.document = _bound_document(self.url.path_word, document)
        self.label = _default_label(self.url, self.document) if label is None else self._checked_label(label)
        self.source = source
        self.url_source = url_source
        self.max_concurrency = (
            None
            if max_concurrency is None
            else require_whole_number(
                "max_concurrency", max_concurrency, advice="to learn it from the service, leave it out"
            )
        )
        self.max_per_second = (
            None
            if max_per_second is None
            else require_number("max_per_second", max_per_second, advice="for no bound, leave it out")
        )
        # A warning and no error: the host is private, and its owner has allowed it.
        if self.url.plaintext:
            warnings.warn(f"{self.url} is http: secret and images travel readable", UserWarning, stacklevel=3)

    def serves(self, document: type[Document]) -> bool:
        """Return whether the domain reads a document class, as far as is known."""
        return self.document is None or self.document is document

    def explain(self, error: AuthenticationError | DomainError) -> None:
        """Add to the error of a rejected secret or URL where it was read, and where the right one is shown."""
        if isinstance(error, AuthenticationError):
            read = "the secret" if self.source is None else f"the secret in {self.source}"
            page = "the domain's API Gateway integration page in the CLOVA OCR console"
            error.hint = f"compare {read} with the one on {page}"
        # The hint comes from the wire protocol, which does not know where the URL was read.
        elif error.hint is not None and self.url_source is not None:
            error.hint = error.hint.replace("the invoke URL", f"the invoke URL in {self.url_source}", 1)

    def _checked_label(self, label: object) -> str:
        """Return a label if it can stand in a metric, and shows neither the secret nor the invoke key."""
        if not isinstance(label, str):
            raise ConfigurationError(f"label is a {type(label).__name__}; it must be a str")
        if not label.strip() or not label.isprintable() or len(label) > _LONGEST_LABEL:
            raise ConfigurationError(
                f"label must be a printable text of at most {_LONGEST_LABEL} characters, such as 'receipts-1'"
            )
        if self.redact(label) != label:
            raise ConfigurationError("label has the secret or the invoke key in it; choose a name that may be shown")
        return label

    @property
    def redact(self) -> Callable[[str], str]:
        """A function that masks the secret and each invoke key in a text."""
        return masker(self.secret.reveal(), self.url.invoke_key)

    def __repr__(self) -> str:
        return f"Domain({str(self.url)!r})"


def _default_label(url: InvokeURL, document: type[Document] | None) -> str:
    """Return what a metric may show of a domain; never a part of its path, which holds the invoke key."""
    host = urlsplit(url.base).hostname or ""
    first = host.partition(".")[0]
    host = host if first.isdigit() or ":" in host else first  # all of an address
    name = host if document is None else f"{document.path_word}@{host}"
    return name[:_LONGEST_LABEL]


def not_a_document(given: object) -> str:
    """Return a message about a value that is not a document class; the value may be the image, so it is not shown."""
    kind = f"the class {given.__name__}" if isinstance(given, type) else f"of type {type(given).__name__}"
    return f"document is {kind}; it must be one of {', '.join(cls.__name__ for cls in DOCUMENTS.values())}"


def _bound_document(path_word: str | None, document: type[Document] | None) -> type[Document] | None:
    if document is not None and document not in DOCUMENTS.values():
        raise ConfigurationError(not_a_document(document))
    if path_word is None:
        return document
    bound = DOCUMENTS[path_word]
    if document not in {None, bound}:
        raise ConfigurationError(
            f"invoke_url ends in /document/{path_word}, and document is {document.__name__ if document else None}; "
            "leave one of the two out"
        )
    return bound
