"""A ledger under stress: its lock is held, its disk is full, its openings are cancelled, its process forks.

Every scene runs the command line, or a small program, against a service that charges for what it answers, and returns
everything that is wrong in the end: a picture charged for twice, an answer charged for that is neither stored nor
handed out, a loss without a word, an end that took longer than a minute. ``chaos.py`` plays them with larger numbers,
and those of ``copies.py``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager, redirect_stdout, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from account import LONGEST, Account, as_lines, from_lines, report

from clova_ocr_async.ledger.compression import decompress
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.protocol.response import encode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

RESUMABLE = 4  # exit code
MANY = 20  # calls at once
CLOVA_OCR = [sys.executable, "-m", "clova_ocr_async"]
_STOPPER, _FORKER = (Path(__file__).with_name(name) for name in ("stopper.py", "forker.py"))
_NUMBER = re.compile(rb"\xff\xd8\xff\xe0 (\d+) \xff\xd9")
_REQUEST_ID = re.compile(rb'"requestId"\s*:\s*"([^"]+)"')


class Service(ThreadingHTTPServer):
    """A service that charges, and answers on demand.

    Attributes:
        charged: How often, by the number of the picture.
        go_on: Set while answers leave.
        size: Bytes of an answer as it is stored, more or less; what it says cannot be packed any smaller.
        late: How many requests still get the answer to the request before them on their connection.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, size: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.charged: Counter[int] = Counter()
        self.go_on = threading.Event()
        self.size = size
        self.late = 0
        self._one_at_a_time = threading.Lock()

    def charge(self, number: int) -> None:
        """Charge for a picture."""
        with self._one_at_a_time:
            self.charged[number] += 1

    def is_late(self) -> bool:
        """Return whether the next answer is late; counted."""
        with self._one_at_a_time:
            self.late -= 1
            return self.late >= 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that its client has closed, and all of anything else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def total(self) -> int:
        """Calls charged for."""
        return self.charged.total()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service
    before: bytes | None = None  # the answer to the request before this one on the connection

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        picture, name = _NUMBER.search(body), _REQUEST_ID.search(body)
        assert picture is not None
        assert name is not None
        self.server.charge(int(picture[1]))
        self.server.go_on.wait(LONGEST)
        shop = {"text": base64.b64encode(os.urandom(self.server.size)).decode()}
        image = {
            "uid": picture[1].decode(),
            "name": "n",
            "inferResult": "SUCCESS",
            "receipt": {"result": {"storeInfo": {"name": shop}}},
        }
        own = encode_response(name[1].decode(), 0, image)
        answer = self.before if self.before is not None and self.server.is_late() else own
        self.before = own
        with suppress(OSError):  # the caller is gone
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class Scene:
    """A folder of pictures, a run directory, and a service.

    Args:
        place: Where everything is.
        service: Charges.
        pictures: How many there are.

    Attributes:
        folder: The pictures.
        longest: Seconds of the longest end so far.
        wrong: Everything that is wrong so far.
    """

    def __init__(self, place: Path, service: Service, pictures: int) -> None:
        self.place = place
        self.run = place / "disk" / "run"
        self.run.parent.mkdir()
        self.service = service
        self.wrong: list[str] = []
        self.longest = 0.0
        self.folder = place / "scans"
        self.folder.mkdir()
        self._numbers: dict[bytes, int] = {}
        for number in range(pictures):
            picture = b"\xff\xd8\xff\xe0 %d \xff\xd9" % number
            (self.folder / f"{number}.jpg").write_bytes(picture)
            self._numbers[hashlib.sha256(picture).digest()] = number

    @property
    def environment(self) -> dict[str, str]:
        """The numbers that the processes report."""
        url = f"http://127.0.0.1:{self.service.server_address[1]}/custom/v1/1/key"
        return {
            **os.environ,
            "CLOVA_OCR_INVOKE_URL": url,
            "CLOVA_OCR_SECRET": "secret",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "XDG_STATE_HOME": str(self.place / "state"),
        }

    def batch(
        self, *options: str, run: Path | None = None, limits: Callable[[], object] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start the command line."""
        verb = ["batch", "receipt", str(self.folder), "--run", str(run or self.run), "--concurrency", str(MANY)]
        return self._started([*CLOVA_OCR, *verb, *options], limits)

    def told_by(self, *verb: str | Path, before: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
        """Run another command to its end, in this scene's time."""
        command = [*before, *CLOVA_OCR, *map(str, verb)]
        return subprocess.run(command, env=self.environment, capture_output=True, check=False, timeout=LONGEST)

    def stopper(self, point: str) -> subprocess.Popen[bytes]:
        """Start a batch that is stopped inside a commit."""
        return self._started([sys.executable, str(_STOPPER), str(self.folder), str(self.run), point])

    def _started(self, command: list[str], limits: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
        with (self.place / "out").open("ab") as out, (self.place / "told").open("ab") as told:
            return subprocess.Popen(
                command,
                env=self.environment,
                stdout=out,
                stderr=told,
                cwd=self.place,
                preexec_fn=limits,  # noqa: PLW1509 - it sets a limit, and takes no lock that a thread might hold
            )

    @property
    def told(self) -> str:
        """The text that its batches wrote on standard error."""
        return (self.place / "told").read_text(encoding="utf-8")

    def until(self, happened: Callable[[], object], what: str) -> None:
        """Wait for something."""
        end = time.monotonic() + LONGEST
        while not happened():
            if time.monotonic() > end:
                raise TimeoutError(f"never {what}: {self.told}")
            time.sleep(0.01)

    def ended(self, process: subprocess.Popen[bytes], expected: tuple[int, ...]) -> float:
        """Wait for the end of a process; return the seconds it took."""
        began = time.monotonic()
        try:
            code = process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.wrong.append(f"still running after {LONGEST:g} s")
            process.kill()
            code = process.wait()
        if code not in expected:
            self.wrong.append(f"exit code {code} instead of {expected}")
        if "Traceback" in self.told:
            self.wrong.append(f"a traceback: {self.told}")
        took = time.monotonic() - began
        self.longest = max(self.longest, took)
        return took

    def finish(self) -> None:
        """Let a process read what is left, on a service that answers at once."""
        self.service.go_on.set()
        self.ended(self.batch(), (0, 1))

    def account(self, what: str, *, most_ambiguous: int = 0) -> Account:
        """Return what the scene has cost.

        Args:
            what: What was played.
            most_ambiguous: How many pictures may be ambiguous.
        """
        with closing(sqlite3.connect(self.run / "ledger.sqlite3")) as db:
            (integrity,) = db.execute("PRAGMA integrity_check").fetchone()
            states = {self._numbers[sha256]: state for sha256, state in db.execute("SELECT sha256, state FROM item")}
            stored = {
                self._numbers[sha256]: int(json.loads(decompress(body, size))["images"][0]["uid"])
                for sha256, body, size in db.execute(
                    "SELECT sha256, body, unpacked FROM item JOIN answer ON answer.id = item.answer"
                )
            }
        own = {number for number, answer in stored.items() if number == answer}
        ambiguous, handed_out = {number for number in states if states[number] == "ambiguous"}, set(self.handed_out())
        named = {number for number in handed_out if re.search(rf"/{number}\.jpg: its paid answer", self.told)}
        found = {
            "charged for twice": {number for number, count in self.service.charged.items() if count > 1},
            "lost": set(self.service.charged) - own - handed_out - ambiguous,
            "handed out without a name": handed_out - named,
            "ambiguous without a name": ambiguous - self.ambiguous_by_name() if ambiguous else set[int](),
            "read with another picture's answer": {
                number for number in stored.keys() - own if states[number] != "ambiguous"
            },
        }
        self.wrong += [
            f"{name}: {sorted(numbers)}, {Counter(states.values())}" for name, numbers in found.items() if numbers
        ]
        self.wrong += (
            [f"ambiguous: {len(ambiguous)}, at most {most_ambiguous}"] if len(ambiguous) > most_ambiguous else []
        )
        self.wrong += [f"integrity: {integrity}"] if integrity != "ok" else []
        twice, lost, *silent = map(len, found.values())
        return Account(what, twice, lost, lost + sum(silent), self.longest, self.wrong)

    def ambiguous_by_name(self) -> set[int]:
        """Return the pictures that the run lists by name as ambiguous."""
        status = json.loads(self.told_by("status", self.run, "--json").stdout)
        return {int(Path(name).stem) for name in status["ambiguous"]}

    def handed_out(self) -> list[int]:
        """Return the pictures whose answers were written to standard output, which only the last resort does."""
        lines = (self.place / "out").read_bytes().splitlines()
        return [int(json.loads(base64.b64decode(json.loads(line)["raw"]))["images"][0]["uid"]) for line in lines]


@contextmanager
def scene(pictures: int, size: int = 1000) -> Generator[Scene]:
    """Make a scene.

    Args:
        pictures: How many there are to read.
        size: Bytes of an answer.
    """
    place = Path(tempfile.mkdtemp(prefix="stress-"))
    service = Service(size)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    try:
        yield Scene(place, service, pictures)
    finally:
        service.go_on.set()
        service.shutdown()
        service.server_close()
        shutil.rmtree(place)


# ---------------------------------------------------------------------------------------------------------------------
# The lock


def lock_held(*, interrupts: int = 0) -> list[str]:
    """Hold the ledger's lock, as a shell with an open transaction does, while calls are in flight."""
    with scene(3 * MANY) as stage:
        process = stage.batch()
        stage.until(lambda: stage.service.total >= MANY, "in flight")
        with closing(sqlite3.connect(stage.run / "ledger.sqlite3", isolation_level=None)) as db:
            db.execute("PRAGMA busy_timeout = 10000")
            db.execute("BEGIN IMMEDIATE")
            stage.service.go_on.set()
            for _ in range(interrupts):
                time.sleep(1.0)
                process.send_signal(signal.SIGINT)
            took = stage.ended(process, (130,) if interrupts else (RESUMABLE,))
            _expect_told(stage, "--run", *([] if interrupts else [f"(process {os.getpid()}) keeps the ledger locked"]))
            db.execute("ROLLBACK")
        stage.finish()
        return reported(stage.account(f"lock held by another program for {took:.1f} s, {interrupts} interrupts"))


def stopped_in_a_commit(point: str = "before commit of answered") -> list[str]:
    """Stop another process of the run inside a commit, for as long as this one can wait."""
    with scene(3 * MANY) as stage:
        if not point.endswith("lease"):  # which is renewed every ten seconds, while calls are in flight
            stage.service.go_on.set()
        frozen = stage.stopper(point)
        try:
            os.waitid(os.P_PID, frozen.pid, os.WSTOPPED | os.WNOWAIT)
            stage.service.go_on.set()
            stage.ended(stage.batch(), (RESUMABLE,))
            _expect_told(stage, f"(process {frozen.pid}) keeps the ledger locked", "to go on: ")
        finally:
            frozen.send_signal(signal.SIGCONT)
        stage.ended(frozen, (0,))
        stage.finish()
        return reported(stage.account(f"SIGSTOP {point}"))


# ---------------------------------------------------------------------------------------------------------------------
# The disk


def can_mount() -> bool:
    """Return whether this process may mount a small disk for itself."""
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


def full_disk(size: int, disk: int) -> list[str]:
    """Fill a small disk while as many calls as possible are in flight, in a mount namespace of its own.

    Args:
        size: Bytes of an answer.
        disk: Bytes of the disk.
    """
    return _in_a_namespace("full", str(size), str(disk))


def _in_a_namespace(*arguments: str) -> list[str]:
    command = ["unshare", "-m", sys.executable, __file__, *arguments]
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    wrong = [line for account in from_lines(done.stdout) for line in reported(account)]
    return wrong or ([] if done.returncode == 0 else [done.stderr])


def _full_disk(size: int, disk: int) -> list[str]:
    with scene(2 * MANY, size) as stage:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", stage.run.parent], check=True)
        try:
            process = stage.batch()
            stage.until(lambda: stage.service.total >= MANY or process.poll() is not None, "in flight")
            under_way = stage.service.total
            _fill(stage.run.parent / "filler")
            stage.service.go_on.set()
            stage.ended(process, (RESUMABLE,))
            _expect_told(stage, "make room", "to go on: ")
            (stage.run.parent / "filler").unlink()
            subprocess.run(["mount", "-o", "remount,size=1g", stage.run.parent], check=True)
            stage.finish()
            what = f"disk of {disk // 1024**2} MiB full, {under_way} answers of {size:,} bytes in flight"
            return reported(stage.account(f"{what}, {len(stage.handed_out())} handed out"))
        finally:
            subprocess.run(["umount", "-l", stage.run.parent], check=True)


def full_at_opening(rooms: Sequence[int]) -> list[str]:
    """Begin a run on a disk that is full, or has a part of the room that is needed, in a mount namespace of its own.

    Args:
        rooms: KiB that are left.
    """
    return _in_a_namespace("opening", *map(str, rooms))


def _full_at_opening(*rooms: int) -> list[str]:
    wrong: list[str] = []
    for left in rooms:
        with scene(3) as stage:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", stage.run.parent], check=True)
            try:
                (stage.run.parent / "some room").write_bytes(bytes(left * 1024))
                _fill(stage.run.parent / "filler")
                (stage.run.parent / "some room").unlink()
                stage.service.go_on.set()
                stage.ended(stage.batch(), (RESUMABLE,))
                _expect_told(stage, "make room", "to go on: ")
                (stage.run.parent / "filler").unlink()
                stage.finish()
                wrong += reported(stage.account(f"begun on a full disk with {left} KiB"))
            finally:
                subprocess.run(["umount", "-l", stage.run.parent], check=True)
    return wrong


def _fill(path: Path) -> None:
    """Fill a disk to its last byte."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        for block in (1 << 20, 4096):
            with suppress(OSError):
                while file.write(bytes(block)):
                    pass


# ---------------------------------------------------------------------------------------------------------------------
# The wire


def late_answers(pictures: int, late: int) -> list[str]:
    """Let a server answer with the answer to the request before, on connections that are kept open.

    Args:
        pictures: How many are read.
        late: Requests that get another one's answer; each is ambiguous, by name, and no caller may have that answer.
    """
    with scene(pictures) as stage:
        stage.service.late = late
        stage.service.go_on.set()
        stage.ended(stage.batch(), (1,))
        stage.ended(stage.batch(), (1,))  # which asks for nothing again
        stage.wrong += [f"{stage.service.late} not late"] if stage.service.late > 0 else []
        account = stage.account(f"{late} of {pictures} answered with another one's answer", most_ambiguous=late)
        before = stage.service.total
        stage.ended(stage.batch("--retry-ambiguous"), (0,))
        again = stage.service.total - before
        account.wrong += [f"{again} sent again on request, and not {late}"] if again != late else []
        return reported(account)


# ---------------------------------------------------------------------------------------------------------------------
# Openings and forks


def cancelled_openings(count: int) -> list[str]:
    """Cancel openings of one run at all moments, once or twice each.

    Args:
        count: How many.
    """
    place = Path(tempfile.mkdtemp(prefix="stress-"))
    run = place / "run"

    def open_files() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    async def open_and_cancel(number: int) -> float:
        began = time.monotonic()
        opening = asyncio.create_task(SqliteLedger(run).__aenter__())
        await asyncio.sleep(number * 0.02 / count)
        opening.cancel()
        await asyncio.sleep(0)
        if number % 2:
            opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await opening.result().__aexit__(None, None, None)
        return time.monotonic() - began

    async def main() -> tuple[int, float]:
        await open_and_cancel(count)
        before = open_files()
        longest = max([await open_and_cancel(number) for number in range(count)])
        return open_files() - before, longest

    try:
        leaked, longest = asyncio.run(main())
        with closing(sqlite3.connect(run / "ledger.sqlite3")) as db:
            (owners,) = db.execute("SELECT count(*) FROM owner").fetchone()
        left = [path.name for path in run.glob("*.spill")]
    finally:
        shutil.rmtree(place)
    wrong = [f"{leaked} open files"] if leaked > 0 else []
    wrong += [f"{owners} owners"] if owners else []
    wrong += [f"left: {left}"] if left else []
    return reported(Account(f"{count} openings cancelled", longest=longest, wrong=wrong))


def forks(count: int) -> list[str]:
    """Fork a process whose ledger is at work.

    Args:
        count: How often.
    """
    place = Path(tempfile.mkdtemp(prefix="stress-"))
    try:
        command = [sys.executable, str(_FORKER), str(place / "run"), str(count)]
        path = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "PYTHONPATH": path}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        with closing(sqlite3.connect(place / "run" / "ledger.sqlite3")) as db:
            (integrity,) = db.execute("PRAGMA integrity_check").fetchone()
            states = dict(db.execute("SELECT state, count(*) FROM item GROUP BY state"))
    finally:
        shutil.rmtree(place)
    wrong = [done.stderr] if done.returncode else []
    wrong += [f"integrity: {integrity}"] if integrity != "ok" else []
    wrong += [f"left: {states}"] if set(states) != {"succeeded"} else []
    lost, longest = len(set(states) - {"succeeded"}), float(done.stdout or "nan")
    return reported(Account(f"{count} forks beside {states}", lost=lost, longest=longest, wrong=wrong))


def all_scenes() -> list[str]:
    """Play everything, with large numbers."""
    wrong = lock_held() + lock_held(interrupts=3)
    for point in ("claim", "sent", "answered", "settled", "lease"):
        wrong += stopped_in_a_commit(f"before commit of {point}")
    wrong += cancelled_openings(1000) + forks(500)
    for late in (2, 20, 200):
        wrong += late_answers(600, late)
    if can_mount():
        for size, disk in ((300_000, 16), (300_000, 64), (3_000_000, 16), (3_000_000, 128), (3_000_000, 512)):
            wrong += full_disk(size, disk * 1024**2)
        wrong += full_at_opening((0, 4, 8, 16, 40, 64, 100, 200, 500, 1000, 2000))
    else:
        print("no small disk can be mounted here, so that none was filled", flush=True)
    return wrong


def _expect_told(stage: Scene, *words: str) -> None:
    stage.wrong += [f"not said: {expected!r} in {stage.told}" for expected in words if expected not in stage.told]


def reported(account: Account) -> list[str]:
    """Print what a scene cost, and return what is wrong."""
    report(account)
    return account.wrong


def main(what: str, *sizes: str) -> int:
    """Play a scene on a disk that is mounted in this namespace; print the accounts."""
    with redirect_stdout(sys.stderr):
        wrong = (_full_at_opening if what == "opening" else _full_disk)(*map(int, sizes))
    print(as_lines())
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
