"""The invoke URL of a domain: parsed with or without its /document/{type} tail, and a clear error for a wrong one.

Source: API specification v1.0.6 (2023-11-23), "Requests". Hosts and paths of other products as users report them.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.protocol.secret_masking import KEYED_PATH, MASK, mask_invoke_keys

__all__ = ["InvokeURL", "parse_invoke_url"]

_DOCUMENT_TAIL = re.compile(r"/document(?:/([^/]*))?$", re.IGNORECASE)
_WORD = re.compile(r"[a-z_-]{1,20}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 6761, 6762 and 8375; "internal" by ICANN (2024).
_PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".test", ".home.arpa")
# They resolve to private addresses. From outside, a call would end in a timeout that explains nothing.
_MANUAL_LINK_HOSTS = re.compile(r"clovaocr-api(-\w+)?\.(gov-)?ncloud\.com$")
_EXAMPLE = "https://….apigw.ntruss.com/custom/v1/{domain id}/{invoke key}/document/receipt"


@dataclass(frozen=True, slots=True, repr=False)
class InvokeURL:
    """A checked invoke URL.

    Attributes:
        base: The URL without its /document/{type} tail. Scheme, host and port are normalized, so that two spellings of
            a domain's URL are equal.
        path_word: The document of the tail ("id-card"); None without a tail.
        invoke_key: The secret part of the path; "" if the path has none.
        plaintext: Whether it is http, to a host that is not this machine.
    """

    base: str
    path_word: str | None
    invoke_key: str
    plaintext: bool
    _masked: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        parts = [MASK if self.invoke_key and part == self.invoke_key else part for part in self.base.split("/")]
        masked = mask_invoke_keys("/".join(parts))
        object.__setattr__(self, "_masked", f"{masked}/document/{self.path_word}" if self.path_word else masked)

    def for_document(self, path_word: str) -> str:
        """Return the URL for a document."""
        return f"{self.base}/document/{path_word}"

    def __str__(self) -> str:
        return self._masked

    def __repr__(self) -> str:
        return f"InvokeURL({str(self)!r})"


def parse_invoke_url(url: str, *, allow_http: bool = False) -> InvokeURL:
    """Check an invoke URL and split it into its parts.

    Args:
        url: The URL as copied from the console; blanks around it and a slash behind it are ignored.
        allow_http: Accept http also to a private address.

    Raises:
        ConfigurationError: It cannot be the invoke URL of a Document domain. The message never repeats the key.
    """
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
        raise ConfigurationError(f"invoke_url is a {type(url).__name__}; it must be a str such as {_EXAMPLE}")
    parts = _split(url.strip())
    host = _host_of(parts)
    plaintext = _check_scheme(parts.scheme, host, allow_http=allow_http)
    path, path_word = _split_tail(parts.path.rstrip("/"), host)
    keyed = KEYED_PATH.search(path)
    # In a path of another form the last part may be the key, so it is masked as well.
    key = keyed[2] if keyed else path.rpartition("/")[2] if path.count("/") > 1 else ""
    return InvokeURL(f"{parts.scheme}://{_netloc(host, parts)}{path}", path_word, key, plaintext)


def _netloc(host: str, parts: SplitResult) -> str:
    """Return host and port, without the default port of the scheme."""
    shown = f"[{host}]" if ":" in host else host
    return shown if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f"{shown}:{parts.port}"


def _split(url: str) -> SplitResult:
    if not url:
        raise ConfigurationError(f"invoke_url is empty; copy it from the console: {_EXAMPLE}")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ConfigurationError("invoke_url has blanks, control characters or characters outside ASCII in it")
    try:
        parts = urlsplit(url)
        port = parts.port  # read here: it is parsed, and may fail, only when it is read
    except ValueError:
        raise ConfigurationError("invoke_url is not a URL: its host or port cannot be read") from None
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("invoke_url has a user name or password in it; the secret is a setting of its own")
    # urlsplit does not show an empty query or fragment.
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ConfigurationError("invoke_url has a query or a fragment; copy it without")
    if port == 0:
        raise ConfigurationError("invoke_url names port 0")
    return parts


def _host_of(parts: SplitResult) -> str:
    """Return the normalized host: lower case, without the dot of the root, an address in its shortest form."""
    host = (parts.hostname or "").rstrip(".")
    if (address := _address_of(host)) is not None:
        host = str(address)
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"invoke_url must begin with https:// and a host; expected {_EXAMPLE}")
    if _MANUAL_LINK_HOSTS.search(host):
        raise ConfigurationError(
            f"invoke_url names {shown_path(host)}, the host of a manual link, which answers only inside NAVER Cloud; "
            f"link an API Gateway to the domain in the console and use its URL: {_EXAMPLE}"
        )
    return host


def _check_scheme(scheme: str, host: str, *, allow_http: bool) -> bool:
    """Return whether the secret would be sent unencrypted over a network."""
    if scheme == "https" or _is_loopback(host):
        return False
    if not _is_private(host):
        raise ConfigurationError(f"invoke_url is http to {shown_path(host)}; the secret and the image need https")
    if not allow_http:
        raise ConfigurationError(
            f"invoke_url is http to {shown_path(host)}; use https, or pass allow_http=True for a private host"
        )
    return True


def _split_tail(path: str, host: str) -> tuple[str, str | None]:
    last = path.rpartition("/")[2]
    if last in {"general", "infer"}:
        raise ConfigurationError(
            f"invoke_url ends in /{last}: that is a General or Template domain; this client works with Document domains"
        )
    if last in DOCUMENTS and not path.lower().endswith(f"/document/{last}"):
        raise ConfigurationError(f"invoke_url ends in /{last}; it must end in /document/{last}, or before /document")
    if "/ekyc/" in path:
        raise ConfigurationError("invoke_url belongs to eKYC, another product; this client works with Document domains")
    found = _DOCUMENT_TAIL.search(path)
    base, word = (path[: found.start()], (found[1] or "").lower()) if found else (path, None)
    if word and word not in DOCUMENTS:
        named = word if _WORD.fullmatch(word) else MASK  # it may be the invoke key
        raise ConfigurationError(f"invoke_url ends in /document/{named}; documents are {', '.join(DOCUMENTS)}")
    if not base and host.endswith("ntruss.com"):
        raise ConfigurationError(f"invoke_url has no path; copy all of it from the console: {_EXAMPLE}")
    return base, word or None


def _address_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _address_of(host)
    return host == "localhost" if address is None else address.is_loopback


def _is_private(host: str) -> bool:
    address = _address_of(host)
    if address is not None:
        return address.is_private
    return "." not in host or host.endswith(_PRIVATE_SUFFIXES)
