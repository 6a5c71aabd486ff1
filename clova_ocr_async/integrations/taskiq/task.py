"""The task: takes the path of an image out of a message, and returns its outcome as plain values."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias, cast

# At run time: Taskiq reads the annotations of a task.
from taskiq import (
    AcknowledgeType,
    AsyncTaskiqDecoratedTask,
    Context,
    NoResultError,
    TaskiqDepends,
    TaskiqMiddleware,
)
from taskiq.brokers.inmemory_broker import InmemoryResultBackend
from taskiq.events import TaskiqEvents
from taskiq.result_backends.dummy import DummyResultBackend
from taskiq_redis import RedisStreamBroker

from clova_ocr_async import DOCUMENTS, ClovaOCRError, ConfigurationError, Failure, SpendingCeilingError
from clova_ocr_async.integrations.client_factory import made_client, require_client_factory
from clova_ocr_async.integrations.continuous_batch import ContinuousBatch, require_location
from clova_ocr_async.integrations.taskiq.broker_rules import check_worker, require_recoverable
from clova_ocr_async.integrations.taskiq.stream_upkeep import StreamUpkeep
from clova_ocr_async.results import OutcomeRow, outcome_row

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine

    from taskiq import AsyncBroker, TaskiqMessage, TaskiqResult

    from clova_ocr_async import ClovaOCRClient

__all__ = ["recognize_task"]

RecognizeTask: TypeAlias = AsyncTaskiqDecoratedTask[[str, str], "Coroutine[Any, Any, dict[str, Any]]"]

_IN_THIS_PROCESS = (DummyResultBackend, InmemoryResultBackend)


def recognize_task(
    broker: AsyncBroker,
    *,
    make_client: Callable[[], ClovaOCRClient],
    ledger: str | os.PathLike[str],
    results_in_backend: bool = False,
    task_name: str = "clova_ocr:recognize",
) -> RecognizeTask:
    """Register a task that recognizes an image; call this where the broker is made.

    ``await task.kiq(path, "receipt")`` sends the path and the vendor's path word of the document, and nothing else. The
    task returns a dict with ``key``, ``source``, ``status``, ``billed``, ``result`` and ``error``, as ``outcome_row``
    of ``clova_ocr_async.results`` describes them. It raises nothing for an image. A message that is delivered twice is
    paid once; the second delivery gets the answer of the first, and ``billed`` False. If the worker of the first
    delivery has died with the call in flight, the second one waits for the lease of the ledger, 30 s at most, and is
    "ambiguous".

    A message is acknowledged once its row is in the result backend. While the ledger is away, the quota is spent or the
    secret is rejected, a worker keeps its messages and tries again, with a new client. If the call limit of the run is
    reached, an image is "pending".

    Args:
        broker: The broker. Its messages must outlive a worker: in Redis a ``RedisStreamBroker`` is made for that.
        make_client: Returns a client that is not open yet; called in the worker, and again after each stop.
        ledger: A run directory, which all workers of one machine share, or the URL of a run.
        results_in_backend: Whether ``result``, which holds personal values, may go to a result backend outside of this
            process. If not, it is None there, and the answer is found in the run by its ``key``.
        task_name: The name of the task; each task of a broker has another one.

    Raises:
        ConfigurationError: The broker never delivers messages of a dead worker again, the name is taken, or an argument
            is of another kind. A worker raises it at its start if ``make_client`` cannot make a client, or if
            ``idle_timeout`` of the broker is not longer than the client's deadline and a lease.
    """
    require_client_factory(make_client)
    require_location(ledger)
    require_recoverable(broker)
    if broker.find_task(task_name) is not None:
        raise ConfigurationError(f"the broker has a task {task_name!r} already; give another task_name")

    async def wake() -> None:
        """Do nothing: that a message was fetched is all that is needed."""
        raise NoResultError

    waking = broker.register_task(wake, f"{task_name}:wake")
    worker = _Worker(broker, make_client, ledger, waking.kiq, results_in_backend=results_in_backend)

    broker.add_middlewares(_Acknowledgement())

    async def recognize(
        path: str,
        document: str,
        context: Context = TaskiqDepends(),  # noqa: B008 - how Taskiq passes it
    ) -> dict[str, Any]:
        """Recognize an image."""
        row = dict(await worker.recognize(path, document))
        if isinstance(cast("object", context), Context):  # else the task was called as a function
            _finished.set(context)
        return row

    broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, worker.start)
    for end in (TaskiqEvents.WORKER_SHUTDOWN, TaskiqEvents.CLIENT_SHUTDOWN):
        broker.add_event_handler(end, worker.stop)
    # Whatever the worker is started with: acknowledged before its end, the message of a dead worker would be lost.
    task = broker.register_task(recognize, task_name, ack_type=AcknowledgeType.MANUAL.value)
    return cast("RecognizeTask", task)


_finished: ContextVar[Context | None] = ContextVar("finished", default=None)


class _Acknowledgement(TaskiqMiddleware):
    """Acknowledges a message once its result is stored.

    Taskiq itself acknowledges it also if the result backend fails, and then the row of an image is lost.
    """

    async def post_save(self, message: TaskiqMessage, result: TaskiqResult[Any]) -> None:  # noqa: ARG002 - Taskiq's names
        """Acknowledge a message of this task; those of other tasks are Taskiq's business."""
        context = _finished.get()
        if context is not None and context.message is message and context.is_ackable:
            await context.ack()


