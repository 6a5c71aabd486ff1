"""Limits of calls at once and rates of the simulated service, fixed and changing, in refusals of several forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from virtual import CallsAtOnce, CallsPerSecond, SimulatedService

if TYPE_CHECKING:
    import random

NAMED = "Calls to this API are limited to {} API calls per domain at the same time."
LOCALIZED = "이 API는 도메인당 동시에 {}개의 호출로 제한됩니다."
NO_NUMBER = "Too many calls."


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The limits of the service, and the programs that call it.

    Attributes:
        name: What it is called.
        limit: Calls at once, or the rate at first.
        items: Images read.
        burst: Calls that a rate lets in at first; 0 for a limit of calls at once.
        gateway: Whether a rate is the gateway's.
        says: The text of a refusal for calls at once.
        thirds: The limits of the second and the third third of the images.
        times: Limits that begin at some seconds.
        latency: Mean seconds of a call.
        processes: How many share the work.
        foreign: Calls at once of another client, which tries again with full jitter.
    """

    name: str
    limit: int
    items: int = 1000
    burst: int = 0
    gateway: bool = False
    says: str = NAMED
    thirds: tuple[int, ...] = ()
    times: tuple[tuple[float, int], ...] = ()
    latency: float = 1.0
    processes: int = 1
    foreign: int = 0

    @property
    def at_once(self) -> int:
        """Calls at once of a program that guesses right at the beginning."""
        return max(1, round(self.limit * self.latency)) if self.burst else self.limit - self.foreign

    @property
    def per_second(self) -> float:
        """Calls a second of a program that guesses right at the beginning."""
        return self.limit if self.burst else (self.limit - self.foreign) / self.latency

    def service(self, chance: random.Random) -> SimulatedService:
        """Return the service."""
        if self.burst:
            return SimulatedService(CallsPerSecond(self.limit, self.burst, gateway=self.gateway), chance, self.latency)
        return SimulatedService(CallsAtOnce(self.limit, self.says), chance, self.latency)


ON_AND_OFF = tuple((30.0 * step, 8 if step % 2 == 0 else 5) for step in range(1, 40))

SCENARIOS = [
    Scenario(name="limit 1", limit=1, items=600),
    Scenario(name="limit 2", limit=2),
    Scenario(name="limit 5", limit=5),
    Scenario(name="limit 16", limit=16, items=2000),
    Scenario(name="limit 64", limit=64, items=6400),
    Scenario(name="steps 5, 2, 8 by thirds of the images", limit=5, thirds=(2, 8), items=2000),
    Scenario(name="steps 5, 2, 5 by time", limit=5, times=((60.0, 2), (180.0, 5)), items=2000),
    Scenario(name="limit 5, no number", limit=5, says=NO_NUMBER),
    Scenario(name="steps 5, 2, 8 by thirds, no number", limit=5, thirds=(2, 8), items=2000, says=NO_NUMBER),
    Scenario(name="limit 5, in Korean", limit=5, says=LOCALIZED),
    Scenario(name="limit 5, a wrong number: 3", limit=5, says=NAMED.format(3)),
    Scenario(name="limit 5, a wrong number: 50", limit=5, says=NAMED.format(50)),
    Scenario(name="limit 16, no number", limit=16, says=NO_NUMBER, items=2000),
    Scenario(name="limit 8, 3 slots taken, half of the time", limit=5, says=NAMED.format(8), times=ON_AND_OFF),
    Scenario(name="limit 8, 3 slots taken, no number", limit=5, says=NO_NUMBER, times=ON_AND_OFF),
    Scenario(name="limit 8, 3 calls of a foreign client", limit=8, foreign=3),
    Scenario(name="rate 2/s, burst 2", limit=2, burst=2, items=600),
    Scenario(name="rate 8/s, burst 8", limit=8, burst=8),
    Scenario(name="rate 20/s, burst 20", limit=20, burst=20, items=2000),
    Scenario(name="rate 8/s, burst 8, calls of 0.2 s", limit=8, burst=8, latency=0.2),
    Scenario(name="rate 2/s, burst 2, gateway", limit=2, burst=2, gateway=True, items=600),
    Scenario(name="rate 8/s, burst 8, gateway", limit=8, burst=8, gateway=True),
    Scenario(name="rate 20/s, burst 20, gateway", limit=20, burst=20, gateway=True, items=2000),
    Scenario(name="rate 20, 8, 20/s by thirds", limit=20, burst=20, thirds=(8, 20), items=2000),
    Scenario(name="rate 20, 8, 20/s by thirds, gateway", limit=20, burst=20, thirds=(8, 20), gateway=True, items=2000),
    Scenario(name="limit 5, 2 processes", limit=5, processes=2),
    Scenario(name="limit 5, 4 processes", limit=5, processes=4),
    Scenario(name="limit 5, 8 processes", limit=5, processes=8),
]
QUICK = (
    "limit 5",
    "limit 16",
    "steps 5, 2, 8 by thirds of the images",
    "rate 8/s, burst 8",
    "limit 5, 4 processes",
)
