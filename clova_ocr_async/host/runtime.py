"""Sources of time and randomness, passed as arguments."""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Runtime"]


def _new_id() -> str:
    # As uuid4(), without its object. From the system's randomness: the ledger identifies calls by their ids, and a
    # program that seeds its own generator would give the calls of all its processes the same ids.
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The sources of time and randomness of a client; a test passes its own.

    Attributes:
        clock: Returns monotonic seconds.
        now: Returns Unix time in seconds.
        sleep: Sleeps for some seconds.
        uniform: Draws a float between two bounds.
        new_id: Returns a new requestId, a UUID.
    """

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform
    new_id: Callable[[], str] = _new_id
