from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING

from support.waiting import wait_for

from clova_ocr_async.batch.sources.folder_events import FolderEvents
from clova_ocr_async.batch.sources.watched_folder import WatchedFolder
from clova_ocr_async.cli.runs.watch import native_events

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Bell:
    """Counts its calls."""

    def __init__(self) -> None:
        self.rung = 0

    def __call__(self) -> None:
        """Count."""
        self.rung += 1

    def rung_since(self, before: int) -> bool:
        """Return whether it was called since then."""
        return self.rung > before


def test_a_change_anywhere_below_the_folder_is_reported_and_a_look_is_not(tmp_path: Path) -> None:
    """Events begin with a call, each change brings another, and the scans and reads of a watch bring none."""
    bell, folder = Bell(), WatchedFolder(str(tmp_path))
    open_events = native_events()
    assert open_events is not None
    events = open_events(folder, bell)
    wait_for(lambda: bell.rung)
    working = [events.working]
    for change in (
        lambda: (tmp_path / "sub" / "deep").mkdir(parents=True),
        lambda: (tmp_path / "sub" / "deep" / "a.jpg").write_bytes(b"x"),
        lambda: (tmp_path / "sub" / "deep" / "a.jpg").rename(tmp_path / "b.jpg"),
        (tmp_path / "b.jpg").unlink,
    ):
        before = bell.rung
        change()
        wait_for(partial(bell.rung_since, before))
        folder.scan(threading.Event())
    events.close()
    assert [*working, events.working] == [True, False]
    heard = bell.rung
    (tmp_path / "c.jpg").touch()
    assert bell.rung == heard <= 12


def test_a_second_without_a_change_brings_no_call() -> None:
    """The first word of the library means that it watches; after that only changes count, until it ends."""
    bell = Bell()
    events = FolderEvents("any", bell, open_changes=lambda *_, **__: iter([[], [], ["change"], [], ["change"]]))
    wait_for(lambda: bell.rung == 4)
    events.close()
    assert (bell.rung, events.working) == (4, False)


def test_events_that_cannot_be_had_are_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    """A refusal of the system is logged, and the last call lets the watch scan by itself."""
    bell = Bell()
    events = FolderEvents("no\0path", bell)
    wait_for(lambda: bell.rung)
    events.close()
    assert (bell.rung, events.working) == (1, False)
    (record,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert record.getMessage().startswith("no\\x00path: the system reports no changes (file name contained an")
    assert record.getMessage().endswith("the folder is scanned every second instead")
