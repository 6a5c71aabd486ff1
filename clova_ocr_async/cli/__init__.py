"""The command line; see ``clova-ocr --help``. One module a verb, loaded when its verb is called."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line, or say what to install for it."""
    from clova_ocr_async.cli.terminal.signals import end_at_once

    end_at_once()  # first: until a verb runs there is nothing that a signal could spoil
    from clova_ocr_async.cli.terminal.streams import prepare, settled

    prepare()
    try:
        from clova_ocr_async.cli.app import app
    except ModuleNotFoundError as error:
        sys.exit(f"clova-ocr needs {error.name}: pip install 'clova-ocr-async[cli]'")
    sys.exit(settled(app))
