"""The command line; see ``clova-ocr --help``. Each command is a module, loaded when the command is called."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or name the package to install for it."""
    from clova_ocr_async.cli.terminal.signals import exit_at_once

    exit_at_once()  # first: until a command runs there is nothing that a signal could spoil
    from clova_ocr_async.cli.terminal.streams import prepare_streams, run_and_flush

    prepare_streams()
    try:
        from clova_ocr_async.cli.app import app
    except ModuleNotFoundError as error:
        sys.exit(f"clova-ocr needs {error.name}: pip install 'clova-ocr-async[cli]'")
    sys.exit(run_and_flush(app))
