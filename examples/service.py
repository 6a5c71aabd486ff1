"""Await CLOVA OCR inside a service: one shared client, many small jobs.

Run: CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… python examples/service.py receipt.jpg another.jpg
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from clova_ocr_async import Billing, ClovaOCRClient, ClovaOCRError, Receipt

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass(frozen=True)
class Expense:
    """The values of a receipt that the service needs."""

    store: str | None
    total: Decimal | None


class Expenses:
    """A service that reads receipts. The client is its caller's, and is opened once and shared."""

    def __init__(self, clova: ClovaOCRClient) -> None:
        self._clova = clova

    async def of(self, image: str) -> Expense:
        """Read one receipt."""
        result = (await self._clova.recognize(image, Receipt)).document.result
        return Expense(result.store_info.name.value, result.total_price.price.decimal)


async def main(images: list[str]) -> None:
    """Read some receipts at once; the client sees to it that no more calls fly than the domain allows."""
    async with ClovaOCRClient.from_env() as clova, asyncio.TaskGroup() as jobs:
        expenses = Expenses(clova)
        for image in images:
            jobs.create_task(report(expenses, image))


async def report(expenses: Expenses, image: str) -> None:
    """Print one receipt, or why there is none."""
    try:
        print(image, await expenses.of(image))
    except ClovaOCRError as error:
        billing = " (may have been billed)" if error.billing is Billing.MAYBE_BILLED else ""
        print(image, f"{error}{billing}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
