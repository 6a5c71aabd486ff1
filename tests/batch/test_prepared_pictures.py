from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.batches import batch_of
from support.drawn import drawn
from support.fakes import FakeTime, FakeTransport, Held, domain
from support.files import all_pages_in, heic, jpeg, saved_pages, write_long_ago
from support.ledgers import calls, eventually, opened, query, states
from support.zips import Member, write_zip

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.batch.hashing import FileHashes, hash_now
from clova_ocr_async.batch.window import Window
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.client.loading import ImageLoader, PreparedImage
from clova_ocr_async.client.preparation_threads import PreparationThreads
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ImageError
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.ledger import RunReader
from clova_ocr_async.ledger.states import SourceFile
from clova_ocr_async.pictures import Page, Preparation, pages_in
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.client.preparing import OpenedImage

PREPARE = Preparation()
FOUR = 4  # pages


class CountingLoader(ImageLoader):
    """A loader that counts the pictures it has made."""

    def __init__(self, prepare: Preparation | None) -> None:
        super().__init__(ImageLimits(), prepare)
        self.prepared = 0

    async def make(self, opened: OpenedImage) -> PreparedImage:
        """Count."""
        made = await super().make(opened)
        self.prepared += opened.needs_preparation
        return made


def client_of(transport: FakeTransport, loader: ImageLoader | None = None, **settings: Any) -> ClovaOCRClient:
    """Return a client over a fake transport, with a loader."""
    client = ClovaOCRClient(
        domain(), transport=transport, runtime=FakeTime().runtime(), **({"concurrency": 4} | settings)
    )
    client.loader = loader or client.loader
    return client


