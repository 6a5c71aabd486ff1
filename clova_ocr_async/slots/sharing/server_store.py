"""A store of shared slots on a server, which processes of several hosts share.

Each domain is one value on the server, and is replaced only if it still is what was read (compare and swap). So no lock
is held between the two requests: a process that is stopped there, even for minutes, keeps no other process waiting. A
sync that changes nothing, as most polls do not, is one request that writes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.slots.sharing.store import GateConflictError, name_of
from clova_ocr_async.slots.sharing.validation import decode_gate

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from clova_ocr_async.slots.sharing.state import SharedGate

__all__ = ["Change", "ServerGateStore", "one_line"]

_LONGEST_REASON = 300  # characters of an error's text

Change = tuple[str, bytes, bytes]
"""The name of a domain, its JSON as it was read (b"" if there was none), and its new JSON."""


class ServerGateStore(ABC):
    """Base of a ``GateStore`` on a server.

    Attributes:
        several_hosts: True.
    """

    several_hosts = True

    def __init__(self) -> None:
        self._read_at = 0.0
        self._values: Mapping[str, bytes] = {}

    def load(self, names: Collection[str]) -> dict[str, SharedGate]:
        """Read the slots of some domains; see ``GateStore.load``."""
        self._read_at, self._values = self.read(sorted(names))
        return {name: decode_gate(self._values.get(name), self._read_at) for name in names}

    def save(self, gates: Mapping[str, SharedGate]) -> None:
        """Replace what has changed; see ``GateStore.save``.

        A conflict over one of several domains may leave the others replaced. That does no harm: a member reports its
        calls in flight, and not the difference.
        """
        old_and_new = [
            (name, self._values.get(name, b""), msgspec.json.encode(gate)) for name, gate in sorted(gates.items())
        ]
        changes = [change for change in old_and_new if change[1] != change[2]]
        if changes and not self.swap(changes):
            raise GateConflictError

    def now(self) -> float:
        """Return the server's time of the last load."""
        return self._read_at

    def check(self) -> None:
        """Reach the server once, and change nothing there.

        Raises:
            StoreAwayError: The server cannot be used now, or this user may not use it.
        """
        self.read([name_of("")])  # a name that no domain has

    @abstractmethod
    def read(self, names: Sequence[str]) -> tuple[float, dict[str, bytes]]:
        """Return the server's time, not earlier than that of any stored change, and the values of some domains.

        Args:
            names: The names of the domains, sorted.

        Raises:
            StoreAwayError: The server cannot be used now.
        """

    @abstractmethod
    def swap(self, changes: Sequence[Change]) -> bool:
        """Replace the values of some domains, each only if it is as it was read; return whether all were.

        Args:
            changes: The changes, sorted.

        Raises:
            StoreAwayError: The server cannot be used now.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection; see ``GateStore.close``."""


def one_line(error: Exception, secret: str | None) -> str:
    """Return the text of a library's error for a message: one line, shortened, without a password.

    Args:
        error: The error.
        secret: The password; None if there is none.
    """
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if secret:
        text = text.replace(secret, "***")
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}…"
