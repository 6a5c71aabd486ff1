import asyncio
import base64
import hashlib
import json
import math
import random
import re
import statistics
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.emulator.service import Latency

IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
OTHER_IMAGE = IMAGE + b"\n"
BOUNDARY = "a-boundary"
MESSAGE: dict[str, Any] = {
    "version": "V2",
    "requestId": "an id",
    "timestamp": 1584062336793,
    "images": [{"format": "png", "name": "demo"}],
}

Sent = tuple[dict[str, str], bytes]
Got = tuple[int, dict[str, Any]]


def as_json(message: Any = MESSAGE, image: bytes = IMAGE) -> Sent:
    """Return headers and body of a request with base64; an image of the message that has data keeps its own."""
    data = {"data": base64.b64encode(image).decode()}
    images = [data | one if isinstance(one, dict) else one for one in message.get("images", [])]
    with_data = message | {"images": images} if "images" in message else message
    return {"Content-Type": "application/json"}, json.dumps(with_data).encode()


def as_multipart(message: Any = MESSAGE, image: bytes = IMAGE) -> Sent:
    """Return headers and body of a multipart request."""
    return multipart(message=json.dumps(message).encode(), file=image)


def multipart(**parts: bytes) -> Sent:
    """Return headers and body of a multipart request with any parts."""
    body = b"".join(
        b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (BOUNDARY.encode(), name.encode(), content)
        for name, content in parts.items()
    )
    return {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, body + f"--{BOUNDARY}--\r\n".encode()


async def post(
    clova: Emulator, sent: Sent, document: str = "receipt", *, domain: str = "1/emulator", secret: str | None = None
) -> Got:
    """Send a request; return status and answer."""
    headers = sent[0] | {"X-OCR-SECRET": clova.secret if secret is None else secret}
    async with aiohttp.request("POST", clova.url(document, domain=domain), headers=headers, data=sent[1]) as response:
        return response.status, await response.json()


async def raw(clova: Emulator, *pieces: bytes) -> bytes:
    """Send raw bytes; return all bytes until the connection ends."""
    url = urlsplit(clova.url())
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.writelines(pieces)
    came = await reader.read()
    writer.close()
    await writer.wait_closed()
    return came


class Gate:
    """A replacement of sleep: calls wait until they are released, not until time has passed."""

    def __init__(self) -> None:
        self.waiting = asyncio.Semaphore(0)
        self.finished = 0
        self._open = asyncio.Event()

    async def __call__(self, _: float) -> None:
        """Wait."""
        self.waiting.release()
        await self._open.wait()
        self.finished += 1

    async def until(self, calls: int) -> None:
        """Return when so many more calls wait."""
        for _ in range(calls):
            await self.waiting.acquire()

    def open(self) -> None:
        """Release every call."""
        self._open.set()


each_content = pytest.mark.parametrize("write", [as_json, as_multipart], ids=["json", "multipart"])


@each_content
@pytest.mark.parametrize("document", DOCUMENTS)
async def test_every_document_is_read_in_both_content_types(document: str, write: Any) -> None:
    """A drawn sample is answered with its truth at each path, as a file and as base64."""
    sample = draw_sample(document)
    async with Emulator() as clova:
        status, answer = await post(clova, write(image=sample.data), document)
    assert status == 200
    assert answer["images"][0][DOCUMENTS[document].answer_key] == sample.truth.answer


@each_content
@pytest.mark.parametrize("timestamp", [0, 1584062336793, -1, 1.5, 638000000000000000, 10**25, "0", "now"])
async def test_what_the_caller_made_up_is_echoed(write: Any, timestamp: object) -> None:
    """The answer repeats any requestId, timestamp and name unchanged, with the version."""
    message = MESSAGE | {"requestId": "없는 번호", "timestamp": timestamp, "images": [{"format": "PNG", "name": ""}]}
    async with Emulator() as clova:
        status, answer = await post(clova, write(message))
    assert status == 200
    assert (answer["version"], answer["requestId"], answer["timestamp"]) == ("V2", "없는 번호", timestamp)
    image = answer["images"][0]
    assert image["name"] == ""
    assert re.fullmatch("[0-9a-f]{32}", image["uid"])
    assert image["validationResult"] == {"result": "NO_REQUESTED"}


def without(key: str) -> dict[str, Any]:
    """Return the message without one of its fields."""
    return {name: value for name, value in MESSAGE.items() if name != key}


def with_image(**changed: Any) -> dict[str, Any]:
    """Return the message with its image changed; None leaves a field out."""
    image = {"format": "png", "name": "demo"} | changed
    return MESSAGE | {"images": [{key: value for key, value in image.items() if value is not None}]}


@each_content
@pytest.mark.parametrize(
    ("message", "code", "what"),
    [
        (without("version"), "0011", "version"),
        (MESSAGE | {"version": "V1"}, "0021", "version"),
        (MESSAGE | {"version": 2}, "0021", "version"),
        (without("requestId"), "0011", "requestId"),
        (MESSAGE | {"requestId": 1}, "0011", "requestId"),
        (without("timestamp"), "0011", "timestamp"),
        (MESSAGE | {"timestamp": None}, "0011", "timestamp"),
        (MESSAGE | {"timestamp": True}, "0011", "timestamp"),
        (without("images"), "0011", "images"),
        (MESSAGE | {"images": []}, "0011", "images"),
        (MESSAGE | {"images": ["png"]}, "0011", "images"),
        (MESSAGE | {"images": MESSAGE["images"] * 2}, "0011", "images"),
        (with_image(format=None), "0011", "images[0].format"),
        (with_image(format="gif"), "0011", "images[0].format"),
        (with_image(name=None), "0011", "images[0].name"),
    ],
)
async def test_a_message_that_is_not_as_specified_is_refused(write: Any, message: Any, code: str, what: str) -> None:
    """A missing or wrong field is answered 0011 and named, another version 0021, and neither is billed."""
    async with Emulator() as clova:
        status, answer = await post(clova, write(message))
        assert clova.billed.total() == 0
    assert (status, answer["code"]) == (400, code)
    assert what in answer["message"]


@pytest.mark.parametrize(
    ("sent", "what"),
    [
        (as_json(image=b""), "image is empty"),
        (as_multipart(image=b""), "image is empty"),
        (as_json(with_image(data=[1, 256])), "images[0].data"),
        (as_json(with_image(data="abc")), "base64"),
        (({"Content-Type": "application/json"}, json.dumps(MESSAGE).encode()), "images[0].data"),
        (({"Content-Type": "application/json"}, b"[]"), "JSON object"),
        (({"Content-Type": "application/json"}, b""), "JSON object"),
        (({"Content-Type": "application/json"}, b"{"), "JSON object"),
        (multipart(file=IMAGE), "message"),
        (multipart(message=json.dumps(MESSAGE).encode()), "images[0].data"),
        (multipart(message=b"{", file=IMAGE), "JSON object"),
        (({"Content-Type": "multipart/form-data"}, as_multipart()[1]), "boundary"),
        ((as_multipart()[0], as_multipart()[1][:-20]), "incomplete"),
        (({"Content-Type": "application/json", "Content-Encoding": "gzip"}, b"packed"), "JSON object"),
    ],
)
async def test_a_body_that_is_not_as_specified_is_refused(sent: Sent, what: str) -> None:
    """A body without a message, an image or an end is answered 0011, and the message names the reason."""
    async with Emulator() as clova:
        status, answer = await post(clova, sent)
    assert (status, answer["code"]) == (400, "0011")
    assert what in answer["message"]


@pytest.mark.parametrize("secret", ["", "wrong", "비밀", "\udce9"])
async def test_a_wrong_secret_is_refused(secret: str) -> None:
    """Any secret but the domain's is answered 401 with 0002, under any path and body."""
    async with Emulator() as clova:
        for document in ("receipt", "poem"):
            came = await raw(
                clova,
                f"POST /custom/v1/1/emulator/document/{document} HTTP/1.0\r\nX-OCR-SECRET: ".encode(),
                secret.encode(errors="surrogateescape"),
                b"\r\n\r\n",
            )
            assert b" 401 " in came.splitlines()[0]
            assert json.loads(came.partition(b"\r\n\r\n")[2])["code"] == "0002"


async def test_a_missing_secret_is_refused() -> None:
    """Without X-OCR-SECRET the answer is 401 with 0002."""
    async with Emulator() as clova:
        came = await raw(clova, b"POST /custom/v1/1/emulator/document/receipt HTTP/1.0\r\n\r\n")
    assert b" 401 " in came.splitlines()[0]
    assert b'"0002"' in came


async def test_an_error_answer_has_all_its_fields() -> None:
    """An error has code, message, path, traceId and a timestamp in milliseconds."""
    async with Emulator() as clova:
        _, answer = await post(clova, as_json(), "poem")
    assert answer.keys() == {"code", "message", "path", "traceId", "timestamp"}
    assert answer["path"] == "/custom/v1/1/emulator/document/poem"
    assert re.fullmatch("[0-9a-f]{32}", answer["traceId"])
    assert answer["timestamp"] > 1_600_000_000_000


async def test_a_document_that_does_not_exist_is_an_invalid_url() -> None:
    """A path word that is not one of the six is answered 0001."""
    async with Emulator() as clova:
        status, answer = await post(clova, as_json(), "poem")
    assert (status, answer["code"]) == (400, "0001")


async def test_a_document_that_is_not_deployed_is_refused() -> None:
    """A document beyond those that are deployed is answered 0022, and the deployed ones are read."""
    async with Emulator(documents=["receipt", "passport"]) as clova:
        codes = {word: (await post(clova, as_json(), word))[1].get("code") for word in DOCUMENTS}
    assert codes == dict.fromkeys(DOCUMENTS, "0022") | {"receipt": None, "passport": None}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *((method, "/custom/v1/1/emulator/document/receipt") for method in ("GET", "PUT", "DELETE", "OPTIONS")),
        ("POST", "/"),
        ("POST", "/custom/v1/1/emulator"),
        ("POST", "/custom/v1/1/emulator/document"),
        ("POST", "/custom/v1/1/emulator/document/"),
        ("POST", "/custom/v1/1/emulator/document/receipt/"),
        ("POST", "/custom/v1/1/emulator/infer"),
        ("POST", "/custom/v1/1/document/receipt"),
        ("POST", "/custom/v2/1/emulator/document/receipt"),
        ("POST", "/external/v1/1/emulator/document/receipt"),
    ],
)
async def test_what_the_gateway_does_not_know_is_not_found(method: str, path: str) -> None:
    """Another method or path is answered 404 in the gateway's envelope, and no domain counts it."""
    async with Emulator() as clova:
        came = await raw(clova, f"{method} {path} HTTP/1.0\r\nX-OCR-SECRET: {clova.secret}\r\n\r\n".encode())
        assert clova.requests == 0
    assert b" 404 " in came.splitlines()[0]
    assert json.loads(came.partition(b"\r\n\r\n")[2])["error"]["errorCode"] == "300"