async def batch(
    run: Any, images: list[Any], prepare: Preparation | None = PREPARE, loader: ImageLoader | None = None
) -> tuple[list[Any], FakeTransport]:
    """Read images in a run, or without one; return their outcomes, and the transport."""
    transport = FakeTransport()
    client = client_of(transport, loader or ImageLoader(ImageLimits(), prepare))
    async with BatchDispatcher(client, ledger=run).dispatch(images, Receipt, ordered=True) as outcomes:
        return [outcome async for outcome in outcomes], transport


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with pictures of every kind, written long ago."""
    files = {
        "photo.heic": heic(),
        "rotated.jpg": jpeg(6),
        "plain.jpg": jpeg(),
        "scan.pdf": saved_pages("PDF", FOUR),
        "fax.tiff": saved_pages("TIFF", 2),
    }
    return write_long_ago(tmp_path / "in", files)


def hashes_in(folder: Path) -> set[bytes]:
    """Return the hashes of the files of a folder."""
    return {hashlib.sha256(file.read_bytes()).digest() for file in folder.iterdir()}


def items(run: Path) -> set[tuple[Any, ...]]:
    """Return page and recipe of each item; page 0 is the whole file."""
    return set(query(run, "SELECT page, recipe FROM item"))


async def test_every_kind_of_picture_is_read_once(folder: Path, run: Path) -> None:
    """A run reads photos, pages of PDFs and pages of faxes once; its next batch sends and prepares nothing."""
    images = all_pages_in(folder)
    found, transport = await batch(run, images)
    assert [str(outcome.source) for outcome in found if isinstance(outcome, Success)] == list(map(str, images))
    assert (len(transport.sent), calls(run)) == (9, 9)
    loader = CountingLoader(PREPARE)
    again, transport = await batch(run, images, loader=loader)
    assert (transport.sent, loader.prepared) == ([], 0)
    assert [outcome.billed for outcome in again] == [False] * 9
    assert [outcome.recognition.picture for outcome in again] == [outcome.recognition.picture for outcome in found]


async def test_what_an_item_is(folder: Path, run: Path) -> None:
    """An item is named by the hash of its file, its page, and the steps that its picture needed."""
    await batch(run, all_pages_in(folder))
    recipes = {(page, recipe.partition(";")[0]) for page, recipe in items(run)}
    assert recipes == {(0, ""), (0, "1"), (1, ""), (2, ""), (3, ""), (4, ""), (1, "1"), (2, "1")}
    hashes = {bytes(value) for (value,) in query(run, "SELECT sha256 FROM item")}
    assert hashes == hashes_in(folder)


async def test_copied_pages_and_photos_cost_nothing(folder: Path, run: Path) -> None:
    """Copies of files, under other names and in memory, are paid once and prepared once."""
    loader = CountingLoader(PREPARE)
    for name, copy in {"photo.heic": "copy.heic", "scan.pdf": "copy.pdf"}.items():
        (folder / copy).write_bytes((folder / name).read_bytes())
        os.utime(folder / copy, (1e9, 1e9))
    images = [folder / "photo.heic", folder / "copy.heic", heic(), Page(folder / "scan.pdf", 2)]
    found, transport = await batch(run, [*images, Page(folder / "copy.pdf", 2)], loader=loader)
    assert all(isinstance(outcome, Success) for outcome in found)
    assert (len(transport.sent), loader.prepared) == (2, 2)


async def test_preparation_bills_no_plain_picture_again(tmp_path: Path, run: Path) -> None:
    """A finished run of plain pictures is billed nothing with preparation, touched or not, and the other way around."""
    paths = [tmp_path / f"{number}.jpg" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(number=number))
        os.utime(path, (1e9, 1e9))
    await batch(run, list(paths), None)
    for again in (PREPARE, Preparation(quality=50), None):
        for path in paths:
            path.touch()
        found, transport = await batch(run, list(paths), again)
        assert transport.sent == []
        assert all(isinstance(outcome, Success) for outcome in found)
    assert calls(run) == 3


async def test_the_only_page_is_billed_once(tmp_path: Path, run: Path) -> None:
    """A file of one page is one item, whether it is given as a path, as its page 1, or by its bytes."""
    for name, data in {"a.jpg": jpeg(), "b.pdf": saved_pages("PDF", 1)}.items():
        path = tmp_path / name
        path.write_bytes(data)
        found, transport = await batch(run, [path, Page(path, 1), data, *pages_in(path)])
        assert len(transport.sent) == 1
        assert all(isinstance(outcome, Success) for outcome in found)
    assert items(run) == {(0, "")}


async def test_the_record_of_a_page(folder: Path, run: Path) -> None:
    """The run keeps the page of each name, and the picture that was sent for it."""
    await batch(run, [Page(folder / "scan.pdf", 3)])
    with RunReader(run) as reader:
        (record,) = reader.records()
    assert (record.path, record.page) == (str(folder / "scan.pdf"), 3)
    assert record.entry is not None
    assert b'"page":3' in record.entry.picture


async def test_pages_that_cannot_be_read(folder: Path, run: Path) -> None:
    """A page that a file has not, and pages of a broken file, are refused by name and billed nothing."""
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 that is broken %%EOF")
    os.utime(folder / "broken.pdf", (1e9, 1e9))
    images = [Page(folder / "scan.pdf", 9), Page(folder / "broken.pdf", 1), folder / "broken.pdf", folder / "scan.pdf"]
    for _ in range(2):
        found, transport = await batch(run, images)
        assert all(isinstance(outcome.error, ImageError) for outcome in found)
        assert transport.sent == []
    assert "has 4 pages, so no page 9" in str(found[0].error)
    with RunReader(run) as reader:
        assert {record.status for record in reader.records()} == {"skipped"}


class ChangingLoader(ImageLoader):
    """A loader before which a file is replaced, between its hash and the cutting of its page."""

    def __init__(self, path: Path, data: bytes | None) -> None:
        super().__init__(ImageLimits())
        self._path, self._data = path, data

    async def make(self, opened: OpenedImage) -> PreparedImage:
        """Replace the file first."""
        if self._data is None:
            self._path.unlink()
        else:
            self._path.write_bytes(self._data)
        return await super().make(opened)


@pytest.mark.parametrize("data", [saved_pages("PDF", 3), None], ids=["changed", "gone"])
async def test_a_file_that_changes_between_its_hash_and_its_page(folder: Path, run: Path, data: bytes | None) -> None:
    """A page of a file that was replaced after it was hashed is refused, not sent, and its item stays to be sent."""
    path = folder / "scan.pdf"
    before = path.read_bytes()
    found, transport = await batch(run, [Page(path, 2)], loader=ChangingLoader(path, data))
    assert isinstance(found[0], Failure)
    assert "changed while it was read" in str(found[0].error)
    assert (transport.sent, states(run), calls(run)) == ([], ["queued"], 0)
    path.write_bytes(before)
    found, transport = await batch(run, [Page(path, 2)])
    assert isinstance(found[0], Success)
    assert len(transport.sent) == 1


def test_a_tiff_that_changes_between_its_hash_and_its_page(folder: Path) -> None:
    """A page of a TIFF whose file is replaced after it was hashed is refused, before it is on record."""
    path = folder / "fax.tiff"

    class Replacing(FileHashes):
        """Hashes of files, of which one is replaced as soon as it was hashed."""

        def facts(self, path: str, now: float) -> Any:
            """Replace the file afterwards."""
            found = super().facts(path, now)
            (folder / "fax.tiff").write_bytes(saved_pages("TIFF", 3))
            return found

    with pytest.raises(ImageError, match="changed while it was read"):
        hash_now(Page(path, 1), ImageLimits(), PREPARE, Replacing(), lambda: 1e11)


async def test_a_batch_without_a_ledger(folder: Path) -> None:
    """Without a ledger a batch reads the same pictures, and each outcome has its picture."""
    images = all_pages_in(folder)
    found, transport = await batch(None, images)
    assert all(isinstance(outcome, Success) for outcome in found)
    assert len(transport.sent) == 9
    assert [outcome.recognition.picture.page for outcome in found] == [1, 2, None, None, None, 1, 2, 3, 4]


async def test_pictures_of_pillow_in_a_run(run: Path) -> None:
    """Equal pictures of Pillow are one item, whatever the object."""
    found, transport = await batch(run, [drawn(), drawn(), drawn(2)])
    assert [type(outcome) for outcome in found] == [Success] * 3
    assert len(transport.sent) == 2


async def test_slots_stay_busy_while_pictures_are_prepared(run: Path) -> None:
    """While all slots wait for answers, the next pictures are prepared, so that a slot that becomes free is filled."""
    loader, held = CountingLoader(PREPARE), Held()
    transport = FakeTransport(then=held)
    client = client_of(transport, loader, concurrency=5)
    images = [jpeg(6, number=number) for number in range(30)]
    async with BatchDispatcher(client, ledger=run).dispatch(images, Receipt) as outcomes:
        await eventually(lambda: transport.in_flight == 5 and loader.prepared == 5 + 4)
        held.go_on.set()
        assert [type(outcome) async for outcome in outcomes] == [Success] * 30


class Gauge(PreparationThreads):
    """Preparation threads in which each conversion seems to take most of the memory that a batch may have."""

    def __init__(self) -> None:
        super().__init__(8)
        self.sizes: list[int] = []

    async def run(self, work: Any, size: int = 0) -> Any:
        """Note the size of the work."""
        self.sizes.append(size)
        return await super().run(work, size)


@pytest.mark.parametrize("kept", [False, True])
async def test_memory_of_conversions_is_counted(run: Path, kept: bool) -> None:
    """The memory of a conversion counts from the reading of its image to its end, and then the prepared bytes do."""
    held, threads = Held(), Gauge()
    transport = FakeTransport(then=held)
    client = client_of(transport, ImageLoader(ImageLimits(), PREPARE, threads), concurrency=2)
    batch = BatchDispatcher(client, ledger=run if kept else None).dispatch([jpeg(6), jpeg(8)], Receipt)
    window = batch._intake._window  # noqa: SLF001 - what is counted shows nowhere else
    async with batch as outcomes:
        await eventually(lambda: transport.in_flight == 2)
        assert window.bytes_held - len(jpeg(6)) - len(jpeg(8)) == sum(len(sent.parsed.data) for sent in transport.sent)
        assert min(threads.sizes) > 640 * 480 * 3
        held.go_on.set()
        assert [type(outcome) async for outcome in outcomes] == [Success] * 2


def test_a_file_is_hashed_and_counted_once_for_all_its_pages(folder: Path) -> None:
    """A file of several pages is read once for its hash; a new one is read each time, and old ones are forgotten."""
    counted: list[Any] = []

    def count(file: str) -> int:
        counted.append(file)
        return 7

    hashes = FileHashes(1, count)
    path, other = str(folder / "scan.pdf"), str(folder / "fax.tiff")
    later = (folder / "scan.pdf").stat().st_ctime + 100
    assert hashes.facts(path, later) == (hashlib.sha256((folder / "scan.pdf").read_bytes()).digest(), 7)
    hashes.facts(path, later)
    assert counted == [path]
    hashes.facts(other, later)
    hashes.facts(path, later)
    assert counted == [path, other, path]
    young = FileHashes(count=count)
    young.facts(path, later - 100)
    young.facts(path, later - 100)
    assert counted[3:] == [path, path]


def test_a_file_that_changes_while_it_is_hashed(folder: Path) -> None:
    """A file that changes while it is hashed and counted has neither."""
    path = folder / "scan.pdf"

    def count(_: object) -> int:
        path.write_bytes(saved_pages("PDF", 2))
        return 2

    with pytest.raises(ImageError, match="changed while it was read"):
        FileHashes(count=count).facts(str(path), 1e11)
    path.unlink()
    with pytest.raises(ImageError, match="No such file"):
        FileHashes().facts(str(path), 1e11)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("prepare", [None, PREPARE])
async def test_pages_of_a_file_in_an_archive(folder: Path, run: Path, kept: bool, prepare: Preparation | None) -> None:
    """Pages are cut out of a file in an archive, also of one that is too large to be sent; nothing is billed twice."""
    members = [Member(name.encode(), (folder / name).read_bytes()) for name in ("scan.pdf", "fax.tiff")]
    archive = write_zip(folder / "a.zip", *members)
    os.utime(archive, (1e9, 1e9))
    sources = [page for member in members for page in pages_in(f"{archive}!/{member.name.decode()}")]
    pages = len(sources)
    largest = max(len(member.data) for member in members)
    loader = ImageLoader(ImageLimits(max_bytes=largest - 1), prepare)
    found, transport = await batch(run if kept else None, sources, loader=loader)
    assert [outcome.recognition.picture.page for outcome in found] == [1, 2, 3, 4, 1, 2]
    assert (len(transport.sent), calls(run) if kept else pages) == (pages, pages)
    if kept:
        loader = ImageLoader(ImageLimits(), prepare)
        files = [page for member in members for page in pages_in(folder / member.name.decode())]
        assert [outcome.billed for outcome in (await batch(run, [*files, *sources], loader=loader))[0]] == [False] * 12


async def test_a_page_of_a_file_that_is_still_being_written(folder: Path, run: Path) -> None:
    """A page of a file that was written just now and is cut off becomes no item, and is read once it is whole."""
    data, path = (folder / "scan.pdf").read_bytes(), folder / "new.pdf"
    path.write_bytes(data[: len(data) // 2])

    async def sleep(_: float) -> None:
        if len(path.read_bytes()) < len(data):
            path.write_bytes(data)
        await asyncio.sleep(0)

    client = client_of(FakeTransport(), ImageLoader(ImageLimits(), PREPARE))
    dispatcher = BatchDispatcher(client, ledger=run, runtime=Runtime(sleep=sleep))
    async with dispatcher.dispatch([Page(path, 2)], Receipt) as outcomes:
        assert [type(outcome) async for outcome in outcomes] == [Success]
    assert states(run) == ["succeeded"]


async def test_a_listed_page_whose_file_has_a_single_page_by_now(tmp_path: Path, run: Path) -> None:
    """A run that has listed page 1 of a file, which was replaced by a file of one page, reads that, and is finished."""
    path = tmp_path / "scan.pdf"
    path.write_bytes(saved_pages("PDF", 1))
    os.utime(path, (1e9, 1e9))
    client = client_of(FakeTransport())
    async with opened(run) as ledger:
        await asyncio.to_thread(ledger.add_files, [SourceFile(os.fsencode(path), None, page=1)], "receipt")
        (listed,) = await ledger.claim_files(["receipt"], 10)
        window = Window(200, 1)
        images = [Page(os.fsdecode(listed.path), listed.page or 0)]
        async with batch_of(client, images, window, ledger=ledger, listed=True) as outcomes:
            assert [type(outcome) async for outcome in outcomes] == [Success]
        await ledger.release_files(["receipt"])
        assert await ledger.claim_files(["receipt"], 10) == []


@pytest.mark.parametrize("kept", [False, True])
async def test_a_missing_extra_stops_the_batch(run: Path, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra a batch stops at the first photo with the command that installs it, and no item is given up."""
    monkeypatch.setitem(sys.modules, "clova_ocr_async.pictures.convert", None)
    found, transport = await batch(run if kept else None, [heic(), heic(3)])
    assert "pip install 'clova-ocr-async[pictures]'" in str(found[0].error)
    assert transport.sent == []
    assert not kept or set(states(run)) == {"queued"}


def test_a_broken_file_in_an_archive_has_no_hash(tmp_path: Path) -> None:
    """A file of pages whose content in an archive is broken is refused by its name before a page is cut."""
    member = Member(b"fax.tif", saved_pages("TIFF", 2), checksum=1)
    path = f"{write_zip(tmp_path / 'a.zip', member)}!/fax.tif"
    with pytest.raises(ImageError, match=r"a\.zip!/fax\.tif: it is broken: its content does not match its checksum"):
        FileHashes().facts(path, 2e9)
