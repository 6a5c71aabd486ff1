from __future__ import annotations

import asyncio
import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import JPEG, FakeTransport, domain

from clova_ocr_async.batch import BatchDispatcher
from clova_ocr_async.batch.hashing import file_at
from clova_ocr_async.cli.runs.dry_run import DryRun, dry_run
from clova_ocr_async.cli.runs.inputs import Search
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ImageError
from clova_ocr_async.ledger import RunReader, SqliteLedger
from clova_ocr_async.ledger.settlement import encode_failure
from clova_ocr_async.ledger.states import Item, ItemEvent, Settlement, SourceFile
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

    from clova_ocr_async.ledger.states import Entry


async def read(paths: list[str], run: Path) -> None:
    """Read files into a run."""
    client = ClovaOCRClient(domain(), transport=FakeTransport())
    async with BatchDispatcher(client, ledger=run).dispatch(paths, Receipt) as outcomes:
        assert len([outcome async for outcome in outcomes]) == len(paths)


def in_a_thread(work: Coroutine[Any, Any, None]) -> None:
    """Do some work as another process would, while the caller waits."""
    with ThreadPoolExecutor() as other:
        other.submit(asyncio.run, work).result()


@pytest.fixture
def known(tmp_path: Path) -> list[str]:
    """Files that a run has refused, and knows by their stamps."""
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]

    async def refuse() -> None:
        async with SqliteLedger(tmp_path / "run") as ledger:
            for number, path in enumerate(paths):
                path.write_bytes(JPEG)
                claim = (await ledger.admit(Item(bytes([number]) * 32, "receipt"), file_at(path))).claim
                assert claim is not None
                await ledger.settle(claim, Settlement(ItemEvent.SKIP))

    asyncio.run(refuse())
    return [str(path) for path in paths]


def test_files_cost_no_thread_each(known: list[str], tmp_path: Path) -> None:
    """A dry run looks at files, and reads new ones, without a thread for each, which would cost more than the look."""
    new = tmp_path / "new.jpg"
    new.write_bytes(JPEG + JPEG)
    with RunReader(str(tmp_path / "run")) as reader:
        dry = DryRun(["receipt"], reader, once=True, loader=ImageLoader(ImageLimits()))

        async def look() -> list[str]:
            await dry.add([*known, str(new)])
            return [thread.name for thread in threading.enumerate() if thread.name.startswith("AnyIO")]

        assert asyncio.run(look()) == []
    assert (dry.counts.billable, dry.counts.not_sent) == (1, {"refused before": 3})


async def test_files_are_looked_up_at_one_moment(known: list[str], tmp_path: Path) -> None:
    """A batch that changes the run meanwhile changes nothing of the picture that a dry run gives of some files."""
    run = tmp_path / "run"

    async def reject() -> None:
        async with SqliteLedger(run) as other:
            for path in known:
                await other.reject(SourceFile(os.fsencode(path)), "receipt", encode_failure(ImageError("unreadable")))

    class BusyReader(RunReader):
        """A view of a run in which each look is followed by a change."""

        def recall(self, file: SourceFile, document: str) -> Entry | None:
            """Find a file, then let another process reject all files."""
            found = super().recall(file, document)
            in_a_thread(reject())
            return found

        def find(self, item: Item) -> Entry | None:
            """Fail: a file that was rejected meanwhile is looked for by its bytes."""
            raise AssertionError(item)

    async with SqliteLedger(run):
        with BusyReader(str(run)) as reader:
            dry = DryRun(["receipt"], reader, once=True, loader=ImageLoader(ImageLimits()))
            await dry.add(known)
    assert (dry.counts.found, dry.counts.not_sent) == (3, {"refused before": 3})


def test_an_image_that_is_read_meanwhile_is_counted_once(tmp_path: Path) -> None:
    """A file that was left in the run, and that a batch reads before the dry run finds it, is one image."""
    run, left = tmp_path / "run", tmp_path / "left.jpg"
    left.write_bytes(JPEG)

    async def add() -> None:
        async with SqliteLedger(run) as ledger:
            ledger.add_files([SourceFile(os.fsencode(left))], "receipt")

    def found_late() -> Iterator[str]:
        in_a_thread(read([str(left)], run))
        yield str(left)

    asyncio.run(add())
    with RunReader(str(run)) as reader:
        dry = DryRun(["receipt"], reader, once=True, loader=ImageLoader(ImageLimits()))
        asyncio.run(dry.add(found_late()))
    assert (dry.counts.found, dry.counts.billable, dry.counts.not_sent) == (1, 0, {"answered already": 1})


@pytest.mark.parametrize("kind", ["known", "new"])
def test_a_dry_run_can_be_interrupted(kind: str, known: list[str], tmp_path: Path) -> None:
    """A dry run over files without end, known ones or new ones, lets an interrupt through."""
    folder = str(tmp_path / "run") if kind == "known" else None

    async def interrupted() -> None:
        task = asyncio.create_task(
            dry_run(
                ["receipt"],
                itertools.cycle(known),
                run=folder,
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
