from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import URL, FakeTransport, domain
from support.ledger_batches import pictures
from support.waiting import wait_for

ray = pytest.importorskip("ray", reason="pip install 'clova-ocr-async[ray]'")

import pyarrow  # type: ignore[import-untyped]  # noqa: E402, ICN001 - only to be given a type below

from clova_ocr_async import ClovaOCRClient, ConfigurationError, DiskFullError, Domain, LedgerError, Receipt  # noqa: E402
from clova_ocr_async.client.loading import ImageLoader  # noqa: E402
from clova_ocr_async.emulator import draw_sample, emulator_in_thread  # noqa: E402
from clova_ocr_async.integrations import ray as integration  # noqa: E402
from clova_ocr_async.integrations.ray import recognize  # noqa: E402
from clova_ocr_async.slots import SharedSlots  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from clova_ocr_async.emulator import Emulator

pa: Any = pyarrow
pytestmark = [
    pytest.mark.timeout(500),  # Ray starts its actors slowly, beside another program
    pytest.mark.filterwarnings("default"),  # it warns of its own settings
]

KEYS = {"key", "source", "status", "billed", "result", "error"}
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def cluster() -> Generator[Path]:
    """A Ray of this machine, without its dashboard; the folder of its logs."""
    with tempfile.TemporaryDirectory(prefix="clova-ray-", dir="/tmp") as folder:  # a socket's path is short
        ray.init(
            num_cpus=4,
            include_dashboard=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            log_to_driver=False,
        )
        yield Path(folder)
        ray.shutdown()


def maker(clova: Emulator, pids: Path, secret: str | None = None) -> Callable[[], ClovaOCRClient]:
    """Return a function that makes a client in a worker, and notes the worker's process in a folder.

    A picture with the word "deadly" in its bytes ends the process that decodes it, as a fault of a decoder does.
    """
    url, slots = clova.url(), str(pids / "slots.sqlite3")
    given = clova.secret if secret is None else secret
    pids.mkdir(exist_ok=True)

    def make_client() -> ClovaOCRClient:  # by its value, since a worker does not find this module
        (pids / f"{os.getpid()}.pid").touch()
        client = ClovaOCRClient(Domain(url, given), slots=SharedSlots(path=slots, concurrency=5), deadline=20)
        client.loader = DeadlyLoader(client.limits)
        return client

    class DeadlyLoader(ImageLoader):
        async def make(self, opened: Any) -> Any:
            if b"deadly" in opened.data:
                os.kill(os.getpid(), signal.SIGKILL)
            return await super().make(opened)

    return make_client


