"""Pages, recipes, pictures and columns: the same for each store."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import ANSWER, ambiguous, claimed, dead_process, item, read, remote_process, shown, source

from clova_ocr_async.errors import Billing, ImageError
from clova_ocr_async.ledger.settlement import GONE, encode_failure
from clova_ocr_async.ledger.states import FileStamp, Item, ItemEvent, ListedFile, Settlement, SourceFile, State

if TYPE_CHECKING:
    from support.stores import Store

    from clova_ocr_async.ledger import RunLedger
    from clova_ocr_async.ledger.storage import SourceRecord

STAMP = FileStamp(1, 2, 3, 4)
CHANGED = FileStamp(9, 9, 9, 9)
SEVERAL = encode_failure(ImageError("it has 3 pages"))


def page(number: int | None, path: str = "scan.pdf", stamp: FileStamp | None = STAMP, **settings: Any) -> SourceFile:
    """Return a page of a file; None for the whole file."""
    return SourceFile(path.encode(), stamp, page=number, **settings)


async def paid(ledger: RunLedger, one: Item, file: SourceFile | None, request_id: str, picture: bytes = b"") -> None:
    """Have an item read."""
    claim = claimed(await ledger.admit(one, file))
    await ledger.sending(claim, request_id, picture)
    await ledger.answered(claim, request_id, ANSWER)
    await ledger.settle(claim, read(request_id))


def records(store: Store, **settings: Any) -> list[SourceRecord]:
    """Return the records of a run."""
    with store.view(**settings) as view:
        return list(view.records())


def listed(found: list[SourceRecord]) -> list[tuple[str | None, int | None, str, str | None]]:
    """Return paths, pages, statuses, and what they are copies of."""
    return [(one.path, one.page, one.status, one.copy_of) for one in found]


# ---------------------------------------------------------------------------------------------------------------------
# Items


async def test_each_page_and_each_recipe_is_billed_once(store: Store) -> None:
    """The whole file, each page of it, and each way to prepare it are items of their own; the same one is not new."""
    keys = [
        item("f"),
        item("f", page=1),
        item("f", page=2),
        item("f", recipe="1;jpeg q92"),
        item("f", page=2, recipe="x"),
    ]
    async with store.open() as ledger:
        for number, key in enumerate(keys):
            await paid(ledger, key, None, f"r{number}")
        for key in keys:
            assert (await ledger.admit(key, None)).entry.item == key
    with store.view() as view:
        assert [entry is not None and entry.item for entry in map(view.find, keys)] == keys
        assert view.find(item("f", page=3)) is None
        assert view.status().calls == len(keys)


async def test_a_page_is_recalled_by_its_number_and_the_stamp_of_its_file(store: Store) -> None:
    """An unchanged file is recalled page by page, and no page stands for another one or for the whole."""
    async with store.open() as ledger:
        await paid(ledger, item("f", page=2), page(2), "r")
        recalled = await ledger.recall(page(2), "receipt")
        assert recalled is not None
        assert recalled.item == item("f", page=2)
        for other in (page(1), page(None), page(2, stamp=CHANGED)):
            assert await ledger.recall(other, "receipt") is None
    with store.view() as view:
        found = view.recall(page(2), "receipt")
        assert found is not None
        assert found.item.page == 2
        assert view.recall(page(None), "receipt") is None


async def test_a_page_of_a_copied_file_is_a_copy_of_the_same_page(store: Store) -> None:
    """The pages of a file under another name are copies, page by page, and bill nothing."""
    async with store.open() as ledger:
        for number in (1, 2):
            await paid(ledger, item("f", page=number), page(number), f"r{number}")
        for number in (1, 2):
            assert (await ledger.admit(item("f", page=number), page(number, "copy.pdf"))).claim is None
    assert listed(records(store)) == [
        ("scan.pdf", 1, "succeeded", None),
        ("scan.pdf", 2, "succeeded", None),
        ("copy.pdf", 1, "succeeded", "scan.pdf"),
        ("copy.pdf", 2, "succeeded", "scan.pdf"),
    ]


async def test_a_page_that_was_replaced_stays_known(store: Store) -> None:
    """A page that was paid for is listed with its number after its file was replaced."""
    async with store.open() as ledger:
        await paid(ledger, item("old", page=2), page(2), "r")
        await paid(ledger, item("new", page=2), page(2, stamp=CHANGED), "s")
    (new, old) = records(store)
    assert (new.page, new.replaced, old.path, old.page, old.replaced) == (2, False, "scan.pdf", 2, True)
    assert old.entry is not None
    assert old.entry.item == item("old", page=2)


async def test_ambiguous_pages_are_named_with_their_number(store: Store) -> None:
    """The name of an ambiguous page shows which one it is."""
    async with store.open() as ledger:
        for file, key in ((page(7), item("f", page=7)), (page(None, "one.pdf"), item("g"))):
            claim = claimed(await ledger.admit(key, file))
            await ledger.sending(claim, "r")
            await ledger.settle(claim, ambiguous())
    with store.view() as view:
        assert list(view.ambiguous_names()) == ["scan.pdf#7", "one.pdf"]


async def test_a_removed_file_leaves_its_finished_pages(store: Store) -> None:
    """A page that was read keeps its item when its file is gone, and one that was not read is skipped."""
    async with store.open() as ledger:
        await paid(ledger, item("f", page=1), page(1), "r")
        ledger.add_files([page(2)], "receipt")
        kept = await ledger.reject(page(1), "receipt", GONE)
        assert kept is not None
        assert kept.item == item("f", page=1)
        assert await ledger.reject(page(2), "receipt", GONE) is None
        assert await ledger.reject(page(3), "receipt", SEVERAL) is None
    assert [(one.page, one.status) for one in records(store)] == [(1, "succeeded"), (2, "skipped"), (3, "skipped")]


# ---------------------------------------------------------------------------------------------------------------------
# The work list


async def test_files_of_several_documents_are_handed_out_in_the_order_they_were_found(store: Store) -> None:
    """Files come with their page and document, in the order they were found, whatever their document."""
    async with store.open() as one, store.open(process=remote_process()) as two:
        one.add_files([page(1), page(2)], "receipt")
        one.add_files([source("pass.jpg")], "passport")
        one.add_files([page(3), page(None, "last.pdf")], "receipt")
        one.add_files([source("card.jpg")], "name-card")
        assert await one.claim_files(["passport", "receipt"], 2) == [
            ListedFile(b"scan.pdf", 1, "receipt"),
            ListedFile(b"scan.pdf", 2, "receipt"),
        ]
        both = ["receipt", "passport"]
        assert [file.document for file in await two.claim_files(both, 9)] == ["passport", "receipt", "receipt"]
        assert await one.others_at_work(["passport", "id-card"])
        assert not await two.others_at_work(["passport", "id-card"])
        await two.release_files(["passport"])
        assert shown(await one.claim_files(both, 9)) == ["pass.jpg"]
        await two.release_files(["receipt", "name-card"])
        assert shown(await one.claim_files(both, 9)) == ["scan.pdf#3", "last.pdf"]


async def test_a_page_keeps_the_spelling_of_its_file(store: Store) -> None:
    """Pages that are found later under the other spelling of a path get the one that the run has."""
    async with store.open() as ledger:
        ledger.add_files([page(1, alias=b"/here/scan.pdf")], "receipt")
        later = SourceFile(b"/here/scan.pdf", STAMP, b"scan.pdf", 2)
        ledger.add_files([page(1, "/here/scan.pdf", alias=b"scan.pdf"), later], "receipt")
        assert shown(await ledger.claim_files(["receipt"], 9)) == ["scan.pdf#1", "scan.pdf#2"]


async def test_the_changed_pages_of_a_file_are_read_again(store: Store) -> None:
    """A page is to be read if it is new, or if its file changed since it was read."""
    async with store.open() as ledger:
        for number in (1, 2):
            await paid(ledger, item("f", page=number), page(number), f"r{number}")
        ledger.add_files([page(1), page(2, stamp=CHANGED), page(3, stamp=CHANGED)], "receipt")
        with store.view() as view:
            assert shown(view.to_read("receipt")) == ["scan.pdf#2", "scan.pdf#3"]


async def test_the_pages_of_a_dead_process_are_free(store: Store) -> None:
    """Pages that a dead process had taken or claimed are handed out again, each as itself."""
    dead = store.open(process=dead_process())
    await dead.__aenter__()
    dead.add_files([page(1), page(2)], "receipt")
    await dead.claim_files(["receipt"], 2)
    await dead.admit(item("f", page=2), page(2))
    await store.crash(dead)
    async with store.open() as ledger:
        assert shown(await ledger.claim_files(["receipt"], 9)) == ["scan.pdf#1", "scan.pdf#2"]
        assert (await ledger.admit(item("f", page=2), page(2))).claim is not None


async def test_requeued_pages_are_read_again(store: Store) -> None:
    """A page that was not read is to be read again on request, and no other page of its file."""
    async with store.open() as ledger:
        await paid(ledger, item("f", page=1), page(1), "r")
        await ledger.settle(claimed(await ledger.admit(item("f", page=2), page(2))), Settlement(ItemEvent.SKIP))
        with store.view() as view:
            assert shown(view.to_read("receipt", [Billing.NOT_BILLED])) == ["scan.pdf#2"]
        assert await ledger.requeue(Billing.NOT_BILLED) == 1
        assert shown(await ledger.claim_files(["receipt"], 9)) == ["scan.pdf#2"]


async def test_the_pages_of_a_file_are_listed_one_after_the_other(store: Store) -> None:
    """Records come file by file and in page order, also of pages that were found later."""
    async with store.open() as ledger:
        ledger.add_files([page(2), source("b.jpg"), page(1), source("c.jpg"), page(10)], "receipt")
        ledger.add_files([page(1)], "passport")
    assert [(one.document, one.path, one.page) for one in records(store)] == [
        ("receipt", "scan.pdf", 1),
        ("receipt", "scan.pdf", 2),
        ("receipt", "scan.pdf", 10),
        ("receipt", "b.jpg", None),
        ("receipt", "c.jpg", None),
        ("passport", "scan.pdf", 1),
    ]


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("how", ["listed", "admitted"])
async def test_a_file_that_was_refused_as_a_whole_becomes_its_pages(store: Store, how: str, known: bool) -> None:
    """Once pages of a file are recorded, its refused whole is not among the images of the run any more."""
    async with store.open() as ledger:
        if known:  # and its whole was listed by a command without pages
            ledger.add_files([page(1)], "receipt")
        await ledger.reject(page(None), "receipt", SEVERAL)
        await ledger.reject(page(None, "other.pdf"), "receipt", SEVERAL)
        if how == "listed":
            ledger.add_files([page(1)], "receipt")
        else:
            await ledger.admit(item("f", page=2), page(2))
    found = [(one.path, one.page) for one in records(store)]
    assert ("scan.pdf", None) not in found
    assert ("other.pdf", None) in found


async def test_a_whole_that_was_billed_stays_known_when_its_pages_come(store: Store) -> None:
    """A call paid for a whole file is listed as replaced once the file is read page by page; a refusal is not."""
    async with store.open() as ledger:
        await paid(ledger, item("f"), page(None), "r")
        refused = claimed(await ledger.admit(item("g"), page(None, "refused.pdf")))
        await ledger.settle(refused, Settlement(ItemEvent.SKIP, failure=SEVERAL))
        ledger.add_files([page(1), page(1, "refused.pdf")], "receipt")
        with store.view() as view:
            status = view.status()
    assert status.images == {"pending": 2}
    assert [(one.path, one.page, one.status, one.replaced) for one in records(store)] == [
        ("scan.pdf", 1, "pending", False),
        ("refused.pdf", 1, "pending", False),
        ("scan.pdf", None, "succeeded", True),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# The picture that was sent


async def test_the_picture_of_the_last_request_is_kept(store: Store) -> None:
    """The picture that is sent is stored as the request is marked; a later request of the item replaces it."""
    async with store.open() as ledger:
        claim = claimed(await ledger.admit(item(), None))
        await ledger.sending(claim, "r", b'{"page":1}')
        with store.view() as view:
            sent = view.find(item())
        await ledger.refused(claim, "r", maybe_billed_before=False)
        await ledger.sending(claim, "r", b'{"page":2}')
        await ledger.answered(claim, "r", ANSWER)
        await ledger.settle(claim, read())
        admission = await ledger.admit(item(), None)
        plain = claimed(await ledger.admit(item("plain"), None))
        await ledger.sending(plain, "p", b'{"page":3}')
        await ledger.refused(plain, "p", maybe_billed_before=False)
        await ledger.sending(plain, "p")
        with store.view() as view:
            last = view.find(item("plain"))
    assert sent is not None
    assert last is not None
    assert (sent.state, sent.picture, admission.entry.picture) == (State.SENT, b'{"page":1}', b'{"page":2}')
    assert last.picture == b""


# ---------------------------------------------------------------------------------------------------------------------
# Columns


def columns(store: Store, **settings: Any) -> list[tuple[str | None, int | None, bytes]]:
    """Return the columns of all records."""
    return [(one.path, one.page, one.columns) for one in records(store, **settings)]


async def test_columns_go_with_a_name(store: Store) -> None:
    """The columns of a manifest come out with the file that is handed out, and with its record."""
    async with store.open() as ledger:
        ledger.add_files([page(1, columns=b'{"id":1}'), page(2, columns=b'{"id":2}'), source("plain")], "receipt")
        found = await ledger.claim_files(["receipt"], 9)
        assert [file.columns for file in found] == [b'{"id":1}', b'{"id":2}', b""]
        await ledger.admit(item("f", page=1), page(1))  # without columns, those stay that it has
        await ledger.admit(item("f", page=3), page(3, columns=b'{"id":3}'))
        await ledger.reject(page(4, columns=b'{"id":4}'), "receipt", SEVERAL)
        await ledger.reject(page(5, columns=b'{"id":5}'), "receipt", GONE)
        await ledger.reject(page(2), "receipt", GONE)
    numbers = [1, 2, 3, 4, 5]
    assert columns(store) == [*(("scan.pdf", one, b'{"id":%d}' % one) for one in numbers), ("plain", None, b"")]


async def test_the_columns_that_were_given_last_hold(store: Store) -> None:
    """A later manifest gives a finished file other columns, and does not have it read again; a folder leaves them."""
    async with store.open() as ledger:
        ledger.add_files([page(1, columns=b'{"id":1}')], "receipt")
        await paid(ledger, item("f", page=1), page(1), "r")
        ledger.add_files([page(1, columns=b'{"id":2}')], "receipt")
        ledger.add_files([page(1)], "receipt")
        assert await ledger.claim_files(["receipt"], 9) == []
    assert columns(store) == [("scan.pdf", 1, b'{"id":2}')]


def test_columns_are_not_shown() -> None:
    """No repr of a file shows the columns, which may hold names."""
    file = SourceFile(b"a", columns=b'{"name":"canaryNAME"}')
    assert "canary" not in repr(file)
    assert "canary" not in repr(ListedFile(file.path, None, "receipt", file.columns))
    assert os.fsdecode(file.path) in repr(file)
