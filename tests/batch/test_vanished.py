from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import FakeTime, FakeTransport, domain
from support.files import aged
from support.ledgers import calls, opened

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.batch.ledgered import is_gone
from clova_ocr_async.batch.sources.folders import entries_in
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing, ImageError
from clova_ocr_async.ledger.settlement import GONE, decode_failure
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.results.records import record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NEW = b"\xff\xd8\xff\xe0 new \xff\xd9"
OLD = b"\xff\xd8\xff\xe0 old \xff\xd9"
CUT_OFF = b"\xff\xd8\xff\xe0 cut"


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """A folder with one picture that was written just now, so that a change might not show in its times."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "new.jpg").write_bytes(NEW)
    return inbox


async def batch(run: Path, found: Iterable[Any], transport: FakeTransport) -> list[Any]:
    """Run a batch of listed files to its end."""
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
    async with opened(run) as ledger:
        images = WorkList(ledger, "receipt", found, sleep=lambda _: asyncio.sleep(0.001))
        async with BatchDispatcher(client, ledger=ledger).dispatch(images, Receipt) as outcomes:
            return [outcome async for outcome in outcomes]


def emptied(inbox: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files of a folder, each gone by the time it is read."""
    entries = list(entries_in(inbox))
    for entry in entries:
        entry.stat()  # as the listing finds it
        Path(entry.path).unlink()
        yield entry


def statuses(run: Path) -> tuple[dict[str, int], int]:
    """Return how many images of a run there are by status, and how many of them have vanished."""
    with RunReader(run) as reader:
        status = reader.status()
    return status.images, status.vanished


async def test_a_picture_that_was_read_stays_read_when_its_file_goes(run: Path, inbox: Path) -> None:
    """A file that is moved away before it is read again keeps its answer, is counted once, and costs nothing."""
    transport = FakeTransport()
    await batch(run, entries_in(inbox), transport)
    [outcome] = await batch(run, emptied(inbox), transport)
    assert isinstance(outcome, Success)
    assert not outcome.billed
    assert statuses(run) == ({"succeeded": 1}, 0)
    assert (len(transport.sent), calls(run)) == (1, 1)
    with RunReader(run) as reader:
        [record] = [record_of(record) for record in reader.records()]
    assert (record["status"], record["source"]) == ("succeeded", str(inbox / "new.jpg"))


async def test_a_picture_that_was_read_is_not_listed_again_when_it_is_gone(run: Path, inbox: Path) -> None:
    """A path whose file is gone is not listed again if it was read."""
    path = inbox / "new.jpg"
    await batch(run, [str(path)], FakeTransport())
    path.unlink()
    assert await batch(run, [str(path)], FakeTransport()) == []
    assert statuses(run) == ({"succeeded": 1}, 0)


async def test_a_file_that_vanishes_unread_is_skipped_once(run: Path, inbox: Path) -> None:
    """A file that vanishes before it was read is one skipped image, with that reason, and does not stay pending."""
    [outcome] = await batch(run, emptied(inbox), FakeTransport())
    assert isinstance(outcome, Failure)
    assert await batch(run, entries_in(inbox), FakeTransport()) == []
    assert statuses(run) == ({"skipped": 1}, 1)
    with RunReader(run) as reader:
        [record] = [record_of(record) for record in reader.records()]
        assert reader.pending() == 0
    assert (record["status"], record["error"]["message"]) == ("skipped", "the file is no longer there")


async def test_a_missing_file_fails_each_time_it_is_given(run: Path, inbox: Path) -> None:
    """A file that was never read is tried whenever a command names it, and read once it exists."""
    path = inbox / "late.jpg"
    for _ in range(2):
        [outcome] = await batch(run, [str(path)], FakeTransport())
        assert isinstance(outcome, Failure)
        assert "No such file" in str(outcome.error)
    path.write_bytes(OLD)
    [outcome] = await batch(run, [str(path)], FakeTransport())
    assert isinstance(outcome, Success)
    assert statuses(run) == ({"succeeded": 1}, 0)


async def test_a_picture_to_be_tried_again_whose_file_is_gone_is_skipped(run: Path, inbox: Path) -> None:
    """An image that is queued to be sent again and whose file has gone is skipped, and counted once."""
    await batch(run, entries_in(inbox), FakeTransport())
    db = sqlite3.connect(run / LEDGER)
    with db:
        db.execute("UPDATE item SET state = 'failed', billing = 0, answer = NULL")
    db.close()
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.NOT_BILLED, "receipt") == 1
    (inbox / "new.jpg").unlink()
    [outcome] = await batch(run, [], FakeTransport())
    assert isinstance(outcome.error, ImageError)
    assert statuses(run) == ({"skipped": 1}, 1)
    with RunReader(run) as reader:
        [record] = [record_of(record) for record in reader.records()]
    assert record["error"]["message"] == "the file is no longer there"


async def test_without_a_listing_a_picture_that_was_read_stays_read(run: Path, inbox: Path) -> None:
    """Paths from anywhere are answered from the run although their files have been moved away."""
    transport = FakeTransport()
    found: list[Any] = []
    for _ in range(2):
        client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
        async with BatchDispatcher(client, ledger=run).dispatch([inbox / "new.jpg"], Receipt) as outcomes:
            found += [outcome async for outcome in outcomes]
        (inbox / "new.jpg").unlink(missing_ok=True)
    assert [(type(outcome), outcome.billed) for outcome in found] == [(Success, True), (Success, False)]
    assert len(transport.sent) == 1


