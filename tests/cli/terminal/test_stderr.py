from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pytest


def test_printing_outside_of_a_command_works(capsys: pytest.CaptureFixture[str]) -> None:
    """A text outside of a command is printed, without the characters that steer a terminal."""
    from clova_ocr_async.cli.terminal.stderr import echo_stderr, is_quiet  # noqa: PLC0415 - this test's own

    echo_stderr("a\x1bb")
    assert capsys.readouterr().err == "a?b\n"
    assert not is_quiet()
    assert click.get_current_context(silent=True) is None
