from __future__ import annotations

import subprocess
import sys

import pytest

from clova_ocr_async.cli.app import app


def test_shell_completion_knows_the_verbs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Completing an empty word offers every verb."""
    monkeypatch.setenv("_CLOVA_OCR_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "clova-ocr ")
    monkeypatch.setenv("COMP_CWORD", "1")
    with pytest.raises(SystemExit):
        app(prog_name="clova-ocr")
    assert "plain,recognize" in capsys.readouterr().out


def test_help_loads_nothing_heavy() -> None:
    """The help loads click and the command line alone: neither the client nor a library of it."""
    program = (
        "import sys\n"
        "from clova_ocr_async.cli import main\n"
        "sys.argv[1:] = ['--help']\n"
        "try:\n    main()\n"
        "except SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    heavy = ("asyncio", "logging", "msgspec", "aiohttp", "rich", "documents", "errors", "client", "ledger", "protocol")
    assert loaded & {*heavy, *(f"clova_ocr_async.{name}" for name in heavy)} == set()
    assert "clova_ocr_async.cli.app" in loaded
