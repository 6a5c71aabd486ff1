"""The server the calls go to: a C program that throws requests away, so that the client is what is measured.

It is compiled when it is first needed, with TLS where OpenSSL's headers are. Without a C compiler an asyncio server
takes its place, which the results name; ``whole_call.py`` shows what share of a client's CPU it takes.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import random
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Generator

SOURCE = Path(__file__).with_suffix(".c")
SPECIFICATION = Path(__file__).parents[1] / "tests" / "samples" / "specification"
PATH = "/custom/v1/1/key/document/receipt"


def example(document: str) -> dict[str, Any]:
    """Return the specification's example of an answer, without the requestId: the service echoes that of the call."""
    answer: dict[str, Any] = msgspec.json.decode((SPECIFICATION / f"{document}.json").read_bytes())
    return {key: value for key, value in answer.items() if key != "requestId"}


ANSWER = msgspec.json.encode(example("receipt"))
REQUEST_ID = "3f8a1c52-7d0e-4b96-a1f4-5c2e9d7b8a60"
OWN_ANSWER = msgspec.json.encode({"requestId": REQUEST_ID, **example("receipt")})
"""An answer with a requestId, as all of the service's have it; a client must give it to its request."""


class Counts(NamedTuple):
    """The work of a sink so far.

    Attributes:
        requests: How many it has read.
        received: Bytes of them, heads included.
        cpu: Seconds of CPU.
    """

    requests: int
    received: int
    cpu: float


@dataclass(frozen=True)
class Server:
    """A sink that runs.

    Attributes:
        url: The invoke URL.
        kind: The kind of the sink, for readers of the results.
        trusted: The context that trusts its certificate; None without TLS.
        certificate: The file of its certificate; None without TLS.
    """

    url: str
    kind: str
    trusted: ssl.SSLContext | None = None
    certificate: Path | None = None

    def counts(self) -> Counts:
        """Ask it what it has done."""
        with urllib.request.urlopen(self.url, context=self.trusted) as answer:  # noqa: S310 - our own server
            told = json.load(answer)
        return Counts(told["requests"], told["received"], told["cpu"])


@contextmanager
def sink(delay: float = 0.0, *, hold: float = 0.0, tls: bool = False, answer: bytes = ANSWER) -> Generator[Server]:
    """Run a sink in a process of its own while the context is open.

    Args:
        delay: Mean seconds until it answers.
        hold: Seconds that it does not read on behind the head of a request, so that uploads pile up at the client.
        tls: Whether to speak TLS.
        answer: The body of its answers.
    """
    place, program = _place(), _compiled(tls=tls)
    reply = place / "answer"
    reply.write_bytes(_whole(answer))
    arguments = [str(reply), f"{delay * 1e6}", f"{hold * 1e6}", *(map(str, _certificate()) if tls else ())]
    command = [program] if program else [sys.executable, __file__]
    process = subprocess.Popen([*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield _server(_port(process.stdout), "C, epoll" if program else "asyncio, for want of a C compiler", tls=tls)
    finally:
        # It ends with its standard input.
        process.communicate()


def _whole(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def _port(told: IO[bytes] | None) -> int:
    assert told is not None  # noqa: S101 - for the type checkers: it is a pipe
    return int(told.readline())


def _server(port: int, kind: str, *, tls: bool) -> Server:
    if not tls:
        return Server(f"http://127.0.0.1:{port}{PATH}", kind)
    certificate, _ = _certificate()
    return Server(
        f"https://localhost:{port}{PATH}",
        f"{kind}, TLS",
        ssl.create_default_context(cafile=certificate),
        certificate,
    )


@functools.cache
def _place() -> Path:
    """Return a folder of this process, removed at its end."""
    place = Path(tempfile.mkdtemp(prefix="sink-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


@functools.cache
def _compiled(*, tls: bool) -> str | None:
    """Return the program; None if it cannot be compiled here."""
    compiler = shutil.which("cc")
    program = _place() / ("sink-tls" if tls else "sink")
    libraries = ["-DTLS", "-lssl", "-lcrypto"] if tls else []
    if compiler is None:
        return None
    made = subprocess.run(
        [compiler, "-O2", "-o", str(program), str(SOURCE), *libraries], check=False, stderr=subprocess.DEVNULL
    )
    return None if made.returncode else str(program)


@functools.cache
def _certificate() -> tuple[Path, Path]:
    """Return the files of a certificate for localhost and of its key, made by OpenSSL's program."""
    certificate, key = _place() / "certificate.pem", _place() / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost", "-out", certificate, "-keyout", key],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return certificate, key


# ---------------------------------------------------------------------------------------------------------------------
# In place of the C program, with the same arguments


class _Sink(asyncio.Protocol):
    """Reads requests of a known length and answers each with the same bytes, as cheaply as asyncio can."""

    requests = received = 0

    def __init__(self, answer: bytes, delay: float, hold: float) -> None:
        self._answer, self._delay, self._hold = answer, delay, hold

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing read."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checkers
        self._transport, self._head, self._left = transport, b"", 0

    def data_received(self, data: bytes) -> None:
        """Count the body down, and answer at its end."""
        _Sink.received += len(data)
        if not self._left:
            self._head += data
            head, blank, rest = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            if head.startswith(b"GET "):
                _Sink.received -= len(self._head)
                self._head = b""
                self._transport.write(_counted())
                return
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            self._left, self._head, data = int(length), b"", rest
            if self._hold:
                self._transport.pause_reading()
                asyncio.get_running_loop().call_later(self._hold, self._transport.resume_reading)
        self._left -= len(data)
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        _Sink.requests += 1
        delay = random.uniform(0.0, 2 * self._delay)  # noqa: S311 - calls must not end in step
        asyncio.get_running_loop().call_later(delay, self._transport.write, self._answer)


def _counted() -> bytes:
    told = {"requests": _Sink.requests, "received": _Sink.received, "cpu": time.process_time()}
    return _whole(json.dumps(told).encode())


async def _serve(reply: str, delay: str, hold: str, *certificate: str) -> None:
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
    answer = await asyncio.to_thread(Path(reply).read_bytes)
    server = await asyncio.get_running_loop().create_server(
        lambda: _Sink(answer, float(delay) / 1e6, float(hold) / 1e6), "127.0.0.1", 0, ssl=context
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
