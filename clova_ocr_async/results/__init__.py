"""Results of images in the forms that people use."""

from clova_ocr_async.results.checks import Check, check
from clova_ocr_async.results.review import FieldToReview, fields_to_review

__all__ = ["Check", "FieldToReview", "check", "fields_to_review"]
