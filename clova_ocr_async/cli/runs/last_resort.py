"""Where a paid answer goes that cannot be stored: standard output, and its image's name to standard error."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from clova_ocr_async.batch.outcome import Failure
from clova_ocr_async.cli.runs.inputs import InputFile
from clova_ocr_async.cli.terminal.output import Output, OutputError, opened_output, standard_output
from clova_ocr_async.cli.terminal.stderr import say
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError
from clova_ocr_async.results.records import line_of

if TYPE_CHECKING:
    from clova_ocr_async.documents import Document

__all__ = ["spare_output", "write_lost"]


def spare_output(lines: Output) -> Output | None:
    """Return standard output, for the lines that another output cannot take.

    Args:
        lines: The other output.

    Returns:
        None if standard output is closed, discards everything, or is the same place.
    """
    try:
        spare = standard_output()
    except ConfigurationError:
        return None
    return None if spare.shares_place(lines) or spare.leads_to(os.devnull) else spare


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
