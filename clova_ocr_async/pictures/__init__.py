"""Preparation of pictures for the service, and exact page counts (extra ``pictures``)."""

try:
    from clova_ocr_async.pictures.pages import count_pdf_pages
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"count_pdf_pages needs {error.name}: pip install 'clova-ocr-async[pictures]'", name=error.name
    ) from None

__all__ = ["count_pdf_pages"]
