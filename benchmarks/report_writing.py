"""What the report of a run costs: documents a second, memory, and the size of the page.

The records are made straight in the store, as those of the tables are: receipts with polygons, each with numbers of its
own. Without pictures the time is that of reading, judging, masking and encoding; with them it is that of decoding the
pictures, which is measured for a few.
"""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from frame import Row, alone, apart, figure, peak_memory
from ledger import MEMORY
from tables import make_run

from clova_ocr_async.documents import Receipt, Recognition
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.results.picture_redaction import masked_picture
from clova_ocr_async.results.report.pictures import ShownPicture
from clova_ocr_async.results.report.writer import ReportOptions, write_report

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTS, LARGE = 10_000, 30_000
PICTURES = 200
ROUNDS = 3
MEGABYTE = 1_000_000


def write(policy: Literal["standard"] | None, run: Path, place: Path) -> tuple[float, float, int]:
    """Write a page without pictures; return documents a second of CPU, the peak in MiB and the bytes of the page."""
    options = ReportOptions(
        title="run",
        made_at=dt.datetime.now(tz=dt.UTC),
        policy=policy,
        embed_limit=0,
        retry=lambda documents, options: f"clova-ocr batch {documents} {options}",
    )
    page = place / "report.html"
    with RunReader(run) as view, page.open("wb") as file:
        began = time.process_time()
        written = write_report(view, options, file.write)
        seconds = time.process_time() - began
    return written.records / seconds, peak_memory(), page.stat().st_size


def thumbnails(count: int, place: Path) -> tuple[float, float]:
    """Return thumbnails a second of CPU, and the bytes of one, of pictures as phones take them."""
    sample = draw_sample("receipt", seed=1, format="jpg")
    (place / sample.name).write_bytes(sample.data)
    image = {"receipt": sample.truth.answer, "inferResult": "SUCCESS"}
    recognition = Recognition.from_dict({"images": [image]}, Receipt)
    began = time.process_time()
    sizes = [
        len(ShownPicture(masked_picture(sample.data, recognition, "standard"), b"").thumbnail()) for _ in range(count)
    ]
    return count / (time.process_time() - began), sum(sizes) / count


def of_page(policy: Literal["standard"] | None, place: Path, count: int, rounds: int) -> list[Row]:
    """Measure pages of a run."""
    run = place / f"{count}"
    if not run.exists():
        make_run(run, count)
    work: Callable[[Path, Path], tuple[float, float, int]] = partial(write, policy)
    found = [apart(work, run, place) for _ in range(rounds)]
    called = f"{'unmasked' if policy is None else 'masked'}, {count:,} receipts, no pictures"
    return [
        figure(f"documents a second of CPU, {called}", [one[0] for one in found], 500, at_least=True, unit="/s"),
        figure(f"peak memory, {called}", [one[1] for one in found], 250, unit="MiB"),
        figure(f"size of the page, {called}", [one[2] / MEGABYTE for one in found], unit="MB"),
    ]


def of_pictures(place: Path, count: int) -> list[Row]:
    """Measure thumbnails."""
    speed, size = apart(thumbnails, count, place)
    return [
        figure("masked thumbnails a second of CPU, sample receipts", [speed], unit="/s"),
        figure("size of a thumbnail", [size / 1000], unit="kB"),
    ]


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    with tempfile.TemporaryDirectory(dir=MEMORY if Path(MEMORY).is_dir() else None) as folder:
        place = Path(folder)
        rounds = 1 if quick else ROUNDS
        policies: tuple[Any, ...] = ("standard", None)
        found = [row for policy in policies for row in of_page(policy, place, 200 if quick else DOCUMENTS, rounds)]
        if not quick:
            found += of_page("standard", place, LARGE, 1)
        return found + of_pictures(place, 2 if quick else PICTURES)


if __name__ == "__main__":
    alone(rows)
