"""Options that every verb takes, on either side of it."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import subprocess
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.commands import clova_ocr

from clova_ocr_async.cli.options import Common
from clova_ocr_async.cli.terminal.phrases import resume_command
from clova_ocr_async.emulator import draw_sample

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator

CALLING = ("recognize", "batch", "watch", "doctor")
OTHERS = ("status", "export", "purge", "ledger", "ledger copy", "emulator", "demo")
PASSWORD = "p%40ss-w@rd-of-a-proxy"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A receipt."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    return tmp_path / "a.png"


@pytest.mark.parametrize("verb", [*CALLING, *OTHERS])
def test_every_verb_takes_them_behind_it(verb: str) -> None:
    """None is refused, whatever the verb; help names them, those for calls only where calls are made."""
    words = verb.split()
    text = clova_ocr(*words, "--help").stdout
    for option in ("-q, --quiet", "-v, --verbose"):
        assert option in text
    for option in ("--proxy URL", "--ca-file FILE"):
        assert (option in text) == (verb in CALLING)
    options = ("-q", "-vv", "--config", "x", "--proxy", "http://proxy:1", "--ca-file", "x")
    assert clova_ocr(*options, *words, *options, "--help").exit_code == 0


def test_the_command_names_them_too() -> None:
    """They stand in the help of the command, whose headings stay."""
    text = clova_ocr("--help").stdout
    for word in ("--quiet", "--verbose", "--proxy URL", "--ca-file FILE", "--config FILE"):
        assert word in text
    for heading in ("Verbs:", "Exit codes:", "Examples:"):
        assert heading in text


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize("before", [True, False])
def test_quiet_holds_on_either_side(picture: Path, before: bool) -> None:
    """With -q a run that went well leaves standard error empty."""
    words = ("batch", "receipt", picture)
    result = clova_ocr(*(("-q", *words) if before else (*words, "-q")))
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize(("before", "behind"), [(["-vv"], []), ([], ["-vv"]), (["-v"], ["-v"])])
def test_verbose_adds_up(picture: Path, before: list[str], behind: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """Two -v report how each request ended, wherever they stand; one does not."""
    clova_ocr("recognize", "receipt", picture, "-v")
    assert "request 1: " not in caplog.text
    clova_ocr(*before, "recognize", "receipt", picture, *behind)
    assert "request 1: " in caplog.text


class Proxy:
    """An HTTP proxy that notes the first line and the credentials of each request."""

    def __init__(self) -> None:
        """Listen from ``serving`` on."""
        self.port = 0
        self.lines: list[str] = []
        self.credentials: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one request, by its absolute URL or through a tunnel."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *headers = head.splitlines()
        self.lines.append(first)
        self.credentials += [line for line in headers if line.lower().startswith("proxy-authorization")]
        method, url, _ = first.split()
        place = url if method == "CONNECT" else url.split("/")[2]
        host, _, port = place.partition(":")
        upstream_reader, upstream_writer = await asyncio.open_connection(host, int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            kept = [line for line in headers if not line.lower().startswith("proxy-")]
            upstream_writer.write("\r\n".join([first, *kept, "", ""]).encode())
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pump(reader, upstream_writer))
            group.create_task(self.pump(upstream_reader, writer))

    @staticmethod
    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes."""
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
        writer.close()


@contextmanager
def serving() -> Generator[Proxy]:
    """Run a proxy in a thread."""
    proxy, loop, ready = Proxy(), asyncio.new_event_loop(), threading.Event()
    ended = asyncio.Event()

    async def serve() -> None:
        async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
            proxy.port = server.sockets[0].getsockname()[1]
            ready.set()
            await ended.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.mark.parametrize("verb", ["recognize", "batch", "run", "doctor"])
def test_calls_go_through_the_proxy_and_nothing_shows_its_password(
    clova: Emulator, picture: Path, tmp_path: Path, verb: str
) -> None:
    """Each verb that calls uses --proxy with the credentials in it, and never prints them."""
    with serving() as proxy:
        url = f"http://user:p%40ss-of-a-proxy@127.0.0.1:{proxy.port}"
        words = {
            "recognize": ("recognize", "receipt", picture),
            "batch": ("batch", "receipt", picture),
            "run": ("batch", "receipt", picture, "--run", tmp_path / "run"),
            "doctor": ("doctor", "--probe"),
        }[verb]
        result = clova_ocr("--proxy", "http://nowhere:1", *words, "-vv", "--proxy", url)
    assert result.exit_code == 0, result.output
    assert clova.billed.total() == (verb != "doctor")
    assert [line.split()[:2] for line in proxy.lines] == [["POST", proxy.lines[0].split()[1]]]
    credentials = base64.b64encode(b"user:p@ss-of-a-proxy").decode()
    assert proxy.credentials == [f"Proxy-Authorization: Basic {credentials}"]
    assert "ss-of-a-proxy" not in result.output


