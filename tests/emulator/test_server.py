import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

import clova_ocr_async.emulator as package
from clova_ocr_async import ClovaOCRClient, ConfigurationError, Domain, Receipt
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator import Emulator, Fault, draw_sample

MESSAGE = {"version": "V2", "requestId": "id", "timestamp": 0, "images": [{"format": "png", "name": "demo"}]}
ADDRESSES: list[str] = []
for address in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
    with contextlib.suppress(OSError):  # a machine may be without IPv6, and some have only one 127.0.0.x
        socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET).close()
        ADDRESSES.append(address)


async def status_of(
    url: str, *, data: aiohttp.FormData | None = None, secret: str = "", host: str | None = None
) -> int:
    """Send a request, without a body if none is given; return the answer's status."""
    headers = {"X-OCR-SECRET": secret} | ({} if host is None else {"Host": host})
    async with aiohttp.request("POST", url, data=data, headers=headers) as response:
        return response.status


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port of 127.0.0.1 that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("host", ADDRESSES)
async def test_it_listens_at_any_address_of_this_machine(host: str) -> None:
    """A client with the emulator's URL and secret gets a document, at each loopback address."""
    sample = draw_sample("receipt")
    async with Emulator(host=host) as clova, ClovaOCRClient(Domain(clova.url(), clova.secret)) as client:
        recognition = await client.recognize(sample.data, Receipt)
    assert (
        recognition.document.result.total_price.price.text
        == sample.truth.answer["result"]["totalPrice"]["price"]["text"]
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "emulator.example", ""])  # noqa: S104 - refused
def test_it_listens_to_other_machines_only_if_told_so(host: str) -> None:
    """An address that is not this machine's own is refused without ``expose``, naming it."""
    with pytest.raises(ConfigurationError, match="expose=True"):
        Emulator(host=host)
    assert Emulator(host=host, expose=True).url().startswith("http://")


HOST_HEADERS = {
    "127.0.0.1": True,
    "127.0.0.1:8080": True,
    "localhost:1": True,
    "LOCALHOST": True,
    "[::1]:80": True,
    "evil.example": False,
    "evil.example:80": False,
    "127.0.0.1.evil.example": False,
    "192.168.0.1": False,
    "127.0.0.1:99999999": False,
    "two words": False,
    "": False,
}


