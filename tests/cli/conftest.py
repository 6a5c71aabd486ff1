from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.commands import PICTURES

from clova_ocr_async.emulator import Emulator, draw_sample, emulator_in_thread

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@pytest.fixture
def clova(monkeypatch: pytest.MonkeyPatch) -> Generator[Emulator]:
    """A local CLOVA that answers at once, named by the environment."""
    with emulator_in_thread(latency=0, sigma=0) as emulator:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", emulator.url())
        monkeypatch.setenv("CLOVA_OCR_SECRET", emulator.secret)
        yield emulator


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of six receipts, one of them under a second name."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number, data in enumerate([*PICTURES, PICTURES[0]]):
        (folder / f"{number}.png").write_bytes(data)
    return folder


@pytest.fixture
def twelve_scans(tmp_path: Path) -> Path:
    """A folder of twelve pictures."""
    folder = tmp_path / "scans"
    folder.mkdir()
    data = draw_sample("receipt").data
    for number in range(12):
        # Bytes behind the end of a PNG make it another picture, and are cheaper than drawing.
        (folder / f"{number:02}.png").write_bytes(data + b"%d" % number)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The path of a run directory that does not exist yet."""
    return tmp_path / "run"
