from __future__ import annotations

import ast
import csv
import importlib.util
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry
from support.late import Case

from clova_ocr_async import ClovaOCRClient, Domain, IdCard, Receipt
from clova_ocr_async.cli.exit_codes import ExitCode
from clova_ocr_async.emulator import draw_sample, emulator_in_thread, write_samples

if TYPE_CHECKING:
    from collections.abc import Generator

    from clova_ocr_async.emulator import Emulator

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def clova(monkeypatch: pytest.MonkeyPatch) -> Generator[Emulator]:
    """A local CLOVA, named by the environment."""
    with emulator_in_thread() as emulator:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", emulator.url())
        monkeypatch.setenv("CLOVA_OCR_SECRET", emulator.secret)
        yield emulator


def run(example: str, *arguments: str | Path, where: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run an example to its end."""
    command = [sys.executable, str(EXAMPLES / example), *map(str, arguments)]
    # What an example keeps in its working directory is the test's.
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50, cwd=where)


def clova_ocr(*arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    command = [sys.executable, "-m", "clova_ocr_async", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50, cwd=where)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_names_the_packages_that_it_needs(example: Path) -> None:
    """The docstring of an example that imports more than this package has the line that installs the rest."""
    tree = ast.parse(example.read_text(encoding="utf-8"))
    modules = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    modules += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    others = {name.partition(".")[0] for name in modules} - sys.stdlib_module_names - {"clova_ocr_async"}
    assert ("Needs: pip install" in (ast.get_docstring(tree) or "")) == bool(others)


@pytest.mark.usefixtures("clova")
def test_the_service_example_reads_receipts_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    """The service example prints store and total of each receipt, and an error for a file that is not an image."""
    sample = draw_sample("receipt")
    receipt, broken = tmp_path / "receipt.png", tmp_path / "broken.png"
    receipt.write_bytes(sample.data)
    broken.write_bytes(b"no image")
    done = run("service.py", receipt, broken)
    store = sample.truth.answer["result"]["storeInfo"]["name"]["text"]
    assert done.returncode == 0, done.stderr
    assert store in done.stdout
    assert "broken.png" in done.stdout


def test_the_prometheus_example_counts_what_was_billed(
    clova: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Prometheus example shows billed calls, times and gates by the label of the domain, and no part of its URL."""
    receipt, broken = tmp_path / "receipt.png", tmp_path / "broken.png"
    receipt.write_bytes(draw_sample("receipt").data)
    broken.write_bytes(b"no image")
    clova.script(None, "refused")
    monkeypatch.setenv("METRICS_PORT", "0")  # any free one
    done = run("prometheus_metrics.py", receipt, receipt, broken)
    assert done.returncode == 0, done.stderr
    for line in (
        'clova_ocr_billed_total{document="receipt",domain="127.0.0.1"} 1.0',
        'clova_ocr_slots_in_flight{domain="127.0.0.1"} 0.0',
        'clova_ocr_wait_seconds_count{document="receipt"} 2.0',
    ):
        assert line in done.stdout
    assert "custom/v1" not in done.stdout


def test_the_prometheus_example_adds_up_domains_of_one_label() -> None:
    """Two domains with the same label are one series, since Prometheus refuses a scrape that has one twice."""
    example = runpy.run_path(str(EXAMPLES / "prometheus_metrics.py"))
    domains = [Domain(f"https://h.apigw.ntruss.com/custom/v1/{number}/abc", "s" * 20) for number in (1, 2)]
    metrics = list(example["GateMetrics"](ClovaOCRClient(*domains)).collect())
    assert [[sample.labels for sample in metric.samples] for metric in metrics] == [[{"domain": "h"}]] * 3


@pytest.mark.parametrize("answered", [True, False])
async def test_the_prometheus_example_counts_a_request_that_lost_its_caller(*, answered: bool) -> None:
    """What a request without its caller has cost is counted at its end, once."""
    registry = CollectorRegistry()
    case = Case({"hooks": [runpy.run_path(str(EXAMPLES / "prometheus_metrics.py"))["CallMetrics"](registry)]})
    await case.lose()
    if answered:
        case.held.go_on.set()
        await case.call()
    await case.client.close(wait=0)
    series = {"domain": case.client.domains[0].label, "document": "receipt"}
    counts = [registry.get_sample_value(f"clova_ocr_{name}_total", series) for name in ("billed", "maybe_billed")]
    assert counts == ([1, None] if answered else [None, 1])


@pytest.mark.usefixtures("clova")
def test_the_folder_example_writes_a_row_for_each_receipt(tmp_path: Path) -> None:
    """The folder example turns a folder into a table, a row an image."""
    for path in write_samples(tmp_path / "samples", 12):
        if path.parent.name != "receipt":
            path.unlink()
    done = run("folder.py", tmp_path / "samples", tmp_path / "table.csv", where=tmp_path)
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert done.returncode == 0, done.stderr
    assert len(rows) == 2
    assert all(row["store"] and row["date"] and row["total"] for row in rows)


@pytest.mark.usefixtures("clova")
def test_the_notebook_example_shows_data_frames(tmp_path: Path) -> None:
    """The notebook example prints totals with pandas and goods with polars, or a sentence for a library not there."""
    (tmp_path / "scans").mkdir()
    for seed in range(2):
        sample = draw_sample("receipt", seed=seed)
        (tmp_path / "scans" / sample.name).write_bytes(sample.data)
    done = run("notebook.py", "scans", where=tmp_path)
    assert done.returncode == 0, done.stderr
    for library, shown in (("pandas", "total_price"), ("polars", "decimal")):
        left_out = f"{library} is not installed, so its cell is skipped: pip install {library}"
        assert (shown if importlib.util.find_spec(library) else left_out) in done.stdout


@pytest.mark.usefixtures("clova")
def test_the_notebook_example_has_its_columns_without_a_receipt(tmp_path: Path) -> None:
    """A folder of which nothing was read gives empty data frames with the same columns, and no error."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "broken.jpg").write_bytes(b"no image")
    done = run("notebook.py", "scans", where=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


@pytest.mark.usefixtures("clova")
def test_the_folder_example_tells_what_was_not_read(tmp_path: Path) -> None:
    """The folder example exits with 1 and names the image that could not be read."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "broken.jpg").write_bytes(b"no image")
    done = run("folder.py", tmp_path / "scans", tmp_path / "table.csv", where=tmp_path)
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr


def test_the_folder_example_leaves_no_table_behind_when_it_cannot_begin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without configuration there is a message, and no empty table in the way of the next try."""
    monkeypatch.delenv("CLOVA_OCR_INVOKE_URL", raising=False)
    done = run("folder.py", tmp_path, tmp_path / "table.csv", where=tmp_path)
    assert done.returncode == 2
    assert "CLOVA_OCR_INVOKE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "table.csv").exists()


def test_the_folder_example_does_not_overwrite_a_table(clova: Emulator, tmp_path: Path) -> None:
    """A table that is there already is kept, and nothing is paid."""
    (tmp_path / "receipt.png").write_bytes(draw_sample("receipt").data)
    (tmp_path / "table.csv").write_text("paid for")
    done = run("folder.py", tmp_path, tmp_path / "table.csv", where=tmp_path)
    assert (done.returncode, (tmp_path / "table.csv").read_text()) == (2, "paid for")
    assert "Traceback" not in done.stderr
    assert clova.requests == 0


def test_the_folder_example_without_arguments_says_how_to_use_it() -> None:
    """Without arguments there is a usage line."""
    done = run("folder.py")
    assert done.returncode == 2
    assert done.stderr.startswith("usage: folder.py")


def test_the_file_of_domains_makes_a_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The example of a file of domains names two for receipts and one for ID cards, once their secrets are there."""
    config = tmp_path / "domains.toml"
    config.write_bytes((EXAMPLES / "domains.toml").read_bytes())
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "id-card").write_text("third\n")
    for name, value in (("CONFIG", str(config)), ("INVOKE_URL", "not looked at")):
        monkeypatch.setenv(f"CLOVA_OCR_{name}", value)
    monkeypatch.setenv("RECEIPT_SECRET_1", "first")
    monkeypatch.setenv("RECEIPT_SECRET_2", "second")
    client = ClovaOCRClient.from_env()
    receipts = client.serving(Receipt)
    assert [domain.secret.reveal() for domain in (*receipts, *client.serving(IdCard))] == ["first", "second", "third"]
    assert [(domain.max_concurrency, domain.max_per_second) for domain in receipts] == [(10, None), (None, 2.5)]


