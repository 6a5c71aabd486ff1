"""Commands over runs whose records are made straight in the store."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.answers import answer_of
from support.commands import clova_ocr

from clova_ocr_async.cli.runs import inputs
from clova_ocr_async.documents import IdCard
from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement, SourceFile
from clova_ocr_async.protocol import HTTPResponse

if TYPE_CHECKING:
    from pathlib import Path


def plant(run: Path, source: SourceFile | None, answer: dict[str, Any] | None) -> None:
    """Make a run with one ID card that was read."""

    async def keep() -> None:
        async with SqliteLedger(run) as ledger:
            claim = (await ledger.admit(Item(b"1" * 32, "id-card"), source)).claim
            assert claim is not None
            await ledger.sending(claim, "r")
            if answer is not None:
                body = json.dumps(answer_of(IdCard, {"result": answer}) | {"requestId": "r"}).encode()
                await ledger.answered(claim, "r", HTTPResponse(200, body))
            await ledger.settle(claim, Settlement(ItemEvent.SUCCEED, Billing.BILLED, request_id="r"))

    asyncio.run(keep())


CARD = {"ic": {"personalNum": [{"text": "900101-1234567"}], "name": [{"text": "Hong"}]}}


@pytest.mark.parametrize("verb", ["annotate", "redact"])
@pytest.mark.parametrize(
    ("source", "answer", "message"),
    [
        (SourceFile(b"a.pdf", page=2), CARD, "a.pdf"),
        (None, CARD, "given as bytes"),
        (SourceFile(b"a.jpg"), None, "not stored, or has been purged"),
    ],
)
def test_pictures_that_cannot_be_drawn_are_named(
    verb: str, source: SourceFile | None, answer: dict[str, Any] | None, message: str, tmp_path: Path
) -> None:
    """A page whose file is gone, an image without a name and one without an answer are named."""
    plant(tmp_path / "run", source, answer)
    found = clova_ocr(verb, tmp_path / "run", "-o", tmp_path / "out")
    assert found.exit_code == 1
    assert message in found.stderr


def test_a_record_that_cannot_be_masked_ends_in_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export says how many records show no values because they cannot be masked for certain."""
    plant(tmp_path / "run", SourceFile(b"a.jpg"), CARD)
    monkeypatch.setattr(
        "clova_ocr_async.results.masked_records.masked_record", lambda record, _: (record | {"result": None}, False)
    )
    found = clova_ocr("export", tmp_path / "run", "--masked")
    assert found.exit_code == 1
    assert "1 record cannot be masked for certain" in found.stderr


def test_tables_without_their_extra_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, Parquet is refused with the line that installs it."""
    plant(tmp_path / "run", SourceFile(b"a.jpg"), CARD)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "clova_ocr_async.results.files.parquet_file", raising=False)
    found = clova_ocr("export", tmp_path / "run", "--format", "parquet", "-o", tmp_path / "x.parquet")
    assert found.exit_code == 2
    assert "pip install 'clova-ocr-async[tables]'" in found.stderr


def test_a_temporary_file_that_cannot_be_made_is_an_error_of_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk under the temporary folder is named as an error of the output."""
    plant(tmp_path / "run", SourceFile(b"a.jpg"), CARD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clova_ocr_async.cli.runs.table_export.PossibleCopies", full)
    found = clova_ocr("export", tmp_path / "run", "--format", "csv")
    assert found.exit_code == 1
    assert "No space left on device" in found.stderr


def test_a_member_of_an_archive_has_a_key_of_its_own(tmp_path: Path) -> None:
    """Members differ by their archive and their name; a path that is neither has no key."""
    archive = tmp_path / "a.zip"
    archive.write_bytes(b"PK\x05\x06" + bytes(18))
    keys = {inputs._key_of_path(f"{archive}!/{name}") for name in ("x.jpg", "y.jpg", "x.jpg")}  # noqa: SLF001
    assert len(keys) == 2
    assert inputs._key_of_path(str(tmp_path / "none.jpg")) is None  # noqa: SLF001
