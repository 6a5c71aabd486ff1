"""Time and chance, as arguments."""

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
    # What uuid4() does, without an object for it. The system's randomness, as the ledger tells calls by their ids, and
    # a program that seeds its own would give the calls of every process the same ones.
    digits = os.urandom(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Where a client has its time and its randomness from; a test hands in its own.

    Attributes:
        clock: Returns seconds that only grow.
        now: Returns Unix time in seconds.
        sleep: Waits some seconds.
        uniform: Draws a float between two bounds.
        new_id: Makes the requestId of a call, a UUID.
    """

    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
    uniform: Callable[[float, float], float] = random.uniform
    new_id: Callable[[], str] = _new_id
