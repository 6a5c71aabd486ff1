"""One request through aiohttp to a server on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.client import AiohttpTransport, RequestProgress
from clova_ocr_async.errors import ClovaOCRError
from support.fakes import JPEG, KEY, a_request, http

if TYPE_CHECKING:
    from support.fakes import Connection

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


async def reset_at_once(connection: Connection) -> None:
    """Throw the connection away after the head of the request."""
    await connection.head()
    connection.reset()


async def reset_midway(connection: Connection) -> None:
    """Throw the connection away in the middle of the picture, which has more than 100,000 bytes."""
    await connection.head()
    await connection.reader.readexactly(100_000)
    connection.reset()


async def reset_after(connection: Connection) -> None:
    """Throw the connection away when the whole picture is there."""
    await connection.request()
    connection.reset()
