from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import inspect
import logging
import signal
import subprocess
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from support.child_programs import FORKING_PYTHON
from support.fakes import JPEG, SECRET, FakeTransport, Held, domain, steps

from clova_ocr_async.batch import Failure, Success
from clova_ocr_async.batch.sources.caller_thread import CallerThreadSource
from clova_ocr_async.batch.sources.iterables import EXHAUSTED
from clova_ocr_async.blocking import BlockingClient
from clova_ocr_async.client import ClovaOCRClient, Event
from clova_ocr_async.client.loop_thread import LoopThread, keep_inherited
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, emulator_in_thread
from clova_ocr_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConnectionLostError,
    ImageError,
    LedgerError,
    NotSentError,
)
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from support.fakes import Sent

    from clova_ocr_async.protocol.response import HTTPResponse


def client_of(transport: Any = None, **settings: Any) -> BlockingClient:
    """Return a client over a fake transport."""
    return BlockingClient(domain(), transport=transport or FakeTransport(), **settings)


def client_at(clova: Emulator) -> BlockingClient:
    """Return a client of an emulator."""
    return BlockingClient(Domain(clova.url(), clova.secret))


def threads() -> list[str]:
    """Return the names of the clients' threads."""
    return [thread.name for thread in threading.enumerate() if thread.name == "clova-ocr-blocking"]


def pictures(count: int) -> Iterator[Image]:
    """Yield pictures with different names."""
    for number in range(count):
        yield Image(JPEG, f"{number}")


# ---------------------------------------------------------------------------------------------------------------------
# One call


def test_a_call_waits_for_its_recognition() -> None:
    """A call returns the recognition itself, and the thread of the client ends with the client."""
    with client_of() as client:
        recognition = client.recognize(JPEG, Receipt)
        assert recognition.document.result.store_info.name.value == "canarySHOP"
        assert threads() == ["clova-ocr-blocking"]
        assert [gate.in_flight for gate in client.gates.values()] == [0]
        assert (len(client.domains), client.on_hold) == (1, {})
    assert threads() == []


def test_an_error_is_raised_as_by_the_asyncio_client() -> None:
    """An error of a call is of the same class, with its billing."""
    with (
        emulator_in_thread(faults=["bad-secret"]) as clova,
        BlockingClient(Domain(clova.url(), clova.secret)) as client,
    ):
        with pytest.raises(AuthenticationError):
            client.recognize(JPEG, Receipt)
        with pytest.raises(ImageError):
            client.recognize(b"", Receipt)


def test_the_signature_is_that_of_the_asyncio_client() -> None:
    """Editors and `help` show the parameters and the docstring of ClovaOCRClient.recognize."""
    assert inspect.signature(BlockingClient.recognize) == inspect.signature(ClovaOCRClient.recognize)
    assert BlockingClient.recognize.__doc__ == ClovaOCRClient.recognize.__doc__
    assert not inspect.iscoroutinefunction(BlockingClient.recognize)


def test_threads_share_a_client() -> None:
    """32 threads call through one client and one event loop, and each gets its own answer."""
    with client_of(concurrency=8) as client, ThreadPoolExecutor(32) as pool:
        names = [f"{number}.jpg" for number in range(96)]
        found = pool.map(lambda name: client.recognize(Image(JPEG, name), Receipt), names)
        assert [recognition.name for recognition in found] == names
        assert threads() == ["clova-ocr-blocking"]


def test_hooks_see_the_context_of_the_caller() -> None:
    """A call runs in a copy of the caller's context variables, so that traces find their parent."""
    place = contextvars.ContextVar("place", default="nowhere")
    seen: list[str] = []

    def hook(_: Event) -> None:
        seen.append(place.get())

    with client_of(hooks=[hook]) as client:
        place.set("here")
        client.recognize(JPEG, Receipt)
    assert set(seen) == {"here"}


# ---------------------------------------------------------------------------------------------------------------------
# Where it refuses


async def test_in_a_running_loop_it_refuses() -> None:
    """In a thread with a running event loop each call is refused, with the way in which asyncio code calls."""
    client = client_of()
    for call in (
        lambda: client.recognize(JPEG, Receipt),
        client.__enter__,
        client.batch([JPEG], Receipt).__enter__,
    ):
        with pytest.raises(ConfigurationError, match=r"async with ClovaOCRClient.*await client\.recognize.*notebook"):
            call()
    # Another thread may wait.
    assert (await asyncio.to_thread(client.recognize, JPEG, Receipt)).attempts == 1
    await asyncio.to_thread(client.close)


@pytest.mark.parametrize("used", [True, False])
def test_a_closed_client_refuses(used: bool) -> None:
    """After close, which may be called twice and before any use, a call is refused as by the asyncio client."""
    client = client_of()
    if used:
        client.recognize(JPEG, Receipt)
    client.close()
    client.close()
    with pytest.raises(ConfigurationError, match="the client is closed; make a new one"):
        client.recognize(JPEG, Receipt)
    assert threads() == []


