"""Results of images in the forms that people use: rows of tables, checks, and the fields to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.extras import lazy_names
from clova_ocr_async.results.checks import Check, check
from clova_ocr_async.results.columns import SCHEMA_VERSION, Column, columns
from clova_ocr_async.results.redaction import redact
from clova_ocr_async.results.review import FieldToReview, fields_to_review
from clova_ocr_async.results.rows import to_items, to_row

if TYPE_CHECKING:
    from clova_ocr_async.results.annotation import annotate
    from clova_ocr_async.results.outcome_rows import OutcomeRow, outcome_row
    from clova_ocr_async.results.picture_redaction import redact_image

__all__ = [
    "SCHEMA_VERSION",
    "Check",
    "Column",
    "FieldToReview",
    "OutcomeRow",
    "annotate",
    "check",
    "columns",
    "fields_to_review",
    "outcome_row",
    "redact",
    "redact_image",
    "to_items",
    "to_row",
]

# Loaded when they are first used: they bring the whole client, and tables need none of it.
_MODULES = {
    "OutcomeRow": "outcome_rows",
    "annotate": "annotation",
    "outcome_row": "outcome_rows",
    "redact_image": "picture_redaction",
}

# Hidden from type checkers, which would accept any name.
if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, _MODULES, "pictures")
