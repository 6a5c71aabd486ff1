from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import URL, FakeTransport, Held, domain, error, steps
from support.ledger_batches import pictures

from clova_ocr_async import (
    AuthenticationError,
    Billing,
    ClovaOCRClient,
    ClovaOCRError,
    ConfigurationError,
    Failure,
    IdCard,
    ImageError,
    NotSentError,
    Outcome,
    Receipt,
    Success,
)
from clova_ocr_async.integrations.client_factory import made_client, require_client_factory
from clova_ocr_async.integrations.continuous_batch import ContinuousBatch, growing_pauses

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from clova_ocr_async import HTTPRequest, HTTPResponse
    from clova_ocr_async.client import RequestProgress

REJECTED = error("0002", 401)


class Clients:
    """Makes clients of one transport, and pauses that end when they are asked for.

    Attributes:
        made: How many clients were made.
        fail: Raised by the next attempt to make one.
        errors: The errors with which ``waits`` was asked.
        patience: The seconds for which it answers yes.
    """

    def __init__(self, *wire: Any, patience: float = 1e9) -> None:
        self.transport = FakeTransport(*wire)
        self.made = 0
        self.fail: Exception | None = None
        self.errors: list[ClovaOCRError] = []
        self.patience = patience
        self.now = 0.0
        self.paused = asyncio.Event()
        self.go_on = asyncio.Event()

    def make(self) -> ClovaOCRClient:
        """Make a client."""
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        self.made += 1
        return ClovaOCRClient(domain(f"{URL}/document/receipt"), transport=self.transport, concurrency=4)

    def waits(self, error: ClovaOCRError, seconds: float) -> bool:
        """Note the error, and answer by the patience."""
        self.errors.append(error)
        return seconds < self.patience

    async def sleep(self, seconds: float) -> None:
        """Put the clock forward, and wait until the test goes on."""
        self.now += seconds
        self.paused.set()
        await self.go_on.wait()

    def pauses(self) -> Iterator[float]:
        """Yield 1, 2, 3 and so on."""
        return map(float, itertools.count(1))

    @asynccontextmanager
    async def batch(self, run: Path | str) -> AsyncGenerator[ContinuousBatch]:
        """Open a batch, and close it at the end."""
        batch = ContinuousBatch(
            self.make(),
            self.make,
            run,
            waits=self.waits,
            sleep=self.sleep,
            clock=lambda: self.now,
            pauses=self.pauses,
        )
        try:
            yield batch
        finally:
            await batch.close()


