from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from support.commands import CLOVA_OCR, clova_ocr, environment_of, shell
from support.waiting import wait_for

from clova_ocr_async.cli.app import app, verb
from clova_ocr_async.emulator import draw_sample, emulator_in_thread, write_samples
from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from collections.abc import Generator

    from click.testing import Result

    from clova_ocr_async.emulator import Emulator

KEY = "k" * 40
VERBS = app.list_commands(click.Context(app))


@pytest.fixture
def clova(monkeypatch: pytest.MonkeyPatch) -> Generator[Emulator]:
    """A local CLOVA, named by the environment under a key that is worth hiding."""
    with emulator_in_thread() as emulator:
        monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", emulator.url(domain=f"1/{KEY}"))
        monkeypatch.setenv("CLOVA_OCR_SECRET", emulator.secret)
        yield emulator


def lines_of(result: Result) -> list[dict[str, Any]]:
    """Return the records a command wrote."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


def test_help_names_every_verb_the_variables_and_the_exit_codes() -> None:
    """The help of the command is enough to begin with."""
    result = clova_ocr("--help")
    assert result.exit_code == 0
    for word in (*VERBS, "CLOVA_OCR_SECRET_FILE", "130 interrupted"):
        assert word in result.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    """Each verb explains itself."""
    result = clova_ocr(verb, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [("--help", 0), ("--version", 0), ("recognize --help", 0), ("recognize menu x.jpg", 2), ("serve", 2)],
)
def test_help_and_bad_arguments_wait_for_no_heavy_library(arguments: str, code: int) -> None:
    """Help, version and usage errors load neither the HTTP library nor the terminal's nor Pillow."""
    done = python(
        "import sys\n"
        "from clova_ocr_async.cli import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as exit:\n"
        "    heavy = {'aiohttp', 'rich', 'PIL', 'tenacity'} & set(sys.modules)\n"
        "    print('HEAVY', sorted(heavy), exit.code)",
        *arguments.split(),
    )
    assert f"HEAVY [] {code}" in done.stdout, done.stderr


def test_without_the_extra_the_command_shows_what_to_install() -> None:
    """A base install that lacks click is reported the pip line."""
    done = python("import sys; sys.modules['click'] = None; from clova_ocr_async.cli import main; main()")
    assert done.returncode == 1
    assert "pip install 'clova-ocr-async[cli]'" in done.stderr


