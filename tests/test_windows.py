"""The package where POSIX is missing, as on Windows."""

from __future__ import annotations

import subprocess
import sys

import pytest

MASKED = """
import os, pkgutil, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "readline"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "register_at_fork", "geteuid", "getuid", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK",
             "pwrite", "posix_fallocate", "fstatvfs", "statvfs", "mkfifo", "set_blocking", "getpgid", "tcgetpgrp"):
    if hasattr(os, name):
        delattr(os, name)
import signal
for name in ("SIGHUP", "SIGKILL", "SIGSTOP", "SIGXFSZ", "SIGUSR1", "pthread_sigmask"):
    if hasattr(signal, name):
        delattr(signal, name)
"""

IMPORTS = """
import clova_ocr_async
for module in pkgutil.walk_packages(clova_ocr_async.__path__, "clova_ocr_async."):
    if module.name.endswith("__main__"):
        continue
    try:
        __import__(module.name)
    except ImportError as error:
        if error.name is None or sys.modules.get(error.name, "no such module") is None:
            raise  # one that is masked; others belong to an extra that is not installed
    else:
        print(module.name)
"""

OPENS = """
import asyncio, tempfile
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.overflow_file import check_locks
from clova_ocr_async.errors import LedgerError
folder = tempfile.mkdtemp()
try:
    asyncio.run(SqliteLedger(folder).__aenter__())
except LedgerError as error:
    print(error, os.listdir(folder))
"""

OTHERS = """
import pathlib, tempfile
from clova_ocr_async.slots.sharing.sqlite_store import SqliteGateStore
from clova_ocr_async.slots.sharing.store import transaction
from clova_ocr_async.ledger.overflow_file import overflow_path, reclaim
folder = pathlib.Path(tempfile.mkdtemp())
overflow_path(folder, 1).write_bytes(bytes(100))
reclaim(folder)
store = SqliteGateStore(folder / "slots", lambda: 0.0)
for value in (7, 8):
    with transaction(store, ["domain"]) as gates:
        print(gates["domain"].limit.value)
        gates["domain"].limit.value = value
    store.close()
print(len(list(folder.iterdir())))
"""


def run(program: str) -> str:
    """Run a program without what only POSIX has, and return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", MASKED + f"sys.path[:] = {sys.path!r}\n" + program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(120)
def test_every_module_is_imported_without_posix() -> None:
    """Without fcntl, resource, fork and what else Windows does not have every module of the package is imported."""
    modules = run(IMPORTS).split()
    assert {"clova_ocr_async.ledger.overflow_file", "clova_ocr_async.cli.runs.resumable"} < set(modules)


def test_a_ledger_without_file_locks_names_the_way() -> None:
    """Opening a run directory where there are no file locks says so, names WSL, and leaves no file."""
    told = run(OPENS)
    assert "needs the file locks of POSIX, which Windows does not have; use it in WSL" in told
    assert told.rstrip().endswith("[]")


def test_slots_are_shared_and_nothing_is_taken_away_without_posix() -> None:
    """Without owners and locks of files, slots are shared all the same, and no file is taken away."""
    assert run(OTHERS).split() == ["4", "7", "2"]
