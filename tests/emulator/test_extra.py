from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("missing", "statement", "line"),
    [
        (
            "PIL",
            "from clova_ocr_async.emulator import draw_sample",
            "draw_sample needs PIL: pip install 'clova-ocr-async[emulator]'",
        ),
        (
            "PIL",
            "import clova_ocr_async.emulator as e; e.write_samples",
            "write_samples needs PIL: pip install 'clova-ocr-async[emulator]'",
        ),
        (
            "pypdfium2",
            "from clova_ocr_async.pictures import count_pdf_pages",
            "count_pdf_pages needs pypdfium2: pip install 'clova-ocr-async[pictures]'",
        ),
    ],
)
def test_what_needs_an_extra_names_the_line_that_installs_it(missing: str, statement: str, line: str) -> None:
    """Without its extra a name raises ModuleNotFoundError, which names the command that installs it."""
    code = f"import sys; sys.modules[{missing!r}] = None; {statement}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=50)
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith(f"ModuleNotFoundError: {line}")


def test_the_emulator_needs_no_extra() -> None:
    """The server needs nothing but the base install."""
    code = (
        "import sys; sys.modules['PIL'] = None; from clova_ocr_async.emulator import Emulator, Fault, find_ground_truth"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=50)
