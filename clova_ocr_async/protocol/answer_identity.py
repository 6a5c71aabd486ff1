"""The requestId of an answer: proof that the answer belongs to a request, found without decoding the body.

HTTP assigns answers to requests only by their order on a connection. An answer that is sent twice, or too late, shifts
that order, and each following call gets the data of the one before. The service repeats the requestId of the request
in its answer, so the requestId decides. ``host.request_id`` makes one for each call; all attempts of a call share it.

Source: API specification v1.0.6 (2023-11-23), "Response bodies": requestId. Assumed: it is repeated as it was sent
(every captured answer does so), and an answer without one, such as an error, belongs to the request it came for.
"""

from __future__ import annotations

import re

import msgspec

from clova_ocr_async.documents.untyped import UNREADABLE

__all__ = ["is_answer_to"]

_REQUEST_ID = re.compile(rb'"requestId"\s*:\s*"([^"]*)"')
_KEY, _ESCAPE = b'"requestId"', rb"\u"
_NOTHING = (b"", b"null")


class _Outline(msgspec.Struct, rename="camel"):
    """A body of which only the requestId is kept, as raw JSON."""

    request_id: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Outline)
_text_decoder = msgspec.json.Decoder(str)


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
        outline = _decoder.decode(body)
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
