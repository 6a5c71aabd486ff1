from __future__ import annotations

import logging
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.errors import ConfigurationError, LedgerError
from clova_ocr_async.ledger.sqlite.run_directory import (
    LEDGER,
    create_private,
    find_run_directory,
    prepare_run_directory,
    read_mounts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LOCAL = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"


def mode_of(path: Path) -> int:
    """Return the permissions of a file or folder."""
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def umask(mask: int) -> Generator[None]:
    """Set the umask of the process for a while."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mounted(*mounts: tuple[str, str]) -> str:
    """Return mountinfo: a root on a disk, and other mounts, in that order."""
    lines = (f"9{n} 22 0:4{n} / {point} rw shared:7 - {kind} there rw\n" for n, (point, kind) in enumerate(mounts))
    return LOCAL + "".join(lines)


def test_a_new_folder(tmp_path: Path) -> None:
    """A missing folder is created, with those above it, and preparing it a second time changes nothing."""
    path = tmp_path / "runs" / "영수증"
    assert prepare_run_directory(path) == prepare_run_directory(str(path)) == path
    assert list(path.iterdir()) == []


@pytest.mark.parametrize("mask", [0, 0o22, 0o77])
def test_only_the_owner_reads(tmp_path: Path, mask: int, caplog: pytest.LogCaptureFixture) -> None:
    """Under any umask the folder is 0700 and its file 0600; folders above it follow the umask."""
    with umask(mask):
        folder = prepare_run_directory(tmp_path / "above" / "run")
        create_private(folder / LEDGER)
    assert (mode_of(folder), mode_of(folder / LEDGER)) == (0o700, 0o600)
    assert mode_of(folder.parent) == 0o777 & ~mask
    assert caplog.records == []


def test_a_run_is_taken_up_again(tmp_path: Path) -> None:
    """A folder with a ledger is accepted, with any other files in it, and nothing in it is changed."""
    folder = prepare_run_directory(tmp_path / "run")
    for name in (LEDGER, f"{LEDGER}-wal", "notes.txt"):
        (folder / name).write_text(name)
    assert prepare_run_directory(folder) == find_run_directory(folder) == find_run_directory(str(folder)) == folder
    create_private(folder / LEDGER)
    assert (folder / LEDGER).read_text() == LEDGER


@pytest.mark.parametrize("content", [[], [LEDGER]])
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_was_open(
    tmp_path: Path, content: list[str], mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that other users could enter is closed to them, and that is logged once with its former mode."""
    for name in content:
        (tmp_path / name).write_bytes(b"")
    tmp_path.chmod(mode)
    prepare_run_directory(tmp_path)
    assert mode_of(tmp_path) == 0o700
    prepare_run_directory(tmp_path)
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, f"{tmp_path} was open to other users (mode {mode:04o}); it is now closed to them")
    ]


def test_a_folder_with_other_things(tmp_path: Path) -> None:
    """A folder that holds other files and no ledger is refused, and stays as it was."""
    (tmp_path / "a.jpg").write_bytes(b"")
    tmp_path.chmod(0o755)
    with pytest.raises(LedgerError, match=rf"holds other things and no {LEDGER}; .* choose a new one") as refused:
        prepare_run_directory(tmp_path)
    assert str(refused.value).startswith(str(tmp_path))
    assert mode_of(tmp_path) == 0o755
    assert not isinstance(refused.value, ConfigurationError | ValueError)


def a_file(path: Path) -> None:
    """Make a file."""
    path.write_bytes(b"")


def below_a_file(path: Path) -> None:
    """Make a file where a folder belongs."""
    path.parent.rmdir()
    path.parent.write_bytes(b"")


def a_dangling_link(path: Path) -> None:
    """Make a link to nowhere."""
    path.symlink_to("nowhere")


