"""Real processes on one run, as they are on several hosts: killed, stopped, and at the call limit."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.ledgers import ANSWER, claimed, item, remote_process, source
from support.postgres_runs import execute, read_images

from clova_ocr_async.errors import SpendingCeilingError
from clova_ocr_async.ledger import PostgresLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.server

WORKER = """
import asyncio, sys
from support.ledgers import ANSWER, claimed, item, read, remote_process, source
from clova_ocr_async.ledger import PostgresLedger
from clova_ocr_async.ledger.states import ClaimLostError

async def main(run, lease, far):
    # A process of another host cannot be looked up from here.
    process = remote_process() if far == "far" else None
    async with PostgresLedger(run, lease=float(lease), process=process) as ledger:
        sent, waiting = [claimed(await ledger.admit(item(name), source(name))) for name in "sw"]
        await ledger.sending(sent, "s")
        print("sent", flush=True)
        sys.stdin.readline()
        try:
            await ledger.sending(waiting, "w")
        except ClaimLostError:
            print("lost", flush=True)
        await ledger.answered(sent, "s", ANSWER)
        await ledger.settle(sent, read("s"))

asyncio.run(main(*sys.argv[1:]))
"""


@contextmanager
def worker(run: str, lease: float, far: str = "far") -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that has sent one item and claimed another, and waits for a line."""
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", WORKER, run, str(lease), far]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"sent\n"
            yield process
        finally:
            process.kill()


def states(run: str) -> list[tuple[str, int]]:
    """Return the states of the items, and their calls that may have been billed."""
    return execute(run, "SELECT state, maybe_billed FROM clova_ocr.item ORDER BY id")


async def test_a_killed_process_of_this_host_is_taken_over_at_once(run: str) -> None:
    """After kill -9 between a request and its answer the item is ambiguous, and a claimed one free, at once."""
    await read_images(run, "before")
    with worker(run, 30.0, "near") as process:
        process.kill()
        process.wait()
    async with PostgresLedger(run) as ledger:
        assert states(run)[1:] == [("ambiguous", 1), ("queued", 0)]
        assert (await ledger.admit(item("w"), None)).claim is not None
    assert execute(run, "SELECT calls FROM clova_ocr.run") == [(2,)]


async def test_a_killed_process_of_another_host_is_taken_over_after_its_lease(run: str) -> None:
    """A process that cannot be looked up keeps its items until its lease is over, and no longer."""
    with worker(run, 1.0) as process:
        process.kill()
        process.wait()
    async with PostgresLedger(run) as ledger, asyncio.timeout(40):
        while states(run) != [("ambiguous", 1), ("queued", 0)]:
            await ledger.others_at_work(["receipt"])
            await asyncio.sleep(0.02)


async def test_a_stopped_process_sends_nothing_when_it_wakes(run: str) -> None:
    """A process that was stopped beyond its lease is refused at the next request, and still stores its answer."""
    with worker(run, 1.0) as process:
        process.send_signal(signal.SIGSTOP)
        async with PostgresLedger(run) as ledger:
            async with asyncio.timeout(40):
                while states(run) != [("ambiguous", 1), ("queued", 0)]:
                    await ledger.others_at_work(["receipt"])
                    await asyncio.sleep(0.02)
            again = claimed(await ledger.admit(item("w"), source("w")))
            await ledger.sending(again, "again")
            process.send_signal(signal.SIGCONT)
            told, _ = await asyncio.to_thread(process.communicate, b"\n", 40)
            assert (told, process.returncode) == (b"lost\n", 0)
            assert states(run)[0] == ("succeeded", 0)
            await ledger.answered(again, "again", ANSWER)
    assert execute(run, "SELECT calls FROM clova_ocr.run") == [(2,)]
    assert execute(run, "SELECT count(*) FROM clova_ocr.answer") == [(2,)]


async def test_a_process_that_stops_inside_a_transaction_keeps_nobody_waiting(run: str) -> None:
    """If a process is stopped while it holds the row of the run, the others send on a few seconds later."""
    with worker(run, 30.0) as process:
        process.kill()
    with psycopg.connect(run.partition("?")[0]) as stopped:
        stopped.execute("SET LOCAL idle_in_transaction_session_timeout = 500")
        stopped.execute("UPDATE clova_ocr.run SET calls = calls")
        async with PostgresLedger(run) as ledger, asyncio.timeout(40):
            claim = claimed(await ledger.admit(item("z"), source("z")))
            assert await ledger.sending(claim, "z")
        with pytest.raises(psycopg.Error):
            stopped.execute("SELECT 1")
        stopped.close()


async def test_the_call_limit_holds_over_all_processes(run: str) -> None:
    """Of thirty calls that six ledgers begin at once, exactly as many are allowed as the limit says."""
    ledgers = [PostgresLedger(run, max_calls=7, process=remote_process()) for _ in range(6)]
    for ledger in ledgers:
        await ledger.__aenter__()
    granted: list[str] = []

    async def call(ledger: PostgresLedger, name: str) -> None:
        claim = claimed(await ledger.admit(item(name), source(name)))
        try:
            while not await ledger.sending(claim, name):  # noqa: ASYNC110 - other ledgers set no event
                await asyncio.sleep(0.01)
        except SpendingCeilingError:
            return
        granted.append(name)
        await ledger.answered(claim, name, ANSWER)

    async with asyncio.TaskGroup() as group:
        for number in range(30):
            group.create_task(call(ledgers[number % 6], f"i{number}"))
    for ledger in ledgers:
        await ledger.__aexit__(None, None, None)
    assert len(granted) == 7
    assert execute(run, "SELECT calls, (SELECT count(*) FROM clova_ocr.answer) FROM clova_ocr.run") == [(7, 7)]


async def test_files_are_shared_out_among_processes(run: str) -> None:
    """Ledgers that ask for files at the same moment are given different ones, and none is left."""
    ledgers = [PostgresLedger(run, process=remote_process()) for _ in range(4)]
    for ledger in ledgers:
        await ledger.__aenter__()
    ledgers[0].add_files([source(f"{number:03}") for number in range(100)], "receipt")
    found: list[bytes] = []

    async def take(ledger: PostgresLedger) -> None:
        while files := await ledger.claim_files(["receipt"], 3):
            found.extend(file.path for file in files)

    async with asyncio.TaskGroup() as group:
        for ledger in ledgers:
            group.create_task(take(ledger))
    for ledger in ledgers:
        await ledger.__aexit__(None, None, None)
    assert sorted(found) == [b"%03d" % number for number in range(100)]
