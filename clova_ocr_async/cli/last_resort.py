"""Where a paid answer goes that could be stored nowhere: standard output, and its image's name to standard error."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.cli.inputs import InputFile
from clova_ocr_async.cli.output import OutputError, opened_output
from clova_ocr_async.cli.records import line_of
from clova_ocr_async.cli.telling import say
from clova_ocr_async.errors import ClovaOCRError

if TYPE_CHECKING:
    from clova_ocr_async.documents import Document

__all__ = ["write_lost"]


def write_lost(outcome: Failure, document: type[Document]) -> None:
    """Write the record of an image whose answer is in its error and nowhere else.

    Args:
        outcome: Of a file; its error is an AnswerNotKeptError whose ``raw`` is the answer.
        document: The class that was asked for.
    """
    file = InputFile(str(outcome.source))
    with suppress(ClovaOCRError):  # it is gone, or another one by now; the record has no hash then
        file.read()
    try:
        with opened_output(None) as lines:
            lines.write(line_of(Failure(file, outcome.error), document))
    except OutputError as error:
        say(f"{file.shown}: its paid answer is lost: {error}", even_when_quiet=True)
    else:
        say(f'{file.shown}: its paid answer is on standard output, in "raw", and nowhere else', even_when_quiet=True)
