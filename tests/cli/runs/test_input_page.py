"""Pages of files as images of the command line."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from support.zips import Member, write_zip

from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.batch.sources.worklist import WorkFile, WorkPage
from clova_ocr_async.cli.runs.input_file import FileHashes, InputPage
from clova_ocr_async.cli.runs.unstored_answers import write_to_stdout
from clova_ocr_async.documents import IdCard
from clova_ocr_async.errors import AnswerNotKeptError

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.pictures.page import Page


def test_a_page_has_the_hash_of_its_file(tmp_path: Path) -> None:
    """The file is hashed once for all its pages, again once it has changed, and also in an archive."""
    path = tmp_path / "a.pdf"
    path.write_bytes(b"one")
    hashes = FileHashes()
    page = InputPage(str(path), 2, hashes=hashes)
    assert page == InputPage(str(path), 2)
    assert (page.page, page.shown, str(page)) == (2, f"{path}#2", f"{path}#2")
    assert page.sha256 == hashlib.sha256(b"one").hexdigest() == hashes.of(str(path))
    path.write_bytes(b"other")
    assert page.sha256 == hashlib.sha256(b"other").hexdigest()
    path.unlink()
    gone: str | None = page.sha256
    assert gone is None
    archive = write_zip(tmp_path / "a.zip", Member(b"a.pdf", b"one"))
    assert hashes.of(f"{archive}!/a.pdf") == hashlib.sha256(b"one").hexdigest()


@pytest.mark.parametrize("page", [None, 3])
def test_a_paid_answer_that_is_nowhere_else_is_written_with_its_document(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], page: int | None
) -> None:
    """The record of an image with a document of its own names the file, the page and the document."""
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-")
    source: WorkFile | Page = WorkFile(str(path), IdCard) if page is None else WorkPage(str(path), page, IdCard)
    error = AnswerNotKeptError("it could not be stored")
    error.raw = b"{}"
    write_to_stdout(Failure(source, error), None)
    printed = capfd.readouterr()
    record = json.loads(printed.out)
    assert (record["source"], record["page"], record["document"]) == (str(path), page, "id-card")
    assert record["sha256"] == hashlib.sha256(b"%PDF-").hexdigest()
    assert f"{source}: its paid answer is on standard output" in printed.err
