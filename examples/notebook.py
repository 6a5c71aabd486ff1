"""Receipts as data frames, with pandas and with polars: cells for a notebook, or a program.

Answers are kept in a run directory, so that the cells can be run again and pay for nothing twice.

Run: CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… python examples/notebook.py scans/
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import sys
from typing import Any

from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Receipt, Recognition, Success, images_in
from clova_ocr_async.results import columns, to_items, to_row

# %% Read a folder; in a notebook: receipts = await read("scans/")


async def read(folder: str, run: str = "run") -> list[tuple[str, Recognition[Receipt]]]:
    """Return the receipts of a folder with their files."""
    async with (
        ClovaOCRClient.from_env() as clova,
        BatchDispatcher(clova, ledger=run).dispatch(images_in(folder), Receipt) as outcomes,
    ):
        return [(str(one.source), one.recognition) async for one in outcomes if isinstance(one, Success)]


# %% The columns of both tables, which a folder without receipts has as well

DOCUMENTS = [column.name for column in columns(Receipt)]
ITEMS = [column.name for column in columns(Receipt, "items")]


# %% pandas


def with_pandas(receipts: list[tuple[str, Recognition[Receipt]]]) -> None:
    """Print the sum of each receipt's lines beside its total."""
    pandas: Any = importlib.import_module("pandas")
    rows = [to_row(recognition, source) for source, recognition in receipts]
    documents = pandas.DataFrame(rows, columns=DOCUMENTS)
    lines = [item for _, recognition in receipts for item in to_items(recognition)]
    items = pandas.DataFrame(lines, columns=ITEMS)
    sums = items.groupby("key", as_index=False)["price"].sum()
    print(documents.merge(sums, on="key")[["store_name", "payment_date", "total_price", "price"]])


# %% polars


def with_polars(receipts: list[tuple[str, Recognition[Receipt]]]) -> None:
    """Print the goods by what was spent on them."""
    polars: Any = importlib.import_module("polars")
    # All rows decide the types: a column may be empty in the first ones.
    lines = [item for _, recognition in receipts for item in to_items(recognition)]
    items = polars.DataFrame(lines, schema=ITEMS, infer_schema_length=None)
    print(items.group_by("name").agg(polars.col("price").sum()).sort("price", descending=True))


# %% The same from a whole run: clova-ocr export run/ --format parquet -o tables/, then read_parquet("tables/…")


def main(folder: str) -> None:
    """Run the cells."""
    receipts = asyncio.run(read(folder))
    for library, cell in (("pandas", with_pandas), ("polars", with_polars)):
        if importlib.util.find_spec(library) is None:
            print(f"{library} is not installed, so its cell is skipped: pip install {library}")
        else:
            cell(receipts)


if __name__ == "__main__":
    main(sys.argv[1])
