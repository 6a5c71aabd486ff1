"""Whose answer a body is, and whether it is an error's, without decoding it.

HTTP tells which answer belongs to which request by their order on a connection alone. An answer that comes twice, or
too late, shifts that order, and each following call gets the data of the one before. The service repeats the requestId
of the request in its answer, so that is what decides.

Source: API specification v1.0.6 (2023-11-23), "Response bodies": requestId. Assumed: it is repeated as it was sent
(every captured answer does so), and an answer without one, such as an error, belongs to the request it came for.
"""

from __future__ import annotations

import re

import msgspec

from clova_ocr_async.documents.untyped import UNREADABLE

__all__ = ["answers_to", "may_be_error"]

_REQUEST_ID = re.compile(rb'"requestId"\s*:\s*"([^"]*)"')
_NAME, _ESCAPE = b'"requestId"', rb"\u"
_NOTHING = (b"", b"null")


class _Outline(msgspec.Struct, rename="camel"):
    """The parts of a body that tell what it is, passed over and not decoded."""

    request_id: msgspec.Raw = msgspec.Raw()
    code: msgspec.Raw = msgspec.Raw()
    error: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Outline)
_text_decoder = msgspec.json.Decoder(str)


def answers_to(body: bytes, request_id: str) -> bool:
    """Whether a body may be the answer to a request: it has no requestId, or that one.

    Blanks around a requestId do not count, letters do. Of a body that is not JSON, say half of one, the text decides.
    """
    at = body.find(_NAME)
    if at < 0 and _ESCAPE not in body:
        return True  # it has none, however its names are spelled
    if at >= 0 and body.startswith(b":" + msgspec.json.encode(request_id), at + len(_NAME)):
        return True
    outline = _outline_of(body)
    if outline is not None:
        return _is_ours(outline.request_id, request_id)
    found = _REQUEST_ID.search(body)
    return found is None or _is_same(found[1].decode("utf-8", "replace"), request_id)


def may_be_error(body: bytes) -> bool:
    """Whether a body may be one of the service's errors or its gateway's; it says so more often than it is."""
    outline = _outline_of(body)
    return outline is None or any(bytes(raw) not in _NOTHING for raw in (outline.code, outline.error))


def _outline_of(body: bytes) -> _Outline | None:
    try:
        return _decoder.decode(body)
    except UNREADABLE:
        return None


def _is_ours(raw: msgspec.Raw, request_id: str) -> bool:
    if bytes(raw) in _NOTHING:
        return True
    try:
        return _is_same(_text_decoder.decode(raw), request_id)
    except UNREADABLE:
        return False  # a number, an array, half a character: something stands there, and it is not ours


def _is_same(found: str, request_id: str) -> bool:
    return found.strip() in {"", request_id.strip()}
