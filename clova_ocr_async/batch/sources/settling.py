"""Files that may still be written to: which of them stood still for long enough to be read. Pure; time is an argument.

No system reports that a file is complete. A scanner closes its file after each page and opens it again seconds later, a
copy over the network stalls, and ``cp -p`` sets an old time at its end. So a file counts as complete once repeated
scans of its folder find it unchanged for some seconds. How old its times are does not matter: they may be those of
another machine, or of the original of a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settling", "pause_before_next"]

StampT = TypeVar("StampT")

_REST = 19  # times the length of a scan: the scans of a large folder take a twentieth of the time, whatever happens
_DUE_REST = 4  # the same for a scan that finds files settled: those take a fifth of the time, as long as files come in
_SHORTEST_REST = 0.1  # seconds: events come in bursts
_LONGEST_REST = 60.0  # seconds: most of a scan over the network is waiting, which costs nothing


class Settling(Generic[StampT]):
    """The files of a folder, as the scans so far have seen them.

    Args:
        settle: Seconds that a file must stand still.
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._settled: dict[str, StampT] = {}
        self._waiting: dict[str, tuple[StampT, float]] = {}  # the stamp, and since when it is certain

    @property
    def waiting(self) -> int:
        """The number of files that have not settled yet."""
        return len(self._waiting)

    @property
    def next_due(self) -> float | None:
        """The time from which a scan can find the next file settled; None if no file waits."""
        first = min((since for _, since in self._waiting.values()), default=None)
        return None if first is None else first + self._settle

    def observe(self, files: Mapping[str, StampT], began: float, ended: float) -> list[str]:
        """Take in a scan, and return the files that have settled; each content of a file settles once.

        Args:
            files: All files of the folder, with anything that changes when the file does.
            began: The time before the scan, by a clock that only grows.
            ended: The time after it. A file was looked at some time between the two.
        """
        settled, waiting = self._settled, self._waiting
        self._settled, self._waiting = {}, {}
        found: list[str] = []
        for path, stamp in files.items():
            if path in settled and settled[path] == stamp:
                self._settled[path] = stamp
                continue
            since = began if self._settle == 0 else ended
            if path in waiting and waiting[path][0] == stamp:
                since = waiting[path][1]
            if began >= since + self._settle:
                self._settled[path] = stamp
                found.append(path)
            else:
                self._waiting[path] = (stamp, since)
        return found


def pause_before_next(scan: float, due: float | None, longest: float) -> tuple[float, float]:
    """Return how long to wait between two scans.

    Args:
        scan: Seconds that the last scan took.
        due: Seconds until a file may have settled; None if no file waits.
        longest: Seconds after which the folder is scanned in any case.

    Returns:
        Seconds in which no event may start a scan, and seconds of the whole pause.
    """
    rest = _rest(_REST * scan)
    pause = max(rest, longest)
    if due is not None:
        pause = min(pause, max(due, _rest(_DUE_REST * scan)))
    return min(rest, pause), pause


def _rest(seconds: float) -> float:
    return max(_SHORTEST_REST, min(seconds, _LONGEST_REST))
