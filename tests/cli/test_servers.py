"""Runs and slots on real servers: the whole way of a batch, and what a password is never shown in."""

from __future__ import annotations

import json
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest
from support.commands import clova_ocr, exported, many_pictures, records_in, start, status
from support.servers import PostgresServer, free_port
from support.waiting import wait_for

from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Domain, Receipt
from clova_ocr_async.emulator import Emulator, emulator_in_thread
from clova_ocr_async.ledger import Change, ChangeKind, open_corrections, open_view
from clova_ocr_async.ledger.seal import NoSeal

if TYPE_CHECKING:
    from pathlib import Path

    from support.servers import RedisServer


pytestmark = pytest.mark.server

CANARY = "kanarienvogel"


@pytest.fixture
def run(postgres_url: str) -> str:
    """The URL of a run that is not begun yet, in an empty database."""
    return f"{postgres_url}?run=march"


def test_a_killed_batch_goes_on(run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After kill -9 the same command reads the rest: no image is sent twice, and what is ambiguous is named."""
    scans = many_pictures(tmp_path / "scans", 12)
    with emulator_in_thread(latency=0.5, sigma=0, concurrency=2) as clova:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", clova.url())
        monkeypatch.setenv("CLOVA_OCR_SECRET", clova.secret)
        words = ("batch", "receipt", scans, "--run", run, "--slots", run.partition("?")[0])
        killed = start(clova, *words)
        wait_for(lambda: clova.billed.total() >= 3)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        done = clova_ocr(*words)
        images = status(run)["images"]
        assert images["succeeded"] + images.get("ambiguous", 0) == 12, done.stderr
        assert images.get("ambiguous", 0) <= 2
        assert done.exit_code == (1 if "ambiguous" in images else 0)
        assert clova.billed.total() <= 12
        retried = clova_ocr("batch", "receipt", "--run", run, "--retry-ambiguous")
        assert retried.exit_code == 0, retried.stderr
    assert status(run)["images"] == {"succeeded": 12}


def test_all_that_a_run_gives_is_the_same_from_a_server(clova: Emulator, scans: Path, run: str, tmp_path: Path) -> None:
    """Every format, the report and the pictures of a run on a server are those of its copy in a directory."""
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 0
    copied = clova_ocr("ledger", "copy", run, tmp_path / "copy")
    assert copied.exit_code == 0, copied.stderr
    counts = "copied: 7 names, 6 different images, 6 answers, 0 corrections"
    assert re.search(rf"{counts}; both have the same content \(sha256 [0-9a-f]{{64}}\)\n", copied.stderr)
    assert re.search(r"from now on work only on \S+/copy\n", copied.stderr)
    again = clova_ocr("ledger", "copy", run, tmp_path / "copy")
    assert (again.exit_code, "if it is the copy that an earlier command made, go on with it" in again.stderr) == (
        2,
        True,
    )
    assert exported(run) == exported(tmp_path / "copy")
    for place, name in ((run, "a"), (tmp_path / "copy", "b")):
        for words in (
            ("export", place, "--format", "csv", "-o", tmp_path / f"{name}.csv"),
            ("export", place, "--format", "xlsx", "-o", tmp_path / f"{name}.xlsx"),
            ("export", place, "--format", "parquet", "-o", tmp_path / f"{name}.parquet"),
            ("report", place, "-o", tmp_path / f"{name}.html"),
            ("annotate", place, "-o", tmp_path / f"{name}.drawn"),
            ("redact", place, "-o", tmp_path / f"{name}.masked"),
        ):
            result = clova_ocr(*words)
            assert result.exit_code == 0, result.stderr
    for suffix in ("csv", "xlsx", "parquet"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    for suffix in ("drawn", "masked"):
        drawn, copies = ({path.name for path in (tmp_path / f"{name}.{suffix}").iterdir()} for name in "ab")
        assert drawn == copies
    assert clova.billed.total() == 6


def test_only_the_newest_copy_is_worked_on(clova: Emulator, scans: Path, run: str, tmp_path: Path) -> None:
    """A run that was copied is refused and names its copy, until it was copied back; no run is copied to itself."""
    assert clova_ocr("batch", "receipt", scans, "--run", run, "--max-calls", "2").exit_code == 4
    assert clova_ocr("ledger", "copy", run, tmp_path / "copy").exit_code == 0
    refused = clova_ocr("batch", "receipt", scans, "--run", run)
    assert (refused.exit_code, f"this run was copied to {tmp_path / 'copy'}" in refused.stderr) == (2, True)
    went_on = clova_ocr("batch", "receipt", scans, "--run", tmp_path / "copy", "--max-calls", "4")
    assert went_on.exit_code == 4, went_on.stderr
    assert clova_ocr("ledger", "copy", tmp_path / "copy", run).exit_code == 0
    assert clova_ocr("batch", "receipt", scans, "--run", run, "--max-calls", "none").exit_code == 0
    assert clova.billed.total() == 6
    again = clova_ocr("ledger", "copy", run, run)
    assert (again.exit_code, "choose another place" in again.stderr) == (2, True)


def test_a_purge_leaves_nothing_of_the_answers(clova: Emulator, scans: Path, run: str) -> None:
    """After a purge the records have no results, and the same batch pays for nothing again."""
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 0
    assert "deleted: 6 answers" in clova_ocr("purge", run).stderr
    assert {record.get("result") for record in exported(run)} == {None}
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 0
    assert clova.billed.total() == 6


def test_a_folder_is_watched_into_a_run_on_a_server(clova: Emulator, scans: Path, run: str) -> None:
    """A watch reads what is in the folder into the run, until a signal ends it."""
    watching = start(clova, "watch", "receipt", scans, "--run", run, "--settle", "0", "--slots", run.partition("?")[0])
    wait_for(lambda: clova.billed.total() == 6)
    watching.send_signal(signal.SIGTERM)
    _, printed = watching.communicate(timeout=30)
    assert watching.returncode == 130, printed
    assert status(run)["images"] == {"succeeded": 7}


def test_corrections_of_a_run_on_a_server_are_exported(clova: Emulator, scans: Path, run: str, tmp_path: Path) -> None:
    """What people correct in a run on a server gets columns of its own in its tables, and goes along in a copy."""
    assert clova_ocr("batch", "receipt", scans, "--run", run).exit_code == 0
    with open_view(run, NoSeal()) as view:
        entry = next(record.entry for record in view.records() if record.entry is not None)
    with open_corrections(run) as corrections:
        change = Change(ChangeKind.CORRECT, "me", "result.storeInfo.name", "what was read", "what is there")
        corrections.append(entry.item, change, after=0)
    assert clova_ocr("ledger", "copy", run, tmp_path / "copy").exit_code == 0
    for place in (run, tmp_path / "copy"):
        table = clova_ocr("export", place, "--format", "csv").stdout
        assert "store_name_corrected" in table.splitlines()[0]
        assert "what is there" in table
    assert clova.billed.total() == 6


async def test_an_emulator_replays_a_run_on_a_server(clova: Emulator, scans: Path, run: str) -> None:
    """The answers of a run on a server are those of an emulator that replays it."""
    async with (
        ClovaOCRClient(Domain(clova.url(), clova.secret)) as client,
        BatchDispatcher(client, ledger=run).dispatch([scans / "0.png"], Receipt) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 1
    async with Emulator(replay=run) as replaying, ClovaOCRClient(Domain(replaying.url(), replaying.secret)) as client:
        await client.recognize(scans / "0.png", Receipt)
        assert replaying.replayed == 1


@pytest.fixture
def locked(postgres_server: PostgresServer, postgres_url: str) -> str:
    """The URL of an empty database, with the password that its user needs."""
    user = postgres_server.locked_user(CANARY)
    return f"postgresql://{user}:{CANARY}@127.0.0.1:{postgres_server.port}/{postgres_url.rpartition('/')[2]}"


def test_a_password_is_in_nothing_that_is_left(
    clova: Emulator,
    scans: Path,
    locked: str,
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever is done with a password in a URL, it is in no output, file, database, command or environment."""
    run, printed = f"{locked}?run=march", ""
    for words, code in (
        (("batch", "receipt", scans, "--run", run, "--slots", locked, "--max-calls", "2"), 4),
        (("batch", "receipt", scans, "--run", run, "--slots", redis_server.url), 4),
        (("batch", "receipt", scans, "--run", run, "--max-calls", "none"), 0),
        (("batch", "receipt", scans, "--run", run, "--dry-run"), 0),
        (("status", run, "--json"), 0),
        (("export", run), 0),
        (("export", run, "--format", "csv", "-o", tmp_path / "out.csv"), 0),
        (("report", run, "-o", tmp_path / "report.html"), 0),
        (("annotate", run, "-o", tmp_path / "drawn"), 0),
        (("redact", run, "-o", tmp_path / "masked"), 0),
        (("ledger", "copy", run, tmp_path / "copy"), 0),
        (("batch", "receipt", scans, "--run", run), 2),  # it was moved
        (("ledger", "copy", tmp_path / "copy", run), 0),
        (("purge", run), 0),
        (("recognize", "receipt", scans / "0.png", "--slots", locked), 0),
    ):
        monkeypatch.setattr("sys.argv", ["clova-ocr", *map(str, words)])
        result = clova_ocr("-vv", *words)
        assert result.exit_code == code, result.stderr
        assert "has a password, which process lists" in result.stderr
        printed += result.output
    assert CANARY not in printed
    assert clova.billed.total() == 7
    state = os.environ["XDG_STATE_HOME"]
    for folder in (str(tmp_path), state):
        for place, _, names in os.walk(folder):
            assert not [name for name in names if CANARY.encode() in _content(os.path.join(place, name))]  # noqa: PTH118
    assert CANARY not in postgres_server.dump(locked.rpartition("/")[2])
    assert not any(CANARY in value for value in os.environ.values())


def _content(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 - any name of a file
        return file.read()


@pytest.mark.usefixtures("clova")
def test_a_server_that_cannot_be_used_is_one_line(locked: str, postgres_url: str, scans: Path) -> None:
    """Each cause has a line of its own with the way out, and 4 as its code where waiting mends it, else 2."""
    place = postgres_url.rpartition("/")[0]
    for url, code, why in (
        (
            f"postgresql://me:{CANARY}@127.0.0.1:{free_port()}/ocr",
            4,
            "does not answer; check the host and the port in the URL",
        ),
        (f"postgresql://me:{CANARY}@no-such-host.invalid/ocr", 4, "is not found by its name"),
        (locked.replace(CANARY, f"wrong-{CANARY}"), 2, "refuses the user or the password"),
        (locked.replace(f":{CANARY}", ""), 2, "refuses the user or the password"),
        (f"{place}/none", 2, "does not have the database of the URL"),
        (f"{postgres_url}?sslmode=require", 2, "do not agree on TLS"),
        (f"{postgres_url}?service=none", 2, "is that of a service which no service file has"),
        (f"{postgres_url}?canary={CANARY}", 2, "has an option that PostgreSQL does not know"),
        (postgres_url, 2, "has no run 'march' in this database"),
    ):
        run = f"{url}{'&' if '?' in url else '?'}run=march"
        result = clova_ocr("status", run, "-vv")
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert (result.exit_code, why in line) == (code, True), result.stderr
        assert CANARY not in result.output
        if url != postgres_url:  # a batch begins its run
            batch = clova_ocr("batch", "receipt", scans, "--run", run, "-vv")
            assert (batch.exit_code, why in batch.stderr) == (code, True), batch.stderr
            assert CANARY not in batch.output


def test_slots_that_cannot_be_used_are_one_line(
    clova: Emulator, scans: Path, locked: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A server of slots that cannot be used ends a command before it makes a run or sends an image, with one line."""
    run, redis = tmp_path / "run", redis_server.url
    for url, code, why in (
        (
            "redis://no-such-host.invalid/0",
            4,
            "Name or service not known; nothing was sent: check the URL of the slots",
        ),
        (f"redis://127.0.0.1:{free_port()}/0", 4, "Connection refused"),
        ("postgresql://me@no-such-host.invalid/ocr", 4, "nothing was sent: check the URL of the slots"),
        (redis.replace("://", f"://:{CANARY}@"), 2, "check the user in the URL, and CLOVA_OCR_REDIS_PASSWORD"),
        (redis.replace("/0", "/99"), 2, "DB index is out of range"),
        (locked.replace(f":{CANARY}", ""), 2, "check the user in the URL, and PGPASSWORD"),
        (locked.replace(CANARY, f"wrong-{CANARY}"), 2, "password authentication failed"),
        (f"{locked}?sslmode=require", 2, "check sslmode and the certificates"),
    ):
        for words in (("batch", "receipt", scans, "--run", run), ("recognize", "receipt", scans / "0.png")):
            result = clova_ocr(*words, "--slots", url)
            (line,) = [line for line in result.stderr.splitlines() if "has a password" not in line]
            assert (result.exit_code, line.startswith("error: slots: "), why in line) == (code, True, True), line
            assert CANARY not in result.output
    assert not run.exists()
    assert not clova.billed


def test_images_that_wait_for_slots_that_cannot_be_used_are_pending(
    clova: Emulator, scans: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    """If slots turn out to be unusable at the first call, no image has failed, and the reason is printed once."""
    database = postgres_url.rpartition("/")[2]
    user = f"reader_{database}"
    postgres_server.psql(f'CREATE ROLE "{user}" LOGIN', database)
    postgres_server.psql("CREATE TABLE clova_slots (domain text PRIMARY KEY, state text NOT NULL)", database)
    postgres_server.psql(f'GRANT SELECT ON clova_slots TO "{user}"', database)
    result = clova_ocr("batch", "receipt", scans, "--slots", postgres_server.url(database, user))
    assert (result.exit_code, clova.requests) == (2, 0)
    assert {record["status"] for record in records_in(result.stdout)} == {"pending"}
    assert result.stderr.count("does not allow this user") == 1, result.stderr
    assert "7 images were not sent" in result.stderr


def test_the_password_is_taken_from_the_environment(
    clova: Emulator, scans: Path, locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGPASSWORD opens runs and slots without a word about passwords."""
    monkeypatch.setenv("PGPASSWORD", CANARY)
    url = locked.replace(f":{CANARY}", "")
    result = clova_ocr("batch", "receipt", scans, "--run", f"{url}?run=march", "--slots", url)
    assert result.exit_code == 0, result.stderr
    assert "password" not in result.stderr
    assert clova.billed.total() == 6


def test_a_batch_whose_server_goes_away_is_resumed(
    postgres_server: PostgresServer, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the database is away a batch ends with 4 and its command; what was paid meanwhile is stored by the next."""
    scans = many_pictures(tmp_path / "scans", 12)
    with emulator_in_thread(latency=0.5, sigma=0, concurrency=2) as clova:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", clova.url())
        monkeypatch.setenv("CLOVA_OCR_SECRET", clova.secret)
        process = start(clova, "batch", "receipt", scans, "--run", run)
        wait_for(lambda: clova.billed.total() >= 3)
        postgres_server.stop()
        try:
            _, printed = process.communicate(timeout=60)
            away = clova_ocr("status", run)
        finally:
            postgres_server.start()
        assert process.returncode == 4, printed
        assert b"to go on: " in printed
        if waiting := status(run)["overflow_files"]:
            holds = f"1 file of this machine holds results that the next batch here stores: {waiting[0]}"
            assert f"waiting    {holds}" in clova_ocr("status", run).stdout
            assert holds in away.stderr
        assert away.exit_code == 4
        done = clova_ocr("batch", "receipt", scans, "--run", run)
        assert done.exit_code == 0, done.stderr
        assert clova.billed.total() == 12
    assert json.loads(clova_ocr("status", run, "--json").stdout)["images"] == {"succeeded": 12}
