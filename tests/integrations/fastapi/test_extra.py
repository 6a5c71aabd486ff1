from __future__ import annotations

import subprocess
import sys


def test_without_the_extra_the_line_that_installs_it_is_named() -> None:
    """Without FastAPI the import raises ModuleNotFoundError, which names the command that installs it."""
    code = "import sys; sys.modules['fastapi'] = None; import clova_ocr_async.integrations.fastapi"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=50)
    line = "clova_ocr_async.integrations.fastapi needs fastapi: pip install 'clova-ocr-async[fastapi]'"
    assert (done.returncode, done.stderr.rstrip().splitlines()[-1]) == (1, f"ModuleNotFoundError: {line}")
