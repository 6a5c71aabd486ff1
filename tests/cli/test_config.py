from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.commands import CLOVA_OCR, clova_ocr, status

from clova_ocr_async import ClovaOCRClient
from clova_ocr_async.cli.terminal.phrases import resume_command
from clova_ocr_async.emulator import draw_sample, emulator_in_thread

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from clova_ocr_async.emulator import Emulator

KEY = "k" * 40
SECRET_NAME = "SECRET_OF_A_FILES_DOMAIN"


@pytest.fixture
def clova(monkeypatch: pytest.MonkeyPatch) -> Generator[Emulator]:
    """A local CLOVA that the environment names wrongly: what reaches it was named by a file."""
    with emulator_in_thread() as emulator:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", "http://127.0.0.1:9/custom/v1/1/unused")
        monkeypatch.setenv("CLOVA_OCR_SECRET", "unused")
        monkeypatch.setenv(SECRET_NAME, emulator.secret)
        yield emulator


@pytest.fixture
def config(clova: Emulator, tmp_path: Path) -> Path:
    """A file of two domains, one with limits."""
    path = tmp_path / "the domains.toml"
    path.write_text(
        "[[domain]]\n"
        f'invoke_url = "{clova.url("receipt", domain=f"1/{KEY}")}"\n'
        f'secret_env = "{SECRET_NAME}"\n'
        "max_concurrency = 3\n"
        "max_per_second = 1000.5\n"
        "[[domain]]\n"
        f'invoke_url = "{clova.url(domain=f"2/{KEY}")}"\n'
        f'secret_env = "{SECRET_NAME}"\n'
    )
    return path


@pytest.fixture
def receipt(tmp_path: Path) -> Path:
    """A receipt."""
    path = tmp_path / "receipt.png"
    path.write_bytes(draw_sample("receipt").data)
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Where it is given


@pytest.mark.parametrize("verb", ["recognize", "batch"])
@pytest.mark.parametrize("before", [True, False])
def test_a_verb_that_calls_takes_the_domains_of_a_file(
    clova: Emulator, config: Path, receipt: Path, verb: str, before: bool
) -> None:
    """--config shows which domains are called, before the verb as well as behind it, whatever the environment names."""
    given = ("--config", config)
    result = clova_ocr(*(given if before else ()), verb, "receipt", receipt, *(() if before else given))
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["status"] == "succeeded"
    assert clova.billed.total() == 1


def test_a_variable_names_the_file_as_well(
    monkeypatch: pytest.MonkeyPatch, clova: Emulator, config: Path, receipt: Path
) -> None:
    """CLOVA_OCR_CONFIG does what --config does, for the command line and for from_env."""
    monkeypatch.setenv("CLOVA_OCR_CONFIG", str(config))
    assert clova_ocr("recognize", "receipt", receipt).exit_code == 0
    assert clova.billed.total() == 1
    assert [domain.max_concurrency for domain in ClovaOCRClient.from_env().domains] == [3, None]


def test_what_is_given_behind_the_verb_wins(
    monkeypatch: pytest.MonkeyPatch, clova: Emulator, config: Path, receipt: Path
) -> None:
    """Of several files the one behind the verb counts, then the one before it, then the variable's."""
    monkeypatch.setenv("CLOVA_OCR_CONFIG", "not-there.toml")
    assert clova_ocr("--config", config, "recognize", "receipt", receipt).exit_code == 0
    assert clova_ocr("--config", "not-there.toml", "recognize", "receipt", receipt, "--config", config).exit_code == 0
    assert clova.billed.total() == 2


def test_a_file_that_cannot_work_is_a_usage_error(config: Path, receipt: Path) -> None:
    """A fault of the file is reported with its line, without its text, and nothing is called."""
    config.write_text(config.read_text().replace(f'"{SECRET_NAME}"', '"not-the-name"', 1))
    result = clova_ocr("recognize", "receipt", receipt, "--config", config)
    assert result.exit_code == 2
    assert f"error: config file {str(config)!r}, line 3: secret_env: " in result.stderr
    assert "not-the-name" not in result.stderr


def test_what_calls_nothing_needs_no_file(receipt: Path, tmp_path: Path) -> None:
    """A dry run and the verbs that only look at a run do not open the file of domains."""
    result = clova_ocr("--config", "not-there.toml", "batch", "receipt", receipt, "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "No such file" not in result.stderr
    assert "config" not in clova_ocr("--config", "not-there.toml", "status", tmp_path / "run").stderr


# ---------------------------------------------------------------------------------------------------------------------
# A run


@pytest.mark.parametrize("before", [True, False])
def test_the_command_that_resumes_a_run_names_the_file(
    clova: Emulator, config: Path, tmp_path: Path, before: bool
) -> None:
    """A run that stops early prints a command with --config where it was given, and that command resumes it."""
    scans, run = tmp_path / "scans", tmp_path / "run"
    scans.mkdir()
    for seed in range(2):
        (scans / f"{seed}.png").write_bytes(draw_sample("receipt", seed=seed).data)
    given = ["--config", str(config)]
    batch = ["batch", "receipt", str(scans), "--run", str(run), "--max-calls", "1"]
    command = [*CLOVA_OCR, *(given if before else []), *batch, *([] if before else given)]
    stopped = subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)
    assert stopped.returncode == 4, stopped.stderr
    words = shlex.split(stopped.stderr.partition("repeat: ")[2].splitlines()[0])
    assert words[-len(command) + len(CLOVA_OCR) :] == command[len(CLOVA_OCR) :]
    words = ["2" if word == "1" else word for word in command]
    resumed = subprocess.run(words, capture_output=True, text=True, check=False, timeout=50)
    assert resumed.returncode == 0, resumed.stderr
    assert status(run)["images"] == {"succeeded": 2}
    assert clova.billed.total() == 2


