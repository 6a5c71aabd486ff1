"""Forks of a process whose ledger is open.

A fork copies the memory and one thread. If another thread is inside SQLite at that moment, the locks it holds there
stay held in the child for ever, and the child hangs at its first use of SQLite, or when it ends. So the thread of a
ledger enters SQLite only under a guard, and a fork waits until it is outside, which takes as long as a commit. In the
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
_of_parents: list[Any] = []
"""What is open in a parent. SQLite forbids to close it in a child, which forgetting it would do."""


class ForkGuard:
    """A context that a thread is in while it is inside SQLite.

    Args:
        in_child: Called in a child after each fork.

    Attributes:
        connection: What only the parent may use.
    """

    def __init__(self, in_child: Callable[[], object]) -> None:
        self.connection: Any = None
        self._in_child = in_child
        self._lock = threading.RLock()  # the thread of a ledger may be the one that forks
        with _forking:
            _guards.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()

    def forked(self) -> None:
        """Let go of what is the parent's, in the child."""
        _of_parents.append(self.connection)
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
        guard.forked()


# Windows forks nothing.
getattr(os, "register_at_fork", dict)(before=_before, after_in_parent=_release, after_in_child=_in_child)
