"""Waiting for what another process or thread does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wait_for"]


def wait_for(what: Callable[[], object], within: float = 30) -> None:
    """Wait until something is so, and no longer than some seconds."""
    end = time.monotonic() + within
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)
