"""Batches for tests that need a window or a check of pictures of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch import Batch
from clova_ocr_async.batch.batch import LedgerSession
from clova_ocr_async.batch.direct import DirectReader
from clova_ocr_async.batch.intake import Intake
from clova_ocr_async.batch.ledgered import LedgeredReader
from clova_ocr_async.batch.outbox import Outbox
from clova_ocr_async.batch.sources.iterables import open_source
from clova_ocr_async.batch.stop import StopSwitch
from clova_ocr_async.batch.unfinished import UnfinishedFiles
from clova_ocr_async.batch.workers import Workers
from clova_ocr_async.documents import Receipt
from clova_ocr_async.host.runtime import Runtime

if TYPE_CHECKING:
    from clova_ocr_async.batch.window import Window
    from clova_ocr_async.batch.work import Reader
    from clova_ocr_async.client import ClovaOCRClient
    from clova_ocr_async.ledger.sqlite import SqliteLedger


def batch_of(
    client: ClovaOCRClient,
    images: Any,
    window: Window,
    *,
    ledger: SqliteLedger | None = None,
    owned: bool = False,
    unfinished: UnfinishedFiles | None = None,
    ordered: bool = False,
) -> Batch[Receipt]:
    """Return a batch of receipts, as a dispatcher makes it, with these parts."""
    stop, outbox = StopSwitch(), Outbox[Receipt](ordered=ordered)
    intake = Intake(open_source(images), Receipt, client, window, stop)
    unfinished = unfinished or UnfinishedFiles(Runtime())
    reader: Reader
    if ledger is None:
        reader, session = DirectReader(client, stop, unfinished), None
    else:
        reader = LedgeredReader(client, ledger, stop, unfinished)
        session = LedgerSession(ledger, ["local"], owned=owned)
    return Batch(intake, Workers(intake, reader, outbox, stop), outbox, stop, session)
