"""Slots: the right to have one call in flight, as many per domain as the service turns out to allow.

The slots on a server are loaded at their first use, as they need the libraries of an extra.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

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

_EXTRAS = {"PostgresSlots": "postgres", "RedisSlots": "redis"}  # the extra, and the module

# Hidden from type checkers, which would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _EXTRAS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{__name__}.{_EXTRAS[name]}")
        except ModuleNotFoundError as error:
            message = f"{name} needs {error.name}: pip install 'clova-ocr-async[{_EXTRAS[name]}]'"
            raise ModuleNotFoundError(message, name=error.name) from None
        return getattr(module, name)
