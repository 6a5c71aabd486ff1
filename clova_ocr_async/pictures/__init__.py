"""Pictures as people have them: pages of files of several, and their preparation (extra ``pictures``).

Nothing here loads a library of the extra before it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.extras import lazy_names
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.pages import pages_in
from clova_ocr_async.pictures.preparation import Preparation

if TYPE_CHECKING:
    from clova_ocr_async.pictures.pdf import count_pdf_pages

__all__ = ["Page", "Preparation", "count_pdf_pages", "pages_in"]

# Hidden from type checkers, which would accept any name.
if not TYPE_CHECKING:
    __getattr__ = lazy_names(__name__, {"count_pdf_pages": "pdf"}, "pictures")
