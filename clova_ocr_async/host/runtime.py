"""Sources of time and randomness, passed as arguments."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clova_ocr_async.host.request_id import new_request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["Runtime"]


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
    new_id: Callable[[], str] = new_request_id
