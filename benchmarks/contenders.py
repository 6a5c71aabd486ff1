"""The contenders of the gate's simulation: code that people write to keep a limited service busy, and this client.

Each is a function that returns how a process reads one image, one function a process; what that returns is how many
requests it took.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING

from frame import PICTURE

from clova_ocr_async import ClovaOCRClient, Domain, Image, Receipt
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.slots.local import LocalSlots

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from scenarios import Scenario
    from virtual import Answering, SimulatedService

    from clova_ocr_async.client import RequestProgress
    from clova_ocr_async.protocol.request import HTTPRequest
    from clova_ocr_async.protocol.response import HTTPResponse

    Read = Callable[[], Awaitable[int]]
    Contender = Callable[[SimulatedService, Scenario, random.Random], list[Read]]

__all__ = ["CONTENDERS", "missing", "oracle", "retrying"]


class SimulatedWire:
    """The client's transport to a simulated service."""

    def __init__(self, service: Answering) -> None:
        self._service = service

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:  # noqa: ARG002 - all are alike
        """Call the service."""
        progress.body_began = True
        response = await self._service.call()
        progress.begin_response(response.status, {})
        progress.receive(response.body)
        return response

    async def close(self) -> None:
        """Do nothing."""


def ours(service: SimulatedService, scenario: Scenario, chance: random.Random) -> list[Read]:
    """The client of each process, over one gate, as processes of one host share it."""
    runtime = Runtime(clock=asyncio.get_running_loop().time, sleep=asyncio.sleep, uniform=chance.uniform)
    slots, domain, image = LocalSlots(runtime=runtime), Domain("http://127.0.0.1/custom/v1/1/k", "s"), Image(PICTURE)

    def process() -> Read:
        client = ClovaOCRClient(domain, slots=slots, transport=SimulatedWire(service), runtime=runtime)

        async def read() -> int:
            return (await client.recognize(image, Receipt, lane="batch")).attempts

        return read

    return [process() for _ in range(scenario.processes)]


def retrying(
    service: Answering, chance: random.Random, limiter: AbstractAsyncContextManager[object] | None = None
) -> Read:
    """Full jitter, base 0.5 s, cap 10 s; the limiter is entered for each request."""

    async def request() -> bool:
        if limiter is None:
            return (await service.call()).status == 200  # noqa: PLR2004 - an HTTP status
        async with limiter:
            return (await service.call()).status == 200  # noqa: PLR2004 - an HTTP status

    async def read() -> int:
        tries = 1
        while not await request():
            await asyncio.sleep(chance.uniform(0.0, min(10.0, 0.5 * 2.0 ** min(tries - 1, 60))))
            tries += 1
        return tries

    return read


def blind(service: SimulatedService, scenario: Scenario, chance: random.Random) -> list[Read]:
    """Retries alone."""
    return [retrying(service, chance) for _ in range(scenario.processes)]


def semaphore(guess: int | None) -> Contender:
    """A semaphore in each process, and retries; without a guess the number is the right one."""

    def make(service: SimulatedService, scenario: Scenario, chance: random.Random) -> list[Read]:
        limiters = [asyncio.Semaphore(guess or scenario.at_once) for _ in range(scenario.processes)]
        return [retrying(service, chance, limiter) for limiter in limiters]

    return make


class AIMD:
    """Calls at once by additive increase and multiplicative decrease: +1 a round, x 0.7 and a pause when refused."""

    def __init__(self) -> None:
        self._limit, self._in_flight, self._resumes = 4.0, 0, 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def call(self, service: SimulatedService) -> bool:
        """Wait for a slot and call; return whether the call was let in."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_through()
        await turn
        admitted = (await service.call()).status == 200  # noqa: PLR2004 - an HTTP status
        self._in_flight -= 1
        if admitted:
            self._limit += 1.0 / self._limit
        else:
            self._cut()
        self._let_through()
        return admitted

    def _let_through(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and self._in_flight < int(self._limit) and now >= self._resumes:
            self._in_flight += 1
            self._waiting.popleft().set_result(None)

    def _cut(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._resumes:
            self._limit, self._resumes = max(1.0, self._limit * 0.7), loop.time() + 0.5
            loop.call_at(self._resumes, self._let_through)


def aimd(service: SimulatedService, scenario: Scenario, _: random.Random) -> list[Read]:
    """AIMD in each process."""

    def process() -> Read:
        limiter = AIMD()

        async def read() -> int:
            tries = 1
            while not await limiter.call(service):
                tries += 1
            return tries

        return read

    return [process() for _ in range(scenario.processes)]


def aiolimiter(service: SimulatedService, scenario: Scenario, chance: random.Random) -> list[Read]:
    """A rate in each process, the right one at the mean latency, and retries."""
    limiter = importlib.import_module("aiolimiter").AsyncLimiter
    return [retrying(service, chance, limiter(scenario.per_second, 1.0)) for _ in range(scenario.processes)]


def oracle(service: SimulatedService, scenario: Scenario, _: random.Random) -> list[Read]:
    """Read with the limit known, and without the slots of the others."""
    fair = asyncio.Semaphore(scenario.at_once) if scenario.foreign else nullcontext()

    async def read() -> int:
        async with fair:
            await service.call_of_an_oracle()
        return 1

    return [read] * scenario.processes


CONTENDERS: dict[str, Contender] = {
    "this gate": ours,
    "retry": blind,
    "semaphore, right": semaphore(None),
    "semaphore 2": semaphore(2),
    "semaphore 16": semaphore(16),
    "AIMD": aimd,
    "aiolimiter, right": aiolimiter,
}


def missing(contender: str) -> str:
    """Return why a contender cannot run; empty if it can."""
    if CONTENDERS[contender] is aiolimiter and importlib.util.find_spec("aiolimiter") is None:
        return "aiolimiter is not installed"
    return ""
