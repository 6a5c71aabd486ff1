"""The settings of a run that every store has, and the checks that they pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from clova_ocr_async.arguments import require_seconds
from clova_ocr_async.errors import ConfigurationError, LedgerError
from clova_ocr_async.ledger.seal import NoSeal, SealError
from clova_ocr_async.protocol.echoed_input import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.ledger.seal import Seal

__all__ = [
    "LEASE",
    "AnswerStorage",
    "CallLimit",
    "RequestedSettings",
    "check_seal_and_lease",
    "compare_seals",
    "compare_storage",
    "other_services",
    "seal_check",
]

AnswerStorage = Literal["full", "none"]
"""The answers that a run stores: all of them, or none and only how each call ended."""

CallLimit = int | Literal["none"]
"""Calls that may be billed, or maybe billed, over the whole life of a run; "none" for any number."""

LEASE = 30.0
"""Seconds a process may sleep before its work is given to others; the longest lease there is."""

_CHECK = b"clova-ocr-async"
_CONTEXT = b"check"


@dataclass(frozen=True, slots=True)
class RequestedSettings:
    """The settings that a process asks for when it opens a run.

    Attributes:
        seal: Seals answers and failures.
        store: The answers that are stored; as the run was begun if None.
        max_calls: The call limit from now on; the one that the run has if None.
        moved: Whether the user knows that the ledger is another file than it was, and that no other copy is worked on.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    seal: Seal
    store: AnswerStorage | None
    max_calls: CallLimit | None
    moved: bool = False

    def __post_init__(self) -> None:
        if self.store not in (None, "full", "none"):
            raise ConfigurationError(f"store is {shown(self.store)}; it must be 'full' or 'none'")
        number = self.max_calls  # its type is compared, as True is an int as well
        if number is not None and number != "none" and (type(number) is not int or number < 0):
            raise ConfigurationError(f"max_calls is {shown(number)}; it must be a whole number from 0, 'none' or None")

    @property
    def limit(self) -> int | None:
        """The call limit asked for; None for any number."""
        return None if self.max_calls == "none" else self.max_calls


def check_seal_and_lease(seal: Any, lease: Any) -> None:
    """Refuse arguments of a ledger that cannot work; its callers are not all typed.

    Raises:
        ConfigurationError: One of them cannot work; the message names it.
    """
    require_seconds("lease", lease, most=LEASE)
    if seal is not None and not hasattr(seal, "seal"):
        raise ConfigurationError(f"seal is a {type(seal).__name__}; it must be a Seal, as load_seal returns it")


def seal_check(seal: Seal) -> bytes | None:
    """Return a known text, sealed, that shows later which key a run has; None without a key."""
    # The name of a seal does not show its key.
    return None if seal.name == NoSeal.name else seal.seal(_CHECK, _CONTEXT)


def compare_seals(begun: object, check: bytes | None, seal: Seal) -> None:
    """Refuse another seal than the one that a run was begun with.

    Args:
        begun: The name of that seal.
        check: As ``seal_check`` returned it.
        seal: The seal that is given.

    Raises:
        LedgerError: The run was begun with another key, or with one and none is given, or the other way round.
    """
    if begun != seal.name:
        raise LedgerError(_other_seal(begun, seal))
    if check is None:
        return
    try:
        seal.open(check, _CONTEXT)
    except SealError:
        raise LedgerError("the key is not the one this run was begun with; its answers cannot be opened") from None


def _other_seal(begun: object, seal: Seal) -> str:
    if begun == NoSeal.name:
        return "a key is given, and this run was begun without one: give none for it (unset CLOVA_OCR_KEY)"
    if seal.name == NoSeal.name:
        return f"this run is sealed ({begun}); give its key (--key-file, CLOVA_OCR_KEY_FILE, or seal=)"
    return f"this run is sealed with {begun}, and the key given is for {seal.name}"


def compare_storage(begun: AnswerStorage, store: AnswerStorage | None) -> None:
    """Refuse another choice of what is stored than the one that a run was begun with.

    Raises:
        LedgerError: It is another one.
    """
    if store not in {None, begun}:
        raise LedgerError(
            f"store is {shown(store)}, and this run was begun with {shown(begun)}; begin another run for that"
        )


def other_services(begun: Sequence[str], asked: Sequence[str]) -> LedgerError:
    """Return the error of a run that was begun with other services."""
    return LedgerError(
        f"this run was begun with {_named(begun)}, and the domains are of {_named(asked)}; choose another run directory"
    )


def _named(services: Sequence[str]) -> str:
    return ", ".join("a server on this machine or network" if one == "local" else one for one in services)
