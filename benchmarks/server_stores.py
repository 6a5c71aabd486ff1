"""The cost of a ledger and of slots on a server: round trips a call, and calls a second beside the bare libraries.

A *call* of the ledger is an image that is claimed, marked as sent, answered and settled; a call of the slots takes a
slot and gives it back, in a process that has another one all the time, so that it stays connected. The workers are
processes that start together; calls a second are those of all of them. Bare
psycopg does the same statements as the ledger, in the same transactions, one after the other; bare redis-py and psycopg
read and swap values as long as those of the slots. Neither has threads, leases or retries. The servers are on this
machine and share its processors with the workers; PostgreSQL was started without fsync, unless its URL is given:

    python benchmarks/server_stores.py --postgres postgresql://user@host/database --redis redis://host/0
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from counting_proxy import counted
from frame import Row, compared, figure, machine, table, unmeasured
from sink import ANSWER

from clova_ocr_async import Domain
from clova_ocr_async.errors import Billing
from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement, SourceFile
from clova_ocr_async.ledger.stored_values import sealed_answer
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Barrier

    Contender = Callable[[str, int, Callable[[], object]], None]

RUN = "benchmark"
LONGEST = 600.0  # seconds of a measurement
STARTED_WITHIN = 120.0  # seconds for all workers to be ready
LAST_SYNC = 0.5  # seconds in which the last slot is given back
SLOTS = 100  # more than there are workers: none waits for another
_SETTLED = Settlement(ItemEvent.SUCCEED, Billing.BILLED, 0.1, request_id="r")
_RESPONSE = HTTPResponse(200, ANSWER)


class Servers(NamedTuple):
    """The URLs of the servers; None for one that is not there."""

    postgres: str | None
    redis: str | None


# ---------------------------------------------------------------------------------------------------------------------
# Contenders: each makes its calls between two marks, one when all workers are ready and one when it is done


def our_ledger(url: str, calls: int, mark: Callable[[], object]) -> None:
    """Take images through the ledger."""
    from clova_ocr_async.ledger.postgres import PostgresLedger  # noqa: PLC0415 - needs an extra

    async def work(state: str) -> None:
        async with PostgresLedger(url, RUN, state_folder=state) as ledger:
            mark()
            for _ in range(calls):
                item = Item(os.urandom(32), "receipt")
                claim = (await ledger.admit(item, _file(item))).claim
                assert claim is not None  # noqa: S101 - a new item can be claimed
                await ledger.sending(claim, "r")
                await ledger.answered(claim, "r", _RESPONSE)
                await ledger.settle(claim, _SETTLED)
            mark()

    with tempfile.TemporaryDirectory() as state:
        asyncio.run(work(state))


def bare_ledger(url: str, calls: int, mark: Callable[[], object]) -> None:
    """Do the ledger's statements with psycopg."""
    import psycopg  # noqa: PLC0415 - needs an extra

    from clova_ocr_async.ledger.postgres import item_statements, outcome_statements, owners  # noqa: PLC0415

    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as db:
        (run,) = db.execute("SELECT id FROM clova_ocr.run WHERE name = %s", (RUN,)).fetchone() or (0,)
        (owner,) = db.execute(
            """INSERT INTO clova_ocr.owner (run, place, pid, started, expires)
               VALUES (%s, '', 0, '', extract(epoch FROM clock_timestamp()) + 1000) RETURNING id""",
            (run,),
        ).fetchone() or (0,)
        mark()
        for _ in range(calls):
            item, now = Item(os.urandom(32), "receipt"), time.time()
            with db.transaction():
                db.execute("SET LOCAL synchronous_commit = off")
                claim = item_statements.claim_item(db, run, item, owner)
                assert claim is not None  # noqa: S101 - a new item can be claimed
                item_statements.link_source(db, run, _file(item), item, claim.number, columns=None)
            with db.transaction():
                owners.is_leased(db, owner, Process("", 0, ""), 30.0, None)
                item_statements.mark_sent(db, claim, "r", b"", now)
                item_statements.count_call(db, claim.number)
            status, cut, body, unpacked = sealed_answer(NoSeal(), item, _RESPONSE)
            with db.transaction():
                record = AnswerRecord(claim.number, "r", status, cut, body, now, unpacked, foreign=False)
                outcome_statements.keep_answer(db, record)
            with db.transaction():
                outcome_statements.settle(db, claim, _SETTLED, None, now)
        mark()