def test_a_wrong_wait_closes_nothing() -> None:
    """A wait that is no duration is refused before any request is cut off, and the client goes on."""
    with client_of() as client:
        client.recognize(JPEG, Receipt)
        with pytest.raises(ConfigurationError, match="wait is less than 0"):
            client.close(wait=-1)
        assert client.recognize(JPEG, Receipt).attempts == 1


def test_settings_are_checked_at_once() -> None:
    """A setting that cannot work is refused before any thread starts; a session is refused with the way out."""
    with pytest.raises(ConfigurationError, match="concurrency"):
        client_of(concurrency=0)
    with pytest.raises(ConfigurationError, match=r"session.*transport=AiohttpTransport\(proxy=…, tls=…\)"):
        BlockingClient(domain(), session=object())  # type: ignore[arg-type]
    assert threads() == []


def test_domains_from_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The domains come from the environment or from a file, as for the asyncio client."""
    monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", "https://a.apigw.ntruss.com/custom/v1/1/abc")
    monkeypatch.setenv("CLOVA_OCR_SECRET", SECRET)
    with BlockingClient.from_env(concurrency=3) as client:
        assert [one.label for one in client.domains] == ["a"]
    file = tmp_path / "domains.toml"
    file.write_text(
        '[[domain]]\ninvoke_url = "https://b.apigw.ntruss.com/custom/v1/1/abc"\nsecret_env = "CLOVA_OCR_SECRET"\n'
    )
    with BlockingClient.from_config(file) as client:
        assert [one.label for one in client.domains] == ["b"]


def test_a_loop_of_the_parent_process_is_refused() -> None:
    """After a fork the thread exists only in the parent: using it is an error with the way out, and no endless wait."""
    pid = [1]
    thread = LoopThread(pid=lambda: pid[0])
    thread.start()
    pid[0] = 2
    with pytest.raises(ConfigurationError, match="before this process was forked"):
        thread.run(asyncio.sleep(0))
    assert not thread.here
    pid[0] = 1
    thread.stop()


def test_what_a_child_of_a_fork_inherits_is_never_collected() -> None:
    """A loop of the parent, and what is tied to it, is not collected in the child, where closing it would do harm."""

    class Tied:
        pass

    tied = Tied()
    thread, alive = LoopThread(tied), weakref.ref(tied)
    thread.start()
    keep_inherited()
    thread.stop()
    del thread, tied
    gc.collect()
    assert alive() is not None


def test_a_loop_that_another_thread_has_closed() -> None:
    """A call that comes just after the loop was closed is refused as one of a closed client."""
    thread = LoopThread()
    thread.start()
    thread.stop()
    with pytest.raises(ConfigurationError, match="the client is closed"):
        thread.run(asyncio.sleep(0))


def test_a_call_that_is_left_when_the_loop_ends() -> None:
    """A call that still runs when the loop ends is an error, and no wait without an end."""
    thread = LoopThread()
    began = threading.Event()

    async def forever() -> None:
        began.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(thread.run, forever())
        began.wait()
        thread.stop()
        with pytest.raises(ConfigurationError, match="closed while the call was in flight"):
            call.result()


# ---------------------------------------------------------------------------------------------------------------------
# Batches


@pytest.mark.parametrize("ledger", [True, False])
@pytest.mark.parametrize("kind", [list, iter])
def test_a_batch_yields_each_outcome(ledger: bool, kind: Any, tmp_path: Path) -> None:
    """Each image comes out once, from a list and from an iterator, with a ledger and without."""
    images = kind([JPEG[:-2] + bytes([number]) + JPEG[-2:] for number in range(9)])
    with client_of() as client:
        with client.batch(images, Receipt, ledger=tmp_path / "run" if ledger else None) as outcomes:
            found = list(outcomes)
            assert list(outcomes) == []
        assert [type(outcome) for outcome in found] == [Success] * 9
        assert (outcomes.stopped, outcomes.left_over) == (None, ())


def test_an_iterator_is_read_in_the_thread_of_the_consumer() -> None:
    """An iterator, which may be tied to its thread, is read and closed where the outcomes are taken."""
    places: list[Any] = []

    def images() -> Iterator[Image]:
        try:
            for image in pictures(5):
                places.append(threading.current_thread())
                yield image
        finally:
            places.append(threading.current_thread())

    with client_of() as client, client.batch(images(), Receipt, ordered=True) as outcomes:
        assert [outcome.source.name for outcome in outcomes] == ["0", "1", "2", "3", "4"]
    assert places == [threading.current_thread()] * 6


@pytest.mark.parametrize("images", [b"a", "a.jpg", 7, Image(JPEG)])
def test_what_is_no_iterable_of_images_is_refused(images: Any) -> None:
    """A single image, or what cannot be iterated, is refused as by the dispatcher."""
    with client_of() as client, pytest.raises(TypeError, match="images is a"):
        client.batch(images, Receipt)


def test_a_batch_that_is_not_opened_names_the_way() -> None:
    """A batch without `with` is an error in the words of this client, and nothing is sent."""
    transport = FakeTransport()
    with client_of(transport) as client, pytest.raises(RuntimeError, match=r": with client\.batch\(…\) as outcomes"):
        list(client.batch([JPEG], Receipt))
    assert transport.sent == []


def test_an_error_of_the_iterator_is_raised_at_the_end() -> None:
    """What the iterator raises comes out when the images before it have come out."""

    def images() -> Iterator[Image]:
        yield from pictures(2)
        raise ZeroDivisionError

    found: list[Any] = []
    with client_of() as client, client.batch(images(), Receipt) as outcomes, pytest.raises(ZeroDivisionError):
        found.extend(iter(outcomes.__next__, None))
    assert [type(outcome) for outcome in found] == [Success] * 2


def test_a_batch_whose_ledger_cannot_be_opened(tmp_path: Path) -> None:
    """The error of a ledger is raised where the batch is opened."""
    (tmp_path / "run").write_text("not a folder")
    with client_of() as client, pytest.raises(LedgerError):
        client.batch([JPEG], Receipt, ledger=tmp_path / "run").__enter__()


def test_a_batch_that_is_left_early_names_the_rest() -> None:
    """Leaving early ends the pulling, and left_over has the images that were pulled and not taken."""
    with client_of() as client:
        with client.batch(pictures(1000), Receipt, concurrency=2) as outcomes:
            first = next(outcomes)
        assert isinstance(first, Success)
        assert all(isinstance(outcome, Success | Failure) for outcome in outcomes.left_over)


def test_a_batch_can_be_stopped() -> None:
    """After stop no image is sent any more, and those that were pulled come out as not sent."""
    with client_of() as client, client.batch(list(pictures(300)), Receipt, concurrency=1) as outcomes:
        outcomes.stop(ImageError("enough"))
        found = list(outcomes)
    assert str(outcomes.stopped) == "enough"
    assert len(found) < 300
    assert all(isinstance(outcome.error, NotSentError) for outcome in found if isinstance(outcome, Failure))


class InterruptedOnce:
    """An iterator of pictures during whose second step Ctrl-C is pressed, once."""

    def __init__(self) -> None:
        self.images = pictures(3)
        self.steps = 0

    def __iter__(self) -> Iterator[Image]:
        return self

    def __next__(self) -> Image:
        self.steps += 1
        if self.steps == 2:
            raise KeyboardInterrupt
        return next(self.images)


def test_an_interrupted_wait_loses_no_outcome() -> None:
    """An outcome that arrives after Ctrl-C is the next one if the loop goes on, or else left over."""
    for goes_on in (True, False):
        with client_of() as client:
            with (
                contextlib.suppress(KeyboardInterrupt),
                client.batch(InterruptedOnce(), Receipt, concurrency=1, ordered=True) as outcomes,
            ):
                try:
                    found = [next(outcomes)]
                except KeyboardInterrupt:
                    if not goes_on:
                        raise
                    found = [next(outcomes)]
            names = [outcome.source.name for outcome in (*(found if goes_on else ()), *outcomes.left_over)]
        assert names[:1] == ["0"]


async def test_an_iterator_that_is_not_waited_for_loses_no_image() -> None:
    """An image that the iterator yields when the batch is being left is dropped by name; after that none is pulled."""
    source = CallerThreadSource(["a", "b"])
    waiting = asyncio.create_task(source.pull())
    await steps()
    request = source.inbox.get_nowait()
    source.stop()
    source.stop()
    assert await waiting is EXHAUSTED
    assert await source.pull() is EXHAUSTED
    source.serve(request)
    await steps()
    assert source.dropped == ["a"]
    source.serve(request)
    source.serve(request)
    await steps()
    assert source.dropped == ["a", "b"]
    source.close_iterable()


def test_leaving_while_an_outcome_is_waited_for() -> None:
    """A batch that is left by another way than its loop keeps the outcome that was about to be taken."""
    held = Held()
    with client_of(FakeTransport(held), concurrency=1) as client:
        with contextlib.suppress(KeyboardInterrupt), client.batch(InterruptedOnce(), Receipt) as outcomes:
            next(outcomes)
        assert [outcome.source.name for outcome in outcomes.left_over] == ["0"]


def test_an_interrupted_close_cuts_off_what_is_in_flight() -> None:
    """Ctrl-C while requests in flight are waited for cuts them off, and the client is closed all the same."""
    began = threading.Event()

    async def hold(_: Sent) -> HTTPResponse:
        began.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]  # it never returns

    client = client_of(FakeTransport(hold))

    class Interrupting(logging.Handler):
        def emit(self, _: logging.LogRecord) -> None:
            raise KeyboardInterrupt

    handler = Interrupting(logging.WARNING)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.recognize, JPEG, Receipt)
        began.wait()
        logging.getLogger("clova_ocr_async").addHandler(handler)
        try:
            with pytest.raises(KeyboardInterrupt):
                client.close()
        finally:
            logging.getLogger("clova_ocr_async").removeHandler(handler)
        with pytest.raises(ConnectionLostError):
            call.result()
    assert threads() == []


# ---------------------------------------------------------------------------------------------------------------------
# Processes


@dataclass
class Gate:
    """A gate at which the emulator holds its calls."""

    entered: threading.Event = field(default_factory=threading.Event)
    open: threading.Event = field(default_factory=threading.Event)

    async def sleep(self, _: float) -> None:
        """Hold a call until the gate is open."""
        self.entered.set()
        await asyncio.to_thread(self.open.wait)


@contextmanager
def program(clova: Emulator, code: str) -> Generator[subprocess.Popen[str]]:
    """Run a program with a client of an emulator."""
    start = (
        "import os, sys\n"
        "from clova_ocr_async import Domain, Receipt\n"
        "from clova_ocr_async.blocking import BlockingClient\n"
        f"picture = {JPEG!r}\n"
        f"client = BlockingClient(Domain({clova.url()!r}, {clova.secret!r}))\n"
    )
    command = [*FORKING_PYTHON, "-c", start + code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


INTERRUPTED = """
try:
    with client:
        try:
            client.recognize(picture, Receipt)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            raise
