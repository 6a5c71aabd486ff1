"""The corrections of a run in memory."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.corrections import Correction, CorrectionConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.ledger.corrections import Change
    from clova_ocr_async.ledger.states import Item
    from support.memory_run import MemoryRun


class MemoryCorrections:
    """The ``RunCorrections`` of a ``MemoryRun``."""

    def __init__(self, run: MemoryRun, *, now: Callable[[], float] = time.time) -> None:
        self._run = run
        self._now = now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def append(self, item: Item, change: Change, *, after: int) -> Correction:
        """Record a change."""
        run = self._run
        if (row := run.row_of(item)) is None or row.answer is None:
            raise LedgerError("the image has no stored answer any more, so there is nothing to correct")
        if max((one.number for one in run.corrections if one.item == item), default=0) != after:
            raise CorrectionConflictError
        run.last_correction += 1
        run.corrections.append(correction := Correction(run.last_correction, item, self._now(), change))
        return correction