def _file(item: Item) -> SourceFile:
    return SourceFile(b"/scans/" + item.sha256.hex().encode())


def our_slots(kind: str, url: str, calls: int, mark: Callable[[], object]) -> None:
    """Take slots and give them back."""
    from clova_ocr_async.slots import PostgresSlots, RedisSlots  # noqa: PLC0415 - need an extra

    slots = (PostgresSlots if kind == "postgres" else RedisSlots)(url, concurrency=SLOTS)
    domain = Domain("http://127.0.0.1/custom/v1/1/benchmark", "s")

    async def work() -> None:
        async with slots.slot([domain], "batch", time.monotonic()):
            mark()
            for _ in range(calls):
                async with slots.slot([domain], "batch", time.monotonic()) as slot:
                    slot.admitted()
            mark()
        await asyncio.sleep(LAST_SYNC)

    asyncio.run(work())


def bare_redis(url: str, calls: int, mark: Callable[[], object]) -> None:
    """Read and swap a value twice a call, with redis-py: for the slot that is taken, and for its return."""
    from redis import Redis  # noqa: PLC0415 - needs an extra

    swap = "if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end redis.call('SET', KEYS[1], ARGV[2])"
    opened: Any = Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]  # options without types
    with opened as client:
        client.ping()
        mark()
        for number in range(2 * calls):
            swapped = None
            while swapped is None:
                asked = client.pipeline(transaction=False)
                asked.get("benchmark")
                asked.time()
                old, _ = asked.execute()
                swapped = client.eval(f"{swap} return 1", 1, "benchmark", old or b"", _value(number)) or None
        mark()


def bare_postgres(url: str, calls: int, mark: Callable[[], object]) -> None:
    """Read and swap a value twice a call, with psycopg."""
    import psycopg  # noqa: PLC0415 - needs an extra

    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as db:
        mark()
        for number in range(2 * calls):
            swapped = 0
            while not swapped:
                (old, _) = db.execute("SELECT state, clock_timestamp() FROM bare_slots").fetchone() or ("", None)
                swap = "UPDATE bare_slots SET state = %s WHERE state = %s"
                swapped = db.execute(swap, (_value(number), old)).rowcount
        mark()


def _value(number: int) -> str:
    return f"{os.getpid():010}{number:010}" * 20  # as long as the slots of a few members


# ---------------------------------------------------------------------------------------------------------------------
# Measuring


def _worker(contender: Contender, url: str, calls: int, barrier: Barrier, times: Queue[list[float]]) -> None:
    marks: list[float] = []

    def mark() -> None:
        if not marks:
            barrier.wait(STARTED_WITHIN)
        marks.append(time.monotonic())

    contender(url, calls, mark)
    times.put(marks)