def test_the_module_is_the_command() -> None:
    """``python -m clova_ocr_async`` is clova-ocr."""
    command = [sys.executable, "-m", "clova_ocr_async", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("clova-ocr, version ")


def test_recognize_writes_a_record_for_each_image_in_order(clova: Emulator, tmp_path: Path) -> None:
    """Records come in the order of the images, with hash, bill and the answer as it came."""
    samples = [draw_sample("receipt", seed=seed, format=kind) for seed, kind in enumerate(("png", "pdf", "jpg"))]
    paths = [tmp_path / sample.name for sample in samples]
    for path, sample in zip(paths, samples, strict=True):
        path.write_bytes(sample.data)
    result = clova_ocr("recognize", "receipt", *paths)
    assert result.exit_code == 0, result.stderr
    for record, path, sample in zip(lines_of(result), paths, samples, strict=True):
        assert record["source"] == str(path)
        assert record["sha256"] == hashlib.sha256(sample.data).hexdigest()
        assert (record["document"], record["status"]) == ("receipt", "succeeded")
        assert (record["attempts"], record["billed"]) == (1, True)
        assert record["result"]["receipt"] == sample.truth.answer
        assert record["uid"] == record["result"]["uid"]
    assert clova.billed.total() == 3


@pytest.mark.usefixtures("clova")
def test_recognize_reads_standard_input() -> None:
    """A dash stands for standard input."""
    sample = draw_sample("passport")
    result = clova_ocr("recognize", "passport", "-", stdin=sample.data)
    assert result.exit_code == 0, result.stderr
    assert lines_of(result)[0]["source"] == "-"


@pytest.mark.usefixtures("clova")
def test_what_was_not_read_has_a_record_too_and_the_exit_code_is_1(tmp_path: Path) -> None:
    """A failed reading has result and error, an image that was never sent an error and no bill."""
    receipt, broken = tmp_path / "receipt.png", tmp_path / "broken\x1b[31m.png"
    receipt.write_bytes(draw_sample("receipt").data)
    broken.write_bytes(b"no image")
    result = clova_ocr("recognize", "id-card", receipt, broken)
    failed, skipped = lines_of(result)
    assert result.exit_code == 1
    assert (failed["status"], failed["billed"], failed["error"]["code"]) == ("failed", True, "FAILURE")
    assert failed["result"]["inferResult"] == "FAILURE"
    assert (skipped["status"], skipped["billed"], skipped["error"]["type"]) == ("skipped", False, "ImageError")
    assert "result" not in skipped
    assert "\x1b" not in result.stderr


def test_a_lost_answer_is_ambiguous(clova: Emulator, tmp_path: Path) -> None:
    """A call that may have been paid is neither success nor failure, and its bill is unknown."""
    (tmp_path / "receipt.png").write_bytes(draw_sample("receipt").data)
    clova.script("close-after-body")
    result = clova_ocr("recognize", "receipt", tmp_path / "receipt.png")
    record = lines_of(result)[0]
    assert (result.exit_code, record["status"], record["billed"]) == (1, "ambiguous", None)
    assert "1 maybe billed" in result.stderr


@pytest.mark.parametrize(
    ("fault", "code"), [("bad-secret", 3), ("wrong-domain", 2), ("not-deployed", 2), ("invalid-body", 1)]
)
def test_the_exit_code_shows_why_a_run_ended(clova: Emulator, tmp_path: Path, fault: str, code: int) -> None:
    """Rejected credentials are 3, a wrong domain 2, one refused image 1; the first two stop the run and print so."""
    (tmp_path / "receipt.png").write_bytes(draw_sample("receipt").data)
    clova.script(fault)
    result = clova_ocr("recognize", "receipt", tmp_path / "receipt.png")
    assert result.exit_code == code
    assert ("stopped early" in result.stderr) == (code != 1)
    assert KEY not in result.output
    assert clova.secret not in result.output


def test_without_configuration_the_command_names_the_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without a domain is a usage error that shows what to set."""
    monkeypatch.delenv("CLOVA_OCR_INVOKE_URL", raising=False)
    (tmp_path / "a.jpg").write_bytes(draw_sample("receipt").data)
    result = clova_ocr("recognize", "receipt", tmp_path / "a.jpg")
    assert result.exit_code == 2
    assert "CLOVA_OCR_INVOKE_URL" in result.stderr


@pytest.mark.usefixtures("clova")
def test_a_path_that_is_not_there_is_a_usage_error() -> None:
    """Nothing is sent when one of the paths is missing."""
    result = clova_ocr("batch", "receipt", "no-such-folder")
    assert result.exit_code == 2
    assert "no-such-folder: no such file or folder" in result.stderr


def test_batch_reads_a_folder_and_its_sub_folders(clova: Emulator, tmp_path: Path) -> None:
    """Every picture below a folder has one record, whatever its format."""
    paths = [path for path in write_samples(tmp_path, 24) if path.parent.name == "name-card"]
    result = clova_ocr("batch", "name-card", tmp_path / "name-card", "-j", "2", "--concurrency", "2")
    records = lines_of(result)
    assert result.exit_code == 0, result.stderr
    assert sorted(record["source"] for record in records) == sorted(map(str, paths))
    assert "4 images: 4 succeeded; 4 calls billed" in result.stderr
    assert clova.billed.total() == 4


@pytest.mark.usefixtures("clova")
def test_batch_leaves_sub_folders_out_when_reported(tmp_path: Path) -> None:
    """A folder of nothing but sub-folders holds no images of its own: exit code 5."""
    write_samples(tmp_path, 6)
    result = clova_ocr("batch", "receipt", tmp_path, "--no-recursive")
    assert result.exit_code == 5
    assert "no images found" in result.stderr


@pytest.mark.usefixtures("clova")
def test_batch_writes_a_new_file_for_its_owner_alone(tmp_path: Path) -> None:
    """The output file can be read only by its owner, whatever the umask."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    before = os.umask(0)
    try:
        result = clova_ocr("batch", "receipt", tmp_path / "a.png", "-o", tmp_path / "out.jsonl")
    finally:
        os.umask(before)
    assert (result.exit_code, result.stdout) == (0, "")
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "out.jsonl").read_text())["status"] == "succeeded"


