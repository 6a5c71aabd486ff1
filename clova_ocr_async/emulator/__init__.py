"""A local CLOVA: a server that answers as the specification documents, with faults on demand and sample documents.

A name is loaded at its first use: every run of pytest imports the plugin of this folder, and must not load aiohttp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.extras import lazy_names

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
    __getattr__ = lazy_names(__name__, _MODULES, "emulator")
