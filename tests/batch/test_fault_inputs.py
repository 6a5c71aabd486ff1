"""Faults of inputs that no file in a folder can have: files that change, objects in place of files, odd iterables.

The faults of files are in ``tests/cli/test_fault_folder.py``.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import JPEG, FakeTime, FakeTransport, Sent, domain
from support.ledgers import opened, query, states
from support.rights import unprivileged

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import ConnectionFailedError, ImageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from clova_ocr_async.protocol.response import HTTPResponse


def picture(number: int) -> bytes:
    """Return one of any number of different pictures."""
    return JPEG[:-2] + b"%d" % number + JPEG[-2:]


@pytest.fixture(params=[False, True], ids=["direct", "kept"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """A run directory, or none."""
    return tmp_path / "run" if request.param else None


def client_of(transport: FakeTransport, **settings: Any) -> ClovaOCRClient:
    """Return a client that waits for nothing."""
    return ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), **settings)


async def read(images: Any, transport: FakeTransport, ledger: Path | None = None, **settings: Any) -> list[Any]:
    """Read images in one batch; return their outcomes in order."""
    dispatcher = BatchDispatcher(client_of(transport, **settings), ledger=ledger)
    async with dispatcher.dispatch(images, Receipt, ordered=True) as outcomes:
        return [outcome async for outcome in outcomes]


def pictures_sent(transport: FakeTransport) -> list[bytes]:
    """Return the pictures that were sent."""
    return [sent.parsed.data for sent in transport.sent]


# ---------------------------------------------------------------------------------------------------------------------
# 12, 13: files that cannot be read, or change


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of two files that every user may read."""
    monkeypatch.chdir(tmp_path)  # the folders above are the owner's alone
    tmp_path.chmod(0o755)
    for name in ("secret.jpg", "plain.jpg"):
        (tmp_path / name).write_bytes(JPEG)
        (tmp_path / name).chmod(0o644)
    return ["secret.jpg", "plain.jpg"]


async def test_a_file_without_permission(names: list[str]) -> None:
    """A file that may not be read fails by itself, and the others are read."""
    transport = FakeTransport()
    assert all(isinstance(outcome, Success) for outcome in await read(names, transport))
    os.chmod("secret.jpg", 0)  # noqa: PTH101 - in a coroutine
    with unprivileged():
        refused, good = await read(names, transport)
    assert isinstance(refused, Failure)
    assert str(refused.error) == "secret.jpg: Permission denied"
    assert isinstance(good, Success)
    assert len(transport.sent) == 3


async def test_a_file_that_vanishes_before_it_is_read(tmp_path: Path, ledger: Path | None) -> None:
    """A file that was listed and is gone when its turn comes fails by itself."""
    for name in ("gone.jpg", "plain.jpg"):
        (tmp_path / name).write_bytes(JPEG)

    def found() -> Iterator[Path]:
        for path in [tmp_path / "gone.jpg", tmp_path / "plain.jpg"]:
            assert path.exists()
            if path.name == "gone.jpg":
                path.unlink()
            yield path

    transport = FakeTransport()
    gone, good = await read(found(), transport, ledger)
    assert isinstance(gone, Failure)
    assert "gone.jpg: No such file or directory" in str(gone.error)
    assert isinstance(good, Success)
    assert pictures_sent(transport) == [JPEG]


@pytest.mark.parametrize("change", ["rewritten", "replaced", "removed"])
async def test_a_file_that_changes_after_it_was_read(tmp_path: Path, ledger: Path | None, change: str) -> None:
    """The bytes that were read are those that are sent, again and again, and those of the hash on record."""
    path = tmp_path / "scan.jpg"
    path.write_bytes(JPEG)

    async def lose(sent: Sent) -> HTTPResponse:
        if change == "rewritten":
            path.write_bytes(picture(1))
        else:
            path.unlink()
            if change == "replaced":
                path.write_bytes(picture(2))
        sent.progress.body_began = False
        raise ConnectionFailedError("made up")

    transport = FakeTransport(lose)
    (outcome,) = await read([path], transport, ledger)
    assert isinstance(outcome, Success)
    assert pictures_sent(transport) == [JPEG, JPEG]
    if ledger is not None:
        assert query(ledger, "SELECT sha256 FROM item") == [(hashlib.sha256(JPEG).digest(),)]


# ---------------------------------------------------------------------------------------------------------------------
# 17: objects in place of files


