"""The store in a PostgreSQL database: several runs, for the processes of any number of machines."""

from __future__ import annotations

from clova_ocr_async.ledger.postgres.corrections import PostgresCorrections
from clova_ocr_async.ledger.postgres.existing_run import run_exists
from clova_ocr_async.ledger.postgres.ledger import PostgresLedger
from clova_ocr_async.ledger.postgres.overflow_place import overflow_files_of
from clova_ocr_async.ledger.postgres.purge import purge
from clova_ocr_async.ledger.postgres.run_rows import PostgresRunRows
from clova_ocr_async.ledger.postgres.run_view import PostgresRunReader

__all__ = [
    "PostgresCorrections",
    "PostgresLedger",
    "PostgresRunReader",
    "PostgresRunRows",
    "overflow_files_of",
    "purge",
    "run_exists",
]
