from __future__ import annotations

from pathlib import Path
from typing import Any

from support.fakes import JPEG

from clova_ocr_async.batch import Failure, Outcome, Success, join_pages
from clova_ocr_async.documents import Receipt, Recognition
from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures import Page
from clova_ocr_async.protocol.image import Image


def read(source: Any) -> Success[Receipt]:
    """Return the outcome of an image that was read."""
    return Success(source, Recognition(document=Receipt()))


def not_read(source: Any) -> Failure:
    """Return the outcome of an image that was not read."""
    return Failure(source, ImageError("made up"))


def test_pages_come_together_in_their_order() -> None:
    """The pages of a file are joined in their order, however they finished, and however its path was given."""
    third, first, other = read(Page("scan.pdf", 3)), read(Page(Path("scan.pdf"), 1)), read("photo.jpg")
    second = read(Page("scan.pdf", 2))
    files = join_pages([third, other, first, second])
    assert list(files) == ["scan.pdf", "photo.jpg"]
    assert files["scan.pdf"].outcomes == (first, second, third)
    assert files["photo.jpg"].outcomes == (other,)


def test_a_file_that_is_half_read_is_seen() -> None:
    """A file of which some pages failed has both the pages that were read and those that were not."""
    good, bad = read(Page("scan.pdf", 10)), not_read(Page("scan.pdf", 9))
    outcomes: list[Outcome[Receipt]] = [good, bad]
    pages = join_pages(outcomes)["scan.pdf"]
    assert (pages.succeeded, pages.failed) == ((good,), (bad,))


def test_images_without_a_path_are_not_lost() -> None:
    """Images that are not files are kept together, in the order of their outcomes."""
    outcomes: list[Outcome[Receipt]] = [read(JPEG), not_read(Image(JPEG, "a")), read(b"more")]
    assert join_pages(outcomes)[None].outcomes == tuple(outcomes)