def test_a_proxy_that_is_away_is_reported_without_its_password(
    clova: Emulator, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the proxy's host, and the command that resumes masks what stands before it."""
    url = f"http://user:{PASSWORD}@127.0.0.1:9"
    words = ["batch", "receipt", str(picture), "--run", str(tmp_path / "run"), f"--proxy={url}"]
    monkeypatch.setattr("sys.argv", ["clova-ocr", *words])
    result = clova_ocr(*words)
    assert result.exit_code == 4, result.output
    assert "no connection to the proxy 127.0.0.1:9" in result.stderr
    assert "'--proxy=http://***@127.0.0.1:9'" in result.stderr
    assert "w@rd" not in result.output
    assert clova.requests == 0


def test_the_environment_names_the_proxy(clova: Emulator, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOVA_OCR_PROXY is used where --proxy is not given, and HTTPS_PROXY is not; neither is printed."""
    with serving() as proxy:
        monkeypatch.setenv("CLOVA_OCR_PROXY", f"http://user:p%40ss-of-a-proxy@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
        result = clova_ocr("recognize", "receipt", picture, "-vv")
        assert (result.exit_code, len(proxy.lines)) == (0, 1), result.output
        assert "ss-of-a-proxy" not in result.output
    away = clova_ocr("recognize", "receipt", picture, "--proxy", "http://127.0.0.1:9")
    assert "no connection to the proxy 127.0.0.1:9" in away.stderr
    assert "HTTPS_PROXY is not used; CLOVA_OCR_PROXY is" in away.stderr
    assert clova.billed.total() == 1
    monkeypatch.setenv("CLOVA_OCR_PROXY", f"socks5://user:{PASSWORD}@h:1")
    refused = clova_ocr("recognize", "receipt", picture)
    assert refused.exit_code == 2
    assert "CLOVA_OCR_PROXY: it must be a URL such as http://proxy.example:3128" in refused.stderr
    assert "w@rd" not in refused.output


@pytest.mark.usefixtures("clova")
def test_the_environment_names_the_certificates(
    certificate: Path, picture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CLOVA_OCR_CA_FILE is used where --ca-file is not given, and named if it cannot be."""
    monkeypatch.setenv("CLOVA_OCR_CA_FILE", str(tmp_path / "missing.pem"))
    result = clova_ocr("recognize", "receipt", picture)
    assert result.exit_code == 2
    assert f"CLOVA_OCR_CA_FILE {tmp_path / 'missing.pem'}: No such file" in result.stderr.replace("\n", " ")
    assert clova_ocr("recognize", "receipt", picture, "--ca-file", certificate.with_suffix(".crt")).exit_code == 0
    monkeypatch.setenv("CLOVA_OCR_CA_FILE", str(certificate.with_suffix(".crt")))
    assert clova_ocr("recognize", "receipt", picture).exit_code == 0


@pytest.mark.parametrize(
    "url", ["proxy:3128", "socks5://h:1", "http://", f"http://user:{PASSWORD}@[::1", "http://h:99999", "http://h:0"]
)
def test_what_is_not_a_proxy_is_refused_without_being_repeated(picture: Path, url: str) -> None:
    """A URL that cannot be one of an HTTP proxy is a usage error that shows an example, and no password."""
    result = clova_ocr("recognize", "receipt", picture, "--proxy", url)
    assert result.exit_code == 2
    assert "http://proxy.example:3128" in result.stderr
    assert "w@rd" not in result.output


def test_the_options_print_no_password() -> None:
    """Neither a log of the options nor the command to repeat holds what stands before the host of a proxy."""
    assert PASSWORD not in repr(Common(proxy=f"http://user:{PASSWORD}@host"))
    assert resume_command("clova-ocr", ["--proxy", f"http://u:{PASSWORD}@h:1", "a@b.png"]).endswith(
        "'http://***@h:1' a@b.png"
    )


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost"
    )
    words = [*command.split(), "-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    subprocess.run(words, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


def test_a_certificate_is_trusted_that_a_file_names(
    certificate: Path, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --ca-file a certificate of one's own is refused; with it the call goes through."""
    answered = threading.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length:")[2].split()[0]))
        answered.set()
        body = json.dumps({"code": "0011", "message": "printed"}).encode()
        writer.write(
            b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with listening(answer, context) as port:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", f"https://localhost:{port}/custom/v1/1/key")
        monkeypatch.setenv("CLOVA_OCR_SECRET", "secret")
        refused = clova_ocr("recognize", "receipt", picture)
        assert (refused.exit_code, answered.is_set()) == (2, False)
        taken = clova_ocr("recognize", "receipt", picture, "--ca-file", certificate.with_suffix(".crt"))
    assert answered.is_set(), taken.output
    assert "code 0011" in taken.stderr


@contextmanager
def listening(answer: object, context: ssl.SSLContext) -> Generator[int]:
    """Run a server in a thread."""
    loop, ready, ended, ports = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), list[int]()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)  # type: ignore[arg-type]  # as given
        async with server:
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


@pytest.mark.usefixtures("clova")
def test_a_file_of_certificates_that_cannot_be_used_is_reported(picture: Path, tmp_path: Path) -> None:
    """A file that is not there, or holds no certificate, is a usage error that names the option."""
    for path, why in ((tmp_path / "none", "No such file"), (picture, "it holds no certificate in PEM form")):
        result = clova_ocr("recognize", "receipt", picture, "--ca-file", path)
        assert result.exit_code == 2
        assert f"--ca-file {path}: {why}" in result.stderr
