"""A run over samples of the emulator, some stored turned as cameras do."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from clova_ocr_async.emulator import Sample, draw_sample, emulator_in_thread
from clova_ocr_async.emulator.samples.ground_truth import pack_ground_truth
from support.commands import clova_ocr
from support.drawn import as_stored, exif_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["CARD", "RECEIPTS", "make_sample_run", "upright"]

RECEIPTS = {orientation: draw_sample("receipt", seed=orientation) for orientation in (1, 3, 6, 8)}
"""Receipts by the EXIF orientation in which they are stored."""
CARD = draw_sample("id-card", seed=0)


def upright(sample: Sample) -> Image.Image:
    """Return the upright picture of a sample."""
    return Image.open(io.BytesIO(sample.data)).convert("RGB")


def _photo(sample: Sample, orientation: int) -> bytes:
    """Return a sample as a camera stores it: its pixels turned, and an orientation that turns them back."""
    file = io.BytesIO()
    exif = b"Exif\0\0" + exif_of(orientation)
    as_stored(upright(sample), orientation).save(
        file, "JPEG", quality=92, exif=exif, comment=pack_ground_truth(sample.truth)
    )
    return file.getvalue()


def make_sample_run(place: Path) -> Path:
    """Have the emulator read the receipts and the card, and return the run directory."""
    (place / "receipts").mkdir()
    for orientation, sample in RECEIPTS.items():
        (place / "receipts" / f"turned-{orientation}.jpg").write_bytes(_photo(sample, orientation))
    (place / "card.png").write_bytes(CARD.data)
    run = place / "run"
    with pytest.MonkeyPatch.context() as patch, emulator_in_thread(latency=0, sigma=0) as clova:
        patch.setenv("CLOVA_OCR_INVOKE_URL", clova.url())
        patch.setenv("CLOVA_OCR_SECRET", clova.secret)
        for document, files in (("receipt", "receipts"), ("id-card", "card.png")):
            assert clova_ocr("batch", document, place / files, "--run", run).exit_code == 0
    return run
