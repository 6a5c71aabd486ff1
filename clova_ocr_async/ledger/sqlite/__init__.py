"""The store in SQLite files: a run directory, for the processes of one machine."""

from clova_ocr_async.ledger.sqlite.ledger import SqliteLedger

__all__ = ["SqliteLedger"]
