"""Conversion of the vendor's texts to Python values, or None. Each function takes every form seen in answers."""

from __future__ import annotations

import math
import re

__all__ = ["flag_or_none", "number_or_none", "text_or_none", "whole_number_or_none"]

_NOTHING = frozenset({"", "-", "N/A"})  # "-" in the specification's passport; "N/A" in a client's test data
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[-+]?[0-9]{1,20}")  # bounded: int() of thousands of digits takes quadratic time


def text_or_none(text: str | None) -> str | None:
    """Return a text, or None for the vendor's spellings of an absent one: "", "-", "N/A"."""
    return None if text is None or text.strip() in _NOTHING else text


def number_or_none(value: object) -> float | None:
    """Return a number from a number or a text; None for any other value, and for infinity and NaN."""
    if type(value) is float and math.isfinite(value):  # nearly all scores
        return value
    if isinstance(value, str):
        value = value.strip()  # of more characters than float() strips
        if not _NUMBER.fullmatch(value):
            return None  # float() would read "1_000" and digits of every script as well
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def whole_number_or_none(value: object) -> int | None:
    """Return a whole number from a number or a text, to the last digit; None for any other value."""
    if isinstance(value, str):
        written = value.strip()
        return int(written) if _WHOLE.fullmatch(written) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag_or_none(value: object) -> bool | None:
    """Return a yes or no from a boolean, a number or a text; None for any other value."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "y": True, "1": True, "false": False, "n": False, "0": False}.get(value.strip().lower())
    return None if (number := number_or_none(value)) is None else bool(number)
