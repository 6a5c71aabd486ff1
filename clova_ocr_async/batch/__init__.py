"""Many calls: every image in, every outcome out, in bounded memory, and nothing paid twice."""

from clova_ocr_async.batch.batch import Batch
from clova_ocr_async.batch.dispatcher import BatchDispatcher
from clova_ocr_async.batch.ledger import Ledger
from clova_ocr_async.batch.manifest import images_from
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.seal import Seal, SealError, load_seal
from clova_ocr_async.batch.sources import images_in
from clova_ocr_async.batch.sqlite import SqliteLedger

__all__ = [
    "Batch",
    "BatchDispatcher",
    "Failure",
    "Ledger",
    "Outcome",
    "Seal",
    "SealError",
    "SqliteLedger",
    "Success",
    "images_from",
    "images_in",
    "load_seal",
]
