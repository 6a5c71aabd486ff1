"""The check of a ledger's arguments, before any file is made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.ledger.run_settings import check_seal_and_lease
from clova_ocr_async.server_url import is_url

if TYPE_CHECKING:
    from clova_ocr_async.ledger.seal import Seal

__all__ = ["check_settings"]


def check_settings(folder: Any, seal: Seal | None, lease: Any) -> None:
    """Refuse arguments of SqliteLedger that cannot work; its callers are not all typed.

    Raises:
        ConfigurationError: One of them cannot work; the message names it.
    """
    if not isinstance(folder, str | os.PathLike):
        raise ConfigurationError(f"folder is a {type(folder).__name__}; it must be the path of a run directory")
    if is_url(os.fsdecode(cast("str | os.PathLike[str]", folder))):  # else a folder of that name would be made
        raise ConfigurationError(
            "folder is a URL; it must be the path of a run directory (in a database: PostgresLedger)"
        )
    check_seal_and_lease(seal, lease)
