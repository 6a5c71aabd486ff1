from __future__ import annotations

import subprocess
import sys
import types

import pytest

from clova_ocr_async import ledger


def test_without_the_extra_the_folder_is_imported_and_the_ledger_names_it() -> None:
    """Without psycopg everything else of the folder works, and the ledger's error has the line that installs it."""
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; sys.modules['psycopg'] = None\n"
        "import clova_ocr_async.ledger as ledger; print(ledger.SqliteLedger.__name__)\n"
        "try: ledger.PostgresLedger\n"
        "except ModuleNotFoundError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "SqliteLedger",
        "PostgresLedger needs psycopg: pip install 'clova-ocr-async[postgres]'",
    ]


def test_the_ledger_comes_from_its_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder hands out the class of its store, loaded at the first use; other names are unknown."""
    store, kept = types.ModuleType("postgres"), object()
    vars(store)["PostgresLedger"] = kept
    monkeypatch.setitem(sys.modules, "clova_ocr_async.ledger.postgres", store)
    assert vars(ledger)["__getattr__"]("PostgresLedger") is kept
    monkeypatch.setitem(sys.modules, "clova_ocr_async.ledger.postgres", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'clova-ocr-async\[postgres\]'"):
        _ = ledger.PostgresLedger
    with pytest.raises(AttributeError, match="no attribute 'MysqlLedger'"):
        _ = ledger.MysqlLedger  # type: ignore[attr-defined]
