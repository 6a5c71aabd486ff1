from __future__ import annotations

import os
import socket
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
    """A file in an archive is read into memory when it is opened, and refused if the archive is another one by then."""
    archive = write_zip(tmp_path / "a.zip", Member(b"x.pdf", b"one"))
    found = PagedFile.of(f"{archive}!/x.pdf")
    assert (found.size, found.head, found.read()) == (3, b"one", b"one")
    with found.open() as file:
        write_zip(archive, Member(b"x.pdf", b"another"))
        found.check_unchanged(file)
    with pytest.raises(ImageError, match=r"a\.zip!/x\.pdf: the file changed while it was read"):
        found.read()


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