async def test_no_more_calls_run_than_the_ceiling_says() -> None:
    """With N calls running any other is answered 0025 with N in its message, and the next after them is read."""
    gate = Gate()
    async with Emulator(concurrency=3, sleep=gate) as clova, asyncio.TaskGroup() as group:
        running = [group.create_task(post(clova, as_json())) for _ in range(3)]
        await gate.until(3)
        for _ in range(2):
            status, answer = await post(clova, as_multipart())
            assert (status, answer["code"]) == (400, "0025")
            assert re.findall(r"\d+", answer["message"]) == ["3"]
        assert (clova.domain_state().in_flight, clova.domain_state().rejected) == (3, 2)
        gate.open()
        assert [(await task)[0] for task in running] == [200] * 3
        assert (await post(clova, as_json()))[0] == 200
        assert (clova.domain_state().in_flight, clova.billed.total(), clova.requests) == (0, 4, 6)


async def test_a_ceiling_changes_while_calls_run() -> None:
    """A raised ceiling admits at once, a lowered one refuses with its number, and running calls continue."""
    gate = Gate()
    async with Emulator(concurrency=1, sleep=gate) as clova, asyncio.TaskGroup() as group:
        running = [group.create_task(post(clova, as_json()))]
        await gate.until(1)
        assert (await post(clova, as_json()))[1]["code"] == "0025"
        clova.domain_state().set_ceiling(2)
        running.append(group.create_task(post(clova, as_json())))
        await gate.until(1)
        clova.domain_state().set_ceiling(1)
        assert "limited to 1 API" in (await post(clova, as_json()))[1]["message"]
        gate.open()
        assert [(await task)[0] for task in running] == [200] * 2


