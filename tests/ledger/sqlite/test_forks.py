from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.child_programs import FORKING_PYTHON
from support.ledgers import answers, item, opened

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.overflow_file import overflow_paths
from clova_ocr_async.ledger.sqlite.forks import ForkGuard

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

FORKER = Path(__file__).parents[2] / "chaos" / "forker.py"


@pytest.mark.timeout(120)
def test_a_fork_while_the_ledger_works_harms_neither_side(tmp_path: Path) -> None:
    """A busy process that forks again and again goes on; each child can use SQLite, is refused the ledger, and ends."""
    run = tmp_path / "run"
    done = subprocess.run(
        [*FORKING_PYTHON, FORKER, run, "10"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(answers(run)) > 10
    assert overflow_paths(run) == []


def forked(work: int) -> bool:
    """Fork a child that ends at once; return whether it did."""
    pid = os.fork()
    if pid == 0:
        os._exit(work)
    return os.waitpid(pid, 0)[1] == 0


def test_a_fork_waits_for_the_thread_inside() -> None:
    """A fork waits until the thread inside the guard has left it."""
    inside, go_on, order = threading.Event(), threading.Event(), list[str]()
    guard = ForkGuard(lambda: None)

    def work() -> None:
        with guard:
            inside.set()
            assert go_on.wait(10)
            order.append("left")

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    threading.Timer(0.05, go_on.set).start()
    assert forked(0)
    order.append("forked")
    thread.join()
    assert order == ["left", "forked"]


def test_the_thread_inside_may_fork_itself() -> None:
    """A thread that forks inside its own guard does not wait for itself, nor for a guard that was collected."""
    guard = ForkGuard(lambda: None)
    with guard:
        assert forked(0)
    del guard
    gc.collect()
    assert forked(0)


async def test_a_ledger_in_a_child_is_closed_and_leaves_the_parents_files(tmp_path: Path) -> None:
    """After a fork the child's ledger refuses every job, and closing it changes nothing of the parent's."""
    run = tmp_path / "run"
    async with opened(run) as parent:
        ledger = opened(tmp_path / "child")
        await ledger.__aenter__()
        (overflow,) = overflow_paths(tmp_path / "child")
        await ledger._writer.stop()  # noqa: SLF001 - in a child the thread is gone
        ledger._writer._guard.after_fork()  # noqa: SLF001 - what a fork calls in the child
        with pytest.raises(LedgerError, match="before this process was forked; open it anew in each process"):
            await ledger.admit(item(), None)
        with pytest.raises(LedgerError, match="forked"):
            await asyncio.to_thread(ledger.add_files, [], "receipt")
        await ledger.__aexit__(None, None, None)
        ledger._this_owner.abandon_after_fork()  # noqa: SLF001 - a child of the child
        assert overflow.exists()
        assert (await parent.admit(item(), None)).claim is not None
