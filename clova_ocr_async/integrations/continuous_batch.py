"""A batch that goes on for as long as its process, for engines that bring one image after the other.

All images of a process go through one client, one ledger and one batch at a time. So they share the window of the
batch, which follows the slots and bounds the memory, and the ledger is opened once and not for each image.

A batch stops at an error that every other image would meet as well: the store is away, the quota is spent, the secret
was rejected. Then nothing more is sent. The images that were not sent wait, and the next batch begins after a pause,
with a client and a ledger of its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from clova_ocr_async import (
    BatchDispatcher,
    Billing,
    ClovaOCRError,
    ConfigurationError,
    Failure,
    ImageError,
    NotSentError,
)
from clova_ocr_async.integrations.client_factory import made_client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from clova_ocr_async import Batch, ClovaOCRClient, Document, Outcome

__all__ = ["ContinuousBatch", "growing_pauses", "require_location"]

logger = logging.getLogger("clova_ocr_async")

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before the next batch; doubled each time
_MOST_FAILURES = 3  # batches that one image may end by an exception that is not an error of this package


def require_location(ledger: object) -> None:
    """Refuse a ledger that is not the location of a run.

    Raises:
        ConfigurationError: It is an object: each batch opens a ledger of its own.
    """
    if not isinstance(ledger, str | os.PathLike):
        raise ConfigurationError(
            f"ledger is a {type(ledger).__name__}; it must be the path of a run directory, or the URL of a run"
        )


def growing_pauses() -> Iterator[float]:
    """Yield pauses that double up to half a minute, less a random part: many processes come back one by one."""
    pause = _FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
        pause = min(2 * pause, _LONGEST_PAUSE)


class _Request(os.PathLike[str]):
    """An image that waits for its outcome. A batch takes it as a path, and names it as the source of the outcome.

    Attributes:
        document: The document class.
        done: Its outcome.
        failures: Batches that it has ended by an exception.
    """

    def __init__(self, path: str, document: type[Document]) -> None:
        self._path = path
        self.document = document
        self.done: asyncio.Future[Outcome[Any]] = asyncio.get_running_loop().create_future()
        self.failures = 0

    def __fspath__(self) -> str:
        return self._path

    def __str__(self) -> str:
        return self._path

    def finish(self, outcome: Outcome[Any]) -> None:
        """Give the outcome to the caller, unless it has gone."""
        if not self.done.done():
            self.done.set_result(outcome)


class ContinuousBatch:
    """Recognizes images that come one by one; made in the event loop that it works in.

    Args:
        client: The first client, not open yet.
        make_client: Makes the client of each further batch.
        ledger: A run directory, or the URL of a run.
        waits: Returns whether images wait for the next batch, given the error that stopped the last one, and the
            seconds since the first stop of those without an outcome in between. Else their outcome is a NotSentError.
        sleep: Waits some seconds.
        clock: Returns seconds.
        pauses: Yields the seconds before each further batch; begun anew once a batch has had an outcome.

    Raises:
        ConfigurationError: ``ledger`` is neither a path nor the URL of a run.
    """

    def __init__(
        self,
        client: ClovaOCRClient,
        make_client: Callable[[], ClovaOCRClient],
        ledger: str | os.PathLike[str],
        *,
        waits: Callable[[ClovaOCRError, float], bool],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        pauses: Callable[[], Iterator[float]] = growing_pauses,
    ) -> None:
        BatchDispatcher(client, ledger=ledger)  # refuses a location that cannot be one, before the first image comes
        self._client = client
        self._make_client = make_client
        self._ledger = ledger
        self._waits = waits
        self._sleep = sleep
        self._clock = clock
        self._pauses = pauses
        self._waiting: deque[_Request] = deque()
        self._arrived = asyncio.Event()
        self._in_batch: set[_Request] = set()
        self._not_sent: list[_Request] = []  # of the batch that has stopped
        self._refusing: ClovaOCRError | None = None
        self._client_used = False
        self._progressed = False
        self._task = asyncio.create_task(self._serve())

    async def recognize(self, path: object, document: type[Document]) -> Outcome[Any]:
        """Return the outcome of an image; ``source`` is its path.

        It raises no error of the image, and waits as long as ``waits`` says.

        Args:
            path: The path of the file; messages and tables may hold something else, which is an error of the image.
            document: The document class.
        """
        if not isinstance(path, str):  # else it would end the batch, and with it the work on all other images
            return Failure(None, ImageError(f"the path is a {type(path).__name__}; it must be the path of a file"))
        request = _Request(path, document)
        try:
            self._client.serving(document)
        except ClovaOCRError as error:
            return Failure(request, error)
        if self._refusing is not None:
            return Failure(request, NotSentError(self._refusing))
        self._waiting.append(request)
        self._arrived.set()
        return await request.done

    async def close(self) -> None:
        """End the batch: the calls in flight finish, and images that were not sent get no outcome.

        A cancellation cuts off the calls in flight; they are ambiguous then.
        """
        self._task.cancel()
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait([self._task])
            raise

    async def _serve(self) -> None:
        pauses, stopped_at = self._pauses(), math.nan
        while True:
            self._progressed = False
            error = await self._run_batch()
            if self._progressed or math.isnan(stopped_at):
                pauses, stopped_at = self._pauses(), self._clock()
            if not self._waits(error, self._clock() - stopped_at):
                self._refuse(error)
            pause = next(pauses)
            logger.warning("nothing is sent for now: %s; the next attempt follows in %.1f s", error, pause)
            await self._sleep(pause)
            self._refusing = None

    async def _run_batch(self) -> ClovaOCRError:
        """Run a batch until it stops; return the error that stopped it."""
        try:
            if self._client_used:
                self._client = made_client(self._make_client)
            self._client_used = True
            dispatcher = BatchDispatcher(self._client, ledger=self._ledger)
            async with self._client:
                batch = dispatcher.dispatch(self._requests())
                try:
                    await self._take_outcomes(batch)
                finally:
                    for outcome in batch.left_over:
                        self._take(outcome, stopped=True)
        except ClovaOCRError as error:
            return error
        except Exception as error:  # noqa: BLE001 - of slots, transports or make_client of the user's own
            self._count_failure(type(error).__name__)
            return ClovaOCRError(f"{type(error).__name__} ended the batch")
        finally:
            self._put_back()
        assert batch.stopped is not None  # noqa: S101 - its images never end
        return batch.stopped

    async def _take_outcomes(self, batch: Batch[Document]) -> None:
        async with batch:
            async for outcome in batch:
                self._take(outcome, stopped=batch.stopped is not None)

    async def _requests(self) -> AsyncGenerator[tuple[_Request, type[Document]]]:
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            request = self._waiting.popleft()
            self._in_batch.add(request)
            yield request, request.document

    def _take(self, outcome: Outcome[Any], *, stopped: bool) -> None:
        request: _Request = outcome.source
        # An error that stopped the batch is not about this image, unless a request may have been billed.
        if stopped and isinstance(outcome, Failure) and _is_about_all(outcome.error):
            self._in_batch.discard(request)
            self._not_sent.append(request)
        else:
            self._finish(request, outcome)

    def _finish(self, request: _Request, outcome: Outcome[Any]) -> None:
        self._in_batch.discard(request)
        self._progressed = True
        request.finish(outcome)

    def _count_failure(self, kind: str) -> None:
        """Give up the images that have ended several batches: the others of a batch have come out by then."""
        for request in list(self._in_batch):
            request.failures += 1
            if request.failures >= _MOST_FAILURES:
                error = ClovaOCRError(f"reading it has failed {request.failures} times with {kind}")
                self._finish(request, Failure(request, error))

    def _put_back(self) -> None:
        self._waiting.extendleft((*self._in_batch, *reversed(self._not_sent)))
        self._in_batch.clear()
        self._not_sent.clear()

    def _refuse(self, error: ClovaOCRError) -> None:
        self._refusing = error
        while self._waiting:
            request = self._waiting.popleft()
            request.finish(Failure(request, NotSentError(error)))


def _is_about_all(error: ClovaOCRError) -> bool:
    return error.billing is Billing.NOT_BILLED and (error.stops_run or isinstance(error, NotSentError))
