from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any

import pikepdf
import PIL.Image
import pytest
from support.drawn import drawn
from support.fakes import JPEG, FakeTransport, Held, domain, steps, success
from support.files import heic, jpeg, opened, saved_pages
from support.pdfs import pdf_of, saved
from support.pdfs import written as pages_with_texts

from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.client.preparation_threads import PreparationThreads
from clova_ocr_async.documents import Picture, Receipt
from clova_ocr_async.errors import ConfigurationError, ImageError, RecognitionError
from clova_ocr_async.pictures import Page, Preparation
from clova_ocr_async.protocol.image import Image, ImageLimits

if TYPE_CHECKING:
    from pathlib import Path

    from support.fakes import Sent

    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.protocol.response import HTTPResponse

PREPARE = Preparation()


async def call(
    source: Any, prepare: Preparation | None = PREPARE, transport: FakeTransport | None = None, **settings: Any
) -> tuple[Recognition[Receipt], Sent]:
    """Recognize one image; return the recognition, and what was sent."""
    transport = transport or FakeTransport()
    async with ClovaOCRClient(domain(), transport=transport, prepare=prepare, **settings) as client:
        recognition = await client.recognize(source, Receipt)
    return recognition, transport.sent[-1]


async def refused(source: Any, prepare: Preparation | None = PREPARE, **settings: Any) -> str:
    """Return why an image is refused; nothing is sent."""
    transport = FakeTransport()
    with pytest.raises(ImageError) as caught:
        await call(source, prepare, transport, **settings)
    assert transport.sent == []
    return str(caught.value)


def written(path: Path, data: bytes) -> Path:
    """Write a file."""
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------------------------------------------------------------
# Preparation


async def test_a_photo_of_a_phone(tmp_path: Path) -> None:
    """A HEIC is sent as an upright JPEG under its own name, without a warning, and the recognition has the steps."""
    recognition, sent = await call(written(tmp_path / "photo.heic", heic()))
    assert (sent.parsed.format, sent.parsed.name) == ("jpg", "photo.heic")
    assert opened(sent.parsed.data).size == (640, 480)
    assert recognition.picture.steps[0] == "heic to jpeg"
    assert (recognition.picture.size, recognition.picture.sent_size) == ((640, 480), (640, 480))


async def test_a_rotated_jpeg_is_turned_on_request_only() -> None:
    """With preparation a rotated JPEG is sent upright and without its orientation, else byte for byte."""
    data = jpeg(6)
    recognition, sent = await call(data)
    assert opened(sent.parsed.data).size == (640, 480)
    assert opened(sent.parsed.data).getexif().get(274) is None
    assert "upright (EXIF 6)" in recognition.picture.steps
    recognition, sent = await call(data, None)
    assert sent.parsed.data == data
    assert recognition.picture == Picture(size=(640, 480), orientation=6)


@pytest.mark.parametrize("source", [jpeg(), Image(jpeg(), "a.jpg"), JPEG], ids=["bytes", "Image", "broken header"])
async def test_a_picture_that_needs_nothing_is_sent_byte_for_byte(source: Any) -> None:
    """A picture that the service takes is sent as it is, and the recognition has its size and no step."""
    recognition, sent = await call(source)
    assert sent.parsed.data == (source.data if isinstance(source, Image) else source)
    assert recognition.picture.steps == ()
    assert source is JPEG or recognition.picture.size == (640, 480)


async def test_an_image_is_prepared_under_its_name() -> None:
    """An Image that needs preparation is sent under the name that it was given."""
    _, sent = await call(Image(jpeg(3), "mine"))
    assert sent.parsed.name == "mine"


