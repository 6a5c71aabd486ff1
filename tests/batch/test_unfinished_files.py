from __future__ import annotations

import asyncio
import hashlib
import os
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.batches import batch_of
from support.fakes import JPEG, FakeTransport, SteppedTime, domain
from support.files import jpeg
from support.ledgers import states

from clova_ocr_async.batch import Batch, Failure, Success
from clova_ocr_async.batch.unfinished import UnfinishedFiles
from clova_ocr_async.batch.window import Window
from clova_ocr_async.cli.runs.input_file import InputFile
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.client.image_bytes import read_bytes
from clova_ocr_async.client.loading import ImageLoader, PreparedImage
from clova_ocr_async.errors import ConfigurationError, ImageError, NotSentError
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.protocol.image import ImageLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from clova_ocr_async.batch import Outcome
    from clova_ocr_async.client.preparing import OpenedImage
    from clova_ocr_async.documents import Receipt

HALF = JPEG[:-2]
EPOCH = 1_700_000_000.25  # what FakeTime adds to its clock


class CutOffError(ImageError):
    """The error of a file whose end is missing."""

    truncated = True


async def make(loader: ImageLoader, opened: OpenedImage) -> PreparedImage:
    """Refuse a picture without its end."""
    assert isinstance(opened.data, bytes)
    if not opened.data.endswith(JPEG[-2:]):
        raise CutOffError("its end is missing")
    return await loader.make(opened)


class Judging(ClovaOCRClient):
    """A client that looks whether a picture is whole."""

    async def recognize(self, image: Any, document: Any, **given: Any) -> Any:
        """Refuse a picture without its end, as the client does once it is read."""
        path = image.path if isinstance(image, InputFile) else image
        data = image.image.data if isinstance(image, PreparedImage) else read_bytes(path, self.limits)[0]
        if not data.endswith(JPEG[-2:]):
            raise CutOffError("its end is missing")
        return await super().recognize(image, document, **given)


class Scene:
    """A folder with files in it, a batch over them that has one place, and a clock that the test sets."""

    def __init__(self, folder: Path, *, kept: bool, limits: ImageLimits | None = None) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.time = SteppedTime()
        self.transport = FakeTransport()
        self.found: list[Outcome[Any]] = []
        self.batch: Batch[Receipt] | None = None
        self._kept = kept
        self._limits = limits

    def write(self, name: str, data: bytes, age: float = 0.0) -> str:
        """Write a file, so many seconds ago."""
        path = self.folder / name
        path.write_bytes(data)
        moment = EPOCH + self.time.now - age
        os.utime(path, (moment, moment))
        return str(path)

    async def read(self, *images: Any) -> None:
        """Read files, each outcome as it comes."""
        ledger = SqliteLedger(self.run) if self._kept else None
        if self._limits is None:
            client: ClovaOCRClient = Judging(domain(), transport=self.transport, concurrency=1)
            unfinished = UnfinishedFiles(self.time.runtime(), make)
        else:
            client = ClovaOCRClient(domain(), transport=self.transport, concurrency=1, limits=self._limits)
            unfinished = UnfinishedFiles(self.time.runtime())
        batch = self.batch = batch_of(client, images, Window(200, 1), ledger=ledger, owned=True, unfinished=unfinished)
        async with batch:
            async for outcome in batch:
                self.found.append(outcome)

    async def until(self, done: Callable[[], object]) -> None:
        """Wait for threads, and the batch with them, while the clock stands still."""
        async with asyncio.timeout(10):
            while not done():  # noqa: ASYNC110 - threads set no event
                await asyncio.sleep(0.001)

    async def goes_on(self, seconds: int) -> None:
        """Put the clock forward, and let the batch look each second."""
        for _ in range(seconds):
            looks = len(self.time.slept)
            await self.time.go_on(1.0)
            await self.until(partial(self._looked_since, looks))

    def _looked_since(self, looks: int) -> bool:
        return len(self.time.slept) > looks or bool(self.found)


