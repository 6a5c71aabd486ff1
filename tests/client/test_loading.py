from __future__ import annotations

import io
import os
import socket
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from starlette.datastructures import UploadFile
from support.fakes import JPEG

from clova_ocr_async.client.image_bytes import read_unchanged
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.client.preparing import pdf_page_counter
from clova_ocr_async.documents import Receipt
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.errors import ImageError
from clova_ocr_async.protocol.image import Image, ImageLimits

if TYPE_CHECKING:
    from collections.abc import Callable

PDFS = Path(__file__).parents[1] / "samples" / "pdf"
PNG_WIDE = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
    + (9000).to_bytes(4, "big")
    + (10).to_bytes(4, "big")
    + b"\x08\0\0\0\0"
    + b"\0\0\0\0IEND"
)


async def refused(source: Any, limits: ImageLimits | None = None) -> str:
    """Return why an image is refused."""
    with pytest.raises(ImageError) as caught:
        await ImageLoader(limits or ImageLimits()).load(source)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A picture on disk."""
    path = tmp_path / "lunch.jpg"
    path.write_bytes(JPEG)
    return path


def positioned(file: Any) -> Any:
    """Write the picture, and stand somewhere in it."""
    file.write(JPEG)
    file.seek(6)
    return file


class AsyncUpload:
    """An upload of a web framework: its own read is for the event loop, its file is a plain one."""

    def __init__(self, data: bytes, filename: str | None = "lunch.jpg") -> None:
        self.file = io.BytesIO(data)
        self.file.seek(len(data))
        self.filename = filename

    async def read(self, size: int = -1) -> bytes:
        """Return what is left."""
        return self.file.read(size)


async def starlette_upload() -> UploadFile:
    """Return an upload of Starlette, as a form leaves it after it was written."""
    upload = UploadFile(io.BytesIO(), filename="lunch.jpg")
    await upload.write(JPEG)
    return upload


def at_end(file: Any) -> Any:
    """Read a file to its end."""
    file.read()
    return file


KINDS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "str": (str, "lunch.jpg"),
    "Path": (lambda path: path, "lunch.jpg"),
    "bytes": (lambda _: JPEG, "image"),
    "bytearray": (lambda _: bytearray(JPEG), "image"),
    "memoryview": (lambda _: memoryview(JPEG), "image"),
    "a strided memoryview": (lambda _: memoryview(bytes(x for byte in JPEG for x in (byte, 0)))[::2], "image"),
    "BytesIO mid-way": (lambda _: positioned(io.BytesIO()), "image"),
    "spooled": (lambda _: positioned(tempfile.SpooledTemporaryFile()), "image"),  # noqa: SIM115 - closed below
    "rolled over": (lambda _: positioned(tempfile.SpooledTemporaryFile(3)), "image"),  # noqa: SIM115 - closed below
    "open file": (lambda path: path.open("rb"), "lunch.jpg"),
    "unbuffered": (lambda path: path.open("rb", buffering=0), "lunch.jpg"),
    "by descriptor": (lambda path: os.fdopen(os.open(path, os.O_RDONLY), "rb"), "image"),
    "at its end": (lambda path: at_end(path.open("rb")), "lunch.jpg"),
    "upload": (lambda _: AsyncUpload(JPEG), "lunch.jpg"),
    "upload without a name": (lambda _: AsyncUpload(JPEG, None), "image"),
    "Image": (lambda _: Image(JPEG, "own.png"), "own.png"),
}


@pytest.mark.parametrize("max_bytes", [None, 1000])
@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_of_source(file: Path, kind: str, max_bytes: int | None) -> None:
    """Every kind of source gives the picture's bytes and its name, and a file stays open."""
    make, name = KINDS[kind]
    source = make(file)
    image = (await ImageLoader(ImageLimits(max_bytes=max_bytes)).load(source)).image
    assert (image.data, image.name) == (JPEG, name)
    if hasattr(source, "close"):
        assert not source.closed
        source.close()


async def test_a_pipe_is_read_to_its_end() -> None:
    """A file that gives less than it is asked for is read until it ends."""
    reading, writing = os.pipe()
    data = JPEG + b"x" * 300_000
    with os.fdopen(reading, "rb", buffering=0) as pipe, os.fdopen(writing, "wb") as other:
        async with anyio.create_task_group() as group:

            def feed() -> None:
                other.write(data)
                other.close()

            group.start_soon(anyio.to_thread.run_sync, feed)
            assert (await ImageLoader(ImageLimits()).load(pipe)).image.data == data


