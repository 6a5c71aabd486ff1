from __future__ import annotations

import os
import socket
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from support.zips import Member, write_zip

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.paged_file import PagedFile
from clova_ocr_async.pictures.pages import count_pages, cut_page

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_was_replaced_is_not_read(tmp_path: Path) -> None:
    """A file that is another one than that which was looked at is refused."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    found = PagedFile.of(path)
    assert found.read() == b"one"
    path.write_bytes(b"another")
    with pytest.raises(ImageError, match=r"a\.bin: the file changed while it was read; read it again once"):
        found.read()


def test_a_file_that_is_written_to_while_it_is_read(tmp_path: Path) -> None:
    """The bytes of a file that changed in the meantime are refused."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    found = PagedFile.of(path)
    with found.open() as file:
        found.check_unchanged(file)
        path.write_bytes(b"another")
        with pytest.raises(ImageError, match="the file changed while it was read"):
            found.check_unchanged(file)


def test_a_file_in_an_archive(tmp_path: Path) -> None:
    """A file in an archive is unpacked when it is opened, and refused if the archive is another one by then."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.pdf", b"one"))
    found = PagedFile.of(f"{archive}!/x.pdf")
    assert (found.size, found.head, found.read()) == (3, b"one", b"one")
    with found.open() as file:
        write_zip(archive, Member(b"x.pdf", b"another"))
        found.check_unchanged(file)
    with pytest.raises(ImageError, match=r"a\.zip!/x\.pdf: the file changed while it was read"):
        found.read()


LARGE = bytes(range(256)) * 40_000  # bytes, beyond those that are unpacked to memory


def test_a_large_file_in_an_archive_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file in an archive is unpacked to a temporary file that no other program can find."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    archive = write_zip(tmp_path / "a.zip", Member(b"x.pdf", LARGE))
    found = PagedFile.of(f"{archive}!/x.pdf")
    with found.open() as file:
        assert file.read() == LARGE
        found.check_unchanged(file)
        assert list((tmp_path / "temporary").iterdir()) == []
    assert found.read() == LARGE


def test_a_large_file_in_an_archive_that_cannot_be_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no place for a temporary file, the error names the folder's variable."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    archive = write_zip(tmp_path / "a.zip", Member(b"x.pdf", LARGE))
    with pytest.raises(ImageError, match=r"x\.pdf: it cannot be unpacked .* \(No such file .* set TMPDIR"):
        PagedFile.of(f"{archive}!/x.pdf").read()


def test_bytes_never_change() -> None:
    """Bytes are read in the place of a file."""
    found = PagedFile.of(b"bytes")
    assert (found.read(), found.stamp, found.size) == (b"bytes", (), 5)


@pytest.mark.parametrize("kind", ["folder", "pipe", "socket"])
def test_what_is_not_a_file(kind: str, tmp_path: Path) -> None:
    """A folder, a pipe and a socket are refused at once, without a wait."""
    path = tmp_path / kind
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.close()
    with pytest.raises(ImageError, match="not a file"):
        PagedFile.of(path)
    assert count_pages(path) is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.pdf", r"missing\.pdf: No such file or directory"),
        ("nul\0.pdf", "NUL or another character that no path can hold"),
        ("https://example.com/a.pdf?key=secret", "the image is a URL of 36 characters, not a path; download it first"),
        (3, "the file is a int; it must be a path or bytes"),
        (None, "the file is a NoneType"),
    ],
)
def test_what_cannot_be_opened(source: Any, message: str) -> None:
    """A file that cannot be opened is refused with the reason; a URL is not repeated."""
    with pytest.raises(ImageError, match=message) as caught:
        cut_page(source, 1, max_bytes=None, preparation=None)
    assert "secret" not in str(caught.value)
