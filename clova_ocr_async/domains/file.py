"""Domains from a TOML file.

A secret may stand in a wrong place of the file. So the text of the file is never repeated, not even by an error in the
chain of another. Faults are first returned as messages, and raised when no other error is being handled.
"""

from __future__ import annotations

import difflib
import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from clova_ocr_async.config_values import decode_text, expand_home, parse_value, unwrap
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.untyped import is_array, is_object
from clova_ocr_async.domains.domain import Domain, Secret
from clova_ocr_async.domains.toml_lines import BACKSLASH, Flaw, Place, lines_of, read_toml
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.secret import hide_arguments

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["domains_from_file", "read_secret_file"]

_LONGEST_SECRET_FILE = 4096  # bytes: room for a secret in UTF-16, and enough to show that a secret is too long
_LONGEST_FILE = 1024 * 1024  # bytes; a domain takes some 200

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SECRET_KEYS = ("secret_env", "secret_file")
_KINDS: dict[str, tuple[type, ...]] = {
    "invoke_url": (str,),
    "document": (str,),
    "secret_env": (str,),
    "secret_file": (str,),
    "max_concurrency": (int,),
    "max_per_second": (int, float),
    "allow_http": (bool,),
    "label": (str,),
}
_KIND_NAMES: dict[type, str] = {
    str: "a string",
    bool: "a boolean (true or false)",
    int: "an integer",
    float: "a float",
    list: "an array",
    dict: "a table",
}
_NO_SECRETS = (
    "secrets do not belong in this file; put it into an environment variable or a file of its own, "
    "and name that with secret_env or secret_file"
)
_WORDS_OF_MESSAGES = {"http", "https", "document", "general", "infer", *DOCUMENTS}


@hide_arguments
def domains_from_file(path: str | os.PathLike[str], environ: Mapping[str, str]) -> list[Domain]:
    """Return the domains in a TOML file; several domains of one document share its calls.

    Each domain is a ``[[domain]]`` with ``invoke_url``, and either ``secret_env``, the environment variable that holds
    its secret, or ``secret_file``, a file that holds it (a relative path starts in the folder of this file). Optional
    are ``document``, the vendor's path word, and ``max_concurrency``, ``max_per_second``, ``allow_http`` and
    ``label``, as ``Domain`` takes them.

    Args:
        path: The file.
        environ: Holds the secrets.

    Raises:
        ConfigurationError: The file cannot be read, or a domain in it cannot work. The message names file, line and
            key, and repeats nothing of the file's text.
    """
    file = _ConfigFile(path)
    domains: list[Domain] = []
    numbers: dict[str, int] = {}
    for number, table in enumerate(file.tables(), 1):
        domain = file.domain(number, table, environ)
        if (earlier := numbers.setdefault(domain.key, number)) != number:
            raise file.error(
                f"the same domain as {file.shown('domain', earlier)}, which gives it no more calls at once; "
                "give each domain once",
                "domain",
                number,
            )
        domains.append(domain)
    return domains


class _Fault(NamedTuple):
    """A fault in a domain of the file, at one of its keys."""

    key: str
    message: str


