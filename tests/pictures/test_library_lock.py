from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.child_programs import FORKING_PYTHON
from support.pdfs import pdf_of, text_of

from clova_ocr_async.pictures.library_lock import LibraryLock
from clova_ocr_async.pictures.pages import cut_page
from clova_ocr_async.pictures.preparation import Preparation

if TYPE_CHECKING:
    from pathlib import Path


def test_many_threads_at_once(tmp_path: Path) -> None:
    """Threads that cut and render pages of several files at once each get their own page."""
    paths = [tmp_path / f"{name}.pdf" for name in "abcdef"]
    for path in paths:
        path.write_bytes(pdf_of(8))

    def work(task: int) -> bool:
        path, number = paths[task % 6], task % 8 + 1
        data, picture = cut_page(path, number, max_bytes=None, preparation=Preparation(render=task % 5 == 0, dpi=50))
        return picture.page == number and (data[:2] == b"\xff\xd8" or text_of(data).strip() == f"page {number}")

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(120)))


BEGIN = """
import os, sys, threading
from clova_ocr_async.pictures.library_lock import LibraryLock
from clova_ocr_async.pictures.pages import cut_page
from clova_ocr_async.pictures.preparation import Preparation
path = sys.argv[1]

def cut(number, render=False):
    return cut_page(path, number, max_bytes=None, preparation=Preparation(render=render))

def forever(seed):
    while True:
        cut(seed % 8 + 1, render=seed % 2 == 0)
"""

FORK = """
cut(1, render=True)  # imports what is imported late: a lock of an import that another thread holds would stop the child
for seed in range(3):
    threading.Thread(target=forever, args=(seed,), daemon=True).start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        good = cut(2)[0] == cut(2)[0] and cut(3, render=True)
        os._exit(0 if good else 3)
    assert os.waitpid(child, 0)[1] == 0
os._exit(0)
"""

EXIT = """
cut(1)
for seed in range(4):
    threading.Thread(target=forever, args=(seed,), daemon=True).start()
cut(2)
print("done")
"""

FORK_LATER = """
cut(1)
child = os.fork()
if child == 0:
    cut(2)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
cut(3)
"""

EXIT_WHILE_OPEN = """
print(len(cut(1)[0]) > 0)
"""


@pytest.mark.parametrize(
    "program", [FORK, FORK_LATER, EXIT, EXIT_WHILE_OPEN], ids=["fork at work", "fork", "exit at work", "exit"]
)
def test_a_process_that_forks_or_ends(program: str, tmp_path: Path) -> None:
    """A child of a fork cuts and renders, and a process ends in time and without a crash, whatever its threads do."""
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_of(8))
    ran = subprocess.run(
        [*FORKING_PYTHON, "-c", BEGIN + program, path], capture_output=True, text=True, timeout=50, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_without_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock locks on a system without fork, too."""
    monkeypatch.delattr(os, "register_at_fork")
    with LibraryLock() as nothing:
        assert nothing is None