class Endless:
    """A file without end."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int = -1, /) -> bytes:
        """Give some of what is asked for."""
        assert size > 0
        self.given += min(size, 700)
        return (JPEG + b"x" * 700)[: min(size, 700)]


async def test_an_endless_file_is_read_to_its_limit_only() -> None:
    """Of an endless file one byte over the limit is read, and it is refused."""
    endless = Endless()
    assert "has 10,001 bytes" in await refused(endless, ImageLimits(max_bytes=10_000))
    assert endless.given == 10_001


async def test_files_that_cannot_be_read(file: Path) -> None:
    """Files that are for text, closed, for writing, asynchronous or broken are refused by what is wrong."""
    with file.open(encoding="latin-1") as text:
        assert "str; open it in binary mode" in await refused(text)
    with file.open("rb") as closed:
        pass
    assert "closed file" in await refused(closed)
    with file.open("ab") as writing:
        assert "cannot be read" in await refused(writing)

    class Upload:
        async def read(self, size: int = -1, /) -> bytes:
            return JPEG[:size]

    assert "a coroutine; await it" in await refused(Upload())

    def broken(_: int) -> bytes:
        raise EOFError("the archive is cut")

    assert await refused(SimpleNamespace(read=broken)) == "the file cannot be read: the archive is cut"
    assert "is empty" in await refused(io.BytesIO())


@pytest.mark.parametrize("source", [None, 7, object(), ["a.jpg"]])
async def test_what_is_no_source(source: Any) -> None:
    """A source of another type is refused by its type."""
    assert f"the image is a {type(source).__name__}" in await refused(source)


async def test_what_is_no_file(tmp_path: Path) -> None:
    """A folder, a pipe, a socket and a device are refused at once, and never block."""
    assert "see images_in" in await refused(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "pipe, a socket or a device" in await refused(tmp_path / "pipe")
    assert "pipe, a socket or a device" in await refused("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        assert await refused(tmp_path / "socket") == f"{tmp_path / 'socket'}: not a file"


async def test_refused_paths_leave_nothing_open(tmp_path: Path) -> None:
    """A path that is refused leaves no descriptor open."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    for _ in range(20):
        await refused(tmp_path)
        await refused("/dev/zero")
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208 - a count


async def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    """A missing file, an empty path and an impossible one are refused, in a text that can be printed."""
    assert await refused(tmp_path / "missing.jpg") == f"{tmp_path / 'missing.jpg'}: No such file or directory"
    assert "No such file" in await refused("")
    assert "NUL" in await refused("a\0b")
    assert "no path can hold" in await refused("a\ud800b")
    (await refused(os.fsdecode(bytes(tmp_path) + b"/\xff.jpg"))).encode()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_no_permission(file: Path) -> None:
    """A file one may not read is refused."""
    await anyio.Path(file).chmod(0)
    assert "Permission denied" in await refused(file)


async def test_an_undecodable_name(tmp_path: Path) -> None:
    """A name that is not UTF-8 is sent with its odd bytes replaced."""
    path = os.fsdecode(bytes(tmp_path) + b"/\xb0\xa1.jpg")
    await anyio.Path(path).write_bytes(JPEG)
    assert (await ImageLoader(ImageLimits()).load(path)).image.name == "??.jpg"
    with open(path, "rb") as file:  # noqa: ASYNC230, PTH123 - a file as callers open it
        assert (await ImageLoader(ImageLimits()).load(file)).image.name == "??.jpg"


async def test_a_huge_file_is_refused_by_its_size(tmp_path: Path) -> None:
    """A file of 10 GB is refused without being read."""
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(10 * 1024**3)
    assert "10,737,418,240 bytes" in await refused(tmp_path / "huge.jpg")


async def test_limits_hold_for_every_kind() -> None:
    """The limits hold for bytes and files alike, to the byte."""
    exact, short = ImageLimits(max_bytes=len(JPEG)), ImageLimits(max_bytes=len(JPEG) - 1)
    assert (await ImageLoader(exact).load(JPEG)).image.data == JPEG
    assert (await ImageLoader(exact).load(io.BytesIO(JPEG))).image.data == JPEG
    assert "more than" in await refused(JPEG, short)
    assert "more than" in await refused(io.BytesIO(JPEG), short)


