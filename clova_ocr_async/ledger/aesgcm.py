"""The seal with AES-256-GCM, of the extra ``crypto``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.ledger.seal import SealError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["AESGCMSeal"]

_VERSION = b"\x01"  # in front of all sealed bytes, and authenticated, for a cipher that a later version may use
_KEY_BYTES = 32
_NONCE_BYTES = 12


def _random_nonce() -> bytes:
    return os.urandom(_NONCE_BYTES)


class AESGCMSeal:
    """A seal with a key. Sealed bytes are a version byte, the nonce, the ciphertext and its tag.

    A key is good for 2**32 seals; a random nonce of 96 bits is then reused with a chance below 2**-32.
    Source: NIST SP 800-38D, section 8.3.

    Args:
        key: 32 random bytes.
        nonce: Returns 12 bytes, never the same twice.

    Raises:
        ConfigurationError: The key has another length.
    """

    __slots__ = ("_cipher", "_nonce")

    name = "aes-256-gcm"

    def __init__(self, key: bytes, nonce: Callable[[], bytes] = _random_nonce) -> None:
        if len(key) != _KEY_BYTES:
            raise ConfigurationError(f"the key has {plural(len(key), 'byte')}; it must have {_KEY_BYTES}")
        self._cipher = AESGCM(key)
        self._nonce = nonce

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """Seal bytes for a context."""
        nonce = self._nonce()
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, _VERSION + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Return the bytes that were sealed for a context.

        Raises:
            SealError: The key or the context is another one, or the bytes were changed.
        """
        if sealed[:1] != _VERSION:
            raise SealError("the stored bytes are not sealed, or a newer version of this package sealed them")
        body = sealed[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(sealed[1 : 1 + _NONCE_BYTES], body, _VERSION + context)
        except (InvalidTag, ValueError):  # a ValueError if even the nonce is cut off
            raise SealError("sealed bytes do not open: the key is another one, or they were changed") from None

    def __repr__(self) -> str:
        return "AESGCMSeal('***')"

    def __reduce__(self) -> NoReturn:
        # A key in a pickle would lie in a task queue, or in the memory of a scheduler, for any other task to read.
        raise TypeError(
            "a seal cannot be pickled, since it holds its key; load it in the other process from the key's file"
        )
