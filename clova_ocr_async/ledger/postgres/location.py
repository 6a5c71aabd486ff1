"""The place of a run in PostgreSQL: its server, its database and its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.server_url import POSTGRES, ServerURL, checked_run, parse_server_url

__all__ = ["run_location"]


def run_location(dsn: Any, run: Any = None) -> ServerURL:
    """Return the place of a run; callers are not all typed.

    Args:
        dsn: The URL of the database, or a ``ServerURL``.
        run: The name of the run, unless the URL has it.

    Raises:
        ConfigurationError: The URL cannot be one, or there is no name, or there are two. The URL is not repeated: it
            may hold a password.
    """
    if not isinstance(dsn, str | ServerURL):
        raise ConfigurationError(f"dsn is a {type(dsn).__name__}; it must be a URL: postgresql://user@host:port/db")
    server = parse_server_url(dsn, POSTGRES, "dsn") if isinstance(dsn, str) else dsn
    if run is None and server.run is None:
        raise ConfigurationError("the run has no name; give run=, or a URL that ends with ?run=NAME")
    if run is None:
        return server
    if not isinstance(run, str):
        raise ConfigurationError(f"run is a {type(run).__name__}; it must be a name")
    if server.run not in {None, run}:
        raise ConfigurationError("run= is another name than the URL has; give one of both")
    return replace(server, run=checked_run(run))
