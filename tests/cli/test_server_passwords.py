from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support.commands import clova_ocr
from support.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator

CANARY = "kanarienvogel"


@pytest.mark.parametrize(
    "words",
    [
        ("status", "{run}"),
        ("status", "{run}", "--json"),
        ("export", "{run}"),
        ("export", "{run}", "--format", "csv", "-o", "out.csv"),
        ("purge", "{run}", "--yes"),
        ("report", "{run}"),
        ("review", "{run}"),
        ("annotate", "{run}", "-o", "drawn"),
        ("redact", "{run}", "-o", "masked"),
        ("batch", "receipt", "{scans}", "--run", "{run}"),
        ("batch", "receipt", "{scans}", "--run={run}", "--dry-run"),
        ("batch", "receipt", "--run", "{run}", "--retry-failed"),
        ("watch", "receipt", "{scans}", "--run", "{run}", "--settle", "0"),
        ("ledger", "copy", "{run}", "copy"),
        ("ledger", "copy", "copy", "{run}"),
        ("ledger", "copy", "{run}", "{run}"),
    ],
    ids=" ".join,
)
def test_a_server_that_is_away_is_one_line_without_the_password(
    words: tuple[str, ...], clova: Emulator, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verb that meets a server that is away ends with one line and its code, and shows no password anywhere."""
    monkeypatch.chdir(tmp_path)
    url = f"postgresql://me:{CANARY}@127.0.0.1:{free_port()}/ocr?password={CANARY}&run=march"
    given = [word.format(run=url, scans=scans) for word in words]
    monkeypatch.setattr("sys.argv", ["clova-ocr", *given])
    result = clova_ocr("-vv", *given)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code in {2, 4}
    assert len([line for line in result.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert CANARY not in result.output
    assert CANARY not in "".join(os.environ.values())
    for place in (tmp_path, os.environ["XDG_STATE_HOME"]):
        for folder, _, names in os.walk(place):
            assert not any(_holds_canary(os.path.join(folder, name)) for name in names)  # noqa: PTH118
    assert clova.requests == 0


def _holds_canary(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123 - any name of a file
        return CANARY.encode() in file.read()
