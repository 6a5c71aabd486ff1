"""The command line; see ``clova-ocr --help``. One module a verb, loaded when its verb is called."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say what to install for it."""
    try:
        from clova_ocr_async.cli.app import app
    except ModuleNotFoundError as error:
        sys.exit(f"clova-ocr needs {error.name}: pip install 'clova-ocr-async[cli]'")
    app()
