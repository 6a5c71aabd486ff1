from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import FakeTransport, a_request, domain, success

from clova_ocr_async.batch import BatchDispatcher, Failure
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    Billing,
    ClovaOCRError,
    InvalidRequestError,
    LedgerError,
    MalformedResponseError,
)
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.overflow_file import OverflowFile
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.settlement import decode_failure, encode_failure
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement, SourceFile
from clova_ocr_async.ledger.storage import Purged
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from pathlib import Path

KEY = AESGCMSeal(b"k" * 32)
CANARY = b"canarySHOP"
ANSWER = HTTPResponse(200, success(a_request()).body.replace(b"id-1", b""))  # of whichever call
DAY = 86400.0


def item(number: int) -> Item:
    """Return one of many items."""
    return Item(bytes([number]) * 32, "receipt")


async def finished(folder: Path, *, seal: Any = None, now: float = 0.0, numbers: tuple[int, ...] = (1, 2, 3)) -> None:
    """Leave a run with a succeeded image, a refused one, and one whose answer could not be decoded."""
    endings = (
        Settlement(ItemEvent.SUCCEED, Billing.BILLED, 1.0),
        _failed(InvalidRequestError(400, "0011", "canarySHOP said"), Billing.NOT_BILLED),
        _failed(MalformedResponseError("canarySHOP"), Billing.BILLED),
    )
    async with SqliteLedger(folder, seal=seal, now=lambda: now) as ledger:
        for number, ending in zip(numbers, endings, strict=True):
            claim = (await ledger.admit(item(number), SourceFile(f"{number}".encode()))).claim
            assert claim is not None
            await ledger.sending(claim, "id")
            if ending.billing is Billing.BILLED:
                await ledger.answered(claim, "id", ANSWER)
            else:
                await ledger.refused(claim, "id", maybe_billed_before=False)
            await ledger.settle(claim, Settlement(ending.event, ending.billing, 1.0, ending.failure, "id"))


def _failed(error: ClovaOCRError, billing: Billing) -> Settlement:
    return Settlement(ItemEvent.FAIL, billing, 1.0, encode_failure(error))


def holds_canary(folder: Path) -> list[str]:
    """Return the files in which the canary is found."""
    return [path.name for path in folder.iterdir() if CANARY in path.read_bytes()]


def seal_of(seal: Any) -> Any:
    """Return a key's seal, or the one that does not encrypt."""
    from clova_ocr_async.ledger.seal import NoSeal  # noqa: PLC0415 - this helper's own

    return seal or NoSeal()


@pytest.mark.parametrize("seal", [None, KEY], ids=["open", "sealed"])
async def test_nothing_of_an_answer_is_left(tmp_path: Path, seal: Any) -> None:
    """No file of the run holds bytes of a purged answer; the state of each image stays, and the type of its error."""
    await finished(tmp_path / "run", seal=seal)
    assert bool(holds_canary(tmp_path / "run")) == (seal is None)
    assert purge(tmp_path / "run", seal_of(seal)) == Purged(answers=2, failures=2)
    assert holds_canary(tmp_path / "run") == []
    with RunReader(tmp_path / "run", seal_of(seal)) as reader:
        records = {record.path: record for record in reader.records()}
        status = reader.status()
    assert (status.calls, status.billed) == (2, 2)
    assert {path: record.status for path, record in records.items()} == {"1": "succeeded", "2": "failed", "3": "failed"}
    refused, unreadable = (
        decode_failure(record.entry.failure) for path, record in records.items() if path != "1" and record.entry
    )
    assert isinstance(refused, InvalidRequestError)
    assert (refused.code, refused.message) == ("0011", "its message was deleted by a purge")
    assert isinstance(unreadable, MalformedResponseError)


async def test_purging_again_finds_nothing(tmp_path: Path) -> None:
    """A second purge removes nothing more."""
    await finished(tmp_path / "run")
    purge(tmp_path / "run", seal_of(None))
    assert purge(tmp_path / "run", seal_of(None)) == Purged(0, 0)


async def test_what_is_younger_stays(tmp_path: Path) -> None:
    """With an age only older answers and messages are removed."""
    await finished(tmp_path / "run", now=0.0)
    await finished(tmp_path / "run", now=20 * DAY, numbers=(4, 5, 6))
    assert purge(tmp_path / "run", seal_of(None), 15 * DAY, now=lambda: 30 * DAY) == Purged(2, 2)
    with RunReader(tmp_path / "run") as reader:
        entries = [record.entry for record in reader.records()]
    assert [entry is not None and entry.answer is not None for entry in entries] == [
        False,
        False,
        False,
        True,
        False,
        True,
    ]


