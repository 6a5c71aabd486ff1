from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import pydoc
from typing import TYPE_CHECKING, Any

import pytest

import clova_ocr_async

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_looked_at(name: str) -> bool:
    """Return whether a module can be imported: one of a server's extra cannot where that is not installed."""
    if name.endswith("__main__"):  # it runs the command
        return False
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        return error.name is None or error.name.startswith("clova_ocr_async")
    return True


MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(clova_ocr_async.__path__, "clova_ocr_async.")
    if is_looked_at(found.name)
)
CANARY = "canary4bd1in9the7environment"
LONGEST = 300  # characters of a default's repr; RetryPolicy(…) has the most settings


def callables(name: str) -> Iterator[tuple[str, Any]]:
    """Yield the functions and classes that a module defines, and the functions of its classes."""
    pending = [(f"{name}.{key}", value) for key, value in vars(importlib.import_module(name)).items()]
    for place, value in pending:
        if getattr(value, "__module__", None) != name:
            continue
        if inspect.isclass(value):
            pending += [(f"{place}.{key}", _bare(member)) for key, member in vars(value).items()]
        if callable(value):
            yield place, value


def _bare(member: Any) -> Any:
    """Return the function within a class method, a static method or a property."""
    return getattr(member, "fget", None) or getattr(member, "__func__", member)


def defaults(name: str) -> Iterator[tuple[str, object]]:
    """Yield the defaults of everything that a module can have called."""
    for place, value in callables(name):
        try:
            signature = inspect.signature(value)
        except (TypeError, ValueError):  # of a type without one
            continue
        for parameter in signature.parameters.values():
            if parameter.default is not parameter.empty:
                yield f"{place}({parameter.name}=)", parameter.default


@pytest.mark.parametrize("name", MODULES)
def test_no_default_value_holds_the_environment(name: str) -> None:
    """No parameter's default is the environment or as large as it: tooltips and documentation print them."""
    for place, default in defaults(name):
        assert default is not os.environ, place
        assert len(repr(default)) <= LONGEST, place


@pytest.mark.parametrize("name", MODULES)
def test_help_shows_nothing_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`help` of a module shows no value of the environment, by whatever way it might come there."""
    module = importlib.import_module(name)
    monkeypatch.setenv("CLOVA_OCR_SECRET", CANARY)
    assert CANARY not in pydoc.render_doc(module)


def test_the_walk_finds_what_it_looks_for() -> None:
    """Functions, methods, class methods and defaults are among what is looked at."""
    found = {place for name in MODULES for place, _ in callables(name)}
    assert {
        "clova_ocr_async.ledger.seal.load_seal",
        "clova_ocr_async.client.client.ClovaOCRClient.from_env",
        "clova_ocr_async.domains.domain.Domain",
        "clova_ocr_async.domains.domain.Domain.__init__",
    } <= found
    assert "clova_ocr_async.ledger.seal.load_seal(load=)" in dict(defaults("clova_ocr_async.ledger.seal"))
