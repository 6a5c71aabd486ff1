"""What a call costs on top of aiohttp: CPU of this client over bare aiohttp with a prebuilt body.

The two are run in turn, round after round, against a server in a process of its own; what counts is the median of the
rounds' ratios. Run it with ``nox -s bench``.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import platform
import random
import statistics
import time
import warnings
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import aiohttp
import msgspec

from clova_ocr_async import ClovaOCRClient, Domain, Image, Receipt
from clova_ocr_async.protocol.request import build_request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from multiprocessing.connection import Connection

ROUNDS = 25
CALLS = 160
AT_ONCE = 16
SIZES = {"20 KiB": 20 * 1024, "100 KiB": 100 * 1024, "1 MiB": 1024 * 1024}
PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x03\xe8\x00\x00\x03\xe8\x08\x02\x00\x00\x00"  # 1000 x 1000
ANSWER = msgspec.json.encode(
    {"images": [{"inferResult": "SUCCESS", "receipt": {"result": {"storeInfo": {"name": {"text": "store"}}}}}]}
)
ANSWERED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER


class Sink(asyncio.Protocol):
    """Reads requests of a known length and answers each with the same bytes, as cheaply as asyncio can."""

    def __init__(self, delay: float) -> None:
        self._delay = delay

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing read."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checkers
        self._transport, self._head, self._left = transport, b"", 0

    def data_received(self, data: bytes) -> None:
        """Count the body down, and answer at its end."""
        if not self._left:
            self._head += data
            head, blank, rest = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._left, self._head, data = int(length), b"", rest
        self._left -= len(data)
        if not self._left:
            delay = random.uniform(0.0, 2 * self._delay)  # noqa: S311 - calls must not end in step
            asyncio.get_running_loop().call_later(delay, self._transport.write, ANSWERED)


def serve(ready: Connection, delay: float) -> None:
    """Run the sink."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Sink(delay), "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def sink(delay: float = 0.0) -> Generator[str]:
    """Run the sink in a process of its own; its URL while the context is open.

    Args:
        delay: Mean seconds until it answers.
    """
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there, delay), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/custom/v1/1/key/document/receipt"
    finally:
        process.terminate()
        process.join()


async def cpu_of(call: Callable[[], Awaitable[object]]) -> float:
    """Return CPU seconds of this process for one round of calls."""
    left = iter(range(CALLS))

    async def work() -> None:
        for _ in left:
            await call()

    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    return time.process_time() - began


async def compare(url: str, size: int) -> tuple[list[float], float]:
    """Return the ratio of each round, and the median microseconds of a bare call."""
    data = PICTURE + os.urandom(size - len(PICTURE))
    request = build_request(
        url=url,
        secret="s",
        data=data,
        format="png",
        name="image",
        request_id="0" * 36,
        timestamp=0,
    )
    body, image = b"".join(bytes(chunk) for chunk in request.body.chunks()), Image(data)
    async with aiohttp.ClientSession() as session, ClovaOCRClient(Domain(url, "s"), concurrency=AT_ONCE) as client:

        async def bare() -> None:
            async with session.post(url, data=body, headers=request.headers) as response:
                await response.read()

        async def ours() -> None:
            await client.recognize(image, Receipt)

        await cpu_of(bare)
        await cpu_of(ours)
        rounds = [(await cpu_of(bare), await cpu_of(ours)) for _ in range(ROUNDS)]
    bare_call = statistics.median(bare_cpu for bare_cpu, _ in rounds) / CALLS * 1e6
    return [ours_cpu / bare_cpu for bare_cpu, ours_cpu in rounds], bare_call


def machine() -> str:
    """Say what is measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("aiohttp", "msgspec", "clova-ocr-async"))
    return f"CPython {platform.python_version()}, {os.cpu_count()} cores, {packages}"


def main() -> None:
    """Print the ratios."""
    # A body over 1 MiB in one piece is what "bare" means here, though aiohttp warns of it.
    warnings.simplefilter("ignore", ResourceWarning)
    print(machine())
    print(f"{AT_ONCE} calls at once, median of {ROUNDS} rounds of {CALLS} calls (25 %-75 %)")
    with sink() as url:
        for name, size in SIZES.items():
            ratios, bare_call = asyncio.run(compare(url, size))
            low, middle, high = statistics.quantiles(ratios, n=4)
            print(f"{name:>8}: {middle:.2f} ({low:.2f}-{high:.2f}) times bare aiohttp, which takes {bare_call:.0f} µs")


if __name__ == "__main__":
    main()
