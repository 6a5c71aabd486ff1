"""Tables of a run as files: the pair of each document, all of them or none."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from clova_ocr_async import __version__
from clova_ocr_async.cli.terminal.output import whole_output
from clova_ocr_async.cli.terminal.output_target import STANDARD, inspect_target
from clova_ocr_async.documents import DOCUMENTS, Receipt
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.results.columns import SCHEMA_VERSION, columns
from clova_ocr_async.results.files.csv_file import CsvFile
from clova_ocr_async.results.possible_copies import PossibleCopies
from clova_ocr_async.results.run_rows import columns_of_run, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from clova_ocr_async.ledger.storage import RunView
    from clova_ocr_async.results.columns import Column
    from clova_ocr_async.results.files.table import TableFile
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["TableOptions", "Written", "write_tables"]

TableFormat = Literal["csv", "xlsx", "parquet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """The options of an export of tables.

    Attributes:
        format: "csv", "xlsx" or "parquet".
        output: A file, a folder, or "-" or None for standard output.
        force: Whether existing files may be replaced.
        policy: How values are masked; None for as they are.
        copies: Whether copies have rows.
        korean: Whether headings are Korean.
        excel: Whether CSV is written as Excel wants it.
        encoding: The encoding of CSV.
        guard: Whether texts of CSV that begin like formulas get an apostrophe.
    """

    format: TableFormat
    output: str | None = None
    force: bool = False
    policy: Policy | None = None
    copies: bool = True
    korean: bool = False
    excel: bool = False
    encoding: str = "utf-8"
    guard: bool = True


@dataclass(slots=True)
class Written:
    """The result of an export.

    Attributes:
        rows: Rows in the tables of documents.
        refused: Rows without values, because they could not be masked.
        files: The files that were written.
    """

    rows: int = 0
    refused: int = 0
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Pair:
    """The tables of one document.

    Attributes:
        documents: A row a record.
        items: A row a line of a receipt; None for other documents, and where there is no place for it.
    """

    documents: TableFile
    items: TableFile | None


def write_tables(reader: RunView, options: TableOptions) -> Written:
    """Write the tables of a run.

    Args:
        reader: The open run.
        options: The options.

    Raises:
        ConfigurationError: The output cannot be written to, or does not fit the run.
        OutputError: The output cannot be written; existing files are unchanged.
    """
    documents = reader.documents()
    written = Written()
    if not documents:
        return written
    own = {word: reader.own_columns(word) for word in documents}
    with ExitStack() as stack, PossibleCopies() as seen:
        outputs = _Outputs(stack, options, documents, own)
        for found in rows_of(reader.records(), seen, own=own, policy=options.policy):
            if found.row["copy_of"] is not None and not options.copies:
                continue
            pair = outputs.pairs[found.document]
            pair.documents.write_row(found.row)
            if pair.items is not None:
                for item in found.items:
                    pair.items.write_row(item)
            written.rows += 1
            written.refused += str(found.row["error"] or "").startswith("RedactionError")
        outputs.close()
        written.files = tuple(outputs.files)
    return written


class _Outputs:
    """The open files of an export; each appears when the stack is left without an error.

    Args:
        stack: Closes them.
        options: The options.
        documents: The vendor's path words.
        own: The names of the manifests' own columns.
    """

    def __init__(
        self,
        stack: ExitStack,
        options: TableOptions,
        documents: Sequence[str],
        own: Mapping[str, Collection[str]],
    ) -> None:
        self._stack = stack
        self._options = options
        self._book: Any = None
        self._columns = {word: columns_of_run(DOCUMENTS[word], own[word]) for word in documents}
        self.files: list[str] = []
        folder = _folder_of(options.output)
        if options.format == "xlsx":
            self.pairs = self._sheets(folder)
        elif folder is not None:
            self.pairs = {word: self._files(word, folder / f"{_stem(word)}.{options.format}") for word in documents}
            self._write_schema(folder / "schema.json")
        else:
            self.pairs = {word: self._single(word, len(documents)) for word in documents}

    def _single(self, word: str, count: int) -> _Pair:
        """Return the tables of the only document of a run, in the file that was named or on standard output."""
        name = self._options.output
        if count > 1:
            raise ConfigurationError(
                f"the run has {count} kinds of documents, and each has a table of its own; give a folder, -o DIR/"
            )
        if name not in {None, STANDARD}:
            return self._files(word, Path(str(name)))
        if self._options.format == "parquet":
            raise ConfigurationError("Parquet is not for standard output; give a file or a folder, -o FILE or -o DIR/")
        write = self._stack.enter_context(whole_output(name, force=False))
        return _Pair(self._csv(self._columns[word], write), None)

    def _files(self, word: str, path: Path) -> _Pair:
        """Return the tables of a document in a file and, for receipts, in one beside it."""
        main = self._table(self._columns[word], path, "documents")
        # A device or a FIFO has no place beside it.
        if word != Receipt.path_word or inspect_target(str(path)).direct:
            return _Pair(main, None)
        beside = path.with_name(f"{path.stem}_items{path.suffix}")
        return _Pair(main, self._table(columns(Receipt, "items"), beside, "items"))

    def _table(self, shown: Sequence[Column], path: Path, table: str) -> TableFile:
        write = self._open(path)
        if self._options.format == "csv":
            return self._csv(shown, write)
        from clova_ocr_async.results.files.parquet_file import ParquetFile

        return ParquetFile(shown, write, _facts(self._options) | {"table": table})

    def _open(self, path: Path) -> Callable[[bytes], object]:
        write = self._stack.enter_context(whole_output(str(path), force=self._options.force))
        self.files.append(str(path))
        return write

    def _csv(self, shown: Sequence[Column], write: Callable[[bytes], object]) -> CsvFile:
        options = self._options
        headings = [column.label_ko for column in shown] if options.korean else None
        return CsvFile(
            shown, write, headings=headings, excel=options.excel, encoding=options.encoding, guard=options.guard
        )

    def _sheets(self, folder: Path | None) -> dict[str, _Pair]:
        from clova_ocr_async.results.files.xlsx_file import XlsxFile

        options = self._options
        if options.output in {None, STANDARD}:
            raise ConfigurationError("XLSX is not for standard output; give a file or a folder, -o FILE or -o DIR/")
        path = Path(str(options.output)) if folder is None else folder / "tables.xlsx"
        write = self._open(path)
        # Rows lie in this folder until the file is written, and hold personal data: it is private, and beside the file.
        place = tempfile.TemporaryDirectory(dir=path.parent, prefix=".clova-ocr-")
        private = Path(self._stack.enter_context(place))
        self._book = XlsxFile(write, private)
        self._stack.callback(self._book.abort)
        pairs: dict[str, _Pair] = {}
        tables: dict[str, Sequence[Column]] = {}
        for word, shown in self._columns.items():
            tables[_stem(word)] = shown
            items = None
            if word == Receipt.path_word:
                tables["receipt_items"] = columns(Receipt, "items")
        sheets = {name: self._book.add_table(name, shown, self._headings(shown)) for name, shown in tables.items()}
        for word in self._columns:
            items = sheets["receipt_items"] if word == Receipt.path_word else None
            pairs[word] = _Pair(sheets[_stem(word)], items)
        self._book.add_about(_facts(options), tables)
        return pairs

    def _headings(self, shown: Sequence[Column]) -> list[str] | None:
        return [column.label_ko for column in shown] if self._options.korean else None

    def _write_schema(self, path: Path) -> None:
        """Write the columns of all tables beside them."""
        tables = {_stem(word): shown for word, shown in self._columns.items()}
        if Receipt.path_word in self._columns:
            tables["receipt_items"] = columns(Receipt, "items")
        schema = _facts(self._options) | {"tables": tables}
        self._open(path)(msgspec.json.format(msgspec.json.encode(schema)) + b"\n")

    def close(self) -> None:
        """Write the rest of all tables."""
        for pair in self.pairs.values():
            pair.documents.close()
            if pair.items is not None:
                pair.items.close()
        if self._book is not None:
            self._book.close()


def _folder_of(output: str | None) -> Path | None:
    """Return the folder that an output names, made if it is not there; None if it names a file."""
    if output is None or output == STANDARD:
        return None
    path = Path(output)
    if not output.endswith(os.sep) and not path.is_dir():
        return None
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{shown_path(output)}: {error.strerror}") from None
    return path


def _stem(word: str) -> str:
    return word.replace("-", "_")


def _facts(options: TableOptions) -> dict[str, Any]:
    """Return the facts that every file names: the same for every export of a run."""
    return {
        "schema": str(SCHEMA_VERSION),
        "clova_ocr_async": __version__,
        "masked": options.policy or "no",
        "copies": "yes" if options.copies else "no",
    }
