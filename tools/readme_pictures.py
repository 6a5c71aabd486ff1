"""The pictures of both READMEs, made from samples of the emulator: ``python tools/readme_pictures.py``.

The workbook is drawn, because a spreadsheet program is not installed everywhere. Its cells are those of an export. The
report page is photographed by hand: ``clova-ocr report`` on such a run, in a browser of 1360 x 800 pixels.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageDraw

from clova_ocr_async.emulator import draw_sample, emulator_in_thread
from clova_ocr_async.pictures.typeface import find_typeface

IMAGES = Path(__file__).parents[1] / "docs" / "images"
COLUMNS = {  # of the sheet ``receipt``, with their widths in pixels
    "source": 170,
    "copy_of": 170,
    "status": 100,
    "billed": 60,
    "store_name": 110,
    "payment_date": 125,
    "payment_time": 125,
    "total_price": 105,
    "tax_price": 90,
    "error": 210,
}
NUMBERS = {"total_price", "tax_price"}
ROW, MARGIN = 30, 8
LINE, HEAD, INK = (208, 212, 218), (232, 240, 233), (32, 36, 42)


def read_samples(folder: Path) -> list[dict[str, str]]:
    """Read receipts and an ID card into the folder, and return the rows of the receipts."""
    for number in range(1, 6):
        _write(folder / "scans" / f"receipt-{number}.png", draw_sample("receipt", seed=number).data)
    _write(folder / "scans" / "renamed.png", draw_sample("receipt", seed=2).data)
    _write(folder / "scans" / "torn.png", draw_sample("receipt", seed=3).data[:900])
    _write(folder / "cards" / "id-card.png", draw_sample("id-card").data)
    with emulator_in_thread(latency=0, sigma=0) as clova:
        environ = {**os.environ, "CLOVA_OCR_INVOKE_URL": clova.url(), "CLOVA_OCR_SECRET": clova.secret}

        def clova_ocr(*arguments: str) -> None:
            command = [sys.executable, "-m", "clova_ocr_async", *arguments, "--quiet"]
            subprocess.run(command, cwd=folder, env=environ, check=False)  # noqa: S603 - our own; a torn image is 1

        clova_ocr("batch", "receipt", "scans/", "--run", "run/")
        clova_ocr("export", "run/", "--format", "csv", "-o", "tables/")
        clova_ocr("batch", "id-card", "cards/", "--run", "cards-run/")
        clova_ocr("redact", "cards-run/", "-o", "masked/")
    with (folder / "tables" / "receipt.csv").open(encoding="utf-8", newline="") as file:
        return sorted(csv.DictReader(file), key=lambda row: row["source"])


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def draw_sheet(rows: list[dict[str, str]]) -> Image.Image:
    """Draw rows as a spreadsheet shows them."""
    sheet = Image.new("RGB", (sum(COLUMNS.values()) + 1, ROW * (len(rows) + 1) + 1), "white")
    pen, font = ImageDraw.Draw(sheet), find_typeface().font(15)
    pen.rectangle((0, 0, sheet.width, ROW), fill=HEAD)
    left = 0
    for name, width in COLUMNS.items():
        for number, text in enumerate([name, *(row[name] for row in rows)]):
            shown = f"{float(text):,.0f}" if number and name in NUMBERS and text else text
            while pen.textlength(shown, font) > width - 2 * MARGIN:
                shown = shown.rstrip("…")[:-1] + "…"
            shift = width - 2 * MARGIN - pen.textlength(shown, font) if number and name in NUMBERS else 0
            pen.text((left + MARGIN + shift, number * ROW + ROW / 2), shown, INK, font, anchor="lm")
            pen.line((0, number * ROW, sheet.width, number * ROW), LINE)
        pen.line((left, 0, left, sheet.height), LINE)
        left += width
    pen.rectangle((0, 0, sheet.width - 1, sheet.height - 1), outline=LINE)
    return sheet


def main() -> None:
    """Write the two pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        draw_sheet(read_samples(folder)).quantize(32).save(IMAGES / "workbook.png", optimize=True)
        with Image.open(folder / "masked" / "id-card.1.png") as card:
            card.resize((450, 330), Image.Resampling.LANCZOS).quantize(64).save(IMAGES / "masked.png", optimize=True)


if __name__ == "__main__":
    main()