async def test_a_purged_image_is_never_paid_again(tmp_path: Path) -> None:
    """A purged image of a later batch is an AnswerNotKeptError, and nothing is sent."""
    picture = tmp_path / "a.png"
    picture.write_bytes(draw_sample("receipt").data)
    transport = FakeTransport()
    outcomes: list[Any] = []
    async with ClovaOCRClient(domain(), transport=transport) as client:
        for _ in range(2):
            async with BatchDispatcher(client, ledger=tmp_path / "run").dispatch([picture], Receipt) as batch:
                outcomes += [outcome async for outcome in batch]
            purge(tmp_path / "run", seal_of(None))
    assert len(transport.sent) == 1
    assert isinstance(outcomes[1], Failure)
    assert isinstance(outcomes[1].error, AnswerNotKeptError)


async def test_nothing_is_purged_under_a_batch_at_work(tmp_path: Path) -> None:
    """A purge is refused while a process has the run open, and everything stays."""
    await finished(tmp_path / "run")
    async with SqliteLedger(tmp_path / "run"):
        with pytest.raises(LedgerError, match="1 process is at work"):
            purge(tmp_path / "run", seal_of(None))
    assert holds_canary(tmp_path / "run")


async def test_answers_of_the_dead_beside_the_ledger_are_purged_as_well(tmp_path: Path) -> None:
    """Answers in the overflow file of a dead process are replayed, counted and removed."""
    await finished(tmp_path / "run")
    db = sqlite3.connect(tmp_path / "run" / "ledger.sqlite3")
    with db:
        db.execute("UPDATE item SET state = 'sent', owner = 77, request_id = 'late' WHERE id = 1")
        db.execute("INSERT INTO owner VALUES (77, '', 1, '', 0)")
    db.close()
    overflow_file = OverflowFile(tmp_path / "run" / "answers-77.spill", 65536)
    overflow_file.append(AnswerRecord(1, "late", 200, None, ANSWER.body, 0.0))
    overflow_file.close()
    assert purge(tmp_path / "run", seal_of(None)) == Purged(3, 2)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["ledger.sqlite3"]
    with RunReader(tmp_path / "run") as reader:
        assert next(reader.records()).status == "succeeded"


async def test_answers_that_a_stopped_process_keeps_are_told(tmp_path: Path) -> None:
    """If an overflow file cannot be deleted, each purge raises an error that names it."""
    await finished(tmp_path / "run")
    overflow_file = OverflowFile(tmp_path / "run" / "answers-77.spill", 65536)
    overflow_file.append(AnswerRecord(1, "late", 200, None, ANSWER.body, 0.0))
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"answers-77\.spill still holds"):
            purge(tmp_path / "run", seal_of(None))
    overflow_file.close()
    purge(tmp_path / "run", seal_of(None))
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["ledger.sqlite3"]


async def test_an_answer_that_came_late_is_counted_before_it_is_removed(tmp_path: Path) -> None:
    """An ambiguous image that was answered later succeeds, and stays so without its answer."""
    async with SqliteLedger(tmp_path / "run") as ledger:
        claim = (await ledger.admit(item(1), SourceFile(b"1"))).claim
        assert claim is not None
        await ledger.sending(claim, "id")
        await ledger.maybe_billed(claim, "id")
        await ledger.settle(claim, Settlement(ItemEvent.MAYBE_BILLED, Billing.MAYBE_BILLED, 1.0, b"", "id"))
        await ledger.answered(claim, "id", ANSWER)
    assert purge(tmp_path / "run", seal_of(None)) == Purged(1, 0)
    with RunReader(tmp_path / "run") as reader:
        assert next(reader.records()).status == "succeeded"


async def test_a_reader_keeps_the_log_from_being_emptied(tmp_path: Path) -> None:
    """If another process still reads purged answers, the purge raises an error."""
    await finished(tmp_path / "run")
    reading = sqlite3.connect(tmp_path / "run" / "ledger.sqlite3")
    reading.execute("BEGIN")
    reading.execute("SELECT * FROM item").fetchone()
    with pytest.raises(LedgerError, match=r"another process reads this run|keeps the ledger locked"):
        purge(tmp_path / "run", seal_of(None), patience=0.0)
    reading.close()
    assert purge(tmp_path / "run", seal_of(None)) == Purged(0, 0)
    assert holds_canary(tmp_path / "run") == []


async def test_another_key_purges_nothing(tmp_path: Path) -> None:
    """The key must be the run's, since errors are encrypted with it."""
    await finished(tmp_path / "run", seal=KEY)
    with pytest.raises(LedgerError, match="not the one this run was begun with"):
        purge(tmp_path / "run", AESGCMSeal(b"x" * 32))


def test_a_folder_without_a_run_is_left_alone(tmp_path: Path) -> None:
    """A purge creates no run where there is none."""
    with pytest.raises(LedgerError, match="is not there"):
        purge(tmp_path / "run", seal_of(None))
    assert list(tmp_path.iterdir()) == []
