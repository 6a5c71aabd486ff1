"""Pictures as people have them, sent to a local CLOVA, and the bill counted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.files import all_pages_in, heic, jpeg, saved_pages, write_long_ago
from support.ledgers import calls, states

from clova_ocr_async import ClovaOCRClient, Domain
from clova_ocr_async.batch import BatchDispatcher, Failure, Success, join_pages
from clova_ocr_async.documents import Receipt
from clova_ocr_async.emulator import Emulator, emulator_in_thread
from clova_ocr_async.errors import ConnectionLostError
from clova_ocr_async.pictures import Page, Preparation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import asyncio, pathlib, sys
from clova_ocr_async import BatchDispatcher, ClovaOCRClient, Domain, Preparation, Receipt, pages_in

async def main(url, secret, folder, run):
    images = [source for file in sorted(pathlib.Path(folder).iterdir()) for source in pages_in(file)]
    async with ClovaOCRClient(Domain(url, secret), prepare=Preparation(), concurrency=2) as client:
        async with BatchDispatcher(client, ledger=run).dispatch(images, Receipt) as outcomes:
            async for _ in outcomes:
                pass

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def clova() -> Iterator[Emulator]:
    """A local CLOVA."""
    with emulator_in_thread() as emulator:
        yield emulator


@pytest.fixture
def slow_clova() -> Iterator[Emulator]:
    """A local CLOVA whose calls take a while, so that some are in flight when their process is killed."""
    with emulator_in_thread(latency=0.5) as emulator:
        yield emulator


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a photo of a phone, a rotated one, a scan of four pages and a fax of two."""
    files = {
        "1-photo.heic": heic(),
        "2-rotated.jpg": jpeg(6),
        "3-scan.pdf": saved_pages("PDF", 4),
        "4-fax.tiff": saved_pages("TIFF", 2),
    }
    return write_long_ago(tmp_path / "in", files)


async def read(clova: Emulator, images: list[Any], run: Path | None, prepare: Preparation | None) -> list[Any]:
    """Read images in one batch."""
    async with (
        ClovaOCRClient(Domain(clova.url(), clova.secret), prepare=prepare) as client,
        BatchDispatcher(client, ledger=run).dispatch(images, Receipt, ordered=True) as outcomes,
    ):
        return [outcome async for outcome in outcomes]


@pytest.mark.parametrize("kept", [False, True])
async def test_each_picture_and_page_is_one_call(clova: Emulator, folder: Path, run: Path, kept: bool) -> None:
    """Photos and pages are read with one call each; in a run, a second batch costs nothing."""
    images = all_pages_in(folder)
    found = await read(clova, images, run if kept else None, Preparation())
    assert all(isinstance(outcome, Success) for outcome in found)
    assert clova.billed.total() == len(images) == 8
    assert [outcome.recognition.picture.page for outcome in found] == [None, None, 1, 2, 3, 4, 1, 2]
    assert [len(pages.succeeded) for pages in join_pages(found).values()] == [1, 1, 4, 2]
    fax = found[-1].recognition.picture
    assert (fax.steps, fax.sent_size) == (("page 2 of 2", "tiff to png", "upright (EXIF 6)"), (240, 336))
    assert found[4].recognition.picture.sent_size is not None  # of the picture that the service made of the page
    await read(clova, images, run if kept else None, Preparation())
    assert clova.billed.total() == (8 if kept else 16)


@pytest.mark.parametrize("kept", [False, True])
async def test_what_cannot_work_costs_nothing(clova: Emulator, folder: Path, run: Path, kept: bool) -> None:
    """Without preparation and pages, photos and files of several pages are refused by name and cost nothing."""
    (folder / "5-broken.pdf").write_bytes(b"%PDF-1.7 that is broken %%EOF")
    (folder / "6-video.heic").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    os.utime(folder / "5-broken.pdf", (1e9, 1e9))
    images = [folder / name for name in ("1-photo.heic", "3-scan.pdf", "4-fax.tiff", "5-broken.pdf", "6-video.heic")]
    found = await read(clova, [*images, Page(folder / "3-scan.pdf", 5)], run if kept else None, None)
    assert all(isinstance(outcome, Failure) for outcome in found)
    assert clova.billed.total() == clova.requests == 0


async def test_a_killed_batch_goes_on_with_pages_and_photos(slow_clova: Emulator, folder: Path, run: Path) -> None:
    """A batch that is killed while calls are in flight is resumed, and no photo or page is billed twice."""
    clova = slow_clova
    command = [sys.executable, "-c", PROGRAM, clova.url(), clova.secret, str(folder), str(run)]
    with subprocess.Popen(command) as process:  # noqa: ASYNC220 - another process, to be killed
        deadline = time.monotonic() + 60
        while clova.requests < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # noqa: ASYNC251 - nothing else runs here
        process.send_signal(signal.SIGKILL)
    found = await read(clova, all_pages_in(folder), run, Preparation())
    lost = [outcome for outcome in found if isinstance(outcome, Failure)]
    assert 1 <= len(lost) <= 2
    assert all(isinstance(outcome.error, ConnectionLostError) for outcome in lost)
    assert sorted(states(run)) == ["ambiguous"] * len(lost) + ["succeeded"] * (8 - len(lost))
    assert clova.billed.total() <= calls(run) == 8
