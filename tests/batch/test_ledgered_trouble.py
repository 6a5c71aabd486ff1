from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from support.fakes import BUSY, FAILED, FakeTime, FakeTransport, domain
from support.ledger_batches import FullDisk, batch, errors_of, picture, pictures
from support.ledgers import answers, calls, dead_process, maybe_billed, opened, states

from clova_ocr_async.batch import BatchDispatcher, Success
from clova_ocr_async.batch.ledgered import services_of
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    Billing,
    ConnectionLostError,
    DiskFullError,
    LedgerError,
    NotSentError,
)
from clova_ocr_async.ledger.overflow_file import overflow_paths
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.states import ClaimLostError, ItemEvent, Settlement
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.ledger.states import Claim


@pytest.mark.parametrize(
    "name", ["recall", "claim", "sent", "answered", "refused", "maybe billed", "settled", "reject"]
)
async def test_a_full_disk_stops_the_billing(
    tmp_path: Path, run: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If any write fails no further call is billed, paid answers are kept, and the next run completes the rest."""
    caplog.set_level(logging.WARNING)
    paths = pictures(tmp_path / "in", *"abcdef")
    transport = FakeTransport(BUSY, FAILED, ConnectionLostError)
    async with opened(run, watch=FullDisk(name)) as ledger:
        found, _ = await batch(ledger, [str(tmp_path / "none.jpg"), *paths], transport, concurrency=1)
    assert 0 < len(found) <= 7
    async with opened(run) as ledger:
        left = maybe_billed(run)
        await ledger.requeue(Billing.MAYBE_BILLED)
    second = FakeTransport()
    again, stopped = await batch(run, paths, second)
    assert stopped is None
    assert all(isinstance(outcome, Success) for outcome in again)
    assert calls(run) == 6 + left == len(answers(run)) + left


async def test_a_lost_connection_that_cannot_be_written_down_is_ambiguous(run: Path) -> None:
    """If a full disk cannot take the mark of a lost connection, its item is ambiguous all the same."""
    async with opened(run, watch=FullDisk("maybe billed")) as ledger:
        (failure,) = errors_of((await batch(ledger, [Image(picture("a"))], FakeTransport(ConnectionLostError)))[0])
    assert isinstance(failure, ConnectionLostError)
    assert (states(run), calls(run), maybe_billed(run)) == (["ambiguous"], 1, 1)


async def test_a_copy_does_not_wait_for_a_settlement_that_cannot_be_written_down(run: Path) -> None:
    """If a settlement cannot be written down, copies of the image fail with the ledger's error, and the batch stops."""
    async with opened(run, watch=FullDisk("maybe billed", "settled")) as ledger:
        images = [Image(picture("a"), name) for name in ("one", "two")]
        found, stopped = await batch(ledger, images, FakeTransport(ConnectionLostError))
    assert {type(error) for error in errors_of(found)} == {ConnectionLostError, DiskFullError}
    assert isinstance(stopped, DiskFullError)
    assert states(run) == ["ambiguous"]


async def test_a_lost_claim_is_tried_again(run: Path) -> None:
    """A batch that has lost its claim of an image before sending waits for the new owner, and sends nothing itself."""

    class Losing(SqliteLedger):
        lost = 0

        async def sending(self, claim: Claim, request_id: str, picture: bytes = b"") -> bool:
            self.lost += 1
            if self.lost == 1:
                await self.settle(claim, Settlement(ItemEvent.RELEASE))
                raise ClaimLostError
            return await super().sending(claim, request_id, picture)

    async with Losing(run, sleep=lambda _: asyncio.sleep(0.001)) as ledger:
        transport = FakeTransport()
        found, _ = await batch(ledger, [Image(picture("a"))], transport)
    assert isinstance(found[0], Success)
    assert (len(transport.sent), calls(run)) == (1, 1)


async def test_an_image_withdrawn_as_it_is_marked_is_not_ambiguous(run: Path) -> None:
    """A batch that stops on a full disk, just as a request was marked as sent, leaves nothing ambiguous."""

    class Marking(SqliteLedger):
        async def sending(self, claim: Claim, request_id: str, picture: bytes = b"") -> bool:
            granted = await super().sending(claim, request_id, picture)
            outcomes.stop(NotSentError())
            return granted

    transport = FakeTransport()
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
    async with Marking(run, watch=FullDisk("refused", "settled", "close"), process=dead_process()) as ledger:
        async with BatchDispatcher(client, ledger=ledger).dispatch([picture("a")], Receipt) as outcomes:
            (failure,) = errors_of([outcome async for outcome in outcomes])
        assert isinstance(failure, NotSentError)
        assert states(run) == ["sent"]
    assert transport.sent == []
    async with opened(run):
        assert (states(run), calls(run), maybe_billed(run)) == (["queued"], 0, 0)


async def test_answers_in_the_overflow_come_into_the_ledger(run: Path) -> None:
    """On a full disk the answers of calls in flight go to the overflow file, and the next run has them."""
    async with opened(run, watch=FullDisk("answered"), process=dead_process()) as ledger:
        found, stopped = await batch(ledger, [Image(picture(name)) for name in "abcdef"], FakeTransport())
    assert isinstance(stopped, DiskFullError)
    paid = sum(isinstance(outcome, Success) for outcome in found)
    assert 0 < paid == calls(run) <= 4
    transport = FakeTransport()
    again, _ = await batch(run, [Image(picture(name)) for name in "abcdef"], transport)
    assert all(isinstance(outcome, Success) for outcome in again)
    assert len(transport.sent) == 6 - paid
    assert overflow_paths(run) == []


async def test_another_service_is_refused(run: Path) -> None:
    """A run of the vendor's answers is not resumed with a server of the user's own, nor the other way round."""
    await batch(run, [Image(picture("a"))], FakeTransport())
    local = Domain("http://127.0.0.1:9/custom/v1/1/key/document/receipt", "secret")
    client = ClovaOCRClient(local, transport=FakeTransport())
    with pytest.raises(LedgerError, match="choose another run directory"):
        async with BatchDispatcher(client, ledger=run).dispatch([Image(picture("a"))], Receipt):
            pass
    kinds = [
        "https://a.apigw.ntruss.com",
        "http://10.0.0.1",
        "http://localhost",
        "https://ocr.example",
        "https://8.8.8.8",
    ]
    with pytest.warns(UserWarning, match="is http"):
        domains = [Domain(f"{kind}/custom/v1/1/key", "s", allow_http=True) for kind in kinds]
    assert services_of(domains) == ["8.8.8.8", "apigw.ntruss.com", "local", "ocr.example"]
