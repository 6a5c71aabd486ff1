from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from support.fakes import steps

from clova_ocr_async.slots.sharing.wakeup import WakeupSocket, wake


async def test_a_process_is_woken() -> None:
    """A process that listens is woken, and once for several wake-ups that arrive together."""
    count = 0
    woken, wakeup = asyncio.Event(), WakeupSocket()

    def on_wake() -> None:
        nonlocal count
        count += 1
        woken.set()

    wakeup.listen(asyncio.get_running_loop(), on_wake)
    wake([wakeup.port, wakeup.port, wakeup.port])
    await woken.wait()
    await steps()
    assert count == 1
    wakeup.close()


async def test_listening_twice_changes_nothing() -> None:
    """A second call of listen changes nothing, and a closed socket can listen again."""
    wakeup, loop = WakeupSocket(), asyncio.get_running_loop()
    assert wakeup.port == 0
    wakeup.listen(loop, list)
    port = wakeup.port
    wakeup.listen(loop, list)
    assert wakeup.port == port > 0
    wakeup.close()
    wakeup.close()
    assert wakeup.port == 0
    wakeup.listen(loop, list)
    assert wakeup.port > 0
    wakeup.close()


def test_a_lost_wake_up_is_no_error() -> None:
    """A wake-up of a port without a listener, or of no port at all, does no harm."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    wake([0, port, port])
    wake([])


def test_a_socket_outlives_its_loop() -> None:
    """A socket can be closed after its loop was."""
    wakeup = WakeupSocket()

    async def main() -> None:
        wakeup.listen(asyncio.get_running_loop(), list)

    asyncio.run(main())
    assert wakeup.port
    wakeup.close()
    assert not wakeup.port


class RecordingLoop(asyncio.SelectorEventLoop):
    """An event loop that records the sockets it is asked to watch and to forget, or refuses to watch them.

    Attributes:
        error: Raised when a datagram socket is to be watched.
        watched: The datagram sockets.
    """

    error: type[Exception] | None = None

    def __init__(self) -> None:
        self.watched: list[socket.socket] = []
        super().__init__()

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:  # type: ignore[override] # as loosely as it is called
        """Record datagram sockets, or refuse them."""
        if isinstance(fd, socket.socket) and fd.type == socket.SOCK_DGRAM:
            if self.error is not None:
                raise self.error
            self.watched.append(fd)
        return super().add_reader(fd, callback, *args)

    def remove_reader(self, fd: Any) -> Any:
        """Record that a socket is watched no more."""
        if fd in self.watched:
            self.watched.remove(fd)
        return super().remove_reader(fd)


@pytest.mark.parametrize("forked", [False, True])
def test_after_a_fork_the_loop_is_left_alone(*, forked: bool) -> None:
    """After a fork the child closes its copy of the socket, and removes nothing from the loop of its parent."""
    loop, wakeup = RecordingLoop(), WakeupSocket()
    wakeup.listen(loop, list)
    [watched] = loop.watched
    (wakeup.abandon_after_fork if forked else wakeup.close)()
    assert not wakeup.port
    assert watched.fileno() == -1
    assert loop.watched == ([watched] if forked else [])
    wakeup.abandon_after_fork()
    loop.close()


@pytest.mark.parametrize("error", [NotImplementedError, OSError])
def test_a_loop_that_watches_no_sockets(error: type[Exception]) -> None:
    """Without a loop that watches sockets there is no port, nothing is left open, and nothing fails."""
    loop, wakeup = RecordingLoop(), WakeupSocket()
    loop.error = error
    wakeup.listen(loop, list)
    assert wakeup.port == 0
    wakeup.close()
    loop.close()


def test_an_unexpected_error_leaves_nothing_open() -> None:
    """An unexpected error is raised, with the socket closed."""
    loop = RecordingLoop()
    loop.error = ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        WakeupSocket().listen(loop, list)
    loop.close()


def test_without_a_free_file_descriptor_no_process_is_woken() -> None:
    """If no socket can be made, a wake-up does nothing."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        wake([9])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
