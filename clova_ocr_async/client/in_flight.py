"""The requests of a client that are in flight, each in a task of its own.

A request is billed from its first byte on, even if its caller is gone. So it must be able to outlive the caller. The
caller waits for the request's task, and a cancellation of the caller, be it by the deadline, a web server or
``asyncio.timeout``, does not reach the wire by itself. If the deadline passes, the error says how far the request had
come.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import (
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    ResponseTimeoutError,
)
from clova_ocr_async.host.tasks import wait_shielded

if TYPE_CHECKING:
    from clova_ocr_async.client.retry.call import Call
    from clova_ocr_async.client.transport import RequestProgress, Transport
    from clova_ocr_async.protocol.request import HTTPRequest
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["InFlight", "deadline_error"]

_TOO_LATE = "the deadline passed while it came"
_UNKNOWN_BILLING = "after the request was sent; it may have been billed"


class InFlight:
    """The requests of a client in flight: sent, waited for, and ended when the client closes.

    Args:
        transport: The transport of one request.

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
            ConfigurationError: The client is closed.
        """
        if self.closed:
            raise ConfigurationError("the client was closed while the call was in flight")

    async def send(self, call: Call[Any], request: HTTPRequest) -> HTTPResponse:
        """Send a request of a call and return its answer; in a batch, within the deadline of each request.

        Raises:
            ClovaOCRError: The transport failed, the deadline passed, or the client was closed.
        """
        if call.lane == "interactive":
            return await self._answer(call, request)
        # In a batch the wait for a slot does not count, so each request gets the whole time.
        limit = asyncio.timeout(call.deadline.seconds)
        try:
            async with limit:
                return await self._answer(call, request)
        except TimeoutError:
            if not limit.expired():  # raised by a session of the caller's
                raise
        if (answer := call.request.returned() or call.request.progress.response(_TOO_LATE)) is not None:
            return answer
        raise deadline_error(call, 0.0)

    async def _answer(self, call: Call[Any], request: HTTPRequest) -> HTTPResponse:
        """Return the answer to a request.

        If the caller is cancelled, a request that may detach runs on in ``call.request.task``. Any other request has
        ended by then.
        """
        self.check_open()
        loop = asyncio.get_running_loop()
        # A future of its own: a cancelled await of the task itself would cancel the request.
        ended: asyncio.Future[None] = loop.create_future()
        call.request.task = task = loop.create_task(self._send(request, call.request.progress, ended))
        self._tasks[call.request.progress] = task
        try:
            await ended
        except asyncio.CancelledError:
            if not call.may_detach:
                await self._cut_off(task, call.request.progress)
            raise
        self._tasks.pop(call.request.progress, None)  # an eager task may have ended before it was noted
        return self._answer_at_close(call) if task.cancelled() else task.result()

    async def _send(self, request: HTTPRequest, progress: RequestProgress, ended: asyncio.Future[None]) -> HTTPResponse:
        try:
            return await self._transport.send(request, progress)
        finally:
            self._tasks.pop(progress, None)
            if not ended.done():
                ended.set_result(None)

    async def _cut_off(self, task: asyncio.Task[HTTPResponse], progress: RequestProgress) -> None:
        progress.called_off = not progress.body_began
        task.cancel()
        try:
            await wait_shielded(task)
        finally:
            self._tasks.pop(progress, None)  # a task that is cancelled before its first step does not run its finally
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio does not report an error that no caller waits for

    def _answer_at_close(self, call: Call[Any]) -> HTTPResponse:
        """Return what has arrived of an answer when the client closed: it may have been billed."""
        if (answer := call.request.progress.response("the client was closed while it came")) is not None:
            return answer
        if call.request.progress.body_began:
            raise ConnectionLostError("the client was closed before the answer came; it may have been billed")
        raise ConfigurationError("the client was closed while the call was in flight")

    async def close(self, wait: float) -> None:
        """Send nothing more, wait for the requests in flight, cut off the rest, and close the transport.

        Args:
            wait: Seconds to wait at most.
        """
        self.closed = True
        try:
            if wait and self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=wait)
        finally:
            if self._ending is None:
                # In a task of its own, so that a cancelled close still closes the transport.
                self._ending = asyncio.ensure_future(self._end())
            await wait_shielded(self._ending)
        self._ending.result()

    async def _end(self) -> None:
        tasks = list(self._tasks.values())
        for progress, task in self._tasks.items():
            progress.called_off = not progress.body_began
            task.cancel()
        # Waited for, so that no task uses the transport after it is closed.
        if tasks:
            await asyncio.wait(tasks)
        await self._transport.close()


def deadline_error(call: Call[Any], keep: float) -> ClovaOCRError:
    """Return the error of a call whose deadline has passed, by how far its request had come.

    Args:
        call: The call.
        keep: Seconds that the answer is kept if the request runs on.
    """
    request = call.request
    seconds = f"the deadline of {call.deadline.seconds or 0.0:g} s passed"
    if call.joined:
        return ResponseTimeoutError(
            f"{seconds} while an earlier request for the same image was in flight; nothing more was sent",
            billing=Billing.NOT_BILLED,
        )
    partial = request.progress.response(_TOO_LATE)
    # An error of the service is raised now. A recognition that is still arriving is kept when it is complete.
    if partial is not None and not (request.detached and partial.status == HTTPStatus.OK):
        try:
            call.decode(partial)
        except ClovaOCRError as error:
            return error
    if not request.progress.body_began:
        return ConnectionFailedError(f"{seconds} before anything was sent")
    again = (
        f"; called again within {keep:g} s of the answer, the call gets it unbilled"
        if request.detached and keep
        else ""
    )
    billing = max(Billing.MAYBE_BILLED, request.billing_if_cancelled())
    phase = "while its answer came; it was billed" if billing is Billing.BILLED else _UNKNOWN_BILLING
    late = ResponseTimeoutError(f"{seconds} {phase}{again}", billing=billing)
    late.raw = b"" if partial is None else partial.body
    return late
