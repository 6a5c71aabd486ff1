"""Texts that are never printed: the secrets of domains, and the passwords of servers."""

from __future__ import annotations

import functools
import hmac
from typing import TYPE_CHECKING, NoReturn, ParamSpec, TypeVar

from clova_ocr_async.errors import ClovaOCRError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SecretText", "hide_arguments"]

P = ParamSpec("P")
T = TypeVar("T")


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


class _Hidden:
    """The arguments of a call: its ``repr`` has none of them."""

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        self.args = args
        self.kwargs = kwargs


def hide_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function whose errors of this package come without its frames.

    For functions that are given secrets or uploads: crash reporters print the variables of each frame. A secret that
    cannot work, say with a blank too many, is nearly the real one, and an upload that is not a picture may be any file.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        given = _Hidden(args, kwargs)
        del args, kwargs
        try:
            return function(*given.args, **given.kwargs)  # type: ignore[arg-type]  # as they were given
        except ClovaOCRError as error:
            failure = error.with_traceback(None)
        failure.__context__ = None
        raise failure

    return call
