from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from support.commands import resumable_run
from support.fakes import FakeTransport, domain
from support.files import aged

from clova_ocr_async.batch.sources.manifest import images_from
from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.cli.runs.failures import FAILURES
from clova_ocr_async.client import RetryPolicy
from clova_ocr_async.documents import IdCard
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator
from clova_ocr_async.errors import (
    ConfigurationError,
    ConnectionFailedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def test_a_spent_quota_is_resumable(scans: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A quota that stays spent exits with 4 and shows the command that resumes."""
    async with Emulator(quota=0) as clova:
        reading = resumable_run(
            run,
            Domain(clova.url(), clova.secret),
            retry=RetryPolicy(quota_probes=0),
            settings={"resume": "clova-ocr again"},
        )
        code = await reading.run([str(scans / "0.png")])
    assert code is ExitCode.STOPPED
    assert "to go on: clova-ocr again\n" in capsys.readouterr().err


async def test_a_document_no_process_reads_makes_no_run(scans: Path, run: Path) -> None:
    """Without a domain for the document nothing is begun."""
    with pytest.raises(ConfigurationError):
        await resumable_run(run, domain(document=IdCard), transport=FakeTransport()).run([str(scans / "0.png")])
    assert run not in run.parent.iterdir()


async def test_a_ledger_that_cannot_be_looked_into_at_the_end_is_reported(
    scans: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """If the ledger is gone when all is done, that is reported with the exit code it has."""

    async def vanish(_: object) -> None:
        (run / "ledger.sqlite3").rename(run / "moved")
        raise ConnectionFailedError("refused")

    retry = RetryPolicy(max_attempts=1, outage_patience=0.0)
    code = await resumable_run(run, transport=FakeTransport(then=vanish), retry=retry).run([str(scans / "0.png")])
    assert code in {ExitCode.STOPPED, ExitCode.USAGE}
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("total", [30, 300])
async def test_many_failures_are_named_up_to_twenty(
    tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str], total: int
) -> None:
    """Standard error has the first twenty, the file of failures all."""
    for number in range(total):
        aged(tmp_path / f"{number}.png")
    found = [str(tmp_path / f"{number}.png") for number in range(total)]
    await resumable_run(run, transport=FakeTransport()).run(found)
    assert capsys.readouterr().err.count("is empty") == 20
    assert len(list(images_from(run / FAILURES))) == total


async def test_the_first_images_are_read_while_the_last_are_listed(tmp_path: Path, run: Path) -> None:
    """The number of images is reported once all are listed; outcomes before that do not wait for it."""
    for number in range(300):
        aged(tmp_path / f"{number}.png")
    reading = resumable_run(run, transport=FakeTransport())
    totals: list[int | None] = []

    def found() -> Iterator[str]:
        for number in range(300):
            if number == 256:  # so many are written down at once
                while reading.counts.done < 2:
                    threading.Event().wait(0.001)
                totals.append(reading.counts.total)
            yield str(tmp_path / f"{number}.png")

    assert await reading.run(found()) is ExitCode.SOME_FAILED
    assert (totals, reading.counts.total) == ([None], 300)
