"""Colour profiles for tests."""

from __future__ import annotations

import struct

__all__ = ["inverted_cmyk_profile"]


def inverted_cmyk_profile() -> bytes:
    """Make a profile of CMYK in which no ink is black, and all inks together are white.

    Source: ICC.1:2010, section 7 (profile) and 10.10 (lut8Type).
    """
    table = _lut8()
    header = bytearray(128)
    size = 128 + 4 + 12 + len(table)
    struct.pack_into(">I4sI4s4s4s", header, 0, size, b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ")
    header[36:40] = b"acsp"
    struct.pack_into(">3i", header, 68, 0xF6D6, 0x10000, 0xD32D)  # the D50 white point
    return bytes(header) + struct.pack(">I4sII", 1, b"A2B0", 128 + 4 + 12, len(table)) + table


def _lut8() -> bytes:
    """Map the corners of CMYK to lightness: as much as there is ink."""
    identity = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x10000)
    curve = bytes(range(256))
    corners = b"".join(bytes([255 * number.bit_count() // 4, 128, 128]) for number in range(16))
    return b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + curve * 4 + corners + curve * 3