async def test_without_a_ceiling_any_number_runs() -> None:
    """With None for a ceiling twenty calls run at once."""
    gate = Gate()
    async with Emulator(concurrency=None, sleep=gate) as clova, asyncio.TaskGroup() as group:
        running = [group.create_task(post(clova, as_json())) for _ in range(20)]
        await gate.until(20)
        gate.open()
        assert [(await task)[0] for task in running] == [200] * 20


async def test_domains_are_counted_apart() -> None:
    """Each domain has its own ceiling, quota and counts."""
    gate = Gate()
    async with Emulator(concurrency=1, quota=1, sleep=gate) as clova, asyncio.TaskGroup() as group:
        running = [group.create_task(post(clova, as_json(), domain=domain)) for domain in ("1/one", "2/two")]
        await gate.until(2)
        gate.open()
        assert [(await task)[0] for task in running] == [200] * 2
        assert (await post(clova, as_json(), domain="1/one"))[1]["code"] == "0023"
        assert [clova.domain_state(domain).requests for domain in ("1/one", "2/two", "3/three")] == [2, 1, 0]
        assert [clova.domain_state(domain).billed.total() for domain in ("1/one", "2/two")] == [1, 1]
        assert (clova.requests, clova.billed.total()) == (3, 2)


async def test_a_spent_quota_is_refused() -> None:
    """The quota's number of calls is read, and further ones are answered 0023 until the quota is raised."""
    async with Emulator(quota=2) as clova:
        answers = [await post(clova, as_json()) for _ in range(4)]
        assert [status for status, _ in answers] == [200, 200, 400, 400]
        assert [answer.get("code") for _, answer in answers] == [None, None, "0023", "0023"]
        clova.domain_state().quota = 1
        assert (await post(clova, as_json()))[0] == 200
        assert (clova.billed.total(), clova.domain_state().in_flight) == (3, 0)


