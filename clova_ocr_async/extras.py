"""Modules that are loaded when they are first needed, most of them because they need the libraries of an extra."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

__all__ = ["lazy_names", "load_module"]


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
        raise ConfigurationError(_missing(purpose, error, extra)) from error


def lazy_names(package: str, modules: Mapping[str, str], extra: str = "") -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package some of whose names are loaded when they are first used.

    Args:
        package: The package.
        modules: The module in the package of each of these names.
        extra: The extra that the modules need; empty if each module has the name of its extra.
    """

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            module = importlib.import_module(f"{package}.{modules[name]}")
        except ModuleNotFoundError as error:
            # As any import that fails: a program may catch it and do without.
            raise ModuleNotFoundError(_missing(name, error, extra or modules[name]), name=error.name) from None
        return getattr(module, name)

    return load


def _missing(purpose: str, error: ModuleNotFoundError, extra: str) -> str:
    return f"{purpose} needs {error.name}: pip install 'clova-ocr-async[{extra}]'"
