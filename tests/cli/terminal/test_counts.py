from __future__ import annotations

import pytest

from clova_ocr_async.cli.terminal.counts import Counts
from clova_ocr_async.cli.terminal.phrases import REFUSED_BEFORE, nothing_sent
from clova_ocr_async.ledger.run_status import RunStatus


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.now = 0.0

    def __call__(self) -> float:
        """Return seconds."""
        return self.now


def test_a_tally_shows_how_far_it_is_and_how_long_it_takes() -> None:
    """The line on the way has count, total, what was not read, rate and time left; without a total only the rate."""
    clock = Clock()
    counts = Counts(clock)
    assert counts.progress_line() == "0 images, 0.0/s"
    clock.now = 10.0
    counts.add("succeeded", billed=True)
    counts.add("ambiguous", billed=False, maybe_billed=3)
    assert counts.progress_line() == "2 images, 1 not read, 0.2/s"
    counts.total = 1000
    assert counts.progress_line() == "2 of 1,000 images, 1 not read, 0.2/s, 1 h 23 min left"
    assert counts.summary() == "2 images: 1 succeeded, 1 ambiguous; 1 call billed, 3 maybe billed; 10.0 s, 0.2/s"
    clock.now = 100.0
    assert "1 min 40 s" in counts.summary()


@pytest.mark.parametrize(
    ("images", "vanished", "reason"),
    [
        ({"succeeded": 2}, 0, ""),
        ({"skipped": 2, "pending": 1}, 0, ""),
        ({"skipped": 2}, 2, ""),
        ({"skipped": 3}, 1, "; 2 images were refused before: "),
        ({"skipped": 1, "succeeded": 2}, 0, "; 1 image was refused before: "),
    ],
)
def test_refused_images_are_the_reason_why_nothing_was_sent(images: dict[str, int], vanished: int, reason: str) -> None:
    """Only pictures that were refused before explain it, not files that are gone, and not while other images wait."""
    status = RunStatus(images, images, 0, 0, 0, 0, "full", None, (), vanished=vanished)
    assert nothing_sent(status) == f"nothing was sent{reason}{REFUSED_BEFORE if reason else ''}"
