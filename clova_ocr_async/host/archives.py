"""Zip archives that are read in place: one member at a time, in bounded memory, and nothing is written here.

The path ``a.zip!/sub/x.jpg`` names the member ``sub/x.jpg`` of the archive ``a.zip``. Names in an archive are only
names here: none of them is ever a path of the file system. A name that would lead out of a folder is left out all the
same, because outputs may be named after it.

No archive stays open between two reads. Only the lists of members are kept, those of the last few archives.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import struct
import threading
import unicodedata
import zipfile
import zlib
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clova_ocr_async.host.files import open_to_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "MEMBER_MARK",
    "ArchiveError",
    "Members",
    "file_exists",
    "hash_member",
    "is_archive_name",
    "member_pieces",
    "member_size",
    "members_of",
    "read_member",
    "read_member_start",
    "split_member_path",
    "stat_file",
]

MEMBER_MARK = "!/"
"""The separator of the path of an archive and the name of its member."""

MAX_MEMBERS = 100_000
MAX_DIRECTORY = 16 * 1024 * 1024  # bytes of the central directory, which zipfile reads at once
MAX_NAME = 500  # characters
MAX_RATIO = 500  # deflate ends at 1,032; scans that are nearly white reach 300
_SMALL = 1024 * 1024  # bytes; a smaller member may have any ratio
_KEPT = 4  # archives whose members are kept

_ENCRYPTED = 0x1 | 0x40
_UTF8 = 0x800  # flag bit 11: the name is in UTF-8
_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})  # zlib alone can bound what it decompresses
_ODD_METHODS = {9: "Deflate64", 12: "BZIP2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_LOCAL_HEADER = 30  # bytes before the name
_PIECE = 256 * 1024  # bytes
_START = 64 * 1024  # packed bytes that are enough for the first bytes of any member
_BROKEN = "it is not a zip archive, or a broken one"
_DRIVE = re.compile(r"[A-Za-z]:")


class ArchiveError(Exception):
    """An archive, or a member of it, cannot be read; the message continues a sentence that begins with its name."""


@dataclass(frozen=True, slots=True)
class Members:
    """The members of an archive.

    Attributes:
        by_name: The files by their names, which have ``/`` between their parts, in the order of the archive.
        left_out: The numbers of members that have no place in ``by_name``, by the reason.
    """

    by_name: Mapping[str, zipfile.ZipInfo]
    left_out: Counter[str]

    def find(self, name: str) -> zipfile.ZipInfo | None:
        """Return a member by its name, or by the name in the other normal form of Unicode, as macOS writes it."""
        found = self.by_name.get(name)
        if found is not None or name.isascii():
            return found
        wanted = unicodedata.normalize("NFC", name)
        same = [member for other, member in self.by_name.items() if unicodedata.normalize("NFC", other) == wanted]
        return same[0] if len(same) == 1 else None


def is_archive_name(name: str) -> bool:
    """Return whether a file is an archive by its name; files of office programs are zip archives with other names."""
    return name[-4:].lower() == ".zip"


def split_member_path(path: str) -> tuple[str, str] | None:
    """Return the archive and the member that a path names; None if the path itself exists, or has no file before !/.

    The work for a path without the mark is one search in its text.
    """
    at = path.find(MEMBER_MARK)
    if at < 0 or os.path.lexists(path):
        return None
    while at > 0:
        if os.path.isfile(path[:at]):  # noqa: PTH113 - a Path raises where a name is too long
            return path[:at], path[at + len(MEMBER_MARK) :]
        at = path.find(MEMBER_MARK, at + 1)
    return None


def members_of(archive: str) -> Members:
    """Return the members of an archive. They are read again once the file has changed.

    Raises:
        ArchiveError: It is not a zip archive, is broken, or is larger than the limits allow.
        OSError: The file cannot be read.
    """
    return _KNOWN.get(archive)


def stat_file(path: str | bytes | os.PathLike[str]) -> os.stat_result:
    """Return the status of a file; of a file in an archive that of the archive, with which it changes.

    Raises:
        OSError: There is no such file, or no such member.
        ValueError: The path cannot be one.
    """
    try:
        return os.stat(path)  # noqa: PTH116 - twice for every image, and a Path takes longer than the file system
    except (FileNotFoundError, NotADirectoryError):
        member = split_member_path(os.fsdecode(path))
        if member is None or not _has_member(*member):
            raise
    return os.stat(member[0])  # noqa: PTH116 - as above


def file_exists(path: str) -> bool:
    """Return whether there is a file, or such a member of an archive; a text that cannot be a path names none."""
    try:
        stat_file(path)
    except (OSError, ValueError):
        return False
    return True


def _has_member(archive: str, name: str) -> bool:
    try:
        return members_of(archive).find(name) is not None
    except ArchiveError:
        return False


def member_size(archive: str, name: str) -> int:
    """Return the size of a member once it is unpacked, in bytes, as the archive states it.

    Raises:
        ArchiveError: As ``read_member``.
        OSError: The file cannot be read.
    """
    return _checked_member(archive, name).file_size


def read_member(archive: str, name: str) -> bytes:
    """Return the content of a member, exactly as many bytes as ``member_size`` states.

    Raises:
        ArchiveError: The archive has no such member; the member is encrypted, broken, packed by an odd method, or a
            decompression bomb.
        OSError: The file cannot be read.
    """
    return b"".join(member_pieces(archive, name))


def hash_member(archive: str, name: str) -> bytes:
    """Return the sha256 of the content of a member, in the memory of a piece of it.

    Raises:
        ArchiveError: As ``read_member``.
        OSError: The file cannot be read.
    """
    digest = hashlib.sha256()
    for piece in member_pieces(archive, name):
        digest.update(piece)
    return digest.digest()


def member_pieces(archive: str, name: str) -> Iterator[bytes]:
    """Yield the content of a member in pieces; one that is broken may be found at its end only.

    Raises:
        ArchiveError: As ``read_member``.
        OSError: The file cannot be read.
    """
    member = _checked_member(archive, name)
    size = member.file_size
    # So many bytes are never needed to pack a file; a larger number is a fault, and must not be read.
    most = size if member.compress_type == zipfile.ZIP_STORED else size + size // 1000 + _START
    if member.compress_size > most:
        raise ArchiveError("it is broken: its sizes in the archive contradict each other")
    length = checksum = 0
    with _opened(archive) as file:
        _seek_content(file, member)
        for piece in _unpacked(_packed(file, member.compress_size), member):
            length, checksum = length + len(piece), zlib.crc32(piece, checksum)
            if length > size:
                break
            yield piece
    if length != size or checksum != member.CRC:
        raise ArchiveError("it is broken: its content does not match its checksum")


def read_member_start(archive: str, name: str, size: int) -> bytes:
    """Return the first bytes of a member, without a check of the rest.

    Raises:
        ArchiveError: As ``read_member``.
        OSError: The file cannot be read.
    """
    member = _checked_member(archive, name)
    with _opened(archive) as file:
        _seek_content(file, member)
        packed = file.read(min(member.compress_size, _START))
    return next(_unpacked(iter((packed,)), member), b"")[:size]


def _checked_member(archive: str, name: str) -> zipfile.ZipInfo:
    members = members_of(archive)
    if (member := members.find(name)) is None:
        raise ArchiveError(_absence(members, name))
    if member.flag_bits & _ENCRYPTED:
        raise ArchiveError("it is encrypted; unpack the archive with its password, and give the files")
    if member.compress_type not in _METHODS:
        method = _ODD_METHODS.get(member.compress_type, str(member.compress_type))
        raise ArchiveError(f"it is packed with the method {method}; pack it again with Deflate, or unpack the archive")
    if member.file_size > max(_SMALL, member.compress_size * MAX_RATIO):
        raise ArchiveError(
            f"it would grow to more than {MAX_RATIO} times its packed size, as decompression bombs do; unpack the "
            "archive if you trust it"
        )
    return member


def _absence(members: Members, name: str) -> str:
    outer = name.partition(MEMBER_MARK)[0]
    if outer != name and members.find(outer) is not None:
        return "it is in an archive that is in an archive; unpack the outer one first"
    return "the archive has no such file"


def _seek_content(file: io.FileIO, member: zipfile.ZipInfo) -> None:
    """Go to the first packed byte of a member."""
    file.seek(max(member.header_offset, 0))  # negative where the archive has lost its beginning
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or not header.startswith(b"PK\3\4"):
        raise ArchiveError("it is broken: it is not where the archive lists it")
    file.seek(int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little"), os.SEEK_CUR)


def _packed(file: io.FileIO, size: int) -> Iterator[bytes]:
    """Yield the next bytes of a file, at most ``size`` of them."""
    while size and (piece := file.read(min(size, _PIECE))):
        size -= len(piece)
        yield piece


def _unpacked(packed: Iterator[bytes], member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield a content in pieces that are never much larger than those it is packed in."""
    if member.compress_type == zipfile.ZIP_STORED:
        yield from packed
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for piece in packed:
            rest = piece
            while rest:
                yield inflate.decompress(rest, _PIECE)
                rest = inflate.unconsumed_tail
        yield inflate.flush()
    except zlib.error:
        raise ArchiveError("it is broken: its content cannot be unpacked") from None


