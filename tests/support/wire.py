"""One request through aiohttp to a server on loopback."""

from __future__ import annotations

from typing import Any

from clova_ocr_async.client import AiohttpTransport, RequestProgress
from clova_ocr_async.errors import ClovaOCRError
from support.fakes import JPEG, KEY, a_request, http

RECEIPT = b'{"images":[{"receipt":{"result":{}},"inferResult":"SUCCESS"}]}'
OK = http(RECEIPT)


async def send_one(
    port: int, data: bytes = JPEG, *, scheme: str = "http", host: str = "127.0.0.1", **timeouts: Any
) -> Any:
    """Send one request; return the answer or the error, and how far it came."""
    transport = AiohttpTransport(**timeouts)
    progress = RequestProgress()
    try:
        return await transport.send(
            a_request(f"{scheme}://{host}:{port}/x/{KEY}/document/receipt", data), progress
        ), progress
    except ClovaOCRError as error:
        return error, progress
    finally:
        await transport.close()
