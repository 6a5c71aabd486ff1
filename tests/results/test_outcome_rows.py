from __future__ import annotations

import json
from pathlib import Path

import pytest

from clova_ocr_async import (
    BatchDispatcher,
    Billing,
    ClovaOCRClient,
    ClovaOCRError,
    Domain,
    Emulator,
    Failure,
    ImageError,
    LedgerError,
    NotSentError,
    Outcome,
    Page,
    Receipt,
    ResponseTimeoutError,
)
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.results import outcome_row
from clova_ocr_async.results.rows import key_of_item


async def outcomes_of(clova: Emulator, images: list[str], run: Path | None) -> list[Outcome[Receipt]]:
    """Recognize images, and return their outcomes in order."""
    async with (
        ClovaOCRClient(Domain(clova.url(), clova.secret)) as client,
        BatchDispatcher(client, ledger=run).dispatch(images, Receipt, ordered=True) as outcomes,
    ):
        return [outcome async for outcome in outcomes]


async def test_a_row_has_what_is_needed_to_find_and_use_an_outcome(clova_emulator: Emulator, tmp_path: Path) -> None:
    """A row has the key of the run's tables, the path, the bill and the vendor's object, and JSON can hold it."""
    sample, scan = draw_sample("receipt"), tmp_path / "a.png"
    scan.write_bytes(sample.data)
    (tmp_path / "b.png").write_bytes(sample.data)
    (one,) = await outcomes_of(clova_emulator, [str(scan)], tmp_path / "run")
    (copy,) = await outcomes_of(clova_emulator, [str(tmp_path / "b.png")], tmp_path / "run")
    row = outcome_row(one)
    assert one.item is not None
    assert row["key"] == key_of_item(one.item.sha256, "receipt", None, "")
    assert (row["source"], row["status"], row["billed"], row["error"]) == (str(scan), "succeeded", True, None)
    assert row["result"] is not None
    assert row["result"]["receipt"] == sample.truth.answer
    assert outcome_row(copy) == row | {"source": str(tmp_path / "b.png"), "billed": False}
    assert json.loads(json.dumps(row)) == row


async def test_a_row_without_its_result_has_no_value_of_the_document(clova_emulator: Emulator, tmp_path: Path) -> None:
    """Without the result nothing of the document is in a row."""
    sample = draw_sample("receipt")
    (tmp_path / "a.png").write_bytes(sample.data)
    (outcome,) = await outcomes_of(clova_emulator, [str(tmp_path / "a.png")], tmp_path / "run")
    row = outcome_row(outcome, with_result=False)
    assert row["result"] is None
    assert sample.truth.answer["result"]["storeInfo"]["name"]["text"] not in json.dumps(row, ensure_ascii=False)


async def test_a_row_of_an_image_that_was_not_read_says_why(clova_emulator: Emulator, tmp_path: Path) -> None:
    """An image that was refused is skipped, has the type and the message of its error, and has cost nothing."""
    (tmp_path / "a.png").write_bytes(b"no picture")
    for run in (None, tmp_path / "run"):
        (outcome,) = await outcomes_of(clova_emulator, [str(tmp_path / "a.png")], run)
        row = outcome_row(outcome)
        assert (row["status"], row["billed"], row["result"]) == ("skipped", False, None)
        assert (row["key"] is None) is (run is None)  # without a ledger it is not hashed
        assert row["error"] is not None
        assert row["error"].startswith("ImageError: ")
    assert clova_emulator.requests == 0


async def test_an_image_without_a_ledger_has_no_key(clova_emulator: Emulator, tmp_path: Path) -> None:
    """Without a ledger a file is not hashed, so its row has no key."""
    (tmp_path / "a.png").write_bytes(draw_sample("receipt").data)
    (outcome,) = await outcomes_of(clova_emulator, [str(tmp_path / "a.png")], None)
    row = outcome_row(outcome)
    assert (row["key"], row["status"]) == (None, "succeeded")


def billed(error: ClovaOCRError) -> ClovaOCRError:
    """Return an error of a call that was charged for."""
    error.billing = Billing.BILLED
    return error


@pytest.mark.parametrize(
    ("outcome", "row"),
    [
        (Failure("a.png", ResponseTimeoutError("no answer")), ("a.png", "ambiguous", None)),
        (Failure(Path("b.png"), NotSentError()), ("b.png", "pending", False)),
        (Failure(Page("c.pdf", 3), ImageError("broken")), ("c.pdf#3", "skipped", False)),
        (Failure(b"bytes", ImageError("broken")), (None, "skipped", False)),
        (Failure("d\udce4.png", ImageError("broken")), ("d\\xe4.png", "skipped", False)),
        (Failure("e.png", LedgerError("away")), ("e.png", "pending", False)),
        (Failure("f.png", billed(LedgerError("away"))), ("f.png", "failed", True)),
    ],
)
def test_the_source_and_the_bill_of_a_row(outcome: Failure, row: tuple[str | None, str, bool | None]) -> None:
    """The source is the path or page as text, and only an image whose call is not known to be billed has no bill."""
    found = outcome_row(outcome)
    assert (found["source"], found["status"], found["billed"]) == row
