"""Run directories of older versions, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.commands import clova_ocr, exported, status
from support.released_schemas import RELEASED, make_older

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator


@pytest.mark.parametrize("version", RELEASED)
def test_a_run_of_an_older_version_is_read_and_resumed(clova: Emulator, scans: Path, run: Path, version: int) -> None:
    """A run directory of any released version shows its counts and records, and its repetition sends nothing."""
    command = ("batch", "receipt", scans, "--run", run)
    assert clova_ocr(*command).exit_code == 0
    counts, records, billed = status(run), exported(run), clova.billed.total()
    make_older(run, version)
    ledger = (run / "ledger.sqlite3").read_bytes()
    assert (status(run), exported(run)) == (counts, records)
    assert (run / "ledger.sqlite3").read_bytes() == ledger
    again = clova_ocr(*command)
    assert again.exit_code == 0, again.stderr
    assert (status(run), exported(run)) == (counts, records)
    assert clova.billed.total() == clova.requests == billed
