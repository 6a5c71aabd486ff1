"""Runs that were copied, linked and looked at, with real processes that are really killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from clova_ocr_async.emulator import Emulator, draw_sample, emulator_in_thread

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals, links and mounts as Linux has them"),
]

IMAGES = 12
CLOVA_OCR = [sys.executable, "-m", "clova_ocr_async"]

_MOUNTED = 'mount --bind -o ro "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'
READ_ONLY = ["unshare", "--mount", "sh", "-c", _MOUNTED, "sh"]
"""Runs a command that sees a folder as on a read-only medium: the folder, then the command."""


@pytest.fixture
def clova(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Emulator]:
    """A local CLOVA, slow enough to be interrupted."""
    with emulator_in_thread(concurrency=2, latency=0.1) as emulator:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", emulator.url())
        monkeypatch.setenv("CLOVA_OCR_SECRET", emulator.secret)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        yield emulator


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Different receipts."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(IMAGES):
        (folder / f"{number:02}.png").write_bytes(draw_sample("receipt", seed=number).data)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The path of a run directory to be."""
    return tmp_path / "run"


def clova_ocr(*arguments: str | Path, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    command = [*(before or []), *CLOVA_OCR, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def killed(clova: Emulator, scans: Path, run: Path) -> None:
    """Begin a run, and kill it in its middle, so that its log is left."""
    batch = subprocess.Popen([*CLOVA_OCR, "-q", "batch", "receipt", scans, "--run", run])
    deadline = time.monotonic() + 30
    while clova.billed.total() < IMAGES // 3:
        assert time.monotonic() < deadline
        assert batch.poll() is None
    batch.send_signal(signal.SIGKILL)
    batch.wait()
    assert (run / "ledger.sqlite3-wal").stat().st_size


def finished(scans: Path, run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Go on with a run."""
    return clova_ocr("batch", "receipt", scans, "--run", run, *options)


def contents(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Return all that is in a folder's files, and what their inodes say."""
    return {
        file.name: ((found := file.stat()).st_ino, found.st_mtime_ns, found.st_mode, file.read_bytes())
        for file in folder.iterdir()
    }


def told(run: Path, *, before: list[str] | None = None) -> dict[str, Any]:
    """Return how far a run is."""
    result = clova_ocr("status", run, "--json", before=before)
    assert result.returncode == 0, result.stderr
    status: dict[str, Any] = json.loads(result.stdout)
    return status


def records(run: Path, *, before: list[str] | None = None) -> list[dict[str, Any]]:
    """Return the records of a run."""
    result = clova_ocr("export", run, before=before)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_look_at_a_killed_run_changes_nothing_of_it(
    clova: Emulator, scans: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, export and a dry run leave every file as it was, make none, and leave no copy anywhere."""
    killed(clova, scans, run)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    before = contents(run)
    assert told(run)["images"]["succeeded"] == len([one for one in records(run) if one["status"] == "succeeded"]) > 0
    assert finished(scans, run, "--dry-run").returncode == 0
    assert contents(run) == before
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_look_at_a_hard_linked_backup_does_not_touch_the_run(clova: Emulator, scans: Path, run: Path) -> None:
    """A killed run that is linked and looked at by the link is paid for once; neither is written to while linked."""
    killed(clova, scans, run)
    backup = run.with_name("backup")
    shutil.copytree(run, backup, copy_function=os.link)
    before = contents(run), contents(backup)
    for folder in (run, backup):
        refused = finished(scans, folder)
        assert refused.returncode != 0
        assert "hard links" in refused.stderr
        assert f"cp -r {folder}" in refused.stderr
        assert clova_ocr("purge", folder).returncode != 0
        assert told(folder)["images"]["succeeded"]
    assert (contents(run), contents(backup)) == before
    shutil.rmtree(backup)
    assert finished(scans, run, "--retry-ambiguous").returncode == 0
    assert told(run)["images"] == {"succeeded": IMAGES}


def test_a_run_that_was_finished_under_another_name_is_not_set_back(clova: Emulator, scans: Path, run: Path) -> None:
    """The old log beside a hard link is not applied to the ledger that was finished since."""
    killed(clova, scans, run)
    backup = run.with_name("backup")
    shutil.copytree(run, backup)  # as it was when it was killed
    assert finished(scans, run, "--retry-ambiguous").returncode == 0
    (backup / "ledger.sqlite3").unlink()
    (backup / "ledger.sqlite3").hardlink_to(run / "ledger.sqlite3")
    before = contents(run), contents(backup)
    assert told(backup)["images"] == told(run)["images"] == {"succeeded": IMAGES}
    assert (contents(run), contents(backup)) == before


def test_a_copied_run_asks_before_it_pays(clova: Emulator, scans: Path, run: Path) -> None:
    """Two copies of a run do not both pay: the copy is refused by name until it is said to go on in its place."""
    killed(clova, scans, run)
    copy = run.with_name("copy")
    shutil.copytree(run, copy)
    assert finished(scans, run, "--retry-ambiguous").returncode == 0
    paid = clova.billed.total()
    refused = finished(scans, copy)
    assert refused.returncode != 0
    assert f"{run}/ledger.sqlite3" in refused.stderr
    assert "--run-moved" in refused.stderr
    assert clova.billed.total() == paid
    assert finished(scans, copy, "--run-moved").returncode in {0, 1}
    assert clova.billed.total() > paid
    assert finished(scans, copy).returncode in {0, 1}  # it is asked once


def test_a_run_at_work_is_seen_at_one_moment(clova: Emulator, scans: Path, run: Path) -> None:
    """Status and export of a run at work join it: what they say adds up, and the batch goes on undisturbed."""
    batch = subprocess.Popen([*CLOVA_OCR, "-q", "batch", "receipt", scans, "--run", run])
    deadline = time.monotonic() + 30
    while clova.billed.total() < IMAGES // 4:
        assert time.monotonic() < deadline
        assert batch.poll() is None
    batch.send_signal(signal.SIGSTOP)  # at work all the same, and not done before it is looked at
    written = [(run / name).read_bytes() for name in ("ledger.sqlite3", "ledger.sqlite3-wal")]
    status, lines = told(run), records(run)
    assert written == [(run / name).read_bytes() for name in ("ledger.sqlite3", "ledger.sqlite3-wal")]
    batch.send_signal(signal.SIGCONT)
    assert batch.wait() in {0, 1}  # what its server has answered while it was stopped may have been cut off
    assert status["processes"] == 1
    assert 0 < sum(record["billed"] is True for record in lines) <= clova.billed.total()
    assert sum(record["billed"] is True for record in records(run)) == told(run)["billed"] > 0


def can_mount() -> bool:
    """Return whether this process may mount, in a namespace of its own."""
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "--mount", "true"], check=False).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="needs the right to mount")
def test_a_finished_run_on_a_read_only_medium_is_read(clova: Emulator, scans: Path, run: Path) -> None:
    """Status and export need no right to write where the run is, also without a log beside it; a batch names it."""
    killed(clova, scans, run)
    assert finished(scans, run, "--retry-ambiguous").returncode == 0
    read_only = [*READ_ONLY, str(run)]
    assert subprocess.run([*read_only, "touch", run / "x"], check=False).returncode != 0
    assert told(run, before=read_only) == told(run)
    assert records(run, before=read_only) == records(run)
    refused = clova_ocr("batch", "receipt", scans, "--run", run, before=read_only)
    assert (refused.returncode, "may only be read; let your user write" in refused.stderr) == (2, True), refused.stderr
