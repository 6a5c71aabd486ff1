"""Normalization of texts: one form for the blanks, dashes and full-width characters that receipts print in several."""

from __future__ import annotations

__all__ = ["normalize_text"]

# Full-width ASCII. Source: Unicode 16.0, block Halfwidth and Fullwidth Forms.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}

# Blanks that are not U+0020. Source: Unicode 16.0, general category Zs.
_SPACES = dict.fromkeys((0x00A0, 0x2007, 0x2009, 0x202F, 0x3000), " ")

# Dashes that stand for a hyphen or a minus sign. Source: Unicode 16.0, general category Pd, and U+2212.
_MINUS_SIGNS = dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2212, 0xFE63, 0xFF0D), "-")

_OTHERS = {0x2236: ":", 0xFE55: ":", 0xFFE6: "₩", 0xFFE5: "¥"}

# Not Unicode's NFKC: that makes digits of ① and of the 2 in m², and so adds digits that the text does not have.
_TABLE: dict[int, int | str] = {**_FULL_WIDTH, **_SPACES, **_MINUS_SIGNS, **_OTHERS}


def normalize_text(text: str) -> str:
    """Return a text with full-width characters, dashes and blanks as their ASCII forms; its length stays."""
    return text.translate(_TABLE)
