from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from clova_ocr_async.cli.terminal.counts import Counts
from clova_ocr_async.cli.terminal.progress import shown_bar, shown_progress

if TYPE_CHECKING:
    import pytest


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.now = 0.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now


def test_progress_elsewhere_than_on_a_terminal_is_a_line_every_five_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard error that is not a terminal gets a line every five seconds, and nothing in between."""
    clock = Clock()
    counts = Counts(clock)
    with shown_progress(quiet=False, clock=clock) as progress:
        for now in (1.0, 5.0, 6.0, 10.0):
            clock.now = now
            counts.add("succeeded", billed=True)
            progress.update(counts)
    assert capsys.readouterr().err == "2 images, 0.4/s\n4 images, 0.4/s\n"


def test_quiet_progress_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """With quiet there is no progress at all."""
    with shown_progress(quiet=True) as progress:
        progress.update(Counts(total=1))
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    """Standard error as a terminal."""

    def isatty(self) -> bool:
        """Claim to be one."""
        return True


def test_progress_on_a_terminal_is_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets a bar that shows the same words."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    counts = Counts(Clock(), total=3)
    counts.add("succeeded", billed=True)
    with shown_progress(quiet=False) as progress:
        progress.update(counts)
    assert "1 of 3 images" in terminal.getvalue()


def test_a_terminal_that_shows_the_answers_has_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bar is drawn between lines that are written to a terminal."""
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    clock = Clock()
    with shown_progress(quiet=False, bar_fits=False, clock=clock) as progress:
        clock.now = 5.0
        progress.update(Counts(clock))
    assert terminal.getvalue() == "0 images, 0.0/s\n"


def test_a_bar_of_unknown_length_moves_too() -> None:
    """Before the images are counted the bar shows what came out so far."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with shown_bar(console) as bar:
        counts = Counts(Clock())
        counts.add("succeeded", billed=True)
        bar.update(counts)
    assert isinstance(console.file, io.StringIO)
    assert "1 image" in console.file.getvalue()
