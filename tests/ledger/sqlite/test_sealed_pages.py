"""The columns of a manifest, and what is known of pages, in the file of a sealed run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.ledgers import claimed, contents, item, opened, query

from clova_ocr_async.errors import Billing, InvalidRequestError
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.settlement import decode_failure, encode_failure
from clova_ocr_async.ledger.sqlite.purge import purge
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.states import FileStamp, ItemEvent, Settlement, SourceFile
from clova_ocr_async.ledger.storage import Purged
from clova_ocr_async.ledger.stored_values import seal_context

if TYPE_CHECKING:
    from pathlib import Path

KEY = AESGCMSeal(b"k" * 32)
STAMP = FileStamp(1, 2, 3, 4)
NAME = b'{"name":"canaryNAME"}'


def file(path: bytes, page: int | None = None, alias: bytes | None = None) -> SourceFile:
    """Return a file with columns."""
    return SourceFile(path, STAMP, alias, page, NAME)


async def test_columns_are_sealed_with_the_run(run: Path) -> None:
    """No byte of a sealed run shows the columns, and with the key they come out under every name, page and document."""
    async with opened(run, seal=KEY) as ledger:
        ledger.add_files([file(b"a"), file(b"b", 2)], "receipt")
        ledger.add_files([file(b"a")], "passport")
        await ledger.admit(item("c"), file(b"c"))
        await ledger.reject(file(b"d"), "receipt", b"{}")
        assert [one.columns for one in await ledger.claim_files(["receipt", "passport"], 9)] == [NAME] * 3
        assert not any(b"canary" in content for content in contents(run))
    with RunReader(run, KEY) as reader:
        assert [record.columns for record in reader.records()] == [NAME] * 5
    async with opened(run.with_name("open")) as ledger:
        ledger.add_files([file(b"a")], "receipt")
        assert query(run.with_name("open"), "SELECT columns FROM source") == [(NAME,)]


async def test_columns_are_sealed_for_the_spelling_that_the_run_has(run: Path) -> None:
    """Columns that come under the other spelling of a path open under the one that the run has."""
    async with opened(run, seal=KEY) as ledger:
        ledger.add_files([SourceFile(b"a", STAMP), file(b"/here/a", None, b"a"), file(b"/here/a", 2, b"a")], "receipt")
        found = await ledger.claim_files(["receipt"], 9)
        assert [(one.path, one.page, one.columns) for one in found] == [(b"a", 2, NAME)]


@pytest.mark.parametrize("statement", ["UPDATE source SET columns = x'00'", "UPDATE source SET path = x'6f'"])
async def test_columns_that_do_not_open_are_left_out(
    run: Path, caplog: pytest.LogCaptureFixture, statement: str
) -> None:
    """Columns that were changed, or moved to another name, are lost with a warning; the rest of the run is not."""
    async with opened(run, seal=KEY) as ledger:
        ledger.add_files([file(b"a")], "receipt")
        claim = claimed(await ledger.admit(item("b"), None))
        await ledger.settle(claim, Settlement(ItemEvent.SKIP))
    with closing(sqlite3.connect(run / LEDGER)) as db, db:
        db.execute(statement)
    async with opened(run, seal=KEY) as ledger:
        (found,) = await ledger.claim_files(["receipt"], 9)
    with RunReader(run, KEY) as reader:
        (record, _) = reader.records()
    assert (found.columns, record.columns) == (b"", b"")
    assert "the stored columns of" in caplog.text
    assert "canary" not in caplog.text


async def test_the_pages_of_a_sealed_run_are_sealed_each_for_itself(run: Path) -> None:
    """The answer and the failure of a page open as those of that page alone, and a purge takes the words away."""
    words = encode_failure(InvalidRequestError(400, "0011", "canaryWORDS"))
    refused = Settlement(ItemEvent.FAIL, Billing.NOT_BILLED, 1.0, words, "r")
    contexts = {
        seal_context(item(page=page, recipe=recipe), "answer") for page in (None, 1, 11) for recipe in ("", "1")
    }
    assert len(contexts) == 6
    async with opened(run, seal=KEY) as ledger:
        claim = claimed(await ledger.admit(item(page=2), file(b"a", 2)))
        await ledger.sending(claim, "r")
        await ledger.refused(claim, "r", maybe_billed_before=False)
        await ledger.settle(claim, refused)
        assert (await ledger.admit(item(page=2), None)).entry.failure == words
    assert purge(run, KEY) == Purged(0, 1)
    async with opened(run, seal=KEY) as ledger:
        entry = (await ledger.admit(item(page=2), None)).entry
    assert "deleted by a purge" in str(decode_failure(entry.failure))
    with closing(sqlite3.connect(run / LEDGER)) as db, db:
        db.execute("UPDATE item SET page = 3")
    async with opened(run, seal=KEY) as ledger:
        assert (await ledger.admit(item(page=3), None)).entry.failure == b""
