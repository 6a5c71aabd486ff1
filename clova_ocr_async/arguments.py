"""Checks of arguments that several classes share.

No message repeats a value. Some values come from a configuration file, where a secret may stand in a wrong place.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from clova_ocr_async.errors import ConfigurationError

__all__ = ["NOT_A_PROXY", "is_proxy_url", "require_number", "require_seconds", "require_whole_number"]

NOT_A_PROXY = "it must be a URL such as http://proxy.example:3128, of an HTTP proxy"
"""The message about a value that is not the URL of a proxy: such a URL may hold a user name and a password."""


def require_whole_number(name: str, value: object, *, least: int = 1, most: int | None = None, advice: str = "") -> int:
    """Return an argument if it is a whole number within its bounds; True and False are not numbers.

    Args:
        name: The argument's name.
        value: Its value.
        least: The lowest number allowed.
        most: The highest number allowed; None for no bound.
        advice: A further way out, for the message.

    Raises:
        ConfigurationError: The argument is of another type, or out of its bounds.
    """
    wanted = f"a whole number from {least}" + ("" if most is None else f" to {most}")
    if isinstance(value, bool) or not isinstance(value, int):
        raise _unusable(f"{name} is a {type(value).__name__}", wanted, advice)
    if value < least:
        raise _unusable(f"{name} is less than {least}", wanted, advice)
    if most is not None and value > most:
        raise _unusable(f"{name} is more than {most}", wanted, advice)
    return value


def require_number(
    name: str,
    value: object,
    *,
    or_zero: bool = False,
    most: float = sys.float_info.max,
    unit: str = "a number",
    advice: str = "",
) -> float:
    """Return an argument as a float if it is a finite number above 0; True and False are not numbers.

    Args:
        name: The argument's name.
        value: Its value.
        or_zero: Whether 0 is allowed too.
        most: The highest number allowed.
        unit: The kind of number, for the message.
        advice: A further way out, for the message.

    Raises:
        ConfigurationError: The argument is of another type, or out of its bounds.
    """
    lower, below = ("0 or more", "less than 0") if or_zero else ("more than 0", "not more than 0")
    wanted = f"{unit}, {lower}" + (f" and at most {most:g}" if most < sys.float_info.max else "")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unusable(f"{name} is a {type(value).__name__}", wanted, advice)
    if not -sys.float_info.max <= value <= sys.float_info.max:  # not math.isfinite: it fails for a huge whole number
        raise _unusable(f"{name} is not finite", wanted, advice)
    if value < 0 or (value == 0 and not or_zero):
        raise _unusable(f"{name} is {below}", wanted, advice)
    if value > most:
        raise _unusable(f"{name} is more than {most:g}", wanted, advice)
    return float(value)


def require_seconds(name: str, value: object, *, or_zero: bool = False, most: float = sys.float_info.max) -> float:
    """Return a duration in seconds if it is a finite number above 0.

    Args:
        name: The argument's name.
        value: Its value.
        or_zero: Whether 0 is allowed too.
        most: The longest duration allowed.

    Raises:
        ConfigurationError: The argument is of another type, or out of its bounds.
    """
    return require_number(name, value, or_zero=or_zero, most=most, unit="seconds")


def _unusable(fault: str, wanted: str, advice: str) -> ConfigurationError:
    return ConfigurationError(f"{fault}; it must be {wanted}" + (f"; {advice}" if advice else ""))


def is_proxy_url(url: object) -> bool:
    """Return whether a value can be the URL of an HTTP proxy."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or " "
        # ``port`` raises for a text that is not a port, and 0 cannot be connected to.
        return parts.scheme in {"http", "https"} and not any(map(str.isspace, host)) and parts.port != 0
    except ValueError:
        return False
