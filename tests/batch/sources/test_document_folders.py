"""Folders that are named after documents decide what their pictures are read as; nothing is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.zips import Member, write_zip

from clova_ocr_async.batch.sources.document_folders import check_folder, images_by_folder
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


def lay_out(folder: Path, *names: str) -> Path:
    """Make files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def documents(root: Path, *, recursive: bool = True) -> dict[str, str | None]:
    """Return the documents of the pictures by their names."""
    images = images_by_folder(str(root), recursive)
    return {image.path.removeprefix(str(root))[1:].lstrip("/"): image.document for image in images}


NAMES = ["receipt/a.jpg", "receipt/2026/11/b.jpg", "ID_CARD/c.png", "Biz-License/d.pdf", ".hidden/e.jpg", "notes.txt"]
EXPECTED = {
    "receipt/a.jpg": "receipt",
    "receipt/2026/11/b.jpg": "receipt",
    "ID_CARD/c.png": "id-card",
    "Biz-License/d.pdf": "biz-license",
}


def test_a_picture_is_of_the_document_of_its_folder(tmp_path: Path) -> None:
    """Folders have the vendor's words, with either line and in any case; sub-folders inherit."""
    folder = lay_out(tmp_path / "in", *NAMES)
    assert documents(folder) == EXPECTED
    assert check_folder(str(folder)) == {"receipt", "id-card", "biz-license"}
    assert set(documents(folder, recursive=False)) == {"receipt/a.jpg", "ID_CARD/c.png", "Biz-License/d.pdf"}


def test_an_archive_has_such_folders_too(tmp_path: Path) -> None:
    """The folders of a zip archive are read by the same rule."""
    archive = write_zip(tmp_path / "a.zip", *(Member(name.encode()) for name in NAMES))
    assert documents(archive) == EXPECTED
    wrong = write_zip(tmp_path / "b.zip", Member(b"other/x.jpg"), Member(b"receipt/x.jpg"))
    with pytest.raises(ConfigurationError, match=r"b\.zip/other is not named after a document"):
        check_folder(str(wrong))


def test_a_folder_with_the_name_of_a_document_may_be_given_itself(tmp_path: Path) -> None:
    """The paths that a shell makes of scans/* are the same as scans."""
    folder = lay_out(tmp_path / "receipt", "a.jpg", "deep/b.jpg")
    assert documents(folder) == {"a.jpg": "receipt", "deep/b.jpg": "receipt"}
    assert documents(folder, recursive=False) == {"a.jpg": "receipt"}


def test_a_folder_with_another_name_is_refused_by_its_name(tmp_path: Path) -> None:
    """Unknown folders are named together, and an empty one does not matter."""
    folder = lay_out(tmp_path / "in", "receipt/a.jpg", "receipts/b.jpg", "other/deep/c.jpg")
    (folder / "empty").mkdir()
    with pytest.raises(ConfigurationError) as error:
        check_folder(str(folder))
    for name in (
        "in/receipts",
        "in/other",
        "are not named after a document; auto reads folders that are named rec",
    ):
        assert name in str(error.value)
    assert "empty" not in str(error.value)
    lay_out(folder, *(f"x{number}/a.jpg" for number in range(5)))
    with pytest.raises(ConfigurationError, match=r" and 2 more are not named after a document"):
        check_folder(str(folder))
    with pytest.raises(ConfigurationError, match="is not named after a document"):
        list(images_by_folder(str(folder)))


def test_pictures_directly_in_the_folder_are_refused(tmp_path: Path) -> None:
    """A picture that lies in no folder of a document is not guessed to be one."""
    folder = lay_out(tmp_path / "in", "receipt/a.jpg", "b.jpg")
    why = r"pictures lie directly in .*/in, so no folder names"
    with pytest.raises(ConfigurationError, match=why):
        check_folder(str(folder))
    with pytest.raises(ConfigurationError, match=why):
        list(images_by_folder(str(folder)))


def test_a_document_in_another_ones_folder_is_refused(tmp_path: Path) -> None:
    """A folder of passports in a folder of receipts would be read as receipts, and paid."""
    folder = lay_out(tmp_path / "in", "receipt/2026/passport/a.jpg", "receipt/receipt/b.jpg")
    with pytest.raises(
        ConfigurationError, match=r"/in/receipt/2026/passport is named after the document passport, and"
    ):
        check_folder(str(folder))
    with pytest.raises(ConfigurationError, match=r"/receipt/2026/passport is named after"):
        check_folder(str(folder / "receipt"))


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """The error is that of a walk."""
    with pytest.raises(ConfigurationError, match="No such file"):
        check_folder(str(tmp_path / "missing"))