class _Worker:
    """The part of a task that is in a worker process: its client, its batch, and the upkeep of its queue."""

    def __init__(
        self,
        broker: AsyncBroker,
        make_client: Callable[[], ClovaOCRClient],
        ledger: str | os.PathLike[str],
        wake: Callable[[], Coroutine[Any, Any, object]],
        *,
        results_in_backend: bool,
    ) -> None:
        self._broker = broker
        self._make_client = make_client
        self._ledger = ledger
        self._results_in_backend = results_in_backend
        self._wake = wake
        self._batch: ContinuousBatch | None = None
        self._upkeeping: asyncio.Task[None] | None = None

    def start(self, _: object) -> None:
        """Begin the batch."""
        self._begun()

    async def stop(self, _: object) -> None:
        """End the batch, after the calls in flight."""
        batch, self._batch = self._batch, None
        if batch is None:
            return
        try:
            await batch.close()
        finally:
            if self._upkeeping is not None:
                self._upkeeping.cancel()

    async def recognize(self, path: object, document: object) -> OutcomeRow:
        """Return the row of an image.

        Args:
            path: The path of the file, if the message has one.
            document: The vendor's path word, if it is one.
        """
        with_result = self._results_in_backend or isinstance(self._broker.result_backend, _IN_THIS_PROCESS)
        kind = DOCUMENTS.get(document) if isinstance(document, str) else None
        if kind is None:
            error = ConfigurationError(f"the document of the task is none of {', '.join(DOCUMENTS)}")
            return outcome_row(Failure(path, error))
        return outcome_row(await self._begun().recognize(path, kind), with_result=with_result)

    def _begun(self) -> ContinuousBatch:
        # Also without the event of a worker's start, which a receiver inside of an app does not send.
        if self._batch is None:
            client = made_client(self._make_client)
            check_worker(self._broker, client)
            self._batch = ContinuousBatch(client, self._make_client, self._ledger, waits=_waits)
            if isinstance(self._broker, RedisStreamBroker):
                self._upkeeping = asyncio.create_task(StreamUpkeep(self._broker, self._wake).run())
        return self._batch


def _waits(error: ClovaOCRError, _: float) -> bool:
    # A message whose row is pending is acknowledged, and nobody sends it again. A call limit alone is what people want.
    return not isinstance(error, SpendingCeilingError)
