from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import types
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import pytest
from support.commands import clova_ocr, exported, many_pictures, records_in, status
from support.server_runs import POSTGRES_MODULE, folder_postgres

from clova_ocr_async import slots
from clova_ocr_async.batch import BatchDispatcher
from clova_ocr_async.blocking import BlockingClient
from clova_ocr_async.cli.runs.client_settings import shared_slots
from clova_ocr_async.cli.runs.report_writing import ReportFile, retry_command, run_title
from clova_ocr_async.cli.runs.review_serving import ReviewSettings, serve_review
from clova_ocr_async.cli.runs.watch import check_apart
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator
from clova_ocr_async.errors import ConfigurationError, LedgerError
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.server_url import Password, ServerURL

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.ledger.run_status import RunStatus

CANARY = "kanarienvogel"
URL = "postgresql://me@db.example/ocr?run=march"
WITH_PASSWORD = f"postgresql://me:{CANARY}@db.example/ocr?run=march"


@pytest.fixture(autouse=True)
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ServerURL]:
    """Let runs on PostgreSQL be folders; the URLs of those that were opened."""
    module = folder_postgres(tmp_path / "server")
    (tmp_path / "server").mkdir()
    monkeypatch.setitem(sys.modules, POSTGRES_MODULE, module)
    found: list[ServerURL] = vars(module)["opened"]
    return found


class _Reached(slots.LocalSlots):
    """Slots whose server was looked for."""

    def __init__(self, error: ConfigurationError | None, **limits: Any) -> None:
        super().__init__(**limits)
        self._error = error

    def check_server(self) -> None:
        """Raise the error, if there is one."""
        if self._error is not None:
            raise self._error


class ServerSlots:
    """Slots of servers in their place: those of one process.

    Attributes:
        made: What each was made of.
        error: Raised by a look for the server; None if it is there.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[tuple[str, ServerURL, dict[str, Any]]] = []
        self.error: ConfigurationError | None = None
        for name in ("PostgresSlots", "RedisSlots"):
            monkeypatch.setitem(vars(slots), name, partial(self._make, name))  # whether its library is there or not

    def _make(self, name: str, server: ServerURL, **limits: Any) -> slots.LocalSlots:
        self.made.append((name, server, limits))
        return _Reached(self.error, **limits)


@pytest.fixture
def server_slots(monkeypatch: pytest.MonkeyPatch) -> ServerSlots:
    """Slots of servers, without a server."""
    return ServerSlots(monkeypatch)


def test_a_run_on_a_server_pays_once(clova: Emulator, scans: Path) -> None:
    """A batch on a URL is resumed, counted and exported like one in a directory, and its messages name the URL."""
    first = clova_ocr("batch", "receipt", scans, "--run", URL)
    again = clova_ocr("batch", "receipt", scans, "--run", URL)
    assert (first.exit_code, again.exit_code) == (0, 0), first.output
    assert clova.billed.total() == 6
    assert f"the run in {URL}: 7 images: 7 succeeded; 6 calls billed" in again.stderr
    assert f"for the results: clova-ocr export '{URL}'" in first.stderr
    assert status(URL)["images"] == {"succeeded": 7}
    assert [record["status"] for record in exported(URL)] == ["succeeded"] * 7


def test_what_was_not_read_has_no_file_on_this_machine(
    clova: Emulator, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run on a server has no list of failures beside it, also after a purge: its records have them."""
    monkeypatch.chdir(tmp_path)
    clova.script("invalid-body")
    result = clova_ocr("batch", "receipt", scans, "--run", URL)
    assert result.exit_code == 1
    assert "what was not read" not in result.stderr
    retried = clova_ocr("batch", "receipt", "--run", URL, "--retry-failed")
    assert retried.exit_code == 0, retried.stderr
    assert "deleted: 6 answers" in clova_ocr("purge", URL).stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scans", "server"]
    assert sorted(path.name for path in (tmp_path / "server" / "march").iterdir()) == ["ledger.sqlite3"]


