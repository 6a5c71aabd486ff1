"""Crash reporters print the variables of every frame: none of ours holds the secret, the image or an answer."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest
from support.fakes import KEY, SECRET, URL, Connection, domain, raw_server

import clova_ocr_async
from clova_ocr_async.blocking import BlockingClient
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.client.probe import probe
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain, Secret
from clova_ocr_async.emulator import Emulator, Fault
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, ConnectionFailedError, ImageError
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.request import build_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

PACKAGE = str(Path(clova_ocr_async.__file__).parent)
PICTURE = b"\xff\xd8\xff\xe0 canaryPICTUREcanary \xff\xd9"
CANARIES = (SECRET, "canaryPICTURE", "canaryANSWER")


def frames_of(error: BaseException) -> Iterator[FrameType]:
    """Yield the frames of an error, and of all that led to it."""
    seen: set[int] = set()
    errors: list[BaseException | None] = [error]
    while errors:
        one = errors.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        step: TracebackType | None = one.__traceback__
        while step is not None:
            yield step.tb_frame
            step = step.tb_next
        errors += [one.__cause__, one.__context__]


def parts_of(value: Any, depth: int = 4) -> Iterator[object]:
    """Yield a value and what is in it, as a reporter follows it."""
    yield value
    if depth and isinstance(value, dict):
        for pair in value.items():
            for part in pair:
                yield from parts_of(part, depth - 1)
    elif depth and isinstance(value, list | tuple | set | frozenset):
        for part in cast("list[Any]", value):
            yield from parts_of(part, depth - 1)


def printed(part: object) -> str:
    """Print a value as a reporter does, which goes on where that fails."""
    try:
        return repr(part)
    except Exception as error:  # noqa: BLE001 - such as the repr of a half-made object
        return f"<{type(error).__name__}>"


def shown(error: BaseException, *, foreign: bool) -> Iterator[str]:
    """Yield what is printed of the frames of an error: ours, and those of libraries too if asked for."""
    for frame in frames_of(error):
        name = frame.f_code.co_filename
        if name.startswith(PACKAGE) or (foreign and "site-packages" in name):
            for variable, value in frame.f_locals.items():
                for part in parts_of(value):
                    yield f"{name}:{frame.f_code.co_name}.{variable} = {printed(part)}"


def assert_clean(error: BaseException, *, foreign: bool = True) -> None:
    """Assert that no frame shows what must not be shown."""
    lines = list(shown(error, foreign=foreign))
    assert lines
    for canary in CANARIES:
        assert [line for line in lines if canary in line] == []


def where(clova: Emulator) -> Domain:
    """Return the domain of an emulator."""
    return Domain(clova.url(), SECRET)


ONCE = RetryPolicy(max_attempts=1, quota_probes=0)
TIMED: dict[Fault, dict[str, Any]] = {
    Fault.SILENCE: {"read_timeout": 0.1},
    Fault.TRICKLE: {"deadline": 0.3},
    Fault.RATE_LIMITED: {"deadline": 0.3},
}


@pytest.mark.parametrize("session", ["own", "callers"])
@pytest.mark.parametrize("fault", Fault)
async def test_no_frame_of_an_error_shows_anything(fault: Fault, session: str) -> None:
    """The frames of a call's error hold no secret, no picture and no answer, whatever the error."""
    async with (
        Emulator(secret=SECRET, faults=[fault] * 3) as clova,
        aiohttp.ClientSession() as other,
        ClovaOCRClient(
            where(clova), retry=ONCE, session=other if session == "callers" else None, **TIMED.get(fault, {})
        ) as client,
    ):
        try:
            for _ in range(2):
                await client.recognize(PICTURE, Receipt)
        except ClovaOCRError as error:
            assert_clean(error)
        await client.close(wait=0)


async def _no_answer(connection: Connection) -> None:
    await connection.request()
    await connection.hung_up()


@pytest.mark.parametrize("session", ["own", "callers"])
async def test_a_timeout_of_the_callers_own(session: str) -> None:
    """A timeout around a call shows nothing in the frames of the client, nor in those of the libraries below it."""
    async with raw_server(_no_answer) as server, aiohttp.ClientSession() as other:
        client = ClovaOCRClient(Domain(server.url, SECRET), session=other if session == "callers" else None)
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.1):
                await client.recognize(PICTURE, Receipt)
        assert_clean(caught.value)
        await client.close(wait=0)