@pytest.mark.parametrize(
    ("output", "why"),
    [("there.jsonl", "is there already; it may hold answers that were paid for"), ("no/where.jsonl", "No such file")],
)
def test_batch_pays_nothing_when_it_cannot_write(clova: Emulator, tmp_path: Path, output: str, why: str) -> None:
    """An output that exists is never overwritten; one that cannot be created is an error; neither sends a call."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    (tmp_path / "there.jsonl").write_text("paid for")
    result = clova_ocr("batch", "receipt", tmp_path / "a.png", "-o", tmp_path / output)
    assert result.exit_code == 2
    assert why in result.stderr
    assert (tmp_path / "there.jsonl").read_text() == "paid for"
    assert clova.requests == 0


@pytest.mark.usefixtures("clova")
def test_quiet_shows_nothing_but_errors(tmp_path: Path) -> None:
    """With -q a run that went well leaves standard error empty."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    result = clova_ocr("-q", "batch", "receipt", tmp_path)
    assert (result.exit_code, result.stderr) == (0, "")


def test_an_interrupt_ends_a_batch_with_130(tmp_path: Path) -> None:
    """Two Ctrl-C end a batch at once; what came out before is in the output, and what may have been paid is named."""
    for seed in range(8):
        (tmp_path / f"{seed}.png").write_bytes(draw_sample("receipt", seed=seed).data)
    with emulator_in_thread(faults=[None, *["silence"] * 7]) as clova:
        command = [*CLOVA_OCR, "batch", "receipt", str(tmp_path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment_of(clova)
        ) as process:
            assert process.stdout is not None
            first = json.loads(process.stdout.readline())
            wait_for(lambda: clova.requests >= 3)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            while b"once more cuts them off" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGINT)
            _, printed = process.communicate(timeout=30)
    assert first["status"] == "succeeded"
    assert process.returncode == 130
    assert b"1 succeeded" in printed
    assert b"; 1 call billed, " in printed
    assert b"calls were in flight and may have been paid: " + str(tmp_path).encode() in printed
    assert printed.endswith(b"interrupted\n")


