"""The texts in a Parquet file (extra ``tables``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa  # type: ignore[import-untyped]  # it ships no py.typed
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no py.typed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["texts_of_columns"]


def texts_of_columns(data: bytes) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the name and the texts of each column of a batch, batch by batch; whole numbers are texts as well."""
    file: Any = cast("Any", pq).ParquetFile(cast("Any", pa).BufferReader(data))
    metadata: dict[bytes, bytes] = file.schema_arrow.metadata or {}
    yield "", (value.decode("utf-8", "replace") for value in metadata.values())
    for batch in file.iter_batches():
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            values: list[object] = column.to_pylist()
            yield "", iter([str(name)])
            yield str(name), (str(value) for value in values if isinstance(value, str | int))
