from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.host.files import (
    check_replaceable,
    create_private,
    open_new_private,
    open_to_read,
    replace_file,
    temporary_beside,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def _open_umask() -> object:
    """A umask that hides nothing, as long as the test runs."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_open_umask")
def test_a_private_file_is_closed_to_others_from_its_first_moment(tmp_path: Path) -> None:
    """A new private file has mode 0600, whatever the umask allows."""
    os.close(open_new_private(tmp_path / "open"))
    assert create_private(tmp_path / "empty")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"open": 0o600, "empty": 0o600}


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_name_that_is_taken_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    """A file or a link that has the name already is neither opened nor changed."""
    path = tmp_path / "taken"
    if kind == "file":
        path.write_text("content")
    else:
        path.symlink_to(tmp_path / "elsewhere")
    assert not create_private(path)
    with pytest.raises(FileExistsError):
        open_new_private(path)
    assert kind == "link" or path.read_text() == "content"
    assert not (tmp_path / "elsewhere").exists()


def test_a_pipe_without_a_writer_does_not_block_its_open(tmp_path: Path) -> None:
    """A pipe is opened for reading at once, although no process writes to it."""
    os.mkfifo(tmp_path / "pipe")
    descriptor = open_to_read(tmp_path / "pipe")
    assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    os.close(descriptor)


def test_a_replaced_file_is_the_new_one_under_the_old_name(tmp_path: Path) -> None:
    """A rename puts the complete file in the place of the old one, and is watched before and after."""
    final = tmp_path / "final"
    final.write_text("old")
    seen: list[tuple[str, str]] = []
    for content, watch in (("first", None), ("second", lambda step: seen.append((step, final.read_text())))):
        temporary = temporary_beside(final)
        temporary.write_text(content)
        replace_file(temporary, final, watch)
        assert [path.name for path in tmp_path.iterdir()] == ["final"]
    assert seen == [("before rename", "first"), ("after rename", "second")]


def test_a_temporary_name_is_short_and_never_the_same(tmp_path: Path) -> None:
    """A temporary file lies beside its final place, under a name that no other process has and every system takes."""
    final = tmp_path / ("영" * 80)
    names = {temporary_beside(final) for _ in range(100)}
    assert len(names) == 100
    assert {name.parent for name in names} == {tmp_path}
    assert max(len(os.fsencode(name.name)) for name in names) <= 143


def test_only_a_file_or_a_link_is_replaced(tmp_path: Path) -> None:
    """A rename may replace a file, a link or nothing, and never a folder or a pipe."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link", "nothing"):
        check_replaceable(tmp_path / name)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(OSError, match="it is not a file"):
            check_replaceable(tmp_path / name)


def test_a_replacement_needs_no_watcher(tmp_path: Path) -> None:
    """A file is replaced as well if nothing watches the rename."""
    (tmp_path / "new").write_text("new")
    (tmp_path / "final").write_text("old")
    replace_file(tmp_path / "new", tmp_path / "final")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("final", "new")]