def a_loop(path: Path) -> None:
    """Make a link to itself."""
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (a_file, " is a file; a run directory is a folder of its own, so choose another name"),
        (below_a_file, ": Not a directory"),
        (a_dangling_link, ": No such file or directory"),
        (a_loop, ": Too many levels of symbolic links"),
    ],
)
def test_a_folder_that_cannot_be_one(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    """A path that is not a folder and cannot become one is refused by name."""
    path = tmp_path / "above" / "run"
    path.parent.mkdir()
    make(path)
    with pytest.raises(LedgerError) as refused:
        prepare_run_directory(path)
    assert str(refused.value) == f"{path}{why}"


def test_a_link_to_a_folder_of_ones_own(tmp_path: Path) -> None:
    """A link to a suitable folder is accepted."""
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "run").symlink_to("disk")
    assert prepare_run_directory(tmp_path / "run") == tmp_path / "run"


each_call = pytest.mark.parametrize("call", [prepare_run_directory, find_run_directory, create_private])


@each_call
@pytest.mark.parametrize(("path", "what"), [("", "is empty"), ("a\0b", "holds a NUL"), ("a\ud800", "holds a NUL or")])
def test_an_impossible_path_is_refused(call: Callable[[str], object], path: str, what: str) -> None:
    """A text that cannot be a path is refused before the file system is asked."""
    with pytest.raises(LedgerError, match=f"the path of the run directory {what}"):
        call(path)


@each_call
def test_an_undecodable_path_is_shown_escaped(tmp_path: Path, call: Callable[[str], object]) -> None:
    r"""Bytes of a path that are not UTF-8 are shown as \xNN."""
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff/x")
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"")
    with pytest.raises(LedgerError) as refused:
        call(path)
    assert rf"{tmp_path}/\xff/x" in str(refused.value)


def test_another_users_folder(tmp_path: Path) -> None:
    """A folder of another user is refused before anything in it is read or changed."""
    (tmp_path / "a.jpg").write_bytes(b"")
    tmp_path.chmod(0o755)
    owner = tmp_path.stat().st_uid
    with pytest.raises(LedgerError) as refused:
        prepare_run_directory(tmp_path, user=owner + 1)
    assert str(refused.value) == f"{tmp_path} belongs to another user (id {owner}); choose a directory of your own"
    assert mode_of(tmp_path) == 0o755


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_another_users_ledger(tmp_path: Path) -> None:
    """A ledger that another user put into an open folder is refused, after the folder was closed to others."""
    (tmp_path / LEDGER).write_bytes(b"")
    os.chown(tmp_path / LEDGER, 12345, 12345)
    tmp_path.chmod(0o777)
    with pytest.raises(LedgerError, match=r"the ledger in .* belongs to another user \(id 12345\)"):
        prepare_run_directory(tmp_path)
    assert mode_of(tmp_path) == 0o700


def linked_away(ledger: Path) -> None:
    """Make the ledger a link to a file elsewhere."""
    target = ledger.parent.parent / "elsewhere"
    target.write_bytes(b"")
    ledger.symlink_to(target)


def test_a_ledger_that_is_not_a_file(tmp_path: Path) -> None:
    """A link, a folder or a pipe in the ledger's place is refused, and no link is followed."""
    for number, (make, what) in enumerate(
        [
            (linked_away, "a symbolic link"),
            (a_dangling_link, "a symbolic link"),
            (Path.mkdir, "not a file"),
            (os.mkfifo, "not a file"),
        ]
    ):
        folder = prepare_run_directory(tmp_path / str(number))
        make(folder / LEDGER)
        for call, path in (
            (prepare_run_directory, folder),
            (find_run_directory, folder),
            (create_private, folder / LEDGER),
        ):
            with pytest.raises(LedgerError) as refused:
                call(path)
            message = f"{folder / LEDGER} is {what}, and must be a regular file; choose another directory"
            assert str(refused.value) == message