async def test_warnings_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A possible problem at the service is logged as a warning, and the image is sent."""
    await ImageLoader(ImageLimits()).load(PNG_WIDE)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "9,000 pixels" in caplog.text


@pytest.mark.parametrize("name", ["qpdf-object-streams-2-pages.pdf", "reportlab-2-pages.pdf"])
@pytest.mark.parametrize("kind", [Path, lambda path: path.read_bytes()], ids=["path", "bytes"])
async def test_pdfs_of_several_pages(name: str, kind: Callable[[Path], Any]) -> None:
    """A PDF of two pages is refused, however its pages are written down."""
    assert "2 pages" in await refused(kind(PDFS / name))


async def test_a_pdf_of_one_page() -> None:
    """A PDF of one page is accepted."""
    assert (await ImageLoader(ImageLimits()).load(PDFS / "img2pdf-1-page.pdf")).image.format == "pdf"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"%PDF-1.7 that is broken %%EOF", "damaged"),
        ((PDFS / "pypdf-encrypted-1-page.pdf").read_bytes(), "password"),
    ],
    ids=["broken", "encrypted"],
)
async def test_a_pdf_that_cannot_be_opened(
    data: bytes, why: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PDF that is broken or encrypted is refused; without the extra that opens it, it is sent with a warning."""
    assert why in await refused(data)
    monkeypatch.setitem(sys.modules, "clova_ocr_async.pictures.pdf", None)
    prepared = await ImageLoader(ImageLimits(max_pages=1)).load(data)
    assert (prepared.image.data, prepared.picture) == (data, Picture())
    assert why == "password" or "could not be counted" in caplog.text


@pytest.mark.parametrize("missing", [8, 300])
async def test_a_pdf_without_its_end_is_sent_on_request(missing: int) -> None:
    """A PDF that is cut off is refused, and sent as it is if truncated pictures are allowed."""
    data = (PDFS / "img2pdf-1-page.pdf").read_bytes()[:-missing]
    assert "cut off" in await refused(data)
    prepared = await ImageLoader(ImageLimits(allow_truncated=True)).load(data)
    assert (prepared.image.data, prepared.picture) == (data, Picture())


def test_the_exact_counter_is_an_extra() -> None:
    """With the extra installed pages are counted exactly, without it not at all."""
    counter = pdf_page_counter(lambda name: SimpleNamespace(count_pdf_pages=lambda data: len(data + name.encode())))  # type: ignore[arg-type, return-value]
    assert counter is not None
    assert counter(b"") == len("clova_ocr_async.pictures.pdf")

    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name)

    assert pdf_page_counter(missing) is None


async def test_a_file_that_gives_more_than_it_was_asked_for() -> None:
    """A read that ignores its size is one image all the same, refused by its length if it is too long."""

    class Generous:
        """Gives all of it, every time but the last."""

        def __init__(self, *parts: bytes) -> None:
            self.parts = [*parts, b""]

        def read(self, size: int = -1, /) -> bytes:  # noqa: ARG002 - that it is ignored is the point
            """Give the next part, whatever its size."""
            return self.parts.pop(0)

    image = (await ImageLoader(ImageLimits(max_bytes=len(JPEG))).load(Generous(JPEG))).image
    assert image.data == JPEG
    with pytest.raises(ImageError, match="more than"):
        await ImageLoader(ImageLimits(max_bytes=len(JPEG) + 1)).load(Generous(JPEG, JPEG))


@pytest.mark.parametrize(("name", "subject"), [("receipt.jpg", "the file 'receipt.jpg'"), (None, "the file")])
async def test_a_file_at_its_end_that_does_not_say_that_it_can_be_rewound(name: str | None, subject: str) -> None:
    """A file that was read to its end, and that the client cannot rewind, is not called empty."""
    file = SimpleNamespace(read=lambda _: b"", tell=lambda: 7, name=name)
    assert await refused(file) == f"{subject} is at its end; rewind it: file.seek(0)"


async def test_uploads_of_starlette() -> None:
    """An upload is read from its start, in whatever position the framework left it; a closed one is named as closed."""
    upload = await starlette_upload()
    prepared = await ImageLoader(ImageLimits()).load(upload)
    assert (prepared.image.data, prepared.image.name) == (JPEG, "lunch.jpg")
    await upload.close()
    assert "the upload 'lunch.jpg' is closed, as each is at the end of its request" in await refused(upload)
    nameless = AsyncUpload(JPEG, None)
    nameless.file.close()
    assert "the upload is closed" in await refused(nameless)


async def test_a_file_that_does_not_tell_where_it_stands_is_empty() -> None:
    """An empty pipe, or a file of the caller's own, is called what it is."""
    assert "is empty" in await refused(SimpleNamespace(read=lambda _: b""))


async def test_a_pair_beside_a_document_class_names_the_way_out() -> None:
    """A pair of image and class, where one class was given for all, is refused with what to leave out."""
    assert "leave out the class for all of them" in await refused((b"image", Receipt))
    assert "leave out" not in await refused((b"image", "receipt"))


@pytest.mark.parametrize("change", ["grows", "shrinks", "is written anew"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    """A file that is written to between its first look and its last byte is refused as one that may be completed."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(JPEG)
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        if change == "is written anew":
            os.utime(path, (1e9, 1e9))
        else:
            path.write_bytes(JPEG + b"more" if change == "grows" else JPEG[:-1])
        with pytest.raises(ImageError, match=r"scan\.jpg changed while it was read; give it again") as caught:
            read_unchanged(file.fileno(), before, str(path))
    assert caught.value.truncated
