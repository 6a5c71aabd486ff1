"""The settings of a ledger, checked before anything is made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.sqlite.owners import LEASE
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from clova_ocr_async.batch.seal import Seal

__all__ = ["check_settings"]


def check_settings(folder: Any, seal: Seal | None, store: str | None, max_calls: Any, lease: Any) -> None:
    """Refuse what cannot work; the arguments are those of SqliteLedger, whose callers are not all typed.

    Raises:
        ConfigurationError: One of them cannot work; the message names it.
    """
    if max_calls is not None and (type(max_calls) is not int or max_calls < 0):
        raise ConfigurationError(f"max_calls is {max_calls!r}; it must be a whole number from 0, or None")
    if type(lease) not in {int, float} or not 0 < lease <= LEASE:
        raise ConfigurationError(f"lease is {lease!r}; it must be seconds, more than 0 and at most {LEASE:g}")
    if not isinstance(folder, str | os.PathLike):
        raise ConfigurationError(f"folder is a {type(folder).__name__}; it must be the path of a run directory")
    if seal is not None and not hasattr(seal, "seal"):
        raise ConfigurationError(f"seal is a {type(seal).__name__}; it must be a Seal, as load_seal returns it")
    if store not in {None, "full", "none"}:
        raise ConfigurationError(f"store is {store!r}; it must be 'full' or 'none'")
