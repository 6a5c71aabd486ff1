"""Runs to review: images that were read, in any store, and a session over them."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement, SourceFile
from clova_ocr_async.protocol import HTTPResponse
from clova_ocr_async.results.review_server.session import ReviewOptions, ReviewSession
from support.answers import answer_of
from support.ledgers import claimed

if TYPE_CHECKING:
    from collections.abc import Generator

    from clova_ocr_async.documents import Document
    from clova_ocr_async.results.sensitive_paths import Policy
    from support.stores import Store

__all__ = ["RECEIPT", "field_of", "item_of", "read", "read_image", "reviewing", "wire"]


def wire(text: str, confidence: float = 0.95, **more: Any) -> dict[str, Any]:
    """Return a wire object of a text at a place."""
    corners = [{"x": 10.0, "y": 10.0}, {"x": 90.0, "y": 10.0}, {"x": 90.0, "y": 30.0}, {"x": 10.0, "y": 30.0}]
    return {"text": text, "confidenceScore": confidence, "boundingPolys": [{"vertices": corners}], **more}


RECEIPT: dict[str, Any] = {
    "storeInfo": {"name": wire("canary cafe", 0.5), "tel": [wire("02-1"), wire("02-2")]},
    "paymentInfo": {"cardInfo": {"number": wire("9410-1234-5678-9012")}},
    "totalPrice": {"price": wire("S,000", 0.6, formatted={"value": "5000"})},
}
"""A receipt with two doubtful fields, and a number that is masked."""


def item_of(data: bytes, document: type[Document]) -> Item:
    """Return the item of a file."""
    return Item(hashlib.sha256(data).digest(), document.path_word)


async def read_image(
    ledger: Any, name: str, result: dict[str, Any] = RECEIPT, document: type[Document] = Receipt, data: bytes = b""
) -> Item:
    """Have an image read; it is the file of this name, whose bytes are its name if none are given."""
    item = item_of(data or name.encode(), document)
    claim = claimed(await ledger.admit(item, SourceFile(name.encode())))
    await ledger.sending(claim, name)
    body = json.dumps(answer_of(document, {"result": result}) | {"requestId": name}).encode()
    await ledger.answered(claim, name, HTTPResponse(200, body))
    await ledger.settle(claim, Settlement(ItemEvent.SUCCEED, Billing.BILLED, 1.0, b"", name))
    return item


async def read(store: Store, *names: str, **settings: Any) -> None:
    """Leave a run of some images that were read."""
    async with store.open() as ledger:
        for name in names:
            await read_image(ledger, name, **settings)


@contextmanager
def reviewing(store: Store, by: str = "minji", *, masked: bool = True, now: float = 7.0) -> Generator[ReviewSession]:
    """Open a review of a run."""
    facts = {"version": 1, "masked": masked}
    policy: Policy | None = "standard" if masked else None
    with store.correct(now=lambda: now) as record, store.view() as view:
        options = ReviewOptions(by=by, policy=policy, facts=facts, retry=lambda _documents, words: " ".join(words))
        session = ReviewSession(view, record, options)
        while session.load_more():
            pass
        yield session


def field_of(row: Any, path: str) -> dict[str, Any]:
    """Return a field of a row, which is JSON or plain."""
    plain = json.loads(bytes(row)) if not isinstance(row, dict) else row
    found: dict[str, Any] = next(field for field in plain["fields"] if field["p"] == path)
    return found
