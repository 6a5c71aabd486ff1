"""The files of a watched folder as the images of a batch that does not end by itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from clova_ocr_async.batch.sources.settling import Settling, pause_before_next
from clova_ocr_async.batch.sources.watched_folder import is_picture_file
from clova_ocr_async.batch.sources.worklist import WorkList

if TYPE_CHECKING:
    import threading
    from collections.abc import Awaitable, Callable, Iterable

    from clova_ocr_async.batch.sources.listed_image import FoundImage
    from clova_ocr_async.batch.sources.watched_folder import FileTimes, WatchedFolder
    from clova_ocr_async.ledger.storage import WorkListLedger

    OpenEvents = Callable[[WatchedFolder, Callable[[], object]], "Events"]

__all__ = ["Events", "WatchList"]

_POLL = 1.0  # seconds between two scans where no event starts one
_FULL_SCAN = 60.0  # seconds between two scans where events start them: some are lost, or never sent
_FOLDER_POLL = 2.0  # seconds between looks at the folder itself
_CLAIM_POLL = 5.0  # seconds between looks at files that another process of the run has left


class Events(Protocol):
    """Events of a folder, which start scans of it.

    Attributes:
        working: Whether changes are noticed now.
    """

    working: bool

    def close(self) -> None:
        """Send no more; blocks until the last one was sent."""
        ...


class _Scan(NamedTuple):
    """The result of a scan.

    Attributes:
        settled: The pictures that have settled.
        present: Whether the folder was there.
        rest: Seconds in which no event may start the next scan.
        pause: Seconds until the next scan if no event starts it.
    """

    settled: list[str]
    present: bool
    rest: float
    pause: float


class _Scanner:
    """Scans a folder, in one thread at a time, and keeps the events open that start further scans.

    Args:
        folder: The folder.
        settle: Seconds in which a file must not change.
        open_events: As ``WatchList`` takes it.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self, folder: WatchedFolder, settle: float, open_events: OpenEvents | None, clock: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._settling: Settling[FileTimes] = Settling(settle)
        self._open_events = open_events
        self._events: Events | None = None
        self._events_of: tuple[int, int] | None = None
        self._clock = clock

    def scan(self, stopped: threading.Event, notify: Callable[[], object]) -> _Scan:
        """Scan the folder once.

        Args:
            stopped: Ends the scan early once it is set.
            notify: Called by the events.
        """
        began = self._clock()
        files = self._folder.scan(stopped)
        ended = self._clock()
        self._follow_folder(notify)  # what changes before the events begin is found by the scan that they start then
        settled = [path for path in self._settling.observe(files, began, ended) if is_picture_file(path)]
        due = self._settling.next_due
        longest = _FULL_SCAN if self._events is not None and self._events.working else _POLL
        rest, pause = pause_before_next(ended - began, None if due is None else due - ended, longest)
        return _Scan(settled, self._folder.identity is not None, rest, pause)

    def close(self) -> None:
        """Close the events."""
        if self._events is not None:
            self._events.close()
            self._events = None

    def _follow_folder(self, notify: Callable[[], object]) -> None:
        """Open the events of the folder that is there now: one that was replaced, or was away, has none."""
        if self._open_events is None or self._folder.identity == self._events_of:
            return
        self.close()
        self._events_of = self._folder.identity
        if self._events_of is not None:
            self._events = self._open_events(self._folder, notify)


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    """Wait for an event, but no longer than some seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class WatchList(WorkList):
    """The files of a folder, each listed once it has not changed for some seconds, and again when it has changed.

    The folder is scanned in a thread. A scan is the only way in which a file is found; events only start it early. The
    ledger remembers what was read, so what a killed process has not listed yet is found by the next one.

    Args:
        ledger: Lists the files, and lets one process at a time claim each.
        document: The vendor's path word.
        folder: The folder.
        settle: Seconds in which a file must not change before it is listed.
        divide: Yields the images of settled files: the files themselves, or their pages.
        open_events: Begins to call a function, in any thread, when something has changed in the folder; None to scan
            every second.
        clock: Returns seconds that only grow.
        wait: Waits for an event, but no longer than some seconds.
    """

    def __init__(
        self,
        ledger: WorkListLedger,
        document: str,
        folder: WatchedFolder,
        *,
        settle: float,
        divide: Callable[[Iterable[str]], Iterable[FoundImage]] = iter,
        open_events: OpenEvents | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[asyncio.Event, float], Awaitable[object]] = _wait_for,
    ) -> None:
        super().__init__(ledger, document, ())
        self._folder = folder
        self._scanner = _Scanner(folder, settle, open_events, clock)
        self._divide = divide
        self._wait_for = wait
        self._changed = asyncio.Event()  # a scan is worth it
        self._recorded = asyncio.Event()  # a claim is worth it
        # Set until a scan finds otherwise: files that an earlier command left are read before the first scan ends.
        self._present = asyncio.Event()
        self._present.set()
        self._ended = asyncio.Event()

    async def pull(self) -> Any:
        """Return the next path; wait while the folder is away, since each of its files would be missing."""
        # A missing file may be the first of all: no scan has shown yet that the folder itself is gone.
        if (
            self._folder.misses_files
            and not await asyncio.to_thread(self._folder.is_as_scanned)
            and not self._stopped.is_set()
        ):
            self._present.clear()
            self._changed.set()
        await self._present.wait()
        return await super().pull()

    def stop(self) -> None:
        """Yield no more, and scan no more."""
        super().stop()
        for event in (self._ended, self._changed, self._recorded, self._present):
            event.set()

    async def _wait(self, listing: asyncio.Task[None]) -> None:  # noqa: ARG002 - it reports files as it finds them
        await self._wait_for(self._recorded, _CLAIM_POLL)
        self._recorded.clear()

    async def _list(self) -> None:
        loop = asyncio.get_running_loop()

        def notify() -> None:
            loop.call_soon_threadsafe(self._changed.set)

        try:
            while not self._stopped.is_set():
                scan = await asyncio.to_thread(self._scanner.scan, self._stopped, notify)
                # Recorded before they are read: what a process that dies has not finished is left for the next one.
                if scan.settled:
                    await asyncio.to_thread(self._record, self._divide(scan.settled))
                    self._recorded.set()
                if scan.present or self._stopped.is_set():
                    self._present.set()
                else:
                    self._present.clear()
                # No event ends this pause: a folder that never stands still would be scanned all the time.
                await self._wait_for(self._ended, scan.rest)
                await self._wait_for_change(scan.pause - scan.rest)
        finally:
            for event in (self._present, self._recorded):
                event.set()  # an error of the listing is raised by the next claim
            await asyncio.to_thread(self._scanner.close)

    async def _wait_for_change(self, seconds: float) -> None:
        """Wait for an event or another folder at the place of the scanned one, but no longer than some seconds."""
        while seconds > 0 and not self._changed.is_set():
            await self._wait_for(self._changed, min(seconds, _FOLDER_POLL))
            seconds -= _FOLDER_POLL
            if seconds > 0 and not await asyncio.to_thread(self._folder.is_as_scanned):
                break
        self._changed.clear()
