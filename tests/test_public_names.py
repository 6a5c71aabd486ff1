from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import clova_ocr_async

NAMES = [
    "APIError",
    "AnswerDropped",
    "AnswerKept",
    "AnswerNotKeptError",
    "AnswerTaken",
    "AttemptFinished",
    "AttemptStarted",
    "AuthenticationError",
    "Batch",
    "BatchDispatcher",
    "Billing",
    "BizLicense",
    "CallFinished",
    "ClovaOCRClient",
    "ClovaOCRError",
    "ConfigurationError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "CreditCard",
    "DOCUMENTS",
    "DiskFullError",
    "Document",
    "Domain",
    "DomainError",
    "Emulator",
    "Event",
    "Failure",
    "Fault",
    "GateState",
    "HTTPRequest",
    "HTTPResponse",
    "HoldChanged",
    "Hook",
    "IdCard",
    "Image",
    "ImageError",
    "ImageFormat",
    "ImageLimits",
    "ImageSource",
    "InvalidRequestError",
    "LedgerError",
    "LocalSlots",
    "MalformedResponseError",
    "NameCard",
    "NotSentError",
    "Outcome",
    "OverloadedError",
    "Page",
    "Passport",
    "Preparation",
    "Problem",
    "QuotaExceededError",
    "RateLimitError",
    "Receipt",
    "Recognition",
    "RecognitionError",
    "RedactionError",
    "ResponseTimeoutError",
    "RetryPolicy",
    "RetryScheduled",
    "Secret",
    "ServerError",
    "SharedSlots",
    "SpendingCeilingError",
    "SqliteLedger",
    "Success",
    "TransportError",
    "date_from_text",
    "first",
    "images_from",
    "images_in",
    "load_seal",
    "pages_in",
]

STUB = ast.parse(Path(clova_ocr_async.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))


def imported_for_types() -> dict[str, str]:
    """Return the names of the stub and the modules they come from."""
    return {
        alias.name: node.module
        for node in STUB.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
    }


def test_the_public_names() -> None:
    """The root offers exactly these names; a change of them is a change of the contract."""
    assert sorted(clova_ocr_async.__all__) == sorted(NAMES)


def test_one_table() -> None:
    """The names that are offered, that are loaded and that type checkers see are the same, from the same folders."""
    homes = {name: f"clova_ocr_async.{home}" for name, home in vars(clova_ocr_async)["_HOME_OF"].items()}
    assert homes == imported_for_types()
    assert homes.keys() == set(vars(clova_ocr_async)["__all__"])
    assert sorted(homes) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_there(name: str) -> None:
    """Each name can be imported, is its folder's own, and is kept after the first use."""
    home = importlib.import_module(f"clova_ocr_async.{vars(clova_ocr_async)['_HOME_OF'][name]}")
    vars(clova_ocr_async).pop(name, None)
    assert getattr(clova_ocr_async, name) is getattr(home, name)
    assert name in vars(clova_ocr_async)
    assert name in home.__all__


def test_an_unknown_name() -> None:
    """An unknown name is an AttributeError like any module's."""
    with pytest.raises(AttributeError, match="module 'clova_ocr_async' has no attribute 'Reciept'"):
        _ = clova_ocr_async.Reciept  # type: ignore[attr-defined]


def test_dir() -> None:
    """dir() lists every public name, loaded or not."""
    assert set(NAMES) <= set(dir(clova_ocr_async))


def test_the_version() -> None:
    """__version__ is the installed distribution's."""
    version = importlib.import_module("importlib.metadata").version("clova-ocr-async")
    assert clova_ocr_async.__version__ == version


@pytest.mark.parametrize(
    "module", ["clova_ocr_async", "clova_ocr_async.emulator", "clova_ocr_async.emulator.pytest_plugin"]
)
def test_nothing_heavy_is_loaded(module: str) -> None:
    """Importing the root, the emulator's folder or the pytest plugin loads no HTTP library, no Pillow, no tenacity."""
    heavy = {"aiohttp", "PIL", "tenacity", "msgspec", "anyio"} - ({"anyio"} if "plugin" in module else set())
    program = f"import sys, {module}\nprint(sorted({heavy!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
