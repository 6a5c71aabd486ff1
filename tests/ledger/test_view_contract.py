from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import ANSWER, Clock, claimed, dead_process, item, remote_process, shown, source

from clova_ocr_async.errors import Billing, ConnectionLostError, ImageError, InvalidRequestError, LedgerError
from clova_ocr_async.ledger.settlement import GONE, decode_failure, encode_failure
from clova_ocr_async.ledger.sqlite.owners import LEASE
from clova_ocr_async.ledger.states import FileStamp, ItemEvent, Settlement, SourceFile, State
from clova_ocr_async.ledger.storage import Purged

if TYPE_CHECKING:
    from support.stores import Store

    from clova_ocr_async.ledger import RunLedger, RunView
    from clova_ocr_async.protocol.response import HTTPResponse

STAMP = FileStamp(1, 2, 3, 4)
CHANGED = FileStamp(9, 9, 9, 9)
REFUSED = encode_failure(InvalidRequestError(400, "0011", "canaryWORDS"))
LOST = encode_failure(ConnectionLostError("canaryWORDS"))
DAY = 86400.0


def file(name: str, stamp: FileStamp | None = STAMP) -> SourceFile:
    """Return a file."""
    return SourceFile(name.encode(), stamp)


async def sent(ledger: RunLedger, name: str, answer: HTTPResponse | None = None, *, path: str | None = "") -> Any:
    """Have an item sent under a requestId that is its name, and answered if there is an answer."""
    claim = claimed(await ledger.admit(item(name), None if path is None else file(path or name)))
    await ledger.sending(claim, name)
    if answer is not None:
        await ledger.answered(claim, name, answer)
    return claim


async def succeeded(ledger: RunLedger, name: str, **settings: Any) -> None:
    """Have an item read."""
    claim = await sent(ledger, name, ANSWER, **settings)
    await ledger.settle(claim, Settlement(ItemEvent.SUCCEED, Billing.BILLED, 1.0, b"", name))


async def failed(ledger: RunLedger, name: str) -> None:
    """Have an item refused by the service."""
    claim = await sent(ledger, name)
    await ledger.refused(claim, name, maybe_billed_before=False)
    await ledger.settle(claim, Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, REFUSED, name))


async def ambiguous(ledger: RunLedger, name: str, **settings: Any) -> None:
    """Have an item end without an answer."""
    claim = await sent(ledger, name, **settings)
    await ledger.settle(claim, Settlement(ItemEvent.MAYBE_BILLED, Billing.MAYBE_BILLED, 1.0, LOST, name))


async def begun(store: Store) -> None:
    """Leave a run with an image of each kind, some of them left by a dead process."""
    async with store.open() as ledger:
        await ledger.open_for(["local"])
        await succeeded(ledger, "read")
        await ledger.admit(item("read"), file("copy"))
        await failed(ledger, "failed")
        await ambiguous(ledger, "ambiguous")
        refused = claimed(await ledger.admit(item("refused"), file("refused")))
        await ledger.settle(refused, Settlement(ItemEvent.SKIP, failure=encode_failure(ImageError("it is a poem"))))
        await ledger.reject(file("unreadable"), "receipt", encode_failure(ImageError("no access")))
        await ledger.reject(file("vanished"), "receipt", GONE)
        await succeeded(ledger, "nameless", path=None)
    dead = store.open(process=dead_process())
    await dead.__aenter__()
    await sent(dead, "lost")
    await sent(dead, "answered", ANSWER)
    await dead.admit(item("claimed"), file("claimed"))
    dead.add_files([file("unread")], "receipt")
    await store.crash(dead)


EXPECTED = {
    "read": "succeeded",
    "copy": "succeeded",
    "failed": "failed",
    "ambiguous": "ambiguous",
    "refused": "skipped",
    "unreadable": "skipped",
    "vanished": "skipped",
    "lost": "ambiguous",
    "answered": "succeeded",
    "claimed": "pending",
    "unread": "pending",
    None: "succeeded",
}


async def test_a_snapshot_is_of_one_moment(store: Store) -> None:
    """While a snapshot is open, all methods see the run as it was; afterwards they see it as it is."""
    await begun(store)
    columns = SourceFile(b"later", columns=b'{"id": 1}')
    async with store.open() as ledger:
        with store.view() as view:
            with view.snapshot():
                before = view.documents(), view.own_columns("id-card"), len(list(view.records()))
                ledger.add_files([columns], "id-card")
                assert (view.documents(), view.own_columns("id-card"), len(list(view.records()))) == before
            assert before == (["receipt"], [], len(EXPECTED))
            assert view.documents() == ["id-card", "receipt"]
            assert view.own_columns("id-card") == ["id"]


def all_of(view: RunView) -> tuple[object, ...]:
    """Return all that a view shows, with ``to_read`` over more than one of its blocks."""
    entries = [view.find(item("late")), view.recall(file("late"), "receipt"), view.find(item("failed"))]
    return (
        view.status(),
        view.answers(),
        view.pending(),
        list(view.ambiguous_names()),
        [record.status for record in view.records()],
        [record.path for record in view.records(unread=True)],
        [one.path for one in view.to_read("receipt", [Billing.MAYBE_BILLED])],
        [None if entry is None else (entry.state, entry.billing) for entry in entries],
    )


