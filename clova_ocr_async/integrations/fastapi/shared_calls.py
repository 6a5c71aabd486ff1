"""Calls that several requests may wait for: the same picture at the same moment is sent, and billed, once.

A web server does not cancel the handler of a request whose client has disconnected. So each handler watches its
connection. When the last of the waiting clients has gone, the call is cancelled: a request that was not sent is
dropped, and one that was sent runs on in the client, which keeps its answer for the next upload of the same picture.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect

from clova_ocr_async import Billing, ClovaOCRError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from clova_ocr_async import ClovaOCRClient, Document, Recognition
    from clova_ocr_async.integrations.fastapi.shedding import LoadShedder

    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Key = tuple[ClovaOCRClient, type[Document], int]

__all__ = ["SharedCalls"]

_ASKED_AGAIN_AFTER = 1.0  # seconds


class SharedCall:
    """A call, and the requests that wait for it.

    Args:
        task: The call.
        data: The picture.
        key: What it can be found by.

    Attributes:
        task: As given.
        data: As given.
        key: As given.
        callers: Requests that wait for it.
        reported: Whether one of them has reported what it cost.
    """

    __slots__ = ("callers", "data", "key", "reported", "task")

    def __init__(self, task: asyncio.Task[Recognition[Any]], data: bytes, key: Key) -> None:
        self.task = task
        self.data = data
        self.key = key
        self.callers = 0
        self.reported = False

    def take(self) -> Recognition[Any] | ClovaOCRError:
        """Return the answer or the error; any other exception is raised."""
        error = self.task.exception()
        if error is None:
            return self.task.result()
        if not isinstance(error, ClovaOCRError):
            raise error
        return error

    def billing(self, outcome: Recognition[Any] | ClovaOCRError) -> Billing:
        """Return what the call has cost, to the first request that asks: the sum over all must be right."""
        first, self.reported = not self.reported, True
        if not first:
            return Billing.NOT_BILLED
        if isinstance(outcome, ClovaOCRError):
            return outcome.billing
        # An answer without a request of its own is that of an earlier call, whose caller had gone.
        return Billing.BILLED if outcome.attempts else Billing.NOT_BILLED


class SharedCalls:
    """The calls of a router.

    Args:
        join_identical: Whether requests with the same picture and document share a call.
    """

    def __init__(self, *, join_identical: bool) -> None:
        self._join = join_identical
        self._open: dict[Key, list[SharedCall]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()  # asyncio itself keeps no reference to a task

    def join(
        self,
        client: ClovaOCRClient,
        data: bytes,
        document: type[Document],
        load: LoadShedder,
        *,
        context: object = None,
    ) -> SharedCall:
        """Return the call for a picture: one that is open already, or a new one. Its outcome must be waited for.

        Args:
            client: The client.
            data: The picture.
            document: The document's class.
            load: Counts the calls.
            context: That of a new call.
        """
        return self._find(client, data, document) or self._begin(client, data, document, load, context)

    async def outcome(self, call: SharedCall, receive: Receive) -> tuple[Recognition[Any] | ClovaOCRError, Billing]:
        """Return the answer or the error of a call, and what this request has cost.

        Args:
            call: The call.
            receive: Returns the messages of the request's connection.

        Raises:
            ClientDisconnect: The client of the request has gone.
        """
        call.callers += 1
        gone = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((call.task, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            call.callers -= 1
            if not call.callers and not call.task.done():
                self._drop(call)
                call.task.cancel()
        if not call.task.done():
            raise ClientDisconnect
        outcome = call.take()
        return outcome, call.billing(outcome)

    def _find(self, client: ClovaOCRClient, data: bytes, document: type[Document]) -> SharedCall | None:
        if not self._join:
            return None
        # Lengths are compared first, then bytes: that is cheaper than a hash of each picture.
        same_length = self._open.get((client, document, len(data)), ())
        return next((call for call in same_length if call.data == data), None)

    def _begin(
        self, client: ClovaOCRClient, data: bytes, document: type[Document], load: LoadShedder, context: object
    ) -> SharedCall:
        key = client, document, len(data)
        call = SharedCall(asyncio.create_task(client.recognize(data, document, context=context)), data, key)
        self._open.setdefault(key, []).append(call)
        self._tasks.add(call.task)
        load.calls += 1
        call.task.add_done_callback(lambda _: self._end(call, load))
        return call

    def _end(self, call: SharedCall, load: LoadShedder) -> None:
        load.calls -= 1
        self._tasks.discard(call.task)
        self._drop(call)
        if not call.task.cancelled():
            call.task.exception()  # retrieved, since no request may wait for it any more

    def _drop(self, call: SharedCall) -> None:
        """Let no further request join a call."""
        same_length = self._open.get(call.key, [])
        if call in same_length:
            same_length.remove(call)
        if not same_length:
            self._open.pop(call.key, None)


async def _disconnected(receive: Receive) -> None:
    """Wait until the client of a request has gone, as far as the connection's messages tell."""
    try:
        while (await receive())["type"] != "http.disconnect":  # noqa: ASYNC110 - only a message can tell
            # A middleware that has read the body may repeat it for ever, without a moment for the event loop.
            await asyncio.sleep(_ASKED_AGAIN_AFTER)
    except ClientDisconnect:
        return
    except Exception:  # noqa: BLE001 - one that repeats the body makes Starlette's own middleware raise a RuntimeError
        await asyncio.get_running_loop().create_future()  # the call itself is all that can be waited for
