from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import FakeTime, FakeTransport, domain
from support.ledgers import Clock, calls, crash, opened, query, remote_process, states

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.batch.sources.iterables import EXHAUSTED
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.ledger.sqlite.owners import LEASE

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of pictures, written long ago."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10):
        write(folder / f"{number}.jpg", f"{number}")
    return folder


def write(path: Path, text: str) -> None:
    """Write a picture like no other, long ago."""
    path.write_bytes(b"\xff\xd8\xff\xe0" + text.encode() + b"\xff\xd9")
    os.utime(path, (1e9, 1e9))


def listing(ledger: Any, found: Any, **settings: Any) -> WorkList:
    """Return a listing that never waits long."""
    return WorkList(ledger, "receipt", found, **({"sleep": lambda _: asyncio.sleep(0.001)} | settings))


async def batch(ledger: Any, found: Any, transport: FakeTransport, **settings: Any) -> list[Any]:
    """Run a batch of listed files to its end."""
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
    images = listing(ledger, found, **settings)
    async with BatchDispatcher(client, ledger=ledger).dispatch(images, Receipt) as outcomes:
        return [outcome async for outcome in outcomes]


def paths(folder: Path) -> set[str]:
    """Return the paths of the files of a folder."""
    return set(map(str, folder.iterdir()))


async def all_of(source: WorkList) -> list[str]:
    """Pull everything."""
    pulled: list[str] = []
    while (path := await source.pull()) is not EXHAUSTED:
        pulled.append(path)
    return pulled


async def test_every_file_is_handed_out_once(run: Path, folder: Path) -> None:
    """Files come out in the order they were found, as entries or as paths, and then no more."""
    async with opened(run) as ledger:
        found = [entry.path for entry in entries_in(folder)]
        source = listing(ledger, found)
        listed = [source.complete]
        assert await all_of(source) == found
        listed.append(source.complete)
        assert listed == [False, True]
        assert source.listed == 10
        assert await source.pull() is EXHAUSTED
        await source.close()


async def test_the_first_file_comes_before_the_last_is_found(run: Path, folder: Path) -> None:
    """However long the listing takes, files that were found already are yielded."""
    go_on = threading.Event()

    def slowly() -> Iterator[os.DirEntry[str]]:
        entries = entries_in(folder)
        for _ in range(256):
            yield first
        assert go_on.wait(10)
        yield from entries

    first = next(iter(entries_in(folder)))
    async with opened(run) as ledger:
        source = listing(ledger, slowly())
        assert await source.pull() == first.path
        waiting = asyncio.create_task(source.pull())
        await asyncio.sleep(0.03)
        assert not waiting.done()
        go_on.set()
        assert await waiting != first.path
        await source.close()


async def test_a_finished_run_reads_nothing_again(run: Path, folder: Path) -> None:
    """A repeated run yields the files that are new or have changed, and no others."""
    transport = FakeTransport()
    async with opened(run) as ledger:
        found = await batch(ledger, entries_in(folder), transport)
        assert [type(outcome) for outcome in found] == [Success] * 10
        # Files this young are read once more, since a change within the grain of their times would not show.
        assert len(await batch(ledger, entries_in(folder), transport)) == 10
        mark_as_old(run, folder)
        assert await batch(ledger, entries_in(folder), transport) == []
        write(folder / "3.jpg", "other")
        write(folder / "new.jpg", "new")
        found = await batch(ledger, entries_in(folder), transport)
    assert sorted(Path(outcome.source).name for outcome in found) == ["3.jpg", "new.jpg"]
    assert calls(run) == len(transport.sent) == 12


def mark_as_old(run: Path, folder: Path) -> None:
    """Write down the identities of files as their readers would have, had the files been older."""
    db = sqlite3.connect(run / "ledger.sqlite3")
    for path in folder.iterdir():
        found = path.stat()
        db.execute(
            "UPDATE source SET size = ?, modified_ns = ?, changed_ns = ?, inode = ? WHERE path = ?",
            (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, os.fsencode(path)),
        )
    db.commit()
    db.close()


