from __future__ import annotations

import asyncio
import signal

from clova_ocr_async.cli.runs.graceful_stop import GracefulStop, loop_signals


async def test_a_signal_before_anything_is_under_way_ends_at_once() -> None:
    """While there is no batch the first signal cancels."""

    async def work() -> bool:
        stop = GracefulStop(lambda: 0)
        stop.request_stop()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return stop.uncancel()
        return False

    assert await asyncio.create_task(work())


async def test_signals_are_as_they_were_afterwards() -> None:
    """Handlers come back, an ignored signal stays ignored, and another thread changes nothing."""
    before = signal.getsignal(signal.SIGINT)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asked = asyncio.Event()
    try:
        with loop_signals(asked.set):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGINT)
            await asked.wait()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, hangup)
    assert signal.getsignal(signal.SIGINT) is before
