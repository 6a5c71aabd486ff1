"""Tables of a run as files: the pair of each document, all of them or none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import msgspec

from clova_ocr_async import __version__
from clova_ocr_async.cli.terminal.output import OutputError, WholeOutputs
from clova_ocr_async.cli.terminal.output_target import STANDARD, inspect_target
from clova_ocr_async.cli.terminal.shell_hints import for_shell
from clova_ocr_async.documents import DOCUMENTS, Receipt
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.results.columns import SCHEMA_VERSION, stem_of, tables_of
from clova_ocr_async.results.corrected_rows import item_columns_of_run
from clova_ocr_async.results.corrections import reviews_of
from clova_ocr_async.results.files.csv_file import CsvFile
from clova_ocr_async.results.possible_copies import PossibleCopies
from clova_ocr_async.results.run_rows import columns_of_run, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clova_ocr_async.ledger.storage import RunView
    from clova_ocr_async.results.columns import Column
    from clova_ocr_async.results.files.parquet_file import ParquetFile
    from clova_ocr_async.results.files.table import TableFile
    from clova_ocr_async.results.files.xlsx_file import XlsxFile
    from clova_ocr_async.results.run_rows import RunRow
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
        corrections: Whether columns show what people corrected.
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
    corrections: bool = True


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


class _Pair(NamedTuple):
    """The tables of one document.

    Attributes:
        documents: A row a record.
        items: A row a line of a receipt; None for other documents, and where there is no place for it.
    """

    documents: TableFile
    items: TableFile | None


def write_tables(reader: RunView, options: TableOptions) -> Written:
    """Write the tables of a run, all as it is at one moment.

    Args:
        reader: The open run.
        options: The options.

    Raises:
        ConfigurationError: The output cannot be written to, or does not fit the run.
        OutputError: The output cannot be written; existing files are unchanged.
    """
    try:
        with WholeOutputs() as outputs, reader.snapshot(), PossibleCopies(sum(reader.status().items.values())) as seen:
            return _written(reader, options, outputs, seen)
    except OSError as error:  # of a temporary file
        raise OutputError(options.output or "standard output", error) from None


def _written(reader: RunView, options: TableOptions, outputs: WholeOutputs, seen: PossibleCopies) -> Written:
    written = Written()
    documents = reader.documents()
    folder = _folder_of(options.output)
    if not documents:
        if folder is None and options.format != "xlsx":
            return written  # a single table is that of a document, and the run has none
        # In a folder and in a workbook an empty run gives all tables, so that programs find the columns they expect.
        documents = sorted(DOCUMENTS)
    # Before the first row: columns must not depend on which rows come first.
    own = {word: reader.own_columns(word) for word in documents}
    reviews = reviews_of(reader.corrections()) if options.corrections else {}
    shown = {word: columns_of_run(DOCUMENTS[word], own[word], reviews, options.policy) for word in documents}
    with _Tables(outputs, options, shown, item_columns_of_run(reviews)) as tables:
        tables.open(folder)
        records = (record for record in reader.records() if options.copies or record.copy_of is None)
        for found in rows_of(records, seen, own=own, policy=options.policy, reviews=reviews):
            if found.row["error"] is not None:
                found.row["error"] = for_shell(found.row["error"])
            tables.write(found)
            written.rows += 1
            written.refused += found.refused
        tables.close()
        written.files = tuple(tables.files)
    return written


class _Tables:
    """The open tables of an export; a context manager.

    Args:
        outputs: The files, which appear together.
        options: The options.
        shown: The columns of each document's table, by the vendor's path word.
        items: The columns of the table of lines.
    """

    def __init__(
        self,
        outputs: WholeOutputs,
        options: TableOptions,
        shown: Mapping[str, Sequence[Column]],
        items: Sequence[Column],
    ) -> None:
        self._outputs = outputs
        self._options = options
        self._columns = shown
        self._items = items
        self._pairs: dict[str, _Pair] = {}
        self._books: list[XlsxFile] = []
        self._parquet_files: list[ParquetFile] = []
        self.files: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Also after success, where there is nothing left to close.
        for book in self._books:
            book.abort()
        for file in self._parquet_files:
            file.abort()

    def open(self, folder: Path | None) -> None:
        """Open the tables of all documents.

        Args:
            folder: The folder for them; None for the file or the stream of the options.
        """
        if folder is not None:
            for word in self._columns:
                self._open_file([word], folder / f"{stem_of(word)}.{self._options.format}")
            self._write_schema(folder / "schema.json")
        elif self._options.output in {None, STANDARD}:
            self._open_stream()
        else:
            self._open_file(list(self._columns), Path(str(self._options.output)))

    def write(self, found: RunRow) -> None:
        """Write the rows of a record."""
        pair = self._pairs[found.document]
        pair.documents.write_row(found.row)
        if pair.items is not None:
            # Both tables from one pass over the answers, which is most of the work.
            for item in found.items:
                pair.items.write_row(item)

    def close(self) -> None:
        """Write the rest of all tables."""
        for pair in self._pairs.values():
            pair.documents.close()
            if pair.items is not None:
                pair.items.close()
        for book in self._books:
            book.close()

    def _open_stream(self) -> None:
        """Open the table of the only document on standard output."""
        if self._options.format != "csv":
            name = {"xlsx": "XLSX", "parquet": "Parquet"}[self._options.format]
            raise ConfigurationError(f"{name} is not for standard output; give a file or a folder, -o FILE or -o DIR/")
        word = self._only(list(self._columns))
        self._pairs[word] = _Pair(self._csv(self._columns[word], self._outputs.open(None, force=False)), None)

    def _open_file(self, words: Sequence[str], path: Path) -> None:
        """Open the tables of documents in a file; where it holds one table, the lines of receipts are in one beside."""
        if self._options.format == "xlsx":
            self._open_book(words, path)
            return
        word = self._only(words)
        main, items = self._table(self._columns[word], path, "documents"), None
        # A device or a FIFO has no place beside it.
        if word == Receipt.path_word and not inspect_target(str(path)).direct:
            items = self._table(self._items, path.with_name(f"{path.stem}_items{path.suffix}"), "items")
        self._pairs[word] = _Pair(main, items)

    def _only(self, words: Sequence[str]) -> str:
        if len(words) > 1:
            raise ConfigurationError(
                f"the run has {len(words)} kinds of documents, and each has a table of its own; give a folder, -o DIR/"
            )
        return words[0]

    def _table(self, shown: Sequence[Column], path: Path, table: str) -> TableFile:
        write = self._open(path)
        if self._options.format == "csv":
            return self._csv(shown, write)
        from clova_ocr_async.results.files.parquet_file import ParquetFile

        file = ParquetFile(shown, write, _facts(self._options) | {"table": table})
        self._parquet_files.append(file)
        return file

    def _csv(self, shown: Sequence[Column], write: Callable[[bytes], object]) -> CsvFile:
        options = self._options
        return CsvFile(
            shown,
            write,
            headings=self._headings(shown),
            excel=options.excel,
            encoding=options.encoding,
            guard=options.guard,
        )

    def _open_book(self, words: Sequence[str], path: Path) -> None:
        from clova_ocr_async.results.files.xlsx_file import XlsxFile

        # Rows lie in the folder until the file is written, and hold personal data.
        book = XlsxFile(self._open(path), self._outputs.folder())
        self._books.append(book)
        tables = tables_of({word: self._columns[word] for word in words}, self._items)
        sheets = {name: book.add_table(name, shown, self._headings(shown)) for name, shown in tables.items()}
        for word in words:
            self._pairs[word] = _Pair(sheets[stem_of(word)], sheets.get(f"{stem_of(word)}_items"))
        book.add_about(_facts(self._options), tables)

    def _headings(self, shown: Sequence[Column]) -> list[str] | None:
        return [column.label_ko for column in shown] if self._options.korean else None

    def _write_schema(self, path: Path) -> None:
        """Write the columns of all tables beside them, unless an export in another format has written the same."""
        schema = _facts(self._options) | {"tables": tables_of(self._columns, self._items)}
        text = msgspec.json.format(msgspec.json.encode(schema)) + b"\n"
        if not path.is_file() or path.read_bytes() != text:
            self._open(path)(text)

    def _open(self, path: Path) -> Callable[[bytes], object]:
        write = self._outputs.open(str(path), force=self._options.force)
        self.files.append(str(path))
        return write


def _folder_of(output: str | None) -> Path | None:
    """Return the folder that an output names, made if it is not there; None if it names a file."""
    if output is None or output == STANDARD:
        return None
    if not output:  # as of a variable that is not set; as a path it is the current folder
        raise ConfigurationError("an empty name: No such file or directory")
    path = Path(output)
    if not output.endswith(os.sep) and not path.is_dir():
        return None
    try:
        # The files hold personal data; others must not even list their names.
        path.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError:
        raise ConfigurationError(f"{shown_path(output)}: it is a file; give the name of a folder") from None
    except OSError as error:
        raise ConfigurationError(f"{shown_path(output)}: {error.strerror}") from None
    return path


def _facts(options: TableOptions) -> dict[str, Any]:
    """Return the facts that every file names: the same for every export of a run."""
    return {
        "schema": str(SCHEMA_VERSION),
        "clova_ocr_async": __version__,
        "masked": options.policy or "no",
        "copies": "yes" if options.copies else "no",
    }
