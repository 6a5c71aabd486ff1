"""Building of requests, as multipart or as JSON with base64; and parsing them, for the emulator.

Source: API specification v1.0.6 (2023-11-23), "Request bodies".
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from clova_ocr_async.documents.untyped import is_array, is_object
from clova_ocr_async.errors import DomainError, InvalidRequestError
from clova_ocr_async.protocol.repr_without_values import Redacted

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["MIME_TYPES", "Body", "Content", "HTTPRequest", "ParsedRequest", "build_request", "parse_request"]

Content = Literal["multipart", "json"]
"""The form of the image in a request: as it is, or as base64 inside the JSON."""

MIME_TYPES: dict[str, str] = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "pdf": "application/pdf",
    "tif": "image/tiff",
    "tiff": "image/tiff",
}
"""Content types by the format names the service takes."""

_VERSION = "V2"
_NOT_TOKEN = re.compile(r"[^0-9A-Za-z-]")
_MAX_TOKEN = 60  # characters of a requestId that a boundary repeats; RFC 2046 allows a boundary 70
_JOINED = 112 * 1024  # bytes; up to it one copy is cheaper than two writes, above it each copy maps new memory
_CHUNK = 384 * 1024  # bytes; a multiple of 3, so that chunks of base64 join without padding


class Revealing(Protocol):
    """A secret text that does not print, such as ``Secret``."""

    def reveal(self) -> str:
        """Return the text."""
        ...


class _ImageMessage(msgspec.Struct, frozen=True):
    format: str
    name: str


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    version: str
    request_id: str
    timestamp: int
    images: tuple[_ImageMessage]


class Body(Redacted, frozen=True):
    """A request body in three parts; the image in the middle is not copied.

    Attributes:
        head: The bytes before the image.
        image: The image's bytes.
        tail: The bytes behind the image.
        base64: Whether the image is written as base64.
    """

    head: bytes
    image: bytes
    tail: bytes
    base64: bool = False

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        image = (len(self.image) + 2) // 3 * 4 if self.base64 else len(self.image)
        return len(self.head) + image + len(self.tail)

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Yield the bytes to write, at each call from the start: a small body in one piece, a large one in several."""
        if self.size <= _JOINED:
            yield b"".join((self.head, *self._image_chunks(), self.tail))
            return
        yield self.head
        yield from self._image_chunks()
        yield self.tail

    def _image_chunks(self) -> Iterator[bytes | memoryview]:
        view = memoryview(self.image)
        for start in range(0, len(view), _CHUNK):
            chunk = view[start : start + _CHUNK]
            yield binascii.b2a_base64(chunk, newline=False) if self.base64 else chunk

    def _shown(self) -> str:
        """Return the size."""
        return f"<{self.size} bytes>"


class HTTPRequest(Redacted, frozen=True):
    """A POST request, immutable; ``msgspec.structs.replace`` makes a changed copy, for example with another header.

    Attributes:
        url: The URL.
        headers: Content-Type and X-OCR-SECRET; not printed.
        body: The body.
        request_id: The requestId in the body, which the answer must repeat; None if it has none.
    """

    url: str
    headers: Mapping[str, str]
    body: Body
    request_id: str | None = None

    def _shown(self) -> str:
        """Return the size."""
        return f"<{self.body.size} bytes>"


def build_request(
    *,
    url: str,
    secret: str | Revealing,
    data: bytes,
    format: str,  # noqa: A002 - the vendor's name
    name: str,
    request_id: str,
    timestamp: int,
    content: Content = "multipart",
) -> HTTPRequest:
    """Build the request for one image.

    Args:
        url: The invoke URL with its /document/{type} tail.
        secret: The domain's secret, for X-OCR-SECRET; a text, or an object that reveals it.
        data: The image.
        format: jpg, jpeg, png, pdf, tif or tiff.
        name: The image's name, echoed in the answer; characters that UTF-8 cannot write are replaced by "?".
        request_id: A UUID of the call, the same over its attempts.
        timestamp: Unix milliseconds.
        content: "multipart", or "json" for base64.
    """
    writable = name.encode("utf-8", "replace").decode()
    message = msgspec.json.encode(_Message(_VERSION, request_id, timestamp, (_ImageMessage(format, writable),)))
    if content == "json":
        body, content_type = _json_body(message, data), "application/json"
    else:
        boundary = f"clova-ocr-{_NOT_TOKEN.sub('', request_id)[:_MAX_TOKEN]}"
        body, content_type = (
            _multipart_body(message, data, format, boundary),
            f"multipart/form-data; boundary={boundary}",
        )
    # No variable for the headers: a crash reporter prints those of every frame, and the secret is among them.
    return HTTPRequest(
        url,
        {"Content-Type": content_type, "X-OCR-SECRET": secret if isinstance(secret, str) else secret.reveal()},
        body,
        request_id,
    )


def _json_body(message: bytes, data: bytes) -> Body:
    # The message ends with its only image, so the data goes before the last three brackets.
    return Body(message.removesuffix(b"}]}") + b',"data":"', data, b'"}]}', base64=True)


def _multipart_body(message: bytes, data: bytes, format_: str, boundary: str) -> Body:
    # The file's name in the header is constant: a user's file name could break the header, or disclose something.
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="message"\r\n\r\n'.encode()
        + message
        + f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="image.{format_}"\r\n'
        f"Content-Type: {MIME_TYPES[format_]}\r\n\r\n".encode()
    )
    return Body(head, data, f"\r\n--{boundary}--\r\n".encode())