def test_a_repeated_command_keeps_the_file() -> None:
    """--config stays in a repeated command, in front and behind, with its blanks quoted."""
    arguments = ["--config", "the domains.toml", "batch", "receipt", "a", "--retry-failed", "--config=b c.toml"]
    assert resume_command("clova-ocr", arguments) == (
        "clova-ocr --config 'the domains.toml' batch receipt a '--config=b c.toml'"
    )


# ---------------------------------------------------------------------------------------------------------------------
# Doctor


@pytest.mark.parametrize("before", [True, False])
def test_doctor_shows_the_file_and_its_domains(clova: Emulator, config: Path, before: bool) -> None:
    """Doctor names the file it read, and each domain with its limits, without secrets and keys."""
    given = ("--config", config)
    result = clova_ocr(*given, "doctor") if before else clova_ocr("doctor", *given)
    assert result.exit_code == 0, result.stderr
    assert f"domains of the file {config}\n" in result.stdout
    assert "reads Receipt, secret set, 3 calls at once, 1000.5 calls a second at most\n" in result.stdout
    assert "reads any document, secret set\n" in result.stdout
    assert KEY not in result.output
    assert clova.secret not in result.output
    assert clova.requests == 0


def test_doctor_probes_the_domains_of_the_file(clova: Emulator, config: Path) -> None:
    """The probe asks each domain of the file."""
    result = clova_ocr("doctor", "--probe", "--config", config)
    assert result.exit_code == 0, result.output
    assert (clova.requests, clova.billed.total()) == (2, 0)


@pytest.mark.usefixtures("clova")
def test_doctor_shows_that_the_environment_names_the_domains() -> None:
    """Without a file doctor shows that the domains are the environment's."""
    assert "domains of the environment\n" in clova_ocr("doctor").stdout


def test_doctor_names_the_file_it_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not there is named, with the variable that names it; what could steer a terminal is left out."""
    monkeypatch.setenv("CLOVA_OCR_CONFIG", "not-\x1b[31mthere.toml")
    result = clova_ocr("doctor")
    assert result.exit_code == 2
    assert r"domains of the file not-\x1b[31mthere.toml" in result.stdout
    assert "CLOVA_OCR_CONFIG: config file 'not-\\x1b[31mthere.toml': the file cannot be read: No such" in result.stderr
    assert "\x1b" not in result.output


def test_a_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    """A file whose name is not UTF-8 is opened, and shown as far as it can be."""
    name = os.fsdecode(bytes(tmp_path) + b"/\xff.toml")
    result = clova_ocr("doctor", "--config", name)
    assert result.exit_code == 2
    assert "\\xff.toml': the file cannot be read: No such file" in result.stderr


def test_help_shows_of_the_file() -> None:
    """The help of the command and of each verb that calls names --config."""
    assert "CLOVA_OCR_CONFIG, or --config FILE" in clova_ocr("--help").stdout
    for verb in ("recognize", "batch", "doctor"):
        assert "--config FILE" in clova_ocr(verb, "--help").stdout
    for verb in ("status", "export", "purge"):
        assert "--config" not in clova_ocr(verb, "--help").stdout


# ---------------------------------------------------------------------------------------------------------------------
# Home folders


def test_a_tilde_behind_an_options_sign_is_the_home_folder(
    clova: Emulator, config: Path, receipt: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every option that takes a path, and RUN, take ~ for the home folder, which no shell expands behind =."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text(f"{receipt}\n")
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "key").chmod(0o600)
    sealed = "--key-file=~/key"
    commands = [
        ["batch", "receipt", "--from=~/list", "--run=~/run", f"--config=~/{config.name}", sealed],
        ["status", "~/run"],
        ["export", "~/run", "--output=~/out.jsonl", sealed],
        ["purge", "~/run", sealed],
        [f"--config=~/{config.name}", "batch", "receipt", str(receipt), "-o~/lines.jsonl"],
        ["demo", "--count=1", "--folder=~/samples"],
    ]
    for command in commands:
        assert clova_ocr(*command).exit_code == 0, command
    made = {path.name for path in tmp_path.iterdir()}
    assert {"run", "out.jsonl", "lines.jsonl", "samples"} <= made
    assert "~" not in made
    assert clova.billed.total() == 2


def test_a_tilde_of_no_process_is_refused_by_its_option(receipt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home folder that is not there is a usage error that names the option; no folder of that name is made."""
    monkeypatch.chdir(receipt.parent)
    result = clova_ocr("batch", "receipt", receipt, "--run=~no-such-user/run")
    assert result.exit_code == 2
    assert "'--run': the path begins with ~, and there is no such home folder" in result.stderr
    assert {path.name for path in receipt.parent.iterdir()} == {receipt.name}


def test_a_quoted_secret_opens_the_emulator_it_was_given_to(monkeypatch: pytest.MonkeyPatch, receipt: Path) -> None:
    """A client and an emulator that are given the same quoted variable have the same secret."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CLOVA_OCR_")}
    environ["CLOVA_OCR_SECRET"] = "'a secret of quotes'".replace(" ", "-")
    command = [*CLOVA_OCR, "emulator", "--port", "0", "--latency", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().partition("=")[2].strip()
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", url)
        monkeypatch.setenv("CLOVA_OCR_SECRET", environ["CLOVA_OCR_SECRET"])
        try:
            assert clova_ocr("recognize", "receipt", receipt).exit_code == 0
        finally:
            process.terminate()
