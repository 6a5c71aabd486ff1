"""The files of a run directory as the images of a batch: listed behind the reading, shared with other processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.hashing import stamp_of
from clova_ocr_async.batch.sources.iterables import EXHAUSTED
from clova_ocr_async.host.paths import alternate_path, normalize_path
from clova_ocr_async.ledger.states import SourceFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from clova_ocr_async.ledger.storage import WorkListLedger

__all__ = ["WorkList"]

_LISTED_AT_ONCE = 256  # files a transaction: a mark of a call waits at most for one
_HANDED_OUT_AT_ONCE = 16  # files: what one process holds others cannot have
_POLL = 0.5  # seconds between looks at what other processes have given back
_FIRST_LOOK = 0.02  # seconds between looks at what has been listed, while all of it is in work


class WorkList:
    """The paths of a run that are still to be read, for ``BatchDispatcher.dispatch``.

    The files are listed in a thread while the first are read, so a large folder does not hold up the first call, and
    what an earlier run left comes before what is found now. It ends when all is listed and nothing is left, also with
    other processes that share the run directory.

    Args:
        ledger: Writes them down, and hands them out.
        document: The vendor's path word.
        found: Yields the files, in the thread.
        sleep: Waits some seconds.

    Attributes:
        listed: Files found so far.
    """

    def __init__(
        self,
        ledger: WorkListLedger,
        document: str,
        found: Iterable[os.DirEntry[str] | str],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.listed = 0
        self._ledger = ledger
        self._document = document
        self._found = found
        self._sleep = sleep
        self._ready: deque[bytes] = deque()
        self._one_at_a_time = asyncio.Lock()
        self._listing: asyncio.Task[None] | None = None
        self._over = threading.Event()

    @property
    def whole(self) -> bool:
        """Whether all files have been listed."""
        return self._listing is not None and self._listing.done()

    async def pull(self) -> Any:
        """Return the next path."""
        while not self._ready:
            async with self._one_at_a_time:
                if not self._ready and not await self._fetched():
                    return EXHAUSTED
        return os.fsdecode(self._ready.popleft())

    async def _fetched(self) -> bool:
        """Wait for further paths; return False if there will be none."""
        listing = self._listing = self._listing or asyncio.create_task(asyncio.to_thread(self._list))
        while not self._over.is_set():
            whole = listing.done()  # looked at before the files are, or the last ones could be missed
            if whole:
                listing.result()
            self._ready.extend(await self._ledger.claim_files(self._document, _HANDED_OUT_AT_ONCE))
            if self._ready:
                return True
            if whole and not await self._ledger.others_at_work(self._document):
                self._over.set()  # for all who wait behind this one, and would look again
                return False
            await self._wait(listing)
        return False

    async def _wait(self, listing: asyncio.Task[None]) -> None:
        if listing.done():
            await self._sleep(_POLL)
        else:
            await asyncio.wait([listing], timeout=_FIRST_LOOK)

    def stop(self) -> None:
        """Hand out no more, and list no more."""
        self._over.set()
        self._ready.clear()

    async def close(self) -> None:
        """Wait for the listing to end, and give back what was not handed out."""
        self.stop()
        if self._listing is not None:
            await asyncio.wait([self._listing])
            await self._ledger.release_files(self._document)

    def _list(self) -> None:
        found = iter(self._found)
        here = os.fsencode(Path.cwd())
        while not self._over.is_set() and (chunk := list(itertools.islice(found, _LISTED_AT_ONCE))):
            self._ledger.add_files(list(_with_identities(chunk, here)), self._document)
            self.listed += len(chunk)


def _with_identities(found: Iterable[os.DirEntry[str] | str], here: bytes) -> Iterator[SourceFile]:
    """Yield files as they are now, each under one spelling of its path; one that is gone again has no identity."""
    for file in found:
        path = normalize_path(os.fsencode(file))
        try:
            identity = stamp_of(os.stat(path) if isinstance(file, str) else file.stat())  # noqa: PTH116 - a path may be no text
        except OSError:
            identity = None
        yield SourceFile(path, identity, alternate_path(path, here))