class Stream:
    """A stream that cannot be rewound."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        """Return a few bytes, as pipes do."""
        return self._file.read(min(size, 7) if size >= 0 else size)


class Broken:
    """A file whose disk is broken."""

    def read(self, _: int = -1, /) -> bytes:
        """Raise."""
        raise OSError(5, "Input/output error")


def at_end() -> io.BytesIO:
    """Return a file that was written just now."""
    file = io.BytesIO()
    file.write(JPEG)
    return file


def closed() -> io.BytesIO:
    """Return a file that is closed."""
    file = at_end()
    file.close()
    return file


@pytest.mark.parametrize(
    "image", [JPEG, bytearray(JPEG), memoryview(JPEG), at_end(), Stream(JPEG)], ids=lambda image: type(image).__name__
)
async def test_an_object_is_sent_whole_in_every_request(image: Any) -> None:
    """Bytes of each kind, a file at its end, and a stream that is read once: a second request has all bytes too."""
    transport = FakeTransport(ConnectionFailedError)
    (outcome,) = await read([image], transport)
    assert isinstance(outcome, Success)
    assert pictures_sent(transport) == [JPEG, JPEG]


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (closed(), "the file cannot be read: I/O operation on closed file"),
        (Broken(), "the file cannot be read: [Errno 5] Input/output error"),
        (io.StringIO("text"), "open it in binary mode"),
        (io.BytesIO(), "is empty"),
        (None, "the image is a NoneType; it must be a path"),
        (b"", "is empty"),
    ],
)
async def test_an_object_that_cannot_be_read(ledger: Path | None, image: Any, why: str) -> None:
    """An object that gives no picture fails by itself, and the next image is read."""
    transport = FakeTransport()
    refused, good = await read([image, JPEG], transport, ledger)
    assert isinstance(refused, Failure)
    assert isinstance(refused.error, ImageError)
    assert why in str(refused.error)
    assert isinstance(good, Success)
    assert pictures_sent(transport) == [JPEG]


# ---------------------------------------------------------------------------------------------------------------------
# 18, 19: iterables


async def asynchronous(images: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield images one by one."""
    for image in images:
        await asyncio.sleep(0)
        yield image


def ending_in_an_error(count: int) -> Iterator[bytes]:
    """Yield a few images, then raise."""
    yield from map(picture, range(count))
    raise RuntimeError("the disk of the list is gone")


@pytest.mark.parametrize("adapt", [iter, asynchronous], ids=["generator", "async generator"])
async def test_an_iterable_that_raises_midway(ledger: Path | None, adapt: Any) -> None:
    """The images before an error of the iterable are read, their outcomes come out, and then the error."""
    transport = FakeTransport()
    dispatcher = BatchDispatcher(client_of(transport), ledger=ledger)
    async with dispatcher.dispatch(adapt(ending_in_an_error(3)), Receipt) as outcomes:
        taken = [await anext(outcomes) for _ in range(3)]
        with pytest.raises(RuntimeError, match="the disk of the list is gone"):
            await anext(outcomes)
    assert [type(outcome) for outcome in taken] == [Success] * 3
    assert len(transport.sent) == 3
    if ledger is not None:
        assert states(ledger) == ["succeeded"] * 3


async def test_an_endless_iterable_of_paths_that_do_not_exist(ledger: Path | None) -> None:
    """An iterable without an end is read for as long as outcomes are taken, and no further ahead than a few hundred."""
    pulled = itertools.count()

    def found() -> Iterator[str]:
        while True:
            yield f"missing-{next(pulled)}.jpg"

    transport = FakeTransport()
    dispatcher = BatchDispatcher(client_of(transport), ledger=ledger)
    async with dispatcher.dispatch(found(), Receipt) as outcomes:
        taken = [await anext(outcomes) for _ in range(300)]
    assert all(isinstance(outcome, Failure) for outcome in taken)
    assert next(pulled) <= 300 + 200
    assert transport.sent == []


def written(folder: Path, count: int) -> list[str]:
    """Write some pictures, and return their paths."""
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(picture(number))
    return list(map(str, paths))


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 257])
async def test_any_number_of_files(tmp_path: Path, count: int) -> None:
    """No file, one, and one less and one more than are claimed or listed at once: each is read once."""
    found = sorted(written(tmp_path, count))
    transport = FakeTransport()
    async with opened(tmp_path / "run") as run:
        images = WorkList(run, "receipt", found, sleep=lambda _: asyncio.sleep(0.001))
        async with BatchDispatcher(client_of(transport), ledger=run).dispatch(images, Receipt) as outcomes:
            read = [outcome async for outcome in outcomes]
    assert sorted(str(outcome.source) for outcome in read) == found
    assert sorted(pictures_sent(transport)) == sorted(map(picture, range(count)))
