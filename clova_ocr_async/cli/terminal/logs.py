"""Log records of the package, printed on standard error like all messages of a command."""

from __future__ import annotations

import logging

from clova_ocr_async.cli.terminal.stderr import echo_stderr

__all__ = ["COUNTER_THREAD", "configure_logging"]

COUNTER_THREAD = "clova-ocr-count"
"""Name of the thread that counts images. Its warnings are dropped: the reading logs the same ones."""


class _StderrHandler(logging.Handler):
    """Prints log records, except those whose facts the command prints itself."""

    def emit(self, record: logging.LogRecord) -> None:
        # The summary repeats the outcome lines of a batch.
        in_summary = record.name == "clova_ocr_async.batch.outcome"
        if not in_summary and record.threadName != COUNTER_THREAD:
            echo_stderr(self.format(record), even_when_quiet=True)


def configure_logging(*, quiet: bool, verbose: int) -> None:
    """Print log records from WARNING on; from ERROR on if ``quiet``, from INFO or DEBUG on with ``verbose``."""
    level = logging.ERROR if quiet else {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    # Other libraries' records are printed from WARNING on, whatever the level: their details help few users.
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", handlers=[_StderrHandler()])
    logging.getLogger("clova_ocr_async").setLevel(level)
