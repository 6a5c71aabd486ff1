"""The upload of a picture: one file of a multipart form, read into memory within a limit.

The body is counted while it arrives, so that a chunked upload cannot pass the limit either. Starlette's own form parser
would write the file to the disk, and it reads a file of any size before a handler is called.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from msgspec.structs import replace
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from clova_ocr_async.integrations.fastapi.problems import (
    BAD_FORM,
    NOT_A_FORM,
    TOO_LARGE,
    TOO_SLOW,
    ProblemDetails,
)

if TYPE_CHECKING:

    from fastapi import Request

__all__ = ["FIELD", "UploadError", "can_drain", "read_file"]

FIELD = "file"
_FORM_BYTES = 64 * 1024  # of a form beside its file: boundaries, headers, small fields
_STALLED_AFTER = 30.0  # seconds without a byte


class UploadError(Exception):
    """An upload that cannot be used.

    Attributes:
        problem: The problem.
    """

    def __init__(self, problem: ProblemDetails, detail: str) -> None:
        super().__init__(detail)
        self.problem = replace(problem, detail=detail)


def can_drain(request: Request, max_bytes: int) -> bool:
    """Return whether the rest of a body is small enough to be read and dropped, so that the connection can stay."""
    length = _length(request)
    return length is not None and length <= max_bytes + _FORM_BYTES


def _length(request: Request) -> int | None:
    if "transfer-encoding" in request.headers:
        return None
    value = request.headers.get("content-length", "0")
    return int(value) if value.isascii() and value.isdigit() else None


async def read_file(request: Request, max_bytes: int) -> bytes:
    """Read the file of a form.

    Args:
        request: The request, whose body was not read yet.
        max_bytes: Bytes that the file may have.

    Raises:
        UploadError: It is not such a form, or the file is too large.
    """
    too_large = UploadError(TOO_LARGE, f"a file may have {max_bytes:,} bytes")
    if (_length(request) or 0) > max_bytes + _FORM_BYTES:
        raise too_large
    form = FileForm(_boundary(request))
    received = 0
    try:
        async with asyncio.timeout(_STALLED_AFTER) as stalled:
            async for chunk in request.stream():
                received += len(chunk)
                if received > max_bytes + _FORM_BYTES:
                    raise too_large
                form.write(chunk)
                stalled.reschedule(asyncio.get_running_loop().time() + _STALLED_AFTER)
    except TimeoutError:
        raise UploadError(TOO_SLOW, f"no byte arrived for {_STALLED_AFTER:g} s") from None
    data = form.close()
    if len(data) > max_bytes:
        raise too_large
    return data


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise UploadError(NOT_A_FORM, f"send the picture as the field {FIELD!r} of multipart/form-data")
    return boundary


class FileForm:
    """A multipart form whose one file is kept in memory; its other fields are dropped.

    Args:
        boundary: The boundary of the form.
    """

    def __init__(self, boundary: bytes) -> None:
        self._header = b""
        self._value = b""
        self._disposition = b""
        self._in_file = False
        self._files = 0
        self._complete = False
        self._parts: list[bytes] = []
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._add_header,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._begin_data,
                "on_part_data": self._add_data,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Add a part of the body.

        Raises:
            UploadError: It does not belong to a form.
        """
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise UploadError(BAD_FORM, "the form cannot be parsed") from None

    def close(self) -> bytes:
        """Return the file.

        Raises:
            UploadError: The form has no end, no file, or several.
        """
        if not self._complete:
            raise UploadError(BAD_FORM, "the end of the form is missing")
        if self._files != 1:
            count = "no" if not self._files else "more than one"
            raise UploadError(BAD_FORM, f"the form has {count} field {FIELD!r}")
        return b"".join(self._parts)

    def _begin_part(self) -> None:
        self._disposition = b""
        self._in_file = False

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _begin_data(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._in_file = options.get(b"name") == FIELD.encode()
        self._files += self._in_file

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._parts.append(data[start:end])

    def _end(self) -> None:
        self._complete = True