def fastapi_example() -> Any:
    """Load the example as uvicorn would, by its path."""
    spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLES / "fastapi_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def browser(clova: Emulator, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    """A caller of the FastAPI example, with its token."""
    assert clova.secret
    from fastapi.testclient import TestClient  # noqa: PLC0415 - only these tests need it

    monkeypatch.setenv("APP_TOKEN", "canaryTOKEN")
    with TestClient(fastapi_example().app, headers={"Authorization": "Bearer canaryTOKEN"}) as client:
        yield client


def upload(browser: Any, path: str, data: bytes, **settings: Any) -> Any:
    """Upload an image."""
    return browser.post(path, files={"file": ("scan.png", data)}, **settings)


def test_the_fastapi_example_reads_an_upload(browser: Any) -> None:
    """An uploaded ID card comes back as the service's answer, and masked where a handler of the app's own masks it."""
    sample = draw_sample("id-card")
    answer = upload(browser, "/ocr/id-card", sample.data)
    assert (answer.status_code, answer.json()["billed"]) == (200, True)
    assert answer.json()["document"] == sample.truth.answer
    masked = upload(browser, "/masked", sample.data)
    assert masked.status_code == 200
    assert "*******" in masked.text


@pytest.mark.parametrize("token", ["", "wrong"])
def test_the_fastapi_example_lets_in_whom_it_knows(
    clova: Emulator, browser: Any, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """A caller with another token is refused and costs nothing, also while no token is set; probes need none."""
    monkeypatch.setenv("APP_TOKEN", token)
    for path in ("/ocr/receipt", "/masked"):
        assert upload(browser, path, draw_sample("id-card").data).status_code == 401
    assert clova.requests == 0
    for path in ("/ocr/live", "/ocr/ready"):
        assert browser.get(path, headers={"Authorization": ""}).status_code == 200


def test_the_fastapi_example_answers_errors_with_problem_documents(clova: Emulator, browser: Any) -> None:
    """In all routes an error is a problem document, which says what it has cost."""
    for path in ("/ocr/id-card", "/masked"):
        answer = upload(browser, path, b"no image")
        assert (answer.status_code, answer.json()["type"][-13:]) == (415, "not-a-picture")
    clova.script("gateway-timeout")
    answer = upload(browser, "/ocr/receipt", draw_sample("receipt").data)
    assert (answer.status_code, answer.json()["billing"]) == (502, "maybe_billed")


def test_the_fastapi_example_repeats_no_value_of_a_form(browser: Any) -> None:
    """A form whose field is a text is refused by every route, in an answer without the text."""
    for path, status in (("/ocr/id-card", 415), ("/masked", 422)):
        answer = browser.post(path, files={"file": (None, "900101-1234567"), "900101-1234567": (None, "x")})
        assert answer.status_code == status
        assert "1234567" not in answer.text


def test_the_fastapi_example_shows_its_slots(clova: Emulator, browser: Any) -> None:
    """The metrics are those of the moment, named as in the other example, with neither the invoke URL nor a secret."""
    upload(browser, "/ocr/receipt", draw_sample("receipt").data)
    shown = browser.get("/metrics").text
    assert 'clova_ocr_slots_in_flight{domain="127.0.0.1"} 0' in shown  # the label of the domain
    other = runpy.run_path(str(EXAMPLES / "prometheus_metrics.py"))["GateMetrics"](ClovaOCRClient.from_env())
    assert all(f"{metric.name}{{" in shown for metric in other.collect())
    for secret in (clova.secret, "custom", "canaryTOKEN"):
        assert secret not in shown
        assert secret not in browser.get("/openapi.json").text


# ---------------------------------------------------------------------------------------------------------------------
# What examples do with what real folders, keyboards and servers bring


def test_the_unit_of_the_watch_starts_a_command_there_is_and_knows_its_exit_codes(tmp_path: Path) -> None:
    """The command of the systemd unit is accepted up to its folder, and the unit names the exit codes that it means."""
    unit = (EXAMPLES / "clova-ocr-watch.service").read_text(encoding="utf-8")
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    _, *arguments = settings["ExecStart"].split()
    done = clova_ocr(*arguments, where=tmp_path)
    assert (done.returncode, done.stderr) == (ExitCode.USAGE, "error: /srv/scans: No such file or directory\n")
    assert settings["SuccessExitStatus"] == str(int(ExitCode.INTERRUPTED))
    assert settings["RestartPreventExitStatus"] == f"{ExitCode.USAGE:d} {ExitCode.CREDENTIALS:d}"


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
def test_the_folder_example_reads_a_file_whose_name_is_not_utf_8(clova: Emulator, tmp_path: Path) -> None:
    """A name that is not UTF-8 is written with its odd bytes escaped, and a second table pays for nothing."""
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / os.fsdecode(b"caf\xe9.png")).write_bytes(draw_sample("receipt").data)
    (tmp_path / "scans" / os.fsdecode(b"caf\xe9-broken.png")).write_bytes(b"no image")
    for table in ("one.csv", "two.csv"):
        done = run("folder.py", tmp_path / "scans", tmp_path / table, where=tmp_path)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "caf\\xe9-broken.png: " in done.stderr or table == "two.csv"
    assert "caf\\xe9.png," in (tmp_path / "one.csv").read_text(encoding="utf-8")
    assert sum(clova.billed.values()) == 1


def test_the_folder_example_ends_quietly_when_it_is_interrupted(clova: Emulator, tmp_path: Path) -> None:
    """Ctrl-C ends the example without a traceback, by the exit status of an interrupted command."""
    clova.script("silence")
    (tmp_path / "receipt.png").write_bytes(draw_sample("receipt").data)
    command = [sys.executable, str(EXAMPLES / "folder.py"), str(tmp_path), str(tmp_path / "table.csv")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        deadline = time.monotonic() + 30
        while not clova.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):  # the first lets the calls in flight finish
            process.communicate(timeout=1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in said
