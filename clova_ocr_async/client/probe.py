"""A request that tests the URL and the secret of a domain, without an image that could be billed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from clova_ocr_async.client.transport import AiohttpTransport, RequestProgress
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    AuthenticationError,
    ClovaOCRError,
    DomainError,
    InvalidRequestError,
    MalformedResponseError,
)
from clova_ocr_async.host.request_id import new_request_id
from clova_ocr_async.protocol.request import Body, HTTPRequest
from clova_ocr_async.protocol.response import decode_response

if TYPE_CHECKING:
    from collections.abc import Callable

    from clova_ocr_async.domains import Domain

__all__ = ["probe"]


async def probe(
    domain: Domain, make_transport: Callable[[], AiohttpTransport] = AiohttpTransport
) -> ClovaOCRError | None:
    """Post a request without an image.

    Args:
        domain: The domain to ask.
        make_transport: Returns the transport.

    Returns:
        None if the domain answers with code 0011, an invalid body: then URL and secret were accepted. Else the error.
    """
    now = int(time.time() * 1000)
    request_id = new_request_id()
    # Without an image: the service refuses the body (0011) only after it has accepted URL and secret.
    message = {"version": "V2", "requestId": request_id, "timestamp": now, "images": ()}
    document = domain.document or Receipt
    request = HTTPRequest(
        domain.url.for_document(document.path_word),
        {"Content-Type": "application/json", "X-OCR-SECRET": domain.secret.reveal()},
        Body(msgspec.json.encode(message), b"", b""),
        request_id,
    )
    transport = make_transport()
    try:
        response = await transport.send(request, RequestProgress())
        decode_response(response, document, request_id=request_id, redact=domain.redact)
    except InvalidRequestError:
        return None
    except ClovaOCRError as error:
        if isinstance(error, AuthenticationError | DomainError):
            domain.explain(error)
        return error
    finally:
        await transport.close()
    return MalformedResponseError("a request without an image was answered as if it had one; this is not CLOVA OCR")
