"""The store of shared slots: the contract, and transactions on it."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Mapping

    from clova_ocr_async.slots.sharing.state import SharedGate

__all__ = ["GateConflictError", "GateStore", "StoreAwayError", "StoreBusyError", "name_of", "transaction"]


class GateConflictError(Exception):
    """Another process has changed the slots since they were loaded; nothing is lost if all is done again."""


class StoreAwayError(Exception):
    """The store cannot be used now.

    Args:
        place: The store, without its password.
        reason: Why it cannot be used.
        permanent: Whether that is wrong settings, and does not pass by itself.

    Attributes:
        place: The store, without its password.
        permanent: Whether it does not pass by itself.
    """

    def __init__(self, place: str, reason: str, *, permanent: bool = False) -> None:
        super().__init__(f"{place} cannot be used: {reason}")
        self.place = place
        self.permanent = permanent


class StoreBusyError(StoreAwayError):
    """Other processes change the store all the time, and none of this process's changes comes first."""

    def __init__(self) -> None:
        super().__init__("the store", "other processes change it all the time")


class GateStore(Protocol):
    """A store of the slots of domains, which processes share. One thread at a time uses it.

    Losing the contents does no harm: they are learned again. A store that cannot be reached goes on in memory, or
    raises ``StoreAwayError``. Any other error reaches all calls that wait.
    """

    @property
    def several_hosts(self) -> bool:
        """Whether processes of several hosts share it."""
        ...

    def load(self, names: Collection[str]) -> dict[str, SharedGate]:
        """Return the slots of some domains, and lock them against all other processes, or note their contents.

        A domain that is not stored has a new ``SharedGate``, and so has one whose contents are not plausible.

        Raises:
            StoreAwayError: The store cannot be used now.
        """
        ...

    def save(self, gates: Mapping[str, SharedGate]) -> None:
        """Store what ``load`` returned, and unlock it.

        Raises:
            GateConflictError: It was not locked, and another process has changed it since.
            StoreAwayError: The store cannot be used now; it may have been changed all the same.
        """
        ...

    def now(self) -> float:
        """Return seconds that only grow, on a clock that all processes share. Called between load and save."""
        ...

    def close(self) -> None:
        """Unlock what was loaded and not saved, without storing it, and let go of files and connections.

        The next ``load`` opens them again.
        """
        ...


def name_of(key: str) -> str:
    """Return the name of a domain in a store, which is a hash: the key of a domain holds a secret."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


@contextmanager
def transaction(store: GateStore, keys: Iterable[str]) -> Generator[dict[str, SharedGate]]:
    """Open the slots of some domains, by their keys; changes are stored at the end, unless there is an error."""
    names = {key: name_of(key) for key in keys}
    try:
        loaded = store.load(names.values())
        yield {key: loaded[name] for key, name in names.items()}
        store.save(loaded)
    except GateConflictError:
        raise  # nothing is locked, and the store is used again at once
    except BaseException:
        store.close()  # unlocks the domains: other processes must not wait for this one's error
        raise
