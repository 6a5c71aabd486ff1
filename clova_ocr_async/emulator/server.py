"""The server: CLOVA OCR's Document API on this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import secrets
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from clova_ocr_async.arguments import require_number, require_seconds, require_whole_number
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator.faults import Fault
from clova_ocr_async.emulator.service import Latency, Service
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echo import shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from clova_ocr_async.emulator.domain_state import DomainState

__all__ = ["Emulator"]

_LAST_PORT = 65_535
_LARGEST_REQUEST = 72 * 1024 * 1024  # bytes; 50 MiB as base64, and some
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to call, where it listens to all of them
_CUT_OFF = 0.1  # seconds that calls which run are given when the server stops


class Emulator:
    """A local CLOVA, answering at ``/custom/v1/{any}/{any}/document/{type}``.

    What stands between ``/custom/v1/`` and ``/document`` is a domain; each has its own ceiling, quota and counts.

    Example:
        >>> async with Emulator(concurrency=2, latency=0.1) as clova:
        ...     async with ClovaOCRClient(Domain(clova.url(), clova.secret)) as client:
        ...         await client.recognize("receipt.jpg", Receipt)

    Args:
        host: Address to listen at; one that is not this machine's own needs ``expose``.
        port: Port to listen at; 0 for any free one.
        secret: What X-OCR-SECRET must hold; made up if not given.
        concurrency: Calls at once per domain, answered 0025 beyond; None for any number.
        quota: Calls per domain, answered 0023 beyond; None for any number.
        latency: Mean seconds a call takes.
        sigma: Spread of the log-normal distribution of latencies; 0 for always the mean.
        documents: Path words of the documents that are deployed; others are answered 0022.
        faults: What goes wrong in the first calls; see ``script``.
        expose: Listen also to other machines, without encryption.
        seed: Of the latencies.
        clock: Returns seconds that only grow.
        sleep: Waits some seconds.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(  # noqa: PLR0913 - the settings of a server, each with a default
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        secret: str | None = None,
        concurrency: int | None = 5,
        quota: int | None = None,
        latency: float = 0.0,
        sigma: float = 0.0,
        documents: Iterable[str] = tuple(DOCUMENTS),
        faults: Iterable[Fault | str | None] = (),
        expose: bool = False,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        if not expose and not _is_loopback(host):
            raise ConfigurationError(
                f"host {shown(host)} is not this machine's own; pass expose=True to listen to others"
            )
        self._host, self._port, self._exposed = (
            host,
            require_whole_number("port", port, least=0, most=_LAST_PORT),
            expose,
        )
        self._service = Service(
            secret=secret or secrets.token_urlsafe(32),
            documents=_deployed(documents),
            ceiling=None if concurrency is None else require_whole_number("concurrency", concurrency),
            quota=None if quota is None else require_whole_number("quota", quota, least=0),
            latency=Latency(
                require_seconds("latency", latency, or_zero=True),
                require_number("sigma", sigma, or_zero=True),
                random.Random(seed),  # noqa: S311 - only lengths
            ),
            faults=deque(),
            meters={},
            clock=clock,
            sleep=sleep,
        )
        self._runner: web.AppRunner | None = None
        self.script(*faults)

    @property
    def secret(self) -> str:
        """What X-OCR-SECRET must hold."""
        return self._service.secret

    @property
    def billed(self) -> Counter[str]:
        """Calls paid over all domains, by the image's sha256 in hex."""
        return self._service.billed

    @property
    def requests(self) -> int:
        """Requests received over all domains."""
        return sum(meter.requests for meter in list(self._service.meters.values()))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to listen; after a stop, at the same port and with the same counts.

        Raises:
            OSError: The port is taken, or the address not there.
        """
        if self._runner is not None:
            return
        app = web.Application(client_max_size=_LARGEST_REQUEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # Nothing is said of compressed requests, so their bytes are no valid body.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CUT_OFF, auto_decompress=False)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:
            await self.stop()
            raise
        self._port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening; calls that run are cut off."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def url(self, document: str | None = None, *, domain: str = "1/emulator") -> str:
        """Return an invoke URL; on all addresses of this machine, the one that this machine itself can use.

        Args:
            document: The vendor's path word, for a URL with its tail.
            domain: What stands between ``/custom/v1/`` and ``/document``.
        """
        host = _LOOPBACK.get(self._host, self._host)
        host = f"[{host}]" if ":" in host else host
        tail = "" if document is None else f"/document/{document}"
        return f"http://{host}:{self._port}/custom/v1/{domain}{tail}"

    def script(self, *faults: Fault | str | None) -> None:
        """Say what goes wrong in the next calls, one a call, behind what was said before; None goes well.

        Requests that are refused for the secret, the path, the body or the ceiling take none.

        Raises:
            ConfigurationError: There is no such fault; the message lists them.
        """
        if unknown := [fault for fault in faults if fault is not None and fault not in list(Fault)]:
            raise ConfigurationError(f"{shown(unknown[0])} is not a valid Fault; faults are {', '.join(Fault)}")
        checked = [None if fault is None else Fault(fault) for fault in faults]
        self._service.faults.extend(checked)

    def meter(self, domain: str = "1/emulator") -> DomainState:
        """Return the counts of a domain, and the means to change its ceiling and quota."""
        return self._service.meter(domain)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # A page of somewhere else, opened in a browser here, must not be able to call.
        if not self._exposed and not _is_loopback(_host_named(request)):
            raise web.HTTPForbidden(text="this emulator answers only under this machine's own names")
        return await self._service.handle(request)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_named(request: web.Request) -> str:
    try:
        return request.url.host or ""
    except ValueError:
        return ""


def _deployed(documents: Iterable[str]) -> frozenset[str]:
    words = [documents] if isinstance(documents, str) else list(documents)
    if unknown := [word for word in words if word not in DOCUMENTS]:
        raise ConfigurationError(f"documents has {shown(unknown[0])}; documents are {', '.join(DOCUMENTS)}")
    return frozenset(words)
