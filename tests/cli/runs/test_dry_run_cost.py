from __future__ import annotations

import asyncio
import itertools
import os
import threading
from pathlib import Path

import pytest
from support.fakes import JPEG, FakeTransport, domain

from clova_ocr_async.batch import BatchDispatcher
from clova_ocr_async.batch.sources.listed_image import ListedImage
from clova_ocr_async.cli.runs.dry_run import DryRun, dry_run
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.documents import Receipt
from clova_ocr_async.ledger import RunReader
from clova_ocr_async.protocol.image import ImageLimits


@pytest.fixture
def known(tmp_path: Path) -> list[str]:
    """Files that a run has read."""
    paths = [str(tmp_path / f"{number}.jpg") for number in range(3)]
    for path in paths:
        Path(path).write_bytes(JPEG)
        os.utime(path, (1e9, 1e9))

    async def read() -> None:
        client = ClovaOCRClient(domain(), transport=FakeTransport())
        async with BatchDispatcher(client, ledger=tmp_path / "run").dispatch(paths, Receipt) as outcomes:
            assert len([outcome async for outcome in outcomes]) == 3

    asyncio.run(read())
    return paths


def test_files_cost_no_thread_each(known: list[str], tmp_path: Path) -> None:
    """A dry run looks at files, and reads new ones, without a thread for each, which would cost more than the look."""
    new = tmp_path / "new.jpg"
    new.write_bytes(JPEG + JPEG)
    with RunReader(str(tmp_path / "run")) as reader:
        dry = DryRun(["receipt"], reader, once=True, loader=ImageLoader(ImageLimits()))

        async def look() -> list[str]:
            for path in [*known, str(new)]:
                await dry.add(ListedImage(path, document="receipt"))
            return [thread.name for thread in threading.enumerate() if thread.name.startswith("AnyIO")]

        assert asyncio.run(look()) == []
    assert (dry.billable, dry.not_sent) == (1, {"answered already": 3})


@pytest.mark.parametrize("kind", ["known", "new"])
def test_a_dry_run_can_be_interrupted(kind: str, known: list[str], tmp_path: Path) -> None:
    """A dry run over files without end, known ones or new ones, lets an interrupt through."""
    folder = str(tmp_path / "run") if kind == "known" else None

    async def interrupted() -> None:
        task = asyncio.create_task(
            dry_run(
                ["receipt"],
                itertools.cycle(known),
                folder=folder,
                retry_billings=(),
                max_calls=None,
                price=None,
                loader=ImageLoader(ImageLimits()),
                search=Search(()),
            )
        )
        asyncio.get_running_loop().call_later(0.05, task.cancel)
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
