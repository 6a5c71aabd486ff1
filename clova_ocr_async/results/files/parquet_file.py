"""Tables as Parquet (extra ``tables``): an explicit schema, so that empty and full files have the same types."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pyarrow  # type: ignore[import-untyped]  # noqa: ICN001 - only to be given a type below; it ships no py.typed
import pyarrow.parquet  # type: ignore[import-untyped]

from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.results.files.table import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clova_ocr_async.results.columns import Column

__all__ = ["ParquetFile"]

logger = logging.getLogger("clova_ocr_async")

pa: Any = pyarrow
pq: Any = pyarrow.parquet

_ROWS = 10_000  # of a row group: fewer make larger files, more take more memory
_AT_ONCE = 1_000  # rows that are turned into columns together: as Python's objects they take ten times the memory
_DIGITS, _SCALE = 38, 6  # the most digits of a decimal128; six behind the point hold every price and count

_TYPES: dict[str, Any] = {
    "text": pa.string(),
    "integer": pa.int64(),
    "decimal": pa.decimal128(_DIGITS, _SCALE),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "time": pa.time32("ms"),
}
_REPEATED = frozenset({"status", "document"})  # the same few words in every row


class ParquetFile:
    """A table as Parquet.

    Args:
        columns: The columns.
        write: Takes the bytes of the file.
        about: Facts about the table, such as the schema version; kept in the file's metadata.
    """

    def __init__(self, columns: Sequence[Column], write: Callable[[bytes], object], about: Mapping[str, str]) -> None:
        self._columns = columns
        self._values: list[list[Any]] = [[] for _ in columns]
        self._lists = [(column.name, values) for column, values in zip(columns, self._values, strict=True)]
        self._count = 0
        self._batches: list[Any] = []
        fields = [pa.field(column.name, _type_of(column)) for column in columns]
        self._schema = pa.schema(fields, metadata={f"clova_ocr.{name}": value for name, value in about.items()})
        self._sink = Sink(write)
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write a row. A number that its column cannot hold becomes null; its text stays in a column of its own."""
        for name, values in self._lists:
            values.append(row[name])
        self._count += 1
        if self._count % _AT_ONCE == 0:
            self._convert()
        if self._count % _ROWS == 0:
            self._write_group()

    def close(self) -> None:
        """Write the rest, and the footer, without which the file cannot be read."""
        self._convert()
        self._write_group()
        self._writer.close()

    def abort(self) -> None:
        """Write nothing more, also not when the object is collected as garbage."""
        self._sink.end()

    def _convert(self) -> None:
        """Turn the rows so far into columns."""
        arrays = [self._array(*column) for column in zip(self._columns, self._schema.types, self._values, strict=True)]
        self._batches.append(pa.record_batch(arrays, schema=self._schema))
        for values in self._values:
            values.clear()

    def _array(self, column: Column, type_: Any, values: list[Any]) -> Any:
        try:
            return pa.array(values, type=type_)
        except (pa.ArrowInvalid, OverflowError):  # one of them is too large
            return pa.array([self._fitting(column, type_, *pair) for pair in enumerate(values)], type=type_)

    def _fitting(self, column: Column, type_: Any, number: int, value: Any) -> Any:
        try:
            return pa.scalar(value, type=type_).as_py()
        except (pa.ArrowInvalid, OverflowError):
            row = {name: values[number] for name, values in self._lists if name in {"source", "key"}}
            name = shown_path(str(row.get("source") or row.get("key")))
            logger.warning("%s: %s has more digits than a Parquet column holds, and is null there", name, column.name)
            return None

    def _write_group(self) -> None:
        table = pa.Table.from_batches(self._batches, schema=self._schema)
        self._batches.clear()
        if table.num_rows:
            self._writer.write_table(table, row_group_size=_ROWS)


def _type_of(column: Column) -> Any:
    return pa.dictionary(pa.int32(), pa.string()) if column.name in _REPEATED else _TYPES[column.type]
