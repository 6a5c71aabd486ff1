"""The event loop of a client: the loop of its first call, and no other."""

from __future__ import annotations

import asyncio
import threading

from clova_ocr_async.errors import ConfigurationError

__all__ = ["BoundLoop"]


class BoundLoop:
    """An event loop, bound when it is first asked for."""

    __slots__ = ("_loop", "_thread")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def get(self) -> asyncio.AbstractEventLoop:
        """Return the loop, which is the running one.

        Raises:
            ConfigurationError: Another loop runs.
        """
        # get_running_loop() costs a system call, and within one thread no other loop can run.
        if self._loop is not None and self._thread == threading.get_ident() and self._loop.is_running():
            return self._loop
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self._thread = running, threading.get_ident()
        if self._loop is not running:
            raise ConfigurationError("the client belongs to another event loop; make one in each")
        return running
