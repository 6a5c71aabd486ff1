"""Protection of a process with an open ledger against ``fork``.

A fork copies the memory and one thread. If another thread is inside SQLite at that moment, the mutexes that it holds
there stay locked in the child for ever, and the child hangs at its first use of SQLite, or at its end. So the ledger's
thread enters SQLite only under a guard, and a fork waits until it has left, which takes as long as a commit. In the
child the ledger is closed: its connection, its lease and its files are the parent's.
"""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ForkGuard"]

_guards: weakref.WeakSet[ForkGuard] = weakref.WeakSet()
_forking = threading.Lock()  # two threads may fork at the same moment
_held: list[ForkGuard] = []
_parent_connections: list[Any] = []
"""Connections of the parent, kept alive in the child: garbage collection would close them, which SQLite forbids."""


class ForkGuard:
    """A context that a thread enters before it calls SQLite.

    Args:
        in_child: Called in the child after each fork.

    Attributes:
        connection: Only the parent may use it.
    """

    def __init__(self, in_child: Callable[[], object]) -> None:
        self.connection: Any = None
        self._in_child = in_child
        self._lock = threading.RLock()  # reentrant: the ledger's thread may itself fork
        with _forking:
            _guards.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()

    def after_fork(self) -> None:
        """Put the parent's connection out of reach, in the child."""
        _parent_connections.append(self.connection)
        self.connection = None
        self._in_child()


def _before() -> None:
    _forking.acquire()
    _held.extend(_guards)
    for guard in _held:
        guard.__enter__()


def _release() -> list[ForkGuard]:
    guards = _held[:]
    _held.clear()
    for guard in guards:
        guard.__exit__()
    _forking.release()
    return guards


def _in_child() -> None:
    for guard in _release():
        guard.after_fork()


# Windows has no fork.
getattr(os, "register_at_fork", dict)(before=_before, after_in_parent=_release, after_in_child=_in_child)
