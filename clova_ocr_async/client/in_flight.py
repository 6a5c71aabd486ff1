"""The requests of a client that are in flight, each in a task of its own.

A request must be able to outlive its caller: it is paid from its first byte on, whether somebody waits or not. So the
caller waits for a task, and what cancels the caller, be it the deadline, a web server or ``asyncio.timeout``, does not
reach the wire by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from clova_ocr_async.client.deadline import TOO_LATE, overdue
from clova_ocr_async.errors import ConfigurationError, ConnectionLostError
from clova_ocr_async.host.tasks import wait_shielded

if TYPE_CHECKING:
    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.client.transport import RequestProgress, Transport
    from clova_ocr_async.protocol.request import HTTPRequest
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["InFlight"]


class InFlight:
    """Sends requests, waits for their answers, and ends them with the client.

    Args:
        transport: The wire.

    Attributes:
        closed: Whether the client was closed, so that nothing more is sent.
    """

    def __init__(self, transport: Transport) -> None:
        self.closed = False
        self._transport = transport
        self._tasks: dict[RequestProgress, asyncio.Task[HTTPResponse]] = {}
        self._ending: asyncio.Task[None] | None = None

    def check_open(self) -> None:
        """Refuse to send for a client that was closed meanwhile.

        Raises:
            ConfigurationError: It was.
        """
        if self.closed:
            raise ConfigurationError("the client was closed while the call was under way")

    async def send(self, call: Call[Any], request: HTTPRequest) -> HTTPResponse:
        """Send a request of a call and return its answer; one of a batch within the deadline of each request.

        Raises:
            ClovaOCRError: As the transport raises it; the deadline passed; or the client was closed.
        """
        if call.lane == "interactive":
            return await self._answered(call, request)
        limit = call.deadline.anew()
        try:
            async with limit:
                return await self._answered(call, request)
        except TimeoutError:
            if not limit.expired:
                raise
        if (answer := call.landed() or call.exchange.response(TOO_LATE)) is not None:
            return answer
        raise overdue(call, 0.0)

    async def _answered(self, call: Call[Any], request: HTTPRequest) -> HTTPResponse:
        """Wait for the answer of a request.

        If the caller is cancelled, a request that may go on without it (``call.outlives``) is still there in
        ``call.wire`` then; any other one has ended.
        """
        self.check_open()
        loop = asyncio.get_running_loop()
        landed: asyncio.Future[None] = loop.create_future()
        call.wire = task = loop.create_task(self._landing(request, call.exchange, landed))
        self._tasks[call.exchange] = task
        try:
            await landed
        except asyncio.CancelledError:
            if not call.outlives:
                await self._cut(task, call.exchange)
            raise
        return self._closed_under_way(call) if task.cancelled() else task.result()

    async def _landing(
        self, request: HTTPRequest, exchange: RequestProgress, landed: asyncio.Future[None]
    ) -> HTTPResponse:
        try:
            return await self._transport.send(request, exchange)
        finally:
            del self._tasks[exchange]
            if not landed.done():
                landed.set_result(None)

    async def _cut(self, task: asyncio.Task[HTTPResponse], exchange: RequestProgress) -> None:
        exchange.called_off = not exchange.body_began
        task.cancel()
        try:
            await wait_shielded(task)
        finally:
            self._tasks.pop(exchange, None)  # a task that was cancelled before its first step does not do so itself
            if not task.cancelled():
                task.exception()  # looked at, so that asyncio does not report what nobody waits for any more

    def _closed_under_way(self, call: Call[Any]) -> HTTPResponse:
        """Return the answer of a request that the closing cut off, as far as it came: it may have been paid."""
        if (answer := call.exchange.response("the client was closed while it came")) is not None:
            return answer
        if call.exchange.body_began:
            raise ConnectionLostError("the client was closed before the answer came; it may have been billed")
        raise ConfigurationError("the client was closed while the call was under way")

    async def close(self, wait: float) -> None:
        """Send nothing more, wait for what is in flight, cut off what is left, and close the transport.

        Args:
            wait: Seconds.
        """
        self.closed = True
        try:
            if wait and self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=wait)
        finally:
            if self._ending is None:
                # In a task of its own, so that a close that is cancelled closes all the same.
                self._ending = asyncio.ensure_future(self._end())
            await wait_shielded(self._ending)
        self._ending.result()

    async def _end(self) -> None:
        tasks = list(self._tasks.values())
        for exchange, task in self._tasks.items():
            exchange.called_off = not exchange.body_began
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._transport.close()
