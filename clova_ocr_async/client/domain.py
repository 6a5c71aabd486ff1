"""Domains and their secrets: from arguments, from the environment."""

from __future__ import annotations

import hmac
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from clova_ocr_async.documents import DOCUMENTS, Document
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.invoke_url import parse_invoke_url

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Domain", "Secret", "domains_from_env", "no_document"]

_PREFIX = "CLOVA_OCR_"
_LONGEST_SECRET = 1024  # characters; real ones have 44


class Secret:
    """A text that never prints and refuses to be pickled.

    Args:
        value: The secret, as copied from the console.

    Raises:
        ConfigurationError: It cannot be a secret: empty, blanks or control characters in it, not ASCII, too long.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = _checked_secret(value)

    def reveal(self) -> str:
        """Return the text, for the one header it belongs in."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled; send the name of its environment variable, and read it over there")


def _checked_secret(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f"secret is a {type(value).__name__}; it must be a str")
    if not value.strip():
        raise ConfigurationError("secret is empty; copy it from the domain's API Gateway page in the console")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigurationError("secret has blanks, control characters or characters outside ASCII in it")
    if len(value) > _LONGEST_SECRET:
        raise ConfigurationError(f"secret has {len(value)} characters, more than {_LONGEST_SECRET}")
    return value


class Domain:
    """A CLOVA OCR domain: where its calls go, and the secret that goes with them.

    Args:
        invoke_url: The API Gateway's invoke URL from the console, with or without its /document/{type} tail.
        secret: The domain's secret (X-OCR-SECRET).
        document: The document class the domain reads, if the URL has no tail; None if it serves any.
        allow_http: Accept ``http://`` to a private address. To this machine it is always accepted.

    Raises:
        ConfigurationError: The URL or the secret cannot work, or tail and ``document`` contradict each other.
    """

    __slots__ = ("document", "secret", "url")

    def __init__(
        self,
        invoke_url: str,
        secret: str | Secret,
        *,
        document: type[Document] | None = None,
        allow_http: bool = False,
    ) -> None:
        self.url = parse_invoke_url(invoke_url, allow_http=allow_http)
        self.secret = secret if isinstance(secret, Secret) else Secret(secret)
        self.document = _bound_document(self.url.path_word, document)
        if self.url.plaintext:
            warnings.warn(f"{self.url} is http: secret and images travel readable", UserWarning, stacklevel=2)

    @property
    def key(self) -> str:
        """What tells domains apart: the URL without its tail. It holds the invoke key, so it is not for printing."""
        return self.url.base

    def serves(self, document: type[Document]) -> bool:
        """Whether the domain reads a document class, as far as it is known."""
        return self.document is None or self.document is document

    def redact(self, text: str) -> str:
        """Return a text with the secret and the invoke key masked."""
        return self.url.redact(text.replace(self.secret.reveal(), "***"))

    def __repr__(self) -> str:
        return f"Domain({str(self.url)!r})"


def no_document(given: object) -> str:
    """Say that something is no document class, without showing what may be the image."""
    kind = f"the class {given.__name__}" if isinstance(given, type) else f"of type {type(given).__name__}"
    return f"document is {kind}; it must be one of {', '.join(cls.__name__ for cls in DOCUMENTS.values())}"


def _bound_document(path_word: str | None, document: type[Document] | None) -> type[Document] | None:
    if document is not None and document not in DOCUMENTS.values():
        raise ConfigurationError(no_document(document))
    if path_word is None:
        return document
    bound = DOCUMENTS[path_word]
    if document not in {None, bound}:
        raise ConfigurationError(
            f"invoke_url ends in /document/{path_word}, and document is {document.__name__ if document else None}; "
            "leave one of the two out"
        )
    return bound


def domains_from_env(environ: Mapping[str, str]) -> list[Domain]:
    """Return the domains the environment names.

    ``CLOVA_OCR_INVOKE_URL`` and ``CLOVA_OCR_SECRET`` (or ``CLOVA_OCR_SECRET_FILE``) name one for any document;
    ``CLOVA_OCR_RECEIPT_INVOKE_URL``, ``CLOVA_OCR_RECEIPT_SECRET`` and so on one for a document each. A document's own
    secret wins over the common one.

    Raises:
        ConfigurationError: None is named, or what is named cannot work. The message says which variable.
    """
    domains: list[Domain] = []
    for infix, document in [*((_infix(cls), cls) for cls in DOCUMENTS.values()), ("", None)]:
        name = f"{_PREFIX}{infix}INVOKE_URL"
        if url := environ.get(name):
            secret = _secret_from_env(environ, infix)
            try:
                domains.append(Domain(url, secret, document=document))
            except ConfigurationError as error:
                raise ConfigurationError(f"{name}: {error}") from None
    if not domains:
        raise ConfigurationError(
            f"the environment names no domain; set {_PREFIX}INVOKE_URL and {_PREFIX}SECRET, "
            f"or for one document {_PREFIX}RECEIPT_INVOKE_URL and {_PREFIX}RECEIPT_SECRET"
        )
    return domains


def _infix(document: type[Document]) -> str:
    return document.path_word.upper().replace("-", "_") + "_"


def _secret_from_env(environ: Mapping[str, str], infix: str) -> Secret:
    for prefix in dict.fromkeys((f"{_PREFIX}{infix}", _PREFIX)):
        for name, read in ((f"{prefix}SECRET", str), (f"{prefix}SECRET_FILE", _read_secret_file)):
            if value := environ.get(name):
                try:
                    return Secret(read(value))
                except ConfigurationError as error:
                    raise ConfigurationError(f"{name}: {error}") from None
    raise ConfigurationError(f"{_PREFIX}{infix}INVOKE_URL is set, and {_PREFIX}{infix}SECRET is not")


def _read_secret_file(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LONGEST_SECRET + 3)  # its line's end, and one that shows it too long
    except OSError as error:
        raise ConfigurationError(f"the file cannot be read: {error.strerror}") from None
    # Looked at instead of tried: the error of a failed decoding holds the bytes.
    if not content.isascii():
        raise ConfigurationError("the file holds characters outside ASCII")
    return content.decode("ascii").rstrip("\r\n")
