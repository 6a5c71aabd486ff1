from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import a_request, success
from support.ledgers import shown

from clova_ocr_async.errors import Billing, ConnectionLostError, ImageError, InvalidRequestError, LedgerError
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.settlement import decode_failure, encode_failure
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.states import Claim, FileStamp, Item, ItemEvent, Settlement, SourceFile
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = AESGCMSeal(b"k" * 32)
LEDGER = "ledger.sqlite3"
ANSWER = HTTPResponse(200, success(a_request()).body.replace(b"id-1", b""))  # the answer of any call
CHANGED = FileStamp(9, 9, 9, 9)
LOST = encode_failure(ConnectionLostError("gone"))
STAMP = FileStamp(1, 2, 3, 4)


def item(number: int) -> Item:
    """Return one of many items."""
    return Item(bytes([number]) * 32, "receipt")


def file(name: str, stamp: FileStamp | None = None) -> SourceFile:
    """Return a file."""
    return SourceFile(name.encode(), stamp)


async def sent(ledger: SqliteLedger, number: int, name: str | None, answer: HTTPResponse | None = None) -> Claim:
    """Have an item sent, and answered if there is an answer."""
    admission = await ledger.admit(item(number), None if name is None else file(name, STAMP))
    assert admission.claim is not None
    await ledger.sending(admission.claim, f"id-{number}")
    if answer is not None:
        await ledger.answered(admission.claim, f"id-{number}", answer)
    return admission.claim


async def succeeded(ledger: SqliteLedger, number: int, name: str | None) -> None:
    """Have an item read."""
    claim = await sent(ledger, number, name, ANSWER)
    await ledger.settle(claim, Settlement(ItemEvent.SUCCEED, Billing.BILLED, 1.0, b"", f"id-{number}"))


async def failed(ledger: SqliteLedger, number: int, name: str) -> None:
    """Have an item refused by the service."""
    claim = await sent(ledger, number, name)
    await ledger.refused(claim, f"id-{number}", maybe_billed_before=False)
    failure = encode_failure(InvalidRequestError(400, "0011", "canaryWORDS"))
    await ledger.settle(claim, Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, failure, f"id-{number}"))


async def ended_ambiguous(ledger: SqliteLedger, number: int, name: str | None) -> None:
    """Have an item end without an answer."""
    claim = await sent(ledger, number, name)
    await ledger.maybe_billed(claim, f"id-{number}")
    await ledger.settle(claim, Settlement(ItemEvent.MAYBE_BILLED, Billing.MAYBE_BILLED, 1.0, LOST, f"id-{number}"))


async def begun(folder: Path, seal: Any = None) -> None:
    """Leave a run with an image of each kind, some of them as a dead process leaves them."""
    async with SqliteLedger(folder, seal=seal) as ledger:
        await ledger.open_for(["local"])
        await succeeded(ledger, 1, "read")
        await ledger.admit(item(1), file("read again"))
        await failed(ledger, 2, "failed")
        await ended_ambiguous(ledger, 3, "ambiguous")
        refused = (await ledger.admit(item(4), file("refused"))).claim
        assert refused is not None
        await ledger.settle(refused, Settlement(ItemEvent.SKIP, failure=encode_failure(ImageError("it is a poem"))))
        await ledger.reject(file("gone"), "receipt", encode_failure(ImageError("no such file")))
        await succeeded(ledger, 5, None)
        for number, name in ((6, "lost"), (7, "answered"), (8, "asked again"), (9, None)):
            await succeeded(ledger, number, name)
        ledger.add_files([file("unread")], "receipt")
    leave(folder, "UPDATE item SET state = 'sent', owner = 999, sent_at = 1, answer = NULL WHERE sha256 = ?", 6)
    leave(folder, "UPDATE item SET state = 'sent', owner = 999, failure = NULL WHERE sha256 = ?", 7)
    leave(folder, "UPDATE item SET state = 'sent', owner = 999, maybe_billed = 1, answer = NULL WHERE sha256 = ?", 8)
    leave(folder, "UPDATE item SET state = 'queued', answer = NULL WHERE sha256 = ?", 9)


