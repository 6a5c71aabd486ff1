from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import ClientDisconnect
from support.fakes import JPEG, SPENT, FakeTransport, Held, domain
from support.late import reached
from support.web import Upload, app_of
from virtual import run_virtually

from clova_ocr_async import ClovaOCRClient, IdCard, Receipt, RetryPolicy
from clova_ocr_async.slots import LocalSlots

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

OTHER = JPEG[:-3] + b"x" + JPEG[-2:]  # of the same length


class Case:
    """An app whose client has some slots, and a first request that is held."""

    def __init__(self, slots: int = 5, **settings: Any) -> None:
        self.held = Held(settings.pop("step", None))
        self.transport = FakeTransport(self.held)
        self.client = ClovaOCRClient(
            domain(),
            transport=self.transport,
            slots=LocalSlots(slots),
            retry=RetryPolicy(max_attempts=1, quota_probes=0),
        )
        self.app = app_of(self.client, documents=[Receipt, IdCard], **settings)

    def upload(self, data: bytes = JPEG, path: str = "/receipt") -> Upload:
        """Begin an upload."""
        return Upload(self.app, data, path)

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot."""
        return self.client.backlog(Receipt).waiting


def virtually(case: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test where no second is waited for."""
    run_virtually(case())


def test_the_same_picture_fifty_times_at_once_is_billed_once() -> None:
    """Fifty uploads of one picture are one call; each gets the answer, and one of them reports that it cost a call."""

    @virtually
    async def _() -> None:
        case = Case()
        uploads = [case.upload() for _ in range(50)]
        await case.held.reached.wait()
        await asyncio.sleep(1)
        case.held.go_on.set()
        answers = [await upload.answer() for upload in uploads]
        assert {answered.status for answered in answers} == {200}
        assert sorted(answered.json()["billed"] for answered in answers) == [False] * 49 + [True]
        assert len({answered.json()["request_id"] for answered in answers}) == 1
        assert len(case.transport.sent) == 1


@pytest.mark.parametrize(("data", "path"), [(OTHER, "/receipt"), (JPEG, "/id-card"), (JPEG + b"\xff\xd9", "/receipt")])
def test_another_picture_or_document_is_another_call(data: bytes, path: str) -> None:
    """Only the same bytes for the same document are joined."""

    @virtually
    async def _() -> None:
        case = Case()
        first, second = case.upload(), case.upload(data, path)
        await case.held.reached.wait()
        case.held.go_on.set()
        await first.answer()
        await second.answer()
        assert len(case.transport.sent) == 2


def test_identical_uploads_are_separate_calls_if_that_is_asked_for() -> None:
    """With join_identical=False each upload is its own call."""

    @virtually
    async def _() -> None:
        case = Case(join_identical=False)
        uploads = [case.upload() for _ in range(3)]
        await case.held.reached.wait()
        case.held.go_on.set()
        assert [(await upload.answer()).json()["billed"] for upload in uploads] == [True] * 3


def test_one_after_the_other_are_two_calls() -> None:
    """Once a call has its answer, no later upload joins it."""

    @virtually
    async def _() -> None:
        case = Case()
        case.held.go_on.set()
        assert [(await case.upload().answer()).json()["billed"] for _ in range(2)] == [True, True]
        assert len(case.transport.sent) == 2


@pytest.mark.parametrize("leaves", [0, 1])
def test_a_joined_call_goes_on_while_one_of_its_callers_waits(leaves: int) -> None:
    """Of two joined callers either may go: the other one gets the answer, and what it cost."""

    @virtually
    async def _() -> None:
        case = Case()
        uploads = [case.upload(), case.upload()]
        await case.held.reached.wait()
        uploads[leaves].go()
        assert (await uploads[leaves].answer()).status == 499
        case.held.go_on.set()
        answered = await uploads[1 - leaves].answer()
        assert (answered.status, answered.json()["billed"]) == (200, True)
        assert len(case.transport.sent) == 1


