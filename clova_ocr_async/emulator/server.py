"""The emulator's HTTP server and its settings: CLOVA OCR's Document API on this machine."""

from __future__ import annotations

import asyncio
import importlib
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
from clova_ocr_async.protocol.echoed_input import shown

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Iterable

    from clova_ocr_async.emulator.domain_state import DomainState
    from clova_ocr_async.emulator.replay import Replay
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["Emulator"]

_REPLAY = "clova_ocr_async.emulator.replay"
_LAST_PORT = 65_535
_MAX_REQUEST = 72 * 1024 * 1024  # bytes; 50 MiB as base64 and some more
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address to call if the server listens on all addresses
_SHUTDOWN_TIMEOUT = 0.1  # seconds for running calls when the server stops


class Emulator:
    """A local CLOVA that answers at ``/custom/v1/{any}/{any}/document/{type}``.

    The path between ``/custom/v1/`` and ``/document`` names a domain; each domain has a ceiling, a quota and counts.

    Examples:
        >>> async with Emulator(concurrency=2, latency=0.1) as clova:
        ...     async with ClovaOCRClient(Domain(clova.url(), clova.secret)) as client:
        ...         await client.recognize("receipt.jpg", Receipt)

    Args:
        host: Address to listen on; an address that other machines reach needs ``expose``.
        port: Port to listen on; 0 for any free one.
        secret: The required value of X-OCR-SECRET; random by default.
        concurrency: Calls at once per domain, answered 0025 beyond; None for any number.
        quota: Calls per domain, answered 0023 beyond; None for any number.
        latency: Mean duration of a call, in seconds.
        sigma: Spread of the log-normal distribution of durations; 0 for always the mean.
        documents: Path words of the documents that are deployed; others are answered 0022.
        faults: The faults of the first calls; see ``script``.
        replay: A run directory, or ``postgresql://user@host/db?run=NAME``: a picture that the run has an answer to is
            answered with it, for the document that it was read as. Any other picture is answered as without a run;
            ``replayed`` counts the answers of the run.
        mask: How numbers in the answers of the run are masked: "standard" or "all"; None shows them.
        expose: Accept connections from other machines, without encryption.
        seed: Seed of the random durations.
        clock: A monotonic clock, in seconds.
        sleep: Waits for a number of seconds.

    Raises:
        ConfigurationError: An argument cannot work.
        LedgerError: The run cannot be read.
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
        replay: str | os.PathLike[str] | None = None,
        mask: Policy | None = None,
        expose: bool = False,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        # It takes any picture and a secret in the clear, so a slip in the address must not open it to a network.
        if not expose and not _is_loopback(host):
            raise ConfigurationError(
                f"host {shown(host)} is not this machine's own; pass expose=True to listen to others"
            )
        self._host, self._exposed = host, expose
        self._port = require_whole_number("port", port, least=0, most=_LAST_PORT)
        if mask is not None and replay is None:
            raise ConfigurationError("mask is for the answers of a run; give replay as well, or leave out mask")
        # Loaded only where it is used: it needs the results, and SQLite.
        self._replay: Replay | None = None if replay is None else importlib.import_module(_REPLAY).Replay(replay, mask)
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
            states={},
            clock=clock,
            sleep=sleep,
            replay=self._replay,
        )
        self._runner: web.AppRunner | None = None
        self.script(*([faults] if isinstance(faults, str) else faults))  # a str is an iterable too, of letters

    @property
    def secret(self) -> str:
        """The required value of X-OCR-SECRET."""
        return self._service.secret

    @property
    def billed(self) -> Counter[str]:
        """Billed calls of all domains, by the image's sha256 in hex."""
        return self._service.billed

    @property
    def unused_faults(self) -> tuple[Fault | None, ...]:
        """The scripted faults that no call has met yet; None for a call without a fault."""
        return tuple(self._service.faults)

    @property
    def replayed(self) -> int:
        """Answers that came from the run."""
        return 0 if self._replay is None else self._replay.served

    @property
    def requests(self) -> int:
        """Received requests of all domains."""
        return sum(state.requests for state in list(self._service.states.values()))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start to listen; after a stop, on the same port and with the same counts.

        Raises:
            OSError: The port is in use, or this machine does not have the address.
        """
        if self._runner is not None:
            return
        if self._replay is not None:
            self._replay.open()
        app = web.Application(client_max_size=_MAX_REQUEST)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # The specification does not mention compressed requests, so their bytes are not a valid body.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT, auto_decompress=False)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, self._host, self._port).start()
        except BaseException:  # a failed start leaves nothing open, so that it can be repeated
            await self.stop()
            raise
        self._port = int(self._runner.addresses[0][1])  # the chosen one for port 0, kept for the next start

    async def stop(self) -> None:
        """Stop listening, and cut off running calls."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._replay is not None:
            self._replay.close()

    def url(self, document: str | None = None, *, domain: str = "1/emulator") -> str:
        """Return an invoke URL that this machine can call.

        Args:
            document: The vendor's path word, for a URL with its /document tail.
            domain: The path between ``/custom/v1/`` and ``/document``.
        """
        host = _LOOPBACK.get(self._host, self._host)
        host = f"[{host}]" if ":" in host else host
        tail = "" if document is None else f"/document/{document}"
        return f"http://{host}:{self._port}/custom/v1/{domain}{tail}"

    def script(self, *faults: Fault | str | None) -> None:
        """Append the faults of the next calls, one for each call; None for a call without a fault.

        A request that is refused because of its secret, path or body, or of the ceiling, uses up no fault.

        Raises:
            ConfigurationError: A fault does not exist; the message lists those that do.
        """
        if unknown := [fault for fault in faults if fault is not None and fault not in list(Fault)]:
            raise ConfigurationError(f"{shown(unknown[0])} is not a valid Fault; faults are {', '.join(Fault)}")
        checked = [None if fault is None else Fault(fault) for fault in faults]
        self._service.faults.extend(checked)

    def domain_state(self, domain: str = "1/emulator") -> DomainState:
        """Return the counts of a domain; its ceiling and quota can be changed there."""
        return self._service.domain_state(domain)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # Protects from DNS rebinding: a website that is open in a browser here must not reach the emulator.
        if not self._exposed and not _is_loopback(_host_header(request)):
            raise web.HTTPForbidden(text="this emulator answers only to loopback host names")
        return await self._service.handle(request)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host_header(request: web.Request) -> str:
    try:
        return request.url.host or ""
    except ValueError:  # a Host header that is not a host
        return ""


def _deployed(documents: Iterable[str]) -> frozenset[str]:
    # A str is an iterable too, of letters.
    words = [documents] if isinstance(documents, str) else list(documents)
    if unknown := [word for word in words if word not in DOCUMENTS]:
        raise ConfigurationError(f"documents has {shown(unknown[0])}; documents are {', '.join(DOCUMENTS)}")
    return frozenset(words)
