from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.commands import clova_ocr

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("", "nothing to read: give a PATH, or a list of files with --from"),
        ("{scans} --max-calls 1", "--max-calls is for a run; give one with --run RUN"),
        ("{scans} --retry-failed", "--retry-failed is for a run"),
        ("{scans} --key-file k", "--key-file is for a run"),
        ("{scans} --price 60", "--price is for --run or --dry-run"),
        ("{scans} --run {run} --max-cost 100", "--max-cost needs --price"),
        ("{scans} --run {run} --price 0", "it must be more than 0"),
        ("{scans} --run {run} --price nan", "it must be more than 0"),
        ("{scans} --run {run} --price cheap", "'cheap' is not a number"),
        ("{scans} --run {run} -o out.jsonl", "write them with: clova-ocr export {run} -o FILE"),
        ("{scans} --dry-run -o out.jsonl", "a dry run writes none"),
        ("- --run {run}", "standard input cannot be read again"),
        ("--from {scans}/list --run {run}", "No such file"),
        ("{scans} --run {scans}", "holds other things and no ledger.sqlite3"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    clova: Emulator, scans: Path, run: Path, arguments: str, why: str
) -> None:
    """A combination of options that is a mistake is reported with the way out, before anything is written or sent."""
    result = clova_ocr("batch", "receipt", *arguments.format(scans=scans, run=run).split())
    assert result.exit_code == 2
    assert why.format(run=run) in result.stderr
    assert not run.exists()
    assert clova.requests == 0
