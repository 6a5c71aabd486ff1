"""Kills batches and counts what that cost: ``chaos.py [--items N] [--kills N] [--drains N] …``; ``nox -s chaos``.

A folder of pictures, some of them twice under different names, is read by the command line against a local emulator,
which counts what it charges. Its processes are killed, at random and at every named point of the ledger; then one is
left to finish. In the end

* no picture was charged for twice,
* every picture that was charged for has its answer, or is listed as ambiguous,
* ambiguous are at most the calls that were in flight at the kills,
* the database is whole.

Before that the scenes of ``stress.py`` and ``copies.py`` are played. In the end a table shows of each scene that
nothing was billed twice, lost, or charged in silence, and that each trouble came to an end within a minute.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import account
import copies
import stress
from account import Account
from worker import POINTS, RENAMES, SLOTS

from clova_ocr_async.emulator import emulator_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from clova_ocr_async import Emulator

LONGEST = 120.0  # seconds that one process may take to its end
RESUMABLE = 4  # exit code
_MORE = 30  # pictures for each named point
_TRIES = 5  # to come to it: the more is done at once, the fewer commits there are
_OFTEN = 0.9  # kills that wait until a call is charged; the others meet the start of a process
WORKER = Path(__file__).with_name("worker.py")


@dataclass
class Scene:
    """A folder of pictures, a run directory, and the emulator they are read with.

    Attributes:
        folder: The pictures.
        run: The run directory.
        clova: Charges.
        environment: Of the processes.
        draw: Chooses.
        kills: Processes killed so far that may have had calls in flight.
        longest: Seconds of the longest end so far.
    """

    folder: Path
    run: Path
    clova: Emulator
    environment: dict[str, str]
    draw: random.Random
    kills: int = 0
    longest: float = 0.0

    def add(self, items: int) -> None:
        """Add pictures; a fifth of them are copies of others."""
        there = sum(1 for _ in self.folder.iterdir())
        for number in range(there, there + items):
            content = number if number % 5 else self.draw.randrange(number + 1)
            name = f"{self.draw.getrandbits(32):08x}-{number}.jpg"
            (self.folder / name).write_bytes(b"\xff\xd8\xff\xe0 %d \xff\xd9" % content)

    def batch(self, limits: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
        """Start the command line on the folder."""
        command = ["-m", "clova_ocr_async", "-q", "batch", "receipt", str(self.folder), "--run", str(self.run)]
        return self.python(*command, "--concurrency", str(SLOTS), limits=limits)

    def worker(self, lease: float, point: str = "", count: int = 0) -> subprocess.Popen[bytes]:
        """Start a batch on the ledger itself, which kills itself at a point."""
        return self.python(str(WORKER), str(self.folder), str(self.run), str(lease), point, str(count))

    def python(self, *arguments: str, limits: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
        """Start a Python program."""
        with (self.run.parent / "told.txt").open("ab") as told:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=self.environment,
                stdout=told,
                stderr=told,
                preexec_fn=limits,  # noqa: PLW1509 - it sets a limit, and takes no lock that a thread might hold
            )

    def was_told(self, words: str) -> bool:
        """Return whether a process has printed something."""
        return words in (self.run.parent / "told.txt").read_text(encoding="utf-8")

    def until_under_way(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until a process has a call charged, or has ended; starting takes it longer the more others do."""
        before, end = self.clova.billed.total(), time.monotonic() + LONGEST
        while self.clova.billed.total() == before and process.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError("never in flight")
            time.sleep(0.005)

    def ended(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a process that is to end, and return its exit code."""
        began = time.monotonic()
        code = process.wait(LONGEST)
        self.longest = max(self.longest, time.monotonic() - began)
        return code

    def finish(self) -> int:
        """Let one process finish, and return its exit code."""
        return self.batch().wait(LONGEST)

    @property
    def pictures(self) -> set[str]:
        """The hashes of all pictures."""
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in self.folder.iterdir()}

    def states(self) -> Counter[str]:
        """Return how many items stand where."""
        with closing(sqlite3.connect(self.run / "ledger.sqlite3")) as db:
            return Counter(dict(db.execute("SELECT state, count(*) FROM item GROUP BY state")))

    def account(self, what: str, wrong: Iterable[str] = ()) -> Account:
        """Return what the scene has cost.

        Args:
            what: What was played.
            wrong: What is known to be wrong.
        """
        with closing(sqlite3.connect(self.run / "ledger.sqlite3")) as db:
            (integrity,) = db.execute("PRAGMA integrity_check").fetchone()
            states = {sha.hex(): state for sha, state in db.execute("SELECT sha256, state FROM item")}
            kept = {
                sha.hex() for (sha,) in db.execute("SELECT sha256 FROM item JOIN answer ON answer.id = item.answer")
            }
            left = db.execute("SELECT count(*) FROM source WHERE open = 1 OR item IS NULL").fetchone()[0]
        billed = self.clova.billed
        read = {sha for sha, state in states.items() if state == "succeeded"}
        ambiguous = {sha for sha, state in states.items() if state == "ambiguous"}
        found = {
            "charged for twice": [sha for sha, count in billed.items() if count > 1],
            "read without an answer": list(read - kept),
            "charged for, and neither read nor ambiguous": list(set(billed) - read - ambiguous),
            "neither read nor ambiguous": list(self.pictures - read - ambiguous),
            "more ambiguous than were in flight": list(ambiguous) if len(ambiguous) > SLOTS * self.kills else [],
            "files left over": [str(left)] if left else [],
            f"integrity: {integrity}": [] if integrity == "ok" else [integrity],
        }
        twice, unkept, silent, *_ = map(len, found.values())
        said = [f"{len(shas)} {name}: {shas[:3]}" for name, shas in found.items() if shas]
        late = [f"an end after {self.longest:.0f} s"] if self.longest > account.LONGEST else []
        return Account(what, twice, unkept + silent, silent, self.longest, [*wrong, *said, *late])


@contextmanager
def scene(items: int, latency: float, seed: int) -> Generator[Scene]:
    """Make a scene."""
    draw = random.Random(seed)  # noqa: S311 - a choice of pictures
    place = Path(tempfile.mkdtemp(prefix="chaos-"))
    folder = place / "scans"
    folder.mkdir()
    with emulator_in_thread(concurrency=None, latency=latency, sigma=0.5, seed=seed) as clova:
        environment = {
            **os.environ,
            "CLOVA_OCR_INVOKE_URL": clova.url(),
            "CLOVA_OCR_SECRET": clova.secret,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "XDG_STATE_HOME": str(place / "state"),
        }
        stage = Scene(folder, place / "run", clova, environment, draw)
        stage.add(items)
        yield stage
    shutil.rmtree(place)


def random_kills(kills: int, items: int, processes: int, draw: random.Random) -> list[str]:
    """Kill processes at random moments, in as many runs as that takes."""
    wrong: list[str] = []
    done = 0
    while done < kills:
        with scene(items, 0.04, draw.getrandbits(32)) as stage:
            while done < kills and (group := _killed_once(stage, processes, draw)):
                done += group
            stage.finish()
            wrong += _reported(stage, f"{processes} at once, {done} of {kills} killed at random")
    return wrong


def _killed_once(stage: Scene, processes: int, draw: random.Random) -> int:
    """Start some processes, and kill one of them; the others work on. Return 0 if they were done before."""
    group = [stage.batch() for _ in range(processes)]
    victim = group[0]
    if draw.random() < _OFTEN:
        stage.until_under_way(victim)
    try:
        victim.wait(draw.uniform(0.0, 1.0))
    except subprocess.TimeoutExpired:
        victim.kill()
        victim.wait()
        stage.kills += 1
    ended = victim.returncode != -signal.SIGKILL
    for other in group[1:]:
        _end(other, draw)
        stage.kills += other.returncode == -signal.SIGKILL
    return 0 if ended else sum(process.returncode == -signal.SIGKILL for process in group)


def _end(process: subprocess.Popen[bytes], draw: random.Random) -> None:
    """Let a process go on for a while, and kill it too."""
    try:
        process.wait(draw.uniform(0.1, 0.5))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kills_at_points(items: int, points: list[tuple[str, int]], draw: random.Random) -> list[str]:
    """Kill a process at every named point of the ledger, with new pictures for each, and let another finish."""
    with scene(max(items - _MORE * len(points), _MORE), 0.01, draw.getrandbits(32)) as stage:
        missed = [
            f"never {point} ({count})"
            for point, count in points
            if not any(_killed_at(stage, point, count) for _ in range(_TRIES))
        ]
        stage.finish()
        return _reported(stage, f"killed at {len(points) - len(missed)} of {len(points)} named points", missed)


def _killed_at(stage: Scene, point: str, count: int) -> bool:
    """Kill a process when it comes to a point; return whether it came there."""
    # A picture that waits to be sent again after a 503 may have been charged for as well.
    if point.endswith(("refused", "maybe billed")):
        fault = "unavailable-page" if point.endswith("maybe billed") else "rate-limited"
        stage.clova.script(*[fault, None, None] * 3)
    stage.add(_MORE)
    # A process that waits for another one looks for what it left.
    other = stage.worker(30) if "look" in point else None
    killed = stage.worker(0.2, point, count).wait(LONGEST) == -signal.SIGKILL
    if other is not None:
        other.kill()
        other.wait()
    stage.kills += killed + (other is not None) + ("maybe billed" in point)
    return killed


def full_disk(items: int, draw: random.Random) -> list[str]:
    """Let the disk be full in the middle of a run, and have room again: nothing may be ambiguous."""
    with scene(items, 0.01, draw.getrandbits(32)) as stage:
        limit = draw.randrange(2_200_000, 3_000_000)  # bytes a file may have: the ledger's log comes to this first
        code = stage.ended(stage.batch(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))))
        stopped = stage.states()
        stage.finish()
        wrong = [f"exit code {code} on a full disk"] if code != RESUMABLE else []
        wrong += [f"{left} ambiguous after a full disk"] if (left := stage.states()["ambiguous"]) else []
        return _reported(stage, f"disk full after {stopped.total()} pictures", wrong)


def sleep(items: int, draw: random.Random) -> list[str]:
    """Stop a process past its lease while another works on, and let it go on: nothing may be ambiguous."""
    with scene(items, 0.1, draw.getrandbits(32)) as stage:
        sleeper = stage.worker(1.5)
        stage.until_under_way(sleeper)
        time.sleep(draw.uniform(0.0, 1.0))
        sleeper.send_signal(signal.SIGSTOP)
        other = stage.ended(stage.worker(1.5))
        given_up = stage.states()["ambiguous"]
        sleeper.send_signal(signal.SIGCONT)
        if other and stage.was_told("keeps the ledger locked"):
            # It was stopped inside a transaction: no other process can write then, and the others report that.
            other = stage.ended(stage.worker(1.5))
        codes = (other, stage.ended(sleeper))
        stage.kills = 1
        wrong = [f"exit codes {codes}"] if codes != (0, 0) else []
        wrong += [f"{left} ambiguous after sleep"] if (left := stage.states()["ambiguous"]) else []
        return _reported(stage, f"slept with {given_up} calls in flight", wrong)


def drains(count: int, items: int, draw: random.Random) -> list[str]:
    """End processes with SIGTERM: nothing may be ambiguous."""
    wrong: list[str] = []
    done = 0
    while done < count:
        with scene(items, 0.04, draw.getrandbits(32)) as stage:
            while done < count:
                process = stage.batch()
                stage.until_under_way(process)
                try:
                    process.wait(draw.uniform(0.0, 1.0))
                    break
                except subprocess.TimeoutExpired:
                    process.terminate()
                    stage.ended(process)
                    done += 1
            stage.finish()
            left = stage.states()["ambiguous"]
            wrong += _reported(stage, f"{done} of {count} drained", [f"{left} ambiguous after drains"] if left else [])
    return wrong


def _reported(stage: Scene, what: str, wrong: Iterable[str] = ()) -> list[str]:
    billed, ambiguous = sum(stage.clova.billed.values()), stage.states()["ambiguous"]
    counts = f"{len(stage.pictures)} pictures, {billed} charged, {ambiguous} ambiguous"
    return stress.reported(stage.account(f"{what}: {counts}", wrong))


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=100, help="at random, half of them with two processes at once")
    parser.add_argument("--drains", type=int, default=20)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    # A shell that starts this in the background has it ignored, and so would every process that is to be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draw = random.Random(options.seed)  # noqa: S311 - moments of kills
    wrong = stress.all_scenes() + copies.all_scenes(draw)
    wrong += kills_at_points(options.items, [*draw.sample(POINTS, len(POINTS)), *RENAMES], draw)
    for _ in range(3):
        wrong += full_disk(options.items, draw) + sleep(options.items // 4, draw)
    wrong += random_kills(options.kills // 2, options.items, 1, draw)
    wrong += random_kills(options.kills - options.kills // 2, options.items, 2, draw)
    wrong += drains(options.drains, options.items, draw)
    print(f"\n{account.table()}", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