def test_an_interrupt_ends_the_wait_for_standard_input(clova: Emulator) -> None:
    """One Ctrl-C is enough while nothing comes in, and nothing is sent."""
    read_end, write_end = os.pipe()
    program = (
        "import sys, os\n"
        "from clova_ocr_async.cli import main\n"
        "class Stdin:\n"
        "    def read(self, size):\n"
        "        os.write(2, b'reading\\n')\n"
        "        return os.read(0, size)\n"
        "sys.stdin = type('', (), {'buffer': Stdin()})\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "recognize", "receipt", "-"]
    with subprocess.Popen(command, stdin=read_end, stderr=subprocess.PIPE, env=environment_of(clova)) as process:
        os.close(read_end)
        assert process.stderr is not None
        assert process.stderr.readline() == b"reading\n"
        process.send_signal(signal.SIGINT)
        _, printed = process.communicate(timeout=30)
        os.close(write_end)
    assert (process.returncode, printed) == (130, b"interrupted\n")
    assert clova.requests == 0


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A folder of many receipts, whose answers do not fit in a pipe."""
    (tmp_path / "scans").mkdir()
    data = draw_sample("receipt").data
    for number in range(40):
        (tmp_path / "scans" / f"{number:02}.png").write_bytes(data)
    return tmp_path / "scans"


def test_a_full_device_costs_no_more_than_what_is_under_way(clova: Emulator, scans: Path) -> None:
    """With no place to write to no further call begins, and each paid answer that has no line is named."""
    done = shell(clova, '"$@" > /dev/full', "batch", "receipt", scans)
    assert done.returncode == 1
    assert b"cannot write to standard output: No space left on device" in done.stderr
    assert 0 < clova.billed.total() < 40
    text = f"{plural(clova.billed.total(), 'paid answer was not written', 'paid answers were not written')}: {scans}/"
    assert text.encode() in done.stderr
    assert f"{plural(40 - clova.billed.total(), 'image was not sent', 'images were not sent')}".encode() in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("quiet", [(), ("-q",)])
def test_a_reader_that_goes_away_ends_a_batch_quietly(clova: Emulator, scans: Path, quiet: tuple[str, ...]) -> None:
    """With head nothing is reported but the paid answers it did not take, and the exit code is 1."""
    done = shell(clova, '"$@" | head -1; exit ${PIPESTATUS[0]}', *quiet, "batch", "receipt", scans)
    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "succeeded"
    assert b"cannot write" not in done.stderr
    assert re.search(rb"\d+ paid answers? w(as|ere) not written", done.stderr)
    assert clova.billed.total() < 40


def test_a_closed_standard_output_is_reported_before_anything_is_paid(clova: Emulator, scans: Path) -> None:
    """Without standard output, and without -o, nothing is sent."""
    done = shell(clova, '"$@" >&-', "batch", "receipt", scans)
    assert done.returncode == 2
    assert b"standard output is closed" in done.stderr
    assert clova.requests == 0


def test_a_closed_standard_error_ends_nothing(clova: Emulator, scans: Path) -> None:
    """Without standard error a batch runs to its end, in silence."""
    done = shell(clova, '"$@" 2>&-', "batch", "receipt", scans)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 40)


def test_a_standard_error_no_process_reads_ends_nothing(clova: Emulator, scans: Path) -> None:
    """A standard error that cannot be written does not end what is paid for."""
    (scans / "broken.png").write_bytes(b"no image")
    done = shell(clova, '"$@" 2> /dev/full', "batch", "receipt", scans)
    assert (done.returncode, done.stdout.count(b"\n")) == (1, 41)


def test_a_closed_standard_input_is_reported(clova: Emulator) -> None:
    """A dash without a standard input is a usage error."""
    done = shell(clova, '"$@" <&-', "recognize", "receipt", "-")
    assert (done.returncode, done.stderr) == (2, b"error: -: standard input is closed\n")


@contextmanager
def small_files() -> Generator[None]:
    """Let no file grow over 60 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60 * 1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_whole_lines(clova: Emulator, scans: Path, tmp_path: Path) -> None:
    """When the file can grow no more its lines are whole, and the paid answers that are not in it are on stdout."""
    with small_files():
        result = clova_ocr("batch", "receipt", scans, "-o", tmp_path / "out.jsonl")
    lines = (tmp_path / "out.jsonl").read_bytes()
    answers = [record for record in map(json.loads, lines.splitlines()) if record["billed"]]
    missing = clova.billed.total() - len(answers)
    assert result.exit_code == 1
    assert lines.endswith(b"\n")
    assert f"cannot write to {tmp_path / 'out.jsonl'}: File too large" in result.stderr
    assert 0 < missing < 40
    text = plural(missing, "line of a paid answer is", "lines of paid answers are")
    assert f"{text} on standard output instead: " in result.stderr
    assert len(lines_of(result)) == missing


def test_recognize_does_not_pay_for_a_folder(clova: Emulator, scans: Path) -> None:
    """A folder in the place of an image is a usage error that names the verb for folders."""
    result = clova_ocr("recognize", "receipt", scans)
    assert result.exit_code == 2
    assert "clova-ocr batch" in result.stderr
    assert clova.requests == 0


def test_standard_input_is_paid_once(clova: Emulator) -> None:
    """A second dash has nothing to read, and is refused."""
    result = clova_ocr("recognize", "receipt", "-", "-", stdin=draw_sample("receipt").data)
    assert result.exit_code == 2
    assert "given twice" in result.stderr
    assert clova.requests == 0


def test_a_batch_shows_that_it_pays_again() -> None:
    """The help of batch shows that the same command again pays for everything again."""
    assert "pays for all of them again" in " ".join(clova_ocr("batch", "--help").stdout.split())


def test_a_stopped_batch_shows_its_error_twice_and_what_was_not_sent_once(clova: Emulator, scans: Path) -> None:
    """An error that stops a batch is printed with its image and at the end; images never sent are only counted."""
    clova.script(*["bad-secret"] * 40)
    done = shell(clova, '"$@"', "batch", "receipt", scans, "-j", "1")
    assert done.returncode == 3
    assert done.stderr.count(b"code 0002") == 2
    assert b"39 images were not sent" in done.stderr


def test_a_quiet_batch_that_was_stopped_shows_why_once(clova: Emulator, scans: Path) -> None:
    """With -q the error that stopped a batch is all that is printed, once."""
    clova.script("bad-secret")
    done = shell(clova, '"$@"', "-q", "batch", "receipt", scans, "-j", "1")
    assert done.returncode == 3
    assert done.stderr.startswith(b"stopped early: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("option", "seen"),
    [("-q", []), ("-v", ["sent again"]), ("-vv", ["sent again", "request 1: ", "request 2: "])],
)
def test_verbose_shows_of_retries_and_very_verbose_of_every_request(
    clova: Emulator, scans: Path, option: str, seen: list[str]
) -> None:
    """-v shows that a request is sent again, -vv how each ended, -q neither."""
    clova.script("rate-limited")
    done = shell(clova, '"$@"', option, "recognize", "receipt", scans / "00.png")
    assert done.returncode == 0, done.stderr
    for words in ("sent again", "request 1: ", "request 2: "):
        assert (words.encode() in done.stderr) == (words in seen)


def test_a_request_that_may_be_paid_twice_is_reported_and_counted(clova: Emulator, scans: Path) -> None:
    """A maybe billed request that is sent again is a warning; its record and the summary count it as that."""
    clova.script("engine-error")
    done = shell(clova, '"$@"', "recognize", "receipt", scans / "00.png")
    record = json.loads(done.stdout)
    assert (record["billed"], record["maybe_billed"], record["attempts"]) == (True, 1, 2)
    assert b"WARNING: call " in done.stderr
    assert b"1 call billed, 1 maybe billed" in done.stderr


def test_a_picture_that_is_left_out_is_reported_once(clova: Emulator, scans: Path) -> None:
    """The counting of images repeats nothing that the reading shows."""
    (scans / "link.png").symlink_to(scans / "00.png")
    done = shell(clova, '"$@"', "batch", "receipt", scans)
    assert done.stderr.count(b"1 file left out: 1 symbolic link; to read it, give the symbolic link itself") == 1


def emulator(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start an emulator in a process of its own."""
    command = [sys.executable, "-m", "clova_ocr_async", "emulator", "--port", "0", "--latency", "0", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLOVA_OCR_")} | variables
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_the_emulator_prints_what_points_at_it_and_counts(tmp_path: Path) -> None:
    """The emulator prints two variables that work, and at its end what would have been billed."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    with emulator("--fault", "ok") as process:
        assert process.stdout is not None
        variables = dict(re.findall(r"export (\w+)=(\S+)", process.stdout.readline() + process.stdout.readline()))
        recognize = [sys.executable, "-m", "clova_ocr_async", "recognize", "receipt", str(tmp_path / "a.png")]
        done = subprocess.run(recognize, env=os.environ | variables, capture_output=True, check=False, timeout=50)
        process.send_signal(signal.SIGTERM)
        _, printed = process.communicate(timeout=30)
    assert done.returncode == 0, done.stderr
    assert process.returncode == 0
    assert "1 request, 1 call that would have been billed" in printed


def test_the_emulator_does_not_print_a_secret_of_the_users_own() -> None:
    """A secret that comes from the environment is used and not printed: another shell gets it by a private file."""
    with emulator(CLOVA_OCR_SECRET="a-secret-of-the-users-own") as process:
        assert process.stdout is not None
        printed = process.stdout.readline() + process.stdout.readline()
        variables = dict(re.findall(r"export (\w+)=(\S+)", printed))
        file = Path(variables["CLOVA_OCR_SECRET_FILE"])
        mode = file.stat().st_mode
        doctor = [sys.executable, "-m", "clova_ocr_async", "doctor", "--probe"]
        done = subprocess.run(doctor, env=os.environ | variables, capture_output=True, check=False, timeout=50)
        process.send_signal(signal.SIGINT)
        rest = "".join(process.communicate(timeout=30))
    assert done.returncode == 0, done.stdout
    assert set(variables) == {"CLOVA_OCR_INVOKE_URL", "CLOVA_OCR_SECRET_FILE"}
    assert mode & 0o077 == 0
    assert not file.exists()
    assert "a-secret-of-the-users-own" not in printed + rest


def test_the_emulator_shows_that_its_port_is_taken(clova: Emulator) -> None:
    """A port that another process listens at is a usage error."""
    taken = re.search(r":(\d+)/", clova.url())
    assert taken is not None
    result = clova_ocr("emulator", "--port", taken[1])
    assert result.exit_code == 2
    assert "cannot listen" in result.stderr


def test_an_unknown_verb_is_a_usage_error() -> None:
    """A verb that does not exist is reported, with exit code 2."""
    result = clova_ocr("serve")
    assert result.exit_code == 2
    assert "serve" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--document", "menu"], "receipt, credit-card"),
        (["--fault", "earthquake"], "rate-limited"),
        (["--host", "0.0.0.0"], "give --expose"),  # noqa: S104 - that it is refused is the point
    ],
)
def test_the_emulator_refuses_what_it_does_not_know(arguments: list[str], why: str) -> None:
    """Unknown documents and faults are answered with the known ones, a public address with the way out."""
    result = clova_ocr("emulator", *arguments)
    assert result.exit_code == 2
    assert why in result.stderr