@pytest.mark.parametrize("lane", ["interactive", "batch"])
async def test_a_cancelled_call(lane: Any) -> None:
    """A cancelled call is cancelled with the same exception, and its frames show nothing."""
    arrived = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        arrived.set()
        await connection.hung_up()

    async with raw_server(script) as server, ClovaOCRClient(Domain(server.url, SECRET)) as client:
        call = asyncio.create_task(client.recognize(PICTURE, Receipt, lane=lane))
        await arrived.wait()
        call.cancel("by the test")
        with pytest.raises(asyncio.CancelledError, match="by the test") as caught:
            await call
        assert_clean(caught.value)
        await client.close(wait=0)


async def test_a_timeout_while_a_picture_is_read() -> None:
    """Also while the picture is read no frame holds it, whether it comes as bytes or as a file."""
    reading, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            loop.call_soon_threadsafe(reading.set)
            go_on.wait()
            return super().read(size)

    call = asyncio.create_task(ClovaOCRClient(domain()).recognize(Slow(PICTURE), Receipt))
    await reading.wait()
    call.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await call
    assert_clean(caught.value)


@pytest.mark.parametrize("picture", [b"canaryPICTURE", bytearray(b"GIF canaryPICTURE")])
async def test_a_picture_that_is_refused(picture: Any) -> None:
    """The error of a picture that is refused does not hold the picture in its frames."""
    with pytest.raises(ImageError) as caught:
        await ClovaOCRClient(domain()).recognize(picture, Receipt)
    assert_clean(caught.value)


async def test_a_probe_that_is_cut_off() -> None:
    """A probe of a domain holds no secret in its frames."""
    async with raw_server(_no_answer) as server:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.1):
                await probe(Domain(server.url, SECRET))
    assert_clean(caught.value)


def test_a_request_that_cannot_be_built() -> None:
    """Building a request reveals the secret into the header alone."""
    with pytest.raises(AttributeError) as caught:
        build_request(
            url="u",
            secret=domain().secret,
            data=memoryview(PICTURE),  # type: ignore[arg-type]  # shows no bytes
            format="jpg",
            name=None,  # type: ignore[arg-type]  # cannot be encoded
            request_id="id",
            timestamp=1,
        )
    assert_clean(caught.value)


async def test_a_call_that_reaches_nobody() -> None:
    """A refused connection shows nothing."""
    async with raw_server(_no_answer) as server:
        port = server.port
    async with ClovaOCRClient(Domain(f"http://127.0.0.1:{port}/x/y", SECRET), retry=ONCE) as client:
        with pytest.raises(ConnectionFailedError) as caught:
            await client.recognize(PICTURE, Receipt)
    assert_clean(caught.value)


@pytest.mark.parametrize("secret", [f"{SECRET} x", f"{SECRET}é", f"{SECRET}\n{SECRET}"])
@pytest.mark.parametrize("way", ["arguments", "swapped", "secret", "environment", "file"])
def test_a_setting_that_cannot_work(way: str, secret: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a secret or a URL that was copied badly shows neither of them: it is often met in production."""
    file = tmp_path / "domains.toml"
    file.write_text(f"[[domain]]\ninvoke_url = '{URL}'\nsecret = '{SECRET}'\n", encoding="utf-8")
    monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", URL)
    monkeypatch.setenv("CLOVA_OCR_SECRET", secret)
    ways: dict[str, Callable[[], object]] = {
        "arguments": lambda: Domain(URL, secret),
        "swapped": lambda: Domain(secret, URL),
        "secret": lambda: Secret(secret),
        "environment": ClovaOCRClient.from_env,
        "file": lambda: ClovaOCRClient.from_config(file),
    }
    with pytest.raises(ConfigurationError) as caught:
        ways[way]()
    assert_clean(caught.value)
    assert not [line for line in shown(caught.value, foreign=True) if KEY in line]


def test_a_misspelt_argument_of_the_blocking_client() -> None:
    """A call that Python itself refuses does not show its picture."""
    with BlockingClient(Domain(URL, SECRET)) as client, pytest.raises(TypeError) as caught:
        client.recognize(PICTURE, Receipt, dedline=1)  # type: ignore[call-arg]
    assert_clean(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": PICTURE[1:]},
        {"data": PICTURE.decode("latin-1")},
        {"data": PICTURE, "format": "bmp"},
        {"data": b"", "format": PICTURE},
        {"data": PICTURE, "name": PICTURE},
    ],
    ids=["not a picture", "a text", "format", "format and data", "name"],
)
def test_an_image_that_cannot_be_made(wrong: dict[str, Any]) -> None:
    """The error of an upload that is not a picture, or of a wrong format, does not show its bytes."""
    with pytest.raises(ImageError) as caught:
        Image(**wrong)
    assert_clean(caught.value)
