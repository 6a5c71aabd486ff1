from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.commands import CLOVA_OCR, start
from support.waiting import wait_for

from clova_ocr_async.cli.runs.graceful_stop import loop_signals
from clova_ocr_async.cli.terminal.signals import SIGNALS, exit_at_once, interrupt_handlers, signal_handlers
from clova_ocr_async.emulator import emulator_in_thread
from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


ENDING = pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)


def finishing(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has noticed its first signal."""
    assert process.stderr is not None
    while b"once more cuts them off" not in (line := process.stderr.readline()):
        assert line, "it ended"


@ENDING
@pytest.mark.parametrize("verb", ["batch", "recognize"])
def test_what_is_under_way_finishes_and_is_written(twelve_scans: Path, verb: str, number: signal.Signals) -> None:
    """After a signal nothing else is sent; each call that was paid has its line, and the exit code is 130."""
    images = [twelve_scans] if verb == "batch" else sorted(twelve_scans.iterdir())
    with emulator_in_thread(latency=0.5, sigma=0, concurrency=4) as clova:
        with start(clova, verb, "receipt", *images) as process:
            wait_for(lambda: clova.requests >= 2)
            process.send_signal(number)
            lines, printed = process.communicate(timeout=40)
        records = [json.loads(line) for line in lines.splitlines()]
        succeeded = [record for record in records if record["status"] == "succeeded"]
        assert process.returncode == 130, printed
        assert len(succeeded) == clova.billed.total() < 12
    assert {record["status"] for record in records} <= {"succeeded", "pending"}
    assert f"{plural(len(succeeded), 'call billed', 'calls billed')}".encode() in printed
    assert f"{plural(12 - len(succeeded), 'image was not sent', 'images were not sent')}".encode() in printed
    assert printed.endswith(b"interrupted; every paid answer is written\n")


@ENDING
def test_a_second_signal_cuts_off_and_names(twelve_scans: Path, number: signal.Signals) -> None:
    """Calls that hang are cut off by the second signal; what may have been paid is named."""
    with (
        emulator_in_thread(faults=["silence"] * 12, concurrency=4) as clova,
        start(clova, "batch", "receipt", twelve_scans, "--concurrency", "4") as process,
    ):
        wait_for(lambda: clova.requests == 4)
        process.send_signal(number)
        finishing(process)
        process.send_signal(number)
        lines, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert lines.count(b'"status":"ambiguous"') == 4
    assert b"4 ambiguous; 0 calls billed, 4 maybe billed; " in printed
    assert b"\n8 images were not sent\n" in printed
    assert f"4 calls were in flight and may have been paid: {twelve_scans}/".encode() in printed
    assert printed.endswith(b"interrupted\n")


def test_a_reader_that_has_stopped_does_not_keep_a_command_alive(twelve_scans: Path) -> None:
    """While the output takes nothing, the third signal that finds it so ends the command, and it shows so."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)  # less than an answer
    with (
        emulator_in_thread(latency=0, sigma=0) as clova,
        start(clova, "batch", "receipt", twelve_scans, stdout=write_end) as process,
    ):
        os.close(write_end)
        wait_for(lambda: "pipe" in waits_in(process.pid))
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            wait_for(lambda: pending(process.pid) == 0)
        _, printed = process.communicate(timeout=30)
    os.close(read_end)
    assert process.returncode == 130
    assert b" billed" in printed
    assert printed.endswith(b"interrupted\n")


def waits_in(pid: int) -> str:
    """Return what in the kernel a process waits in; such as a write to a pipe."""
    with open(f"/proc/{pid}/wchan") as file:  # noqa: PTH123 - no file to speak of
        return file.read()


def pending(pid: int) -> int:
    """Return the signals that a process has not taken yet, as bits."""
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123 - no file to speak of
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["SigPnd"], 16) | int(fields["ShdPnd"], 16)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a process the first one")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_first_process_of_a_container_ends_as_well(twelve_scans: Path, number: signal.Signals) -> None:
    """As process 1, whose signals are ignored unless it handles them, a command finishes its calls and ends."""
    with emulator_in_thread(latency=0.5, sigma=0, concurrency=2) as clova:
        environment = os.environ | {"CLOVA_OCR_INVOKE_URL": clova.url(), "CLOVA_OCR_SECRET": clova.secret}
        command = ["unshare", "--pid", "--fork", *CLOVA_OCR, "batch", "receipt", str(twelve_scans)]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            wait_for(lambda: clova.requests >= 1)
            with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:  # noqa: PTH123 - no file to speak of
                os.kill(int(file.read()), number)
            lines, printed = process.communicate(timeout=40)
        if process.returncode == 1 and b"unshare" in printed:
            pytest.skip("this machine does not let root do that")
        assert process.returncode == 130, printed
        assert sum(json.loads(line)["status"] == "succeeded" for line in lines.splitlines()) == clova.billed.total()


@ENDING
def test_a_signal_while_modules_load_ends_quietly(number: signal.Signals) -> None:
    """Ctrl-C before a command has begun leaves no traceback."""
    program = (
        "import sys, signal\n"
        "class Slow:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'click':\n"
        "            print('loading', flush=True)\n"
        "            signal.pause()\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from clova_ocr_async.cli import main\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "--version"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"loading\n"
        process.send_signal(number)
        rest = process.communicate(timeout=30)
    assert (process.returncode, rest) == (130, (b"", b""))


@ENDING
def test_the_emulator_ends_by_any_of_the_signals(number: signal.Signals) -> None:
    """The emulator shows what it counted, and ends with 0."""
    command = [*CLOVA_OCR, "emulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"a local CLOVA listens" in process.stderr.readline()
        process.send_signal(number)
        _, printed = process.communicate(timeout=30)
    assert (process.returncode, printed) == (0, b"0 requests, 0 calls that would have been billed\n")


@pytest.fixture
def _as_they_were() -> Generator[None]:
    """Put the handlers back that a test changes."""
    with signal_handlers(dict.fromkeys(SIGNALS, signal.default_int_handler)):
        yield


@pytest.mark.usefixtures("_as_they_were")
def test_before_and_after_a_command_signals_end_the_process() -> None:
    """The exit code is that of an interrupt; a signal that is ignored stays ignored."""
    ended: list[int] = []
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    exit_at_once(ended.append)
    for number in SIGNALS:
        signal.raise_signal(number)
    assert ended == [130, 130]


@pytest.mark.usefixtures("_as_they_were")
def test_other_signals_do_what_ctrl_c_does() -> None:
    """SIGTERM and SIGHUP go to whatever handles SIGINT now, and interrupt where that is ignored."""
    taken: list[int] = []
    with signal_handlers(interrupt_handlers()):
        for number in SIGNALS:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        signal.signal(signal.SIGINT, lambda number, _: taken.append(number))
        signal.raise_signal(signal.SIGTERM)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGINT)
    assert taken == [signal.SIGTERM]


async def test_a_loop_that_hangs_is_interrupted_by_the_third_signal() -> None:
    """Two signals wait for the loop to take them; the one after that does not."""
    asked: list[int] = []
    with loop_signals(lambda: asked.append(1)):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert asked == []
        await asyncio.sleep(0)
        assert asked == [1, 1]
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0)
    assert asked == [1, 1, 1]
