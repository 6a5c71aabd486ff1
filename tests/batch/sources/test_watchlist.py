from __future__ import annotations

import asyncio
import os
import shutil
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import FakeTransport, domain
from support.ledgers import calls, crash, dead_process, opened, query

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.batch.sources.iterables import EXHAUSTED
from clova_ocr_async.batch.sources.watched_folder import WatchedFolder
from clova_ocr_async.batch.sources.watchlist import WatchList
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import LedgerError, NotSentError
from clova_ocr_async.ledger.states import SourceFile

if TYPE_CHECKING:
    from collections.abc import Callable

OLD = 1e9


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def picture(text: str) -> bytes:
    """Return the bytes of a picture like no other."""
    return b"\xff\xd8\xff\xe0" + text.encode() + b"\xff\xd9"


class Script:
    """A clock that the scans of a folder move, and what happens to the folder at times of that clock.

    Args:
        actions: Functions by the second at which each is called.
    """

    def __init__(self, actions: dict[float, Callable[[], object]]) -> None:
        self.now = 0.0
        self.scans: list[float] = []
        self._actions = sorted(actions.items())

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Add an action."""
        self._actions = sorted([*self._actions, (when, action)], key=lambda action: action[0])

    def clock(self) -> float:
        """Return the time."""
        return self.now

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Let the time pass until the event, doing on the way what is due."""
        if seconds == 5.0:  # between looks for the files of other processes, which take no part in this time
            async with asyncio.timeout(30):
                await event.wait()
            return
        end = self.now + seconds
        while not event.is_set() and self.now < end:
            await _rest()
            self.now = min(end, self._actions[0][0] if self._actions else end)
            while self._actions and self._actions[0][0] <= self.now:
                self._actions.pop(0)[1]()
            await asyncio.sleep(0)  # an event that an action has sent arrives


async def _rest() -> None:
    """Give a claim, a read and a call time to end, in threads of their own; more on a machine that others load."""
    calm = 0
    for _ in range(400):
        began = time.monotonic()
        await asyncio.sleep(0.0005)
        calm = calm + 1 if time.monotonic() - began < 0.002 else 0
        if calm == 10:
            return


async def watched(run: Path, inbox: Path, script: Script, until: float) -> list[tuple[float, Any]]:
    """Watch a folder until some time of a script; return the outcomes, each with the time at which it came."""
    client = ClovaOCRClient(domain(), transport=FakeTransport())
    async with opened(run) as ledger, client:
        folder = WatchedFolder(str(inbox))
        images = WatchList(ledger, "receipt", folder, settle=5.0, clock=script.clock, wait=script.wait)
        async with BatchDispatcher(client, ledger=ledger).dispatch(images, Receipt) as outcomes:
            script.at(until, lambda: outcomes.stop(NotSentError()))
            return [(script.now, outcome) async for outcome in outcomes]


def sources(came: list[tuple[float, Any]]) -> list[str]:
    """Return the names of the files that were read."""
    assert all(isinstance(outcome, Success) for _, outcome in came)
    return [Path(outcome.source).name for _, outcome in came]


async def test_a_file_is_read_once_its_writer_has_finished(run: Path, inbox: Path) -> None:
    """A scanner that pauses 4 s between pages gets one call, for the whole file, at most 7 s after its last page."""
    fax = inbox / "fax.jpg"

    def page(number: int) -> None:
        fax.write_bytes(picture("page" * (number + 1)))

    script = Script({1.5 + 4 * number: partial(page, number) for number in range(6)})
    ((at, outcome),) = await watched(run, inbox, script, 60)
    assert isinstance(outcome, Success)
    assert 26.5 <= at <= 28.5
    assert calls(run) == 1