@pytest.fixture(params=[False, True], ids=["direct", "kept"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A scene, with a ledger and without."""
    return Scene(tmp_path, kept=request.param)


@pytest.mark.parametrize("first", [HALF, b""], ids=["half", "empty"])
async def test_a_file_that_is_still_being_written_is_read_when_it_is_whole(scene: Scene, first: bytes) -> None:
    """A file that was written just now and is cut off is deferred, others go on, and it is sent once it is whole."""
    late, other = scene.write("late.jpg", first), scene.write("other.jpg", JPEG + JPEG, 60)
    reading = asyncio.create_task(scene.read(late, other))
    await scene.until(lambda: scene.found and scene.time.slept)
    assert [outcome.source for outcome in scene.found] == [other]
    assert scene.batch is not None
    scene.found.clear()
    await scene.goes_on(2)
    scene.write("late.jpg", JPEG[:-1])
    await scene.goes_on(1)
    scene.write("late.jpg", JPEG)
    await scene.goes_on(1)
    assert len(scene.transport.sent) == 1
    await scene.goes_on(1)
    await scene.until(lambda: scene.found)
    (outcome,) = scene.found
    assert isinstance(outcome, Success)
    assert outcome.source == late
    await reading
    assert [sent.parsed.data for sent in scene.transport.sent] == [JPEG + JPEG, JPEG]
    if scene.run.exists():
        assert states(scene.run) == ["succeeded", "succeeded"]


async def test_a_file_that_stays_cut_off_is_refused(scene: Scene) -> None:
    """A file that is cut off and has not changed for ten seconds is refused, and was never sent."""
    reading = asyncio.create_task(scene.read(scene.write("half.jpg", HALF)))
    await scene.until(lambda: scene.time.slept)
    await scene.goes_on(9)
    assert scene.found == []
    await scene.goes_on(1)
    await reading
    (outcome,) = scene.found
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, ImageError)
    assert (scene.transport.sent, len(scene.time.slept)) == ([], 10)


@pytest.mark.parametrize("age", [11.0, 1e6, -3600.0])
async def test_a_file_that_is_not_being_written_is_refused_at_once(scene: Scene, age: float) -> None:
    """A cut-off file that was written long ago, or by the clock of another machine, is refused without a wait."""
    await scene.read(scene.write("half.jpg", HALF, age))
    assert isinstance(scene.found[0], Failure)
    assert (scene.transport.sent, scene.time.slept) == ([], [])


async def test_another_fault_of_a_fresh_file_is_refused_at_once(scene: Scene) -> None:
    """A fresh file that is not a picture is refused without a wait."""
    await scene.read(scene.write("text.jpg", b"a text" + JPEG))
    assert isinstance(scene.found[0], Failure)
    assert (scene.transport.sent, scene.time.slept) == ([], [])


async def test_a_pipe_that_was_made_just_now_is_refused_at_once(scene: Scene) -> None:
    """What is not a file is refused without a wait, though it is empty and new."""
    os.mkfifo(scene.folder / "pipe.jpg")
    await scene.read(str(scene.folder / "pipe.jpg"))
    assert isinstance(scene.found[0], Failure)
    assert (scene.transport.sent, scene.time.slept) == ([], [])


async def test_a_file_that_never_stops_growing_is_refused(scene: Scene) -> None:
    """A file that changes all the time is deferred for five minutes, and then refused."""
    reading = asyncio.create_task(scene.read(scene.write("log.jpg", HALF)))
    await scene.until(lambda: scene.time.slept)
    for number in range(300):
        assert scene.found == []
        scene.write("log.jpg", HALF + bytes(number % 7))
        await scene.goes_on(1)
    await reading
    assert isinstance(scene.found[0], Failure)
    assert scene.transport.sent == []


async def test_a_file_that_pauses_is_deferred_again(scene: Scene) -> None:
    """A file that paused in the middle is read again, found cut off, and deferred until it has stopped changing."""
    reading = asyncio.create_task(scene.read(scene.write("half.jpg", HALF[:-2])))
    await scene.until(lambda: scene.time.slept)
    await scene.goes_on(5)
    scene.write("half.jpg", HALF)
    await scene.goes_on(11)
    await reading
    assert isinstance(scene.found[0], Failure)


async def test_a_file_that_is_removed_fails(scene: Scene) -> None:
    """A file that is deferred and then removed fails with its name."""
    path = scene.write("half.jpg", HALF)
    reading = asyncio.create_task(scene.read(path))
    await scene.until(lambda: scene.time.slept)
    (scene.folder / "half.jpg").unlink()
    await scene.goes_on(1)
    await reading
    (outcome,) = scene.found
    assert isinstance(outcome, Failure)
    assert "No such file" in str(outcome.error)


async def test_a_stopped_batch_does_not_wait_for_files(scene: Scene) -> None:
    """A file that is deferred when its batch is stopped comes out as not sent."""
    reading = asyncio.create_task(scene.read(scene.write("half.jpg", HALF)))
    await scene.until(lambda: scene.time.slept)
    cast("Batch[Receipt]", scene.batch).stop(ConfigurationError("enough"))
    await reading
    (outcome,) = scene.found
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, NotSentError)


async def test_an_image_that_cannot_be_read_again_is_refused_at_once(scene: Scene) -> None:
    """An open file is read once, so it is refused without a wait."""
    path = scene.write("half.jpg", b"")
    with open(path, "rb") as file:  # noqa: ASYNC230, PTH123 - as a caller has it
        await scene.read(file)
    assert isinstance(scene.found[0], Failure)
    assert scene.time.slept == []


async def test_a_file_of_the_command_line_is_read_again(scene: Scene) -> None:
    """The command line's own file objects are deferred as well, and their hash is that of the bytes that were sent."""
    file = InputFile(scene.write("late.jpg", b""))
    reading = asyncio.create_task(scene.read(file))
    await scene.until(lambda: scene.time.slept)
    scene.write("late.jpg", JPEG)
    await scene.goes_on(2)
    await reading
    assert isinstance(scene.found[0], Success)
    assert [sent.parsed.data for sent in scene.transport.sent] == [JPEG]
    assert file.sha256 == hashlib.sha256(JPEG).hexdigest()


@pytest.fixture(params=[False, True], ids=["direct", "kept"])
def allowing(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """A scene whose client sends truncated pictures."""
    return Scene(tmp_path, kept=request.param, limits=ImageLimits(allow_truncated=True))


PHOTO = jpeg()
HALF_PHOTO = PHOTO[:-40]


def sent(scene: Scene) -> list[bytes]:
    """Return the pictures that were sent."""
    return [request.parsed.data for request in scene.transport.sent]


async def test_a_file_that_is_being_written_is_not_sent_where_truncated_ones_are(allowing: Scene) -> None:
    """A truncated picture that may be sent is sent only once its file has not changed for ten seconds."""
    old, new = allowing.write("old.jpg", HALF_PHOTO, 60), allowing.write("new.jpg", HALF_PHOTO[:-1])
    reading = asyncio.create_task(allowing.read(old, new))
    await allowing.until(lambda: allowing.found and allowing.time.slept)
    assert sent(allowing) == [HALF_PHOTO]
    allowing.found.clear()
    await allowing.goes_on(9)
    assert allowing.found == []
    await allowing.goes_on(1)
    await reading
    assert sent(allowing) == [HALF_PHOTO, HALF_PHOTO[:-1]]


async def test_a_file_that_is_completed_is_sent_whole_where_truncated_ones_are(allowing: Scene) -> None:
    """A file that is completed while it is deferred is sent whole, and not what was there before."""
    file = allowing.write("late.jpg", HALF_PHOTO)
    reading = asyncio.create_task(allowing.read(file))
    await allowing.until(lambda: allowing.time.slept)
    allowing.write("late.jpg", PHOTO)
    await allowing.goes_on(2)
    await reading
    assert sent(allowing) == [PHOTO]


async def test_a_file_that_never_stops_growing_is_not_sent_where_truncated_ones_are(allowing: Scene) -> None:
    """A truncated picture whose file changes all the time is refused in the end, with the reason."""
    reading = asyncio.create_task(allowing.read(allowing.write("log.jpg", HALF_PHOTO)))
    await allowing.until(lambda: allowing.time.slept)
    for number in range(300):
        allowing.write("log.jpg", HALF_PHOTO[: -(number % 7) or None])
        await allowing.goes_on(1)
    await reading
    (outcome,) = allowing.found
    assert isinstance(outcome, Failure)
    assert type(outcome.error) is ImageError
    assert str(outcome.error) == (
        "image 'log.jpg' is cut off: the end of its jpg data is missing; it was still being written: give it again "
        "once it is complete"
    )
    assert sent(allowing) == []


async def test_another_fault_is_told_as_it_is_where_truncated_pictures_are_sent(allowing: Scene) -> None:
    """A fresh file that is not a picture is refused at once, by its own fault."""
    await allowing.read(allowing.write("text.jpg", b"a text"))
    (outcome,) = allowing.found
    assert isinstance(outcome, Failure)
    assert "is plain text" in str(outcome.error)
    assert allowing.time.slept == []
