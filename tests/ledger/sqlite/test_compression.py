from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import a_request, success
from support.ledgers import answers, claimed, crash, dead_process, item, opened, read, source

from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.compression import CompressionError, compress, decompress
from clova_ocr_async.ledger.overflow_records import AnswerRecord
from clova_ocr_async.ledger.sqlite.run_view import RunReader
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.ledger.seal import Seal

LONG = HTTPResponse(
    200, success(a_request()).body.replace(b"id-1", b"").replace(b'"uid"', b'"more":"' + b"canary " * 1000 + b'","uid"')
)
"""An answer that is worth compressing."""


@given(st.binary(max_size=5000) | st.binary(min_size=1, max_size=20).map(lambda part: part * 200))
def test_compressed_bytes_come_back(body: bytes) -> None:
    """Any bytes come back byte for byte, and are never stored larger than they are."""
    stored, size = compress(body)
    assert decompress(stored, size) == body
    assert len(stored) <= len(body)
    assert size in {None, len(body)}


def test_bytes_that_do_not_compress_stay_uncompressed() -> None:
    """Short bodies, and bytes that do not compress, are stored uncompressed."""
    assert compress(b" " * 1024) == (b" " * 1024, None)
    assert compress(b" " * 1025)[1] == 1025
    noise = zlib.compress(bytes(range(256)) * 4 + bytes(str([n * n for n in range(3000)]), "ascii"), 9)
    assert compress(noise) == (noise, None)


@pytest.mark.parametrize("change", [lambda b: b[:-1], lambda b: b"x" + b, lambda _: zlib.compress(b" " * 10**8)])
@pytest.mark.parametrize("size", [2000, 1999, 2001, 0, -5, 2**40])
def test_changed_bytes_do_not_decompress(change: Callable[[bytes], bytes], size: int) -> None:
    """Changed bytes or a wrong size are refused, and no more than the size is decompressed."""
    with pytest.raises(CompressionError, match="do not decompress"):
        decompress(change(compress(b" " * 2000)[0]), size)


@pytest.mark.parametrize("seal", [None, AESGCMSeal(b"k" * 32)], ids=["open", "sealed"])
async def test_an_answer_is_stored_smaller_and_read_as_it_came(tmp_path: Path, seal: Seal | None) -> None:
    """An answer over 1 KiB is compressed before it is encrypted, and every reader gets it byte for byte."""
    run = tmp_path / "run"
    async with opened(run, seal=seal) as ledger:
        claim = claimed(await ledger.admit(item(), source("a")))
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", LONG)
        await ledger.settle(claim, read())
    assert len(answers(run)[0]) < len(LONG.body) / 3
    async with opened(run, seal=seal) as ledger:
        entry = (await ledger.admit(item(), None)).entry
    with RunReader(run, seal) as reader:
        (record,) = reader.records()
    for one in (entry, record.entry):
        assert one is not None
        assert one.answer == LONG


async def test_an_answer_of_a_dead_process_is_read_compressed(tmp_path: Path) -> None:
    """The compressed answer of a killed process settles its image."""
    ledger = opened(tmp_path / "run", process=dead_process())
    await ledger.__aenter__()
    claim = claimed(await ledger.admit(item(), source("a")))
    await ledger.sending(claim, "r")
    await ledger.answered(claim, "r", LONG)
    await crash(ledger)
    with RunReader(tmp_path / "run") as reader:
        (record,) = reader.records()
    assert record.status == "succeeded"


async def test_a_stored_answer_that_was_changed_costs_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that does not decompress is logged, and the image stays succeeded and billed."""
    run = tmp_path / "run"
    async with opened(run) as ledger:
        claim = claimed(await ledger.admit(item(), source("a")))
        await ledger.sending(claim, "r")
        await ledger.answered(claim, "r", LONG)
        await ledger.settle(claim, read())
    change_answers(run)
    with RunReader(run) as reader:
        (record,) = reader.records()
    assert record.status == "succeeded"
    assert record.entry is not None
    assert record.entry.answer is None
    assert "does not open" in caplog.text
    assert "canary" not in caplog.text


def change_answers(run: Path) -> None:
    """Change a stored answer."""
    with closing(sqlite3.connect(run / "ledger.sqlite3")) as db, db:
        db.execute("UPDATE answer SET body = x'00'")


def test_an_older_overflow_record_is_uncompressed() -> None:
    """An overflow record of an older version has no size, and its body counts as uncompressed."""
    assert AnswerRecord(1, "r", 200, None, b"x", 1.0).unpacked is None