async def test_however_a_file_comes_into_the_folder_it_is_read_once(run: Path, inbox: Path, tmp_path: Path) -> None:
    """Files that were there, renamed in, copied with their old time, from the future, rewritten, replaced: all are."""
    (inbox / "there.jpg").write_bytes(picture("there"))
    (inbox / "scan 1").write_bytes(picture("without an ending"))
    (inbox / "notes.txt").write_text("no picture")
    (inbox / "sub").mkdir()
    (tmp_path / "elsewhere.jpg").write_bytes(picture("elsewhere"))
    os.utime(tmp_path / "elsewhere.jpg", (OLD, OLD))

    def write(name: str, text: str, when: float | None = None) -> Callable[[], None]:
        def action() -> None:
            (inbox / name).write_bytes(picture(text))
            if when is not None:
                os.utime(inbox / name, (when, when))

        return action

    script = Script(
        {
            2: write("upload.jpg.part", "uploaded"),
            3: write("rewritten.jpg", "first"),
            6: lambda: (inbox / "upload.jpg.part").rename(inbox / "upload.jpg"),
            7: lambda: shutil.copy2(tmp_path / "elsewhere.jpg", inbox / "sub" / "copied.jpg"),
            7.5: write("rewritten.jpg", "second"),
            7.6: write("new", "replaced"),
            8: write("future.jpg", "future", 4e9),
            9: write("replaced.jpg", "before"),
            13: lambda: (inbox / "new").rename(inbox / "replaced.jpg"),
            14: lambda: (tmp_path / "elsewhere.jpg").rename(inbox / "moved.jpg"),
        }
    )
    came = await watched(run, inbox, script, 30)
    assert sorted(sources(came)) == [
        "copied.jpg",
        "future.jpg",
        "moved.jpg",
        "replaced.jpg",
        "rewritten.jpg",
        "scan 1",
        "there.jpg",
        "upload.jpg",
    ]
    assert [outcome.billed for _, outcome in came].count(False) == 1  # the one with two names
    assert calls(run) == 7


async def test_other_bytes_under_a_name_that_was_paid_are_read_and_the_same_are_not_billed(
    run: Path, inbox: Path
) -> None:
    """A file that changes after it was paid is a new image; one that is only touched, or renamed, costs nothing."""
    path = inbox / "a.jpg"
    path.write_bytes(picture("one"))
    script = Script(
        {
            10: lambda: os.utime(path, (OLD, OLD)),
            20: lambda: path.rename(inbox / "b.jpg"),
            30: lambda: (inbox / "b.jpg").write_bytes(picture("two")),
        }
    )
    came = await watched(run, inbox, script, 40)
    assert sources(came) == ["a.jpg", "a.jpg", "b.jpg", "b.jpg"]
    assert [outcome.billed for _, outcome in came] == [True, False, False, True]
    assert calls(run) == 2


async def test_a_second_watch_pays_nothing_again(run: Path, inbox: Path) -> None:
    """An image that an earlier process has read is known from the ledger, and only new ones are billed."""
    (inbox / "a.jpg").write_bytes(picture("one"))
    assert len(await watched(run, inbox, Script({}), 10)) == 1
    (inbox / "b.jpg").write_bytes(picture("two"))
    assert all(isinstance(outcome, Success) for _, outcome in await watched(run, inbox, Script({}), 10))
    assert calls(run) == 2


async def test_what_a_dead_process_has_left_is_read_at_once(run: Path, inbox: Path) -> None:
    """Files that a killed watch had listed need not settle again."""
    (inbox / "a.jpg").write_bytes(picture("one"))
    dead = opened(run, process=dead_process())
    await dead.__aenter__()
    dead.add_files([SourceFile(os.fsencode(inbox / "a.jpg"))], "receipt")
    assert len(await dead.claim_files(["receipt"], 1)) == 1
    await crash(dead)
    ((at, outcome),) = await watched(run, inbox, Script({}), 4)
    assert (at < 1, outcome.source) == (True, str(inbox / "a.jpg"))


async def test_what_another_process_gives_back_is_read(run: Path, inbox: Path) -> None:
    """A file that another watch had claimed and leaves is found without a scan, and read by this one."""
    (inbox / "a.jpg").write_bytes(picture("one"))
    looked = asyncio.Event()

    async def wait(event: asyncio.Event, seconds: float) -> None:
        looked.set()
        await asyncio.sleep(0.001 if seconds == 5.0 else 0)
        if seconds != 5.0:
            await event.wait()

    async with opened(run) as one, opened(run) as two:
        one.add_files([SourceFile(os.fsencode(inbox / "a.jpg"))], "receipt")
        assert len(await one.claim_files(["receipt"], 1)) == 1
        images = WatchList(two, "receipt", WatchedFolder(str(inbox)), settle=5.0, wait=wait)
        pulling = asyncio.create_task(images.pull())
        await looked.wait()
        await one.release_files(["receipt"])
        assert await pulling == str(inbox / "a.jpg")
        await images.close()