def scans(folder: Path, count: int) -> list[str]:
    """Write receipts, and return their paths."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(draw_sample("receipt", seed=number).data)
        os.utime(path, (1e9, 1e9))
    return [str(path) for path in paths]


@pytest.mark.usefixtures("cluster")
def test_rows_of_paths_become_rows_of_outcomes(tmp_path: Path) -> None:
    """Each row has its outcome and keeps its other columns, whatever its path is; a second job pays nothing again."""
    good = scans(tmp_path / "scans", 3)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    paths = [*good, str(tmp_path / "broken.png"), str(tmp_path / "missing.png"), None]
    dataset = ray.data.from_items([{"id": number, "file": path} for number, path in enumerate(paths)])
    settings: dict[str, Any] = {"ledger": tmp_path / "run", "path_column": "file", "workers": 2}
    with emulator_in_thread(latency=0.05, sigma=0) as clova:
        make_client = maker(clova, tmp_path / "pids")
        first, second = (
            {row["id"]: row for row in recognize(dataset, Receipt, make_client=make_client, **settings).take_all()}
            for _ in range(2)
        )
        assert clova.billed.total() == 3
    assert all(row.keys() == KEYS | {"id"} for row in first.values())
    assert [first[number]["source"] for number in range(6)] == paths
    assert [first[number]["status"] for number in range(6)] == ["succeeded"] * 3 + ["skipped"] * 3
    assert [first[number]["billed"] for number in range(6)] == [True] * 3 + [False] * 3
    for number in range(3):
        answer = draw_sample("receipt", seed=number).truth.answer
        assert json.loads(first[number]["result"])["receipt"] == answer
        assert second[number] == first[number] | {"billed": False}
    assert all(first[number]["error"] and first[number]["result"] is None for number in (3, 4, 5))


def test_a_killed_actor_leaves_its_calls_ambiguous_and_nothing_is_paid_twice(cluster: Path, tmp_path: Path) -> None:
    """After kill -9 of an actor the job goes on: what was in flight is ambiguous by name, the rest is paid once.

    No log of Ray has a value of a document, a piece of a picture or the secret.
    """
    paths = scans(tmp_path / "scans", 60)
    dataset = ray.data.from_items([{"path": path} for path in paths])
    pids = tmp_path / "pids"
    with emulator_in_thread(latency=0.3, sigma=0, concurrency=5) as clova, ThreadPoolExecutor(1) as thread:
        outcomes = recognize(dataset, Receipt, make_client=maker(clova, pids), ledger=tmp_path / "run", workers=2)
        rows = thread.submit(outcomes.take_all)
        wait_for(lambda: clova.billed.total() >= 10 and clova.domain_state().in_flight, within=150)
        victim = int(next(pids.glob("*.pid")).stem)
        os.kill(victim, signal.SIGKILL)
        found = {row["source"]: row for row in rows.result(timeout=200)}
        assert found.keys() == set(paths)
        statuses = [row["status"] for row in found.values()]
        assert set(statuses) <= {"succeeded", "ambiguous"}
        assert statuses.count("ambiguous") <= 5
        assert max(clova.billed.values()) == 1
        assert len(list(pids.glob("*.pid"))) == 3  # the third one took the place of the dead
    read = b"".join(path.read_bytes() for path in cluster.rglob("logs/*") if path.is_file())
    assert b"MapBatches" in read
    sample = draw_sample("receipt", seed=0)
    for canary in (sample.truth.answer["result"]["storeInfo"]["name"]["text"].encode(), sample.data[40:140]):
        assert canary not in read
    assert clova.secret.encode() not in read


@pytest.mark.usefixtures("cluster")
def test_a_picture_that_ends_its_actors_is_parked_and_the_others_are_read(tmp_path: Path) -> None:
    """A picture that ends each process that decodes it is skipped by name in the end, and costs nothing."""
    paths = scans(tmp_path / "scans", 12)
    deadly = Path(paths[5])
    deadly.write_bytes(deadly.read_bytes() + b"deadly")
    os.utime(deadly, (1e9, 1e9))
    dataset = ray.data.from_items([{"path": path} for path in paths])
    with emulator_in_thread(latency=0.05, sigma=0, concurrency=5) as clova:
        make_client = maker(clova, tmp_path / "pids")
        rows = recognize(dataset, Receipt, make_client=make_client, ledger=tmp_path / "run", workers=1).take_all()
        assert max(clova.billed.values()) == 1
    found = {row["source"]: row for row in rows}
    parked = found.pop(str(deadly))
    assert (parked["status"], parked["billed"]) == ("skipped", False)
    assert "3 processes have ended" in parked["error"]
    statuses = [row["status"] for row in found.values()]
    assert set(statuses) <= {"succeeded", "ambiguous"}  # of calls that were in flight when an actor ended
    assert len(list((tmp_path / "pids").glob("*.pid"))) == 4


@pytest.mark.usefixtures("cluster")
def test_a_rejected_secret_leaves_rows_pending(tmp_path: Path) -> None:
    """If the secret is rejected, the job ends with rows that say so, and nothing was paid."""
    dataset = ray.data.from_items([{"path": path} for path in scans(tmp_path / "scans", 3)])
    with emulator_in_thread() as clova:
        make_client = maker(clova, tmp_path / "pids", "wrong")
        rows = recognize(dataset, Receipt, make_client=make_client, ledger=tmp_path / "run", workers=1).take_all()
        assert clova.billed.total() == 0
    assert [(row["status"], row["billed"], row["key"]) for row in rows] == [("pending", False, None)] * 3
    assert all("AuthenticationError" in row["error"] for row in rows)


@pytest.mark.usefixtures("cluster")
def test_what_cannot_work_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """A wrong document, number, column, factory or ledger is named before a worker starts."""
    dataset = ray.data.from_items([{"path": "a.png", "key": 1}])
    good: dict[str, Any] = {"make_client": ClovaOCRClient.from_env, "ledger": tmp_path}
    url = "postgresql://me:canaryPASSWORD@host/db?run=a"
    with pytest.raises(ConfigurationError, match="document"):
        recognize(dataset, str, **good)  # type: ignore[arg-type]
    for settings, match in (
        ({"workers": 0}, "workers"),
        ({"path_column": "file"}, "no column 'file'"),
        ({}, "as well: key"),
        ({"make_client": None}, "make_client"),
        ({"ledger": 7}, "ledger is a int"),
    ):
        with pytest.raises(ConfigurationError, match=match):
            recognize(dataset, Receipt, **(good | settings))
    other = ray.data.from_items([{"path": "a.png"}])
    unknown = other.map_batches(lambda table: table)
    assert unknown.columns(fetch_if_missing=False) is None
    assert recognize(unknown, Receipt, **good) is not unknown  # its columns are looked at when they are there
    with pytest.warns(UserWarning, match="password"), pytest.raises(ConfigurationError, match="PGPASSWORD") as refused:
        recognize(other, Receipt, **(good | {"ledger": url}))
    assert "canary" not in str(refused.value)


def test_the_location_of_a_run_is_that_of_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative run directory starts where the program does, and a URL stays what it is."""
    monkeypatch.chdir(tmp_path)
    url = "postgresql://me@host/db?run=a"
    assert integration._portable("run") == str(tmp_path / "run")  # noqa: SLF001
    assert integration._portable(url) == url  # noqa: SLF001


