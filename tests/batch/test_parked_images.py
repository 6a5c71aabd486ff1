"""Pictures whose decoder may have ended processes: they are tried alone, and parked by name after three."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from support.fakes import FakeTransport, domain, steps
from support.ledger_batches import picture, pictures
from support.ledgers import claimed, crash, dead_process, opened, query, states

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.batch.hashing import hash_now
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import Billing, ImageError
from clova_ocr_async.ledger import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    import pytest

    from clova_ocr_async.ledger import Claim


class Decoder(ImageLoader):
    """A loader that calls something before it decodes a picture."""

    before: Callable[[], Coroutine[Any, Any, object]]

    async def make(self, opened: Any) -> Any:
        """Decode a picture."""
        await self.before()
        return await super().make(opened)


def client_with(before: Callable[[], Coroutine[Any, Any, object]], transport: FakeTransport) -> ClovaOCRClient:
    """Return a client whose decoder calls something first."""
    client = ClovaOCRClient(domain(), transport=transport, concurrency=4)
    client.loader = Decoder(client.limits)
    client.loader.before = before
    return client


async def batch(run: Path | SqliteLedger, paths: list[str], client: ClovaOCRClient) -> list[Any]:
    """Run a batch, and return its outcomes."""
    async with BatchDispatcher(client, 4, ledger=run).dispatch(paths, Receipt, ordered=True) as outcomes:
        return [outcome async for outcome in outcomes]


async def interrupt(run: Path, paths: list[str], count: int | None = None) -> None:
    """Have a process claim images, perhaps record that each has interrupted some processes, and die."""
    dead = opened(run, process=dead_process())
    await dead.__aenter__()
    client = ClovaOCRClient(domain(), transport=FakeTransport())
    for path in paths:
        hashed = hash_now(path, client.limits)
        claim = claimed(await dead.admit(hashed.item("receipt"), hashed.file))
        if count is not None:
            await dead.set_interrupted(claim, count)
    await crash(dead)


def counts(run: Path) -> list[int]:
    """Return how many processes each item has interrupted."""
    return [count for (count,) in query(run, "SELECT interrupted FROM item ORDER BY id")]


async def test_a_picture_that_may_have_ended_a_process_is_counted_while_it_is_made(run: Path, tmp_path: Path) -> None:
    """The count is on the disk while the picture is made, and is zero once it was made; another picture has none."""
    paths = pictures(tmp_path / "in", "a.jpg", "b.jpg")
    seen: list[list[int]] = []

    async def look() -> None:
        seen.append(counts(run))

    await interrupt(run, paths[:1])
    transport = FakeTransport()
    found = await batch(run, paths[:1], client_with(look, transport))
    found += await batch(run, paths[1:], client_with(look, transport))
    assert all(isinstance(outcome, Success) for outcome in found)
    assert seen == [[2], [0, 0]]
    assert len(transport.sent) == 2


async def test_pictures_that_may_have_ended_a_process_are_made_one_at_a_time(run: Path, tmp_path: Path) -> None:
    """Of several such pictures one is made at a time, so that an innocent one is not counted with a deadly one."""
    paths = pictures(tmp_path / "in", *"abcd")
    seen: list[int] = []

    async def look() -> None:
        await asyncio.sleep(0)
        seen.append(sum(count > 1 for count in counts(run)))

    await interrupt(run, paths)
    found = await batch(run, paths, client_with(look, FakeTransport()))
    assert all(isinstance(outcome, Success) for outcome in found)
    assert (seen, counts(run)) == ([1] * 4, [0] * 4)


async def test_a_picture_that_has_ended_three_processes_is_parked_by_name(
    run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is skipped without being read, the log has its name, and it is read again if a user asks for it."""
    (path,) = pictures(tmp_path / "in", "a.jpg")
    read: list[str] = []

    async def note() -> None:
        read.append(path)

    transport = FakeTransport()
    await interrupt(run, [path], 3)
    with caplog.at_level(logging.WARNING):
        (outcome,) = await batch(run, [path], client_with(note, transport))
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, ImageError)
    assert "3 processes have ended" in str(outcome.error)
    assert "a.jpg is parked" in caplog.text
    assert (read, transport.sent, states(run)) == ([], [], ["skipped"])
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.NOT_BILLED) == 1
    (outcome,) = await batch(run, [path], client_with(note, transport))
    assert isinstance(outcome, Success)


async def test_an_image_without_a_name_is_parked_as_well(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes that have ended three processes are skipped, and the log says that they have no name."""
    client = ClovaOCRClient(domain(), transport=FakeTransport())
    dead = opened(run, process=dead_process())
    await dead.__aenter__()
    claim = claimed(await dead.admit(hash_now(picture("a"), client.limits).item("receipt"), None))
    await dead.set_interrupted(claim, 3)
    await crash(dead)
    images: list[Any] = [picture("a")]
    (outcome,) = await batch(run, images, client)
    assert isinstance(outcome, Failure)
    assert "an image without a name is parked" in caplog.text


async def test_a_picture_that_cannot_be_made_has_ended_no_process(run: Path, tmp_path: Path) -> None:
    """A picture that is refused while it is tried keeps its own error, and no count."""
    (path,) = pictures(tmp_path / "in", "a.jpg")

    async def refuse() -> None:
        raise ImageError("made up")

    await interrupt(run, [path])
    (outcome,) = await batch(run, [path], client_with(refuse, FakeTransport()))
    assert str(outcome.error) == "made up"
    assert (counts(run), states(run)) == ([0], ["skipped"])


async def test_a_batch_that_is_cancelled_was_not_ended_by_a_picture(run: Path, tmp_path: Path) -> None:
    """A batch that ends in order while a picture is tried leaves no count."""
    (path,) = pictures(tmp_path / "in", "a.jpg")
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    await interrupt(run, [path])
    running = asyncio.create_task(batch(run, [path], client_with(hang, FakeTransport())))
    await reached.wait()
    assert counts(run) == [2]
    running.cancel()
    await asyncio.wait([running])
    assert (counts(run), states(run)) == ([0], ["queued"])


async def test_a_batch_that_is_cancelled_while_it_counts_was_not_ended_by_a_picture(run: Path, tmp_path: Path) -> None:
    """A batch that is cancelled while it writes the count down, which is then on the disk, leaves none."""
    (path,) = pictures(tmp_path / "in", "a.jpg")
    counted, known = asyncio.Event(), asyncio.Event()
    made: list[str] = []

    class SlowLedger(SqliteLedger):
        async def set_interrupted(self, claim: Claim, count: int) -> None:
            await super().set_interrupted(claim, count)
            if count:
                counted.set()
                await known.wait()

    async def note() -> None:
        made.append(path)

    await interrupt(run, [path])
    async with SlowLedger(run) as ledger:
        running = asyncio.create_task(batch(ledger, [path], client_with(note, FakeTransport())))
        await counted.wait()
        assert counts(run) == [2]
        running.cancel()
        await steps()  # until the cancellation is where the count is waited for
        known.set()
        await asyncio.wait([running])
    assert (running.cancelled(), made) == (True, [])
    assert (counts(run), states(run)) == ([0], ["queued"])