async def test_a_folder_that_is_away_loses_no_file(run: Path, inbox: Path) -> None:
    """While the folder is away nothing is read and nothing fails; when it is back, its files are read once."""
    away = inbox.with_name("away")
    (inbox / "a.jpg").write_bytes(picture("one"))

    def come_back() -> None:
        (away / "b.jpg").write_bytes(picture("two"))
        away.rename(inbox)

    script = Script({3: lambda: inbox.rename(away), 20: come_back})
    came = await watched(run, inbox, script, 40)
    assert set(sources(came)) == {"a.jpg", "b.jpg"}
    assert 25 <= came[0][0] <= 27
    assert calls(run) == 2


async def test_a_file_that_vanishes_and_comes_back_unchanged_is_read(run: Path, inbox: Path, tmp_path: Path) -> None:
    """A file that is gone when its turn comes does not pass it over for good."""
    (inbox / "a.jpg").write_bytes(picture("one"))
    kept = tmp_path / "kept.jpg"

    class Vanishing(WatchedFolder):
        """Loses the file just after it has settled, once."""

        def scan(self, *args: Any) -> Any:
            found = super().scan(*args)
            if script.now >= 5 and not script.scans:
                script.scans.append(script.now)
                (inbox / "a.jpg").rename(kept)
            return found

    script = Script({})
    client = ClovaOCRClient(domain(), transport=FakeTransport())
    async with opened(run) as ledger, client:
        folder = Vanishing(str(inbox))
        images = WatchList(ledger, "receipt", folder, settle=5.0, clock=script.clock, wait=script.wait)
        async with BatchDispatcher(client, ledger=ledger).dispatch(images, Receipt) as outcomes:
            gone = await anext(outcomes)
            assert isinstance(gone, Failure)
            kept.rename(inbox / "a.jpg")
            folder.forget(str(gone.source))
            assert isinstance(await anext(outcomes), Success)
    assert calls(run) == 1


class FakeEvents:
    """Events that a test sends."""

    opened: list[FakeEvents]

    def __init__(self, folder: WatchedFolder, notify: Callable[[], object]) -> None:
        self.identity = folder.identity
        self.notify = notify
        self.working = True
        self.closed = False

    def close(self) -> None:
        """Note it."""
        assert not self.closed
        self.closed = True


class Counted(WatchedFolder):
    """A folder that notes when it is scanned."""

    def __init__(self, path: Path, script: Script) -> None:
        super().__init__(str(path))
        self.script = script

    def scan(self, *args: Any) -> Any:
        """Note the time."""
        self.script.scans.append(self.script.now)
        return super().scan(*args)


async def scans_with_events(
    run: Path, inbox: Path, actions: dict[float, Callable[[list[FakeEvents]], object]], until: float
) -> tuple[list[float], list[FakeEvents]]:
    """Watch a folder with events; return when it was scanned, and all events that were opened."""
    events: list[FakeEvents] = []

    def open_events(*args: Any) -> FakeEvents:
        events.append(FakeEvents(*args))
        return events[-1]

    script = Script({at: partial(action, events) for at, action in actions.items()})
    async with opened(run) as ledger:
        images = WatchList(
            ledger,
            "receipt",
            Counted(inbox, script),
            settle=5.0,
            open_events=open_events,
            clock=script.clock,
            wait=script.wait,
        )
        script.at(until, images.stop)
        while await images.pull() is not EXHAUSTED:
            pass
        await images.close()
    return script.scans, events


async def test_events_start_the_scans_and_a_scan_now_and_then_finds_what_they_have_missed(
    run: Path, inbox: Path
) -> None:
    """While nothing happens the folder is scanned once a minute; an event starts a scan, and a due file another one."""

    def write(name: str, *, noticed: bool) -> Callable[[list[FakeEvents]], object]:
        def action(events: list[FakeEvents]) -> None:
            (inbox / name).write_bytes(picture(name))
            if noticed:
                events[0].notify()

        return action

    scans, (events,) = await scans_with_events(
        run, inbox, {10.0: write("a.jpg", noticed=True), 30.0: write("b.jpg", noticed=False)}, 150
    )
    assert scans == [0.0, 10.0, 15.0, 75.0, 80.0, 140.0]
    assert events.closed
    assert query(run, "SELECT count(*) FROM source") == [(2,)]


