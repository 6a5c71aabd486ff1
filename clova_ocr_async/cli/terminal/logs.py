"""What the package logs, said on stderr like the rest."""

from __future__ import annotations

import logging

from clova_ocr_async.cli.terminal.stderr import COUNTING, say

__all__ = ["tell_logs"]


class _Teller(logging.Handler):
    """Tells what the package logs, but not what a command tells itself, or has told."""

    def emit(self, record: logging.LogRecord) -> None:
        told = record.name == "clova_ocr_async.batch.outcome"
        if not told and record.threadName != COUNTING:
            say(self.format(record), even_when_quiet=True)


def tell_logs(*, quiet: bool, verbose: int) -> None:
    """Have warnings told; errors alone if ``quiet``, and the more the higher ``verbose`` is."""
    level = logging.ERROR if quiet else {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", handlers=[_Teller()])
    logging.getLogger("clova_ocr_async").setLevel(level)
