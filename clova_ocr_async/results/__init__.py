"""Results of images in the forms that people use: rows of tables, checks, and the fields to look at."""

from clova_ocr_async.results.checks import Check, check
from clova_ocr_async.results.columns import SCHEMA_VERSION, Column, columns
from clova_ocr_async.results.redaction import redact
from clova_ocr_async.results.review import FieldToReview, fields_to_review
from clova_ocr_async.results.rows import to_items, to_row

__all__ = [
    "SCHEMA_VERSION",
    "Check",
    "Column",
    "FieldToReview",
    "check",
    "columns",
    "fields_to_review",
    "redact",
    "to_items",
    "to_row",
]
