"""The image object of an answer: the true content of a sample, synthetic content, or a FAILURE or ERROR."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator.samples.ground_truth import find_ground_truth
from clova_ocr_async.emulator.synthetic_answers import synthetic_answer
from clova_ocr_async.errors import ImageError
from clova_ocr_async.protocol.image import ImageFormat, inspect_image

if TYPE_CHECKING:
    from clova_ocr_async.protocol.image import ImageFacts
    from clova_ocr_async.protocol.request import ParsedRequest

__all__ = ["image_answer"]

_LONGEST_SIDE = 8000  # pixels; users saw the General API answer ERROR to a longer one
_UNKNOWN_SIDE = 1000  # pixels, if the header does not state it
_PDF_PAGE = (1240, 1754)  # pixels of a page of A4 at 150 dots an inch


def image_answer(document: str, request: ParsedRequest) -> dict[str, Any]:
    """Return the image object that answers a request.

    A sample carries its ground truth. It gets a perfect answer if the request is for its document, and FAILURE
    otherwise. Any other picture gets a synthetic answer that depends on its bytes alone. Each requestId has a uid.

    Args:
        document: The vendor's path word.
        request: The request.
    """
    envelope = {"uid": _uid(request), "name": request.name}
    try:
        facts = inspect_image(request.data)
    except ImageError:
        return _nothing(envelope, "FAILURE", "Image format is not supported.")
    if max(facts.width or 0, facts.height or 0) > _LONGEST_SIDE:
        return _nothing(envelope, "ERROR", "Image size is too large.")
    if (facts.pages or 1) > 1:
        return _nothing(envelope, "ERROR", "Only single page is supported.")
    # Behind the checks of size and pages, which a sample that was made larger must not pass either.
    truth = find_ground_truth(request.data)
    if truth is None:
        width, height = _size(facts)
        return _read(envelope, document, synthetic_answer(document, request.data, width, height), facts, width, height)
    if truth.document != document:
        return _nothing(envelope, "FAILURE", f"{DOCUMENTS[document].answer_key} is not found in the image.")
    return _read(envelope, document, truth.answer, facts, truth.width, truth.height)


def _uid(request: ParsedRequest) -> str:
    # 32 hex digits, as many as the service's.
    return hashlib.md5(request.request_id.encode() + request.data, usedforsecurity=False).hexdigest()


def _size(facts: ImageFacts) -> tuple[int, int]:
    if facts.format is ImageFormat.PDF:
        return _PDF_PAGE
    return facts.width or _UNKNOWN_SIDE, facts.height or _UNKNOWN_SIDE


def _nothing(envelope: dict[str, str], infer_result: str, message: str) -> dict[str, Any]:
    return {**envelope, "inferResult": infer_result, "message": message, "validationResult": {"result": "NO_REQUESTED"}}


def _read(
    envelope: dict[str, str], document: str, read: dict[str, Any], facts: ImageFacts, width: int, height: int
) -> dict[str, Any]:
    answer = {DOCUMENTS[document].answer_key: read, **_nothing(envelope, "SUCCESS", "SUCCESS")}
    if facts.format in {ImageFormat.PDF, ImageFormat.TIFF}:
        answer["convertedImageInfo"] = {"width": width, "height": height, "pageIndex": 0, "longImage": False}
    return answer