def leave(folder: Path, statement: str, number: int) -> None:
    """Change an item as a dead process leaves it."""
    db = sqlite3.connect(folder / LEDGER)
    with db:
        db.execute(statement, (item(number).sha256,))
    db.close()


EXPECTED = {
    "read": "succeeded",
    "read again": "succeeded",
    "failed": "failed",
    "ambiguous": "ambiguous",
    "refused": "skipped",
    "gone": "skipped",
    "lost": "ambiguous",
    "answered": "succeeded",
    "asked again": "ambiguous",
    "unread": "pending",
}


@pytest.mark.parametrize("seal", [None, KEY], ids=["open", "sealed"])
async def test_every_image_has_a_record_with_its_status(tmp_path: Path, seal: Any) -> None:
    """Every name of an image comes out with its status, from a readable run and from a sealed one."""
    await begun(tmp_path / "run", seal)
    with RunReader(tmp_path / "run", seal) as reader:
        records = list(reader.records())
    assert {record.path: record.status for record in records if record.path} == EXPECTED
    assert [record.status for record in records if record.path is None] == ["succeeded", "pending"]
    by_path = {record.path: record for record in records}
    entry = by_path["answered"].entry
    assert entry is not None
    assert entry.answer is not None
    assert (entry.answer.body, entry.billing) == (ANSWER.body, Billing.BILLED)
    assert str(decode_failure(by_path["gone"].failure)) == "no such file"


@pytest.mark.parametrize(
    ("seal", "given", "answered"),
    [(None, None, "succeeded"), (KEY, KEY, "succeeded"), (KEY, None, "pending")],
    ids=["open", "with the key", "without the key"],
)
async def test_the_counts_agree_with_the_records(tmp_path: Path, seal: Any, given: Any, answered: str) -> None:
    """The status counts what the records show; without a key, an item that only its answer could settle is pending."""
    await begun(tmp_path / "run", seal)
    with RunReader(tmp_path / "run", given) as reader:
        status = reader.status()
        ambiguous_names = list(reader.ambiguous_names())
    expected = [*EXPECTED.values(), "succeeded", "pending"]
    expected[7] = answered
    assert status.images == {word: expected.count(word) for word in dict.fromkeys(status.images)}
    assert status.total == len(expected)
    assert sum(status.items.values()) == 9
    assert (status.calls, status.billed, status.maybe_billed, status.in_flight) == (7, 4, 3, 0)
    assert (status.processes, status.store, status.services) == (0, "full", ("local",))
    assert status.sealed == (None if seal is None else "aes-256-gcm")
    assert ambiguous_names == ["ambiguous", "lost", "asked again"]


async def test_a_late_answer_counts_at_once(tmp_path: Path) -> None:
    """An ambiguous image that has its answer by now is shown as the answer has it."""
    async with SqliteLedger(tmp_path / "run") as ledger:
        claim = await sent(ledger, 1, "late")
        await ledger.maybe_billed(claim, "id-1")
        await ledger.settle(claim, Settlement(ItemEvent.MAYBE_BILLED, Billing.MAYBE_BILLED, 1.0, LOST, "id-1"))
        await ledger.answered(claim, "id-1", ANSWER)
        with RunReader(tmp_path / "run") as reader:
            assert [record.status for record in reader.records()] == ["succeeded"]
            assert (reader.status().images, list(reader.ambiguous_names())) == ({"succeeded": 1}, [])


