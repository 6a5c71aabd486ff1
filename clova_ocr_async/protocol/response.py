"""Decoding of answers: any status and any bytes become a Recognition or a ClovaOCRError; and encoding for the emulator.

First the requestId of an answer is compared. HTTP assigns answers to requests only by their order on a connection. An
answer that is sent twice, or too late, shifts that order, and each following call gets the data of the one before. The
service repeats the requestId of the request in its answer, so the requestId decides. ``host.request_id`` makes one for
each call; all attempts of a call share it. What an error answer means is in ``codes``.

Source: API specification v1.0.6 (2023-11-23), "Responses" and "Error code"; "Response bodies": requestId. Assumed: it
is repeated as it was sent (every captured answer does so), and an answer without one, such as an error, belongs to the
request it came for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from clova_ocr_async.documents.base import Document, absent
from clova_ocr_async.documents.envelope import Answer, ImageAnswer
from clova_ocr_async.documents.lenient import Problem, read_leniently
from clova_ocr_async.documents.recognition import DocumentT, Recognition
from clova_ocr_async.documents.untyped import UNREADABLE, is_object, untyped
from clova_ocr_async.errors import (
    APIError,
    Billing,
    ClovaOCRError,
    DomainError,
    MalformedResponseError,
    RecognitionError,
)
from clova_ocr_async.protocol.codes import error_of
from clova_ocr_async.protocol.repr_without_values import Redacted
from clova_ocr_async.protocol.secret_masking import mask_invoke_keys

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "MAX_BODY_BYTES",
    "HTTPResponse",
    "decode_response",
    "encode_error",
    "encode_gateway_error",
    "encode_response",
    "is_answer_to",
    "may_be_error",
    "unpaid_error",
]

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Bytes of an answer that are read, after decompression; real answers have some 100 KiB at the most."""

_SUCCESS = 2  # hundred
_MAX_VALUES = 500_000  # real bodies have one in nine bytes; a body of nothing but "{}," takes 50 times its size
_REQUEST_ID = re.compile(rb'"requestId"\s*:\s*"([^"]*)"')
_KEY, _ESCAPE = b'"requestId"', rb"\u"
_NOTHING = (b"", b"null")
_FAILURES = {
    "FAILURE": "the image is not a picture of this document that the service can read",
    "ERROR": "the OCR engine failed on the image",
}


class _Outline(msgspec.Struct, rename="camel"):
    """The parts of a body that show whose it is and whether it is an error, kept as raw JSON."""

    # Not decoded: a code of an unexpected type must not hide an error.
    request_id: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(Answer)
_outline_decoder = msgspec.json.Decoder(_Outline)
_text_decoder = msgspec.json.Decoder(str)
_attributes = dict(zip(ImageAnswer.__struct_encode_fields__, ImageAnswer.__struct_fields__, strict=True))


class HTTPResponse(Redacted, frozen=True):
    """A received HTTP answer, immutable; ``msgspec.structs.replace`` makes a changed copy.

    Attributes:
        status: The HTTP status.
        body: The body as far as it was received, decompressed; compressed where it cannot be decompressed.
        headers: Names in lower case.
        cut: Why the body is incomplete or still compressed; None if it is neither.
    """

    status: int
    body: bytes
    headers: Mapping[str, str] = {}
    cut: str | None = None

    def _shown(self) -> str:
        """Return status and size."""
        return f"{self.status}, <{len(self.body)} bytes>{', cut' if self.cut else ''}"


def decode_response(
    response: HTTPResponse,
    document: type[DocumentT],
    *,
    request_id: str | None = None,
    redact: Callable[[str], str] = mask_invoke_keys,
) -> Recognition[DocumentT]:
    """Decode an answer.

    Args:
        response: The answer.
        document: The requested document class.
        request_id: The requestId of the call; None to accept the answer of any call.
        redact: Masks secrets in the texts of the answer that an error repeats.

    Returns:
        The recognition, its ``raw`` the exact body.

    Raises:
        APIError: The answer is an error, under any status.
        DomainError: The answer is of another product or another document.
        RecognitionError: inferResult is FAILURE or ERROR.
        MalformedResponseError: The status is a success and the body is incomplete or unreadable; or, under any status,
            the answer belongs to another call.
    """
    # First: nothing in another call's answer, not even its status, says anything about this call.
    if request_id is not None and not is_answer_to(response.body, request_id):
        message = "the answer has another call's requestId, so this call has no answer; it may have been billed"
        raise _malformed(message, response, Billing.MAYBE_BILLED)
    read = _read(response.body)
    answer = read[0] if read is not None else None
    if response.status // 100 != _SUCCESS or (answer is not None and _is_error(answer)):
        raise error_of(response.status, response.headers, answer, redact)
    # A refusal is clear even if its body is cut; half of a result is not a result.
    if response.cut is not None:
        raise _malformed(f"the body of the answer is incomplete: {response.cut}", response)
    if read is None:
        too_many = f"the answer holds more than {_MAX_VALUES:,} values"
        raise _malformed(
            too_many if _has_too_many_values(response.body) else "the answer is not a JSON object", response
        )
    return _recognition(*read, response, document)


def is_answer_to(body: bytes, request_id: str) -> bool:
    """Return whether a body may be the answer to a request: it has no requestId, or the same one.

    Blanks around a requestId do not count, upper and lower case do. A body that is not JSON, such as half of one, is
    searched as text.
    """
    at = body.find(_KEY)
    if at < 0 and _ESCAPE not in body:
        return True  # without a backslash no other spelling of the key is possible, so there is none
    # The service writes compact JSON: one comparison settles nearly every answer without a pass over the body.
    if at >= 0 and body.startswith(b":" + msgspec.json.encode(request_id), at + len(_KEY)):
        return True
    try:
        outline = _outline_decoder.decode(body)
    except UNREADABLE:
        found = _REQUEST_ID.search(body)
        return found is None or _is_same(found[1].decode("utf-8", "replace"), request_id)
    if bytes(outline.request_id) in _NOTHING:
        return True
    try:
        return _is_same(_text_decoder.decode(outline.request_id), request_id)
    except UNREADABLE:
        return False  # a number, an array, half a surrogate pair: there is a requestId, and it is not the sent one


