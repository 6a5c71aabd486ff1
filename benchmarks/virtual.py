"""Simulation in virtual time: an event loop that never waits, and a service with limits that runs on it.

Whatever waits by the loop, ``asyncio.sleep`` and all that is built on it, waits in virtual time: where an ordinary loop
would block, this one puts its clock forward to the next timer. An hour of calls takes as long as its computing.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from clova_ocr_async.emulator.domain_state import DomainState
from clova_ocr_async.protocol.response import HTTPResponse, encode_error, encode_gateway_error

if TYPE_CHECKING:
    import random
    from collections.abc import Coroutine

__all__ = ["Answering", "CallsAtOnce", "CallsPerSecond", "Limit", "SimulatedService", "VirtualLoop", "run_virtually"]

ResultT = TypeVar("ResultT")

ROUND_TRIP = 0.005  # seconds on the wire, there and back
TURN = 1e-9  # seconds a turn of the loop takes: a wait for the rest of a float must end
SIGMA = 0.5  # spread of the log-normal latencies
ANSWERED = HTTPResponse(200, msgspec.json.encode({"images": [{"inferResult": "SUCCESS", "receipt": {}}]}))


class _Jump(selectors.DefaultSelector):
    """Looks at the files as any selector does, and never waits for them."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; else put the clock forward.

        Raises:
            RuntimeError: No timer is set, so that an ordinary loop would wait for ever.
        """
        ready = super().select(0)
        if not ready and timeout is None:
            raise RuntimeError("the simulation hangs: tasks wait, and no timer is set that could wake them")
        self.now += TURN if ready else max(TURN, timeout or 0.0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock, which begins at 0."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._jump.now


def run_virtually(main: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Run a coroutine in a virtual loop of its own and return its result."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


# ---------------------------------------------------------------------------------------------------------------------
# The service


class Limit(Protocol):
    """The limit of a service.

    Attributes:
        changed: Set when more might be let in than before.
    """

    changed: asyncio.Event

    def enter(self) -> bool:
        """Let a call in; return False to refuse it."""
        ...

    def leave(self) -> None:
        """Let a call go."""
        ...

    def set(self, value: float) -> None:
        """Change the limit."""
        ...

    def refusal(self) -> HTTPResponse:
        """Return the answer to a call too many."""
        ...

    def used(self) -> float:
        """Return the share of what was allowed that was used, up to now."""
        ...


class CallsAtOnce:
    """A limit of the calls in flight at the same time.

    Args:
        ceiling: How many.
        says: The text of a refusal; "{}" stands for the ceiling.
    """

    def __init__(self, ceiling: int, says: str) -> None:
        self.changed = asyncio.Event()
        self._meter = DomainState(asyncio.get_running_loop().time, ceiling)
        self._says = says

    def enter(self) -> bool:
        """Let a call in, if there is a slot."""
        return self._meter.admit()

    def leave(self) -> None:
        """Free a slot."""
        self._meter.release()
        self.changed.set()

    def set(self, value: float) -> None:
        """Change the ceiling; what runs goes on."""
        self._meter.set_ceiling(int(value))
        self.changed.set()

    def refusal(self) -> HTTPResponse:
        """Return a 0025."""
        return _error_0025(self._says.format(self._meter.ceiling))

    def used(self) -> float:
        """Return seconds of calls over seconds of slots."""
        return self._meter.busy / self._meter.capacity


class CallsPerSecond:
    """A limit of the calls a second: a bucket of tokens, full at first.

    Args:
        rate: Tokens a second.
        burst: Tokens in the full bucket.
        gateway: Whether the gateway refuses, which names the reason, and not the service.
    """

    def __init__(self, rate: float, burst: float, *, gateway: bool) -> None:
        self.changed = asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._rate, self._burst, self._gateway = rate, burst, gateway
        self._tokens, self._since = burst, math.nan
        self._allowed, self._allowed_at_last, self._let_in = burst, burst, 0

    def _fill(self) -> None:
        now = self._clock()
        came = 0.0 if math.isnan(self._since) else (now - self._since) * self._rate
        self._since = now
        self._allowed += came
        self._tokens = min(self._burst, self._tokens + came)

    def enter(self) -> bool:
        """Take a token, if there is one."""
        self._fill()
        if self._tokens < 1.0 - 1e-9:
            asyncio.get_running_loop().call_later((1.0 - self._tokens) / self._rate, self.changed.set)
            return False
        self._tokens -= 1.0
        self._let_in += 1
        self._allowed_at_last = self._allowed
        return True

    def leave(self) -> None:
        """Do nothing: tokens come by themselves."""

    def set(self, value: float) -> None:
        """Change the rate."""
        self._fill()
        self._rate = value

    def refusal(self) -> HTTPResponse:
        """Return a 0025 without a number, or the gateway's 429."""
        if self._gateway:
            return HTTPResponse(429, encode_gateway_error("410", "Throttle Limited", ""))
        return _error_0025("Too many requests.")

    def used(self) -> float:
        """Return calls let in over tokens, up to the last call let in."""
        return self._let_in / self._allowed_at_last


class Answering(Protocol):
    """A service that is called."""

    async def call(self) -> HTTPResponse:
        """Answer a call, or refuse it."""
        ...


def _error_0025(message: str) -> HTTPResponse:
    return HTTPResponse(400, encode_error("0025", message, path="/", trace_id="0", timestamp=0))


class SimulatedService:
    """A service with a limit. Latencies are drawn in the order of the calls let in: the same work for every client.

    Args:
        limit: What it lets in.
        chance: Draws latencies.
        latency: Mean seconds of a call.

    Attributes:
        answered: Calls answered with a result.
        refused: Calls refused.
        finished: When the last result was on its way.
    """

    def __init__(self, limit: Limit, chance: random.Random, latency: float) -> None:
        self.limit = limit
        self.answered = self.refused = 0
        self.finished = 0.0
        self._chance = chance
        self._mu = math.log(latency) - SIGMA**2 / 2
        self._turn = asyncio.Lock()

    async def call(self) -> HTTPResponse:
        """Answer a call, or refuse it at once."""
        await asyncio.sleep(ROUND_TRIP / 2)
        if self.limit.enter():
            response = await self._answer()
        else:
            self.refused += 1
            response = self.limit.refusal()
        await asyncio.sleep(ROUND_TRIP / 2)
        return response

    async def call_of_an_oracle(self) -> HTTPResponse:
        """Answer a call that knows when it will be let in, and takes no time to come."""
        async with self._turn:
            self.limit.changed.clear()
            while not self.limit.enter():
                await self.limit.changed.wait()
                self.limit.changed.clear()
        return await self._answer()

    async def _answer(self) -> HTTPResponse:
        await asyncio.sleep(self._chance.lognormvariate(self._mu, SIGMA))
        self.limit.leave()
        self.answered += 1
        self.finished = asyncio.get_running_loop().time()
        return ANSWERED
