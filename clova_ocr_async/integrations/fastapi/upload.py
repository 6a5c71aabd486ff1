"""The upload of a picture: one file of a multipart form, read into memory within a limit.

The body is counted while it arrives, so that a chunked upload cannot pass the limit either, and it is parsed once it is
whole. Starlette's form parser would write the file to the disk, and costs more than all the rest of a handler.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from clova_ocr_async import ConfigurationError
from clova_ocr_async.integrations.fastapi.problems import BAD_FORM, NOT_A_FORM, TOO_LARGE, TOO_SLOW, ProblemDetails

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

    from starlette.requests import Request

    Headers = Mapping[bytes, bytes]

__all__ = ["FIELD", "UploadError", "can_drain", "file_in_form", "read_file"]

FIELD = "file"
_FORM_BYTES = 64 * 1024  # of a form beside its file: boundaries, headers, small fields
_STALLED_AFTER, _LONGEST = 30.0, 300.0  # seconds without a byte; of an upload
_WATCHED_EVERY = 1.0  # seconds; a timer that is moved with each chunk would cost more than the chunk
_SMALL = 4096  # bytes; smaller chunks are joined at once, since an object of two bytes takes the memory of 50
_PARSED_BEFORE = (
    "a dependency or a middleware has parsed the form of the upload, which the routes of ocr_router parse themselves; "
    "it may read request.body() or the headers instead, or the picture goes to a handler of your own"
)
_NOT_KEPT = "Stream consumed"  # Starlette's words for a body that was read and not kept
# A hostile form must not keep the event loop busy.
_MAX_PARTS = 16
_MAX_HEADERS = 4096  # bytes, of a part
_MAX_CONTENT_TYPE = 512  # bytes
_PARAMETER = re.compile(rb';\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))')
_DISPOSITION = re.compile(rb"^content-disposition:[ \t]*form-data(.*)$", re.IGNORECASE | re.MULTILINE)


class UploadError(Exception):
    """An upload that cannot be used.

    Attributes:
        problem: The problem.
    """

    def __init__(self, problem: ProblemDetails, detail: str) -> None:
        super().__init__(detail)
        self.problem = replace(problem, detail=detail)


def can_drain(headers: Headers, max_bytes: int) -> bool:
    """Return whether the rest of a body is small enough to be read and dropped, so that the connection can stay."""
    length = _length(headers)
    return length is not None and length <= max_bytes + _FORM_BYTES


def _length(headers: Headers) -> int | None:
    """Return the length of a body; None if it is chunked, also if it names a length all the same."""
    if b"transfer-encoding" in headers:
        return None
    value = headers.get(b"content-length", b"")
    return int(value) if value.isdigit() else None


async def read_file(headers: Headers, request: Request, max_bytes: int) -> bytes:
    """Read the file of a form.

    Args:
        headers: The headers of the request.
        request: The request. Its body may have been read with ``request.body()``, as a signature or Sentry needs it.
        max_bytes: Bytes that the file may have.

    Raises:
        ClientDisconnect: The client has gone.
        UploadError: It is not such a form, or the file is too large.
        ConfigurationError: Other code has parsed the form, and its bytes are gone.
    """
    boundary = _boundary(headers.get(b"content-type", b""))
    if (_length(headers) or 0) > max_bytes + _FORM_BYTES:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(_STALLED_AFTER) as stalled, aclosing(request.stream()) as chunks:
            body = await _read_body(chunks, max_bytes, stalled)
    except TimeoutError:
        detail = f"no byte arrived for {_STALLED_AFTER:g} s, or not all within {_LONGEST:g} s"
        raise UploadError(TOO_SLOW, detail) from None
    except RuntimeError as error:
        if str(error) != _NOT_KEPT:
            raise
        raise ConfigurationError(_PARSED_BEFORE) from None
    # To a middleware that has parsed the form, Starlette hands on an empty body.
    if not body and _length(headers):
        raise ConfigurationError(_PARSED_BEFORE)
    data = file_in_form(body, boundary)
    if len(data) > max_bytes:
        raise _too_large(max_bytes)
    return data


async def _read_body(chunks: AsyncGenerator[bytes], max_bytes: int, stalled: asyncio.Timeout) -> bytes:
    kept: list[bytes] = []
    left = max_bytes + _FORM_BYTES
    loop = asyncio.get_running_loop()
    began = watched = loop.time()
    async for chunk in chunks:
        if kept and len(kept[-1]) < _SMALL:
            kept[-1] += chunk
        else:
            kept.append(chunk)
        left -= len(chunk)
        if left < 0:
            raise _too_large(max_bytes)
        now = loop.time()
        if now - watched > _WATCHED_EVERY:
            stalled.reschedule(min(now + _STALLED_AFTER, began + _LONGEST))
            watched = now
    return b"".join(filter(None, kept))  # the last one is empty: one chunk alone is not copied


def _too_large(max_bytes: int) -> UploadError:
    return UploadError(TOO_LARGE, f"a file may have {max_bytes:,} bytes")


def _boundary(content_type: bytes) -> bytes:
    kind, _, _ = content_type.partition(b";")
    boundary = _parameters(content_type[:_MAX_CONTENT_TYPE]).get(b"boundary")
    if kind.strip().lower() != b"multipart/form-data" or not boundary:
        raise UploadError(NOT_A_FORM, f"send the picture as the field {FIELD!r} of multipart/form-data")
    return boundary


def _parameters(header: bytes) -> dict[bytes, bytes]:
    return {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(header)}


def file_in_form(body: bytes, boundary: bytes) -> bytes:
    """Return the one file of a multipart form; its other fields are ignored.

    Source: RFC 2046, 5.1.1 (2026-11); RFC 7578.

    Raises:
        UploadError: The form is broken, or has no such file, or several.
    """
    files = [body[start:end] for name, start, end in _parts(body, boundary) if name == FIELD.encode()]
    if len(files) != 1:
        raise UploadError(BAD_FORM, f"the form has {'more than one' if files else 'no'} field {FIELD!r}")
    return files[0]


def _parts(body: bytes, boundary: bytes) -> Iterator[tuple[bytes | None, int, int]]:
    """Yield the name of each part of a form, and where its data begins and ends."""
    # The line break before a boundary belongs to the boundary, not to the data.
    delimiter = b"\r\n--" + boundary
    at = 0 if body.startswith(delimiter[2:]) else body.find(delimiter) + 2
    at += len(delimiter) - 2
    for _ in range(_MAX_PARTS):
        if body[at : at + 2] == b"--":
            return
        headers_end = body.find(b"\r\n\r\n", at)
        end = body.find(delimiter, headers_end + 2)
        if not body.startswith(b"\r\n", at) or not at <= headers_end <= at + _MAX_HEADERS or end < 0:
            raise UploadError(BAD_FORM, "the form is broken, or its end is missing")
        found = _DISPOSITION.search(body, at + 2, headers_end)
        yield None if found is None else _parameters(found[1]).get(b"name"), headers_end + 4, end
        at = end + len(delimiter)
    raise UploadError(BAD_FORM, f"the form has more than {_MAX_PARTS} fields")
