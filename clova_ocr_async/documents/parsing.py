"""Vendor's texts to Python values, or None. Each function takes anything the vendor was seen to send."""

from __future__ import annotations

import math
import re

__all__ = ["flag_or_none", "number_or_none", "text_or_none", "whole_number_or_none"]

_NOTHING = frozenset({"", "-", "N/A"})
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_WHOLE = re.compile(r"[-+]?[0-9]{1,20}")


def text_or_none(text: str | None) -> str | None:
    """Return a text, or None for what the vendor writes for nothing: "", "-", "N/A"."""
    return None if text is None or text.strip() in _NOTHING else text


def number_or_none(value: object) -> float | None:
    """Return a number that came as a number or as text; None for anything else, and for what is not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        return None  # float() would read "1_000" and digits of every script as well
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def whole_number_or_none(value: object) -> int | None:
    """Return a whole number that came as a number or as text, to the last digit; None for anything else."""
    if isinstance(value, str):
        written = value.strip()
        return int(written) if _WHOLE.fullmatch(written) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def flag_or_none(value: object) -> bool | None:
    """Return a yes or no that came as one, as a number or as text; None for anything else."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return {"true": True, "y": True, "1": True, "false": False, "n": False, "0": False}.get(value.strip().lower())
    return None if (number := number_or_none(value)) is None else bool(number)
