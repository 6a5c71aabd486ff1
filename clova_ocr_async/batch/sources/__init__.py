"""Sources of images: iterables, folders, also watched ones, manifests, and the files of a run."""

from clova_ocr_async.batch.sources.folders import images_in
from clova_ocr_async.batch.sources.manifest import images_from
from clova_ocr_async.batch.sources.worklist import WorkList

__all__ = ["WorkList", "images_from", "images_in"]