async def test_without_working_events_the_folder_is_scanned_every_second(run: Path, inbox: Path) -> None:
    """Events that have ended, or have not begun, do not keep the scans away."""

    def fail(events: list[FakeEvents]) -> None:
        events[0].working = False
        events[0].notify()

    scans, _ = await scans_with_events(run, inbox, {10.0: fail}, 13.5)
    assert scans == [0.0, 10.0, 11.0, 12.0, 13.0]


async def test_a_folder_that_was_replaced_gets_events_of_its_own(run: Path, inbox: Path) -> None:
    """The events of a folder that is away are closed; those of the folder that is back then are opened."""
    away = inbox.with_name("away")

    def remove(events: list[FakeEvents]) -> None:
        inbox.rename(away)
        events[0].notify()

    scans, events = await scans_with_events(run, inbox, {10.0: remove, 14.5: lambda _: inbox.mkdir()}, 20)
    assert scans[:2] == [0.0, 10.0]
    assert [one.closed for one in events] == [True, True]
    assert events[1].identity == WatchedFolder(str(inbox)).identity != events[0].identity


async def test_a_drive_that_is_unmounted_is_noticed_without_an_event(run: Path, inbox: Path) -> None:
    """The folder itself is looked at every two seconds, since no event says that another one is at its place."""
    away = inbox.with_name("away")
    scans, events = await scans_with_events(
        run, inbox, {10.5: lambda _: inbox.rename(away), 20.5: lambda _: away.rename(inbox)}, 25
    )
    assert 10.5 < scans[1] <= 12.6
    assert 20.5 <= next(scan for scan in scans if scan >= 20.5) <= 21.6
    assert [one.closed for one in events] == [True, True]


async def test_an_error_of_the_ledger_ends_the_watch(inbox: Path) -> None:
    """A file that cannot be recorded is an error of the batch, and not one file less."""
    (inbox / "a.jpg").write_bytes(picture("one"))

    class Full:
        """Cannot be written to."""

        async def claim_files(self, *_: Any) -> list[bytes]:
            """Have none."""
            return []

        async def release_files(self, *_: Any) -> None:
            """Have none."""

        def add_files(self, *_: Any) -> None:
            """Fail."""
            raise LedgerError("made up: the disk is full")

    images: Any = WatchList(Full(), "receipt", WatchedFolder(str(inbox)), settle=0.0)  # type: ignore[arg-type]
    with pytest.raises(LedgerError, match="made up"):
        await images.pull()
    await images.close()


@pytest.mark.parametrize("gone", [False, True])
async def test_a_stop_ends_a_watch_at_once(run: Path, inbox: Path, gone: bool) -> None:
    """A pull that waits for files, or for the folder, ends, and so do the scans."""
    scanned = asyncio.Event()

    async def wait(event: asyncio.Event, seconds: float) -> None:
        if seconds != 5.0:
            scanned.set()
        await event.wait()

    folder = WatchedFolder(str(inbox))
    if gone:
        shutil.rmtree(inbox)
    async with opened(run) as ledger:
        images = WatchList(ledger, "receipt", folder, settle=5.0, wait=wait)
        first = asyncio.create_task(images.pull())
        await scanned.wait()
        second = asyncio.create_task(images.pull())
        await asyncio.sleep(0)
        images.stop()
        assert await first is EXHAUSTED
        assert await second is EXHAUSTED
        await images.close()


async def test_the_waiting_of_a_watch_ends_with_its_event(run: Path, inbox: Path) -> None:
    """With the real clock a file is yielded as soon as it has settled, also one that settles a little later."""
    (inbox / "a.jpg").write_bytes(picture("one"))
    async with opened(run) as ledger:
        images = WatchList(ledger, "receipt", WatchedFolder(str(inbox)), settle=0.15)
        async with asyncio.timeout(4):
            assert await images.pull() == str(inbox / "a.jpg")
        await images.close()
