"""The ledger in a SQLite file."""

from clova_ocr_async.ledger.sqlite.ledger import SqliteLedger

__all__ = ["SqliteLedger"]
