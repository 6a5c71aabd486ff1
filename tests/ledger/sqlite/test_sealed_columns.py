"""The columns of a manifest in the file of a run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.ledgers import claimed, contents, item, opened, query

from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.ledger.states import FileStamp, ItemEvent, Settlement, SourceFile

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
