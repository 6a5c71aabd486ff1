"""Runs that are killed, and then linked, copied, moved, or put on a read-only medium; scenes as in ``stress.py``."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING

from account import LONGEST
from stress import MANY, Scene, can_mount, reported, scene

if TYPE_CHECKING:
    import random
    from pathlib import Path

_REFUSED = (2,)  # exit code
_ENDED = (0, 1)  # exit codes; what was in flight at a kill stays ambiguous
_MOUNTED = 'mount --bind -o ro "$1" "$1" && mount -o remount,bind,ro "$1" && shift && exec "$@"'


def copies(draw: random.Random, pictures: int = 10 * MANY) -> list[str]:
    """Kill a run, and work on links to it, on copies of it, and on it under another name."""
    with scene(pictures) as stage:
        _kill(stage, draw, pictures)
        _hold_links(stage)
        copy = _copied(stage, "copy")
        stage.run = stage.run.rename(stage.run.with_name("moved"))
        stage.ended(stage.batch(), _ENDED)
        stage.wrong += _refused(stage, copy, "--run-moved")
        late = _copied(stage, "late copy")  # all is in it, so that going on with it costs nothing
        before = stage.service.total
        stage.ended(stage.batch("--run-moved", run=late), _ENDED)
        stage.wrong += ["a copy of the finished run paid"] if stage.service.total != before else []
        return reported(stage.account("killed, then hard-linked, copied and renamed", most_ambiguous=MANY))


def _hold_links(stage: Scene) -> None:
    """Work on a run and on a hard-linked copy of it: both are refused, and neither is changed by a look."""
    linked = _copied(stage, "linked", links=True)
    before = _contents(stage.run), _contents(linked)
    for folder in (stage.run, linked):
        stage.wrong += _refused(stage, folder, "hard links")
        stage.wrong += _unread(stage, folder)
    stage.wrong += ["a linked run was changed"] if before != (_contents(stage.run), _contents(linked)) else []
    shutil.rmtree(linked)


def read_only(draw: random.Random, pictures: int = 10 * MANY) -> list[str]:
    """Kill a run, look at it and work on it on a read-only medium, and go on with it on one that can be written."""
    with scene(pictures) as stage:
        _kill(stage, draw, pictures)
        here, before = [stage.told_by(*verb).stdout for verb in _looks(stage.run)], _contents(stage.run)
        medium = ["unshare", "--mount", "sh", "-c", _MOUNTED, "sh", str(stage.run)]
        there = [stage.told_by(*verb, before=medium).stdout for verb in _looks(stage.run)]
        stage.wrong += ["a read-only medium shows something else"] if here != there or not all(here) else []
        charged = stage.service.total
        refused = stage.told_by("batch", "receipt", stage.folder, "--run", stage.run, before=medium)
        stage.wrong += [f"a batch on it: {refused}"] if not refused.returncode or b"Traceback" in refused.stderr else []
        stage.wrong += ["a batch on it paid"] if stage.service.total != charged else []
        stage.wrong += ["a read-only medium was written to"] if _contents(stage.run) != before else []
        stage.ended(stage.batch(), _ENDED)
        return reported(stage.account("killed, and read on a read-only medium", most_ambiguous=MANY))


def all_scenes(draw: random.Random) -> list[str]:
    """Play each scene some times."""
    wrong: list[str] = []
    for _ in range(3):
        wrong += copies(draw)
        if can_mount():
            wrong += read_only(draw)
    return wrong


def _kill(stage: Scene, draw: random.Random, pictures: int) -> None:
    """Begin a run, and kill it somewhere in its middle."""
    stage.service.go_on.set()
    process = stage.batch()
    enough = draw.randrange(MANY, pictures // 2)
    stage.until(lambda: stage.service.total >= enough, "in flight")
    process.send_signal(signal.SIGKILL)
    process.wait(LONGEST)
    stage.wrong += ["it was not killed"] if process.returncode != -signal.SIGKILL else []


def _looks(run: Path) -> list[tuple[str | Path, ...]]:
    return [("status", run, "--json"), ("export", run)]


def _copied(stage: Scene, name: str, *, links: bool = False) -> Path:
    copy = stage.run.with_name(name)
    shutil.copytree(stage.run, copy, copy_function=os.link if links else shutil.copy2)
    return copy


def _contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}


def _refused(stage: Scene, folder: Path, why: str) -> list[str]:
    """Work on a folder that is to be refused; return what is wrong."""
    charged, said = stage.service.total, len(stage.told)
    stage.ended(stage.batch(run=folder), _REFUSED)
    wrong = [f"{folder.name} paid"] if stage.service.total != charged else []
    return wrong + ([] if why in stage.told[said:] else [f"not said: {why!r} of {folder.name}"])


def _unread(stage: Scene, folder: Path) -> list[str]:
    status = stage.told_by("status", folder, "--json")
    read = not status.returncode and json.loads(status.stdout)["images"].get("succeeded")
    return [] if read else [f"{folder.name} cannot be looked at: {status.stderr!r}"]