def test_doctor_lists_every_package_that_can_be_installed() -> None:
    """Doctor lists each package that this one needs or that an extra brings, installed or not, and what it enables."""
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = {name: packages for name, packages in settings["optional-dependencies"].items() if name != "all"}
    listed = clova_ocr("doctor").stdout
    for extra, packages in {"needed": settings["dependencies"], **extras}.items():
        for package in packages:
            name = re.split(r"[>=<~!;\[ ]", package)[0]
            [line] = [line for line in listed.splitlines() if line.startswith(f"  {name} ")]
            assert re.search(rf"\(.*\b{extra}\b", line), (extra, line)


def test_doctor_shows_the_configuration_without_its_secrets(clova: Emulator) -> None:
    """Offline, doctor names packages and domains, and neither secret nor invoke key."""
    result = clova_ocr("doctor")
    assert result.exit_code == 0
    assert "aiohttp" in result.stdout
    assert "reads any document" in result.stdout
    assert KEY not in result.output
    assert clova.secret not in result.output
    assert clova.requests == 0


def test_doctor_probes_without_a_bill(monkeypatch: pytest.MonkeyPatch, clova: Emulator) -> None:
    """The probe finds out that URL and secret are right, and costs nothing."""
    monkeypatch.setenv("CLOVA_OCR_ID_CARD_INVOKE_URL", clova.url("id-card"))
    result = clova_ocr("doctor", "--probe")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("it answers") == 2
    assert (clova.requests, clova.billed.total()) == (2, 0)


