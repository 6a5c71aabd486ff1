"""Documents that stay open between one page and the next, since a large one takes long to open."""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from clova_ocr_async.pictures.paged_file import MAX_MEMBER, PagedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from clova_ocr_async.pictures.paged_file import PagedFile
__all__ = ["Closeable", "OpenDocuments"]

_LIMIT = 4  # documents; a batch reads the pages of one file after another
_IDLE = 10.0  # seconds


class Closeable(Protocol):
    """A document that holds a file open."""

    def close(self) -> None:
        """Close the file."""
        ...


DocumentT = TypeVar("DocumentT", bound=Closeable)


def _start_timer(seconds: float, function: Callable[[], object]) -> None:
    timer = threading.Timer(seconds, function)
    timer.daemon = True  # the interpreter ends without it
    timer.start()


class OpenDocuments(Generic[DocumentT]):
    """The documents that were used last, by file and stamp; a file that was replaced is opened anew.

    At most ``limit`` are open, and files in archives, which are unpacked, up to the size of the largest one. All are
    closed once none was used for ``idle`` seconds, since an open file keeps its place on the disk although its name is
    gone.

    Args:
        open_document: Opens a document.
        lock: Held while a document is opened, used or closed.
        limit: The number of documents that stay open.
        idle: Seconds without a use after which they are closed.
        clock: Returns monotonic seconds.
        start_timer: Calls a function after some seconds, in another thread.
    """

    def __init__(
        self,
        open_document: Callable[[PagedFile], DocumentT],
        lock: AbstractContextManager[object],
        *,
        limit: int = _LIMIT,
        idle: float = _IDLE,
        clock: Callable[[], float] = time.monotonic,
        start_timer: Callable[[float, Callable[[], object]], object] = _start_timer,
    ) -> None:
        self._open_document, self._lock, self._limit, self._idle = open_document, lock, limit, idle
        self._clock, self._start_timer = clock, start_timer
        self._open: dict[PagedFile, DocumentT] = {}  # the one used last is the last
        self._used = 0.0
        self._is_timed = False
        if hasattr(os, "register_at_fork"):
            # Parent and child have one position in a file that both have open. The timer's thread is the parent's.
            os.register_at_fork(after_in_child=self.after_fork)

    @contextmanager
    def borrow(self, file: PagedFile) -> Generator[DocumentT]:
        """Lend the document of a file, open, to one thread at a time.

        Args:
            file: The file, looked at just now.

        Raises:
            ImageError: The file is not a document of this kind, or is another file by now.
        """
        with self._lock:
            found = self._open.pop(file, None)
            document = self._open_document(file) if found is None else found
            try:
                yield document
            except BaseException:
                document.close()  # it may be in a state that no later page must find
                raise
            # Bytes are not kept: a caller may pass gigabytes, and expects them to be free afterwards.
            if isinstance(file.source, bytes):
                document.close()
                return
            self._keep(file, document)

    def close(self) -> None:
        """Close all documents."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def after_fork(self) -> None:
        """Close the documents that a child of a fork has from its parent."""
        self._is_timed = False
        self.close()

    def _keep(self, file: PagedFile, document: DocumentT) -> None:
        self._open[file] = document
        self._used = self._clock()
        # Versions of this file that were replaced go first: they would hold the disk space of deleted files.
        stale = [other for other in self._open if other.source == file.source and other != file]
        for other in stale or list(self._open)[: -self._limit]:
            self._open.pop(other).close()
        members = [other for other in self._open if other.member is not None]
        while sum(other.size for other in members) > MAX_MEMBER:
            self._open.pop(members.pop(0)).close()
        if not self._is_timed:
            self._time(self._idle)

    def _time(self, seconds: float) -> None:
        try:
            self._start_timer(seconds, self._close_idle)
        except RuntimeError:  # no thread can be started
            self.close()
        else:
            self._is_timed = True

    def _close_idle(self) -> None:
        with self._lock:
            self._is_timed = False
            left = self._used + self._idle - self._clock()
            if left <= 0:
                self.close()
            elif self._open:
                self._time(left)
