"""A ledger under stress: its lock is held, its disk is full, its openings are cancelled, its process forks.

Every scene runs the command line, or a small program, against a service that charges for what it answers, and returns
everything that is wrong in the end: a picture charged for twice, an answer charged for that is neither stored nor
handed out, a loss without a word, an end that took longer than a minute. ``chaos.py`` runs them with larger numbers.
"""

from __future__ import annotations

import asyncio
import base64
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
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.compression import decompress
from clova_ocr_async.protocol.response import encode_response

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

LONGEST = 60.0  # seconds from a trouble to the end
RESUMABLE = 4  # exit code
MANY = 20  # calls at once
_STOPPER, _FORKER = (Path(__file__).with_name(name) for name in ("stopper.py", "forker.py"))
_NUMBER = re.compile(rb"\xff\xd8\xff\xe0 (\d+) \xff\xd9")
_REQUEST_ID = re.compile(rb'"requestId"\s*:\s*"([^"]+)"')


class Service(ThreadingHTTPServer):
    """A service that charges, and answers when it is told to.

    Attributes:
        charged: How often, by the number of the picture.
        go_on: Set while answers leave.
        size: Bytes of an answer as it is stored, more or less; what it says cannot be packed any smaller.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, size: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.charged: Counter[int] = Counter()
        self.go_on = threading.Event()
        self.size = size
        self._one_at_a_time = threading.Lock()

    def charge(self, number: int) -> None:
        """Charge for a picture."""
        with self._one_at_a_time:
            self.charged[number] += 1

    @property
    def total(self) -> int:
        """Calls charged for."""
        return self.charged.total()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

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
        answer = encode_response(name[1].decode(), 0, image)
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
    """

    def __init__(self, place: Path, service: Service, pictures: int) -> None:
        self.place = place
        self.run = place / "disk" / "run"
        self.run.parent.mkdir()
        self.service = service
        self.wrong: list[str] = []
        self._folder = place / "scans"
        self._folder.mkdir()
        for number in range(pictures):
            (self._folder / f"{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0 %d \xff\xd9" % number)

    @property
    def environment(self) -> dict[str, str]:
        """What the processes know."""
        url = f"http://127.0.0.1:{self.service.server_address[1]}/custom/v1/1/key"
        return {
            **os.environ,
            "CLOVA_OCR_INVOKE_URL": url,
            "CLOVA_OCR_SECRET": "secret",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "XDG_STATE_HOME": str(self.place / "state"),
        }

    def batch(self, limits: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
        """Start the command line."""
        verb = ["batch", "receipt", str(self._folder), "--run", str(self.run), "--concurrency", str(MANY)]
        return self._started([sys.executable, "-m", "clova_ocr_async", *verb], limits)

    def stopper(self, point: str) -> subprocess.Popen[bytes]:
        """Start a batch that is stopped inside a commit."""
        return self._started([sys.executable, str(_STOPPER), str(self._folder), str(self.run), point])

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
        """What was said on standard error."""
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
        return time.monotonic() - began

    def finish(self) -> None:
        """Let a process read what is left, on a service that answers at once."""
        self.service.go_on.set()
        self.ended(self.batch(), (0, 1))

    def verdict(self, *, doubtful: int = 0) -> list[str]:
        """Return everything that is wrong.

        Args:
            doubtful: How many pictures may be in doubt.
        """
        with closing(sqlite3.connect(self.run / "ledger.sqlite3")) as db:
            (integrity,) = db.execute("PRAGMA integrity_check").fetchone()
            states = Counter(dict(db.execute("SELECT state, count(*) FROM item GROUP BY state")))
            stored = {
                int(json.loads(decompress(body, size))["images"][0]["uid"])
                for body, size in db.execute("SELECT body, unpacked FROM item JOIN answer ON answer.id = item.answer")
            }
        handed_out = set(self.handed_out())
        lost = set(self.service.charged) - stored - handed_out
        twice = [number for number, count in self.service.charged.items() if count > 1]
        named = {number for number in handed_out if re.search(rf"/{number}\.jpg: its paid answer", self.told)}
        self.wrong += [f"charged for twice: {twice}"] if twice else []
        self.wrong += [f"lost: {sorted(lost)}, {dict(states)}"] if len(lost) > doubtful else []
        self.wrong += [f"in doubt: {states}"] if states["ambiguous"] > doubtful else []
        self.wrong += [f"handed out without a name: {handed_out - named}"] if handed_out - named else []
        self.wrong += [f"integrity: {integrity}"] if integrity != "ok" else []
        return self.wrong

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
    """Hold the ledger's lock, as a shell with an open transaction does, while calls are under way."""
    with scene(3 * MANY) as stage:
        process = stage.batch()
        stage.until(lambda: stage.service.total >= MANY, "under way")
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
        wrong = stage.verdict()
        _tell(f"lock held, {interrupts} interrupts: ended in {took:.1f} s", stage)
    return wrong


def stopped_in_a_commit(point: str = "before commit of answered") -> list[str]:
    """Stop another process of the run inside a commit, for as long as this one can wait."""
    with scene(3 * MANY) as stage:
        stage.service.go_on.set()
        frozen = stage.stopper(point)
        try:
            os.waitid(os.P_PID, frozen.pid, os.WSTOPPED | os.WNOWAIT)
            took = stage.ended(stage.batch(), (RESUMABLE,))
            _expect_told(stage, f"(process {frozen.pid}) keeps the ledger locked", "to go on: ")
        finally:
            frozen.send_signal(signal.SIGCONT)
        stage.ended(frozen, (0,))
        stage.finish()
        wrong = stage.verdict()
        _tell(f"stopped {point}: another one ended in {took:.1f} s", stage)
    return wrong


# ---------------------------------------------------------------------------------------------------------------------
# The disk


def can_mount() -> bool:
    """Whether this process may mount a small disk for itself."""
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


def full_disk(size: int, disk: int) -> list[str]:
    """Fill a small disk while as many calls as possible are under way, in a mount namespace of its own.

    Args:
        size: Bytes of an answer.
        disk: Bytes of the disk.
    """
    return _in_a_namespace("full", str(size), str(disk))


def _in_a_namespace(*arguments: str) -> list[str]:
    command = ["unshare", "-m", sys.executable, __file__, *arguments]
    path = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    print(done.stdout, end="", flush=True)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def _full_disk(size: int, disk: int) -> list[str]:
    with scene(2 * MANY, size) as stage:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", stage.run.parent], check=True)
        try:
            process = stage.batch()
            stage.until(lambda: stage.service.total >= MANY or process.poll() is not None, "under way")
            under_way = stage.service.total
            _fill(stage.run.parent / "filler")
            stage.service.go_on.set()
            took = stage.ended(process, (RESUMABLE,))
            _expect_told(stage, "make room", "to go on: ")
            (stage.run.parent / "filler").unlink()
            subprocess.run(["mount", "-o", "remount,size=1g", stage.run.parent], check=True)
            stage.finish()
            wrong = stage.verdict()
            handed_out = len(stage.handed_out())
            _tell(f"full disk, {under_way} answers of {size:,} bytes, {handed_out} handed out, {took:.1f} s", stage)
        finally:
            subprocess.run(["umount", "-l", stage.run.parent], check=True)
    return wrong


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
                took = stage.ended(stage.batch(), (RESUMABLE,))
                _expect_told(stage, "make room", "to go on: ")
                (stage.run.parent / "filler").unlink()
                stage.finish()
                wrong += stage.verdict()
                _tell(f"begun with {left} KiB, {took:.1f} s", stage)
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

    async def open_and_cancel(number: int) -> None:
        opening = asyncio.create_task(SqliteLedger(run).__aenter__())
        await asyncio.sleep(number * 0.02 / count)
        opening.cancel()
        await asyncio.sleep(0)
        if number % 2:
            opening.cancel()
        await asyncio.wait([opening])
        if not opening.cancelled():
            await opening.result().__aexit__(None, None, None)

    async def main() -> int:
        await open_and_cancel(count)
        before = open_files()
        for number in range(count):
            await open_and_cancel(number)
        return open_files() - before

    try:
        leaked = asyncio.run(main())
        with closing(sqlite3.connect(run / "ledger.sqlite3")) as db:
            (owners,) = db.execute("SELECT count(*) FROM owner").fetchone()
        left = [path.name for path in run.glob("*.spill")]
    finally:
        shutil.rmtree(place)
    wrong = [f"{leaked} open files"] if leaked > 0 else []
    wrong += [f"{owners} owners"] if owners else []
    wrong += [f"left: {left}"] if left else []
    print(f"{count} openings cancelled; {wrong or 'all well'}", flush=True)
    return wrong


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
    wrong = [done.stdout + done.stderr] if done.returncode else []
    wrong += [f"integrity: {integrity}"] if integrity != "ok" else []
    wrong += [f"left: {states}"] if set(states) != {"succeeded"} else []
    print(f"{count} forks beside {states}; {wrong or 'all well'}", flush=True)
    return wrong


def all_scenes() -> list[str]:
    """Play everything, with large numbers."""
    wrong = lock_held() + lock_held(interrupts=3)
    for point in ("claim", "sent", "answered", "settled", "lease"):
        wrong += stopped_in_a_commit(f"before commit of {point}")
    wrong += cancelled_openings(1000) + forks(500)
    if can_mount():
        for size, disk in ((300_000, 16), (300_000, 64), (3_000_000, 16), (3_000_000, 128), (3_000_000, 512)):
            wrong += full_disk(size, disk * 1024**2)
        wrong += full_at_opening((0, 4, 8, 16, 40, 64, 100, 200, 500, 1000, 2000))
    else:
        print("no small disk can be mounted here, so that none was filled", flush=True)
    return wrong


def _expect_told(stage: Scene, *words: str) -> None:
    stage.wrong += [f"not said: {expected!r} in {stage.told}" for expected in words if expected not in stage.told]


def _tell(what: str, stage: Scene) -> None:
    print(f"{what}; {stage.service.total} charged; {stage.wrong or 'all well'}", flush=True)


def main(what: str, *sizes: str) -> int:
    """Play a scene on a disk that is mounted in this namespace."""
    wrong = (_full_at_opening if what == "opening" else _full_disk)(*map(int, sizes))
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
