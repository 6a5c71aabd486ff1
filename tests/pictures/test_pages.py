from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pikepdf
import PIL.Image
import pytest
from support.pdfs import pdf_of, saved, written

from clova_ocr_async import pictures
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.pictures import Page, pages_in
from clova_ocr_async.pictures.pages import count_pages, cut_page

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A PDF of five pages."""
    path = tmp_path / "scan.pdf"
    path.write_bytes(pdf_of(5))
    return path


@pytest.mark.parametrize(("pages", "numbers"), [("all", [1, 2, 3, 4, 5]), ("4-9,1", [1, 4, 5])])
def test_pages_of_a_file(scan: Path, pages: str, numbers: list[int]) -> None:
    """The wanted pages of a file come in its order; those that it does not have are left out."""
    assert list(pages_in(scan, pages)) == list(pages_in(str(scan), pages)) == [Page(scan, number) for number in numbers]


def test_all_pages_without_a_selection(scan: Path) -> None:
    """All pages are what is wanted by default."""
    assert len(list(pages_in(scan))) == 5


def test_a_tiff(tmp_path: Path) -> None:
    """A TIFF of several pages gives its pages, without the extra's libraries."""
    path, picture = tmp_path / "fax.tif", PIL.Image.new("1", (9, 9))
    picture.save(path, save_all=True, append_images=[picture])
    assert list(pages_in(path)) == [Page(path, 1), Page(path, 2)]
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('PIL', 'pikepdf', 'pypdfium2')))\n"
        "from clova_ocr_async.pictures.pages import cut_page, pages_in\n"
        "assert len(list(pages_in(sys.argv[1]))) == 2\n"
        "assert cut_page(sys.argv[1], 2, max_bytes=None, preparation=None)[1].page == 2\n"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True, timeout=50)


@pytest.mark.parametrize("pages", ["all", "1", "1-3"])
@pytest.mark.parametrize("name", ["one.pdf", "photo.jpg", "notes.txt", "empty.pdf", "missing.pdf", "locked.pdf"])
def test_files_that_are_yielded_whole(name: str, pages: str, tmp_path: Path) -> None:
    """A file of one page, of another format, or that cannot be split is yielded as its path."""
    contents = {
        "one.pdf": pdf_of(1),
        "photo.jpg": b"\xff\xd8\xff",
        "notes.txt": b"notes",
        "empty.pdf": b"",
        "locked.pdf": saved(written("a", "b"), encryption=pikepdf.Encryption(owner="o", user="u")),
    }
    if name in contents:
        (tmp_path / name).write_bytes(contents[name])
    assert list(pages_in(tmp_path / name, pages)) == [tmp_path / name]


def test_no_page_is_left(scan: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file without any of the wanted pages yields nothing, and a warning names it."""
    one = tmp_path / "one.pdf"
    one.write_bytes(pdf_of(1))
    assert list(pages_in(scan, "6-9,12")) == list(pages_in(one, "2")) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{scan}: none of the pages 6-9,12 is there, as the file has 5 pages; nothing of it is read",
        f"{one}: none of the pages 2 is there, as the file has 1 page; nothing of it is read",
    ]


def test_arguments_are_checked_at_once(scan: Path) -> None:
    """Wrong arguments are refused by the call, before the first page is asked for."""
    with pytest.raises(ConfigurationError, match="'x' is neither a page nor a range"):
        pages_in(scan, "x")
    with pytest.raises(ConfigurationError, match="path is a bytes; it must be the path of a file"):
        pages_in(b"%PDF")  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0", b"GIF89a", b"PK\x03\x04", b"text"])
def test_other_files_count_as_one(data: bytes) -> None:
    """A file that is neither a PDF nor a TIFF is one image."""
    assert count_pages(data) == 1


def test_the_only_page_of_another_file(tmp_path: Path) -> None:
    """Page 1 of a picture is the picture; it has no other page, and no more bytes than are allowed."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0")
    data, picture = cut_page(path, 1, max_bytes=None, preparation=None)
    assert (data, picture.page, picture.steps) == (path.read_bytes(), None, ())
    with pytest.raises(ImageError, match=r"photo\.jpg is neither a PDF nor a TIFF, so it has no page 2"):
        cut_page(path, 2, max_bytes=None, preparation=None)
    with pytest.raises(ImageError, match="4 bytes, more than"):
        cut_page(path, 1, max_bytes=3, preparation=None)


@pytest.mark.parametrize("number", [0, -1, True, 1.0, "1"])
def test_the_number_is_checked(scan: Path, number: Any) -> None:
    """A number that cannot be a page's is refused."""
    with pytest.raises(ConfigurationError, match="it must be a whole number from 1"):
        cut_page(scan, number, max_bytes=None, preparation=None)


def test_a_file_that_was_replaced(scan: Path) -> None:
    """A file that is replaced between two pages is noticed."""
    first = cut_page(scan, 2, max_bytes=None, preparation=None)[1]
    other = scan.with_name("other.pdf")
    other.write_bytes(saved(written("x", "y", "z")))
    other.replace(scan)
    second = cut_page(scan, 2, max_bytes=None, preparation=None)[1]
    assert (first.steps, second.steps) == (("page 2 of 5",), ("page 2 of 3",))


@pytest.mark.parametrize("library", ["pikepdf", "pypdfium2"])
def test_without_the_extra(scan: Path, library: str) -> None:
    """Without its libraries a PDF is refused with the command that installs them."""
    code = (
        f"import sys; sys.modules[{library!r}] = None\n"
        "from clova_ocr_async.pictures import Page, Preparation, pages_in\n"
        "print(Page('a.pdf', 1))\n"
        "list(pages_in(sys.argv[1]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, scan], capture_output=True, text=True, timeout=50, check=False)
    assert ran.stdout == "a.pdf#1\n"
    line = f"ConfigurationError: a page of a pdf needs {library}: pip install 'clova-ocr-async[pictures]'"
    assert ran.stderr.rstrip().endswith(line)


def test_the_counter_is_loaded_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counter of PDFs is a name of the folder, which names what is missing, and the folder has no other."""
    assert pictures.count_pdf_pages(pdf_of(2)) == 2
    with pytest.raises(AttributeError, match="has no attribute 'other'"):
        _ = pictures.other  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "clova_ocr_async.pictures.pdf", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"count_pdf_pages needs .*: pip install 'clova-ocr-async\[pictures\]'"
    ):
        _ = pictures.count_pdf_pages
