"""Zip archives are read in place; whatever one claims, nothing is unpacked, and memory and time stay bounded."""

from __future__ import annotations

import contextlib
import errno
import stat
import tracemalloc
import unicodedata
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.zips import Member, write_zip

from clova_ocr_async.host import archives
from clova_ocr_async.host.archives import (
    ArchiveError,
    member_size,
    members_of,
    read_member,
    read_member_start,
    split_member_path,
    stat_file,
)

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


def refused(archive: Path, name: str = "x.jpg") -> str:
    """Return why a member is refused."""
    with pytest.raises(ArchiveError) as error:
        read_member(str(archive), name)
    return str(error.value)


def names(archive: Path) -> list[str]:
    """Return the names of the members."""
    return list(members_of(str(archive)).by_name)


def descriptors() -> int:
    """Return the number of open descriptors of this process; 0 where the system does not list them."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("prefix", [b"", b"#!/bin/sh\n"])
def test_a_member_is_read_in_place(tmp_path: Path, method: int, prefix: bytes) -> None:
    """A member comes back byte for byte, packed or not, also behind the program of a self-extracting archive."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(prefix)
    with zipfile.ZipFile(archive, "a", method) as written:
        written.writestr("sub/x.jpg", JPEG * 100)
        written.writestr("empty.jpg", b"")
        written.mkdir("folder")
    assert names(archive) == ["sub/x.jpg", "empty.jpg"]
    assert read_member(str(archive), "sub/x.jpg") == JPEG * 100
    assert member_size(str(archive), "sub/x.jpg") == len(JPEG) * 100
    assert read_member_start(str(archive), "sub/x.jpg", 8) == JPEG[:8]
    assert read_member(str(archive), "empty.jpg") == b""
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


class _Stream:
    """A file without positions."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush = file.write, file.flush


def test_archives_of_other_programs_are_read(tmp_path: Path) -> None:
    """An archive that was written as a stream, and one with the fields of large archives, are read as any other."""
    archive = tmp_path / "streamed.zip"
    with (
        archive.open("wb") as file,
        zipfile.ZipFile(_Stream(file), "w", zipfile.ZIP_DEFLATED) as written,  # type: ignore[call-overload]  # it may have no positions
        written.open("x.jpg", "w", force_zip64=True) as member,
    ):
        member.write(JPEG)
    assert read_member(str(archive), "x.jpg") == JPEG


@pytest.mark.parametrize(
    ("stored", "flags", "name"),
    [
        ("영수증.jpg".encode("cp949"), 0, "영수증.jpg"),
        ("폴더\\영수증.jpg".encode("cp949"), 0, "폴더/영수증.jpg"),
        ("영수증.jpg".encode(), 0, "영수증.jpg"),
        ("영수증.jpg".encode(), 0x800, "영수증.jpg"),
        ("Ä.jpg".encode("cp437"), 0, "Ä.jpg"),
        (b"./a//b.jpg", 0, "a/b.jpg"),
    ],
    ids=["cp949", "backslash", "utf-8", "flagged", "cp437", "odd"],
)
def test_names_of_all_systems_are_read(tmp_path: Path, stored: bytes, flags: int, name: str) -> None:
    """Names are UTF-8, CP949 of Korean Windows, or the old CP437, with slashes of either kind."""
    archive = write_zip(tmp_path / "a.zip", Member(stored, JPEG, flags=flags))
    assert names(archive) == [name]
    assert read_member(str(archive), name) == JPEG


def test_a_name_is_found_in_either_normal_form(tmp_path: Path) -> None:
    """A name that macOS has taken apart is found by its usual form, unless two members fit."""
    apart, usual = unicodedata.normalize("NFD", "가.jpg"), "가.jpg"
    archive = write_zip(tmp_path / "a.zip", Member(apart.encode(), JPEG))
    assert read_member(str(archive), usual) == JPEG
    both = write_zip(tmp_path / "b.zip", Member(apart.encode(), JPEG), Member(usual.encode(), b"other"))
    assert (read_member(str(both), usual), read_member(str(both), apart)) == (b"other", JPEG)
    mixed = unicodedata.normalize("NFC", "가") + unicodedata.normalize("NFD", "나") + ".jpg"
    one, other = unicodedata.normalize("NFC", mixed), unicodedata.normalize("NFD", mixed)
    two = write_zip(tmp_path / "c.zip", Member(one.encode(), JPEG), Member(other.encode(), JPEG))
    assert refused(two, mixed) == "the archive has no such file"


@pytest.mark.parametrize(
    "name",
    [
        b"../x.jpg",
        b"a/../../x.jpg",
        b"..\\x.jpg",
        b"/etc/x.jpg",
        b"\\x.jpg",
        b"\\\\host\\share\\x.jpg",
        b"C:\\x.jpg",
        b"c:x.jpg",
        b"a\0/x.jpg",
        b"./.",
        b"a" * 501 + b".jpg",
    ],
)
def test_names_that_lead_out_of_a_folder_are_left_out(tmp_path: Path, name: bytes) -> None:
    """A name that would be dangerous once it is unpacked is not the name of a picture; it is counted."""
    archive = write_zip(tmp_path / "a.zip", Member(name, JPEG), Member(b"x.jpg", b"good"))
    assert names(archive) == ["x.jpg"]
    assert members_of(str(archive)).left_out == {"with an unsafe name": 1}
    assert read_member(str(archive), "x.jpg") == b"good"


def test_links_and_devices_are_left_out(tmp_path: Path) -> None:
    """A member that is a symbolic link, a pipe or a device is not read; it is counted."""
    archive = write_zip(
        tmp_path / "a.zip",
        Member(b"link.jpg", b"/etc/passwd", mode=stat.S_IFLNK | 0o777),
        Member(b"pipe.jpg", b"", mode=stat.S_IFIFO | 0o600),
        Member(b"x.jpg", JPEG, mode=stat.S_IFREG | 0o600),
    )
    assert names(archive) == ["x.jpg"]
    assert members_of(str(archive)).left_out == {"symbolic link": 1, "with an unsafe name": 1}


def test_of_two_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    """Unpacking leaves the last member of a name, so that is the one; the others are counted."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.jpg", b"one"), Member(b".\\x.jpg", b"two"))
    assert read_member(str(archive), "x.jpg") == b"two"
    assert members_of(str(archive)).left_out == {"with the name of another member": 1}


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    """No password is asked for; the message names the way out."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.jpg", JPEG, flags=1))
    assert refused(archive) == "it is encrypted; unpack the archive with its password, and give the files"


@pytest.mark.parametrize(("method", "name"), [(12, "BZIP2"), (14, "LZMA"), (9, "Deflate64"), (77, "77")])
def test_a_method_whose_result_cannot_be_bounded_is_refused(tmp_path: Path, method: int, name: str) -> None:
    """Members are stored or packed with Deflate; any other method is named."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.jpg", JPEG, method=method))
    assert refused(archive).startswith(f"it is packed with the method {name}; pack it again with Deflate")


