"""The start of the command line and of the import: time over Python itself and over importing aiohttp.

Every start is a process of its own, all of them in turn. Compiled code is kept, as an installation keeps it, in a
folder that is filled before the first round.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from statistics import median

from frame import Row, alone, compared, in_turn

ROUNDS = 25
SCRIPT = "import sys; from clova_ocr_async.cli import main; sys.exit(main())"  # what an installer writes as clova-ocr
STARTS = {
    "help": ["-c", SCRIPT, "--help"],
    "version": ["-c", SCRIPT, "--version"],
    "mistake": ["-c", SCRIPT, "recognise"],
    "package": ["-c", "import clova_ocr_async"],
    "client": ["-c", "from clova_ocr_async import ClovaOCRClient"],
    "pass": ["-c", "pass"],
    "aiohttp": ["-c", "import aiohttp"],
    "click": ["-c", "import click"],
}
GOALS = [
    ("help", "clova-ocr --help", "pass", 3.5),
    ("help", "clova-ocr --help", "aiohttp", 0.35),
    ("version", "clova-ocr --version", "pass", None),
    ("mistake", "clova-ocr with a wrong verb", "pass", None),
    ("package", "import clova_ocr_async", "pass", 1.5),
    ("client", "from clova_ocr_async import ClovaOCRClient", "aiohttp", 1.5),
]
"""The program that starts, its name here, the one it is compared with, the goal."""


def started(arguments: list[str], environment: dict[str, str]) -> float:
    """Return the seconds that a start takes."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=False,  # a mistake ends with 2
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def installed(folder: str) -> dict[str, str]:
    """Return an environment in which compiled code is kept in a folder, whatever ours has."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": folder}


def rows(quick: bool) -> list[Row]:  # noqa: FBT001 - the frame's form
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        environment = installed(folder)
        starts = {name: partial(started, arguments, environment) for name, arguments in STARTS.items()}
        took = in_turn(starts, 3 if quick else ROUNDS)
    each = {name: f"{median(seconds) * 1e3:.0f} ms" for name, seconds in took.items()}
    wall = [
        compared(f"{called} over {_over(base)}", took[name], took[base], goal, note=f"{each[name]} over {each[base]}")
        for name, called, base, goal in GOALS
    ]
    return [
        *wall,
        compared("clova-ocr --help over python -c 'import click'", took["help"], took["click"], note=each["click"]),
    ]


def _over(base: str) -> str:
    return f"python -c '{STARTS[base][1]}'"


if __name__ == "__main__":
    alone(rows)
