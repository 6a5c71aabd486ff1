"""Encryption of stored answers: the interface of a seal, and the key that the user gives for it."""

from __future__ import annotations

import base64
import importlib
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from clova_ocr_async.config_values import decode_text, env_path, env_value, parse_value
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.protocol.echoed_input import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

__all__ = ["NoSeal", "Seal", "SealError", "load_seal"]

_KEY = "CLOVA_OCR_KEY"
_KEY_FILE = "CLOVA_OCR_KEY_FILE"

_KEY_BYTES = 32
_LONGEST_KEY = 1024  # bytes of a file that are read; a key in hex has 64
_BASE64_KEY = re.compile(r"[A-Za-z0-9+/_-]{43}=?")
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{64}")
_URL_SAFE = str.maketrans("-_", "+/")
_TEXT_FORMS = "44 base64 characters or 64 hex digits"
_COMMAND = "openssl rand -base64 32"


class SealError(ConfigurationError):
    """Sealed bytes cannot be opened: by this key, for this context, or because they were changed."""


class Seal(Protocol):
    """Authenticated encryption: seals bytes, and opens what it has sealed."""

    @property
    def name(self) -> str:
        """The name of the cipher, as it is stored with the run."""
        ...

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Seal bytes.

        Args:
            plain: The bytes that no other program may read.
            context: The place the bytes belong to. It is not stored: ``open`` must be given the same one, so sealed
                bytes cannot pass for those of another place.
        """
        ...

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return the bytes that were sealed.

        Raises:
            SealError: The key or the context is another one, or the bytes were changed.
        """
        ...


class NoSeal:
    """The seal of a run without a key: it leaves bytes readable."""

    name = "none"

    def seal(self, plain: bytes, context: bytes) -> bytes:  # noqa: ARG002 - the protocol has a context
        """Return the bytes as they are."""
        return plain

    def open(self, sealed: bytes, context: bytes) -> bytes:  # noqa: ARG002 - the protocol has a context
        """Return the bytes as they are."""
        return sealed


def load_seal(
    key_file: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    load: Callable[[str], ModuleType] = importlib.import_module,
) -> Seal:
    """Return the seal for a key, AES-256-GCM; without a key, a seal that leaves bytes readable.

    The key is 32 random bytes: raw (in a file only), as base64, standard or URL-safe, or as hex digits.

    Args:
        key_file: A file with the key; None to read the environment: CLOVA_OCR_KEY holds the key as text,
            CLOVA_OCR_KEY_FILE names a file with it; the first wins.
        environ: The environment; None for this process's, since ``help`` would print a default value.
        load: Imports a module.

    Raises:
        ConfigurationError: The value is not a key, its file cannot be read or is not private, or the extra ``crypto``
            is not installed. The message names the file or the variable, never the key.
    """
    key = _key(None if key_file is None else os.fspath(key_file), os.environ if environ is None else environ)
    if key is None:
        return NoSeal()
    try:
        module = load("clova_ocr_async.ledger.aesgcm")
    except ModuleNotFoundError:
        raise ConfigurationError(
            "a key is given, and the library that uses it is not installed: pip install 'clova-ocr-async[crypto]'"
        ) from None
    return cast("Seal", module.AESGCMSeal(key))


def _key(key_file: str | None, environ: Mapping[str, str]) -> bytes | None:
    # A variable that is set and empty is a mistake. Taken for "no key" it would leave passports readable on the disk.
    if key_file is not None:
        return _key_in_file(f"key file {quoted(key_file)}", key_file)
    if _KEY in environ:
        text = env_value(environ, _KEY)
        if (key := _key_of_text(text)) is None:
            size = plural(len(text), "character")
            raise ConfigurationError(
                f"{_KEY} does not hold a key but {size}; a key is {_TEXT_FORMS}, made by: {_COMMAND}"
            )
        return key
    if _KEY_FILE in environ:
        path = env_path(environ, _KEY_FILE)
        return _key_in_file(f"{_KEY_FILE}: key file {quoted(path)}", path)
    return None


def _key_in_file(subject: str, path: str) -> bytes:
    mode, content = _read(subject, path)
    _check_private(subject, mode)
    # 32 bytes can only be a raw key: the forms in text are longer.
    key = content if len(content) == _KEY_BYTES else _key_in_text_file(content)
    if key is None:
        size = f"more than {_LONGEST_KEY} bytes" if len(content) > _LONGEST_KEY else plural(len(content), "byte")
        raise ConfigurationError(
            f"{subject} does not hold a key but {size}; a key is {_KEY_BYTES} raw bytes, {_TEXT_FORMS}, "
            f"made by: {_COMMAND}"
        )
    return key


def _key_in_text_file(content: bytes) -> bytes | None:
    try:
        return _key_of_text(parse_value(decode_text(content)))
    except ConfigurationError:  # not text: most likely raw bytes, too many or too few
        return None


def _read(subject: str, path: str) -> tuple[int, bytes]:
    """Return a file's mode and its first bytes, as many as a key can have and one more."""
    try:
        with Path(path).open("rb") as file:
            # The mode of the open file, and not of the path, which may lead to another file a moment later.
            return os.fstat(file.fileno()).st_mode, file.read(_LONGEST_KEY + 1)
    except FileNotFoundError:
        if _key_of_text(path) is not None:  # the path is the secret itself, so no message may repeat it
            message = f"a key is given where the path of its file belongs; put it into a file or into {_KEY}"
            raise ConfigurationError(message) from None
        raise ConfigurationError(f"{subject}: no such file; make one with: (umask 077; {_COMMAND} > FILE)") from None
    except OSError as error:
        raise ConfigurationError(f"{subject}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"{subject}: the path has a NUL character, which no path can have") from None


def _check_private(subject: str, mode: int) -> None:
    # On Windows the mode does not show which users may read the file.
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"{subject} can be read by other users (mode {stat.S_IMODE(mode):04o}); close it with chmod 600"
        )


def _key_of_text(text: str) -> bytes | None:
    """Return the key that a text encodes; None if it does not encode one."""
    if _HEX_KEY.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64_KEY.fullmatch(text):
        return base64.b64decode(text[:43].translate(_URL_SAFE) + "=")
    return None
