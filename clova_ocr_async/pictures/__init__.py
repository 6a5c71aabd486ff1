"""Pictures as people have them: pages of files of several, and their preparation (extra ``pictures``).

Nothing here loads a library of the extra before it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.pictures.extras import load_module
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.pictures.pages import pages_in
from clova_ocr_async.pictures.preparation import Preparation

if TYPE_CHECKING:
    from clova_ocr_async.pictures.pdf import count_pdf_pages

__all__ = ["Page", "Preparation", "count_pdf_pages", "pages_in"]


# Hidden from type checkers, which would accept any name.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name != "count_pdf_pages":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return load_module(f"{__name__}.pdf", name).count_pdf_pages
        except ConfigurationError as error:
            raise ModuleNotFoundError(str(error)) from None  # as any import that fails
