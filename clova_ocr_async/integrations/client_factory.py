"""The functions that people give to integrations, which make a client in each process."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, cast

from clova_ocr_async import ClovaOCRClient, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["made_client", "require_client_factory"]


def require_client_factory(make_client: Callable[[], ClovaOCRClient]) -> None:
    """Refuse what is not a plain function.

    Raises:
        ConfigurationError: It is not one.
    """
    if not callable(make_client) or inspect.iscoroutinefunction(make_client):
        raise ConfigurationError(
            f"make_client is {_kind(make_client)}; it must be a function that returns a client, "
            "such as ClovaOCRClient.from_env"
        )


def made_client(make_client: Callable[[], ClovaOCRClient]) -> ClovaOCRClient:
    """Return a new client, which is not open yet.

    Raises:
        ConfigurationError: The function returns something else, or its settings cannot work.
    """
    client = cast("object", make_client())
    if not isinstance(client, ClovaOCRClient):
        raise ConfigurationError(f"make_client returned a {type(client).__name__}; it must return a ClovaOCRClient")
    return client


def _kind(value: object) -> str:
    return "an async function" if inspect.iscoroutinefunction(value) else f"a {type(value).__name__}"
