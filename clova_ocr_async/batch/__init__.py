"""Many calls: every image in, every outcome out, in bounded memory."""

from clova_ocr_async.batch.dispatcher import Batch, BatchDispatcher
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.sources import images_in

__all__ = ["Batch", "BatchDispatcher", "Failure", "Outcome", "Success", "images_in"]
