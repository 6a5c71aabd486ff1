"""The ledger: a durable record of every call of a run, so that no image is paid for twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.extras import lazy_names
from clova_ocr_async.ledger.corrections import Change, ChangeKind, Correction, CorrectionConflictError
from clova_ocr_async.ledger.opening import open_corrections, open_view, purge
from clova_ocr_async.ledger.run_status import Purged, RunStatus
from clova_ocr_async.ledger.seal import Seal, SealError, load_seal
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.corrections import SqliteCorrections
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.states import (
    Admission,
    Claim,
    ClaimLostError,
    Entry,
    FileStamp,
    Item,
    ItemEvent,
    ListedFile,
    Settlement,
    SourceFile,
    State,
)
from clova_ocr_async.ledger.storage import Ledger, RunCorrections, RunLedger, RunView, SourceRecord

if TYPE_CHECKING:
    from clova_ocr_async.ledger.postgres import PostgresLedger

__all__ = [
    "Admission",
    "Change",
    "ChangeKind",
    "Claim",
    "ClaimLostError",
    "Correction",
    "CorrectionConflictError",
    "Entry",
    "FileStamp",
    "Item",
    "ItemEvent",
    "Ledger",
    "ListedFile",
    "PostgresLedger",
    "Purged",
    "RunCorrections",
    "RunLedger",
    "RunReader",
    "RunStatus",
    "RunView",
    "Seal",
    "SealError",
    "Settlement",
    "SourceFile",
    "SourceRecord",
    "SqliteCorrections",
    "SqliteLedger",
    "State",
    "load_seal",
    "open_corrections",
    "open_view",
    "purge",
]

# Hidden from type checkers, which would accept any name.
if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"PostgresLedger": "postgres"})
