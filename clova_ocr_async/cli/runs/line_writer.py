"""Lines of a one-shot run, and the place of paid lines that the output does not take."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from clova_ocr_async.cli.terminal.output import Output, OutputError, standard_output
from clova_ocr_async.cli.terminal.shell_hints import record_for_shell
from clova_ocr_async.cli.terminal.stderr import echo_stderr
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.results.records import billed_of, encode_record, record_of_outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.cli.runs.input_file import InputFile, InputPage
    from clova_ocr_async.documents import Document

__all__ = ["LineWriter", "line_of", "spare_output"]


def line_of(outcome: Outcome[Any], document: type[Document]) -> bytes:
    """Return the line of an outcome whose source is an input file, or a page of one."""
    file: InputFile | InputPage = outcome.source
    path = os.fsdecode(file.path)
    record = record_of_outcome(outcome, document, path=path, sha256=file.sha256, page=file.page, columns=file.columns)
    return encode_record(record_for_shell(record))


def spare_output(output: Output) -> Output | None:
    """Return standard output, for paid lines that another output does not take.

    Args:
        output: The other output.

    Returns:
        None if standard output is closed, is the null device, or leads to the same file as the other output.
    """
    try:
        spare = standard_output()
    except ConfigurationError:
        return None
    return None if spare.shares_place(output) or spare.leads_to(os.devnull) else spare


class LineWriter:
    """Writes the line of each image, and keeps account of paid answers whose line could not be written.

    Args:
        write: Writes a line to the output, or raises an OutputError.
        spare: Writes the lines of calls that were or may have been billed, once ``write`` fails; None if nothing does.

    Attributes:
        failure: The first error of the output.
        diverted: Images whose line went to the spare output.
        unwritten: Images whose call was billed and whose line is nowhere.
    """

    def __init__(self, write: Callable[[bytes], object], spare: Callable[[bytes], object] | None = None) -> None:
        self.failure: OutputError | None = None
        self.diverted: list[InputFile | InputPage] = []
        self.unwritten: list[InputFile | InputPage] = []
        self._write = write
        self._spare = spare
        self._hangs = False

    def write(self, outcome: Outcome[Any], document: type[Document]) -> None:
        """Write the line of an outcome."""
        line, billed = line_of(outcome, document), billed_of(outcome)
        if self._hangs:
            self.unwritten += [outcome.source] if billed else []
            return
        try:
            self._write(line)
        except KeyboardInterrupt:  # the third signal: the output takes nothing, and must not be waited for again
            self._hangs = True
            raise
        except OutputError as error:
            if self.failure is None:
                self.failure = error
                if not error.reader_gone:  # a reader such as head that has enough is not an error
                    echo_stderr(f"{error}; no other image is sent", even_when_quiet=True)
            # Lines of calls that cost nothing are dropped: repeating the command gives them again.
            if billed is not False and self._written_to_spare(line):
                self.diverted.append(outcome.source)
            elif billed:
                self.unwritten.append(outcome.source)

    def _written_to_spare(self, line: bytes) -> bool:
        if self._spare is None:
            return False
        try:
            self._spare(line)
        except OutputError:
            return False
        return True