class _ConfigFile:
    """One file of domains."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._name = Path(path).name
        self._subject = f"config file '{shown_path(os.fsdecode(path))}'"
        self._folder = Path(path).parent
        self._text = self._decoded(path)

    def _decoded(self, path: str | os.PathLike[str]) -> str:
        try:
            content = _read(path, _LONGEST_FILE + 1)  # a device has no end
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._subject}: {error}") from None
        if len(content) > _LONGEST_FILE:
            raise ConfigurationError(f"{self._subject} has more than {_LONGEST_FILE:,} bytes; it is something else")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
        # Raised out here: the decoding error holds all that was read.
        raise ConfigurationError(f"{self._subject}, line {line}: this is not UTF-8; save the file as UTF-8")

    def shown(self, *place: str | int) -> str:
        """Return the line of a place, or its domain if the line is unknown."""
        line = self._lines.get(place)
        return f"domain {place[1]}" if line is None else f"line {line}"

    @cached_property
    def _lines(self) -> dict[Place, int]:
        return lines_of(self._text)

    def error(self, what: str, *place: str | int) -> ConfigurationError:
        """Return an error that names the line of a place; for a missing key, the line of its table."""
        for known in (place, place[:2]):
            if known in self._lines:
                return ConfigurationError(f"{self._subject}, line {self._lines[known]}: {what}")
        domain = f" domain {place[1]}:" if len(place) > 1 else ""
        return ConfigurationError(f"{self._subject}:{domain} {what}")

    def tables(self) -> list[dict[str, Any]]:
        """Return the table of each domain."""
        values = read_toml(self._text)
        if isinstance(values, Flaw):
            line = "" if values.line is None else f", line {values.line}"
            raise ConfigurationError(f"{self._subject}{line}: {values.message}")
        for key in values:
            if key != "domain":
                raise self.error(_outside_message(key), key)
        tables = values.get("domain", [])
        if is_object(tables):  # [domain] in single brackets
            raise self.error("a domain begins with [[domain]], in double brackets", "domain")
        if not is_array(tables) or not all(map(is_object, tables)):
            raise self.error("domain is not a table; each domain begins with [[domain]] on a line of its own", "domain")
        if not tables:
            raise self.error("it names no domain; begin each with [[domain]]", "domain")
        return tables

    def domain(self, number: int, table: dict[str, Any], environ: Mapping[str, str]) -> Domain:
        """Return a domain.

        Args:
            number: Its number in the file, from 1.
            table: Its table in the file.
            environ: Holds its secret.
        """
        fault = _key_fault(table)
        if fault is None:
            made = _build(table, self._folder, environ, f"{self._name}, domain {number}")
            if isinstance(made, Domain):
                return made
            fault = made
        raise self.error(fault.message, "domain", number, fault.key)


def _outside_message(key: str) -> str:
    """Return the message for a key outside all domains."""
    if key == "secret":
        return _NO_SECRETS
    if key in _KINDS:
        return f"{key} stands outside a domain; write [[domain]] above it"
    return "the file has no other tables or keys than [[domain]]" + (
        "; did you mean that?" if difflib.get_close_matches(key, ["domain"]) else ""
    )


def _key_fault(table: dict[str, object]) -> _Fault | None:
    """Return the fault in the keys of a domain, or in the types of their values; None if there is none."""
    for key, value in table.items():
        if key == "secret":
            return _Fault(key, _NO_SECRETS)
        if key not in _KINDS:
            nearest = difflib.get_close_matches(key, _KINDS, 1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(_KINDS)}"
            return _Fault(key, f"a domain has no such key; {hint}")
        kind = type(value)  # not isinstance: a boolean would pass for a number
        if kind not in _KINDS[key]:
            given = _KIND_NAMES.get(kind, "a date or time")
            return _Fault(key, f"{key} is {given}; it must be {' or '.join(_KIND_NAMES[kind] for kind in _KINDS[key])}")
    return _combination_fault(table)


def _combination_fault(table: dict[str, object]) -> _Fault | None:
    if "invoke_url" not in table:
        return _Fault("invoke_url", "invoke_url is missing; copy it from the domain's API Gateway page in the console")
    given = [key for key in _SECRET_KEYS if key in table]
    if len(given) != 1:
        return _Fault(
            "secret_file",
            f"secret_env and secret_file are {'both' if given else 'not'} given; give one of them: "
            "the environment variable that holds the secret, or a file that does",
        )
    if table.get("document", "receipt") not in DOCUMENTS:
        return _Fault("document", f"document is none of {', '.join(DOCUMENTS)}")
    return None


def _build(table: dict[str, Any], folder: Path, environ: Mapping[str, str], place: str) -> Domain | _Fault:
    """Return the domain of a table whose keys are right, or the fault in one of its values.

    Args:
        table: Its table in the file.
        folder: The folder where relative paths start.
        environ: Holds its secret.
        place: Its place in the file, for messages.
    """
    secret_key = next(key for key in _SECRET_KEYS if key in table)
    # A path is not named: unlike the name of a variable, it cannot be distinguished from a secret.
    source = f"{place}, secret_env {table['secret_env']}" if "secret_env" in table else f"{place}, secret_file"
    try:
        secret = Secret(_secret(table, folder, environ))
    except ConfigurationError as error:
        return _Fault(secret_key, f"{secret_key}: {error}")
    word, url = table.get("document"), unwrap(table["invoke_url"])
    try:
        return Domain(
            url,
            secret,
            document=None if word is None else DOCUMENTS[word],
            allow_http=table.get("allow_http", False),
            max_concurrency=table.get("max_concurrency"),
            max_per_second=table.get("max_per_second"),
            label=table.get("label"),
            source=source,
            url_source=f"{place}, invoke_url",
        )
    except ConfigurationError as error:
        what = str(error).replace("pass allow_http=True", "set allow_http = true")
    # Messages of a Domain begin with the name of the argument, which is the key in the file.
    return _Fault(what.partition(" ")[0], _without(url, what))


def _secret(table: dict[str, Any], folder: Path, environ: Mapping[str, str]) -> str:
    if "secret_file" in table:
        path = unwrap(table["secret_file"])
        if any(character < " " for character in path):  # "C:\temp" is a path with a tab in it
            raise ConfigurationError(f"its path has a control character in it; {BACKSLASH}")
        return read_secret_file(folder / expand_home(path))
    name = table["secret_env"]
    # Checked first: a secret in the place of the name must not be looked up, nor shown as missing.
    if not _VARIABLE.fullmatch(name):
        raise ConfigurationError(
            f"it is not the name of an environment variable; if it is the secret itself, {_NO_SECRETS}"
        )
    if not (secret := parse_value(environ.get(name, ""), name)):
        raise ConfigurationError("the environment variable it names is not set, or empty")
    return secret


def _without(url: str, what: str) -> str:
    """Return the message about a URL, without the parts of the URL that it repeats."""
    # Whatever was pasted as the URL may be the secret, and messages about a URL name its host.
    for part in set(re.split(r"[/:@?#]+", url.strip().lower())) - _WORDS_OF_MESSAGES:
        if part and part in what:
            what = re.sub(rf"(?<![\w.-]){re.escape(part)}(?![\w.-])", "***", what)
    return what


def read_secret_file(path: str | os.PathLike[str]) -> str:
    """Return the secret in a file that holds nothing else, without what an editor or a shell leaves around it.

    Raises:
        ConfigurationError: The file cannot be read, or holds no secret; the message shows neither path nor content.
    """
    secret = parse_value(decode_text(_read(path, _LONGEST_SECRET_FILE)))
    if lines := secret.count("\n"):  # a .env file, say, or a key file of another service
        raise ConfigurationError(f"the file has {lines + 1} lines; it must hold the secret alone, in one line")
    return secret


def _read(path: str | os.PathLike[str], most: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(most)
    except OSError as error:  # its strerror alone: str(error) has the path, where a secret may stand
        raise ConfigurationError(f"the file cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError("its path holds a NUL or another character that no path can hold") from None
