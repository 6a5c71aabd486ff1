"""Run directories that the user may not write to."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.ledgers import opened
from support.rights import NOBODY, unprivileged

from clova_ocr_async.cli.exit_codes import ExitCode, exit_code
from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.corrections import SqliteCorrections
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator


async def work(run: Path) -> None:
    """Open a run as a batch does."""
    async with opened(run):
        pass


async def correct(run: Path) -> None:
    """Open a run as a review does."""
    with SqliteCorrections(run):
        pass


async def remove(run: Path) -> None:
    """Purge a run."""
    purge(run, NoSeal())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of a user without rights, by a relative path: the folders above are closed to that user."""
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)
    run = Path("run")
    asyncio.run(work(run))
    if os.geteuid() == 0:
        for place in (run, *run.iterdir()):
            os.chown(place, NOBODY, NOBODY)
    return run


@pytest.fixture(params=["folder", "ledger"])
def named(run: Path, request: pytest.FixtureRequest) -> Generator[str]:
    """The name that errors show of a run of which the folder, or the ledger, may only be read."""
    ledger = run / LEDGER
    if request.param == "folder":
        run.chmod(0o500)
        yield str(run)
    else:
        ledger.chmod(0o400)
        yield str(ledger)
    run.chmod(0o700)


@pytest.mark.parametrize("use", [work, correct, remove])
async def test_a_run_without_the_right_to_write_cannot_be_used(
    run: Path, named: str, use: Callable[[Path], Awaitable[None]]
) -> None:
    """To write to a run that may only be read is the mistake of a setting, and no trouble that passes by itself."""
    with unprivileged(), pytest.raises(LedgerError) as refused:
        await use(run)
    assert type(refused.value) is LedgerError
    assert str(refused.value).startswith(f"{named} may only be read; let your user write to the run directory")
    assert exit_code(refused.value) is ExitCode.USAGE
