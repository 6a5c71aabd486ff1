from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from clova_ocr_async.batch import Failure, Success
from clova_ocr_async.cli.terminal.demo_table import Reading, highlights, show_table
from clova_ocr_async.documents import DOCUMENTS, Receipt, Recognition
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.errors import (
    MalformedResponseError,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("document", list(DOCUMENTS.values()), ids=list(DOCUMENTS))
def test_highlights_of_every_document_are_one_line(document: type[Any]) -> None:
    """Every document has fields that show something, and an empty one none."""
    import msgspec  # noqa: PLC0415 - this test's own

    for seed in range(4):
        answer = draw_sample(document.path_word, seed=seed).truth.answer
        assert " · " in highlights(msgspec.convert(answer, document))
    assert highlights(document()) == ""


def test_the_table_shows_what_is_not_as_drawn(tmp_path: Path) -> None:
    """A misreading and a failure stand in the table as what they are."""
    sample = draw_sample("receipt")
    path = tmp_path / "receipt.png"
    path.write_bytes(sample.data)
    readings = [
        Reading.of(path, Success(path, Recognition(document=Receipt()))),
        Reading.of(path, Failure(path, MalformedResponseError("it cannot be read"))),
    ]
    console = Console(file=io.StringIO(), width=100)
    show_table(readings, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().count("NOT as drawn") == 2
    assert "it cannot be read" in console.file.getvalue()
    assert [reading.billed for reading in readings] == [True, True]