async def test_a_snapshot_outlasts_a_process_that_writes_and_ends(store: Store) -> None:
    """A snapshot keeps no writer waiting, and stays as it was after the last one has closed the run.

    A snapshot within another is part of it. Afterwards the view shows the run as it is.
    """
    await begun(store)
    ledger = store.open()
    await ledger.__aenter__()
    with store.view() as view:
        with view.snapshot():
            before = all_of(view)
            ledger.add_files([file(f"new {number}") for number in range(70)], "receipt")
            await succeeded(ledger, "late")
            await ledger.requeue(Billing.NOT_BILLED)
            await ambiguous(ledger, "late and ambiguous")
            assert all_of(view) == before
            await ledger.__aexit__(None, None, None)
            with view.snapshot():
                assert all_of(view) == before
            assert all_of(view) == before
        after = all_of(view)
    assert all(was != now for was, now in zip(before, after, strict=True))


async def test_a_snapshot_that_ends_in_an_error_is_over(store: Store) -> None:
    """After an exception within a snapshot, in which not all records were read, a view shows the run as it is."""

    def fail(view: RunView) -> None:
        with view.snapshot():
            next(iter(view.records()))
            raise ZeroDivisionError

    await begun(store)
    async with store.open() as ledger:
        with store.view() as view:
            with pytest.raises(ZeroDivisionError):
                fail(view)
            await succeeded(ledger, "late")
            assert view.find(item("late")) is not None


async def test_every_image_has_a_record(store: Store) -> None:
    """Each name comes out with its status, in the order they were found; images without a name come last."""
    await begun(store)
    with store.view() as view:
        records = {record.path: record for record in view.records()}
    assert {path: record.status for path, record in records.items()} == EXPECTED
    assert list(records) == list(EXPECTED)
    assert [path for path, record in records.items() if record.copy_of is not None] == ["copy"]
    assert records["copy"].copy_of == "read"
    answered, lost = records["answered"].entry, records["lost"].entry
    assert answered is not None
    assert lost is not None
    assert (answered.answer, answered.billing) == (ANSWER, Billing.BILLED)
    assert (lost.billing, lost.maybe_billed) == (Billing.MAYBE_BILLED, 1)
    assert "the process that sent it ended before the answer came" in str(decode_failure(lost.failure))
    assert str(decode_failure(records["unreadable"].failure)) == "no access"


async def test_the_counts_agree_with_the_records(store: Store) -> None:
    """The status counts what the records show, and every call is billed, maybe billed or in flight."""
    await begun(store)
    with store.view() as view:
        status = view.status()
        assert list(view.ambiguous_names()) == ["ambiguous", "lost"]
        assert view.answers() == status.answers == 3
    words = list(EXPECTED.values())
    assert status.images == {word: words.count(word) for word in dict.fromkeys(status.images)}
    assert (status.total, sum(status.items.values())) == (len(words), 8)
    assert (status.calls, status.billed, status.maybe_billed, status.in_flight) == (5, 3, 2, 0)
    assert (status.processes, status.store, status.services, status.vanished) == (0, "full", ("local",), 1)
    assert (status.sealed, status.max_calls, status.removed) == (None, None, 0)
    assert status.to_dict()["perhaps"] == 2


async def test_unread_images_come_out_alone(store: Store) -> None:
    """Asked for unread images, only failed, ambiguous and skipped ones with a name come out."""
    await begun(store)
    with store.view() as view:
        unread = {record.path: record.status for record in view.records(unread=True)}
    assert unread == {path: word for path, word in EXPECTED.items() if word in {"failed", "ambiguous", "skipped"}}


async def test_a_call_in_flight_is_pending(store: Store) -> None:
    """While its process lives a request is awaited; an ambiguous image without a name is listed by its hash."""
    clock = Clock()
    async with store.open(process=remote_process(), clock=clock) as ledger:
        await sent(ledger, "in flight")
        await ambiguous(ledger, "nameless", path=None)
        with store.view(clock=clock) as view:
            status = view.status()
            record, _ = view.records()
            names = list(view.ambiguous_names())
            assert view.pending() == 1
    assert (status.in_flight, status.maybe_billed, status.billed, status.processes) == (1, 1, 0, 1)
    assert (record.status, status.images) == ("pending", {"ambiguous": 1, "pending": 1})
    assert names == [f"an image without a name, sha256 {item('nameless').sha256.hex()}"]


async def test_a_changed_file_is_pending_unless_it_is_ambiguous(store: Store) -> None:
    """A file that is to be read again is pending; an ambiguous item stays ambiguous, and a young file what it was."""
    async with store.open() as ledger:
        await succeeded(ledger, "read")
        await ambiguous(ledger, "ambiguous")
        await ledger.admit(item("read"), file("young", None))
        ledger.add_files([file(name, CHANGED) for name in ("read", "ambiguous", "young")], "receipt")
    with store.view() as view:
        assert [record.status for record in view.records()] == ["pending", "ambiguous", "succeeded"]
        assert shown(view.to_read("receipt")) == ["read", "ambiguous", "young"]
        assert view.pending() == 3