def test_a_reader_needs_an_existing_run(tmp_path: Path) -> None:
    """Without a run the error of a reader names what is there instead, and nothing is created."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "a").mkdir()
    advice = "; give a run directory, as a batch with a ledger leaves it"
    for name, what in (
        ("missing", " is not there" + advice),
        ("a", f" holds no {LEDGER}" + advice),
        ("file", " is a file" + advice),
    ):
        with pytest.raises(LedgerError) as refused:
            find_run_directory(tmp_path / name)
        assert str(refused.value) == f"{tmp_path / name}{what}"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "file"]
    with pytest.raises(LedgerError, match=r"x…x+: File name too long$"):
        find_run_directory(tmp_path / ("x" * 300))


def test_a_private_file_without_a_folder(tmp_path: Path) -> None:
    """The error of a file that cannot be created names it."""
    with pytest.raises(LedgerError, match=r"missing/ledger: No such file or directory"):
        create_private(tmp_path / "missing" / "ledger")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "fuse.sshfs", "lustre", "fakeowner"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    """A folder on a network file system is refused with the type and the way out, and is not created."""
    path = tmp_path / "a b" / "run"
    mounts = mounted((f"{tmp_path}/a\\040b", kind))
    with pytest.raises(LedgerError) as refused:
        prepare_run_directory(path, mounts=mounts)
    assert str(refused.value) == (
        f"{path} is on a file system of another machine ({kind}), where SQLite can lose data; "
        "choose a directory on a local disk"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("mounts", "refused"),
    [
        ((("", "nfs"),), True),
        ((("/run", "nfs"),), True),
        ((("/run/deeper", "nfs"),), False),
        ((("/ru", "nfs"),), False),
        ((("", "nfs"), ("/run", "ext4")), False),
        ((("/run", "ext4"), ("", "nfs")), False),
        ((("/run", "nfs"), ("/run", "tmpfs")), False),
        ((("/run", "tmpfs"), ("/run", "nfs")), True),
        ((("/run", "btrfs"),), False),
        ((("/run", "fuse.gocryptfs"),), False),
    ],
)
def test_which_mount_a_folder_is_on(tmp_path: Path, mounts: tuple[tuple[str, str], ...], *, refused: bool) -> None:
    """The deepest mount above a folder decides, and of two at one point the later one."""
    info = mounted(*((f"{tmp_path}{point}", kind) for point, kind in mounts))
    if refused:
        with pytest.raises(LedgerError, match="of another machine"):
            prepare_run_directory(tmp_path / "run", mounts=info)
    else:
        assert prepare_run_directory(tmp_path / "run", mounts=info).is_dir()


def test_the_whole_machine_on_a_network(tmp_path: Path) -> None:
    """With the root on a network every folder is."""
    with pytest.raises(LedgerError, match=r"\(nfs\)"):
        prepare_run_directory(tmp_path / "run", mounts=LOCAL.replace("ext4", "nfs"))


def test_a_link_to_a_network(tmp_path: Path) -> None:
    """A link to a network file system is refused."""
    (tmp_path / "share").mkdir()
    (tmp_path / "link").symlink_to("share")
    with pytest.raises(LedgerError, match="of another machine"):
        prepare_run_directory(tmp_path / "link" / "run", mounts=mounted((f"{tmp_path}/share", "nfs4")))


@pytest.mark.parametrize("mounts", ["", "\n", "22 1 254:0 / / rw,relatime\n"])
def test_an_unknown_list_of_mounts(tmp_path: Path, mounts: str) -> None:
    """A folder is accepted on a system that lists no mounts, as outside of Linux."""
    assert prepare_run_directory(tmp_path / "run", mounts=mounts).is_dir()


def test_this_machines_mounts(tmp_path: Path) -> None:
    """The list of mounts is read with bytes that are not UTF-8; a missing list is empty."""
    (tmp_path / "mountinfo").write_bytes(b"22 1 254:0 / /\xff rw - ext4 disk rw\n")
    assert read_mounts(str(tmp_path / "mountinfo")) == "22 1 254:0 / /\udcff rw - ext4 disk rw\n"
    assert read_mounts(str(tmp_path / "missing")) == ""
