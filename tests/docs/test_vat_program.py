from __future__ import annotations

import csv
import subprocess
import sys
from typing import TYPE_CHECKING

from support.commands import clova_ocr
from support.doc_pages import blocks_of

from clova_ocr_async.emulator import draw_sample, emulator_in_thread
from clova_ocr_async.ledger import Change, ChangeKind, open_corrections, open_view

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SEEDS = (1, 3)  # receipts that print their tax
CHANGES = {
    "result.totalPrice.price": "",
    "result.subTotal[0].taxPrice[0]": "",
    "result.paymentInfo.date": "cannot be read",
    "result.storeInfo.name": "a shop",
}


def test_a_value_that_a_person_removed_is_not_filed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program writes corrected values, leaves removed ones empty, and takes those of the answer for the rest."""
    monkeypatch.chdir(tmp_path)
    for seed in SEEDS:
        (tmp_path / f"{seed}.png").write_bytes(draw_sample("receipt", seed=seed).data)
    with emulator_in_thread(latency=0, sigma=0) as emulator:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", emulator.url())
        monkeypatch.setenv("CLOVA_OCR_SECRET", emulator.secret)
        assert clova_ocr("batch", "receipt", "1.png", "3.png", "--run", "run").exit_code == 0
    with open_view("run") as view:
        items = {record.path: record.entry.item for record in view.records() if record.entry is not None}
    first = next(item for path, item in items.items() if path is not None and path.endswith("1.png"))
    with open_corrections("run") as corrections:
        number = 0
        for path, value in CHANGES.items():
            number = corrections.append(first, Change(ChangeKind.CORRECT, "me", path, "1", value), after=number).number
    assert clova_ocr("export", "run", "--format", "csv", "-o", "vat/").exit_code == 0
    (program,) = [block for block in blocks_of("howto/vat.md") if block.title == "vat.py"]
    subprocess.run([sys.executable, "-c", program.code], check=True)
    with (tmp_path / "vat.csv").open(encoding="utf-8-sig", newline="") as file:
        corrected, plain = csv.DictReader(file)
    names = ("store_name", "payment_date", "total_price", "tax_price", "supply_value")
    assert [corrected[name] for name in names] == ["a shop", "", "", "", ""]
    assert all(plain[name] for name in names)
    assert (
        plain["store_name"] == draw_sample("receipt", seed=SEEDS[1]).truth.answer["result"]["storeInfo"]["name"]["text"]
    )