class Repeating:
    """A middleware that reads the body, and gives it to the app again and again instead of a disconnect."""

    def __init__(self, app: Any, times: float) -> None:
        self._app = app
        self._times = times

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand on a request."""
        body, left = b"", self._times
        while (message := await receive())["more_body"]:
            body += message["body"]

        async def again() -> Any:
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": body, "more_body": False} if left >= 0 else await receive()

        await self._app(scope, again, send)


@pytest.mark.parametrize("times", [3, math.inf])
def test_only_a_disconnect_is_one(times: float) -> None:
    """A middleware that repeats the body, even for ever, neither costs the upload its answer nor stops the server."""

    @virtually
    async def _() -> None:
        case = Case()
        upload = Upload(Repeating(case.app, times), JPEG)
        await case.held.reached.wait()
        await asyncio.sleep(10)
        case.held.go_on.set()
        assert (await upload.answer()).status == 200


def test_a_disconnect_is_seen_after_repeated_bodies() -> None:
    """Behind such a middleware a client that goes is noticed all the same, and its unsent call is dropped."""

    @virtually
    async def _() -> None:
        case = Case(slots=1)
        first = case.upload()
        await case.held.reached.wait()
        upload = Upload(Repeating(case.app, 3), OTHER)
        await reached(lambda: case.waiting == 1)
        upload.go()
        assert (await upload.answer()).status == 499
        case.held.go_on.set()
        await first.answer()
        assert len(case.transport.sent) == 1


@pytest.mark.parametrize(("error", "status"), [(RuntimeError("Unexpected message"), 200), (ClientDisconnect(), 499)])
def test_an_error_is_not_a_disconnect(error: Exception, status: int) -> None:
    """A connection that cannot be watched, as behind two such middlewares, does not cost the upload its answer."""

    @virtually
    async def _() -> None:
        case = Case()

        async def failing(scope: Any, receive: Any, send: Any) -> None:
            whole = False

            async def once() -> Any:
                nonlocal whole
                if whole:
                    raise error
                message = await receive()
                whole = not message["more_body"]
                return message

            await case.app(scope, once, send)

        upload = Upload(failing, JPEG)
        await case.held.reached.wait()
        await asyncio.sleep(1)
        case.held.go_on.set()
        assert (await upload.answer()).status == status


def test_an_unsent_call_is_dropped_with_its_last_caller() -> None:
    """A call that still waits for a slot when its client disconnects is never sent."""

    @virtually
    async def _() -> None:
        case = Case(slots=1)
        first = case.upload()
        await case.held.reached.wait()
        second = case.upload(OTHER)
        await reached(lambda: case.waiting)
        second.go()
        await second.answer()
        assert case.waiting == 0
        case.held.go_on.set()
        assert (await first.answer()).status == 200
        assert len(case.transport.sent) == 1


def test_a_sent_call_runs_on_and_its_answer_finds_the_next_taker() -> None:
    """A client that disconnects after sending, and uploads the same file again, is billed once."""

    @virtually
    async def _() -> None:
        case = Case()
        first = case.upload()
        await case.held.reached.wait()
        first.go()
        await first.answer()
        again = case.upload()  # while the request is still in flight
        await asyncio.sleep(1)
        case.held.go_on.set()
        answered = await again.answer()
        assert (answered.status, answered.json()["billed"]) == (200, False)
        assert len(case.transport.sent) == 1


def test_a_failure_reaches_all_callers_and_is_counted_once() -> None:
    """Joined callers all get the error of their call, and one of them what it has cost."""

    @virtually
    async def _() -> None:
        case = Case(step=SPENT)
        uploads = [case.upload() for _ in range(3)]
        await case.held.reached.wait()
        case.held.go_on.set()
        answers = [await upload.answer() for upload in uploads]
        assert [answered.status for answered in answers] == [503] * 3
        assert len(case.transport.sent) == 1


def test_an_error_that_is_no_error_of_the_client_is_raised() -> None:
    """A bug in a transport is not hidden behind a problem document."""

    @virtually
    async def _() -> None:
        case = Case()

        async def broken(_: object) -> Any:
            raise ZeroDivisionError

        case.transport.steps.clear()
        case.transport.then = broken
        with pytest.raises(ZeroDivisionError):
            await case.upload().answer()


def test_a_handler_that_is_cancelled_takes_its_call_with_it() -> None:
    """A server that cancels the handler of a lost client has the same effect as the disconnect."""

    @virtually
    async def _() -> None:
        case = Case(slots=1)
        first = case.upload()
        await case.held.reached.wait()
        second = case.upload(OTHER)
        await reached(lambda: case.waiting)
        second.task.cancel()
        await asyncio.wait([second.task])
        await asyncio.sleep(1)
        assert (second.task.cancelled(), case.waiting) == (True, 0)
        case.held.go_on.set()
        await first.answer()


def test_no_upload_joins_a_call_that_is_being_cancelled() -> None:
    """While a call whose callers have gone takes its time to end, the same picture is a new call."""

    @virtually
    async def _() -> None:
        case = Case()

        class Slow(ClovaOCRClient):
            begun = 0

            async def recognize(self, *_: Any, **__: Any) -> Any:
                self.begun += 1
                try:
                    await asyncio.Event().wait()
                finally:
                    await asyncio.sleep(60)

        slow = Slow(domain(), transport=case.transport)
        app = app_of(slow)
        first = Upload(app, JPEG)
        await reached(lambda: slow.begun)
        first.go()
        await first.answer()
        again = Upload(app, JPEG)
        await asyncio.sleep(1)
        assert slow.begun == 2
        again.go()
        await again.answer()
        await asyncio.sleep(100)
