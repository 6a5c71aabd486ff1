"""Many calls: every image in, every outcome out, in bounded memory, and nothing paid twice."""

from clova_ocr_async.batch.batch import Batch
from clova_ocr_async.batch.dispatcher import BatchDispatcher
from clova_ocr_async.batch.ledger import (
    Admission,
    Claim,
    ClaimLostError,
    Entry,
    Identity,
    Item,
    Ledger,
    Mark,
    SourceFile,
    State,
    Verdict,
)
from clova_ocr_async.batch.listing import Listing
from clova_ocr_async.batch.manifest import images_from
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.seal import Seal, SealError, load_seal
from clova_ocr_async.batch.sources import images_in
from clova_ocr_async.batch.sqlite import SqliteLedger
from clova_ocr_async.batch.sqlite.purge import Purged, purge
from clova_ocr_async.batch.sqlite.run_reader import RunReader, RunStatus, SourceRecord

__all__ = [
    "Admission",
    "Batch",
    "BatchDispatcher",
    "Claim",
    "ClaimLostError",
    "Entry",
    "Failure",
    "Identity",
    "Item",
    "Ledger",
    "Listing",
    "Mark",
    "Outcome",
    "Purged",
    "RunReader",
    "RunStatus",
    "Seal",
    "SealError",
    "SourceFile",
    "SourceRecord",
    "SqliteLedger",
    "State",
    "Success",
    "Verdict",
    "images_from",
    "images_in",
    "load_seal",
    "purge",
]
