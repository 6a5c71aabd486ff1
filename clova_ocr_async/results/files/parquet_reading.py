"""The values in a Parquet file (extra ``tables``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no py.typed
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no py.typed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BrokenTableError", "values_of_columns"]


_ROWS = 1_000  # that are read together
_BUFFER = 1024 * 1024  # bytes of a column; without it all of a row group, which may be the whole file, is read at once


class BrokenTableError(Exception):
    """A file is not Parquet, is encrypted, or ends too early."""


def values_of_columns(file: BinaryIO) -> Iterator[tuple[str, list[object]]]:
    """Yield the name and the values of each column of a batch, batch by batch.

    Names, and the metadata of the file, come as values of a column without a name.

    Raises:
        BrokenTableError: The file cannot be read.
    """
    try:
        yield from _values(file)
    except (cast("Any", pa).ArrowException, OSError):
        raise BrokenTableError from None


def _values(file: BinaryIO) -> Iterator[tuple[str, list[object]]]:
    source: Any = cast("Any", pa).PythonFile(file, mode="r")
    table: Any = cast("Any", pq).ParquetFile(source, pre_buffer=False, buffer_size=_BUFFER)
    schema = table.schema_arrow
    metadata: list[dict[bytes, bytes] | None] = [schema.metadata, *(field.metadata for field in schema)]
    yield "", [*schema.names, *(value for of_one in metadata for value in (of_one or {}).values())]
    for batch in table.iter_batches(batch_size=_ROWS):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            yield str(name), column.to_pylist()