@pytest.mark.parametrize(
    ("error", "seconds", "waits"),
    [
        (DiskFullError("full"), 0.0, True),
        (DiskFullError("full"), 601.0, False),
        (LedgerError("another seal"), 0.0, False),
        (ConfigurationError("no domain"), 0.0, False),
        (ConfigurationError("no server of slots", retryable=True), 0.0, True),
    ],
)
def test_rows_wait_only_for_servers_that_come_back(error: Any, seconds: float, waits: bool) -> None:
    """Rows wait ten minutes for a ledger or slots that are away, and for nothing else: a dataset has an end."""
    assert integration._waits(error, seconds) is waits  # noqa: SLF001


async def outcomes_of(actor: Any, table: Any) -> list[dict[str, Any]]:
    """Give an actor a batch, and return the rows that it yields."""
    rows: list[dict[str, Any]] = [row async for part in actor(table) for row in part.to_pylist()]
    if actor._batch is not None:  # noqa: SLF001 - Ray ends the process
        await actor._batch.close()  # noqa: SLF001
    return rows


async def test_an_actor_answers_for_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An actor starts in the folder of the program if there is one, and yields a row for each path."""
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "scans", "a.jpg", "b.jpg")

    def make_client() -> ClovaOCRClient:
        return ClovaOCRClient(domain(f"{URL}/document/receipt"), transport=FakeTransport())

    for folder in (str(tmp_path / "nowhere"), str(tmp_path / "scans")):
        actor = integration._Recognizer(make_client, str(tmp_path / "run"), "receipt", "path", folder)  # noqa: SLF001
    rows = await outcomes_of(actor, pa.table({"path": ["a.jpg", "b.jpg", None], "id": [1, 2, 3]}))
    assert [(row["id"], row["source"], row["status"]) for row in rows] == [
        (1, "a.jpg", "succeeded"),
        (2, "b.jpg", "succeeded"),
        (3, None, "skipped"),
    ]


async def test_an_actor_without_a_client_leaves_its_rows_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a worker cannot make a client, its rows say why, and the job does not end by that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLOVA_OCR_INVOKE_URL", raising=False)
    make_client = ClovaOCRClient.from_env
    actor = integration._Recognizer(make_client, str(tmp_path / "run"), "receipt", "path", str(tmp_path))  # noqa: SLF001
    (row,) = await outcomes_of(actor, pa.table({"path": ["a.jpg"]}))
    assert (row["status"], row["billed"]) == ("pending", False)
    assert "CLOVA_OCR_INVOKE_URL" in row["error"]


async def test_an_actor_refuses_a_table_without_its_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the columns were not known before, the job ends with the name of the missing one."""
    monkeypatch.chdir(tmp_path)
    make_client = ClovaOCRClient.from_env
    actor = integration._Recognizer(make_client, str(tmp_path / "run"), "receipt", "path", str(tmp_path))  # noqa: SLF001
    with pytest.raises(ConfigurationError, match="'path'"):
        await outcomes_of(actor, pa.table({"file": ["a.jpg"]}))


def test_without_the_extra_the_line_that_installs_it_is_named() -> None:
    """Without Ray the import raises ModuleNotFoundError, which names the command that installs it."""
    code = "import sys; sys.modules['ray'] = None; import clova_ocr_async.integrations.ray"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=50)
    assert done.returncode == 1
    assert "clova_ocr_async.integrations.ray needs ray" in done.stderr
    assert "pip install 'clova-ocr-async[ray]'" in done.stderr


def test_the_ray_example_reads_a_list_of_paths(tmp_path: Path) -> None:
    """The example reads a parquet file of paths, writes the outcomes, and prints how many there are of each status."""
    pa.parquet = pytest.importorskip("pyarrow.parquet")
    paths = scans(tmp_path / "scans", 3)
    pa.parquet.write_table(pa.table({"path": [*paths, "missing.png"]}), tmp_path / "paths.parquet")
    with emulator_in_thread(latency=0.05, sigma=0) as clova:
        done = subprocess.run(
            [sys.executable, str(EXAMPLES / "ray_folder.py"), "paths.parquet", "outcomes", "--run", "run"],
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
            cwd=tmp_path,
            env=os.environ | {"CLOVA_OCR_INVOKE_URL": clova.url(), "CLOVA_OCR_SECRET": clova.secret},
        )
        assert clova.billed.total() == 3
    assert done.returncode == 1, done.stderr
    assert "succeeded 3" in done.stdout
    assert "skipped 1" in done.stdout
    assert sorted(row["status"] for row in pa.parquet.read_table(tmp_path / "outcomes").to_pylist()) == [
        "skipped",
        *["succeeded"] * 3,
    ]
