"""Modules that need the libraries of an extra, loaded when they are first needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["load_module"]


def load_module(name: str, purpose: str, extra: str = "pictures") -> ModuleType:
    """Import a module of this package that needs the libraries of an extra.

    Args:
        name: The module.
        purpose: The work that needs it, as the subject of the message.
        extra: The extra.

    Raises:
        ConfigurationError: A library is not installed; the message names the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        message = f"{purpose} needs {error.name}: pip install 'clova-ocr-async[{extra}]'"
        raise ConfigurationError(message) from error
