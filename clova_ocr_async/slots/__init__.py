"""Slots: the right to have one call in flight, as many per domain as the service turns out to allow."""

from clova_ocr_async.slots.interface import GateState, Lane, Slot, Slots
from clova_ocr_async.slots.limit import LimitSignal
from clova_ocr_async.slots.local import LocalSlots
from clova_ocr_async.slots.shared import SharedSlots

__all__ = ["GateState", "Lane", "LimitSignal", "LocalSlots", "SharedSlots", "Slot", "Slots"]