def _is_same(found: str, request_id: str) -> bool:
    return found.strip() in {"", request_id.strip()}


def unpaid_error(response: HTTPResponse, document: type[Document], *, request_id: str | None = None) -> APIError | None:
    """Return the error of an answer that holds no paid result; None if it holds one, or may hold one.

    The result may be another call's. An answer is decoded only where that is necessary, because the caller stores the
    bytes before they are decoded.

    Args:
        response: The answer.
        document: The requested document class.
        request_id: The requestId of the call; None to accept the answer of any call.
    """
    if response.status // 100 == _SUCCESS and not may_be_error(response.body):
        return None
    try:
        decode_response(response, document, request_id=request_id)
    except APIError as error:
        return None if error.raw else error
    except ClovaOCRError:
        pass
    return None


def may_be_error(body: bytes) -> bool:
    """Return whether a body may be an error of the service or its gateway; false positives are possible."""
    try:
        outline = _outline_decoder.decode(body)
    except UNREADABLE:
        return True
    return any(bytes(raw) not in _NOTHING for raw in (outline.code, outline.error))


def _read(body: bytes) -> tuple[Answer, tuple[Problem, ...]] | None:
    # Checked before decoding, because a hostile body of 8 MiB could take hundreds of MiB as objects.
    if _has_too_many_values(body):
        return None
    try:
        return _decoder.decode(body), ()
    except UNREADABLE:  # rare, and several times slower
        return _read_leniently(body)


def _read_leniently(body: bytes) -> tuple[Answer, tuple[Problem, ...]] | None:
    try:
        value = untyped(body)
    except UNREADABLE:
        return None
    return read_leniently(Answer, value) if is_object(value) else None


def _has_too_many_values(body: bytes) -> bool:
    """Return whether a decoded body would take many times the memory of its bytes; counted without decoding it."""
    return len(body) > _MAX_VALUES and sum(map(body.count, (b"{", b"[", b","))) > _MAX_VALUES


def _is_error(answer: Answer) -> bool:
    """Return whether a body is an error; a list of empty images does not make it an answer."""
    return (answer.code is not None or bool(answer.error)) and not any(answer.images)


def _malformed(message: str, response: HTTPResponse, billing: Billing | None = None) -> MalformedResponseError:
    return MalformedResponseError(message, raw=response.body, status=response.status, billing=billing)


def _recognition(
    answer: Answer, problems: tuple[Problem, ...], response: HTTPResponse, document: type[DocumentT]
) -> Recognition[DocumentT]:
    image = next((image for image in answer.images if image is not None), None)
    if image is None:
        raise _malformed("the answer holds no image", response)
    read: DocumentT = getattr(image, _attributes[document.answer_key])
    recognition = Recognition(
        document=read,
        uid=image.uid,
        name=image.name,
        infer_result=image.infer_result,
        message=image.message,
        validation_result=image.validation_result,
        converted_image_info=image.converted_image_info,
        request_id=answer.request_id,
        timestamp=answer.timestamp,
        raw=response.body,
        problems=problems,
    )
    if image.infer_result in _FAILURES:
        meaning = _FAILURES[image.infer_result]
        text = f"inferResult {image.infer_result}: {meaning}; the service's own message is in .recognition.message"
        raise RecognitionError(text, recognition=recognition)
    if read is absent(document):
        raise _missing_document(image, response, document)
    return recognition


def _missing_document(image: ImageAnswer, response: HTTPResponse, document: type[Document]) -> ClovaOCRError:
    if image.fields is not None:
        problem = "the answer is of a General or Template domain; the invoke URL must be of a Document domain"
    elif other := _other_document(image):
        problem = f"the answer holds {other}, not {document.answer_key}; the invoke URL is of another document"
    else:
        return _malformed(f"the answer holds no {document.answer_key}", response)
    # Assumed: the service ran, so the answer is billed, although it is of no use here.
    error = DomainError(response.status, message=problem, billing=Billing.BILLED)
    error.raw = response.body
    return error


def _other_document(image: ImageAnswer) -> str | None:
    """Return the key of the first document in an answer; None if it has none."""
    for key, attribute in _attributes.items():
        missing = getattr(absent(ImageAnswer), attribute)
        if isinstance(missing, Document) and getattr(image, attribute) is not missing:
            return key
    return None


def encode_response(request_id: str, timestamp: object, image: Mapping[str, Any]) -> bytes:
    """Encode the body of an answer.

    Args:
        request_id: The request's requestId.
        timestamp: The request's timestamp.
        image: The image object: the document under its key, uid, name, inferResult, message, …; documents may be
            structs or plain values.
    """
    return msgspec.json.encode(
        {"version": "V2", "requestId": request_id, "timestamp": timestamp, "images": [cast("dict[str, Any]", image)]}
    )


def encode_error(code: str, message: str, *, path: str, trace_id: str, timestamp: int) -> bytes:
    """Encode the body of a service's error; ``timestamp`` in Unix milliseconds."""
    return msgspec.json.encode(
        {"code": code, "message": message, "path": path, "traceId": trace_id, "timestamp": timestamp}
    )


def encode_gateway_error(code: str, message: str, details: str) -> bytes:
    """Encode the body of a gateway's error."""
    return msgspec.json.encode({"error": {"errorCode": code, "message": message, "details": details}})