def test_doctor_shows_rejected_credentials(monkeypatch: pytest.MonkeyPatch, clova: Emulator) -> None:
    """A secret that is not accepted makes doctor exit with 3."""
    monkeypatch.setenv("CLOVA_OCR_SECRET", "not-the-secret")
    result = clova_ocr("doctor", "--probe")
    assert result.exit_code == 3
    assert "AuthenticationError" in result.stdout
    assert clova.billed.total() == 0


def test_doctor_names_what_is_not_installed() -> None:
    """A package that is missing is named with what it is for."""
    done = python(
        "import importlib.metadata as metadata, sys\n"
        "from clova_ocr_async.cli.commands import doctor\n"
        "doctor._PACKAGES['no-such-package'] = 'extra nothing'\n"
        "doctor._show_packages()"
    )
    assert "no-such-package is not installed (extra nothing)" in done.stdout


def test_demo_draws_reads_and_shows(tmp_path: Path) -> None:
    """The demo reads every sample it drew as it was drawn, and shows what to do next."""
    result = clova_ocr("demo", "--count", "12", "--folder", tmp_path / "samples")
    assert result.exit_code == 0, result.output
    assert "12 of 12 read, every text as it was drawn; 12 calls" in result.stdout
    places = re.findall(r"^(?:workbook|masked ID card|picture with boxes|report) +(\S+)$", result.stdout, re.MULTILINE)
    assert [Path(place).suffix for place in places] == [".xlsx", ".jpg", ".png", ".html"]
    assert all(Path(place).stat().st_size > 1000 for place in places)
    shutil.rmtree(Path(places[0]).parent)
    assert "clova-ocr doctor --probe" in result.stdout
    assert len(list((tmp_path / "samples").rglob("*.*"))) == 12


