"""The gate: how many calls of a domain may be under way at once.

The service limits the calls that are *under way at the same time*, per domain, and answers 0025 beyond (source:
guide.ncloud-docs.com, CLOVA OCR error messages, 2026-09). So a call holds a slot from its first byte to its answer and
not a moment longer: backing off, reading files and waiting for the quota hold none.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal, Protocol

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from clova_ocr_async.client.domain import Domain

__all__ = ["DEFAULT_CONCURRENCY", "Lane", "LocalSlots", "Slots"]

Lane = Literal["interactive", "batch"]
"""Who asks: somebody waits for this one call, or it is one of many."""

DEFAULT_CONCURRENCY = 5
"""Calls at once per domain. Assumed: the one ceiling a user has published (2025-10)."""


class Slots(Protocol):
    """Hands out the right to have a call under way."""

    def slot(self, domain: Domain, lane: Lane) -> AbstractAsyncContextManager[None]:
        """Wait for a slot of a domain and hold it for as long as the context is open."""
        ...

    def free(self, domain: Domain) -> int:
        """Return how many slots of a domain nobody holds or waits for; negative when calls queue."""
        ...


class LocalSlots:
    """A fixed number of slots per domain, for the calls of one process; first come, first served.

    Args:
        concurrency: Slots per domain.

    Raises:
        ConfigurationError: ``concurrency`` is no whole number from 1.
    """

    def __init__(self, concurrency: int = DEFAULT_CONCURRENCY) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
            raise ConfigurationError(f"concurrency is {concurrency!r}; it must be a whole number from 1")
        self._concurrency = concurrency
        self._semaphores: dict[str, asyncio.Semaphore] = {}
        self._wanted: dict[str, int] = {}

    @asynccontextmanager
    async def slot(self, domain: Domain, lane: Lane) -> AsyncGenerator[None]:  # noqa: ARG002 - one queue for both lanes
        """Wait for a slot and hold it."""
        key = domain.key
        semaphore = self._semaphores.setdefault(key, asyncio.Semaphore(self._concurrency))
        self._wanted[key] = self._wanted.get(key, 0) + 1
        try:
            async with semaphore:
                yield
        finally:
            self._wanted[key] -= 1

    def free(self, domain: Domain) -> int:
        """Return how many slots nobody holds or waits for."""
        return self._concurrency - self._wanted.get(domain.key, 0)
