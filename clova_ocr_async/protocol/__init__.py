"""The wire protocol: bytes in, objects out, and back. No I/O, no clock, no randomness."""

from clova_ocr_async.protocol.image import Image, ImageFormat, ImageLimits
from clova_ocr_async.protocol.request import HTTPRequest
from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["HTTPRequest", "HTTPResponse", "Image", "ImageFormat", "ImageLimits"]
