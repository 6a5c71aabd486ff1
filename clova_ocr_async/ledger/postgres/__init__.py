"""The store in a PostgreSQL database: several runs, for the processes of any number of machines."""

from __future__ import annotations

from clova_ocr_async.ledger.postgres.ledger import PostgresLedger

__all__ = ["PostgresLedger"]