async def all_of(batch: ContinuousBatch, paths: list[str]) -> list[Outcome[Any]]:
    """Recognize images at the same time."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(batch.recognize(path, Receipt)) for path in paths]
    return [task.result() for task in tasks]


async def test_images_come_one_by_one_and_have_their_own_outcome(tmp_path: Path) -> None:
    """Each image gets its own outcome, however it ends, and the batch goes on."""
    clients = Clients()
    one, two = pictures(tmp_path / "scans", "a.jpg", "b.jpg")
    async with clients.batch(tmp_path / "run") as batch:
        first = await batch.recognize(one, Receipt)
        missing, second = await all_of(batch, [str(tmp_path / "missing.jpg"), two])
    assert isinstance(first, Success)
    assert isinstance(second, Success)
    assert [str(outcome.source) for outcome in (first, second)] == [one, two]
    assert isinstance(missing, Failure)
    assert isinstance(missing.error, ImageError)
    assert (clients.made, len(clients.transport.sent)) == (1, 2)


async def test_the_same_image_twice_at_once_is_paid_once_and_answered_twice(tmp_path: Path) -> None:
    """A path that is in flight may come again: both get the answer, and one of them the bill."""
    clients = Clients()
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    async with clients.batch(tmp_path / "run") as batch:
        found = await all_of(batch, [path, path])
    assert all(isinstance(outcome, Success) for outcome in found)
    assert sorted(isinstance(outcome, Success) and outcome.billed for outcome in found) == [False, True]
    assert len(clients.transport.sent) == 1


async def test_images_wait_while_nothing_can_be_sent(tmp_path: Path) -> None:
    """After an error that all images meet, they wait, and the next batch sends them with a new client."""
    clients = Clients(REJECTED, REJECTED)
    paths = pictures(tmp_path / "scans", *(f"{letter}.jpg" for letter in "abcdef"))
    clients.go_on.set()
    async with clients.batch(tmp_path / "run") as batch:
        found = await all_of(batch, paths)
    assert all(isinstance(outcome, Success) and outcome.billed for outcome in found)
    assert clients.made > 1
    assert all(isinstance(error, AuthenticationError) for error in clients.errors)


async def test_an_image_comes_back_unsent_when_waiting_is_given_up(tmp_path: Path) -> None:
    """Once waiting is given up, images that wait and those that come in the pause are not sent; later ones are."""
    clients = Clients(REJECTED, patience=0)
    one, two, three = pictures(tmp_path / "scans", "a.jpg", "b.jpg", "c.jpg")
    async with clients.batch(tmp_path / "run") as batch:
        first = await batch.recognize(one, Receipt)
        await clients.paused.wait()
        second = await batch.recognize(two, Receipt)
        clients.go_on.set()
        await steps()
        third = await batch.recognize(three, Receipt)
    for outcome in (first, second):
        assert isinstance(outcome, Failure)
        assert isinstance(outcome.error, NotSentError)
        assert isinstance(outcome.error.reason, AuthenticationError)
    assert isinstance(third, Success)
    assert len(clients.transport.sent) == 2


async def test_patience_is_counted_from_the_first_stop(tmp_path: Path) -> None:
    """Pauses grow while no image has an outcome, and the patience counts their sum."""
    clients = Clients(*[REJECTED] * 9, patience=6)
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    clients.go_on.set()
    async with clients.batch(tmp_path / "run") as batch:
        outcome = await batch.recognize(path, Receipt)
    assert isinstance(outcome, Failure)
    assert len(clients.errors) == 4  # after 0, 1, 3 and 6 seconds


async def test_a_ledger_that_comes_back_is_used(tmp_path: Path) -> None:
    """While the ledger cannot be opened images wait, and they are sent when it can be."""
    clients = Clients()
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    (tmp_path / "run").write_text("in the way")
    async with clients.batch(tmp_path / "run") as batch:
        waiting = asyncio.create_task(batch.recognize(path, Receipt))
        await clients.paused.wait()
        (tmp_path / "run").unlink()
        clients.go_on.set()
        outcome = await waiting
    assert isinstance(outcome, Success)


async def test_an_image_that_breaks_the_transport_is_given_up_and_the_others_are_read(tmp_path: Path) -> None:
    """An image whose call raises another exception ends three batches, then it has failed; the others are read."""

    class Broken(FakeTransport):
        left = 3

        async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:
            if self.left:
                self.left -= 1
                raise RuntimeError("canary of a transport")
            return await super().send(request, progress)

    clients = Clients()
    clients.transport = Broken()
    one, two = pictures(tmp_path / "scans", "a.jpg", "b.jpg")
    clients.go_on.set()
    async with clients.batch(tmp_path / "run") as batch:
        broken = await batch.recognize(one, Receipt)
        read = await batch.recognize(two, Receipt)
    assert isinstance(broken, Failure)
    assert "3 times with RuntimeError" in str(broken.error)
    assert "canary" not in str(broken.error)
    assert isinstance(read, Success)


async def test_a_call_that_breaks_the_transport_in_flight_is_ambiguous(tmp_path: Path) -> None:
    """If the exception comes after the request has left, the image is ambiguous, and is not sent again."""

    async def break_down(_: object) -> Any:
        raise RuntimeError("made up")

    clients = Clients(break_down)
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    clients.go_on.set()
    async with clients.batch(tmp_path / "run") as batch:
        found = [await batch.recognize(path, Receipt) for _ in range(2)]
    assert all(isinstance(one, Failure) and one.error.billing is Billing.MAYBE_BILLED for one in found)
    assert len(clients.transport.sent) == 1


async def test_a_client_that_cannot_be_made_again_is_made_later(tmp_path: Path) -> None:
    """If the next client cannot be made, its error is a stop like any other."""
    clients = Clients(REJECTED)
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    async with clients.batch(tmp_path / "run") as batch:
        waiting = asyncio.create_task(batch.recognize(path, Receipt))
        await clients.paused.wait()
        clients.fail = KeyError("SECRET")
        clients.go_on.set()
        outcome = await waiting
    assert isinstance(outcome, Success)
    assert str(clients.errors[1]) == "KeyError ended the batch"


async def test_a_document_that_no_domain_reads_fails_at_once(tmp_path: Path) -> None:
    """An image whose document no domain reads has failed, and the batch is not stopped by it."""
    clients = Clients()
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    async with clients.batch(tmp_path / "run") as batch:
        refused = await batch.recognize(path, IdCard)
        read = await batch.recognize(path, Receipt)
    assert isinstance(refused, Failure)
    assert isinstance(refused.error, ConfigurationError)
    assert isinstance(read, Success)


async def test_closing_waits_for_the_calls_in_flight(tmp_path: Path) -> None:
    """A call that is in flight when the batch is closed is paid once and has its outcome; unsent images have none."""
    held = Held()
    clients = Clients(held)
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    async with clients.batch(tmp_path / "run") as batch:
        sent = asyncio.create_task(batch.recognize(path, Receipt))
        await held.reached.wait()
        closing = asyncio.create_task(batch.close())
        await steps()
        unsent = asyncio.create_task(batch.recognize(path, Receipt))
        held.go_on.set()
        await closing
        outcome = await sent
        assert not unsent.done()
        unsent.cancel()
    assert isinstance(outcome, Success)
    assert outcome.billed


async def test_a_cancelled_close_cuts_the_calls_off(tmp_path: Path) -> None:
    """If closing is cancelled, a call in flight is cut off, and is ambiguous for the next batch."""
    held = Held()
    clients = Clients(held)
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    async with clients.batch(tmp_path / "run") as batch:
        sent = asyncio.create_task(batch.recognize(path, Receipt))
        await held.reached.wait()
        closing = asyncio.create_task(batch.close())
        await steps()
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        cut_off = await sent
    async with clients.batch(tmp_path / "run") as batch:
        later = await batch.recognize(path, Receipt)
    for outcome in (cut_off, later):
        assert isinstance(outcome, Failure)
        assert outcome.error.billing is Billing.MAYBE_BILLED
    assert len(clients.transport.sent) == 1


async def test_a_caller_that_has_gone_misses_nothing(tmp_path: Path) -> None:
    """The outcome of an image whose caller was cancelled is in the ledger, and the batch goes on."""
    held = Held()
    clients = Clients(held)
    (path,) = pictures(tmp_path / "scans", "a.jpg")
    async with clients.batch(tmp_path / "run") as batch:
        gone = asyncio.create_task(batch.recognize(path, Receipt))
        await held.reached.wait()
        gone.cancel()
        await asyncio.wait([gone])
        held.go_on.set()
        outcome = await batch.recognize(path, Receipt)
    assert isinstance(outcome, Success)
    assert not outcome.billed


def test_pauses_double_up_to_half_a_minute() -> None:
    """Pauses grow from at most a second to at most half a minute, and never vanish."""
    found = list(itertools.islice(growing_pauses(), 20))
    bounds = [min(2.0**number, 30.0) for number in range(20)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(found, bounds, strict=True))


def test_what_makes_no_client_is_refused() -> None:
    """A factory that is no function, or returns something else, is named."""
    no_client: Any = "no client"
    with pytest.raises(ConfigurationError, match="make_client is a str"):
        require_client_factory(no_client)
    with pytest.raises(ConfigurationError, match="make_client returned a str"):
        made_client(lambda: no_client)