async def test_many_images_come_out_page_by_page(tmp_path: Path) -> None:
    """No image is lost or doubled where a page ends; the records are those of one moment, while a batch adds more."""
    async with SqliteLedger(tmp_path / "run") as ledger:
        ledger.add_files([file(f"{number:03}") for number in range(150)], "receipt")
        with RunReader(tmp_path / "run") as reader:
            records = reader.records()
            first = next(records)
            ledger.add_files([file("late")], "receipt")
            paths = [first.path, *(record.path for record in records)]
            to_read = shown(reader.to_read("receipt"))
    assert [*paths, "late"] == to_read == [*(f"{number:03}" for number in range(150)), "late"]


async def test_a_sealed_run_shows_files_and_states_without_its_key(tmp_path: Path) -> None:
    """Without a key, a view still finds the files to read, the unchanged ones and the states of items."""
    await begun(tmp_path / "run", KEY)
    with RunReader(tmp_path / "run") as reader:
        assert shown(reader.to_read("receipt")) == ["unread"]
        assert shown(reader.to_read("id-card")) == []
        assert shown(reader.to_read("receipt", [Billing.NOT_BILLED])) == ["failed", "refused", "unread"]
        found_again = ["ambiguous", "lost", "asked again", "unread"]  # two of them were left by a dead process
        assert shown(reader.to_read("receipt", [Billing.MAYBE_BILLED])) == found_again
        recalled = reader.recall(file("read", STAMP), "receipt")
        assert recalled is not None
        assert (recalled.item, recalled.answer) == (item(1), None)
        assert reader.recall(file("read", FileStamp(1, 2, 3, 5)), "receipt") is None
        found = reader.find(item(3))
        assert found is not None
        assert found.state == "ambiguous"
        assert reader.find(item(100)) is None


async def test_reading_changes_nothing(tmp_path: Path) -> None:
    """However much is read, the ledger's bytes are what they were."""
    await begun(tmp_path / "run")
    before = (tmp_path / "run" / LEDGER).read_bytes()
    with RunReader(tmp_path / "run") as reader:
        reader.status()
        list(reader.records())
    assert (tmp_path / "run" / LEDGER).read_bytes() == before
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LEDGER]


async def test_records_of_a_sealed_run_need_its_key(tmp_path: Path) -> None:
    """Without a key, with another one, and with one that the run does not have, nothing is opened."""
    await begun(tmp_path / "sealed", KEY)
    await begun(tmp_path / "open")
    with RunReader(tmp_path / "sealed") as reader, pytest.raises(LedgerError, match=r"is sealed .*--key-file"):
        reader.records()
    with pytest.raises(LedgerError, match="not the one this run was begun with"):
        RunReader(tmp_path / "sealed", AESGCMSeal(b"x" * 32)).__enter__()
    with pytest.raises(LedgerError, match="begun without one"):
        RunReader(tmp_path / "open", KEY).__enter__()


def newer(path: Path) -> None:
    """Give a ledger the schema version of a newer package."""
    version(path, 99)


def older(path: Path) -> None:
    """Give a ledger the schema version of an older package."""
    version(path, 0)


def version(path: Path, number: int) -> None:
    """Set a ledger's version."""
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {number}")
    db.close()


def foreign(path: Path) -> None:
    """Turn a ledger into another program's database."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA application_id = 1")
    db.close()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (newer, "schema 99, .*; update it"),
        (older, "schema 0, .*; run the batch again"),
        (foreign, "another program"),
        (lambda path: path.write_bytes(b"no database" * 1000), "damaged"),
        (lambda path: path.write_bytes(b""), "ended as it began"),
        (lambda path: path.unlink(), "holds no ledger"),
    ],
    ids=["newer", "older", "foreign", "damaged", "empty", "missing"],
)
async def test_a_file_that_is_not_a_ledger_is_refused(tmp_path: Path, spoil: Callable[[Path], None], why: str) -> None:
    """A ledger that cannot be read is refused with the way out, and not touched."""
    await begun(tmp_path / "run")
    spoil(tmp_path / "run" / LEDGER)
    with pytest.raises(LedgerError, match=why):
        RunReader(tmp_path / "run").__enter__()
