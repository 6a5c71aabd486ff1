"""The verbs that read a run: their output, and the files that they leave as they are."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.commands import clova_ocr, exported, status
from support.fakes import a_request, success
from support.ledgers import ambiguous, claimed, item, opened, read, source

from clova_ocr_async.batch.outcome import Failure, Success
from clova_ocr_async.batch.sources.manifest import Manifest
from clova_ocr_async.cli.runs.failures import FAILURES
from clova_ocr_async.documents import Receipt
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.errors import Billing, InvalidRequestError
from clova_ocr_async.ledger.settlement import encode_failure
from clova_ocr_async.ledger.states import ItemEvent, Settlement
from clova_ocr_async.protocol.response import HTTPResponse, decode_response
from clova_ocr_async.results.records import record_of_outcome

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.ledger.sqlite import SqliteLedger

ANSWER = HTTPResponse(200, success(a_request()).body.replace(b"id-1", b""))  # of whichever call


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three receipts, the first under three names, in an order that is not that of their names."""
    folder = tmp_path / "scans"
    folder.mkdir()
    for name, seed in (("c", 0), ("a", 0), ("d", 1), ("b", 0), ("e", 2)):
        (folder / f"{name}.png").write_bytes(draw_sample("receipt", seed=seed).data)
    return folder


# ---------------------------------------------------------------------------------------------------------------------
# Copies


def test_lines_that_print_billed_are_the_calls_that_were_paid(clova: Emulator, scans: Path, run: Path) -> None:
    """Of several names of one picture the first that was found is billed, and the others are copies of it by name."""
    order = [str(scans / f"{name}.png") for name in "cadbe"]
    assert clova_ocr("batch", "receipt", *order, "--run", run).exit_code == 0
    records = exported(run)
    assert [record["source"] for record in records] == order
    assert sum(record["billed"] is True for record in records) == clova.billed.total() == 3
    assert [record["copy_of"] for record in records] == [None, order[0], None, order[0], None]
    assert {record["billed"] for record in records if record["copy_of"]} == {False}
    assert all(record["result"]["receipt"] for record in records)


async def with_copies(ledger: SqliteLedger, name: str, verdict: Settlement) -> None:
    """Have an image that goes by three names end in some way."""
    claim = claimed(await ledger.admit(item(name), source(f"{name}1")))
    if verdict.request_id is not None:
        await ledger.sending(claim, verdict.request_id)
    if verdict.event is ItemEvent.SUCCEED:
        await ledger.answered(claim, "r", ANSWER)
    if verdict.event is ItemEvent.MAYBE_BILLED:
        await ledger.maybe_billed(claim, "r")
    await ledger.settle(claim, verdict)
    for number in (2, 3):
        await ledger.admit(item(name), source(f"{name}{number}"))


async def test_copies_of_what_was_not_read_cost_nothing_more(run: Path) -> None:
    """A payment, certain or not, stands in one line of the copies; without a payment nothing is a copy."""
    paid = encode_failure(InvalidRequestError(400, "0011", "no"))
    async with opened(run) as ledger:
        await with_copies(ledger, "ambiguous", ambiguous())
        await with_copies(ledger, "billed", Settlement(ItemEvent.FAIL, Billing.BILLED, 1.0, paid, "r"))
        await with_copies(ledger, "free", Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, paid, "r"))
        await with_copies(ledger, "read", read())
    records = {record["source"]: record for record in exported(run)}
    assert [records[f"ambiguous{n}"]["billed"] for n in (1, 2, 3)] == [None, False, False]
    assert [records[f"ambiguous{n}"]["maybe_billed"] for n in (1, 2, 3)] == [1, 0, 0]
    assert [records[f"billed{n}"]["billed"] for n in (1, 2, 3)] == [True, False, False]
    assert [records[f"free{n}"]["copy_of"] for n in (1, 2, 3)] == [None] * 3
    assert [records[f"read{n}"]["copy_of"] for n in (1, 2, 3)] == [None, "read1", "read1"]
    assert sum(record["billed"] is True for record in records.values()) == status(run)["billed"]
    assert sum(record["maybe_billed"] for record in records.values()) == status(run)["perhaps"]


