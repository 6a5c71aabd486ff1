"""Batches with a ledger, their pictures, and a full disk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch import BatchDispatcher, Failure
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ClovaOCRError, DiskFullError
from support.fakes import JPEG, FakeTime, FakeTransport, domain

if TYPE_CHECKING:
    from pathlib import Path


def picture(text: str) -> bytes:
    """Return a picture unlike any other."""
    return JPEG[:4] + text.encode() + JPEG[4:]


def pictures(folder: Path, *names: str) -> list[str]:
    """Write pictures, each with the bytes of its name's first letter, and long ago."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(picture(name[0]))
        os.utime(folder / name, (1e9, 1e9))
    return [str(folder / name) for name in names]


async def batch(
    run: Any, images: list[Any], transport: FakeTransport, *, concurrency: int = 4, **settings: Any
) -> tuple[list[Any], ClovaOCRError | None]:
    """Run a batch to its end; return its outcomes, and the error that stopped it."""
    client = ClovaOCRClient(
        domain(), transport=transport, runtime=FakeTime().runtime(), **({"concurrency": 4} | settings)
    )
    async with BatchDispatcher(client, concurrency, ledger=run).dispatch(images, Receipt, ordered=True) as outcomes:
        found = [outcome async for outcome in outcomes]
    return found, outcomes.stopped


def errors_of(found: list[Any]) -> list[ClovaOCRError]:
    """Return the errors of outcomes that all failed."""
    assert all(isinstance(outcome, Failure) for outcome in found)
    return [outcome.error for outcome in found]


class FullDisk:
    """A watch of a ledger that fails before some commits."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, where: str) -> None:
        """Fail as a full disk does."""
        if where.removeprefix("before commit of ") in self.names:
            raise DiskFullError("made up: the disk is full")
