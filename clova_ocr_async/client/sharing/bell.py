"""Waking other processes of the host: an empty datagram on loopback, which says no more than "look again"."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

__all__ = ["Bell", "ring"]

_LOOPBACK = "127.0.0.1"


class Bell:
    """Listens for being woken."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int:
        """Where it listens; 0 if it does not."""
        return 0 if self._socket is None else int(self._socket.getsockname()[1])

    def listen(self, loop: asyncio.AbstractEventLoop, woken: Callable[[], object]) -> None:
        """Listen from now on, where that is possible.

        Args:
            loop: The running loop.
            woken: Called when somebody rings.
        """
        if self._socket is not None:
            return
        listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            listening.setblocking(False)
            listening.bind((_LOOPBACK, 0))
            loop.add_reader(listening, self._heard, listening, woken)
        except (OSError, NotImplementedError):  # no loopback, or an event loop that watches no sockets
            listening.close()
            return
        self._socket, self._loop = listening, loop

    def close(self) -> None:
        """Listen no more."""
        if self._socket is not None and self._loop is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    @staticmethod
    def _heard(listening: socket.socket, woken: Callable[[], object]) -> None:
        with suppress(OSError):  # nothing more to hear
            while True:
                listening.recv(1)
        woken()


def ring(ports: Iterable[int]) -> None:
    """Wake those who listen at some ports; 0 is nobody's."""
    called = [port for port in ports if port]
    if called:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ringing:
            for port in called:
                with suppress(OSError):  # who cannot be woken looks by himself
                    ringing.sendto(b"", (_LOOPBACK, port))
