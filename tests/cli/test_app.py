from __future__ import annotations

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
