"""The files of a run directory as the images of a batch: listed while the first are read, shared by processes."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.hashing import stamp_of
from clova_ocr_async.batch.sources.iterables import EXHAUSTED
from clova_ocr_async.batch.sources.listed_image import FoundImage, ListedImage
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.host.archives import stat_file
from clova_ocr_async.host.paths import alternate_path, normalize_path
from clova_ocr_async.ledger.states import SourceFile
from clova_ocr_async.pictures.page import Page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.ledger.states import ListedFile
    from clova_ocr_async.ledger.storage import WorkListLedger

__all__ = ["WorkFile", "WorkList", "WorkPage"]

_LISTED_AT_ONCE = 256  # files a transaction, since the mark of a call waits for at most one of them
_CLAIMED_AT_ONCE = 16  # files: those that one process has claimed no other process can read
_POLL = 0.5  # seconds between looks at files that other processes have released
_LISTING_POLL = 0.02  # seconds between looks at files that were listed, while all earlier ones are in work


@dataclass(frozen=True, slots=True)
class WorkFile:
    """A file of a run whose images are of several documents: a path that also has its document.

    Attributes:
        path: The file.
        document: The class of the document asked for.
    """

    path: str
    document: type[Document]

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class WorkPage(Page):
    """A page of a run whose images are of several documents.

    Attributes:
        document: The class of the document asked for.
    """

    document: type[Document]


class WorkList:
    """The images of a run that are still to be read, for ``BatchDispatcher.dispatch``.

    The files are listed in a thread while the first are read, so a large folder does not hold up the first call, and
    files that an earlier run has left come before those that are found now. The list ends when all files are listed and
    none is left, also none that another process of the same run directory may yet release.

    Args:
        ledger: Lists the files, and lets one process at a time claim each.
        document: The vendor's path word of all images; or several words, if each image that is found has one of them.
            Then the list yields pairs of an image and its class, and ``dispatch`` is given no class.
        found: Yields the files, in the thread.
        sleep: Waits some seconds.

    Attributes:
        listed: Files found so far.
    """

    def __init__(
        self,
        ledger: WorkListLedger,
        document: str | Sequence[str],
        found: Iterable[FoundImage],
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.listed = 0
        self._ledger = ledger
        self._document = document if isinstance(document, str) else None
        self._documents = (document,) if isinstance(document, str) else tuple(document)
        self._found = found
        self._sleep = sleep
        self._ready: deque[ListedFile] = deque()
        self._one_claims = asyncio.Lock()
        self._listing: asyncio.Task[None] | None = None
        self._stopped = threading.Event()

    @property
    def complete(self) -> bool:
        """True if all files have been listed."""
        return self._listing is not None and self._listing.done()

    async def pull(self) -> Any:
        """Return the next image: a path, or a page of a file; with its class if the images have several."""
        while not self._ready:
            async with self._one_claims:
                if not self._ready and not await self._claim():
                    return EXHAUSTED
        return self._image_of(self._ready.popleft())

    def _image_of(self, file: ListedFile) -> Any:
        path = os.fsdecode(file.path)
        if self._document is not None:
            return path if file.page is None else Page(path, file.page)
        document = DOCUMENTS[file.document]
        image = WorkFile(path, document) if file.page is None else WorkPage(path, file.page, document)
        return image, document

    async def _claim(self) -> bool:
        """Claim further files, and wait for some; return False if there will be none."""
        listing = self._listing = self._listing or asyncio.create_task(self._list())
        while not self._stopped.is_set():
            complete = listing.done()  # asked before the files are claimed, or the last ones could be missed
            if complete:
                listing.result()
            self._ready.extend(await self._ledger.claim_files(self._documents, _CLAIMED_AT_ONCE))
            if self._ready:
                return True
            if complete and not await self._ledger.others_at_work(self._documents):
                self._stopped.set()  # for the pulls that wait behind this one, and would ask the ledger again
                return False
            await self._wait(listing)
        return False

    async def _wait(self, listing: asyncio.Task[None]) -> None:
        if listing.done():
            await self._sleep(_POLL)
        else:
            await asyncio.wait([listing], timeout=_LISTING_POLL)

    def stop(self) -> None:
        """Yield no more, and list no more."""
        self._stopped.set()
        self._ready.clear()

    async def close(self) -> None:
        """Wait for the listing to end, and release the files that were claimed and not yielded."""
        self.stop()
        # A thread cannot be cancelled: it ends after the files that it is recording.
        if self._listing is not None:
            await asyncio.wait([self._listing])
            await self._ledger.release_files(self._documents)

    async def _list(self) -> None:
        """List all files; the list ends when this returns."""
        await asyncio.to_thread(self._record, self._found)

    def _record(self, files: Iterable[FoundImage]) -> None:
        """Record files in the ledger as they are found, in the current thread."""
        found = iter(files)
        folder = os.fsencode(Path.cwd())
        while not self._stopped.is_set() and (chunk := list(itertools.islice(found, _LISTED_AT_ONCE))):
            by_document: dict[str, list[SourceFile]] = {}
            # Files of several documents may be found in any order, and the ledger takes those of one at a time.
            for file in chunk:
                by_document.setdefault(self._document_of(file), []).append(_with_stamp(file, folder))
            for document, sources in by_document.items():
                self._ledger.add_files(sources, document)
            self.listed += len(chunk)

    def _document_of(self, file: FoundImage) -> str:
        asked = file.document if isinstance(file, ListedImage) else None
        return self._document or asked or self._documents[0]


def _with_stamp(file: FoundImage, folder: bytes) -> SourceFile:
    """Return a file with its stamp, under one spelling of its path; one that is gone by now has no stamp."""
    listed = file if isinstance(file, ListedImage) else ListedImage(os.fspath(file))
    path = normalize_path(os.fsencode(listed.path))
    try:
        stamp = stamp_of(file.stat() if isinstance(file, os.DirEntry) else stat_file(path))
    except (OSError, ValueError):
        stamp = None
    return SourceFile(path, stamp, alternate_path(path, folder), page=listed.page, columns=listed.columns)