async def test_a_refused_request_spends_no_quota() -> None:
    """A request that is refused for its secret, path or body, or for the ceiling, uses no quota."""
    gate = Gate()
    async with Emulator(concurrency=1, quota=5, sleep=gate) as clova, asyncio.TaskGroup() as group:
        running = group.create_task(post(clova, as_json()))
        await gate.until(1)
        await post(clova, as_json())
        await post(clova, as_json(), secret="wrong")
        await post(clova, as_json(), "poem")
        await post(clova, as_json({}))
        assert clova.domain_state().quota == 4
        gate.open()
        await running


async def test_paid_calls_are_counted_by_image() -> None:
    """``billed`` counts calls by their image's sha256, over content types, documents and domains."""
    async with Emulator() as clova:
        await post(clova, as_json(image=IMAGE))
        await post(clova, as_multipart(image=IMAGE), "passport")
        await post(clova, as_json(image=OTHER_IMAGE), domain="2/two")
        await post(clova, as_json(image=b"no picture"))
        assert clova.billed == {
            hashlib.sha256(IMAGE).hexdigest(): 2,
            hashlib.sha256(OTHER_IMAGE).hexdigest(): 1,
            hashlib.sha256(b"no picture").hexdigest(): 1,
        }


async def test_refused_calls_are_not_paid() -> None:
    """A request that is refused for its secret, path or body, the ceiling or the quota is not billed."""
    gate = Gate()
    async with Emulator(concurrency=1, quota=1, sleep=gate) as clova, asyncio.TaskGroup() as group:
        running = group.create_task(post(clova, as_json()))
        await gate.until(1)
        refused = [
            await post(clova, as_json(image=OTHER_IMAGE)),
            await post(clova, as_json(image=OTHER_IMAGE), secret="wrong"),
            await post(clova, as_json(image=OTHER_IMAGE), "poem"),
            await post(clova, as_json({}, image=OTHER_IMAGE)),
        ]
        gate.open()
        await running
        refused.append(await post(clova, as_json(image=OTHER_IMAGE)))
        assert [answer["code"] for _, answer in refused] == ["0025", "0002", "0001", "0011", "0023"]
        assert clova.billed == {hashlib.sha256(IMAGE).hexdigest(): 1}


