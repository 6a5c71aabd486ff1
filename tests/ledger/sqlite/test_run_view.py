from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import a_request, success

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
ANSWER = HTTPResponse(200, success(a_request()).body.replace(b"id-1", b""))  # of whichever call
CHANGED = FileStamp(9, 9, 9, 9)
LOST = encode_failure(ConnectionLostError("gone"))
IDENTITY = FileStamp(1, 2, 3, 4)


def item(number: int) -> Item:
    """Return one of many items."""
    return Item(bytes([number]) * 32, "receipt")


def file(name: str, identity: FileStamp | None = None) -> SourceFile:
    """Return a file."""
    return SourceFile(name.encode(), identity)


async def sent(ledger: SqliteLedger, number: int, name: str | None, answer: HTTPResponse | None = None) -> Claim:
    """Have an item sent, and answered if there is an answer."""
    admission = await ledger.admit(item(number), None if name is None else file(name, IDENTITY))
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


async def doubted(ledger: SqliteLedger, number: int, name: str | None) -> None:
    """Have an item end in doubt."""
    claim = await sent(ledger, number, name)
    await ledger.maybe_billed(claim, f"id-{number}")
    await ledger.settle(claim, Settlement(ItemEvent.DOUBT, Billing.MAYBE_BILLED, 1.0, LOST, f"id-{number}"))


async def begun(folder: Path, seal: Any = None) -> None:
    """Leave a run in which everything has happened, and some of it to processes that are dead."""
    async with SqliteLedger(folder, seal=seal) as ledger:
        await ledger.open_for(["local"])
        await succeeded(ledger, 1, "read")
        await ledger.admit(item(1), file("read again"))
        await failed(ledger, 2, "failed")
        await doubted(ledger, 3, "doubted")
        refused = (await ledger.admit(item(4), file("refused"))).claim
        assert refused is not None
        await ledger.settle(refused, Settlement(ItemEvent.SKIP, failure=encode_failure(ImageError("it is a poem"))))
        await ledger.reject(file("gone"), "receipt", encode_failure(ImageError("no such file")))
        await succeeded(ledger, 5, None)
        for number, name in ((6, "lost"), (7, "answered"), (8, "asked again"), (9, None)):
            await succeeded(ledger, number, name)
        ledger.add_files([file("unread")], "receipt")
    query(folder, "UPDATE item SET state = 'sent', owner = 999, sent_at = 1, answer = NULL WHERE sha256 = ?", 6)
    query(folder, "UPDATE item SET state = 'sent', owner = 999, failure = NULL WHERE sha256 = ?", 7)
    query(folder, "UPDATE item SET state = 'sent', owner = 999, maybe_billed = 1, answer = NULL WHERE sha256 = ?", 8)
    query(folder, "UPDATE item SET state = 'queued', answer = NULL WHERE sha256 = ?", 9)


def query(folder: Path, statement: str, number: int) -> None:
    """Do to a ledger what a dead process left."""
    db = sqlite3.connect(folder / LEDGER)
    with db:
        db.execute(statement, (item(number).sha256,))
    db.close()


EXPECTED = {
    "read": "succeeded",
    "read again": "succeeded",
    "failed": "failed",
    "doubted": "ambiguous",
    "refused": "skipped",
    "gone": "skipped",
    "lost": "ambiguous",
    "answered": "succeeded",
    "asked again": "ambiguous",
    "unread": "pending",
}


@pytest.mark.parametrize("seal", [None, KEY], ids=["open", "sealed"])
async def test_every_image_has_a_record_with_its_status(tmp_path: Path, seal: Any) -> None:
    """Every name an image goes by comes out with what became of it, then the images that came without a name."""
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


async def test_what_a_dead_process_left_is_in_doubt(tmp_path: Path) -> None:
    """A request of a dead process counts as perhaps paid, once, and its error says why."""
    await begun(tmp_path / "run")
    with RunReader(tmp_path / "run") as reader:
        entries = {record.path: record.entry for record in reader.records()}
    lost, asked_again = entries["lost"], entries["asked again"]
    assert lost is not None
    assert asked_again is not None
    assert (lost.maybe_billed, asked_again.maybe_billed) == (1, 1)
    assert "the process that sent it ended before the answer came" in str(decode_failure(lost.failure))


@pytest.mark.parametrize(
    ("seal", "given", "answered"),
    [(None, None, "succeeded"), (KEY, KEY, "succeeded"), (KEY, None, "pending")],
    ids=["open", "with the key", "without the key"],
)
async def test_the_counts_agree_with_the_records(tmp_path: Path, seal: Any, given: Any, answered: str) -> None:
    """The status counts what the records say; without a key, what only its answer could tell is pending."""
    await begun(tmp_path / "run", seal)
    with RunReader(tmp_path / "run", given) as reader:
        status = reader.status()
        doubtful = list(reader.ambiguous_names())
    expected = [*EXPECTED.values(), "succeeded", "pending"]
    expected[7] = answered
    assert status.images == {word: expected.count(word) for word in dict.fromkeys(status.images)}
    assert status.total == len(expected)
    assert sum(status.items.values()) == 9
    assert (status.calls, status.billed, status.maybe_billed, status.in_flight) == (7, 4, 3, 0)
    assert (status.processes, status.store, status.services) == (0, "full", ("local",))
    assert status.sealed == (None if seal is None else "aes-256-gcm")
    assert doubtful == ["doubted", "lost", "asked again"]


async def test_what_is_left_unread_comes_out_alone(tmp_path: Path) -> None:
    """Asked for what was not read, only failed, doubtful and skipped images with a name come out."""
    await begun(tmp_path / "run")
    with RunReader(tmp_path / "run") as reader:
        unread = {record.path: record.status for record in reader.records(unread=True)}
    assert unread == {name: status for name, status in EXPECTED.items() if status not in {"succeeded", "pending"}}


