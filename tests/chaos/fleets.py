"""The four workers of a scene of ``cluster.py``: of the command line, of Taskiq, or of Ray."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal, Protocol

from cluster_stage import DONE, LONGEST, STOPPED
from hosts import Actor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cluster_stage import Stage
    from hosts import Host, Victim, Worker

__all__ = ["Engine", "Fleet", "fleet_of"]

Engine = Literal["batch", "taskiq", "ray"]


class Fleet(Protocol):
    """Four workers."""

    @property
    def workers(self) -> Sequence[Victim]:
        """Those that run, or are stopped."""
        ...

    def look_after(self) -> None:
        """Start again what has ended."""
        ...

    def is_done(self) -> bool:
        """Return whether nothing is left to be read."""
        ...

    def end(self) -> None:
        """Wait until everything has come to its end."""
        ...


class CommandLines:
    """Workers of the command line, which end when all is read.

    Args:
        scene: The stage.
    """

    def __init__(self, scene: Stage) -> None:
        self._scene = scene
        self._start: Callable[[Host], Worker] = scene.start
        self._running = [self._start(host) for host in scene.homes]

    @property
    def workers(self) -> Sequence[Victim]:
        """Those that run, or are stopped."""
        return [worker for worker in self._running if worker.code is None]

    def look_after(self) -> None:
        """Start again those that were killed, or have stopped as the ledger was away."""
        for number, worker in enumerate(self._running):
            if worker.code is not None and worker.code not in DONE:
                if worker.code != STOPPED and not worker.was_killed:
                    self._scene.wrong.append(f"a worker ended with {worker.code}")
                self._running[number] = self._start(worker.host)

    def is_done(self) -> bool:
        """Return whether one of them has ended as all is read."""
        return any(worker.code in DONE for worker in self._running) or self._scene.is_settled()

    def end(self) -> None:
        """Let each come to its end."""
        self._scene.end_all()


class TaskiqWorkers(CommandLines):
    """Workers of Taskiq, which have no end.

    Args:
        scene: The stage.
    """

    def __init__(self, scene: Stage) -> None:
        scene.send_to_taskiq()
        self._scene = scene
        self._start = scene.start_taskiq
        self._running = [self._start(host) for host in scene.homes]

    def end(self) -> None:
        """Wait until all is settled, and end them."""
        self._scene.wait_until_settled()


class RayActors:
    """Actors of Ray, which starts others in place of those that were killed.

    Args:
        scene: The stage.
    """

    def __init__(self, scene: Stage) -> None:
        self._scene = scene
        self._driver = scene.start_ray()
        self._actors: dict[int, Actor] = {}

    @property
    def workers(self) -> Sequence[Victim]:
        """Those that run, or are stopped."""
        return [actor for actor in self._actors.values() if actor.code is None]

    def look_after(self) -> None:
        """Find those that Ray has started."""
        for path in self._scene.pids.iterdir():
            self._actors.setdefault(int(path.name), Actor(int(path.name)))

    def is_done(self) -> bool:
        """Return whether the job has ended."""
        return self._driver.code is not None or self._scene.is_settled()

    def end(self) -> None:
        """Let the job come to its end."""
        began = time.monotonic()
        for actor in self._actors.values():
            actor.resume()
        if code := self._driver.wait(LONGEST):
            self._scene.wrong.append(f"the job of Ray ended with {code}")
        self._scene.longest = max(self._scene.longest, time.monotonic() - began)
        self._scene.workers.clear()


def fleet_of(engine: Engine, scene: Stage) -> Fleet:
    """Start four workers."""
    fleets: dict[Engine, Callable[[Stage], Fleet]] = {"batch": CommandLines, "taskiq": TaskiqWorkers, "ray": RayActors}
    return fleets[engine](scene)