async def test_an_abandoned_call_goes_on() -> None:
    """A call whose caller disconnects is billed and keeps its slot until it is finished."""
    gate = Gate()
    async with Emulator(concurrency=1, sleep=gate) as clova:
        abandoned = asyncio.create_task(post(clova, as_json()))
        await gate.until(1)
        abandoned.cancel()
        await asyncio.wait([abandoned])
        assert abandoned.cancelled()
        assert (await post(clova, as_json()))[1]["code"] == "0025"
        assert (clova.domain_state().in_flight, clova.billed.total(), gate.finished) == (1, 1, 0)
        gate.open()
        assert (await post(clova, as_json()))[0] == 200
        assert gate.finished == 2
        assert clova.billed.total() == 2


async def test_a_caller_who_hangs_up_within_the_body_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """A request with an incomplete body is neither billed nor logged as a failure of the server."""
    async with Emulator() as clova:
        url = urlsplit(clova.url())
        _, writer = await asyncio.open_connection(url.hostname, url.port)
        path = b"POST /custom/v1/1/emulator/document/receipt HTTP/1.1\r\nHost: localhost\r\n"
        writer.write(path + b"X-OCR-SECRET: %b\r\nContent-Length: 99\r\n\r\nabc" % clova.secret.encode())
        writer.close()
        await writer.wait_closed()
        assert (await post(clova, as_json()))[0] == 200
        assert (clova.requests, clova.billed.total()) == (2, 1)
    assert caplog.records == []


async def test_a_request_that_is_too_large_is_refused() -> None:
    """A body of more than 72 MiB is answered 413 in the gateway's envelope."""
    size = 72 * 1024 * 1024 + 1
    async with Emulator() as clova:
        came = await raw(clova, HEAD % (0, clova.secret.encode()), b"Content-Length: %d\r\n\r\n" % size, b" " * size)
        assert clova.billed.total() == 0
    assert b" 413 " in came.splitlines()[0]
    assert json.loads(came.partition(b"\r\n\r\n")[2])["error"]["errorCode"] == "430"


HEAD = b"POST /custom/v1/1/emulator/document/receipt HTTP/1.%d\r\nX-OCR-SECRET: %b\r\n"


async def test_http_1_0_without_a_host_is_read() -> None:
    """A request with HTTP/1.0 and no Host header gets its answer and the end of the connection."""
    headers, body = as_json()
    async with Emulator() as clova:
        length = f"Content-Type: {headers['Content-Type']}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        came = await raw(clova, HEAD % (0, clova.secret.encode()), length, body)
    assert came.startswith(b"HTTP/1.0 200 ")


async def test_header_names_are_read_in_any_case() -> None:
    """Header names in lower case, as HTTP/2 proxies write them, and in upper case mean the same."""
    headers, body = as_multipart()
    async with Emulator() as clova:
        for change in (bytes.lower, bytes.upper):
            came = await raw(
                clova,
                b"POST /custom/v1/1/emulator/document/receipt HTTP/1.0\r\n",
                change(b"x-ocr-Secret") + b": " + clova.secret.encode() + b"\r\n",
                change(b"content-Type") + b": " + headers["Content-Type"].encode() + b"\r\n",
                change(b"content-Length") + b": %d\r\n\r\n" % len(body),
                body,
            )
            assert came.startswith(b"HTTP/1.0 200 ")


async def test_a_quoted_boundary_is_read() -> None:
    """A boundary may stand in quotes, behind a parameter name in capitals, with another parameter after it."""
    _, body = as_multipart()
    headers = {"Content-Type": f'Multipart/Form-Data; BOUNDARY="{BOUNDARY}"; charset=utf-8'}
    async with Emulator() as clova:
        assert (await post(clova, (headers, body)))[0] == 200


