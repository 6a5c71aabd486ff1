"""Commands without a service that can be reached."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.commands import CLOVA_OCR

from clova_ocr_async.emulator import draw_sample

if TYPE_CHECKING:
    from pathlib import Path


def refusing() -> str:
    """Return the URL of a port that refuses connections."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{server.getsockname()[1]}/custom/v1/1/key"


@pytest.mark.parametrize("verb", ["recognize", "batch", "run"])
@pytest.mark.parametrize("host", ["refuses", "is not there"])
def test_a_host_that_cannot_be_reached_is_reported_at_once(tmp_path: Path, verb: str, host: str) -> None:
    """A mistyped host or a refused connection ends a command within seconds, with 4, the host and what to check."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    url = refusing() if host == "refuses" else "https://nosuchhost.invalid/custom/v1/1/key"
    environment = os.environ | {"CLOVA_OCR_INVOKE_URL": url, "CLOVA_OCR_SECRET": "secret"}
    words = {"recognize": ["recognize", "receipt", "a.png"], "batch": ["batch", "receipt", "."]}
    words["run"] = ["batch", "receipt", "a.png", "--run", "run"]
    began = time.monotonic()
    command = [*CLOVA_OCR, *words[verb]]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=50)
    assert time.monotonic() - began < 40
    assert done.returncode == 4, done.stderr
    named = b"127.0.0.1" if host == "refuses" else b"nosuchhost.invalid"
    assert b"no connection to " + named in done.stderr
    assert b"check the host of the invoke URL (clova-ocr doctor shows it), the network, and --proxy" in done.stderr
    if verb == "run":
        assert b"to go on: " in done.stderr
        command = [*CLOVA_OCR, "status", "run", "--json"]
        text = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, timeout=50).stdout
        assert json.loads(text)["images"] == {"pending": 1}
    else:
        assert json.loads(done.stdout)["billed"] is False
