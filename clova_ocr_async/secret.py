"""Texts that are never printed: the secrets of domains, and the passwords of servers."""

from __future__ import annotations

import hmac
from typing import NoReturn

__all__ = ["SecretText"]


class SecretText:
    """A text that is never printed and cannot be pickled.

    Args:
        value: The text.
    """

    __slots__ = ("_value",)  # without a __dict__, which debuggers and crash reporters print

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text, for the one message that sends it."""
        return self._value

    def __repr__(self) -> str:
        return f"{type(self).__name__}('***')"

    def __eq__(self, other: object) -> bool:
        # In constant time, since the time of a comparison can reveal a secret.
        return isinstance(other, SecretText) and hmac.compare_digest(_encoded(self), _encoded(other))

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> NoReturn:
        kind = type(self).__name__
        raise TypeError(f"a {kind} cannot be pickled; send the name of its environment variable, and read it there")


def _encoded(text: SecretText) -> bytes:
    return text.reveal().encode("utf-8", "surrogatepass")  # an argument of a process may not be UTF-8
