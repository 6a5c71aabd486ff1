from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from support.fakes import steps

from clova_ocr_async.slots.sharing.wakeup import WakeupSocket, ring


async def test_who_is_rung_is_woken() -> None:
    """A ring calls whoever listens; several that came meanwhile call him once."""
    woken: list[None] = []
    heard, bell = asyncio.Event(), WakeupSocket()

    def wake() -> None:
        woken.append(None)
        heard.set()

    bell.listen(asyncio.get_running_loop(), wake)
    ring([bell.port, bell.port, bell.port])
    await heard.wait()
    await steps()
    assert len(woken) == 1
    bell.close()


async def test_a_bell_listens_once() -> None:
    """Listening again changes nothing, and a closed bell can listen again."""
    bell, loop = WakeupSocket(), asyncio.get_running_loop()
    assert bell.port == 0
    bell.listen(loop, list)
    port = bell.port
    bell.listen(loop, list)
    assert bell.port == port > 0
    bell.close()
    bell.close()
    assert bell.port == 0
    bell.listen(loop, list)
    assert bell.port > 0
    bell.close()


def test_a_ring_that_nobody_hears() -> None:
    """Ringing where nobody listens, or at no port at all, does no harm."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    ring([0, port, port])
    ring([])


def test_a_bell_outlives_its_loop() -> None:
    """A bell can be closed after its loop was."""
    bell = WakeupSocket()

    async def main() -> None:
        bell.listen(asyncio.get_running_loop(), list)

    asyncio.run(main())
    assert bell.port
    bell.close()
    assert not bell.port


async def test_after_a_fork_the_loop_is_told_nothing() -> None:
    """Letting go closes the socket alone: what the loop watches is left to whoever it belongs to."""
    bell, loop = WakeupSocket(), asyncio.get_running_loop()
    bell.listen(loop, list)
    watched = bell._socket  # noqa: SLF001 - what it lets go of
    assert watched is not None
    number = watched.fileno()
    bell.let_go()
    assert not bell.port
    assert loop.remove_reader(number)
    bell.let_go()


class BlindLoop(asyncio.SelectorEventLoop):
    """An event loop that watches no sockets, or fails at it."""

    error: type[Exception] = NotImplementedError

    def add_reader(self, fd: Any, callback: Any, *args: Any) -> Any:  # type: ignore[override] # as loosely as it is called
        """Refuse, but for the loop's own needs."""
        if isinstance(fd, socket.socket):
            raise self.error
        return super().add_reader(fd, callback, *args)


@pytest.mark.parametrize("error", [NotImplementedError, OSError])
def test_where_nothing_can_be_heard_a_bell_stays_deaf(error: type[Exception]) -> None:
    """Without a loop that watches sockets there is no port, nothing is left open, and nothing fails."""

    async def main() -> None:
        bell = WakeupSocket()
        bell.listen(asyncio.get_running_loop(), list)
        assert bell.port == 0
        bell.close()

    BlindLoop.error = error
    with asyncio.Runner(loop_factory=BlindLoop) as runner:
        runner.run(main())


def test_other_errors_leave_nothing_open() -> None:
    """An error that nobody expects comes out, with the socket closed."""

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            WakeupSocket().listen(asyncio.get_running_loop(), list)

    BlindLoop.error = ZeroDivisionError
    with asyncio.Runner(loop_factory=BlindLoop) as runner:
        runner.run(main())


def test_without_a_file_left_to_open_nobody_is_rung() -> None:
    """Where no socket can be made, ringing does nothing: who waits looks by himself."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        ring([9])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