@pytest.mark.parametrize(
    ("member", "why"),
    [
        (Member(b"x.jpg", bytes(600 * 1024 * 1024 // 100)), "it would grow to more than 500 times its packed size"),
        (Member(b"x.jpg", JPEG, size=2**31), "it would grow to more than 500 times its packed size"),
        (Member(b"x.jpg", bytes(10_000_000), size=10), "it is broken: its content does not match its checksum"),
        (Member(b"x.jpg", JPEG, checksum=1), "it is broken: its content does not match its checksum"),
        (Member(b"x.jpg", JPEG, method=0, size=5), "it is broken: its sizes in the archive contradict each other"),
        (Member(b"x.jpg", JPEG, packed=b"\xff" * 20), "it is broken: its content cannot be unpacked"),
        (Member(b"x.jpg", JPEG, packed=b""), "it is broken: its content does not match its checksum"),
    ],
    ids=["bomb", "claims", "lies", "checksum", "stored", "garbage", "nothing"],
)
def test_a_member_that_is_not_what_it_claims_is_refused(tmp_path: Path, member: Member, why: str) -> None:
    """A bomb is refused by its header, and a member whose content differs from its header is never given."""
    archive = write_zip(tmp_path / "a.zip", member)
    members_of(str(archive))
    tracemalloc.start()
    try:
        assert refused(archive).startswith(why)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_small_member_may_have_any_ratio(tmp_path: Path) -> None:
    """A blank page packs a thousandfold, and does no harm."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.jpg", bytes(1_000_000)))
    assert read_member(str(archive), "x.jpg") == bytes(1_000_000)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", JPEG, b"PK\5\6" + bytes(18), b"PK\5\6" + b"\xff" * 18])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is not an archive, or only the head of one, is refused as that; an empty archive has no members."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    if content == b"PK\5\6" + bytes(18):
        assert names(archive) == []
    else:
        assert refused(archive) == "it is not a zip archive, or a broken one"


def test_a_folder_is_no_archive(tmp_path: Path) -> None:
    """A folder named like an archive is refused."""
    assert refused(tmp_path) == "it is not a zip archive"


def test_an_archive_of_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of members has a limit, and so has the list that is read to count them."""
    archive = write_zip(tmp_path / "a.zip", *(Member(b"%d.jpg" % number, b"", method=0) for number in range(5)))
    monkeypatch.setattr(archives, "MAX_MEMBERS", 4)
    assert refused(archive) == "it has 5 members, more than 4; split the archive"
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 70_000)
    long = write_zip(tmp_path / "b.zip", *(Member(b"%0400d" % number, b"", method=0) for number in range(200)))
    assert refused(long) == "its list of members has more than 70,000 bytes; split the archive"


def test_a_member_that_moved_is_refused(tmp_path: Path) -> None:
    """An archive whose list points elsewhere is broken; nothing else is read in place of the member."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.jpg", JPEG, method=0))
    content = bytearray(archive.read_bytes())
    content[:4] = b"PK\7\7"
    archive.write_bytes(content)
    assert refused(archive) == "it is broken: it is not where the archive lists it"


def test_an_archive_in_an_archive_is_named(tmp_path: Path) -> None:
    """A path through two archives is refused with the reason."""
    archive = write_zip(tmp_path / "a.zip", Member(b"b.zip", b"PK\3\4"))
    assert refused(archive, "b.zip!/x.jpg").startswith("it is in an archive that is in an archive; unpack the outer")
    assert refused(archive, "c.zip!/x.jpg") == "the archive has no such file"


def test_a_path_is_split_where_its_archive_ends(tmp_path: Path) -> None:
    """The part before the mark is a file; a path that exists as a whole stays what it is."""
    archive = write_zip(tmp_path / "a!.zip", Member(b"sub!/x.jpg", JPEG))
    (tmp_path / "wow!").mkdir()
    (tmp_path / "wow!" / "x.jpg").write_bytes(JPEG)
    assert split_member_path(f"{archive}!/sub!/x.jpg") == (str(archive), "sub!/x.jpg")
    for path in (f"{tmp_path}/wow!/x.jpg", f"{tmp_path}/wow!/y.jpg", f"{archive}", "!/x.jpg", f"{tmp_path}/no.zip!/x"):
        assert split_member_path(path) is None
    inner = write_zip(tmp_path / "wow!" / "b.zip", Member(b"x.jpg", JPEG))
    assert split_member_path(f"{inner}!/x.jpg") == (str(inner), "x.jpg")


def test_the_status_of_a_member_is_that_of_its_archive(tmp_path: Path) -> None:
    """A member changes with its archive, and a member that is missing does not exist."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.jpg", JPEG))
    assert stat_file(f"{archive}!/x.jpg") == archive.stat()
    assert stat_file(archive) == archive.stat()
    (tmp_path / "b.zip").write_bytes(b"no archive")
    for missing in (f"{archive}!/y.jpg", f"{tmp_path}/b.zip!/x.jpg", f"{tmp_path}/c.zip!/x.jpg", f"{archive}/x.jpg"):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            stat_file(missing)


