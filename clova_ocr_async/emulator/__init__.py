"""A local CLOVA: a server that answers as the specification says, with faults on demand and documents to read.

Names are loaded when first used: the pytest plugin of this folder is imported by every run of pytest.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clova_ocr_async.emulator.faults import Fault
    from clova_ocr_async.emulator.meter import DomainMeter
    from clova_ocr_async.emulator.samples import Sample, draw_sample, write_samples
    from clova_ocr_async.emulator.server import Emulator
    from clova_ocr_async.emulator.thread import emulator_in_thread
    from clova_ocr_async.emulator.truth import Truth, find_truth

_HOME_OF = {
    "DomainMeter": "meter",
    "Emulator": "server",
    "Fault": "faults",
    "Sample": "samples",
    "Truth": "truth",
    "emulator_in_thread": "thread",
    "draw_sample": "samples",
    "find_truth": "truth",
    "write_samples": "samples",
}

__all__ = [
    "DomainMeter",
    "Emulator",
    "Fault",
    "Sample",
    "Truth",
    "draw_sample",
    "emulator_in_thread",
    "find_truth",
    "write_samples",
]


# Hidden from type checkers, which would take any name for there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{__name__}.{_HOME_OF[name]}")
        except ModuleNotFoundError as error:
            line = f"{name} needs {error.name}: pip install 'clova-ocr-async[emulator]'"
            raise ModuleNotFoundError(line, name=error.name) from None
        return getattr(module, name)
