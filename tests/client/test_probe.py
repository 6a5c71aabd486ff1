from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import TestServer

from clova_ocr_async import errors
from clova_ocr_async.client.probe import probe
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator
from clova_ocr_async.errors import ConnectionFailedError, MalformedResponseError


async def test_the_probe_takes_only_a_refusal_of_the_body_for_good() -> None:
    """A right URL and secret are reported by code 0011; a wrong secret is reported as such."""
    async with Emulator() as clova:
        right = await probe(Domain(clova.url("receipt"), clova.secret))
        wrong = await probe(Domain(clova.url("receipt"), "not-the-secret"))
    assert right is None
    assert isinstance(wrong, errors.AuthenticationError)


async def test_a_domain_that_is_not_there_is_reported() -> None:
    """A domain that cannot be reached is reported by the error of the connection."""
    # Nothing listens at port 9 of a machine without the old discard service.
    found = await probe(Domain("http://127.0.0.1:9/custom/v1/1/key", "secret"))
    assert isinstance(found, ConnectionFailedError)


async def test_an_answer_of_another_server_is_reported() -> None:
    """A server that reads a request without an image as if there were one is not CLOVA, and is reported."""

    async def always(_: web.Request) -> web.Response:
        return web.json_response({"images": [{"receipt": {"result": {}}}]})

    app = web.Application()
    app.router.add_post("/{path:.*}", always)
    async with TestServer(app) as server:
        text = await probe(Domain(str(server.make_url("/custom/v1/1/key")), "secret"))
    assert isinstance(text, MalformedResponseError)
