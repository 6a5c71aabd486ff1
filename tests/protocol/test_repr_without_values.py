from __future__ import annotations

import msgspec
from rich.pretty import pretty_repr

from clova_ocr_async import HTTPRequest, HTTPResponse
from clova_ocr_async.protocol.repr_without_values import Redacted
from clova_ocr_async.protocol.request import Body


class Envelope(Redacted, frozen=True):
    """A struct with a secret."""

    secret: str


def test_a_struct_shows_no_values_by_default() -> None:
    """A Redacted struct without its own description shows no values."""
    envelope = Envelope("a secret")
    assert repr(envelope) == "Envelope()"
    assert "a secret" not in pretty_repr(envelope)


def test_a_request_with_another_header_is_made_from_one() -> None:
    """A transport around another one can add to requests and answers, which are immutable."""
    request = HTTPRequest("https://example.com", {"X-OCR-SECRET": "s"}, Body(b"1", b"2", b"3"))
    changed = msgspec.structs.replace(request, headers={**request.headers, "X-Trace": "1"})
    assert changed.headers == {"X-OCR-SECRET": "s", "X-Trace": "1"}
    assert (changed.url, changed.body) == (request.url, request.body)
    assert msgspec.structs.replace(HTTPResponse(200, b"{}"), status=500) == HTTPResponse(500, b"{}")
