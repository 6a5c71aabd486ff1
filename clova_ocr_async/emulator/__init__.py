"""A local CLOVA: a server that answers as the specification documents, with faults on demand and sample documents.

A name is loaded at its first use: every run of pytest imports the plugin of this folder, and must not load aiohttp.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clova_ocr_async.emulator.domain_state import DomainState
    from clova_ocr_async.emulator.faults import Fault
    from clova_ocr_async.emulator.samples.ground_truth import GroundTruth, find_ground_truth
    from clova_ocr_async.emulator.samples.sample import Sample, draw_sample, write_samples
    from clova_ocr_async.emulator.server import Emulator
    from clova_ocr_async.emulator.thread import emulator_in_thread

_MODULES = {
    "DomainState": "domain_state",
    "Emulator": "server",
    "Fault": "faults",
    "Sample": "samples.sample",
    "GroundTruth": "samples.ground_truth",
    "emulator_in_thread": "thread",
    "draw_sample": "samples.sample",
    "find_ground_truth": "samples.ground_truth",
    "write_samples": "samples.sample",
}

__all__ = [
    "DomainState",
    "Emulator",
    "Fault",
    "GroundTruth",
    "Sample",
    "draw_sample",
    "emulator_in_thread",
    "find_ground_truth",
    "write_samples",
]


# Hidden from type checkers, which would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
        except ModuleNotFoundError as error:
            message = f"{name} needs {error.name}: pip install 'clova-ocr-async[emulator]'"
            raise ModuleNotFoundError(message, name=error.name) from None
        return getattr(module, name)