class _DirectoryFile(io.FileIO):
    """A file for zipfile, which reads the list of members at once. A list that is too large is refused."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise ArchiveError(f"its list of members has more than {MAX_DIRECTORY:,} bytes; split the archive")
        return super().read(-1 if size is None else size)


def _opened(archive: str, kind: type[io.FileIO] = io.FileIO) -> io.FileIO:
    descriptor = open_to_read(archive)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # before FileIO has it, which leaks it where it is a folder
        os.close(descriptor)
        raise ArchiveError("it is not a zip archive")
    return kind(descriptor, "rb")


def _read_members(archive: str) -> Members:
    with _opened(archive, _DirectoryFile) as file:
        try:
            with zipfile.ZipFile(file) as opened:
                listed = opened.infolist()
        except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, OverflowError, struct.error):
            # ValueError also for a name that is marked as UTF-8 and is not.
            raise ArchiveError(_BROKEN) from None
        except OSError as error:
            if error.errno == errno.EINVAL:  # zipfile has looked for something before the start of the file
                raise ArchiveError(_BROKEN) from None
            raise
    if len(listed) > MAX_MEMBERS:
        raise ArchiveError(f"it has {len(listed):,} members, more than {MAX_MEMBERS:,}; split the archive")
    return _sorted_out(listed)


def _sorted_out(listed: list[zipfile.ZipInfo]) -> Members:
    by_name: dict[str, zipfile.ZipInfo] = {}
    left_out: Counter[str] = Counter()
    for member in listed:
        name = _decoded_name(member)
        if name.endswith(("/", "\\")):
            continue  # a folder
        if (reason := _fault(member, name)) is not None:
            left_out[reason] += 1
            continue
        plain = "/".join(part for part in name.replace("\\", "/").split("/") if part not in {"", "."})
        # The last one of a name counts, as it would be the one that unpacking leaves.
        left_out["with the name of another member"] += plain in by_name
        by_name[plain] = member
    return Members(by_name, +left_out)


def _fault(member: zipfile.ZipInfo, name: str) -> str | None:
    """Return why a member has no place among the files; None if it has one."""
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was not made on a Unix
    if kind == stat.S_IFLNK:
        return "symbolic link"
    parts = name.replace("\\", "/").split("/")
    if (
        kind not in {0, stat.S_IFREG}
        or "\0" in name
        or ".." in parts
        or not any(part not in {"", "."} for part in parts)
        or parts[0] == ""
        or _DRIVE.match(name)
        or len(name) > MAX_NAME
    ):
        return "with an unsafe name"
    return None


def _decoded_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name; archives of Korean Windows have names in CP949, without saying so."""
    if member.flag_bits & _UTF8:
        return member.orig_filename
    name = member.orig_filename.encode("cp437")  # zipfile has decoded it so, and each byte is a character there
    for encoding in ("utf-8", "cp949"):
        try:
            return name.decode(encoding)
        except UnicodeDecodeError:
            pass
    return member.orig_filename


class _KnownArchives:
    """The members of the archives that were read last."""

    def __init__(self) -> None:
        self._members: OrderedDict[str, tuple[tuple[int, ...], Members]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, archive: str) -> Members:
        found = os.stat(archive)  # noqa: PTH116 - for each member that is read
        stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
        with self._lock:  # also while it is read, so that threads do not read the same list beside each other
            known = self._members.get(archive)
            if known is None or known[0] != stamp:
                known = self._members[archive] = (stamp, _read_members(archive))
            self._members.move_to_end(archive)
            while len(self._members) > _KEPT:
                self._members.popitem(last=False)
            return known[1]


_KNOWN = _KnownArchives()
