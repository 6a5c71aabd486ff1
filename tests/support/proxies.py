"""A proxy before a server, which loses connections at a chosen moment."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Proxy", "proxy_to"]


class Proxy:
    """A TCP proxy on loopback.

    Attributes:
        port: Its port.
        lost: Connections that it has cut as it was asked to.
        meanwhile: Called after such a cut, before the client sees it.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.lost = 0
        self.meanwhile: Callable[[], object] = lambda: None
        self._cut: tuple[bytes, bytes, bool] | None = None
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, text: bytes, *, after: bytes = b"", answered: bool = True) -> None:
        """Cut the connection at the next request with a text.

        Args:
            text: The text.
            after: The connection has sent this before.
            answered: The server has done what it asks for, and its answer is not passed on; else it never sees it.
        """
        self._cut = text, after, answered

    def close(self) -> None:
        """Cut every connection, and accept none."""
        self._listener.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            with self._lock:
                self._open += [client, server]
            silent = threading.Event()
            back = threading.Thread(target=_pass_on, args=(server, client, silent), daemon=True)
            back.start()
            sent = b""
            while data := client.recv(65536):
                sent += data
                if self._is_cut(data, sent):
                    if self._answered:
                        silent.set()
                        server.sendall(data)
                        back.join(10)  # until the server has answered
                    self.lost += 1
                    server.shutdown(socket.SHUT_RDWR)
                    self.meanwhile()
                    return
                server.sendall(data)
            server.shutdown(socket.SHUT_RDWR)

    def _is_cut(self, data: bytes, sent: bytes) -> bool:
        with self._lock:
            if self._cut is None or self._cut[0] not in data or self._cut[1] not in sent:
                return False
            self._answered, self._cut = self._cut[2], None
            return True


def _pass_on(server: socket.socket, client: socket.socket, silent: threading.Event) -> None:
    with suppress(OSError):
        while data := server.recv(65536):
            if silent.is_set():
                return
            client.sendall(data)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Run a proxy to a port of loopback."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()
