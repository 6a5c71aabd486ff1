"""Read a folder of receipts into a CSV file; what could not be read goes to standard error.

Run: CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… python examples/folder.py scans/ receipts.csv
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import sys

from clova_ocr_async import BatchDispatcher, ClovaOCRClient, ConfigurationError, Failure, Receipt, Success, images_in


async def main(folder: str, table: str) -> int:
    """Read the folder; return how many images could not be read."""
    unread = 0
    # The client comes first: settings that cannot work leave no empty table behind.
    async with ClovaOCRClient.from_env() as clova:
        images = images_in(folder)
        with open(table, "x", newline="", encoding="utf-8") as file:  # noqa: ASYNC230, PTH123 - a small local file
            rows = csv.writer(file)
            rows.writerow(["file", "store", "date", "total"])
            async with BatchDispatcher(clova).dispatch(images, Receipt) as outcomes:
                async for outcome in outcomes:
                    match outcome:
                        case Success(source, recognition):
                            result = recognition.document.result
                            date, total = result.payment_info.date.date, result.total_price.price.decimal
                            rows.writerow([source, result.store_info.name.value, date, total])
                        case Failure(source, error):
                            unread += 1
                            print(f"{source}: {error}", file=sys.stderr)
            if outcomes.stopped is not None:
                print(f"stopped before the end: {outcomes.stopped}", file=sys.stderr)
    return unread


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Read a folder of receipts into a CSV file.")
    parser.add_argument("folder", help="where the images are")
    parser.add_argument("table", help="a new CSV file")
    given = parser.parse_args()
    try:
        sys.exit(1 if asyncio.run(main(given.folder, given.table)) else 0)
    except (ConfigurationError, FileExistsError) as error:
        parser.error(str(error))