async def test_the_files_of_a_dead_process_are_to_be_read(store: Store) -> None:
    """An image that a killed process had claimed is to be read, and a sent one if ambiguous items are asked for."""
    clock = Clock()
    dead = store.open(process=remote_process(), clock=Clock())
    await dead.__aenter__()
    await sent(dead, "sent")
    await dead.admit(item("claimed"), file("claimed"))
    with store.view(clock=clock) as view:  # alive as yet
        assert shown(view.to_read("receipt", [Billing.MAYBE_BILLED])) == []
    await store.crash(dead)
    clock.now += LEASE + 1
    with store.view(clock=clock) as view:
        assert shown(view.to_read("receipt")) == ["claimed"]
        assert shown(view.to_read("receipt", [Billing.MAYBE_BILLED])) == ["sent", "claimed"]


async def test_the_files_that_a_batch_would_read(store: Store) -> None:
    """Free files are to be read, and with their billing asked for those of unread items; unchanged files are known."""
    async with store.open() as ledger:
        await succeeded(ledger, "read")
        await failed(ledger, "failed")
        await ambiguous(ledger, "ambiguous")
        ledger.add_files([file("new")], "receipt")
    with store.view() as view:
        assert shown(view.to_read("receipt")) == ["new"]
        assert shown(view.to_read("id-card")) == []
        assert shown(view.to_read("receipt", [Billing.NOT_BILLED])) == ["failed", "new"]
        assert shown(view.to_read("receipt", [Billing.MAYBE_BILLED])) == ["ambiguous", "new"]
        recalled, found = view.recall(file("read"), "receipt"), view.find(item("ambiguous"))
        assert recalled is not None
        assert recalled.item == item("read")
        assert view.recall(file("read", CHANGED), "receipt") is None
        assert found is not None
        assert found.state is State.AMBIGUOUS
        assert view.find(item("unknown")) is None


async def test_relative_paths_start_in_one_folder(store: Store, tmp_path: Any) -> None:
    """A run with relative paths names the folder they start in to a batch that begins in another one."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    async with store.open() as ledger:
        assert await ledger.set_base_folder(str(here)) is None
        assert await ledger.set_base_folder(str(there)) is None  # no path is recorded yet
        ledger.add_files([source("/absolute")], "receipt")
        assert await ledger.set_base_folder(str(here)) is None
        ledger.add_files([source("relative")], "receipt")
        assert await ledger.set_base_folder(str(there)) == str(here)
        with store.view() as view:
            assert view.other_base_folder(str(there)) == str(here)
            assert view.other_base_folder(str(here)) is None
            here.rmdir()
            assert view.other_base_folder(str(there)) is None


async def test_a_new_run_is_empty(store: Store) -> None:
    """A run in which nothing has happened counts nothing, and has no records."""
    async with store.open():
        pass
    with store.view() as view:
        assert (view.status().total, view.status().calls, list(view.records()), view.pending()) == (0, 0, [], 0)
        assert view.other_base_folder("/") is None


# ---------------------------------------------------------------------------------------------------------------------
# Purge


async def test_a_purge_removes_answers_and_words(store: Store) -> None:
    """Answers and the words of errors go; states, counts and the kinds of errors stay, and nothing is sent again."""
    await begun(store)
    with store.view() as view:
        before = view.status()
    assert store.purge() == Purged(answers=3, failures=4)
    assert store.purge() == Purged(0, 0)
    with store.view() as view:
        records = {record.path: record for record in view.records()}
        after = view.status()
    assert {path: record.status for path, record in records.items()} == EXPECTED
    assert all(record.entry is None or record.entry.answer is None for record in records.values())
    assert (after.images, after.calls, after.billed) == (before.images, before.calls, before.billed)
    assert (after.answers, after.removed) == (0, 3)
    assert records["failed"].entry is not None
    refused = decode_failure(records["failed"].entry.failure)
    assert isinstance(refused, InvalidRequestError)
    assert (refused.code, refused.message) == ("0011", "its message was deleted by a purge")
    async with store.open() as ledger:
        assert (await ledger.admit(item("read"), None)).claim is None


async def test_a_purge_leaves_what_is_younger(store: Store) -> None:
    """With an age, only what is older is removed."""
    for name, now in (("old", 0.0), ("young", 20 * DAY)):
        async with store.open(now=lambda now=now: now) as ledger:
            await succeeded(ledger, name)
            await failed(ledger, f"{name} failure")
    assert store.purge(15 * DAY, now=lambda: 30 * DAY) == Purged(1, 1)
    with store.view() as view:
        found = [view.find(item(name)) for name in ("old", "young")]
    assert [entry is not None and entry.answer is not None for entry in found] == [False, True]


async def test_a_purge_is_refused_while_a_process_is_at_work(store: Store) -> None:
    """While a process has the run open nothing is removed."""
    async with store.open() as ledger:
        await succeeded(ledger, "read")
        with pytest.raises(LedgerError, match="1 process is at work"):
            store.purge()
    with store.view() as view:
        assert view.answers() == 1
