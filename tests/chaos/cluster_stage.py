"""The stage of ``cluster.py``: pictures, an emulator that charges, servers for a run and slots, hosts with workers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from account import Account
from hosts import Host, Victim, Worker

sys.path.append(str(Path(__file__).parents[1]))

from support.servers import PostgresServer, RedisServer

from clova_ocr_async.emulator import emulator_in_thread

if TYPE_CHECKING:
    import random
    from collections.abc import Generator

    from clova_ocr_async import Emulator
    from clova_ocr_async.emulator import DomainState

__all__ = ["CEILING", "DONE", "LONGEST", "PICTURE", "REDIS_PASSWORD", "STOPPED", "Kind", "Stage", "stage"]

Kind = Literal["postgresql", "redis"]

CEILING = 5
LONGEST = 180.0  # seconds that the last process may take to its end
DONE = (0, 1)  # exit codes: all is read, and all but what is listed
STOPPED = 4  # exit code: the ledger was away, or the call limit is reached
REDIS_PASSWORD = "canaryREDISPASSWORD"
PICTURE = b"canaryPICTURE"


class PeakClock:
    """A clock for an emulator, which reads it whenever a call begins or ends.

    Attributes:
        state: The domain whose calls are counted.
        most: The most calls that ran at once.
    """

    def __init__(self) -> None:
        self.state: DomainState | None = None
        self.most = 0

    def __call__(self) -> float:
        """Return the time, and count."""
        if self.state is not None:
            self.most = max(self.most, self.state.in_flight)
        return time.monotonic()


@dataclass
class Stage:
    """A folder of pictures, a run and slots on servers, and the emulator.

    Attributes:
        place: A folder for everything.
        clova: Charges.
        clock: Knows the most calls at once.
        postgres: Keeps the run.
        redis: Keeps the slots, or some of them.
        database: The name of the database.
        kind: Where the slots are.
        hosts: The two hosts.
        draw: Chooses.
        workers: All that were started and not ended.
        in_flight: Calls in flight at the kills.
        wrong: What is known to be wrong.
        longest: Seconds of the longest end.
        sealed: Whether the run is sealed.
    """

    place: Path
    clova: Emulator
    clock: PeakClock
    postgres: PostgresServer
    redis: RedisServer
    database: str
    kind: Kind
    hosts: list[Host]
    draw: random.Random
    workers: list[Worker] = field(default_factory=list[Worker])
    in_flight: int = 0
    wrong: list[str] = field(default_factory=list[str])
    longest: float = 0.0
    sealed: bool = True

    @property
    def folder(self) -> Path:
        """The pictures."""
        return self.place / "scans"

    @property
    def run(self) -> str:
        """The URL of the run."""
        return f"{self.postgres.url(self.database)}?run=cluster"

    @property
    def slots(self) -> str:
        """The URL of the slots."""
        return self.redis.url if self.kind == "redis" else self.postgres.url(self.database)

    @property
    def pids(self) -> Path:
        """Where each actor of Ray leaves the number of its process."""
        return self.place / "pids"

    @property
    def key(self) -> tuple[str, ...]:
        """The option that seals the run."""
        return ("--key-file", str(self.place / "key")) if self.sealed else ()

    @property
    def environment(self) -> dict[str, str]:
        """What every host has in its environment."""
        return {
            **os.environ,
            "CLOVA_OCR_INVOKE_URL": self.clova.url(),
            "CLOVA_OCR_SECRET": self.clova.secret,
            "CLOVA_OCR_REDIS_PASSWORD": REDIS_PASSWORD,
            "CLUSTER_FOLDER": str(self.folder),
            "CLUSTER_PIDS": str(self.pids),
            "CLUSTER_REDIS": self.redis.url,
            "CLUSTER_RUN": self.run,
            "CLUSTER_SLOTS": self.slots,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }

    @property
    def log(self) -> Path:
        """What the processes have printed."""
        return self.place / "log.txt"

    def add(self, items: int) -> None:
        """Add pictures; a tenth of them are copies of others."""
        self.folder.mkdir(exist_ok=True)
        for number in range(items):
            content = number if number % 10 else self.draw.randrange(number + 1)
            picture = b"\xff\xd8\xff\xe0 %b %d \xff\xd9" % (PICTURE, content)
            (self.folder / f"{self.draw.getrandbits(32):08x}-{number}.jpg").write_bytes(picture)

    @property
    def homes(self) -> list[Host]:
        """The host of each of four workers."""
        return [host for host in self.hosts for _ in range(2)]

    def start(self, host: Host, *options: str) -> Worker:
        """Start the command line on the folder."""
        command = ["clova_ocr_async", "-vv", "batch", "receipt", str(self.folder)]
        return self._start(host, *command, "--run", self.run, "--slots", self.slots, *self.key, *options)

    def start_taskiq(self, host: Host) -> Worker:
        """Start a worker of Taskiq."""
        options = ("--workers", "1", "--max-async-tasks", "6", "--log-level", "DEBUG")
        return self._start(host, "taskiq", "worker", "cluster_taskiq:broker", *options)

    def send_to_taskiq(self) -> None:
        """Send all pictures to the workers of Taskiq, some of them twice."""
        sender = [sys.executable, str(Path(__file__).with_name("cluster_taskiq.py")), str(self.draw.getrandbits(32))]
        subprocess.run(sender, env=self.environment, check=True)

    def start_ray(self) -> Worker:
        """Start a job of Ray, which starts its actors."""
        self.pids.mkdir()
        return self._start(self.hosts[0], "cluster_ray", str(self.draw.getrandbits(32)))

    def _start(self, host: Host, *command: str) -> Worker:
        environment = self.environment
        if self.sealed:
            environment["CLOVA_OCR_KEY_FILE"] = self.key[1]
        worker = Worker(host, [sys.executable, "-m", *command], environment, self.log)
        self.workers.append(worker)
        return worker

    def command_line(self, *arguments: str) -> str:
        """Run a command on the first host, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "clova_ocr_async", *arguments],
            env=self.hosts[0].environment(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in DONE:
            self.wrong.append(f"{arguments[0]} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def select(self, statement: str) -> list[str]:
        """Return the rows of a query of the database, their columns with | between."""
        return self.postgres.psql(statement, self.database).splitlines()

    def states(self) -> dict[str, str]:
        """Return the state of each picture that is known, by its hash."""
        if self.select("SELECT to_regclass('clova_ocr.item')") != ["clova_ocr.item"]:
            return {}  # no process has begun the run yet
        rows = self.select("SELECT encode(sha256, 'hex'), state FROM clova_ocr.item")
        return dict(row.split("|") for row in rows)

    @property
    def pictures(self) -> set[str]:
        """The hashes of all pictures."""
        return {hashlib.sha256(path.read_bytes()).hexdigest() for path in self.folder.iterdir()}

    def is_settled(self) -> bool:
        """Return whether nothing is left to be read."""
        known = self.states()
        return known.keys() >= self.pictures and not {"claimed", "sent", "queued"} & set(known.values())

    def kill(self, worker: Victim) -> None:
        """Kill a worker, and count its calls in flight."""
        worker.stop(0.0)  # so that it sends nothing between the count and the kill
        owners = ", ".join(f"('{place}', {pid})" for place, pid in worker.owners())
        if owners and self.states():
            self.in_flight += int(
                self.select(
                    f"""SELECT count(*) FROM clova_ocr.item JOIN clova_ocr.owner ON owner.id = item.owner
                        WHERE sent_at IS NOT NULL AND (owner.place, owner.pid) IN ({owners})"""  # noqa: S608
                )[0]
            )
        worker.kill()

    def restart_servers(self) -> None:
        """Stop both servers as a crash does, and start them a moment later."""
        for server in (self.postgres, self.redis):
            server.stop()
        time.sleep(self.draw.uniform(0.2, 1.0))
        for server in (self.postgres, self.redis):
            server.start()

    def wait_until_settled(self) -> None:
        """Let every worker go on until nothing is left, and kill them: those of an engine have no end."""
        began = time.monotonic()
        for worker in self.workers:
            worker.resume()
        while not self.is_settled() and time.monotonic() < began + LONGEST:
            time.sleep(0.2)
        if not self.is_settled():
            self.wrong.append(f"not settled after {LONGEST:.0f} s: {Counter(self.states().values())}")
        self.longest = max(self.longest, time.monotonic() - began)
        for worker in self.workers:
            worker.close()
        self.workers.clear()

    def end_all(self) -> None:
        """Let every worker go on, and wait for their ends."""
        began = time.monotonic()
        for worker in self.workers:
            worker.resume()
        for worker in self.workers:
            code = worker.wait(LONGEST)
            if code not in {*DONE, STOPPED} and not worker.was_killed:
                self.wrong.append(f"a worker ended with {code}")
        self.workers.clear()
        self.longest = max(self.longest, time.monotonic() - began)

    def finish(self, *options: str) -> None:
        """Let one process on each host finish what is left, its own overflow file included."""
        for host in self.hosts:
            self.start(host, *options)
            self.end_all()

    def account(self, what: str) -> Account:
        """Return what the scene has cost."""
        states, billed = self.states(), self.clova.billed
        read = {sha for sha, state in states.items() if state == "succeeded"}
        ambiguous = {sha for sha, state in states.items() if state == "ambiguous"}
        kept = set(
            self.select(
                "SELECT encode(sha256, 'hex') FROM clova_ocr.item JOIN clova_ocr.answer ON answer.id = item.answer"
            )
        )
        status = json.loads(self.command_line("status", self.run, "--json"))
        files = self.select("SELECT count(*) FROM clova_ocr.source WHERE open OR item IS NULL")[0]
        named = {hashlib.sha256(Path(name).read_bytes()).hexdigest() for name in status["ambiguous"]}
        found = {
            "charged for twice": [sha for sha, count in billed.items() if count > 1],
            "read without an answer": list(read - kept),
            "charged for, and neither read nor ambiguous": list(set(billed) - read - ambiguous),
            "neither read nor ambiguous": list(self.pictures - read - ambiguous),
            f"ambiguous, and {self.in_flight} were in flight": list(ambiguous) * (len(ambiguous) > self.in_flight),
            "ambiguous without a name": list(ambiguous - named),
            "files left over": [files] * (files != "0"),
            "overflow files left over": status["overflow_files"],
        }
        twice, unkept, silent, *_ = map(len, found.values())
        said = [f"{len(shas)} {name}: {shas[:3]}" for name, shas in found.items() if shas]
        refused = self.clova.domain_state().rejected
        counts = f"{len(self.pictures)} pictures, {billed.total()} charged, {len(ambiguous)} ambiguous"
        counts += f", {refused} refused, {self.clock.most} at once"
        return Account(f"{what}: {counts}", twice, unkept + silent, silent, self.longest, [*self.wrong, *said])


@contextmanager
def stage(
    items: int,
    latency: float,
    kind: Kind,
    draw: random.Random,
    *,
    isolated: bool = False,
    ceiling: int | None = CEILING,
) -> Generator[Stage]:
    """Build a stage, and take it down.

    Args:
        items: Pictures.
        latency: Mean seconds of a call.
        kind: Where the slots are.
        draw: Chooses.
        isolated: Whether the processes of the second host are where no others can look them up.
        ceiling: Calls at once that the emulator takes; None for any number.
    """
    place = Path(tempfile.mkdtemp(prefix="cluster-"))
    hosts = [Host(place / "a"), Host(place / "b", isolated=isolated)]
    for host in hosts:
        host.home.mkdir()
    (place / "key").write_text(draw.randbytes(32).hex())
    (place / "key").chmod(0o600)
    postgres, redis = PostgresServer(), RedisServer("--requirepass", REDIS_PASSWORD)
    clock = PeakClock()
    settings: dict[str, Any] = {"concurrency": ceiling, "latency": latency, "sigma": 0.5, "clock": clock}
    try:
        database = postgres.new_database().rpartition("/")[2]
        with emulator_in_thread(**settings, seed=draw.getrandbits(32)) as clova:
            clock.state = clova.domain_state()
            built = Stage(place, clova, clock, postgres, redis, database, kind, hosts, draw)
            built.add(items)
            try:
                yield built
            finally:
                for worker in built.workers:
                    worker.close()
    finally:
        postgres.close()
        redis.close()
        shutil.rmtree(place)
