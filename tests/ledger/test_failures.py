from __future__ import annotations

import json

import pytest

from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import RateLimitError
from clova_ocr_async.ledger.settlement import decode_failure, encode_failure
from clova_ocr_async.protocol import HTTPResponse
from clova_ocr_async.protocol.response import decode_response


@pytest.mark.parametrize(
    "body", [{"code": "0025"}, {"error": {"errorCode": "410"}}, {"error": {"errorCode": "420"}}, {}]
)
def test_a_kept_refusal_for_the_rate_has_its_kind(body: dict[str, object]) -> None:
    """A RateLimitError that a ledger kept still names what the domain had too much of."""
    with pytest.raises(RateLimitError) as caught:
        decode_response(HTTPResponse(429, json.dumps(body).encode()), Receipt)
    kept = decode_failure(encode_failure(caught.value))
    assert isinstance(kept, RateLimitError)
    assert kept.kind == caught.value.kind