def test_the_list_of_failures_names_each_payment_once(clova: Emulator, scans: Path, run: Path) -> None:
    """In failures.jsonl a picture that was paid and not read is paid under one of its names."""
    clova.script("failure")
    clova_ocr("batch", "receipt", scans / "a.png", scans / "b.png", "--run", run)
    lines = [json.loads(line) for line in (run / FAILURES).read_bytes().splitlines()]
    assert [(line["billed"], line["copy_of"]) for line in lines] == [(True, None), (False, str(scans / "a.png"))]
    assert Manifest(run / FAILURES).billed() == (1, 0)


async def test_a_file_that_changed_is_not_what_others_are_copies_of(run: Path) -> None:
    """When the first name of a picture has another content since, the next one stands for what was paid."""
    async with opened(run) as ledger:
        claim = claimed(await ledger.admit(item("x"), source("first")))
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", ANSWER)
        await ledger.settle(claim, read())
        for name in ("second", "third"):
            await ledger.admit(item("x"), source(name))
    with closing(sqlite3.connect(run / "ledger.sqlite3")) as db, db:
        db.execute("UPDATE source SET open = 1, size = 1 WHERE path = ?", (b"first",))
    records = {record["source"]: record for record in exported(run)}
    assert [(records[name]["status"], records[name]["copy_of"]) for name in ("first", "second", "third")] == [
        ("pending", None),
        ("succeeded", None),
        ("succeeded", "second"),
    ]
    assert [records[name]["billed"] for name in ("first", "second", "third")] == [False, True, False]


def test_a_line_without_a_run_is_no_copy() -> None:
    """A line of a one-shot run has the key ``copy_of`` as well, and it is always null."""
    recognition = decode_response(HTTPResponse(200, ANSWER.body), Receipt)
    for outcome in (Success("a.jpg", recognition), Failure("a.jpg", InvalidRequestError(400, "0011", "no"))):
        assert record_of_outcome(outcome, Receipt, path="a.jpg", sha256=None)["copy_of"] is None


# ---------------------------------------------------------------------------------------------------------------------
# Export


