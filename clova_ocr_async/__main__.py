"""``python -m clova_ocr_async`` is ``clova-ocr``."""

from clova_ocr_async.cli import main

main()
