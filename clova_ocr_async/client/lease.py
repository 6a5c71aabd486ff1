"""The slot of one request: waited for while there is time, held, and given back by the call or by what outlives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from clova_ocr_async.client.admission import Admission
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.slots.interface import Slot

__all__ = ["Lease"]


class Lease:
    """Waits for a slot and holds it while its context is open, or until it is given back.

    Args:
        context: The slot's own.
        domains: Where the call may go.
        admission: Counts the single calls that wait; None for a call of a batch.

    Attributes:
        slot: The slot, once it is held.
    """

    __slots__ = ("_admission", "_context", "_domains", "_kept", "slot")

    slot: Slot

    def __init__(
        self, context: AbstractAsyncContextManager[Slot], domains: Sequence[Domain], admission: Admission | None
    ) -> None:
        self._context = context
        self._domains = domains
        self._admission = admission
        self._kept = False

    async def __aenter__(self) -> Slot:
        if self._admission is None:
            self.slot = await self._context.__aenter__()
            return self.slot
        self._admission.join(self._domains)
        try:
            self.slot = await self._context.__aenter__()
        finally:
            self._admission.leave(self._domains)
        return self.slot

    async def __aexit__(self, *exc_info: object) -> None:
        if not self._kept:
            await self.give_back()

    def keep(self) -> None:
        """Hold the slot beyond the context, for whoever gives it back."""
        self._kept = True

    async def give_back(self) -> None:
        """Give the slot back."""
        await self._context.__aexit__(None, None, None)
