"""Kills watches of a folder every 200 ms while pictures are put into it: ``watch_kills.py [--seconds N] [--seed N]``.

A thread puts pictures into a folder: written at once, written in two halves, renamed from a temporary name, moved in,
and twice under different names. Processes of the command line that watch the folder are killed 200 ms after they have
begun to, and some while they start; then one is left to finish. In the end the account of ``chaos.py`` must be clean:
no picture was charged for twice, and ambiguous are at most the calls that were in flight at the kills.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import account
import stress
from chaos import LONGEST, Scene, scene
from worker import SLOTS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

_ALIVE = 0.2  # seconds between the begin of a watch and its kill
_STARTING = 0.2  # kills that meet a process which is still starting
_SETTLE = 0.05  # seconds; a file must settle within the life of a process


def kills(seconds: float, processes: int, draw: random.Random) -> list[str]:
    """Kill watches for some seconds, one or several at once, then let one finish; return what was wrong."""
    with scene(0, 0.05, draw.getrandbits(32)) as stage:
        stopped = threading.Event()
        seed = draw.getrandbits(32)
        writer = threading.Thread(target=_write, args=(stage.folder, stopped, random.Random(seed)))  # noqa: S311
        writer.start()
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                _killed(stage, processes, draw)
        finally:
            stopped.set()
            writer.join()
        wrong = _finished(stage)
        ambiguous = stage.states()["ambiguous"]
        what = f"{processes} watches at once, killed {stage.kills} times: {len(stage.pictures)} pictures"
        what += f", {stage.clova.billed.total()} charged, {ambiguous} ambiguous"
        return stress.reported(stage.account(what, wrong))


def _killed(stage: Scene, processes: int, draw: random.Random) -> None:
    begun = _begun(stage)
    group = [_watch(stage, draw) for _ in range(processes)]
    if draw.random() < _STARTING:
        time.sleep(draw.uniform(0.0, 0.4))
    else:
        _until(lambda: _begun(stage) >= begun + processes, group)
        time.sleep(_ALIVE)
    for process in group:
        process.kill()
        process.wait()
        stage.kills += 1


def _watch(stage: Scene, draw: random.Random) -> subprocess.Popen[bytes]:
    """Start a watch, with events of the system or without."""
    command = ["-m", "clova_ocr_async", "watch", "receipt", str(stage.folder), "--run", str(stage.run)]
    options = ["--settle", str(_SETTLE), "--concurrency", str(SLOTS)]
    return stage.python(*command, *options, *["--poll"] * draw.randrange(2))


def _begun(stage: Scene) -> int:
    told = stage.run.parent / "told.txt"
    return told.read_bytes().count(b"watching ") if told.exists() else 0


def _until(what: Callable[[], bool], group: list[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + LONGEST
    while not what():
        if time.monotonic() > end or any(process.poll() is not None for process in group):
            raise TimeoutError("a watch has not begun, or has ended by itself")
        time.sleep(0.005)


def _finished(stage: Scene) -> list[str]:
    """Let one watch read what is left, and end it by a signal; return what was wrong with that."""
    last = _watch(stage, random.Random(0))  # noqa: S311 - no secret
    _until(lambda: _all_done(stage), [last])
    last.send_signal(signal.SIGTERM)
    code = stage.ended(last)
    return [] if code == 130 else [f"exit code {code} of the last watch"]


def _all_done(stage: Scene) -> bool:
    """Return whether every file has an item, and every item is finished."""
    try:
        with closing(sqlite3.connect(stage.run / "ledger.sqlite3", timeout=0.1)) as db:
            (left,) = db.execute("SELECT count(*) FROM source WHERE open = 1 OR item IS NULL").fetchone()
            (files,) = db.execute("SELECT count(*) FROM source").fetchone()
            (busy,) = db.execute("SELECT count(*) FROM item WHERE state IN ('queued', 'claimed', 'sent')").fetchone()
    except sqlite3.Error:  # it is being made
        return False
    return not left and not busy and files == sum(1 for _ in stage.folder.iterdir())


def _write(folder: Path, stopped: threading.Event, draw: random.Random) -> None:
    """Put pictures into a folder in all the ways in which programs do it."""
    elsewhere = folder.with_name("elsewhere.jpg")
    number = 0
    while not stopped.wait(draw.uniform(0.0, 0.05)):
        number += 1
        content = number if number % 5 else draw.randrange(1, number + 1)
        data, path = b"\xff\xd8\xff\xe0 %d \xff\xd9" % content, folder / f"{number}.jpg"
        way = draw.randrange(4)
        if way == 0:
            path.write_bytes(data)
        elif way == 1:
            with path.open("wb", buffering=0) as file:
                file.write(data[:6])
                time.sleep(draw.uniform(0.0, 0.1))
                file.write(data[6:])
        else:
            partial = elsewhere if way == 2 else path.with_suffix(".jpg.part")
            partial.write_bytes(data)
            os.utime(partial, (1e9, 1e9))
            partial.rename(path)


def main() -> int:
    """Run it for a minute, half of it with two watches at once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    draw = random.Random(options.seed)  # noqa: S311 - moments of kills
    wrong = kills(options.seconds / 2, 1, draw) + kills(options.seconds / 2, 2, draw)
    print(f"\n{account.table()}", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
