"""URLs of the servers that keep runs and slots: PostgreSQL and Redis.

A password in such a URL is taken off at once: everything that is printed, logged or stored has the URL without it. What
the server's library reads in the rest of the URL stays as it was written.

Source: PostgreSQL 17, 32.1.1.2 "Connection URIs"; redis-py 6, ``redis.from_url``.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.secret import SecretText

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "POSTGRES",
    "REDIS",
    "Password",
    "ServerURL",
    "checked_run",
    "is_url",
    "parse_server_url",
    "read_server_url",
    "require_run",
]

POSTGRES = ("postgresql", "postgres")
"""Schemes of PostgreSQL's URLs."""

REDIS = ("redis", "rediss")
"""Schemes of Redis's URLs; ``rediss`` is TLS."""

_REDIS_PATH = re.compile(r"(?:/[0-9]*)?")
_LONGEST_RUN = 128  # characters

# A password may hold an @ that should be encoded. Behind the hosts an @ is refused: then a password that holds / ? or #
# unencoded would pass for a host, a database or an option, and be shown.
_URL = re.compile(
    r"""(?P<scheme>[A-Za-z]+)://
        (?:(?P<user>[^:@/?#]*)(?::(?P<password>[^/?#]*))?@)?
        (?P<hosts>[^@/?#]*)
        (?P<path>/[^@?#]*)?
        (?:\?(?P<query>[^@#]*))?""",
    re.VERBOSE,
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\[\]:]*)(?::\d{0,5})?", re.ASCII)
_OTHER_SECRET = re.compile(r"password|secret|scram_\w+_key")
_INSTEAD = {POSTGRES: "set PGPASSWORD or use ~/.pgpass", REDIS: "set CLOVA_OCR_REDIS_PASSWORD"}


class Password(SecretText):
    """The password of a server: a text that is never printed and cannot be pickled."""

    __slots__ = ()


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

    @property
    def scheme(self) -> str:
        """The scheme, in lower case."""
        return self.url.partition(":")[0]

    @property
    def warning(self) -> str | None:
        """The warning about the password that stood in the URL; None if there was none."""
        if self.password is None:
            return None
        instead = _INSTEAD[POSTGRES if self.scheme in POSTGRES else REDIS]
        return f"the URL {self} has a password, which process lists and shells' histories show; {instead} instead"


def is_url(text: str) -> bool:
    """Return whether a text is meant as a URL, and not as a path: it has a scheme, or begins with a server's."""
    scheme, colon, rest = text.partition(":")
    return bool(colon) and (rest.startswith("//") or scheme.lower() in (*POSTGRES, *REDIS))


def parse_server_url(text: str | ServerURL, schemes: Sequence[str], name: str = "the URL") -> ServerURL:
    """Return a server's URL without its password, and warn if it has one.

    Args:
        text: The URL; one that was parsed before is returned as it is, without a second warning.
        schemes: The schemes that are allowed.
        name: What holds the URL, for errors.

    Raises:
        ConfigurationError: As ``read_server_url``.
    """
    found = read_server_url(text, schemes, name)
    if found is not text and found.warning is not None:
        warnings.warn(found.warning, stacklevel=3)
    return found


def read_server_url(text: str | ServerURL, schemes: Sequence[str], name: str = "the URL") -> ServerURL:
    """Return a server's URL without its password.

    Args:
        text: The URL; one that was parsed before is returned as it is.
        schemes: The schemes that are allowed.
        name: What holds the URL, for errors.

    Raises:
        ConfigurationError: It has another scheme, a part that cannot be read, or a run that cannot be one. The text is
            not repeated: it may hold a password.
    """
    scheme = text.scheme if isinstance(text, ServerURL) else text.partition(":")[0].lower()
    if scheme not in schemes:
        known = " or ".join(f"{word}://" for word in (POSTGRES[0], REDIS[0]) if word in schemes)
        slots_only = "; Redis keeps slots, and no runs" if scheme in REDIS else ""
        raise ConfigurationError(f"{name} does not begin with {known}{slots_only}")
    if isinstance(text, ServerURL):
        return text
    parts = _parts(text)
    if parts is None:
        raise ConfigurationError(
            f"{name} cannot be read; write {schemes[0]}://user@host:port/…, with blanks and each @ / ? # % of a name "
            "or password percent-encoded (%20 %40 %2F %3F %23 %25)"
        )
    options = list(_options(parts["query"], name))
    if scheme in REDIS:
        _check_redis(parts["path"], options, name)
    user = f"{parts['user']}@" if parts["user"] else ""
    query = "&".join(written for key, _, written in options if key not in {"run", "password"})
    url = f"{scheme}://{user}{parts['hosts']}{parts['path']}{'?' + query if query else ''}"
    # The last one counts: an option overrides what stands before the host.
    passwords = [parts["password"], *(value for key, value, _ in options if key == "password")]
    password = next((Password(unquote(found)) for found in reversed(passwords) if found), None)
    return ServerURL(url, password, _run(options, name))


def _parts(text: str) -> dict[str, str] | None:
    """Return the parts of a URL, empty where it has none; None if it cannot be read."""
    found = _URL.fullmatch(text) if text.isprintable() and " " not in text else None
    if found is None or not all(map(_HOST.fullmatch, found["hosts"].split(","))):
        return None
    return found.groupdict("")


_Option = tuple[str, str, str]


def _options(query: str, name: str) -> Iterator[_Option]:
    """Yield the options of a URL: the name, the value as it is written, and both as they are written.

    Raises:
        ConfigurationError: One has no value, or is a secret other than the password.
    """
    for option in filter(None, query.split("&")):
        key, equals, value = option.partition("=")
        key = unquote(key)
        if not equals:
            raise ConfigurationError(f"{name} has an option without a value; write ?option=value")
        if key.lower() == "password":
            key = "password"
        elif _OTHER_SECRET.search(key.lower()):
            raise ConfigurationError(
                f"{name} has an option that is a secret other than the password; of PostgreSQL, put it into a service "
                "file (~/.pg_service.conf) and give ?service=NAME"
            )
        yield key, value, option


def _check_redis(path: str, options: Sequence[_Option], name: str) -> None:
    # redis-py takes database 0 where a path is not a number, and ignores a run.
    if _REDIS_PATH.fullmatch(path) is None:
        raise ConfigurationError(f"{name} ends in something other than the number of a database; write redis://host/0")
    if any(key == "run" for key, _, _ in options):
        raise ConfigurationError(f"{name} names a run, and Redis keeps none: only slots; leave run= out")


def _run(options: Sequence[_Option], name: str) -> str | None:
    runs = [value for key, value, _ in options if key == "run"]
    if len(runs) > 1:
        raise ConfigurationError(f"{name} has {len(runs)} runs; give one ?run=NAME")
    return checked_run(unquote(runs[0]), name) if runs else None


def require_run(url: ServerURL, name: str = "the URL") -> ServerURL:
    """Return the URL of a run.

    Raises:
        ConfigurationError: It names no run.
    """
    if url.run is None:
        raise ConfigurationError(f"{name} names no run; add {'&' if '?' in url.url else '?'}run=NAME to it")
    return url


def checked_run(run: str, name: str = "run") -> str:
    """Return the name of a run.

    Raises:
        ConfigurationError: It is empty, too long, or has characters that are not printed.
    """
    if not run or len(run) > _LONGEST_RUN or not run.isprintable():
        raise ConfigurationError(f"the run in {name} is empty, longer than {_LONGEST_RUN} characters, or not printable")
    return run
