from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.pictures import Page


class BytesPath:
    """A path whose system form is bytes."""

    def __fspath__(self) -> bytes:
        return os.fsencode("받은 파일/스캔.pdf")


@pytest.mark.parametrize("path", ["scan.pdf", Path("scan.pdf")])
def test_the_text_of_a_page(path: str | Path) -> None:
    """A page is written as its file and number."""
    page = Page(path, 3)
    assert (str(page), repr(page)) == ("scan.pdf#3", "Page('scan.pdf', 3)")


def test_korean_names_and_paths_of_bytes() -> None:
    """Names in Korean, and paths that are bytes inside, are written as text."""
    page = Page(BytesPath(), 1)  # type: ignore[arg-type]
    assert (str(page), repr(page)) == ("받은 파일/스캔.pdf#1", "Page('받은 파일/스캔.pdf', 1)")
    assert repr(Page(os.fsdecode(b"\xbd\xba.pdf"), 2)).isascii()


def test_pages_are_values() -> None:
    """Equal pages are equal, hash alike, and survive pickling."""
    assert len({Page("a.pdf", 1), Page("a.pdf", 1), Page("a.pdf", 2)}) == 2
    assert pickle.loads(pickle.dumps(Page("a.pdf", 2))) == Page("a.pdf", 2)  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("number", "fault"),
    [
        (0, "is less than 1"),
        (-1, "is less than 1"),
        (True, "is a bool"),
        (1.0, "is a float"),
        ("3", "is a str"),
        (None, "is a NoneType"),
    ],
)
def test_the_number_is_a_whole_number_from_1(number: Any, fault: str) -> None:
    """A number that cannot be a page's is refused when the page is made."""
    with pytest.raises(ConfigurationError, match=rf"Page\.number {fault}; it must be a whole number from 1"):
        Page("scan.pdf", number)


@pytest.mark.parametrize(
    ("path", "fault"),
    [(b"%PDF-1.7", "is a bytes; .*write them to a file first"), (None, "is a NoneType"), (3, "is a int")],
)
def test_the_path_is_a_path(path: Any, fault: str) -> None:
    """A value that cannot be a path is refused by its type, and never repeated."""
    with pytest.raises(ConfigurationError, match=rf"Page\.path {fault}") as caught:
        Page(path, 1)
    assert "%PDF" not in str(caught.value)
