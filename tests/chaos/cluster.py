"""Workers on several hosts, a ledger and slots on servers, and everything that goes wrong there: ``cluster.py``.

Four workers of the command line read one folder, two on each of two hosts; or four of Taskiq or Ray do, which get one
picture in ten twice. Every two seconds one of them is killed or stopped, and both servers are restarted twice. Judged
by the bill of the emulator:

* no picture was charged for twice, none is lost, and none was charged for in silence,
* ambiguous are at most the calls that were in flight at the kills, and each has a name,
* nothing personal, secret or picture-like is on the servers or in a log: the run is sealed.

In further scenes

* the call limit of the run holds to the call, over all workers,
* a worker that was stopped beyond its lease sends nothing in a slot that others have by then,
* two hosts share the ceiling of the domain, and hardly a call is refused,
* the domain is nearly as busy as with one process, soon after each kill.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import account
from account import Account, report
from cluster_stage import CEILING, LONGEST, Kind, Stage, stage
from fleets import Engine, Fleet, fleet_of
from leaks import leaks

if TYPE_CHECKING:
    from collections.abc import Sequence

SCENES = ("troubles", "containers", "taskiq", "ray", "limit", "ceiling", "hosts", "use")
LEASE = 30.0  # seconds; the longest that a ledger and slots have
EVERY = 2.0  # seconds between two troubles
_LOOK_EVERY = 0.2  # seconds


class Troubles:
    """What is done to four workers.

    Args:
        scene: The stage.
        fleet: The workers.
        long_stops: Share of the stops that last longer than a lease.

    Attributes:
        kills: How many were killed.
        stops: How many were stopped.
    """

    def __init__(self, scene: Stage, fleet: Fleet, long_stops: float) -> None:
        self._scene = scene
        self._fleet = fleet
        self._long_stops = long_stops
        self._restarts = [len(scene.pictures) * part // 3 for part in (1, 2)]
        self.kills = self.stops = 0

    def play(self) -> None:
        """Make trouble until everything is read."""
        next_at = time.monotonic() + EVERY
        while self._restarts or not self._fleet.is_done():
            time.sleep(_LOOK_EVERY)
            for worker in self._fleet.workers:
                if worker.continues_at is not None and time.monotonic() >= worker.continues_at:
                    worker.resume()
            self._fleet.look_after()
            if self._restarts and self._scene.clova.billed.total() >= self._restarts[0]:
                self._restarts.pop(0)
                self._scene.restart_servers()
            elif time.monotonic() >= next_at:
                self._trouble_one()
                next_at = time.monotonic() + EVERY

    def _trouble_one(self) -> None:
        able = [worker for worker in self._fleet.workers if worker.continues_at is None]
        if not able:
            return
        victim = self._scene.draw.choice(able)
        if self._scene.draw.random() < 0.5:
            self._scene.kill(victim)
            self.kills += 1
        else:
            is_long = self._scene.draw.random() < self._long_stops
            victim.stop(1.2 * LEASE if is_long else self._scene.draw.uniform(0.5, 4.0))
            self.stops += 1


def troubles(
    items: int,
    latency: float,
    kind: Kind,
    draw: random.Random,
    *,
    isolated: bool,
    engine: Engine = "batch",
    long_stops: float = 0.0,
) -> list[str]:
    """Kill and stop workers, and restart the servers twice, while a folder is read.

    Args:
        items: Pictures.
        latency: Mean seconds of a call.
        kind: Where the slots are.
        draw: Chooses.
        isolated: Whether the dead of the second host are noticed by their leases alone.
        engine: What starts the workers.
        long_stops: Share of the stops that last longer than a lease.
    """
    with stage(items, latency, kind, draw, isolated=isolated) as scene:
        fleet = fleet_of(engine, scene)
        made = Troubles(scene, fleet, long_stops)
        made.play()
        fleet.end()
        scene.finish()
        scene.wrong += leaks(scene)
        where = "in containers, " if isolated else ""
        what = f"4 workers of {engine}, {where}slots on {kind}, {made.kills} killed, {made.stops} stopped, 2 restarts"
        return _reported(scene.account(what))


def call_limit(items: int, limit: int, kind: Kind, draw: random.Random) -> list[str]:
    """Read a folder with a limit of calls: it holds to the call."""
    with stage(items, 0.05, kind, draw) as scene:
        options = ("--max-calls", str(limit))
        for host in scene.homes:
            scene.start(host, *options)
        scene.end_all()
        if (billed := scene.clova.billed.total()) != limit:
            scene.wrong.append(f"{billed} calls billed of {limit} allowed")
        scene.finish("--max-calls", "none")
        return _reported(scene.account(f"a limit of {limit} calls over 4 workers, slots on {kind}"))


def two_hosts(items: int, kind: Kind, draw: random.Random, *, most_refused: float = 0.01) -> list[str]:
    """Read a folder from two hosts: they share the ceiling, keep it full, and have few calls refused.

    Args:
        items: Pictures.
        kind: Where the slots are.
        draw: Chooses.
        most_refused: Share of the calls; the limit is learned by a few refusals, however many calls follow.
    """
    with stage(items, 0.5, kind, draw, isolated=True) as scene:
        for host in scene.hosts:
            scene.start(host)
        scene.end_all()
        state = scene.clova.domain_state()
        refused, used = state.rejected / state.requests, state.busy / state.capacity
        if refused > most_refused:
            scene.wrong.append(f"{refused:.1%} refused")
        return _reported(scene.account(f"two hosts, slots on {kind}: {used:.1%} used, {refused:.2%} refused"))


def unsealed(items: int, draw: random.Random) -> list[str]:
    """Read a folder without a key, and return what is found on the servers: the values."""
    with stage(items, 0.05, "postgresql", draw) as scene:
        scene.sealed = False
        scene.start(scene.hosts[0])
        scene.end_all()
        return leaks(scene)


def ceiling(items: int, kind: Kind, draw: random.Random, *, longest_stop: float = 1.2 * LEASE) -> list[str]:
    """Stop workers, beyond their leases as well: never are more calls at the service than there are slots.

    The service would take any number: only the slots bound them.

    Args:
        items: Pictures.
        kind: Where the slots are.
        draw: Chooses.
        longest_stop: Seconds of the first stop.
    """
    with stage(items, 0.5, kind, draw, isolated=True, ceiling=None) as scene:
        running = [scene.start(host, "--concurrency", str(CEILING)) for host in scene.homes]
        for seconds in (longest_stop, 1.0, 2.0, 3.0):
            _wait_for_a_call(scene)
            victim = draw.choice([worker for worker in running if worker.code is None] or running)
            victim.stop(seconds)
            time.sleep(seconds)
            victim.resume()
        scene.end_all()
        if scene.clock.most > CEILING:
            scene.wrong.append(f"{scene.clock.most} calls at once")
        return _reported(scene.account(f"stopped workers with a known ceiling, slots on {kind}"))


def _wait_for_a_call(scene: Stage) -> None:
    before, end = scene.clova.billed.total(), time.monotonic() + LONGEST
    while scene.clova.billed.total() == before and time.monotonic() < end and not scene.is_settled():
        time.sleep(0.05)


def utilisation(kind: Kind, draw: random.Random) -> list[str]:
    """Kill a worker a minute: the domain stays nearly as busy as with one process, and is so again after a lease."""
    with stage(1400, 1.0, kind, draw, isolated=True) as scene:
        scene.start(scene.hosts[0])
        alone = _busy(scene, 40.0)
        scene.workers[0].kill()
        running = [scene.start(host) for host in scene.homes]
        shares: list[float] = []
        for minute in range(3):
            shares.append(_busy(scene, 10.0))
            scene.kill(running[minute])
            shares.append(_busy(scene, 5.0))
            running[minute] = scene.start(scene.homes[minute])
            shares.append(_busy(scene, LEASE - 5.0))
            after = _busy(scene, 60.0 - 10.0 - LEASE)
            shares.append(after)
        weights = (10.0, 5.0, LEASE - 5.0, 60.0 - 10.0 - LEASE) * 3
        during = sum(share * weight for share, weight in zip(shares, weights, strict=True)) / sum(weights)
        if during < 0.85 * alone:
            scene.wrong.append(f"{during / alone:.1%} of one process's with a kill a minute")
        if after < 0.9 * alone:
            scene.wrong.append(f"{after / alone:.1%} of one process's a lease after the last kill")
        for worker in running:
            worker.close()
        figures = f"one process {alone:.1%}, a kill a minute {during:.1%}, a lease after the last {after:.1%}"
        return _reported(Account(f"use of the domain, slots on {kind}: {figures}", wrong=scene.wrong))


def _busy(scene: Stage, seconds: float) -> float:
    """Return how busy the domain is from the first call on, for some seconds."""
    state = scene.clova.domain_state()
    end = time.monotonic() + LONGEST
    while not state.requests and time.monotonic() < end:
        time.sleep(0.01)
    busy, capacity = state.busy, state.capacity
    time.sleep(seconds)
    return (state.busy - busy) / (state.capacity - capacity)


def _reported(cost: Account) -> list[str]:
    report(cost)
    return [f"{cost.scene}: {what}" for what in cost.wrong]


def main(arguments: Sequence[str] | None = None) -> int:
    """Play all scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2000)
    parser.add_argument("--slots", choices=("postgresql", "redis"), action="append", help="where; both if not given")
    parser.add_argument("--scene", choices=SCENES, action="append", help="all if not given")
    parser.add_argument("--seed", type=int, default=time.time_ns())
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing that was started is left
    draw = random.Random(options.seed)  # noqa: S311 - moments of kills
    wrong: list[str] = []
    for kind in options.slots or ("postgresql", "redis"):
        scenes = {
            "troubles": partial(troubles, options.items, 0.2, kind, draw, isolated=False, long_stops=0.05),
            "containers": partial(troubles, options.items // 10, 0.2, kind, draw, isolated=True, long_stops=0.05),
            "taskiq": partial(troubles, options.items, 0.2, kind, draw, isolated=False, engine="taskiq"),
            "ray": partial(troubles, options.items, 0.2, kind, draw, isolated=False, engine="ray"),
            "limit": partial(call_limit, options.items // 5, options.items // 10, kind, draw),
            "ceiling": partial(ceiling, options.items // 2, kind, draw),
            "hosts": partial(two_hosts, options.items // 2, kind, draw),
            "use": partial(utilisation, kind, draw),
        }
        for name in options.scene or SCENES:
            wrong += scenes[name]()
    print(f"\n{account.table()}", *wrong, sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
