"""Paid answers of a run that could not be stored: their records go to standard output."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.cli.runs.input_file import InputFile, InputPage
from clova_ocr_async.cli.runs.line_writer import line_of
from clova_ocr_async.cli.terminal.output import OutputError, opened_output
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.pictures.page import Page

if TYPE_CHECKING:
    from clova_ocr_async.batch.sources.worklist import WorkFile
    from clova_ocr_async.documents import Document

__all__ = ["write_to_stdout"]


def write_to_stdout(outcome: Failure, document: type[Document] | None) -> None:
    """Write the record of an image whose paid answer is in its error and nowhere else to standard output."""
    file = _input_of(outcome.source)
    document = document or outcome.source.document
    try:
        with opened_output(None) as output:
            output.write(line_of(Failure(file, outcome.error), document))
    except OutputError as error:
        echo_stderr(f"{file.shown}: its paid answer is lost: {error}", even_when_quiet=True)
    else:
        place = 'its paid answer is on standard output, in "raw", and nowhere else'
        echo_stderr(f"{file.shown}: {place}", even_when_quiet=True)


def _input_of(source: str | WorkFile | Page) -> InputFile | InputPage:
    """Return an image of a run as its line needs it."""
    if isinstance(source, Page):
        return InputPage(source.path, source.number)
    file = InputFile(os.fspath(source))
    with suppress(ClovaOCRError):  # the file has gone or was replaced; the record has no hash then
        file.read()
    return file
