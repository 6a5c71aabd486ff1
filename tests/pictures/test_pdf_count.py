from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pypdfium2 as pdfium  # type: ignore[import-untyped]  # it ships no py.typed
import pytest
from PIL import Image

from clova_ocr_async.pictures import count_pdf_pages

SAMPLES = sorted((Path(__file__).parents[1] / "samples" / "pdf").glob("*.pdf"))


def _saved(pages: int) -> bytes:
    file, picture = io.BytesIO(), Image.new("L", (4, 4))
    picture.save(file, "PDF", save_all=True, append_images=[picture] * (pages - 1))
    return file.getvalue()


@pytest.mark.parametrize("pages", [1, 2, 12])
def test_pages_of_pillow(pages: int) -> None:
    """The pages of a PDF are counted exactly."""
    assert count_pdf_pages(_saved(pages)) == pages


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_pages_of_other_programs(file: Path) -> None:
    """The pages of what other programs write are counted, unless the file needs a password."""
    pages = int(file.stem.split("-")[-2])
    assert count_pdf_pages(file.read_bytes()) == (None if "encrypted" in file.stem else pages)


@pytest.mark.parametrize("data", [b"", b"\x00", b"%PDF-1.4", b"no PDF at all", _saved(1)[:40]])
def test_not_a_pdf(data: bytes) -> None:
    """The pages of a file that pdfium cannot open are unknown."""
    assert count_pdf_pages(data) is None


def test_no_page() -> None:
    """The pages of a PDF are unknown if pdfium finds none."""
    document, file = pdfium.PdfDocument.new(), io.BytesIO()
    document.save(file)
    document.close()
    assert count_pdf_pages(file.getvalue()) is None


def test_threads_take_turns() -> None:
    """Counting from several threads at once gives each its own answer."""
    files = {pages: _saved(pages) for pages in range(1, 9)}
    with ThreadPoolExecutor(8) as pool:
        counted = list(pool.map(count_pdf_pages, [files[pages] for pages in files] * 20))
    assert counted == list(files) * 20
