"""A domain whose quota is spent: one call probes it, the others fail at once or wait.

The service does not say when the quota comes back, so asking is the only way to know; one call is enough to ask.
"""

from __future__ import annotations

import asyncio

__all__ = ["QuotaHold"]


class QuotaHold:
    """The hold on one domain.

    Attributes:
        retry_after: Seconds the probing call waits before it asks again; None while nobody probes.
    """

    __slots__ = ("_ended", "_restored", "retry_after")

    def __init__(self) -> None:
        self._ended: asyncio.Event | None = None
        self._restored = True
        self.retry_after: float | None = None

    @property
    def held(self) -> bool:
        """Whether a call probes."""
        return self._ended is not None

    def begin(self) -> bool:
        """Hold the domain; return whether the caller is the one that probes."""
        if self._ended is not None:
            return False
        self._ended = asyncio.Event()
        return True

    def end(self, *, restored: bool) -> None:
        """Let the domain go; ``restored`` is False if the quota stayed spent over all probes."""
        if self._ended is not None:
            self._restored = restored
            self.retry_after = None
            self._ended.set()
            self._ended = None

    async def wait(self) -> bool:
        """Wait until the domain is let go; return whether calls may go on."""
        while self._ended is not None:
            await self._ended.wait()
            if not self._restored:
                return False
        return True