@pytest.mark.parametrize(
    ("missing", "extra"),
    [("xlsxwriter", "tables"), ("clova_ocr_async.pictures.labelled", "pictures"), ("jinja2", "report")],
)
def test_demo_shows_what_its_results_need(missing: str, extra: str) -> None:
    """Without an extra the demo names it in place of the file."""
    done = python(
        f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = ['demo', '--count', '5'];"
        "from clova_ocr_async.cli import main; main()"
    )
    assert done.returncode == 0, done.stderr
    assert f"pip install 'clova-ocr-async[{extra}]'" in done.stdout
    places = re.findall(r"(\S+clova-ocr-demo-results-[^/\s]+)/", done.stdout)
    shutil.rmtree(places[0])


def test_demo_leaves_nothing_behind() -> None:
    """Without --folder the samples are gone afterwards."""
    result = clova_ocr("demo", "--count", "1")
    place = re.search(r"in (\S+)", result.stderr)
    assert place is not None
    assert not Path(place[1]).exists()
    (results,) = re.findall(r"workbook +(\S+)", result.stdout)
    shutil.rmtree(Path(results).parent)


def test_demo_does_not_overwrite_a_file_of_somebody_elses(tmp_path: Path) -> None:
    """A file that is in the way of a sample is named, and left as it is."""
    (tmp_path / "receipt").mkdir()
    (tmp_path / "receipt" / "receipt-0001.jpg").write_text("mine")
    result = clova_ocr("demo", "--folder", tmp_path)
    assert result.exit_code == 2
    assert "receipt-0001.jpg" in result.stderr


def test_demo_without_the_extra_shows_what_to_install() -> None:
    """An install without Pillow is reported the pip line."""
    done = python(
        "import sys; sys.modules['PIL'] = None; sys.argv[1:] = ['demo']; from clova_ocr_async.cli import main; main()"
    )
    assert done.returncode == 2
    assert "pip install 'clova-ocr-async[emulator]'" in done.stderr


def test_a_verb_that_cannot_print_shows_why(clova: Emulator) -> None:
    """Standard output that takes nothing is reported in one line."""
    done = shell(clova, '"$@" > /dev/full', "doctor")
    assert (done.returncode, done.stderr) == (1, b"error: No space left on device\n")


def test_a_reader_that_went_away_is_left_to_click() -> None:
    """A broken pipe comes out of a verb as it is: click ends the command quietly by it."""

    def function() -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        verb(function)()
