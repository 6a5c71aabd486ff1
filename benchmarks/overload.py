"""The cost of an overload: single calls with a deadline that come faster than the domain answers.

Simulated in virtual time: the client and its gate are the real ones. The service runs five calls at once, of one second
on average (log-normal, sigma 0.2), and charges for each it has begun, whether a caller waits or not. For a minute,
callers come at random (Poisson), wait three seconds, and do not come again. *Answered* is over what the service can do,
*thrown away* the share of the paid answers that no caller got, *wait* the seconds until an answer. Beside the client
stands what people write instead: a semaphore of the right size under ``asyncio.timeout``, which sends whatever gets a
slot before its time is over.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import Counter
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING

from contenders import SimulatedWire, retrying
from frame import PICTURE, Row, alone, figure
from virtual import ANSWERED, CallsAtOnce, run_virtually

from clova_ocr_async import ClovaOCRClient, ClovaOCRError, Domain, Image, Receipt
from clova_ocr_async.host.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from clova_ocr_async.protocol.response import HTTPResponse

    Read = Callable[[int], Awaitable[object]]

__all__ = ["CONTENDERS", "Load", "Outcome", "measure", "rows"]

CEILING, SECONDS, DEADLINE = 5, 60.0, 3.0
LOADS = (0.8, 1.0, 1.4, 1.6, 2.0)
SEEDS = (1, 2, 3)
SLOW = (30.0, 90.0, 20.0)  # from, to, seconds of a call


@dataclass(frozen=True, kw_only=True)
class Load:
    """The callers, and the times of the service.

    Attributes:
        factor: Callers over what the service can answer.
        mean: Mean seconds of a call.
        spread: Sigma of the log-normal latencies; 0 for none.
        deadline: Seconds a caller waits.
        lasts: Seconds for which callers come.
        slow: From when to when each call takes how long instead.
        seed: Of the randomness.
    """

    factor: float
    mean: float = 1.0
    spread: float = 0.2
    deadline: float = DEADLINE
    lasts: float = SECONDS
    slow: tuple[float, float, float] | None = None
    seed: int = 1

    def latency(self, now: float, chance: random.Random) -> float:
        """Return how long a call takes that begins now."""
        if self.slow is not None and self.slow[0] <= now < self.slow[1]:
            return self.slow[2]
        if not self.spread:
            return self.mean
        return chance.lognormvariate(math.log(self.mean) - self.spread**2 / 2, self.spread)


@dataclass
class Outcome:
    """The result of a load.

    Attributes:
        capacity: Calls a second that the service can answer.
        lasts: Seconds for which callers came.
        billed: Calls the service has charged for.
        answers: The time of each answer that reached a caller, and how long that caller had waited.
        failures: How long each other caller had waited.
        why: The errors that these got, and how often.
    """

    capacity: float
    lasts: float
    billed: int = 0
    answers: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    failures: list[float] = field(default_factory=list[float])
    why: Counter[str] = field(default_factory=Counter[str])

    @property
    def answered(self) -> float:
        """Answers that reached a caller over what the service can give meanwhile."""
        return len(self.answers) / (self.capacity * self.lasts)

    @property
    def thrown_away(self) -> float:
        """Share of the paid calls whose answer reached no caller."""
        return 1 - len(self.answers) / self.billed if self.billed else 0.0

    def waits(self) -> tuple[float, float]:
        """Return the median and the 95th percentile of the seconds until an answer."""
        seconds = [waited for _, waited in self.answers]
        return (median(seconds), quantiles(seconds, n=20)[-1]) if len(seconds) > 1 else (math.nan, math.nan)


class Service:
    """A service that goes on with what it has begun, also if its caller disconnects."""

    def __init__(self, load: Load, outcome: Outcome, chance: random.Random) -> None:
        self._load, self._outcome, self._chance = load, outcome, chance
        self._limit = CallsAtOnce(CEILING, "Calls are limited to {} API calls per domain at the same time.")
        self._running: set[asyncio.Task[None]] = set()

    async def call(self) -> HTTPResponse:
        """Answer a call, or refuse it."""
        if not self._limit.enter():
            return self._limit.refusal()
        self._outcome.billed += 1
        running = asyncio.create_task(self._run())
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        await asyncio.shield(running)
        return ANSWERED

    async def _run(self) -> None:
        await asyncio.sleep(self._load.latency(asyncio.get_running_loop().time(), self._chance))
        self._limit.leave()


def ours(service: Service, load: Load) -> Read:
    """The client."""
    runtime = Runtime(clock=asyncio.get_running_loop().time, sleep=asyncio.sleep)
    wire = SimulatedWire(service)
    client = ClovaOCRClient(Domain("http://127.0.0.1/custom/v1/1/k", "s"), transport=wire, runtime=runtime)

    async def read(number: int) -> object:
        image = Image(PICTURE + number.to_bytes(4, "big"))
        return await client.recognize(image, Receipt, deadline=load.deadline)

    return read


def semaphore(service: Service, load: Load) -> Read:
    """A semaphore of the right size, retries when refused, and a timeout around it all."""
    call = retrying(service, random.Random(load.seed), asyncio.Semaphore(CEILING))  # noqa: S311 - the same in each run

    async def read(_: int) -> object:
        async with asyncio.timeout(load.deadline):
            return await call()

    return read


CONTENDERS: dict[str, Callable[[Service, Load], Read]] = {"ours": ours, "semaphore": semaphore}


async def _offered(load: Load, contender: Callable[[Service, Load], Read]) -> Outcome:
    outcome = Outcome(CEILING / load.mean, load.lasts)
    chance, arrivals = random.Random(load.seed), random.Random(load.seed + 1000)  # noqa: S311 - the same in each run
    read = contender(Service(load, outcome, chance), load)
    loop = asyncio.get_running_loop()

    async def caller(number: int) -> None:
        came = loop.time()
        try:
            await read(number)
        except (ClovaOCRError, TimeoutError) as error:
            outcome.failures.append(loop.time() - came)
            outcome.why[type(error).__name__] += 1
        else:
            outcome.answers.append((loop.time(), loop.time() - came))

    async with asyncio.TaskGroup() as group:
        number = 0
        while loop.time() < load.lasts:
            group.create_task(caller(number))
            number += 1
            await asyncio.sleep(arrivals.expovariate(load.factor * outcome.capacity))
    return outcome


def measure(load: Load, contender: str = "ours") -> Outcome:
    """Run a load."""
    return run_virtually(_offered(load, CONTENDERS[contender]))


def _said(outcomes: list[Outcome]) -> str:
    """Write the waits, and what another way comes to."""
    return ", ".join(
        f"{share} {median(values):.1f} s"
        for share, values in zip(("p50", "p95"), zip(*(one.waits() for one in outcomes), strict=True), strict=True)
    )


def of_load(factor: float) -> list[Row]:
    """Measure a load, and what people write instead."""
    found = {name: [measure(Load(factor=factor, seed=seed), name) for seed in SEEDS] for name in CONTENDERS}
    ours_, others = found["ours"], found["semaphore"]
    at = f"{factor:g} times what the domain can do"
    return [
        figure(
            f"answered at {at}",
            [one.answered * 100 for one in ours_],
            90.0 if factor > 1 else None,
            at_least=True,
            unit="%",
            note=f"wait {_said(ours_)}; semaphore {median(one.answered for one in others):.0%}, wait {_said(others)}",
        ),
        figure(
            f"thrown away at {at}",
            [one.thrown_away * 100 for one in ours_],
            1.0,
            unit="%",
            note=f"semaphore {median(one.thrown_away for one in others):.0%}",
        ),
    ]


def of_a_slow_minute() -> Row:
    """Measure how soon answers come again after a minute in which each call takes longer than callers wait."""
    _, end, _ = SLOW
    outcomes = [measure(Load(factor=0.8, slow=SLOW, lasts=end + 90.0, seed=seed)) for seed in SEEDS]
    first = [min(came for came, _ in one.answers if came > end) - end for one in outcomes]
    wasted = median(one.billed - len(one.answers) for one in outcomes)
    return figure(
        "answers again after a minute of calls of 20 s", first, 60.0, unit="s", note=f"{wasted:g} paid for nothing"
    )


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    logging.getLogger("clova_ocr_async").setLevel(logging.ERROR)  # each answer that reached no caller is a warning
    return [*(row for factor in (LOADS[3:4] if quick else LOADS) for row in of_load(factor)), of_a_slow_minute()]


if __name__ == "__main__":
    alone(rows)
