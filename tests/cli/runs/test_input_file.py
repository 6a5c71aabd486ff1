from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.cli.runs.input_file import InputFile
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.errors import (
    ImageError,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_input_files_are_paths_and_what_is_in_folders(tmp_path: Path) -> None:
    """Files come as they are named, folders by their pictures, a dash as it is."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.JPG").touch()
    (tmp_path / "folder" / "notes.txt").touch()
    (tmp_path / "b.txt").touch()
    found = Search([str(tmp_path / "b.txt"), "-", str(tmp_path / "folder")]).files()
    assert [file.path for file in found] == [str(tmp_path / "b.txt"), "-", str(tmp_path / "folder" / "a.JPG")]


def test_an_input_file_refuses_more_than_the_client_asks_for(tmp_path: Path) -> None:
    """A file over the limit is refused by its size, before it is read; without a limit it is read whole."""
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff12345")
    file = InputFile(str(tmp_path / "a.jpg"))
    with pytest.raises(ImageError, match=r"8 bytes, more than"):
        file.read(8)
    assert file.sha256 is None
    assert len(file.read()) == 8
    assert file.read() == b""
    assert file.sha256 == hashlib.sha256(b"\xff\xd8\xff12345").hexdigest()
