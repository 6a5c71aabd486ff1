import asyncio
import gc
import http.client
import json
import socket
import threading
from urllib.parse import urlsplit

import pytest

from clova_ocr_async import ConfigurationError
from clova_ocr_async.emulator import Emulator, emulator_in_thread


def post(clova: Emulator, body: bytes = b"") -> int:
    """Make a call from this thread; return the answer's status."""
    url = urlsplit(clova.url("receipt"))
    assert url.hostname
    connection = http.client.HTTPConnection(url.hostname, url.port)
    connection.request("POST", url.path, body, {"X-OCR-SECRET": clova.secret})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


IMAGE = {"format": "png", "name": "demo", "data": "aGVsbG8="}  # base64 of "hello", which is not a picture
CALL = json.dumps({"version": "V2", "requestId": "id", "timestamp": 0, "images": [IMAGE]}).encode()


def threads() -> list[str]:
    """Return the names of the emulators' threads."""
    return [thread.name for thread in threading.enumerate() if thread.name == "clova-emulator"]


def test_it_answers_beside_a_caller_without_an_event_loop() -> None:
    """A caller without asyncio is answered while the context is open, by an emulator with the settings given."""
    with emulator_in_thread(secret="mine", quota=1) as clova:
        assert clova.secret == "mine"
        assert [post(clova), post(clova, CALL), post(clova, CALL)] == [400, 200, 400]
        assert (clova.requests, clova.billed.total()) == (3, 1)


def test_its_thread_ends_with_the_context() -> None:
    """After the context nothing listens any more, and no thread is left."""
    with emulator_in_thread() as clova:
        assert threads() == ["clova-emulator"]
    assert threads() == []
    with pytest.raises(ConnectionRefusedError):
        post(clova)


def test_several_run_beside_each_other() -> None:
    """Each emulator has a thread, a port and counts of its own."""
    with emulator_in_thread() as first, emulator_in_thread() as second:
        post(first)
        assert (first.requests, second.requests) == (1, 0)
        assert len(threads()) == 2


def test_an_error_of_the_caller_passes_through() -> None:
    """An exception in the context is raised unchanged, and the thread ends."""
    with pytest.raises(KeyError, match="mine"), emulator_in_thread():
        raise KeyError("mine")
    assert threads() == []


def test_settings_that_cannot_work_are_refused() -> None:
    """A wrong setting is refused before any thread is started."""
    with pytest.raises(ConfigurationError):
        emulator_in_thread(concurrency=0).__enter__()
    assert threads() == []


def test_a_port_that_is_taken_is_refused() -> None:
    """A failed start raises the same error as without a thread, and leaves no thread."""
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(OSError, match="address already in use"):
        emulator_in_thread(port=server.getsockname()[1]).__enter__()
    assert threads() == []


def test_a_call_that_runs_is_cut_off_at_the_end() -> None:
    """Leaving the context ends a call that runs, with the end of its connection and no answer."""
    entered = threading.Event()

    async def sleep(_: float) -> None:
        entered.set()

    with socket.socket() as connection:
        with emulator_in_thread(faults=["silence"], sleep=sleep) as clova:
            url = urlsplit(clova.url("receipt"))
            connection.connect((url.hostname, url.port))
            head = f"POST {url.path} HTTP/1.0\r\nX-OCR-SECRET: {clova.secret}\r\nContent-Length: {len(CALL)}\r\n\r\n"
            connection.sendall(head.encode() + CALL)
            assert entered.wait(30)
        assert connection.recv(1) == b""


def test_a_call_under_way_does_not_outlive_the_thread() -> None:
    """A call that its caller abandoned still runs, as at the service, and ends silently with the thread."""
    reached = threading.Event()

    async def sleep(_: float) -> None:
        reached.set()
        await asyncio.Event().wait()

    image = {"format": "png", "name": "n", "data": "QQ=="}
    message = {"version": "V2", "requestId": "r", "timestamp": 0, "images": [image]}
    with emulator_in_thread(sleep=sleep) as clova:
        url = urlsplit(clova.url("receipt"))
        connection = http.client.HTTPConnection("127.0.0.1", url.port)
        connection.request("POST", url.path, json.dumps(message), {"X-OCR-SECRET": clova.secret})
        assert reached.wait(30)
        connection.close()
    gc.collect()  # a task that was left would say so now, which is an error here
