"""Read a folder of receipts into a CSV file; what could not be read goes to standard error.

Answers are kept in a run directory beside the table, so that the same command, given again with another table, pays for
nothing twice. The table is for programs: a spreadsheet would run a text that looks like a formula. For one,
``clova-ocr export RUN --format xlsx`` writes a workbook of the same run.

Run: CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… python examples/folder.py scans/ receipts.csv --run run/
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import sys

from clova_ocr_async import (
    BatchDispatcher,
    ClovaOCRClient,
    ConfigurationError,
    Failure,
    LedgerError,
    Receipt,
    Success,
    images_in,
)


async def main(folder: str, table: str, run: str) -> int:
    """Read the folder; return how many images could not be read, one more if the batch was stopped."""
    unread = 0
    # The client comes first: settings that cannot work leave no empty table behind.
    async with ClovaOCRClient.from_env() as clova:
        images = images_in(folder)
        with open(table, "x", newline="", encoding="utf-8") as file:  # noqa: ASYNC230, PTH123 - a small local file
            rows = csv.writer(file)
            rows.writerow(["file", "store", "date", "total"])
            async with BatchDispatcher(clova, ledger=run).dispatch(images, Receipt) as outcomes:
                async for outcome in outcomes:
                    match outcome:
                        case Success(source, recognition):
                            result = recognition.document.result
                            date, total = result.payment_info.date.date, result.total_price.price.decimal
                            rows.writerow([printable(source), result.store_info.name.value, date, total])
                        case Failure(source, error):
                            unread += 1
                            print(f"{printable(source)}: {error}", file=sys.stderr)
            if outcomes.stopped is not None:
                unread += 1
                print(f"stopped before the end: {outcomes.stopped}", file=sys.stderr)
    return unread


def printable(source: object) -> str:
    r"""Return a file's name as text that can be written; a byte of it that is not UTF-8 becomes ``\xNN``."""
    return os.fsencode(str(source)).decode("utf-8", "backslashreplace")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Read a folder of receipts into a CSV file.")
    parser.add_argument("folder", help="where the images are")
    parser.add_argument("table", help="a new CSV file")
    parser.add_argument("--run", default="run", help="a directory that keeps the answers; run/ if not given")
    given = parser.parse_args()
    try:
        sys.exit(1 if asyncio.run(main(given.folder, given.table, given.run)) else 0)
    except (ConfigurationError, FileExistsError, LedgerError) as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        sys.exit(130)  # what was paid is in the run directory