async def test_what_was_left_is_handed_out_again(run: Path, folder: Path) -> None:
    """Files that were taken and not read are free when the batch is left, in the same ledger and in the next."""
    async with opened(run) as ledger:
        source = listing(ledger, entries_in(folder))
        first = await source.pull()
        await source.close()
        assert query(run, "SELECT count(*) FROM source WHERE owner IS NOT NULL") == [(0,)]
        again = listing(ledger, [])
        assert first in await all_of(again)
        await again.close()
        assert len(await batch(ledger, [], FakeTransport())) == 10
    assert states(run) == ["succeeded"] * 10


async def test_two_processes_share_the_files(run: Path, folder: Path) -> None:
    """Of two processes each reads a part, none reads what the other has, and both end when all is finished."""
    for number in range(10, 200):
        write(folder / f"{number}.jpg", f"{number}")
    async with opened(run) as one, opened(run) as two:
        transports = FakeTransport(), FakeTransport()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(batch(ledger, entries_in(folder), transport))
                for ledger, transport in zip((one, two), transports, strict=True)
            ]
    sources = [outcome.source for task in tasks for outcome in task.result()]
    assert set(sources) == paths(folder)
    assert calls(run) == sum(len(transport.sent) for transport in transports) == 200
    assert states(run) == ["succeeded"] * 200


async def test_nobody_ends_before_the_work_of_the_dead_is_done(run: Path, folder: Path) -> None:
    """A process without files waits for those that others have claimed, and reads those that a dead process leaves."""
    clock = Clock()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += LEASE
        await asyncio.sleep(0.001)

    dead = opened(run, process=remote_process(), clock=Clock())
    await dead.__aenter__()
    source = listing(dead, entries_in(folder))
    await source.pull()
    await crash(dead)
    async with opened(run, process=remote_process(), clock=clock) as ledger:
        found = await batch(ledger, entries_in(folder), FakeTransport(), sleep=sleep)
    assert len(found) == 10
    assert slept


async def test_a_file_that_has_gone_fails_by_name(run: Path, folder: Path) -> None:
    """A file that is gone between its listing and its reading is one failure, and the others are read."""
    entries = list(entries_in(folder))
    (folder / "3.jpg").unlink()
    async with opened(run) as ledger:
        found = await batch(ledger, [*entries, str(folder / "never.jpg")], FakeTransport())
        failures = {Path(outcome.source).name: outcome.error for outcome in found if isinstance(outcome, Failure)}
        assert sorted(failures) == ["3.jpg", "never.jpg"]
        assert all(isinstance(failure, ImageError) for failure in failures.values())
        write(folder / "3.jpg", "3")
        again = await batch(ledger, entries_in(folder), FakeTransport())
    assert "3.jpg" in {Path(outcome.source).name for outcome in again}
    assert calls(run) == 10


async def test_an_error_of_the_listing_is_raised(run: Path, folder: Path) -> None:
    """An error of the listing ends the batch with that error, and is not raised once the batch was left."""

    def broken() -> Iterator[str]:
        yield str(folder / "0.jpg")
        raise ConfigurationError("line 2 names no image")

    async with opened(run) as ledger:
        with pytest.raises(ConfigurationError, match="line 2"):
            await batch(ledger, broken(), FakeTransport())
        source = listing(ledger, broken())
        pulling = asyncio.create_task(source.pull())
        await asyncio.sleep(0)
        source.stop()
        await source.close()
        await asyncio.wait([pulling])
        assert pulling.exception() is None or isinstance(pulling.exception(), ConfigurationError)


async def test_stopping_ends_the_listing(run: Path) -> None:
    """A batch that is left does not wait for an endless listing."""
    endless = (f"{number}.jpg" for number in iter(int, 1))
    async with opened(run) as ledger:
        source = listing(ledger, endless)
        assert await source.pull() == "0.jpg"
        source.stop()
        assert await source.pull() is EXHAUSTED
        await source.close()
        unused = listing(ledger, [])
        await unused.close()


async def test_many_pull_at_once(run: Path, folder: Path) -> None:
    """However many workers pull at once, each file comes out once."""
    async with opened(run) as ledger:
        source = listing(ledger, entries_in(folder))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(source.pull()) for _ in range(15)]
        pulled = [task.result() for task in tasks]
        assert {path for path in pulled if path is not EXHAUSTED} == paths(folder)
        assert pulled.count(EXHAUSTED) == 5
        await source.close()
