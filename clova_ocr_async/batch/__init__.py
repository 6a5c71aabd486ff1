"""Many calls: one outcome for every image, in bounded memory, and with a ledger no image is paid twice."""

from clova_ocr_async.batch.batch import Batch
from clova_ocr_async.batch.dispatcher import BatchDispatcher
from clova_ocr_async.batch.joined_pages import JoinedPages, join_pages
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.sources import WorkList, images_from, images_in
from clova_ocr_async.ledger import Purged, RunReader, purge

__all__ = [
    "Batch",
    "BatchDispatcher",
    "Failure",
    "JoinedPages",
    "Outcome",
    "Purged",
    "RunReader",
    "Success",
    "WorkList",
    "images_from",
    "images_in",
    "join_pages",
    "purge",
]
