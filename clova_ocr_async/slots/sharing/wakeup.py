"""Waking other processes of the host: an empty datagram on loopback, which says no more than "look again"."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

__all__ = ["WakeupSocket", "ring"]

_LOOPBACK = "127.0.0.1"


class WakeupSocket:
    """Listens for being woken.

    Attributes:
        port: Where it listens; 0 if it does not.
    """

    def __init__(self) -> None:
        self.port = 0
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def listen(self, loop: asyncio.AbstractEventLoop, woken: Callable[[], object]) -> None:
        """Listen from now on, where that is possible.

        Args:
            loop: The running loop.
            woken: Called when somebody rings.
        """
        if self._socket is None:
            # No loopback, no file left to open, or an event loop that watches no sockets: then it stays deaf.
            with suppress(OSError, NotImplementedError):
                self._socket, self._loop = _listening(loop, woken), loop
                self.port = int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._socket)
        self.let_go()

    def let_go(self) -> None:
        """Listen no more, without a word to the loop: after a fork it is the parent's."""
        if self._socket is not None:
            self._socket.close()
            self._socket, self.port = None, 0


def ring(ports: Iterable[int]) -> None:
    """Wake those who listen at some ports; 0 is nobody's."""
    called = [port for port in ports if port]
    if called:
        # Who cannot be woken looks by himself.
        with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ringing:
            for port in called:
                with suppress(OSError):
                    ringing.sendto(b"", (_LOOPBACK, port))


def _listening(loop: asyncio.AbstractEventLoop, woken: Callable[[], object]) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        listening.setblocking(False)
        listening.bind((_LOOPBACK, 0))
        loop.add_reader(listening, _hear, listening, woken)
    except BaseException:
        listening.close()
        raise
    return listening


def _hear(listening: socket.socket, woken: Callable[[], object]) -> None:
    with suppress(OSError):  # nothing more to hear
        while True:
            listening.recv(1)
    woken()