@pytest.mark.parametrize(
    "body",
    [ANSWER.body, ANSWER.body.replace(b'"images":[', b'"images":\n['), ANSWER.body.replace(b'{"uid"', b'{\n"uid"')],
    ids=["compact", "lines between", "lines within"],
)
async def test_a_result_is_the_image_object_on_one_line(run: Path, body: bytes) -> None:
    """However the answer is laid out, a record is one line with the image object as the vendor has sent it."""
    async with opened(run) as ledger:
        claim = claimed(await ledger.admit(item("a"), source("a")))
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", HTTPResponse(200, body))
        await ledger.settle(claim, read())
    (record,) = exported(run)
    recognition = decode_response(HTTPResponse(200, body), Receipt)
    assert record["result"] == recognition.to_dict()
    assert (record["uid"], record["request_id"]) == (recognition.uid, recognition.request_id)
    assert list(record) == [
        *("source", "page", "sha256", "document", "status", "billed", "maybe_billed", "copy_of", "attempts"),
        *("request_id", "uid", "prepared", "result"),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Status


def test_status_shows_what_it_cost(clova: Emulator, scans: Path, run: Path) -> None:
    """With a price the calls have one, in words and as numbers; what may have been paid makes it a range."""
    clova.script("close-after-body")
    clova_ocr("batch", "receipt", scans, "--run", run)
    assert "(160 to 240 KRW)" in clova_ocr("status", run, "--price", "80").stdout
    assert "KRW" not in clova_ocr("status", run).stdout
    counts = json.loads(clova_ocr("status", run, "--json", "--price", "80.5").stdout)
    assert counts["cost"] == {"price": 80.5, "billed": 161.0, "maybe_billed": 80.5}
    assert status(run)["cost"] is None


@pytest.mark.usefixtures("clova")
def test_status_does_not_print_kept_of_what_was_purged(scans: Path, run: Path) -> None:
    """After a purge no answer is kept, and status shows that and how many there were."""
    clova_ocr("batch", "receipt", scans, "--run", run)
    assert "answers    3 kept, not sealed\n" in clova_ocr("status", run).stdout
    clova_ocr("purge", run)
    assert "answers    0 kept, 3 not any more, not sealed\n" in clova_ocr("status", run).stdout
    assert (status(run)["answers"], status(run)["removed"]) == (0, 3)


@pytest.mark.usefixtures("clova")
def test_status_shows_that_a_run_keeps_no_answers(scans: Path, run: Path) -> None:
    """A run that was begun to keep none shows that."""
    clova_ocr("batch", "receipt", scans, "--run", run, "--store", "none")
    assert "answers    not kept\n" in clova_ocr("status", run).stdout


# ---------------------------------------------------------------------------------------------------------------------
# The call limit, and runs that were moved


def test_the_next_command_keeps_to_the_call_limit_and_shows_it(clova: Emulator, scans: Path, run: Path) -> None:
    """A call limit that was given once holds until another is given; batch, status and a dry run show it."""
    command: tuple[Any, ...] = ("batch", "receipt", scans, "--run", run)
    clova_ocr(*command, "--max-cost", "85", "--price", "80")
    again = clova_ocr(*command)
    assert (again.exit_code, clova.billed.total()) == (4, 1)
    assert "the run has a limit of 1 call; --max-calls sets another one, or none" in again.stderr
    assert "call limit 1 call over the life of the run\n" in clova_ocr("status", run).stdout
    rehearsed = clova_ocr(*command, "--dry-run").stdout
    assert "within call limit            0  of 1, 1 are used" in rehearsed
    assert "within call limit" not in clova_ocr(*command, "--dry-run", "--max-calls", "none").stdout
    assert clova_ocr(*command, "--max-calls", "2").exit_code == 4
    lifted = clova_ocr(*command, "--max-calls", "none")
    assert (lifted.exit_code, clova.billed.total()) == (0, 3)
    assert "call limit none\n" in clova_ocr("status", run).stdout


@pytest.mark.parametrize("wrong", ["-1", "1.5", "nothing", "", "\uff11", "9" * 19])
def test_a_call_limit_is_a_number_of_calls_or_none(scans: Path, run: Path, wrong: str) -> None:
    """A value that is not a number of calls is refused, and the message names what is accepted."""
    result = clova_ocr("batch", "receipt", scans, "--run", run, "--max-calls", wrong)
    assert result.exit_code == 2
    assert "write a whole number from 0, or none" in result.stderr


def test_a_call_limit_is_given_or_lifted(scans: Path, run: Path) -> None:
    """One command cannot do both."""
    cost = ("--max-calls", "none", "--max-cost", "800", "--price", "80")
    result = clova_ocr("batch", "receipt", scans, "--run", run, *cost)
    assert result.exit_code == 2
    assert "lifts the call limit" in result.stderr


def test_a_moved_run_is_said_once(clova: Emulator, scans: Path, run: Path, tmp_path: Path) -> None:
    """The command that resumes a run does not repeat --run-moved; without a run the option is refused."""
    del clova
    result = clova_ocr("batch", "receipt", scans, "--run", run, "--max-calls", "1", "--run-moved")
    assert result.exit_code == 4
    assert "--run-moved" not in result.stderr
    alone = clova_ocr("batch", "receipt", scans, "--run-moved", "-o", tmp_path / "out")
    assert alone.exit_code == 2
    assert "--run-moved is for a run;" in alone.stderr