except KeyboardInterrupt:
    print("left", flush=True)
"""
WITHOUT_CLOSE = """
try:
    client.recognize(picture, Receipt)
except KeyboardInterrupt:
    print("interrupted", flush=True)
print("left", flush=True)
"""


def line_of(stream: Any) -> str:
    """Return the next line of a process."""
    return str(stream.readline()).strip()


@pytest.mark.parametrize("code", [INTERRUPTED, WITHOUT_CLOSE])
def test_ctrl_c_interrupts_at_once_and_the_request_is_waited_for(code: str) -> None:
    """Ctrl-C is raised while the call waits; leaving the client, or the interpreter, waits for the paid request."""
    gate = Gate()
    with emulator_in_thread(sleep=gate.sleep) as clova, program(clova, code) as process:
        gate.entered.wait()
        process.send_signal(signal.SIGINT)
        assert line_of(process.stdout) == "interrupted"
        assert "requests in flight: 1; they are waited for, and Ctrl-C cuts them off" in line_of(process.stderr)
        assert process.poll() is None
        gate.open.set()
        assert line_of(process.stdout) == "left"
        assert process.wait(30) == 0
        assert clova.billed.total() == 1


def test_a_second_ctrl_c_cuts_the_request_off() -> None:
    """A second Ctrl-C while the request is waited for ends the program, though no answer has come."""
    gate = Gate()
    with emulator_in_thread(sleep=gate.sleep) as clova, program(clova, INTERRUPTED) as process:
        gate.entered.wait()
        process.send_signal(signal.SIGINT)
        assert line_of(process.stdout) == "interrupted"
        line_of(process.stderr)
        process.send_signal(signal.SIGINT)
        assert line_of(process.stdout) == "left"
        assert process.wait(30) == 0
        gate.open.set()


FORKING = """
unused = BlockingClient(client.domains[0])
client.recognize(picture, Receipt)
if os.fork() == 0:
    try:
        client.recognize(picture, Receipt)
    except ValueError as error:
        print("child:", error, flush=True)
    client.close()
    print("child:", unused.recognize(picture, Receipt).attempts, flush=True)
    sys.exit()
print("parent:", os.wait()[1], client.recognize(picture, Receipt).attempts, flush=True)
"""


def test_a_forked_child() -> None:
    """In a child a used client is a clear error, an unused one works, and the parent's client goes on."""
    with emulator_in_thread() as clova, program(clova, FORKING) as process:
        printed, told = process.communicate(timeout=30)
    lines = printed.splitlines()
    assert told == ""
    assert "make a BlockingClient in each process" in lines[0], told
    assert lines[1:] == ["child: 1", "parent: 0 1"]
    assert process.returncode == 0


def test_a_client_that_is_not_closed_keeps_no_interpreter_alive() -> None:
    """A program that ends without closing its client ends."""
    with emulator_in_thread() as clova, program(clova, "print(client.recognize(picture, Receipt).attempts)") as process:
        assert process.communicate(timeout=30) == ("1\n", "")
        assert process.returncode == 0