async def test_a_file_that_cannot_be_read_any_more_is_not_what_it_was(run: Path, inbox: Path) -> None:
    """A file that was replaced by a folder has changed, and its earlier answer is not replayed."""
    await batch(run, entries_in(inbox), FakeTransport())
    (inbox / "new.jpg").unlink()
    (inbox / "new.jpg").mkdir()
    [outcome] = await batch(run, [str(inbox / "new.jpg")], FakeTransport())
    assert isinstance(outcome, Failure)
    assert "a folder" in str(outcome.error)


def test_gone_is_what_no_path_leads_to(tmp_path: Path) -> None:
    """A file is gone if its path, or the target of its link, does not exist."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    there = [tmp_path / "file", str(tmp_path), "a\0b", "\ud800"]
    gone = [tmp_path / "none", tmp_path / "file" / "below", str(tmp_path / "link")]
    assert [is_gone(path) for path in (*there, *gone)] == [False] * 4 + [True] * 3
    assert str(decode_failure(GONE)) == "the file is no longer there"


async def replaced(run: Path, inbox: Path, *pictures: bytes, transport: FakeTransport | None = None) -> list[Any]:
    """Run a batch after each of some pictures was put in the same place; return the records of the run."""
    transport = transport or FakeTransport()
    for age, picture in enumerate(pictures):
        (inbox / "new.jpg").write_bytes(picture)
        os.utime(inbox / "new.jpg", (age, age))  # old enough to be told from a change
        await batch(run, entries_in(inbox), transport)
    with RunReader(run) as reader:
        return [record_of(record) for record in reader.records()]


async def test_a_repaired_picture_leaves_nothing_of_the_broken_one(run: Path, inbox: Path) -> None:
    """A picture that was cut off and is whole now is one image, read, with one line, however often it is tried."""
    [record] = await replaced(run, inbox, CUT_OFF, OLD)
    assert (record["status"], record["source"]) == ("succeeded", str(inbox / "new.jpg"))
    assert statuses(run) == ({"succeeded": 1}, 0)
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.NOT_BILLED, "receipt") == 0
    assert statuses(run) == ({"succeeded": 1}, 0)


@pytest.mark.parametrize(("then", "status"), [(OLD, "succeeded"), (CUT_OFF, "skipped"), (b"", "skipped")])
async def test_a_picture_that_was_replaced_after_it_was_paid_keeps_its_line(
    run: Path, inbox: Path, then: bytes, status: str
) -> None:
    """A paid answer keeps its line under the name it had, marked as replaced; counted is the file that is there."""
    now, before = await replaced(run, inbox, NEW, then)
    assert statuses(run) == ({status: 1}, 0)
    assert (now["status"], now["source"], "replaced" in now) == (status, str(inbox / "new.jpg"), False)
    assert (before["status"], before["source"], before["replaced"]) == ("succeeded", str(inbox / "new.jpg"), True)
    assert (before["billed"], before["sha256"]) == (True, hashlib.sha256(NEW).hexdigest())


async def test_a_picture_that_comes_back_is_an_image_of_the_folder_again(run: Path, inbox: Path) -> None:
    """A picture that was replaced and then restored is answered from the run, and counted like any other."""
    transport = FakeTransport()
    now, before = await replaced(run, inbox, NEW, OLD, NEW, transport=transport)
    assert now["sha256"] == hashlib.sha256(NEW).hexdigest()
    assert before["sha256"] == hashlib.sha256(OLD).hexdigest()
    assert statuses(run) == ({"succeeded": 1}, 0)
    assert len(transport.sent) == 2


async def test_pictures_that_change_places_are_both_there(run: Path, inbox: Path) -> None:
    """Two files that swap their names are two images, and neither is marked as replaced."""
    (inbox / "new.jpg").write_bytes(NEW)
    aged(inbox / "old.jpg", CUT_OFF)
    await batch(run, entries_in(inbox), FakeTransport())
    (inbox / "new.jpg").rename(inbox / "third")
    (inbox / "old.jpg").rename(inbox / "new.jpg")
    (inbox / "third").rename(inbox / "old.jpg")
    await batch(run, entries_in(inbox), FakeTransport())
    assert statuses(run) == ({"succeeded": 1, "skipped": 1}, 0)
    with RunReader(run) as reader:
        records = {record.path: record.status for record in reader.records()}
    assert records == {str(inbox / "new.jpg"): "skipped", str(inbox / "old.jpg"): "succeeded"}


async def test_a_replaced_ambiguous_picture_is_named_and_not_counted(run: Path, inbox: Path) -> None:
    """An ambiguous call is named by the path that its picture had, though the folder holds another picture now."""
    await replaced(run, inbox, NEW)
    db = sqlite3.connect(run / LEDGER)
    with db:
        db.execute("UPDATE item SET state = 'ambiguous', billing = 1, answer = NULL")
    db.close()
    now, before = await replaced(run, inbox, OLD)
    assert (now["status"], before["status"], before["replaced"]) == ("succeeded", "ambiguous", True)
    assert statuses(run) == ({"succeeded": 1}, 0)
    with RunReader(run) as reader:
        assert list(reader.ambiguous_names()) == [str(inbox / "new.jpg")]
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.MAYBE_BILLED, "receipt") == 0
    db = sqlite3.connect(run / LEDGER)
    with db:  # its answer has come after all, and is not marked yet
        db.execute("UPDATE item SET answer = (SELECT id FROM answer WHERE item = item.id) WHERE state = 'ambiguous'")
    db.close()
    assert statuses(run) == ({"succeeded": 1}, 0)