def test_an_archive_that_changes_is_read_anew(tmp_path: Path) -> None:
    """The list of members follows the file, and the lists of few archives are kept."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.jpg", JPEG))
    assert names(archive) == ["x.jpg"]
    known = members_of(str(archive))
    assert members_of(str(archive)) is known
    write_zip(archive, Member(b"other.jpg", JPEG))
    assert names(archive) == ["other.jpg"]
    known = members_of(str(archive))
    for number in range(4):
        members_of(str(write_zip(tmp_path / f"{number}.zip", Member(b"x.jpg", JPEG))))
    assert members_of(str(archive)) is not known


def test_threads_read_one_archive(tmp_path: Path) -> None:
    """Many threads read members of one archive at once, each its own, and no descriptor is left open."""
    archive = write_zip(tmp_path / "a.zip", *(Member(b"%d" % number, b"%d" % number * 999) for number in range(300)))
    before = descriptors()
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(lambda number: read_member(str(archive), f"{number}"), range(300)))
    assert read == [b"%d" % number * 999 for number in range(300)]
    assert descriptors() <= before


def test_memory_does_not_grow_with_the_number_of_members(tmp_path: Path) -> None:
    """A thousand members are read one after the other in the memory of few of them."""
    archive = write_zip(
        tmp_path / "a.zip", *(Member(b"%d" % number, b"x" * 100_000, method=0) for number in range(1000))
    )
    tracemalloc.start()
    try:
        for number in range(1000):
            assert len(read_member(str(archive), f"{number}")) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@settings(max_examples=300)
@given(data=st.data())
def test_hostile_bytes_are_an_error_of_ours(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever bytes of an archive are changed, it is read, or refused with one kind of error."""
    folder = tmp_path_factory.mktemp("fuzz")
    archive = write_zip(folder / "a.zip", Member(b"x.jpg", JPEG * 5), Member("영.jpg".encode("cp949"), JPEG, method=0))
    content = bytearray(archive.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    archive.write_bytes(content[data.draw(st.integers(0, 3)) :])
    try:
        found = names(archive)
    except ArchiveError:
        return
    for name in found:
        assert not name.startswith("/")
        assert ".." not in name.split("/")
        with contextlib.suppress(ArchiveError):
            assert read_member(str(archive), name) in {JPEG * 5, JPEG}


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EIO])
def test_a_file_that_cannot_be_read_is_no_broken_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A seek before the start of the file is a broken archive; an error of the disk stays one."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.jpg", JPEG))

    def failing(*_: object) -> None:
        raise OSError(code, "it failed")

    monkeypatch.setattr(zipfile, "ZipFile", failing)
    with pytest.raises(ArchiveError if code == errno.EINVAL else OSError):
        members_of(str(archive))
