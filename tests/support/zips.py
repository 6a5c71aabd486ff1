"""Zip archives for tests, hostile ones included."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Member", "write_zip"]


@dataclass(frozen=True)
class Member:
    """A member as it stands in the archive, byte for byte; what is None is as an honest program writes it.

    Attributes:
        name: Its name, in bytes as they are stored.
        data: Its content.
        flags: Its flag bits.
        method: How it says it is packed; 8 is Deflate, 0 is stored.
        mode: The mode of a Unix file; 0 for an archive that was not made on a Unix.
        size: The size that the archive states.
        checksum: The checksum that the archive states.
    """

    name: bytes
    data: bytes = b""
    flags: int = 0
    method: int = 8
    mode: int = 0
    size: int | None = None
    checksum: int | None = None
    packed: bytes | None = None


def write_zip(path: Path, *members: Member, prefix: bytes = b"") -> Path:
    """Write an archive, which may lie about anything."""
    body, directory = bytearray(prefix), bytearray()
    for member in members:
        packed = member.packed
        if packed is None:
            deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = deflate.compress(member.data) + deflate.flush() if member.method == 8 else member.data
        checksum = zlib.crc32(member.data) if member.checksum is None else member.checksum
        size = len(member.data) if member.size is None else member.size
        fields = (20, member.flags, member.method, 0, 0x21, checksum, len(packed), size, len(member.name), 0)
        directory += struct.pack("<IBB5H3I5H2I", 0x02014B50, 20, 3, *fields, 0, 0, 0, member.mode << 16, len(body))
        directory += member.name
        body += struct.pack("<I5H3I2H", 0x04034B50, *fields) + member.name + packed
    count = min(len(members), 0xFFFF)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), 0)
    path.write_bytes(bytes(body + directory + end))
    return path
