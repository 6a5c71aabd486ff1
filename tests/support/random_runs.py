"""Runs with images of every kind, in any store: read, failed, left by a dead process, renamed, corrected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import Billing, ImageError, InvalidRequestError
from clova_ocr_async.ledger.corrections import Change, ChangeKind
from clova_ocr_async.ledger.settlement import GONE, encode_failure, failed_settlement
from clova_ocr_async.ledger.states import FileStamp, ItemEvent, Settlement, SourceFile
from support.ledgers import ANSWER, ambiguous, claimed, dead_process, item, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.ledger import RunLedger
    from clova_ocr_async.ledger.states import Claim
    from support.stores import Store

__all__ = ["FATES", "leave_run"]

REFUSED = InvalidRequestError(400, "0011", "canaryREFUSED")
PICTURE = Picture(steps=("upright (EXIF 6)",)).to_json()
UNREADABLE = encode_failure(ImageError("no access"))


def file(name: str, page: int | None = None) -> SourceFile:
    """Return a name with a stamp and a column of its own; its bytes are no text."""
    stamp = FileStamp(10 + len(name), 1_000_000_000_000_000_000, 2, 3)
    return SourceFile(name.encode() + b"\xff.jpg", stamp, page=page, columns=b'{"name": "canaryCOLUMN"}')


async def _sent(ledger: RunLedger, name: str, *, nameless: bool = False) -> Claim:
    claim = claimed(await ledger.admit(item(name), None if nameless else file(name)))
    await ledger.sending(claim, name, PICTURE)
    return claim


async def _read(ledger: RunLedger, name: str, *, nameless: bool = False) -> None:
    claim = await _sent(ledger, name, nameless=nameless)
    await ledger.answered(claim, name, ANSWER)
    await ledger.settle(claim, read(name))


async def _copied(ledger: RunLedger, name: str) -> None:
    await _read(ledger, name)
    await ledger.admit(item(name), file(f"{name} again"))


async def _page(ledger: RunLedger, name: str) -> None:
    claim = claimed(await ledger.admit(item(name, page=2, recipe="upright"), file(name, 2)))
    await ledger.sending(claim, name)
    await ledger.answered(claim, name, ANSWER)
    await ledger.settle(claim, read(name))
    ledger.add_files([file(name, 1)], "receipt")


async def _failed(ledger: RunLedger, name: str) -> None:
    claim = await _sent(ledger, name)
    await ledger.refused(claim, name, maybe_billed_before=False)
    await ledger.settle(claim, failed_settlement(REFUSED, name))


async def _ambiguous(ledger: RunLedger, name: str) -> None:
    claim = await _sent(ledger, name)
    await ledger.maybe_billed(claim, name)
    await ledger.settle(claim, ambiguous(name))


async def _answered_twice(ledger: RunLedger, name: str) -> None:
    """A request that was given up was answered after all, and sent again meanwhile."""
    claim = await _sent(ledger, name)
    await ledger.maybe_billed(claim, name)
    await ledger.settle(claim, ambiguous(name))
    await ledger.requeue(Billing.MAYBE_BILLED)
    again = await ledger.admit(item(name), file(name))
    await ledger.sending(claimed(again), f"{name} again")
    await ledger.answered(claim, name, ANSWER)
    await ledger.answered(claimed(again), f"{name} again", ANSWER)
    await ledger.settle(claimed(again), read(f"{name} again"))


async def _nameless(ledger: RunLedger, name: str) -> None:
    await _read(ledger, name, nameless=True)


async def _replaced(ledger: RunLedger, name: str) -> None:
    await _read(ledger, name)
    claim = claimed(await ledger.admit(item(f"{name} new"), file(name)))
    await ledger.settle(claim, Settlement(ItemEvent.SKIP, failure=UNREADABLE))


async def _rejected(ledger: RunLedger, name: str) -> None:
    await ledger.reject(file(name), "receipt", UNREADABLE)


async def _gone(ledger: RunLedger, name: str) -> None:
    await ledger.reject(file(name), "id-card", GONE)


async def _unread(ledger: RunLedger, name: str) -> None:
    ledger.add_files([file(name), SourceFile(b"/relative/not", None)], "receipt")


async def _claimed(ledger: RunLedger, name: str) -> None:
    await ledger.admit(item(name), file(name))


async def _interrupting(ledger: RunLedger, name: str) -> None:
    await ledger.set_interrupted(claimed(await ledger.admit(item(name), file(name))), 2)


async def _in_flight(ledger: RunLedger, name: str) -> None:
    await _sent(ledger, name)


async def _answered(ledger: RunLedger, name: str) -> None:
    await ledger.answered(await _sent(ledger, name), name, ANSWER)


async def _taken(ledger: RunLedger, name: str) -> None:
    ledger.add_files([file(name)], "receipt")
    await ledger.claim_files(["receipt"], 1)


_WORK = (
    _read, _copied, _page, _failed, _ambiguous, _answered_twice, _nameless, _replaced, _rejected, _gone, _unread
)  # fmt: skip
_LEFT = (_claimed, _interrupting, _in_flight, _answered, _taken)
FATES = tuple(one.__name__.removeprefix("_") for one in (*_WORK, *_LEFT))
"""What may become of an image."""


async def leave_run(store: Store, fates: Sequence[str], corrections: int = 0, **settings: object) -> None:
    """Leave a run with an image of each of some fates; no process is at work on it, and the last one was killed."""
    named = {one.__name__.removeprefix("_"): one for one in (*_WORK, *_LEFT)}
    chosen = [(named[fate], f"{number} {fate}") for number, fate in enumerate(fates)]
    async with store.open(max_calls=1_000, **settings) as ledger:
        await ledger.open_for(["local"])
        await ledger.set_base_folder("/")
        for act, name in chosen:
            if act in _WORK:
                await act(ledger, name)
        await ledger.recall(file("unknown"), "receipt")  # a settlement that is written later is written before it
    dead = store.open(process=dead_process(), **settings)
    await dead.__aenter__()
    for act, name in chosen:
        if act in _LEFT:
            await act(dead, name)
    await store.crash(dead)
    readable = [name for act, name in chosen if act in {_read, _copied}]
    with store.correct(seal=settings.get("seal")) as record:
        for name in readable:
            after = 0
            for number in range(corrections):
                change = Change(ChangeKind.CORRECT, "minji", "result.totalPrice.price", "canaryOLD", str(number))
                after = record.append(item(name), change, after=after).number