def test_a_run_on_a_server_begins_with_its_first_image(clova: Emulator, tmp_path: Path) -> None:
    """Without an image no run is begun, a dry run begins none, and a run that is not there has nothing to retry."""
    empty = tmp_path / "empty"
    empty.mkdir()
    assert clova_ocr("batch", "receipt", empty, "--run", URL).exit_code == 5
    dry = clova_ocr("batch", "receipt", many_pictures(tmp_path / "three", 3), "--run", URL, "--dry-run")
    assert re.search(r"billable calls +3", dry.stdout)
    assert "nothing to read: give a PATH" in clova_ocr("batch", "receipt", "--run", URL, "--retry-failed").stderr
    assert list((tmp_path / "server").iterdir()) == []
    assert clova.requests == 0


@pytest.mark.usefixtures("clova")
def test_a_dry_run_knows_what_a_run_on_a_server_has(scans: Path) -> None:
    """A dry run looks into a run on a server."""
    assert clova_ocr("batch", "receipt", scans, "--run", URL).exit_code == 0
    dry = clova_ocr("batch", "receipt", scans, "--run", URL, "--dry-run")
    assert re.search(r"answered already +7", dry.stdout)


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize("verb", ["batch", "status", "export", "purge", "annotate", "redact", "report"])
def test_a_password_is_warned_of_once_and_never_shown(
    verb: str, scans: Path, tmp_path: Path, opened: list[ServerURL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password in a URL reaches the server and nothing else; each command warns of it once, unless it is quiet."""
    assert clova_ocr("batch", "receipt", scans, "--run", URL).exit_code == 0
    opened.clear()
    words = {
        "batch": ("batch", "receipt", scans, "--run", WITH_PASSWORD),
        "annotate": ("annotate", WITH_PASSWORD, "-o", tmp_path / "drawn"),
        "redact": ("redact", WITH_PASSWORD, "-o", tmp_path / "masked"),
        "report": ("report", WITH_PASSWORD, "-o", tmp_path / "report.html"),
    }.get(verb, (verb, WITH_PASSWORD))
    monkeypatch.setattr("sys.argv", ["clova-ocr", *map(str, words)])
    result = clova_ocr("-vv", *words)
    assert result.exit_code == 0, result.output
    assert result.stderr.count(f"the URL {URL} has a password") == 1
    assert CANARY not in result.output
    assert {url.password for url in opened} == {Password(CANARY)}
    assert "has a password" not in clova_ocr(*words, "--quiet").output
    written = [path for path in tmp_path.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]
    assert written == []
    assert not any(CANARY in value for value in os.environ.values())


@pytest.mark.usefixtures("server_slots")
def test_the_command_that_resumes_has_the_url_without_its_password(
    clova: Emulator, scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The printed command can be pasted: it names the run and the slots, and needs the password from elsewhere."""
    shared = f"redis://:{CANARY}@cache.example/0"
    words = ["batch", "receipt", str(scans), f"--run={WITH_PASSWORD}", "--slots", shared, "--max-calls", "1"]
    monkeypatch.setattr("sys.argv", ["clova-ocr", *words])
    result = clova_ocr(*words)
    assert result.exit_code == 4
    assert f"batch receipt {scans} '--run={URL}' --slots redis://cache.example/0 --max-calls 1" in result.stderr
    assert CANARY not in result.output
    assert result.stderr.count("has a password") == 2
    assert clova.billed.total() == 1


def test_a_password_of_one_server_is_warned_of_once(clova: Emulator, scans: Path, server_slots: ServerSlots) -> None:
    """A server that keeps both the run and the slots is warned of once."""
    slots_url = WITH_PASSWORD.partition("?")[0]
    result = clova_ocr("batch", "receipt", scans, "--run", WITH_PASSWORD, "--slots", slots_url)
    assert (result.exit_code, result.stderr.count("has a password")) == (0, 1), result.stderr
    assert [server.password for _, server, _ in server_slots.made] == [Password(CANARY)]
    assert clova.billed.total() == 6


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("status", "postgresql://me@db/ocr"), "the URL names no run; add ?run=NAME to it"),
        (("status", f"mysql://me:{CANARY}@db/ocr?run=a"), "the URL does not begin with postgresql://"),
        (("export", f"postgresql:{CANARY}"), "the URL cannot be read"),
        (("batch", "receipt", "x", "--run", "db/ocr?run=a"), "the URL of a run begins with postgresql://"),
        (("status", f"me:{CANARY}@db/ocr?sslmode=require&run=a"), "the URL of a run begins with postgresql://"),
        (("batch", "receipt", "x", "--run", f"redis://:{CANARY}@cache"), "the URL does not begin with postgresql://"),
        (("watch", "receipt", "x", "--run", "postgresql://me@db/ocr"), "the URL names no run"),
        (("recognize", "receipt", "x", "--slots", f"http://me:{CANARY}@h"), "begin with postgresql:// or redis://"),
    ],
)
def test_a_wrong_url_is_refused_before_anything_is_made(
    words: tuple[str, ...], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL of another kind is wrong usage: no folder gets its name, and it is not repeated."""
    monkeypatch.chdir(tmp_path)
    result = clova_ocr(*words)
    assert result.exit_code == 2
    assert why in " ".join(result.stderr.split())
    assert CANARY not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["server"]


def test_a_run_directory_may_have_a_name_like_a_url(clova: Emulator, scans: Path, tmp_path: Path) -> None:
    """A folder that is there is a run directory, whatever its name."""
    run = tmp_path / "a?run=b"
    run.mkdir()
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 0
    assert clova_ocr("status", run).exit_code == 0
    assert clova.billed.total() == 6


def test_a_file_of_results_is_refused_for_a_server(clova: Emulator, scans: Path) -> None:
    """The results of a run on a server go to no file of the batch; the error has the command that writes them."""
    output = clova_ocr("batch", "receipt", scans, "--run", URL, "-o", "out.jsonl")
    assert f"with --run the results are in {URL}; write them with: clova-ocr export '{URL}' -o FILE" in output.stderr
    assert clova.requests == 0


@pytest.mark.usefixtures("clova")
def test_results_that_wait_on_this_machine_are_listed(
    scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status of a run names the files with results that a server could not take, and what brings them in."""

    class Waiting(RunReader):
        def status(self) -> RunStatus:
            return replace(super().status(), overflow_files=("/state/a", "/state/b\n"))

    assert clova_ocr("batch", "receipt", scans, "--run", URL).exit_code == 0
    place = tmp_path / "server" / "march"
    monkeypatch.setitem(vars(sys.modules[POSTGRES_MODULE]), "PostgresRunReader", lambda _, seal: Waiting(place, seal))
    waiting = "2 files of this machine hold results that the next batch here stores: /state/a, /state/b\\n"
    assert f"waiting    {waiting}" in clova_ocr("status", URL).stdout
    assert status(URL)["overflow_files"] == ["/state/a", "/state/b\n"]


@pytest.mark.parametrize("kept", [0, 1])
def test_results_that_wait_are_listed_while_the_server_is_away(
    kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A status that cannot be had names the files with results that wait here, beside the error."""

    class AwayError(LedgerError):
        resumable = True

    class Away(RunReader):
        def __enter__(self) -> Self:
            raise AwayError("the server does not answer")

    monkeypatch.setitem(vars(sys.modules[POSTGRES_MODULE]), "PostgresRunReader", lambda _, seal: Away(tmp_path, seal))
    files = [tmp_path / "server" / f"{number}.overflow" for number in range(kept)]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    output = clova_ocr("--quiet", "status", URL)
    assert output.exit_code == 4
    listed = [f"1 file of this machine holds results that the next batch here stores: {file}" for file in files]
    assert [line.strip() for line in output.stderr.splitlines() if "this machine" in line] == listed
    assert "error: the server does not answer" in output.stderr


def test_a_run_is_copied_to_a_server_and_back(clova: Emulator, scans: Path, run: Path) -> None:
    """A copy is compared and counted, works on without the original, and can be copied back; -q prints nothing."""
    assert clova_ocr("batch", "receipt", scans, "--run", run, "--max-calls", "2").exit_code == 4
    copied = clova_ocr("ledger", "copy", run, URL)
    assert copied.exit_code == 0, copied.output
    assert "copied: 7 names, 6 different images, 2 answers, 0 corrections; both" in copied.stderr
    assert re.search(r"the same content \(sha256 [0-9a-f]{64}\)\n", copied.stderr)
    assert f"from now on work only on {URL}\n" in copied.stderr
    assert re.search(r"moved to   \S+/server/march on \S+, and is worked on there", clova_ocr("status", run).stdout)
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 2
    assert clova_ocr("batch", "receipt", scans, "--run", URL, "--max-calls", "none").exit_code == 0
    assert clova.billed.total() == 6
    back = clova_ocr("ledger", "copy", URL, run, "--quiet")
    assert (back.exit_code, back.output) == (0, "")
    assert status(run)["images"] == {"succeeded": 7}
    again = clova_ocr("ledger", "copy", URL, run)
    assert (again.exit_code, again.stderr.startswith("error: ")) == (2, True)


def test_the_group_of_ledgers_has_the_common_options_and_examples() -> None:
    """The common options stand before and behind the words of a group, whose help has examples."""
    missing = ("ledger", "copy", "nowhere", "nowhere-else")
    for words in (("-q", *missing), ("ledger", "-q", *missing[1:]), (*missing, "-q")):
        result = clova_ocr(*words)
        assert (result.exit_code, result.stdout) == (2, ""), words
        assert "nowhere is not there" in result.stderr, words
    assert "clova-ocr ledger copy run/ 'postgresql://" in clova_ocr("ledger", "copy", "--help").stdout
    assert "copy" in clova_ocr("ledger", "--help").stdout


def test_without_its_library_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL without the extra is an error of the configuration that names the command of pip."""
    monkeypatch.setitem(sys.modules, POSTGRES_MODULE, None)
    result = clova_ocr("status", URL)
    assert (result.exit_code, "pip install 'clova-ocr-async[postgres]'" in result.stderr) == (2, True)


def test_a_run_on_a_server_lies_in_no_folder(tmp_path: Path) -> None:
    """A folder may be watched into a run on a server, whatever the name of that run."""
    check_apart(str(tmp_path), ServerURL("postgresql://me@db/ocr", None, tmp_path.name))


def test_a_report_names_the_run_and_the_command_that_retries() -> None:
    """The page has the name of the run as its title, and its command names the URL, from whichever folder."""
    run = ServerURL("postgresql://me@db.example/ocr", Password(CANARY), "march")
    assert run_title(run) == "march"
    command = retry_command(ReportFile(run=run, output="x"), "/scans", ["receipt"], ["--retry-failed"])
    assert command == f"cd /scans && clova-ocr batch receipt --run '{URL}' --retry-failed"


def interrupted(_: str) -> bool:
    """Interrupt this process in place of opening a browser."""
    signal.raise_signal(signal.SIGINT)
    return True


@pytest.mark.usefixtures("clova")
def test_a_review_keeps_corrections_on_the_server(scans: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A review of a run on a server opens it for corrections, and names the URL at its end."""
    assert clova_ocr("batch", "receipt", scans, "--run", URL).exit_code == 0
    run = ServerURL("postgresql://me@db.example/ocr", None, "march")

    async def review() -> int:
        settings = ReviewSettings(run=run, by="me", open_page=True, environment={})
        return await serve_review(settings, NoSeal(), interrupted)

    assert asyncio.run(review()) == 0
    printed = capsys.readouterr().err
    assert f"reading 7 images of {URL}" in printed
    assert f"0 corrections kept in {URL}" in printed


async def test_a_program_takes_the_url_of_a_run(clova: Emulator, scans: Path) -> None:
    """A dispatcher, the blocking client and the emulator's replay take the URL of a run as they take a directory."""
    domain, images = Domain(clova.url(), clova.secret), [scans / f"{number}.png" for number in range(7)]
    async with ClovaOCRClient(domain) as client:
        for _ in range(2):
            async with BatchDispatcher(client, ledger=URL).dispatch(images, Receipt) as outcomes:
                assert len([outcome async for outcome in outcomes]) == 7
        with pytest.raises(ConfigurationError, match=r"ledger names no run; add \?run=NAME"):
            BatchDispatcher(client, ledger="postgresql://me@db/ocr")
    assert await asyncio.to_thread(read_blocking, domain, images) == 7
    assert clova.billed.total() == 6
    async with Emulator(replay=URL) as replaying, ClovaOCRClient(Domain(replaying.url(), replaying.secret)) as client:
        await client.recognize(images[0], Receipt)
        assert replaying.replayed == 1
    for wrong, kind in (("postgresql://me@db/ocr", ConfigurationError), (URL + "2", LedgerError)):
        with pytest.raises(kind):
            Emulator(replay=wrong)


def read_blocking(domain: Domain, images: list[Path]) -> int:
    """Read images with the blocking client, and return the number of outcomes."""
    with BlockingClient(domain) as client, client.batch(images, Receipt, ledger=URL) as outcomes:
        return len(list(outcomes))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://me@db.example/ocr", "PostgresSlots"),
        ("redis://cache/0", "RedisSlots"),
        ("rediss://cache", "RedisSlots"),
    ],
)
def test_slots_are_those_of_the_server(
    url: str, name: str, server_slots: ServerSlots, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--slots, or else its variable, decides by its scheme which slots the calls of a command share."""
    monkeypatch.setenv("CLOVA_OCR_SLOTS", url)
    shared_slots(5, 2.0)
    shared_slots(1, server=ServerURL("redis://other"))
    assert server_slots.made == [
        (name, ServerURL(url), {"concurrency": 5, "max_per_second": 2.0}),
        ("RedisSlots", ServerURL("redis://other"), {"concurrency": 1, "max_per_second": None}),
    ]


def test_the_variable_of_slots_is_checked(
    server_slots: ServerSlots, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that holds no URL of a server is named and not repeated; a password in it is warned of."""
    monkeypatch.setenv("CLOVA_OCR_SLOTS", f"memcached://{CANARY}")
    with pytest.raises(ConfigurationError, match="CLOVA_OCR_SLOTS does not begin with postgresql:// or") as caught:
        shared_slots()
    assert CANARY not in str(caught.value)
    monkeypatch.setenv("CLOVA_OCR_SLOTS", f"redis://:{CANARY}@cache")
    shared_slots()
    printed = capsys.readouterr().err
    assert "the URL redis://cache has a password" in printed
    assert CANARY not in printed
    assert [server.password for _, server, _ in server_slots.made] == [Password(CANARY)]


@pytest.mark.usefixtures("clova")
@pytest.mark.parametrize("verb", ["recognize", "batch"])
def test_a_command_takes_its_slots_from_the_server(verb: str, scans: Path, server_slots: ServerSlots) -> None:
    """Each verb that calls shares its slots through the server that --slots names."""
    result = clova_ocr(verb, "receipt", scans / "0.png", "--slots", "redis://cache/0")
    assert result.exit_code == 0, result.stderr
    assert len(records_in(result.stdout)) == 1
    assert [server for _, server, _ in server_slots.made] == [ServerURL("redis://cache/0")]


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigurationError("no answer", retryable=True), 4), (ConfigurationError("wrong password"), 2)],
)
def test_a_server_of_slots_that_cannot_be_used_ends_the_command_at_once(
    error: ConfigurationError, code: int, clova: Emulator, scans: Path, server_slots: ServerSlots, tmp_path: Path
) -> None:
    """A command whose server of slots is not there sends nothing, and makes no run: one line says why."""
    server_slots.error = error
    run = tmp_path / "run"
    for words in (("recognize", "receipt", scans / "0.png"), ("batch", "receipt", scans, "--run", run)):
        result = clova_ocr(*words, "--slots", "redis://cache/0")
        assert (result.exit_code, result.stderr) == (code, f"error: {error}\n")
    assert not run.exists()
    assert not clova.billed


def test_slots_without_their_library_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, slots on a server are an error of the configuration that names the command of pip."""

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"{name} needs redis: pip install 'clova-ocr-async[redis]'")

    module = types.ModuleType("clova_ocr_async.slots")
    vars(module)["__getattr__"] = missing
    monkeypatch.setitem(sys.modules, "clova_ocr_async.slots", module)
    with pytest.raises(ConfigurationError, match=r"RedisSlots needs redis: pip install '.*\[redis\]'"):
        shared_slots(server=ServerURL("redis://cache"))


def test_the_help_names_both_kinds_of_runs() -> None:
    """The help of each verb that works on a run says what RUN may be."""
    for verb in ("batch", "watch", "status", "export", "purge", "annotate", "redact", "report", "review"):
        assert "postgresql://user@host/db?run=NAME" in " ".join(clova_ocr(verb, "--help").stdout.split()), verb
