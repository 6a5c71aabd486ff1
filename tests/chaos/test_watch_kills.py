from __future__ import annotations

import random
import sys

import pytest
import watch_kills

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="signals and limits as Linux has them"),
]


@pytest.mark.parametrize("processes", [1, 2])
def test_watches_that_are_killed_every_200_ms_bill_each_file_once(processes: int) -> None:
    """However files come in, and however often one or two watches are killed, nothing is billed twice or lost."""
    assert watch_kills.kills(5.0, processes, random.Random(2911)) == []  # noqa: S311 - moments of kills
