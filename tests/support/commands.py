"""Commands of the command line, run in this process, in one of their own, or in a shell."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner, Result

from clova_ocr_async.cli.app import app
from clova_ocr_async.cli.runs.call_counter import CallCounter
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.cli.runs.resumable import ResumableRun, RunSettings
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.ledger.seal import NoSeal
from support.fakes import domain

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.domains import Domain
    from clova_ocr_async.emulator import Emulator

CLOVA_OCR = [sys.executable, "-m", "clova_ocr_async"]
PICTURES = [draw_sample("receipt", seed=seed).data for seed in range(6)]


def clova_ocr(*arguments: str | Path, stdin: bytes = b"") -> Result:
    """Run a command in this process, in a thread of its own.

    CPython 3.11 reports one return too many when an exception wakes a task, which would make coverage lose this thread.
    """
    logger = logging.getLogger("clova_ocr_async")
    before = logger.level
    try:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(CliRunner().invoke, app, [str(part) for part in arguments], input=stdin).result()
    finally:
        logger.setLevel(before)


def exported(run: str | Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """Return the records of a run."""
    result = clova_ocr("export", run, *arguments)
    assert result.exit_code == 0, result.stderr
    return records_in(result.stdout)


def records_in(lines: str | bytes) -> list[dict[str, Any]]:
    """Return the records of an output."""
    return [json.loads(line) for line in lines.splitlines()]


def status(run: str | Path) -> dict[str, Any]:
    """Return the status of a run."""
    counts: dict[str, Any] = json.loads(clova_ocr("status", run, "--json").stdout)
    return counts


def environment_of(clova: Emulator) -> dict[str, str]:
    """Return the environment of a process that calls a local CLOVA."""
    return os.environ | {"CLOVA_OCR_INVOKE_URL": clova.url(), "CLOVA_OCR_SECRET": clova.secret}


def start(clova: Emulator, *arguments: str | Path, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own."""
    command = [*CLOVA_OCR, *map(str, arguments)]
    return subprocess.Popen(command, env=environment_of(clova), stdout=stdout, stderr=subprocess.PIPE)


def shell(
    clova: Emulator, command: str, *arguments: str | Path, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a line of bash, in which ``clova-ocr`` is the command, and ``"$@"`` the command with the arguments."""
    line = f'clova-ocr() {{ "{sys.executable}" -m clova_ocr_async "$@"; }}; {command}'
    words = ["bash", "-c", line, "bash", *CLOVA_OCR, *map(str, arguments)]
    variables = environment_of(clova) | environment
    return subprocess.run(words, cwd=folder, env=variables, capture_output=True, check=False, timeout=50)


def many_pictures(folder: Path, count: int) -> Path:
    """Make a folder of different pictures."""
    folder.mkdir()
    for number in range(count):
        # Bytes behind the end of a PNG make it another picture, and are cheaper than drawing one.
        (folder / f"{number:03}.png").write_bytes(PICTURES[0] + b"%d" % number)
    return folder


def resumable_run(
    run: Path, *domains: Domain, settings: dict[str, Any] | None = None, **of_client: Any
) -> ResumableRun:
    """Return one command's part in a run of receipts, by default without a seal."""
    calls = CallCounter()
    client = ClovaOCRClient(*(domains or (domain(),)), hooks=[calls.note], **of_client)
    return ResumableRun(
        client, calls, RunSettings(str(run), Receipt, **({"seal": NoSeal()} | (settings or {}))), Search([])
    )
