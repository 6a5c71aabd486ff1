"""Processes of two hosts that share a domain by a server: killed, stopped, and over restarts of the server.

A host is a folder for the user's state, and a place of processes that is not this machine's.
"""

from __future__ import annotations

import signal
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from support.child_programs import line_of, running, write_to

from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator.thread import emulator_in_thread
from clova_ocr_async.slots.sharing.store import name_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.servers import PostgresServer, RedisServer

    from clova_ocr_async.emulator import Emulator

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

LEASE = 2.0  # seconds; a test must not take minutes
LONG_LEASE = 24.0
BATCH = """
import asyncio, sys
from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Domain, Image, Receipt
from clova_ocr_async.host.processes import Process
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots.shared import StoreSlots
from clova_ocr_async.slots.sharing.state import Limits
from support.server_slots import store_of

async def main(store, url, place, lease, concurrency, first, count):
    here, limits = Process.this(), Limits(int(concurrency) or None)
    as_seen = here if place == "here" else Process(f"boot-of-{place} pid:[1]", here.pid, here.started)
    slots = StoreSlots(lambda: store_of(store), limits, Runtime(), lease=float(lease), this_process=lambda: as_seen)
    numbers = range(int(first), int(first) + int(count))
    images = [Image(b"\\xff\\xd8\\xff\\xe0 %d \\xff\\xd9" % number) for number in numbers]
    async with ClovaOCRClient(Domain(url, "s", allow_http=True), slots=slots) as client:
        print("ready", flush=True)
        sys.stdin.readline()
        async with BatchDispatcher(client).dispatch(images, Receipt) as outcomes:
            async for outcome in outcomes:
                print(type(outcome).__name__, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class Hosts:
    """Starts processes on hosts that share a server.

    Args:
        store: The URL of the server.
        emulator: The service that they call.
        folder: An empty folder.
    """

    def __init__(self, store: str, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.lease = LEASE
        self._store = store
        self._folder = folder
        self._images = 0

    @contextmanager
    def start(self, host: str, images: int, concurrency: int = 0) -> Iterator[subprocess.Popen[str]]:
        """Run a batch of so many images on a host, which begins at a word; a limit of 0 is to be learned."""
        state = {"XDG_STATE_HOME": str(self._folder / host)}
        first, self._images = self._images, self._images + images
        arguments = (self._store, self.emulator.url(), host, self.lease, concurrency, first, images)
        with running(BATCH, *arguments, env=state) as process:
            assert line_of(process) == "ready"
            yield process

    def wait_for_calls(self, count: int) -> None:
        """Wait until so many more calls have been read."""
        goal = sum(self.emulator.billed.values()) + count
        self._wait(lambda: sum(self.emulator.billed.values()) >= goal)

    def wait_for_requests(self, count: int) -> None:
        """Wait until so many requests have arrived."""
        self._wait(lambda: self.emulator.requests >= count)

    def wait_for_full_service(self) -> None:
        """Wait until all calls that the service takes at once are there, and so none is about to leave."""
        self._wait(lambda: self.emulator.domain_state().in_flight == 5)

    def wait_for_members(self, count: int) -> None:
        """Wait until so many processes hold or await slots."""
        name = name_of(Domain(self.emulator.url(), "s", allow_http=True).key)
        with closing(pytest.importorskip("support.server_slots").store_of(self._store)) as store:
            self._wait(lambda: len(store.load([name])[name].members) == count)

    @staticmethod
    def _wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.02)

    def refused(self) -> int:
        """Return the number of refused calls."""
        return self.emulator.domain_state().rejected


def begin(*processes: subprocess.Popen[str]) -> None:
    """Let batches begin, and wait until each has read an image."""
    for process in processes:
        write_to(process)
    for process in processes:
        assert line_of(process) == "Success"


def read_of(process: subprocess.Popen[str]) -> int:
    """Wait for the end of a batch, and return how many images it has read."""
    assert process.stdout is not None
    return process.stdout.read().count("Success")


@pytest.fixture(params=["postgres", "redis"])
def store(request: pytest.FixtureRequest) -> str:
    """The URL of a server."""
    return str(request.getfixturevalue(f"{request.param}_url"))


def test_two_hosts_share_a_limit(store: str, tmp_path: Path) -> None:
    """Once the limit is learned, two hosts are refused at most one call in a hundred."""
    with emulator_in_thread(latency=0.1, concurrency=5, secret="s") as emulator:
        hosts = Hosts(store, emulator, tmp_path)
        with hosts.start("a", 60) as learning:
            begin(learning)
            assert read_of(learning) == 59
        before = hosts.refused()
        with hosts.start("a", 150) as one, hosts.start("b", 150) as two:
            begin(one, two)
            assert [read_of(one), read_of(two)] == [149, 149]
        assert hosts.refused() - before <= 3


def test_stopped_and_killed_processes_exceed_no_limit(store: str, tmp_path: Path) -> None:
    """A process that is stopped for longer than its lease, or killed, leads to no refused call and no lost image.

    No process can see that it was stopped between its last look at the slots and the first byte of its request.
    """
    with emulator_in_thread(latency=0.1, concurrency=5, secret="s") as emulator:
        hosts = Hosts(store, emulator, tmp_path)
        with hosts.start("a", 900, 5) as runs, hosts.start("b", 50, 5) as stopped, hosts.start("c", 90, 5) as killed:
            begin(runs, stopped, killed)
            hosts.wait_for_full_service()
            stopped.send_signal(signal.SIGSTOP)
            killed.kill()
            until = time.monotonic() + 4 * LEASE
            while time.monotonic() < until:
                assert line_of(runs) == "Success"  # it never waits for long
            stopped.send_signal(signal.SIGCONT)
            assert read_of(stopped) == 49
        assert hosts.refused() == 0


def test_a_process_that_dies_on_the_same_host_is_noticed_at_once(store: str, tmp_path: Path) -> None:
    """The slot of a killed process goes to a process of the same host within some two seconds, not after its lease."""
    with emulator_in_thread(latency=60.0, concurrency=None, secret="s") as emulator:
        hosts = Hosts(store, emulator, tmp_path)
        hosts.lease = LONG_LEASE
        with hosts.start("here", 1, 1) as killed, hosts.start("here", 1, 1) as waits:
            write_to(killed)
            hosts.wait_for_requests(1)
            write_to(waits)
            hosts.wait_for_members(2)
            assert emulator.requests == 1
            killed.kill()
            began = time.monotonic()
            hosts.wait_for_requests(2)
            assert time.monotonic() - began < 3.0


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_a_server_that_restarts_exceeds_no_limit(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Over two restarts of the server the hosts go on, and no call is refused."""
    url = str(request.getfixturevalue(f"{kind}_url"))
    server: PostgresServer | RedisServer = request.getfixturevalue(f"{kind}_server")
    with emulator_in_thread(latency=0.1, concurrency=5, secret="s") as emulator:
        hosts = Hosts(url, emulator, tmp_path)
        with hosts.start("a", 150, 5) as one, hosts.start("b", 150, 5) as two:
            begin(one, two)
            for _ in range(2):
                server.stop()
                try:
                    hosts.wait_for_calls(20)  # out of the shares
                finally:
                    server.start()
                hosts.wait_for_calls(20)
            assert read_of(one) + read_of(two) == 300 - 2
        assert hosts.refused() == 0
