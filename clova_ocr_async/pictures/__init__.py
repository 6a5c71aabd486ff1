"""What people really have, made into what the service takes (extra ``pictures``)."""

from clova_ocr_async.pictures.pages import count_pdf_pages

__all__ = ["count_pdf_pages"]