@pytest.mark.parametrize(("host", "own"), HOST_HEADERS.items())
async def test_it_answers_under_this_machines_own_names(host: str, own: bool) -> None:
    """A request under a name that is not a loopback name is refused, as in DNS rebinding."""
    async with Emulator() as clova:
        url = urlsplit(clova.url("receipt"))
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(f"POST {url.path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        status = int((await reader.read()).split()[1])
        writer.close()
        await writer.wait_closed()
        assert status == (401 if own else 403)
        assert clova.requests == own


async def test_exposed_it_answers_under_any_name() -> None:
    """With ``expose`` any Host header is accepted, because other machines use other names."""
    async with Emulator(expose=True) as clova:
        assert await status_of(clova.url("receipt"), host="box.example") == 401


async def test_the_url_has_a_tail_if_asked_for() -> None:
    """``url`` returns an invoke URL of any domain, with and without the tail of a document."""
    async with Emulator() as clova:
        port = urlsplit(clova.url()).port
        assert port
        assert clova.url() == f"http://127.0.0.1:{port}/custom/v1/1/emulator"
        assert clova.url("id-card") == f"http://127.0.0.1:{port}/custom/v1/1/emulator/document/id-card"
        assert clova.url(domain="7/other") == f"http://127.0.0.1:{port}/custom/v1/7/other"


def test_an_address_of_ipv6_stands_in_brackets() -> None:
    """The URL of an emulator at ::1 is a valid URL."""
    assert Emulator(host="::1", port=8080).url() == "http://[::1]:8080/custom/v1/1/emulator"


async def test_a_port_may_be_chosen() -> None:
    """The emulator listens on the given port, and its URL names it."""
    async with Emulator() as other:
        port = urlsplit(other.url()).port
    assert port
    async with Emulator(port=port) as clova:
        assert urlsplit(clova.url()).port == port
        assert await status_of(clova.url("receipt")) == 401


async def test_a_port_that_is_taken_is_refused(taken_port: int) -> None:
    """Starting at a taken port fails with an OSError, and works once the port is free."""
    clova = Emulator(port=taken_port)
    for _ in range(2):
        with pytest.raises(OSError, match="address already in use"):
            await clova.start()
    await clova.stop()


async def test_it_may_be_started_and_stopped_again_and_again() -> None:
    """After a stop and a start it listens on the same port, with its counts and its script."""
    clova = Emulator(secret="secret")
    url = None
    for round_ in range(1, 4):
        await clova.start()
        await clova.start()
        assert url in {None, clova.url("receipt")}
        url = clova.url("receipt")
        assert await status_of(url) == 401
        assert clova.requests == round_
        await clova.stop()
        await clova.stop()
        with pytest.raises(aiohttp.ClientConnectorError):
            await status_of(url)


async def test_a_fault_that_waits_works_after_a_restart() -> None:
    """The fault SILENCE works after a stop and a start as before."""
    entered = asyncio.Event()

    async def sleep(_: float) -> None:
        entered.set()

    clova = Emulator(concurrency=1, faults=["silence"], sleep=sleep)
    await clova.start()
    await clova.stop()
    async with clova, ClovaOCRClient(Domain(clova.url(), clova.secret)) as client, asyncio.TaskGroup() as group:
        call = group.create_task(client.recognize(draw_sample("receipt").data, Receipt))
        await entered.wait()
        # Another request's way there and back is time enough for an answer.
        assert await status_of(clova.url("receipt")) == 401
        assert not call.done()
        call.cancel()
        await asyncio.wait([call])
        await client.close(wait=0)  # the request in flight is waited for otherwise


async def test_calls_that_run_are_cut_off_by_a_stop() -> None:
    """A stop ends running calls without an answer; none stays in flight, and all are billed."""
    entered = asyncio.Event()

    async def sleep(_: float) -> None:
        entered.set()
        await asyncio.Event().wait()

    sample = draw_sample("receipt")
    async with Emulator(sleep=sleep) as clova:
        form = aiohttp.FormData({"message": json.dumps(MESSAGE)})
        form.add_field("file", sample.data, filename="image.png")
        call = asyncio.create_task(status_of(clova.url("receipt"), data=form, secret=clova.secret))
        await entered.wait()
        assert clova.domain_state().in_flight == 1
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await call
    assert (clova.domain_state().in_flight, clova.billed.total()) == (0, 1)


def test_the_name_of_one_fault_is_one_fault() -> None:
    """A name alone is the fault of the first call, and not one fault for each of its letters."""
    assert Emulator(faults="failure").unused_faults == (Fault.FAILURE,)


def test_a_secret_is_made_up_if_none_is_given() -> None:
    """Without a secret, or with an empty one, each emulator makes its own long one."""
    secrets = {Emulator().secret, Emulator().secret, Emulator(secret="").secret}
    assert len(secrets) == 3
    assert min(map(len, secrets)) >= 32
    assert Emulator(secret="mine").secret == "mine"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concurrency": 0}, "concurrency is less than 1"),
        ({"concurrency": 2.5}, "concurrency is a float"),
        ({"quota": -1}, "quota is less than 0"),
        ({"latency": -0.1}, "latency is less than 0; it must be seconds"),
        ({"latency": float("nan")}, "latency is not finite"),
        ({"latency": None}, "latency is a NoneType"),
        ({"sigma": -1}, "sigma is less than 0"),
        ({"sigma": "0"}, "sigma is a str"),
        ({"port": 99999}, "port is more than 65535"),
        ({"port": -1}, "port is less than 0"),
        ({"port": "80"}, "port is a str"),
        ({"documents": ["receipt", "poem"]}, "documents has 'poem'; documents are receipt, "),
        ({"documents": "poem"}, "documents has 'poem'; documents are receipt, "),
    ],
)
def test_a_setting_that_cannot_work_is_refused(settings: dict[str, Any], message: str) -> None:
    """A setting of a wrong kind or range is refused when the emulator is made, naming it."""
    with pytest.raises(ConfigurationError, match=message):
        Emulator(**settings)


async def test_one_document_may_be_named_without_a_list() -> None:
    """A single text for ``documents`` means one document, not its letters."""
    async with Emulator(documents="receipt", secret="s") as clova:
        statuses = {word: await status_of(clova.url(word), secret="s") for word in DOCUMENTS}
    assert statuses == dict.fromkeys(DOCUMENTS, 400)


def test_the_least_settings_work() -> None:
    """One call at once, a quota of 0 and a latency of 0 are valid settings."""
    clova = Emulator(concurrency=1, quota=0, latency=0, sigma=0)
    assert (clova.domain_state().ceiling, clova.domain_state().quota) == (1, 0)


def test_the_package_offers_what_it_names() -> None:
    """Every public name can be imported, and any other raises an AttributeError that names it."""
    assert all(getattr(package, name).__name__ == name for name in package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Emulater'"):
        package.Emulater  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(("host", "named"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("192.0.2.7", "192.0.2.7")])  # noqa: S104 - it is not started
def test_the_url_of_all_addresses_can_be_called(host: str, named: str) -> None:
    """The URL of an emulator that listens on all addresses is one that a client of this machine accepts."""
    clova = Emulator(host=host, port=8089, expose=True)
    assert clova.url() == f"http://{named}:8089/custom/v1/1/emulator"
