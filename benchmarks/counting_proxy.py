"""A proxy before a server, which counts round trips and bytes: what a client asks of it, whatever the protocol is."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["CountingProxy", "counted"]

_AT_ONCE = 1 << 16  # bytes


@dataclass
class CountingProxy:
    """The counts of all connections through a proxy.

    Attributes:
        url: The URL of the server, through the proxy.
        round_trips: How often a client sent something after an answer, or at first.
        sent: Bytes from clients.
        received: Bytes to clients.
    """

    url: str
    round_trips: int = 0
    sent: int = 0
    received: int = 0


@asynccontextmanager
async def counted(url: str) -> AsyncGenerator[CountingProxy]:
    """Stand before the server of a URL, without encryption, as long as the context lasts."""
    parts = urlsplit(url)
    assert parts.hostname is not None  # noqa: S101 - the servers are on loopback
    host, port = parts.hostname, parts.port
    counts = CountingProxy("")

    writers: list[asyncio.StreamWriter] = []
    pumps: list[asyncio.Task[None]] = []

    async def connected(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection(host, port)
        writers.extend((to_client, to_server))
        server_spoke_last = True

        def sent(size: int) -> None:
            nonlocal server_spoke_last
            counts.round_trips += server_spoke_last
            counts.sent += size
            server_spoke_last = False

        def received(size: int) -> None:
            nonlocal server_spoke_last
            counts.received += size
            server_spoke_last = True

        pumps.append(asyncio.create_task(_pump(client, to_server, sent)))
        pumps.append(asyncio.create_task(_pump(server, to_client, received)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as proxy:
        user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        counts.url = urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{proxy.sockets[0].getsockname()[1]}"))
        yield counts
        for writer in writers:
            writer.close()
        if pumps:
            await asyncio.wait(pumps)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, count: Callable[[int], None]) -> None:
    with suppress(OSError):  # one of them has gone
        while data := await source.read(_AT_ONCE):
            count(len(data))
            target.write(data)
            await target.drain()
        target.close()
