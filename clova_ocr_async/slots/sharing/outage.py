"""Outage of the store of shared slots: each process goes on with its last share.

The *share* of a process is the calls that it had in flight at its last sync with the store. No other process was
granted those slots. So if every process keeps to its share, no more calls are in flight than before the outage. A
process without a share waits.

When the store is back, a process that syncs again sees others that have not synced yet: their leases may be over, or
the store may have lost its contents. So for some seconds it keeps to its share, and no lease counts as over. The same
holds for leases that a new process sees: it cannot know how long the store was away.

A share ends with the lease if the process did not even try to renew it: the process was stopped, and others may have
been granted its slots.

None of this is for a store in which the process has never stored anything: its URL may be wrong or that of a replica,
and waiting would not show it. That is an error, each time that it is tried.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.plural import plural
from clova_ocr_async.slots.sharing.state import SharedGate
from clova_ocr_async.slots.sharing.store import StoreBusyError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.slots.limit import ConcurrencyLimit
    from clova_ocr_async.slots.sharing.store import StoreAwayError

__all__ = ["GRACE", "Outage", "settings_error"]

logger = logging.getLogger("clova_ocr_async")

_FIRST_RETRY, _LONGEST_RETRY = 0.1, 3.0  # seconds between two tries to reach the store

GRACE = 6.0
"""Seconds after which every process that runs has synced with a store that is back: the longest time between two tries,
and what a try takes."""


class Outage:
    """The outages of a store, as one process sees them.

    Args:
        runtime: Time and randomness.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._shares: Counter[str] = Counter()
        self._caps: Mapping[str, int] | None = None
        self._gates: dict[str, SharedGate] = {}
        self._failures = 0
        self._retry_at = float("-inf")
        self._reached_since: float | None = None
        self._place = ""

    @property
    def may_try(self) -> bool:
        """True if the store is there, as far as known, or may be tried again."""
        return self._runtime.clock() >= self._retry_at

    @property
    def retry_in(self) -> float:
        """Seconds until the store may be tried again."""
        return max(0.0, self._retry_at - self._runtime.clock())

    @property
    def trusts_leases(self) -> bool:
        """True if a lease that is over is a sign of death, as other processes could have renewed theirs."""
        if self._failures or self._reached_since is None:
            return False
        return self._runtime.clock() - self._reached_since >= GRACE

    def share(self, key: str) -> int:
        """Return the share of a domain's slots that the process has in an outage."""
        return self._shares[key]

    def cap(self, key: str) -> int | None:
        """Return the most calls at once that the process may have in flight; None if the store alone decides."""
        if self._failures:
            return self._shares[key]
        return None if self._caps is None or self.trusts_leases else self._caps.get(key, 0)

    def gate(self, key: str, limit: ConcurrencyLimit) -> SharedGate:
        """Return the slots of a domain in an outage, without those of other processes.

        Args:
            key: The domain's key.
            limit: The limit as it was before the outage.
        """
        return self._gates.setdefault(key, SharedGate(limit))

    def on_lost_lease(self) -> None:
        """Record that the process may have lost its slots to others, and with them its share."""
        self._shares.clear()

    def on_lost_contents(self, within: float) -> None:
        """Record that the store has lost its contents, by an eviction or by hand, and that nothing showed it.

        Args:
            within: Seconds in which every process that runs syncs.
        """
        self._caps = dict(self._shares)
        self._reached_since = self._runtime.clock() + within

    def on_saving(self, held: Mapping[str, int]) -> None:
        """Record the calls in flight that are about to be stored; if it fails, they may have been stored or not."""
        for key, share in self._shares.items():
            self._shares[key] = min(share, held.get(key, 0))

    def on_synced(self, held: Mapping[str, int]) -> None:
        """Record a successful sync, and the calls in flight that the store has now."""
        if self._failures or self._reached_since is None:
            self._reached_since = self._runtime.clock()
        if self._failures:
            self._caps = dict(self._shares)
            self._gates.clear()
            self._failures = 0
            logger.warning("slots: %s can be used again", self._place)
        self._shares = Counter(held)

    def on_away(self, error: StoreAwayError) -> None:
        """Record that the store is away, and when it may be tried again.

        Raises:
            ConfigurationError: The settings are or may be wrong: the store has never taken a change of this process.
        """
        # One that others change all the time takes changes.
        if self._reached_since is None and not isinstance(error, StoreBusyError):
            raise settings_error(error)
        if not self._failures:
            self._place = error.place
            share = self._shares.total()
            meanwhile = f"this process keeps to the {plural(share, 'slot')} that it had" if share else "nothing is sent"
            logger.warning("slots: %s; until it can, %s", error, meanwhile)
        longest = min(_LONGEST_RETRY, _FIRST_RETRY * 2.0 ** min(self._failures, 10))
        self._failures += 1
        self._retry_at = self._runtime.clock() + self._runtime.uniform(longest / 2, longest)


def settings_error(error: StoreAwayError) -> ConfigurationError:
    """Return the error of a store that cannot be used from the start.

    Args:
        error: Why it cannot; it is retryable if that may pass by itself.
    """
    way_out = "" if error.permanent else "; nothing was sent: check the URL of the slots, and whether the server runs"
    return ConfigurationError(f"slots: {error}{way_out}", retryable=not error.permanent)
