from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.doc_pages import blocks_of


def test_a_night_before_the_first_image_is_no_fault_of_the_settings(tmp_path: Path) -> None:
    """The nightly job ends with exit code 5, and not with 2, while there has been no image to begin a run with."""
    (job,) = [block for block in blocks_of("howto/nightly.md") if block.title == "nightly.sh"]
    (tmp_path / "scans").mkdir()
    environ = os.environ | {
        "CLOVA_OCR_INVOKE_URL": "http://127.0.0.1:9/custom/v1/1/key",
        "CLOVA_OCR_SECRET": "secret",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", job.code], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 5, done.stderr