def calls_a_second(contender: Contender, url: str, calls: int, workers: int) -> float:
    """Return the calls a second of some workers together."""
    context = multiprocessing.get_context("forkserver")  # else each of them imports everything anew
    context.set_forkserver_preload(["clova_ocr_async.ledger.postgres", "clova_ocr_async.slots.redis", "psycopg"])
    barrier = context.Barrier(workers)
    times: Queue[list[float]] = context.Queue()
    processes = [
        context.Process(target=_worker, args=(contender, url, calls // workers, barrier, times)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        found = [times.get(timeout=LONGEST) for _ in processes]
    finally:
        for process in processes:
            process.kill()
    first, last = min(began for began, _ in found), max(ended for _, ended in found)
    return calls // workers * workers / (last - first)


async def _counted(contender: Contender, url: str, calls: int) -> tuple[float, float]:
    """Return the round trips and the bytes of a call, of one worker."""
    async with counted(url) as proxy:
        marks: list[tuple[int, int]] = []
        await asyncio.to_thread(
            contender, proxy.url, calls, lambda: marks.append((proxy.round_trips, proxy.sent + proxy.received))
        )
    (trips_before, bytes_before), (trips, moved) = marks
    return (trips - trips_before) / calls, (moved - bytes_before) / calls


def compare(what: str, ours: Contender, bare: Contender, url: str, *, quick: bool) -> list[Row]:
    """Measure ours and a bare contender in turn."""
    trips = {name: asyncio.run(_counted(one, url, 50)) for name, one in (("ours", ours), ("bare", bare))}
    note = f"{trips['ours'][1]:,.0f} bytes; bare {trips['bare'][0]:.1f}, {trips['bare'][1]:,.0f} bytes"
    found = [figure(f"{what}: round trips a call", [trips["ours"][0]], unit="round trips", note=note)]
    calls, rounds = (64, 1) if quick else (480, 3)
    for workers in (1, 2) if quick else (1, 16):
        speeds: dict[str, list[float]] = {"ours": [], "bare": []}
        for number in range(rounds):
            for name, contender in (("ours", ours), ("bare", bare))[:: 1 if number % 2 else -1]:
                speeds[name].append(calls_a_second(contender, url, calls, workers))
        best = f"{max(speeds['ours']):,.0f} calls a second, bare {max(speeds['bare']):,.0f}"
        seconds = {name: [1 / speed for speed in measured] for name, measured in speeds.items()}
        named = f"{workers} worker{'s' * (workers > 1)}"
        found.append(
            compared(f"{what}: time of a call over bare, {named}", seconds["ours"], seconds["bare"], note=best)
        )
    return found


@contextmanager
def servers() -> Generator[Servers]:
    """Start the servers that are installed, on loopback."""
    sys.path.append(str(Path(__file__).parent.parent / "tests"))
    from support.servers import PostgresServer, RedisServer  # noqa: PLC0415 - found only now

    postgres = PostgresServer() if Path("/usr/lib/postgresql").exists() or shutil.which("initdb") else None
    redis = RedisServer() if shutil.which("redis-server") else None
    try:
        yield Servers(None if postgres is None else postgres.new_database(), None if redis is None else redis.url)
    finally:
        for server in (postgres, redis):
            if server is not None:
                server.close()


def of_postgres(url: str, *, quick: bool) -> list[Row]:
    """Measure the ledger and the slots on PostgreSQL."""
    import psycopg  # noqa: PLC0415 - needs an extra

    our_ledger(url, 1, lambda: None)  # creates the tables, and the run
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE IF NOT EXISTS bare_slots (state text NOT NULL)")
        db.execute("INSERT INTO bare_slots SELECT '' WHERE NOT EXISTS (SELECT FROM bare_slots)")
    return [
        *compare("ledger on PostgreSQL", our_ledger, bare_ledger, url, quick=quick),
        *compare("slots on PostgreSQL", partial(our_slots, "postgres"), bare_postgres, url, quick=quick),
    ]


def of_redis(url: str, *, quick: bool) -> list[Row]:
    """Measure the slots on Redis."""
    return compare("slots on Redis", partial(our_slots, "redis"), bare_redis, url, quick=quick)


def measure(found: Servers, *, quick: bool) -> list[Row]:
    """Measure what is there."""
    rows: list[Row] = []
    for what, package, url, judge in (
        ("ledger and slots on PostgreSQL", "psycopg", found.postgres, of_postgres),
        ("slots on Redis", "redis", found.redis, of_redis),
    ):
        if url is None or not importlib.util.find_spec(package):
            rows.append(unmeasured(what, f"{'the server' if url is None else package} is not installed"))
        else:
            rows += judge(url, quick=quick)
    return rows


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    with servers() as found:
        return measure(found, quick=quick)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it runs, not to measure")
    parser.add_argument("--postgres", metavar="URL", help="a database to measure with, instead of a server of our own")
    parser.add_argument("--redis", metavar="URL", help="likewise")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))  # so that no server is left
    print(machine(), flush=True)
    if options.postgres or options.redis:
        print(table(measure(Servers(options.postgres, options.redis), quick=options.quick)))
    else:
        print(table(rows(options.quick)))


if __name__ == "__main__":
    main()
