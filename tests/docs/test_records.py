from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from support.commands import clova_ocr
from support.doc_pages import DOCS

from clova_ocr_async.emulator import draw_sample, emulator_in_thread

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_every_key_of_records_and_of_the_status_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each key of a record, of ``status --json`` and of its cost has its place on the page of records."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / os.fsdecode(b"\xff.png")).write_bytes(draw_sample("receipt").data)  # it has a key of its own
    monkeypatch.chdir(tmp_path)
    with emulator_in_thread(latency=0, sigma=0) as clova:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", clova.url())
        monkeypatch.setenv("CLOVA_OCR_SECRET", clova.secret)
        assert clova_ocr("batch", "receipt", "scans", "--run", "run").exit_code == 0
    status = json.loads(clova_ocr("status", "run", "--json", "--price", "80").stdout)
    record = json.loads(clova_ocr("export", "run").stdout)
    assert "source_bytes" in record
    page = (DOCS / "records.md").read_text(encoding="utf-8")
    assert [key for key in (*status, *status["cost"], *record) if f"`{key}`" not in page] == []
