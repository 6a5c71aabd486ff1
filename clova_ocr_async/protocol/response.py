"""Decoding of answers: any status and any bytes become a Recognition or a ClovaOCRError; and encoding for the emulator.

Source: API specification v1.0.6 (2023-11-23), "Responses" and "Error code".
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
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
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ServerError,
)
from clova_ocr_async.protocol.answer_identity import is_answer_to
from clova_ocr_async.protocol.codes import normalize_code, rule_for
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
    "may_be_error",
    "retry_after",
    "unpaid_error",
]

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Bytes of an answer that are read, after decompression; real answers have some 100 KiB at the most."""

_MAX_MESSAGE = 300  # characters of a vendor's message that an error repeats
_MAX_WAIT = 86_400.0  # seconds; a Retry-After beyond a day means no more than "not today"
_SUCCESS = 2  # hundred
_MAX_VALUES = 500_000  # real bodies have one in nine bytes; a body of nothing but "{}," takes 50 times its size
_LIMITED_TO = re.compile(r"limited to ([0-9]{1,3})\b")
_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9]{1,4}(?![0-9A-Za-z])")  # not the 1 of "v1"
_NOTHING = (b"", b"null")
_FAILURES = {
    "FAILURE": "the image is not a picture of this document that the service can read",
    "ERROR": "the OCR engine failed on the image",
}


class _ErrorOutline(msgspec.Struct):
    """The parts of a body that make it an error's, kept as raw JSON."""

    # Not decoded: a code of an unexpected type must not hide an error.
    code: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(Answer)
_outline_decoder = msgspec.json.Decoder(_ErrorOutline)
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
        raise _api_error(response, answer, redact)
    # A refusal is clear even if its body is cut; half of a result is not a result.
    if response.cut is not None:
        raise _malformed(f"the body of the answer is incomplete: {response.cut}", response)
    if read is None:
        too_many = f"the answer holds more than {_MAX_VALUES:,} values"
        raise _malformed(
            too_many if _has_too_many_values(response.body) else "the answer is not a JSON object", response
        )
    return _recognition(*read, response, document)


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


def _api_error(response: HTTPResponse, answer: Answer | None, redact: Callable[[str], str]) -> APIError:
    answer = absent(Answer) if answer is None else answer
    service_code = normalize_code(answer.code)
    gateway_code = str("" if answer.error.error_code is None else answer.error.error_code).strip() or None
    rule = rule_for(response.status, service_code, gateway_code)
    error = rule.error(
        response.status,
        _sanitized(service_code or gateway_code, redact),
        _sanitized(answer.message or answer.error.message or rule.meaning, redact),
        _sanitized(answer.path, redact),
        _sanitized(answer.trace_id, redact),
        answer.timestamp,
        billing=rule.billing,
        retryable=rule.retryable,
    )
    error.hint = rule.hint
    if isinstance(error, RateLimitError | QuotaExceededError | ServerError):
        error.retry_after = retry_after(response.headers)
    if rule.kind is not None and isinstance(error, RateLimitError):
        error.kind = rule.kind
        # A number in the gateway's message counts calls a second, not calls at once.
        error.ceiling = _named_ceiling(error.message or "", service_code) if rule.kind == "at_once" else None
    return error


def _named_ceiling(message: str, code: str | None) -> int | None:
    """Return the number of calls at once that a refusal names, in any language; None if it names none.

    Source: guide.ncloud-docs.com, CLOVA OCR error messages, 2026-09: "… limited to <N> API calls per domain at the same
    time". Assumed: in other languages the only number in the message is that one.
    """
    limited = _LIMITED_TO.search(message)
    numbers = {limited[1]} if limited else set(_NUMBER.findall(message)) - {code}
    found = int(numbers.pop()) if len(numbers) == 1 else 0
    return found or None


def _sanitized(text: str | None, redact: Callable[[str], str]) -> str | None:
    """Return a text of an answer as an error repeats it: on one line, of bounded length, without secrets."""
    if text is None:
        return None
    # Masked before it is cut: the rest of a key would not be recognized.
    return "".join(character if character.isprintable() else " " for character in redact(text)[:_MAX_MESSAGE])


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of an answer's Retry-After, at most a day; None if it has none that can be read.

    A date is compared with the Date of the same answer: a local clock may differ from the server's.

    Args:
        headers: The answer's headers, names in lower case.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)  # more than RFC 9110 allows; "nan" and "inf" are dropped below
    except ValueError:
        try:
            until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
            seconds = (until - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _MAX_WAIT) if math.isfinite(seconds) else None


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
