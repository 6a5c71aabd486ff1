"""The check of a ledger's arguments, before any file is made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from clova_ocr_async.arguments import require_seconds
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.server_url import is_url

if TYPE_CHECKING:
    from clova_ocr_async.ledger.seal import Seal

__all__ = ["check_settings"]


def check_settings(folder: Any, seal: Seal | None, lease: Any) -> None:
    """Refuse arguments of SqliteLedger that cannot work; its callers are not all typed.

    Raises:
        ConfigurationError: One of them cannot work; the message names it.
    """
    require_seconds("lease", lease, most=LEASE)
    if not isinstance(folder, str | os.PathLike):
        raise ConfigurationError(f"folder is a {type(folder).__name__}; it must be the path of a run directory")
    if is_url(os.fsdecode(folder)):  # else a folder of that name would be made
        raise ConfigurationError(
            "folder is a URL; it must be the path of a run directory (in a database: PostgresLedger)"
        )
    if seal is not None and not hasattr(seal, "seal"):
        raise ConfigurationError(f"seal is a {type(seal).__name__}; it must be a Seal, as load_seal returns it")