async def test_a_call_under_way_is_pending_and_no_doubt(tmp_path: Path) -> None:
    """While its process lives a request is awaited; an image without a name that is in doubt is told by its hash."""
    async with SqliteLedger(tmp_path / "run") as ledger:
        await sent(ledger, 1, "under way")
        await doubted(ledger, 2, None)
        with RunReader(tmp_path / "run") as reader:
            status = reader.status()
            record, _ = reader.records()
            doubtful = list(reader.ambiguous_names())
            pending = reader.pending()
    assert (status.in_flight, status.maybe_billed, status.billed, status.processes) == (1, 1, 0, 1)
    assert (record.status, status.images) == ("pending", {"ambiguous": 1, "pending": 1})
    assert doubtful == [f"an image without a name, sha256 {item(2).sha256.hex()}"]
    assert pending == 1


async def test_an_answer_that_came_after_its_process_was_given_up_counts(tmp_path: Path) -> None:
    """An image that was in doubt and has its answer now is told as what the answer says."""
    async with SqliteLedger(tmp_path / "run") as ledger:
        claim = await sent(ledger, 1, "late")
        await ledger.maybe_billed(claim, "id-1")
        await ledger.settle(claim, Settlement(ItemEvent.DOUBT, Billing.MAYBE_BILLED, 1.0, LOST, "id-1"))
        await ledger.answered(claim, "id-1", ANSWER)
        with RunReader(tmp_path / "run") as reader:
            assert [record.status for record in reader.records()] == ["succeeded"]
            assert (reader.status().images, list(reader.ambiguous_names())) == ({"succeeded": 1}, [])


async def test_a_file_that_changed_is_pending_unless_it_is_in_doubt(tmp_path: Path) -> None:
    """What is to be read again is pending whatever it was; doubt stays doubt."""
    async with SqliteLedger(tmp_path / "run") as ledger:
        await succeeded(ledger, 1, "read")
        await doubted(ledger, 2, "doubted")
        ledger.add_files([file("read", CHANGED), file("doubted", CHANGED)], "receipt")
    with RunReader(tmp_path / "run") as reader:
        assert [record.status for record in reader.records()] == ["pending", "ambiguous"]
        assert reader.pending() == 2


async def test_a_file_that_is_only_looked_at_again_is_what_it_was(tmp_path: Path) -> None:
    """Where nothing says that a file has changed, what is known of it stands until it is read again."""
    async with SqliteLedger(tmp_path / "run") as ledger:
        await succeeded(ledger, 1, "read")
        await ledger.admit(item(1), file("young"))
        ledger.add_files([file("young", CHANGED)], "receipt")
    with RunReader(tmp_path / "run") as reader:
        assert [record.status for record in reader.records()] == ["succeeded", "succeeded"]
        assert list(reader.to_read("receipt")) == ["young"]


async def test_many_images_come_out_page_by_page(tmp_path: Path) -> None:
    """Nothing is lost or doubled where a page ends; records are those of one moment, while a batch adds more."""
    async with SqliteLedger(tmp_path / "run") as ledger:
        ledger.add_files([file(f"{number:03}") for number in range(150)], "receipt")
        with RunReader(tmp_path / "run") as reader:
            records = reader.records()
            first = next(records)
            ledger.add_files([file("late")], "receipt")
            paths = [first.path, *(record.path for record in records)]
            to_read = list(reader.to_read("receipt"))
    assert [*paths, "late"] == to_read == [*(f"{number:03}" for number in range(150)), "late"]


async def test_what_a_batch_would_read_and_what_it_knows(tmp_path: Path) -> None:
    """Open files are to be read, and with their billing asked for those that were not; unchanged files are known."""
    await begun(tmp_path / "run", KEY)
    with RunReader(tmp_path / "run") as reader:
        assert list(reader.to_read("receipt")) == ["unread"]
        assert list(reader.to_read("id-card")) == []
        assert list(reader.to_read("receipt", [Billing.NOT_BILLED])) == ["failed", "refused", "unread"]
        assert list(reader.to_read("receipt", [Billing.MAYBE_BILLED])) == ["doubted", "unread"]
        assert reader.is_to_read("unread", "receipt")
        assert not reader.is_to_read("failed", "receipt")
        assert reader.is_to_read("failed", "receipt", [Billing.NOT_BILLED])
        recalled = reader.recall(file("read", IDENTITY), "receipt")
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
    """Make a ledger one of a newer version."""
    version(path, 99)


def older(path: Path) -> None:
    """Make a ledger one of an older version."""
    version(path, 0)


def version(path: Path, number: int) -> None:
    """Set a ledger's version."""
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {number}")
    db.close()


def foreign(path: Path) -> None:
    """Make a ledger another program's database."""
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
async def test_what_is_no_ledger_of_ours_is_refused(tmp_path: Path, spoil: Callable[[Path], None], why: str) -> None:
    """A ledger that cannot be read is told with the way out, and not touched."""
    await begun(tmp_path / "run")
    spoil(tmp_path / "run" / LEDGER)
    with pytest.raises(LedgerError, match=why):
        RunReader(tmp_path / "run").__enter__()


async def test_a_new_run_is_empty(tmp_path: Path) -> None:
    """A run in which nothing has happened counts nothing, and its pages end at once."""
    async with SqliteLedger(tmp_path / "run"):
        pass
    with RunReader(tmp_path / "run") as reader:
        assert (reader.status().total, reader.status().calls, list(reader.records())) == (0, 0, [])
