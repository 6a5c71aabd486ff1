from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from clova_ocr_async.host.interrupts import deferred_interrupts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _python_handles_ctrl_c() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell may have it ignored
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(done: list[str]) -> None:
    """Press Ctrl-C in the middle of the deferral, and note whether the next line runs."""
    with deferred_interrupts():
        signal.raise_signal(signal.SIGINT)
        done.append("the rest")


def test_an_interrupt_is_raised_behind_the_lines() -> None:
    """Ctrl-C in the middle is raised when all lines have run, and the handler is the one of before."""
    before, done = signal.getsignal(signal.SIGINT), list[str]()
    with pytest.raises(KeyboardInterrupt):
        interrupt(done)
    assert (done, signal.getsignal(signal.SIGINT)) == (["the rest"], before)


def test_without_an_interrupt_nothing_is_raised() -> None:
    """Lines that nothing interrupts leave the handler as it was."""
    before = signal.getsignal(signal.SIGINT)
    with deferred_interrupts():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_interrupt_of_a_program_waits_as_well() -> None:
    """The handler of asyncio.run, which raises at the second Ctrl-C, is deferred too."""
    done: list[str] = []

    async def main() -> None:
        signal.raise_signal(signal.SIGINT)  # the first one: it cancels this task
        interrupt(done)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert done == ["the rest"]


def test_handlers_that_raise_nothing_stay() -> None:
    """A handler of the program's own, and one that ignores the signal, are called as ever."""
    for handler in (signal.SIG_IGN, lambda *_: None):
        before = signal.signal(signal.SIGINT, handler)
        try:
            with deferred_interrupts():
                assert signal.getsignal(signal.SIGINT) is handler
        finally:
            signal.signal(signal.SIGINT, before)


def test_other_threads_have_nothing_to_defer() -> None:
    """In a thread that handles no signals the lines just run."""
    done: list[str] = []

    def work() -> None:
        with deferred_interrupts():
            done.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == ["done"]
