"""Tables as Parquet (extra ``tables``): an explicit schema, so that empty and full files have the same types."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no py.typed
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no py.typed

from clova_ocr_async.protocol.echoed_input import shown_path
from clova_ocr_async.results.files.table import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clova_ocr_async.results.columns import Column

__all__ = ["ParquetFile"]

logger = logging.getLogger("clova_ocr_async")

_ROWS = 20_000  # of a row group: fewer make larger files, more take more memory
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
        self._rows: list[Mapping[str, Any]] = []
        fields = [pa.field(column.name, _type_of(column)) for column in columns]
        self._schema = pa.schema(fields, metadata={f"clova_ocr.{name}": value for name, value in about.items()})
        self._writer = pq.ParquetWriter(pa.PythonFile(Sink(write), mode="w"), self._schema, compression="zstd")

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Write a row. A number that no decimal128 holds becomes null; its text stays in its own column."""
        self._rows.append(row)
        if len(self._rows) == _ROWS:
            self._write_group()

    def close(self) -> None:
        """Write the rest, and the footer, without which the file cannot be read."""
        if self._rows:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        arrays = [
            pa.array([_value(column, row) for row in self._rows], type=self._schema.field(column.name).type)
            for column in self._columns
        ]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._rows.clear()


def _type_of(column: Column) -> Any:
    return pa.dictionary(pa.int32(), pa.string()) if column.name in _REPEATED else _TYPES[column.type]


def _value(column: Column, row: Mapping[str, Any]) -> Any:
    value = row[column.name]
    if isinstance(value, Decimal) and not _fits(value):
        name = shown_path(str(row.get("source") or row.get("key")))
        logger.warning("%s: %s has more digits than a Parquet decimal holds, and is null there", name, column.name)
        return None
    return value


def _fits(value: Decimal) -> bool:
    return value.adjusted() < _DIGITS - _SCALE and value == round(value, _SCALE)
