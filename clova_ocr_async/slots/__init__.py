"""Slots: the right to have one call in flight, as many per domain as the service turns out to allow.

The slots on a server are loaded at their first use, as they need the libraries of an extra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.extras import lazy_names
from clova_ocr_async.slots.interface import GateState, Lane, Slot, Slots
from clova_ocr_async.slots.limit import LimitSignal
from clova_ocr_async.slots.local import LocalSlots
from clova_ocr_async.slots.shared import SharedSlots

if TYPE_CHECKING:
    from clova_ocr_async.slots.postgres import PostgresSlots
    from clova_ocr_async.slots.redis import RedisSlots

__all__ = [
    "GateState",
    "Lane",
    "LimitSignal",
    "LocalSlots",
    "PostgresSlots",
    "RedisSlots",
    "SharedSlots",
    "Slot",
    "Slots",
]

# Hidden from type checkers, which would accept any name.
if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"PostgresSlots": "postgres", "RedisSlots": "redis"})