class ParsedRequest(Redacted, frozen=True):
    """A request as the service understands it.

    Attributes:
        request_id: The requestId, any text.
        timestamp: The timestamp as the caller wrote it: milliseconds, seconds, 0, a text.
        format: The image's declared format, in lower case.
        name: The image's name.
        data: The image.
    """

    request_id: str
    timestamp: int | float | str
    format: str
    name: str
    data: bytes

    def _shown(self) -> str:
        """Return format and size."""
        return f"{self.format}, <{len(self.data)} bytes>"


def parse_request(content_type: str, body: bytes) -> ParsedRequest:
    """Parse a request as the service does.

    A body that is not multipart is parsed as JSON, whatever its Content-Type: the specification's own curl example
    has none.

    Args:
        content_type: The Content-Type header.
        body: The body.

    Raises:
        InvalidRequestError: Code 0011; the message names the missing or wrong part.
        DomainError: Code 0021, for a version other than V2.
    """
    if content_type.strip().lower().startswith("multipart/form-data"):
        parts = _multipart_parts(content_type, body)
        if "message" not in parts:
            raise _invalid("there is no part named message")
        return _parsed(_json_object(parts["message"]), parts.get("file"))
    return _parsed(_json_object(body), None)


def _invalid(problem: str) -> InvalidRequestError:
    return InvalidRequestError(400, "0011", f"Invalid request body: {problem}.")


def _json_object(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw.removeprefix(codecs.BOM_UTF8), type=dict[str, Any])  # .NET writes it
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _invalid("the message is not a JSON object") from None


def _parsed(message: dict[str, Any], file: bytes | None) -> ParsedRequest:
    if "version" not in message:
        raise _invalid("version is missing")
    if message["version"] != _VERSION:
        raise DomainError(400, "0021", "Protocol version not support.")
    image = _only_image(message.get("images"))
    data = _image_data(image) if file is None else file
    if not data:
        raise _invalid("the image is empty")
    return ParsedRequest(
        request_id=_text(message, "requestId"),
        timestamp=_timestamp(message.get("timestamp")),
        format=_format(image),
        name=_text(image, "name", of="images[0]."),
        data=data,
    )


def _only_image(images: object) -> dict[str, Any]:
    if is_array(images) and len(images) == 1 and is_object(images[0]):
        return images[0]
    raise _invalid("images is not an array of exactly one object")


def _text(holder: dict[str, Any], key: str, of: str = "") -> str:
    value = holder.get(key)
    if not isinstance(value, str):
        raise _invalid(f"{of}{key} is missing or not a string")
    return value


def _timestamp(value: object) -> int | float | str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _invalid("timestamp is missing or not a number")
    return value


def _format(image: dict[str, Any]) -> str:
    # The specification writes formats both with and without a dot.
    name = _text(image, "format", of="images[0].").lower().removeprefix(".")
    if name not in MIME_TYPES:
        raise _invalid(f"images[0].format is not one of {', '.join(MIME_TYPES)}")
    return name


def _image_data(image: dict[str, Any]) -> bytes:
    values: object = image.get("data")
    if is_array(values):
        return _signed_bytes(values)
    try:
        return binascii.a2b_base64(_text(image, "data", of="images[0].").encode())
    except binascii.Error:
        raise _invalid("images[0].data is not base64") from None


def _signed_bytes(values: list[Any]) -> bytes:
    """Return the bytes of a JSON array, as the specification's Java program sends its byte[]; Java's are signed."""
    if any(type(value) is not int or not -128 <= value <= 255 for value in values):  # noqa: PLR2004 - the bounds of a byte
        raise _invalid("images[0].data has a value that is not a byte")
    return bytes([value & 0xFF for value in values])


# Quantifiers before an optional part are possessive, so that a hostile head costs time linear to its length.
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;,\s]+))', re.IGNORECASE)
_FORM_DATA = re.compile(rb"\s*+form-data\b", re.IGNORECASE)
_PART_NAME = re.compile(rb';\s*+name=(?:"([^"]*+)"|([^;\s]++))', re.IGNORECASE)


def _multipart_parts(content_type: str, body: bytes) -> dict[str, bytes]:
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise _invalid("the content type names no boundary")
    delimiter = b"--" + (found[1] or found[2]).encode("utf-8", "replace")
    parts: dict[str, bytes] = {}
    # A delimiter is at the start of a line; the first one has no line before it.
    for part in (b"\r\n" + body).split(b"\r\n" + delimiter)[1:]:
        if part.startswith(b"--"):
            return parts
        head, blank, content = part.partition(b"\r\n\r\n")
        if blank and (name := _part_name(head)) is not None:
            parts[name] = content
    raise _invalid("the multipart body is incomplete")


def _part_name(head: bytes) -> str | None:
    """Return the name in a part's head, in time linear to the head: each line is parsed once."""
    # A header may be folded over several lines (RFC 5322).
    for line in head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").splitlines():
        field, _, value = line.partition(b":")
        if field.strip().lower() != b"content-disposition" or not _FORM_DATA.match(value):
            continue
        if found := _PART_NAME.search(value):
            return (found[1] or found[2] or b"").decode("utf-8", "replace")
    return None