async def test_a_chunked_request_is_read() -> None:
    """A body of unknown length, sent in chunks, is read like any other."""
    _, body = as_json()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[at : at + 7]), body[at : at + 7]) for at in range(0, len(body), 7))
    async with Emulator() as clova:
        head = HEAD % (1, clova.secret.encode()) + b"Host: localhost\r\nConnection: close\r\n"
        came = await raw(clova, head, b"Transfer-Encoding: chunked\r\n\r\n", chunks, b"0\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 200 ")


async def test_a_caller_may_wait_for_the_word_to_go_on() -> None:
    """Expect: 100-continue is answered before the body is sent, as curl waits for it with large ones."""
    _, body = as_json()
    async with Emulator() as clova:
        url = urlsplit(clova.url())
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        head = HEAD % (1, clova.secret.encode()) + b"Host: localhost\r\nConnection: close\r\n"
        writer.write(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        came = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert came.startswith(b"HTTP/1.1 200 ")


async def test_a_connection_is_kept_for_the_next_call() -> None:
    """Calls one after another over one connection are all answered, refused ones in between."""
    headers, body = as_json()
    async with Emulator() as clova, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        statuses = []
        for secret in (clova.secret, "wrong", clova.secret):
            async with session.post(
                clova.url("receipt"), data=body, headers=headers | {"X-OCR-SECRET": secret}
            ) as answer:
                statuses.append(answer.status)
                await answer.read()
    assert statuses == [200, 401, 200]


@pytest.mark.parametrize(
    "type_", ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8"]
)
async def test_json_is_read_under_any_type_but_multipart(type_: str) -> None:
    """A JSON body is read under any Content-Type, because the specification's curl example has none."""
    async with Emulator() as clova:
        assert (await post(clova, ({"Content-Type": type_}, as_json()[1])))[0] == 200


async def test_a_call_takes_as_long_as_the_latency_says() -> None:
    """Each call that runs waits for the latency once, and a refused one does not wait."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async with Emulator(latency=12.5, quota=2, sleep=sleep) as clova:
        assert [(await post(clova, as_json()))[0] for _ in range(3)] == [200, 200, 400]
    assert waited == [12.5, 12.5]


async def test_the_seed_decides_the_latencies() -> None:
    """Two emulators of the same seed take the same varying times, another seed takes others."""

    async def lengths(seed: int) -> list[float]:
        waited: list[float] = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)

        async with Emulator(latency=8, sigma=0.5, seed=seed, sleep=sleep) as clova:
            for _ in range(3):
                await post(clova, as_json())
        return waited

    first = await lengths(1)
    assert len(set(first)) == 3
    assert await lengths(1) == first
    assert await lengths(2) != first


def test_a_fixed_latency_is_always_the_mean() -> None:
    """Without a spread every call takes the mean, and without a mean none takes any time."""
    numbers = random.Random(0)  # noqa: S311 - only lengths
    assert {Latency(7.5, 0.0, numbers).draw() for _ in range(9)} == {7.5}
    assert {Latency(0.0, 0.5, numbers).draw() for _ in range(9)} == {0.0}


@pytest.mark.parametrize("sigma", [0.2, 0.6])
def test_a_varying_latency_is_log_normal_around_its_mean(sigma: float) -> None:
    """Over many draws the mean is the one asked for, and the logarithms spread by sigma."""
    latency = Latency(8.0, sigma, random.Random(0))  # noqa: S311 - only lengths
    drawn = [latency.draw() for _ in range(20_000)]
    assert statistics.fmean(drawn) == pytest.approx(8.0, rel=0.02)
    assert statistics.pstdev(map(math.log, drawn)) == pytest.approx(sigma, rel=0.02)


async def test_a_domain_measures_how_busy_it_was() -> None:
    """By the emulator's clock, busy and capacity of a domain add up over its calls."""
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async with Emulator(concurrency=4, latency=10, clock=lambda: now, sleep=sleep) as clova:
        await post(clova, as_json())
        await post(clova, as_json())
        assert (clova.domain_state().busy, clova.domain_state().capacity) == (20, 80)
        assert clova.domain_state("2/two").capacity == 0
