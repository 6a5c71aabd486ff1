"""Without a run directory, too, what was paid or may have been paid has a line somewhere."""

from __future__ import annotations

import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.commands import CLOVA_OCR, environment_of, records_in, shell
from support.waiting import wait_for

from clova_ocr_async.emulator import Emulator, emulator_in_thread
from clova_ocr_async.host.plural import plural

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("output", ["/dev/full", "out.jsonl"])
def test_a_paid_answer_that_the_output_cannot_take_goes_to_standard_output(
    clova: Emulator, twelve_scans: Path, output: str
) -> None:
    """Behind a full disk each paid answer is on standard output, and nothing else is sent."""
    place = twelve_scans.parent / output
    done = shell(clova, 'ulimit -f 12; "$@"', "batch", "receipt", twelve_scans, "-o", place)
    assert done.returncode == 1, done.stderr
    there = records_in(place.read_bytes()) if output == "out.jsonl" else []
    spared = records_in(done.stdout)
    assert all(record["billed"] for record in spared)
    paid = [record for record in there if record["billed"]] + spared
    assert 0 < clova.billed.total() < 12
    assert len({record["source"] for record in paid}) == len(paid) == clova.billed.total()
    text = plural(len(spared), "line of a paid answer is", "lines of paid answers are")
    assert f"{text} on standard output instead: {twelve_scans}/".encode() in done.stderr
    assert b"not written" not in done.stderr


@pytest.mark.parametrize("stdout", ["/dev/full", "/dev/null", "&-"])
def test_a_paid_answer_that_has_no_other_place_is_named(clova: Emulator, twelve_scans: Path, stdout: str) -> None:
    """If standard output keeps nothing either, each paid answer is named as lost."""
    done = shell(clova, f'"$@" >{stdout}', "batch", "receipt", twelve_scans, "-o", "/dev/full")
    assert done.returncode == 1
    assert 0 < clova.billed.total() < 12
    text = plural(clova.billed.total(), "paid answer was not written", "paid answers were not written")
    assert f"{text}: {twelve_scans}/".encode() in done.stderr
    assert b"on standard output instead" not in done.stderr


def test_a_paid_answer_that_neither_place_takes_is_named(clova: Emulator, twelve_scans: Path) -> None:
    """If the output is full and standard output has no reader, each paid answer is named."""
    done = shell(clova, '"$@" > >(exec true)', "batch", "receipt", twelve_scans, "-o", "/dev/full")
    assert done.returncode == 1
    text = plural(clova.billed.total(), "paid answer was not written", "paid answers were not written")
    assert f"{text}: {twelve_scans}/".encode() in done.stderr


@pytest.mark.parametrize("verb", ["batch", "recognize"])
def test_what_a_second_signal_cuts_off_has_its_line(twelve_scans: Path, verb: str) -> None:
    """A call that was cut off is an ambiguous line, and an image that was taken and not sent is a line to be sent."""
    images = [twelve_scans, "--concurrency", "4"] if verb == "batch" else sorted(twelve_scans.iterdir())
    with emulator_in_thread(faults=["silence"] * 12, concurrency=4) as clova:
        command = [*CLOVA_OCR, verb, "receipt", *map(str, images)]
        with subprocess.Popen(
            command, env=environment_of(clova), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            wait_for(lambda: clova.requests >= 4)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            while b"once more cuts them off" not in (line := process.stderr.readline()):
                assert line, "it ended"
            process.send_signal(signal.SIGINT)
            lines, printed = process.communicate(timeout=30)
        requests = clova.requests
    records = records_in(lines)
    assert process.returncode == 130
    assert {record["status"] for record in records} <= {"ambiguous", "pending"}
    ambiguous = [record for record in records if record["status"] == "ambiguous"]
    assert len(ambiguous) == requests
    assert all(record["billed"] is None and record["maybe_billed"] == 1 and record["sha256"] for record in ambiguous)
    assert len({record["source"] for record in records}) == len(records)
    assert (
        f"{plural(requests, 'call was in flight', 'calls were in flight')} and may have been paid: ".encode() in printed
    )
    assert f"{requests} maybe billed".encode() in printed
    assert f"{plural(12 - requests, 'image was not sent', 'images were not sent')}".encode() in printed
