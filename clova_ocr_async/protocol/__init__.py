"""What goes over the wire: bytes in, objects out. No I/O, no clock, no randomness."""

from clova_ocr_async.protocol.image import Image, ImageLimits

__all__ = ["Image", "ImageLimits"]