async def test_a_picture_over_the_limit_of_bytes_is_shrunk(tmp_path: Path) -> None:
    """A file that is larger than what may be sent is read and shrunk with preparation, and refused without."""
    path = written(tmp_path / "large.jpg", jpeg() + bytes(50_000))
    limits = ImageLimits(max_bytes=20_000, allow_truncated=True)
    assert "more than ImageLimits.max_bytes" in await refused(path, None, limits=limits)
    assert "more than ImageLimits.max_bytes" in await refused(path, Preparation(shrink=False), limits=limits)
    _, sent = await call(path, limits=limits)
    assert len(sent.parsed.data) <= 20_000
    _, sent = await call(path, limits=ImageLimits(max_bytes=None, allow_truncated=True))
    assert len(sent.parsed.data) > 50_000


async def test_a_file_too_large_to_be_shrunk(tmp_path: Path) -> None:
    """A file that is too large to be read is refused at once, by its size and by the limit that holds for it."""
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(256 * 2**20 + 1)
    message = "image 'huge.jpg' has 268,435,457 bytes, and files of more than 268,435,456 are not shrunk; scale it down"
    assert message in await refused(path)
    assert "more than ImageLimits.max_bytes, 52,428,800" in await refused(path, None)


async def test_a_pdf_that_cannot_be_split_is_refused_by_its_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A PDF that is encrypted or damaged is refused as that, under its name, and never with the advice to split it."""
    whole = pdf_of(3)
    locked = saved(pages_with_texts("a", "b"), encryption=pikepdf.Encryption(user="user", owner="owner"))
    cut = whole[: len(whole) // 2] + b"\nstartxref\n0\n%%EOF\n"
    lost = saved(pages_with_texts("a"), object_stream_mode=pikepdf.ObjectStreamMode.disable)
    lost = lost.replace(b"/Count 1", b"/Count 3")
    for name, data, fault in (
        ("locked.pdf", locked, "image 'locked.pdf' is encrypted and needs a password"),
        ("cut.pdf", cut, "image 'cut.pdf' is damaged, and parts of it may be lost"),
        ("lost.pdf", lost, "image 'lost.pdf' claims to have 3 pages, and only one can be found"),
    ):
        path = written(tmp_path / name, data)
        for source in (path, Image(data, name), data):
            for prepare in (None, Preparation(), Preparation(render=True)):
                expected = fault.replace(name, "image") if isinstance(source, bytes) else fault
                assert expected in await refused(source, prepare)
    assert caplog.records == []
    assert "has 3 pages, more than ImageLimits.max_pages, 1" in await refused(whole, None)
    small = ImageLimits(max_bytes=100)
    assert "more than ImageLimits.max_bytes" in await refused(saved(pages_with_texts("a")), None, limits=small)


async def test_a_heic_without_preparation_names_the_way_out() -> None:
    """A HEIC that may not be prepared is refused with the argument that prepares it."""
    assert "give the file to a client with prepare=Preparation()" in await refused(heic(), None)


async def test_a_picture_that_cannot_be_prepared_is_refused() -> None:
    """A broken HEIC and a picture bomb are refused by what is wrong, and nothing is sent."""
    assert "cut off" in await refused(heic()[:-100])
    bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x06\0\0\0" + bytes(4)
    assert "50,000 x 50,000 pixels" in await refused(bomb + b"\0\0\0\0IEND\xaeB`\x82")


async def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra an image that needs preparation is refused with the command that installs it."""
    monkeypatch.setitem(sys.modules, "clova_ocr_async.pictures.convert", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'clova-ocr-async\[pictures\]'"):
        await call(heic())
    recognition, _ = await call(jpeg())
    assert recognition.picture.steps == ()


async def test_settings_of_another_type_are_refused() -> None:
    """The client refuses a preparation that is not one, when it is made."""
    with pytest.raises(ConfigurationError, match="prepare is a bool; it must be a Preparation"):
        ClovaOCRClient(domain(), prepare=True)  # type: ignore[arg-type]


async def test_the_picture_of_an_answer_that_read_nothing() -> None:
    """The recognition in an error has its picture too."""

    async def nothing(sent: Sent) -> HTTPResponse:
        return success(sent.request, inferResult="FAILURE", message="no receipt")

    with pytest.raises(RecognitionError) as caught:
        await call(heic(), transport=FakeTransport(then=nothing))
    assert caught.value.recognition is not None
    assert caught.value.recognition.picture.steps[0] == "heic to jpeg"


# ---------------------------------------------------------------------------------------------------------------------
# Pages


@pytest.mark.parametrize("prepare", [None, PREPARE])
async def test_a_page_of_a_pdf(tmp_path: Path, prepare: Preparation | None) -> None:
    """A page of a PDF is sent as a PDF of its own; the picture that the service makes of it gives the sent size."""
    path = written(tmp_path / "scan.pdf", saved_pages("PDF", 3))

    async def converted(sent: Sent) -> HTTPResponse:
        return success(sent.request, convertedImageInfo={"width": 1056, "height": 720})

    recognition, sent = await call(Page(path, 3), prepare, FakeTransport(then=converted))
    assert (sent.parsed.format, sent.parsed.name) == ("pdf", "scan.pdf#3")
    picture = recognition.picture
    assert (picture.page, picture.size, picture.sent_size) == (3, (352, 240), (1056, 720))
    assert "has 3 pages, more than" in await refused(path, prepare)
    assert "read its pages with pages_in" in await refused(path, prepare)
    assert "has 3 pages, so no page 4" in await refused(Page(path, 4), prepare)


async def test_a_page_of_a_tiff(tmp_path: Path) -> None:
    """A page of a TIFF is cut as it is; with preparation it is turned as well, and both steps are recorded."""
    path = written(tmp_path / "fax.tiff", saved_pages("TIFF", 2))
    recognition, sent = await call(Page(path, 2), None)
    assert sent.parsed.format == "tiff"
    assert (recognition.picture.page, recognition.picture.orientation) == (2, 6)
    recognition, sent = await call(Page(path, 2))
    assert sent.parsed.format == "png"
    assert opened(sent.parsed.data).size == (240, 336)
    assert recognition.picture.page == 2
    assert recognition.picture.steps == ("page 2 of 2", "tiff to png", "upright (EXIF 6)")
    assert (recognition.picture.size, recognition.picture.sent_size) == ((240, 336), (240, 336))


async def test_a_page_that_needs_no_preparation(tmp_path: Path) -> None:
    """A page of a TIFF that needs no step is sent as it was cut, whatever the preparation."""
    path = written(tmp_path / "fax.tiff", saved_pages("TIFF", 2))
    plain, sent = await call(Page(path, 1), None)
    prepared, again = await call(Page(path, 1), Preparation(upright=False))
    assert (again.parsed.data, prepared.picture) == (sent.parsed.data, plain.picture)


async def test_the_only_page_of_a_file_is_the_file(tmp_path: Path) -> None:
    """Page 1 of a file of one page is the whole file."""
    path = written(tmp_path / "photo.jpg", jpeg())
    recognition, sent = await call(Page(path, 1))
    assert (sent.parsed.data, sent.parsed.name) == (jpeg(), "photo.jpg")
    assert recognition.picture.page is None
    assert "has 1 page, so no page 2" in await refused(Page(path, 2))


async def test_pages_of_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A page of a missing file, of a folder and of a broken file is refused by what is wrong with the file."""
    assert "No such file" in await refused(Page(tmp_path / "missing.pdf", 1))
    assert "it is a folder" in await refused(Page(tmp_path, 1))
    broken = written(tmp_path / "broken.pdf", b"%PDF-1.7 that is broken %%EOF")
    assert "broken.pdf" in await refused(Page(broken, 1))


async def test_rendering_on_request(tmp_path: Path) -> None:
    """Pages of PDFs are sent as pictures on request: also the only one, and never one of several for all of them."""
    one, three = written(tmp_path / "1.pdf", saved_pages("PDF", 1)), written(tmp_path / "3.pdf", saved_pages("PDF", 3))
    render = Preparation(render=True, dpi=72)
    for source, page in ((one, None), (Page(one, 1), None), (Page(three, 2), 2)):
        recognition, sent = await call(source, render)
        assert sent.parsed.format == "jpg"
        assert recognition.picture.page == page
    assert "has 3 pages, more than" in await refused(three, render)


# ---------------------------------------------------------------------------------------------------------------------
# Pictures of Pillow


async def test_a_picture_of_pillow() -> None:
    """A picture of Pillow is sent with its pixels, and with its steps; one with too many is shrunk."""
    recognition, sent = await call(drawn(), None)
    assert opened(sent.parsed.data).tobytes() == drawn().tobytes()
    assert recognition.picture.steps == ("PIL image to png",)
    recognition, sent = await call(drawn(), limits=ImageLimits(max_side=320))
    assert opened(sent.parsed.data).size == (320, 240)
    assert recognition.picture.steps == ("PIL image to png", "scaled 0.50")
    assert "the PIL image cannot be written" in await refused(PIL.Image.new("RGB", (0, 0)))


# ---------------------------------------------------------------------------------------------------------------------
# Threads


class Occupied(PreparationThreads):
    """Preparation threads with one place, which is taken until it is given free."""

    def __init__(self) -> None:
        super().__init__(1)
        self.free = threading.Event()
        self.asked = asyncio.Event()

    async def run(self, work: Any, size: int = 0) -> Any:
        """Note that a picture wants a place."""
        self.asked.set()
        return await super().run(work, size)

    def occupy(self) -> asyncio.Task[bool]:
        """Take the place."""
        return asyncio.create_task(super().run(lambda: self.free.wait(30)))


async def test_plain_pictures_never_wait_for_preparation(tmp_path: Path) -> None:
    """While a preparation is blocked, pictures that need none go out, from files and from memory."""
    threads, transport = Occupied(), FakeTransport()
    async with ClovaOCRClient(domain(), transport=transport, concurrency=50) as client:
        client.loader = ImageLoader(client.limits, PREPARE, threads)
        blocking = threads.occupy()
        waiting = [asyncio.create_task(client.recognize(source, Receipt)) for source in (heic(), drawn())]
        await threads.asked.wait()
        path = written(tmp_path / "plain.jpg", jpeg())
        async with asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(client.recognize(path if number % 2 else jpeg(), Receipt))
        assert len(transport.sent) == 50
        assert not any(task.done() for task in waiting)
        threads.free.set()
        await asyncio.wait([blocking, *waiting])
        assert len(transport.sent) == 52


async def test_a_call_that_is_cancelled_while_its_picture_is_prepared() -> None:
    """A call that is cancelled during preparation ends at once, and sends nothing."""
    threads, transport = Occupied(), FakeTransport()
    async with ClovaOCRClient(domain(), transport=transport) as client:
        client.loader = ImageLoader(client.limits, PREPARE, threads)
        blocking = threads.occupy()
        leaving = asyncio.create_task(client.recognize(heic(), Receipt))
        await threads.asked.wait()
        await steps()
        leaving.cancel()
        await asyncio.wait([leaving])
        assert leaving.cancelled()
        threads.free.set()
        await blocking
    assert transport.sent == []


async def test_a_late_answer_is_for_the_same_photo() -> None:
    """The answer to a photo whose caller has gone is given to the next call with it: it is prepared to equal bytes."""
    held = Held()
    transport = FakeTransport(held)
    async with ClovaOCRClient(domain(), transport=transport, prepare=PREPARE) as client:
        leaving = asyncio.create_task(client.recognize(heic(), Receipt))
        await held.reached.wait()
        await steps()
        leaving.cancel()
        await asyncio.wait([leaving])
        next_one = asyncio.create_task(client.recognize(heic(), Receipt))
        held.go_on.set()
        recognition = await next_one
    assert (recognition.attempts, len(transport.sent)) == (0, 1)
    assert recognition.picture.steps[0] == "heic to jpeg"
