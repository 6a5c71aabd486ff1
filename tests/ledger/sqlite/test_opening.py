from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import (
    dead_process,
    item,
    opened,
    query,
)

from clova_ocr_async.errors import (
    ConfigurationError,
    LedgerError,
)
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.overflow_file import overflow_paths
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.connection import connect, prepare_to_write
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.schema import migrate

if TYPE_CHECKING:
    from pathlib import Path

KEY = bytes(range(32))


@pytest.mark.parametrize(
    "settings",
    [
        {"max_calls": -1},
        {"max_calls": True},
        {"max_calls": 1.5},
        {"store": "some"},
        {"lease": 0},
        {"lease": 31},
        {"lease": "long"},
        {"lease": True},
    ],
)
def test_settings_that_cannot_work(run: Path, settings: dict[str, Any]) -> None:
    """A setting that cannot work is named before anything is made."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        SqliteLedger(run, **settings)
    assert not run.exists()


@pytest.mark.parametrize(
    ("folder", "settings", "name"), [(5, {}, "folder is a int"), ("run", {"seal": "key"}, "seal is a str")]
)
def test_bad_arguments_are_named(folder: Any, settings: dict[str, Any], name: str) -> None:
    """A path and a seal of the wrong type are refused before anything is made."""
    with pytest.raises(ConfigurationError, match=name):
        SqliteLedger(folder, **settings)


async def test_files_that_are_not_a_ledger(tmp_path: Path) -> None:
    """A damaged file, another program's, a newer version's, and a folder that cannot be made are refused by name."""
    for name in ("damaged", "another", "newer"):
        (tmp_path / name).mkdir(0o700)
    (tmp_path / "damaged" / LEDGER).write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(LedgerError, match="damaged"):
        await opened(tmp_path / "damaged").__aenter__()
    db = sqlite3.connect(tmp_path / "another" / LEDGER)
    db.execute("CREATE TABLE another (x)")
    db.close()
    with pytest.raises(LedgerError, match="another program"):
        await opened(tmp_path / "another").__aenter__()
    async with opened(tmp_path / "newer"):
        pass
    db = sqlite3.connect(tmp_path / "newer" / LEDGER)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="schema 99"):
        await opened(tmp_path / "newer").__aenter__()
    with pytest.raises(LedgerError, match="no_such_place"):
        await opened("/proc/no_such_place/run").__aenter__()


async def test_the_settings_of_a_run_are_checked(run: Path) -> None:
    """Another key, no key, another store or service than the run was begun with is refused; the same is not."""
    async with opened(run, seal=AESGCMSeal(KEY), store="none") as ledger:
        await ledger.open_for(["apigw.ntruss.com"])
        with pytest.raises(LedgerError, match="apigw"):
            await ledger.open_for(["local"])
    refusals: list[tuple[dict[str, Any], str]] = [
        ({}, "sealed"),
        ({"seal": Other()}, "the key given is for"),
        ({"seal": AESGCMSeal(KEY[::-1])}, "not the one"),
        ({"seal": AESGCMSeal(KEY), "store": "full"}, "store"),
    ]
    for settings, said in refusals:
        with pytest.raises(LedgerError, match=said):
            await opened(run, **settings).__aenter__()
    async with opened(run, seal=AESGCMSeal(KEY)) as ledger:
        await ledger.open_for(["apigw.ntruss.com"])
    async with opened(run.with_name("open")):
        pass
    with pytest.raises(LedgerError, match="begun without one"):
        await opened(run.with_name("open"), seal=AESGCMSeal(KEY)).__aenter__()


class Other(NoSeal):
    """A seal of another kind."""

    name = "another"


def test_a_file_system_without_a_log_is_refused(tmp_path: Path) -> None:
    """Without a write-ahead log of SQLite there is no ledger, and a connection for reading cannot write."""
    db = sqlite3.connect(":memory:")
    with pytest.raises(LedgerError, match="no WAL"):
        prepare_to_write(db, tmp_path)
    db.close()
    (tmp_path / LEDGER).touch()
    connect(tmp_path).close()
    db = connect(tmp_path, reading=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("CREATE TABLE x (y)")
    db.close()


def test_two_processes_that_create_a_ledger_create_one(tmp_path: Path) -> None:
    """A process that was slower to create the tables uses those of the other."""
    quicker = sqlite3.connect(tmp_path / LEDGER, isolation_level=None)

    class Late(sqlite3.Connection):
        def execute(self, *arguments: Any) -> sqlite3.Cursor:
            if arguments == ("BEGIN IMMEDIATE",):
                migrate(quicker)
            return super().execute(*arguments)

    late = sqlite3.connect(tmp_path / LEDGER, isolation_level=None, factory=Late)
    migrate(late)
    assert late.execute("SELECT count(*) FROM item").fetchone() == (0,)
    late.close()
    quicker.close()


async def test_a_cancelled_opening_leaves_nothing_open(run: Path) -> None:
    """A caller that is cancelled while a ledger is opened, at any moment, leaves no thread and no lock behind."""
    for steps in range(12):
        opening = asyncio.create_task(opened(run).__aenter__())
        for _ in range(steps):
            await asyncio.sleep(0.0005)
        opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await (await opening).__aexit__(None, None, None)
    async with opened(run, process=dead_process()) as ledger:
        assert (await ledger.admit(item(), None)).claim is not None


async def test_a_run_is_not_begun_without_room(run: Path) -> None:
    """Without room for the reserve the opening fails with that reason, and does not hold up the next one."""
    program = f"""
import asyncio, resource, signal, sys
sys.path[:] = {sys.path!r}
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.errors import DiskFullError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
async def main():
    try:
        await SqliteLedger({str(run)!r}).__aenter__()
    except DiskFullError as error:
        print(error)
asyncio.run(main())
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "File too large; a run needs at least 2 MiB" in done.stdout
    assert query(run, "SELECT count(*) FROM owner") == [(0,)]
    assert overflow_paths(run) == []
