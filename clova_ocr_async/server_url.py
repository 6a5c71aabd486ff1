"""URLs of the servers that keep runs and slots: PostgreSQL and Redis.

A password in such a URL is taken off at once: everything that is printed, logged or stored has the URL without it.
"""

from __future__ import annotations

import hmac
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["POSTGRES", "REDIS", "Password", "ServerURL", "checked_run", "is_url", "parse_server_url"]

POSTGRES = ("postgresql", "postgres")
"""Schemes of PostgreSQL's URLs."""

REDIS = ("redis", "rediss")
"""Schemes of Redis's URLs; ``rediss`` is TLS."""

_LONGEST_RUN = 128  # characters


class Password:
    """A password that is never printed and cannot be pickled.

    Args:
        value: The password.
    """

    __slots__ = ("_value",)  # without a __dict__, which debuggers and crash reporters print

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text, for the server that asks for it."""
        return self._value

    def __repr__(self) -> str:
        return "Password('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Password) and hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Password cannot be pickled; send the name of its environment variable, and read it there")


@dataclass(frozen=True, slots=True)
class ServerURL:
    """The URL of a server.

    Attributes:
        url: The URL, without its password and its run.
        password: The password that stood in it; None if there was none.
        run: The run that it names; None if it names none.
    """

    url: str
    password: Password | None = None
    run: str | None = None

    def __str__(self) -> str:
        """The URL as people gave it, without its password."""
        if self.run is None:
            return self.url
        return f"{self.url}{'&' if '?' in self.url else '?'}run={quote(self.run, safe='')}"


def is_url(text: str) -> bool:
    """Return whether a text is meant as a URL, and not as a path: it has a scheme, or begins with a server's."""
    scheme, colon, rest = text.partition(":")
    return bool(colon) and (rest.startswith("//") or scheme.lower() in (*POSTGRES, *REDIS))


def parse_server_url(text: str, schemes: Sequence[str], name: str = "the URL") -> ServerURL:
    """Return a server's URL without its password.

    Args:
        text: The URL.
        schemes: The schemes that are allowed.
        name: What holds the URL, for errors.

    Raises:
        ConfigurationError: It has another scheme, no server or database, or a run that cannot be one. The text is not
            repeated: it may hold a password.
    """
    parts = _split(text)
    if parts is None:
        raise ConfigurationError(f"{name} cannot be read; write {schemes[0]}://user@host:port/…")
    host, port = parts.hostname, parts.port
    if parts.scheme not in schemes or not text.partition(":")[2].startswith("//"):
        raise ConfigurationError(f"{name} begins with another scheme than {schemes[0]}://; write that, or a folder")
    options = parse_qsl(parts.query, keep_blank_values=True)
    runs = [value for key, value in options if key == "run"]
    passwords = [value for key, value in options if key == "password"]
    if len(runs) > 1:
        raise ConfigurationError(f"{name} has {len(runs)} runs; give one ?run=NAME")
    if parts.password is not None:
        passwords.append(unquote(parts.password))
    if passwords:
        warnings.warn(
            f"{name} holds a password, which process lists and shells' histories show; "
            f"{'set PGPASSWORD or use ~/.pgpass' if schemes == POSTGRES else 'set CLOVA_OCR_REDIS_PASSWORD'} instead",
            stacklevel=3,
        )
    user = f"{parts.username}@" if parts.username is not None else ""
    place = ("" if host is None else f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    query = urlencode([(key, value) for key, value in options if key not in {"run", "password"}], quote_via=quote)
    url = f"{parts.scheme}://{user}{place}{parts.path}{'?' + query if query else ''}"
    return ServerURL(url, Password(passwords[-1]) if passwords else None, checked_run(runs[0], name) if runs else None)


def _split(text: str) -> SplitResult | None:
    """Return the parts of a URL; None if it has none. Its errors are dropped: they repeat the text."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # read here, as it may not be a number
    except ValueError:
        return None
    return parts


def checked_run(run: str, name: str = "run") -> str:
    """Return the name of a run.

    Raises:
        ConfigurationError: It is empty, too long, or has characters that are not printed.
    """
    if not run or len(run) > _LONGEST_RUN or not run.isprintable():
        raise ConfigurationError(f"the run in {name} is empty, longer than {_LONGEST_RUN} characters, or not printable")
    return run
