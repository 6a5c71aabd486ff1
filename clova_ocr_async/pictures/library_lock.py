"""A lock around a library that is not thread-safe."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["LibraryLock"]


class LibraryLock:
    """A lock for all calls of one library: the threads of a process take turns, in whatever number they call.

    A fork waits for the call that runs, so that the child finds the library between two calls, and the lock free. The
    end of the interpreter waits for that call as well, and lets no other begin: the library ends then, and a call of
    a daemon thread would crash. Such a thread waits, and ends with the process.

    A thread with the lock may take it again, as a signal's handler or the end of an object does. Where two locks are
    taken, the one that was made last is taken first; forks and the interpreter's end follow the same order.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release
            )
        # At the end of the interpreter functions run in the reverse order of their registration. The first finalizer of
        # a process registers the one that closes what is still open, which must not run while a thread uses that.
        weakref.finalize(self, int).detach()
        atexit.register(self._lock.acquire)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()
