from __future__ import annotations

import asyncio
import base64
import io
import logging
import os
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import BUSY, FAILED, JPEG, SPENT, FakeTime, FakeTransport, Held, domain, error, steps, success
from support.ledgers import (
    answers,
    calls,
    contents,
    dead_process,
    eventually,
    maybe_billed,
    opened,
    query,
    states,
    until,
)

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.batch.direct import ImageInWork
from clova_ocr_async.batch.hashing import read_hashed, source_file, stat_source
from clova_ocr_async.batch.in_work import ImagesInWork, WithdrawnError
from clova_ocr_async.batch.ledgered import services_of
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    APIError,
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConnectionFailedError,
    ConnectionLostError,
    DiskFullError,
    ImageError,
    InvalidRequestError,
    LedgerError,
    MalformedResponseError,
    NotSentError,
    QuotaExceededError,
    RecognitionError,
    SpendingCeilingError,
)
from clova_ocr_async.ledger import RunReader
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.settlement import decode_failure, encode_failure, replay
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.ledger.sqlite.overflow import spills_in
from clova_ocr_async.ledger.states import ClaimLostError, Entry, Item, ItemEvent, Settlement, SourceFile, State
from clova_ocr_async.protocol.image import Image, ImageLimits
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from support.fakes import Sent

    from clova_ocr_async.ledger.states import Claim

FAILURE = HTTPResponse(200, encode_response("", 0, {"uid": "u", "name": "n", "inferResult": "FAILURE"}))
GENERAL = HTTPResponse(200, encode_response("", 0, {"inferResult": "SUCCESS", "fields": []}))


def picture(text: str) -> bytes:
    """Return a picture like no other."""
    return JPEG[:4] + text.encode() + JPEG[4:]


def pictures(folder: Path, *names: str) -> list[str]:
    """Write pictures, each with the bytes of its name's first letter, and long ago."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(picture(name[0]))
        os.utime(folder / name, (1e9, 1e9))
    return [str(folder / name) for name in names]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory that is not there yet."""
    return tmp_path / "run"


async def batch(
    run: Any, images: list[Any], transport: FakeTransport, *, concurrency: int = 4, **settings: Any
) -> tuple[list[Any], ClovaOCRError | None]:
    """Run a batch to its end; return what came out, and what stopped it."""
    client = ClovaOCRClient(
        domain(), transport=transport, runtime=FakeTime().runtime(), **({"concurrency": 4} | settings)
    )
    async with BatchDispatcher(client, concurrency, ledger=run).dispatch(images, Receipt, ordered=True) as outcomes:
        found = [outcome async for outcome in outcomes]
    return found, outcomes.stopped


def errors_of(found: list[Any]) -> list[ClovaOCRError]:
    """Return the errors of outcomes that all failed."""
    assert all(isinstance(outcome, Failure) for outcome in found)
    return [outcome.error for outcome in found]


# ---------------------------------------------------------------------------------------------------------------------
# Paid once


async def test_the_same_bytes_are_paid_once_under_all_names(tmp_path: Path, run: Path) -> None:
    """Copies are one call, answered for every name, in one run and in the next, whatever they are handed in as."""
    paths = pictures(tmp_path / "in", "a1.jpg", "a2.jpg", "a3.jpg", "b1.jpg")
    transport = FakeTransport()
    found, _ = await batch(run, paths, transport)
    assert [outcome.source for outcome in found] == paths
    assert all(isinstance(outcome, Success) for outcome in found)
    assert sorted(outcome.billed for outcome in found) == [False, False, True, True]
    assert len(transport.sent) == 2
    data = picture("a")
    more: list[Any] = [*paths, data, bytearray(data), memoryview(data), io.BytesIO(data), Image(data, "other.jpg")]
    again, _ = await batch(run, more, transport)
    assert len(transport.sent) == 2
    assert [outcome.billed for outcome in again] == [False] * 9
    assert {outcome.recognition.document.result.store_info.name.value for outcome in again} == {"canarySHOP"}
    assert {outcome.recognition.raw for outcome in again} <= set(answers(run))


async def test_a_copy_in_flight_holds_no_worker(run: Path) -> None:
    """Images that wait for another's answer let the next ones be worked on, and come out with it."""
    held = Held()
    transport = FakeTransport(held)
    images = [Image(picture(name), f"{number}") for number, name in enumerate("aaaaaaab")]
    task = asyncio.create_task(batch(run, images, transport, concurrency=2))
    await eventually(lambda: len(transport.sent) == 2)  # the last image gets past those that wait
    held.go_on.set()
    found, _ = await task
    assert [type(outcome) for outcome in found] == [Success] * 8
    assert len(transport.sent) == 2


async def test_who_waits_takes_over_what_failed_to_be_sent(run: Path) -> None:
    """If the image that others wait for is given back, one of them is sent instead."""
    async with opened(run) as one, opened(run) as two:
        held = Held()
        first, second = FakeTransport(held), FakeTransport()
        leaving = asyncio.create_task(batch(one, [picture("a")], first))
        await held.reached.wait()
        waiting = asyncio.create_task(batch(two, [picture("a"), io.BytesIO(picture("a"))], second))
        await asyncio.sleep(0.01)
        held.step = error("0002", 401)
        held.go_on.set()
        (stopped,), reason = await leaving
        assert isinstance(stopped.error, AuthenticationError)
        assert isinstance(reason, AuthenticationError)
        found, _ = await waiting
        assert sorted(outcome.billed for outcome in found) == [False, True]
    assert (states(run), calls(run)) == (["succeeded"], 1)


async def test_renamed_and_touched_files_cost_nothing(tmp_path: Path, run: Path) -> None:
    """A new name or a new time is not paid for; other bytes under an old name are a new image."""
    (path,) = pictures(tmp_path / "in", "a.jpg")
    transport = FakeTransport()
    await batch(run, [path], transport)
    os.utime(path, (1.5e9, 1.5e9))
    os.rename(path, f"{path}.other.jpg")  # noqa: PTH104 - as a user does
    await batch(run, [f"{path}.other.jpg"], transport)
    assert len(transport.sent) == 1
    pictures(tmp_path / "in", "a.jpg")
    (tmp_path / "in" / "a.jpg").write_bytes(picture("other"))
    await batch(run, [path], transport)
    assert len(transport.sent) == 2


async def test_what_is_sent_is_what_was_hashed(tmp_path: Path, run: Path) -> None:
    """A file that changes after it was read is sent as it was read, and a rerun finds it changed."""
    (path,) = pictures(tmp_path / "in", "a.jpg")
    seen: list[bytes] = []

    async def change(sent: Sent) -> HTTPResponse:
        (tmp_path / "in" / "a.jpg").write_bytes(picture("changed"))
        seen.append(sent.parsed.data)
        return success(sent.request)

    await batch(run, [path], FakeTransport(BUSY, then=change))
    assert seen == [picture("a")]
    await batch(run, [path], FakeTransport(then=change))
    assert seen[1:] == [picture("changed")]


async def test_an_unchanged_file_is_not_read_again(tmp_path: Path, run: Path) -> None:
    """A file that is told by its times to be the one that was read is answered without opening it."""
    (path,) = pictures(tmp_path / "in", "a.jpg")
    transport = FakeTransport()
    later = (tmp_path / "in" / "a.jpg").stat().st_ctime + 100
    hashed = await read_hashed(path, ImageLimits(), now=lambda: later)
    assert hashed.file is not None
    assert hashed.file.stamp is not None
    young = await read_hashed(path, ImageLimits())
    assert young.file is not None
    assert young.file.stamp is None  # it could change within the grain of its times
    async with opened(run) as ledger:
        await batch(ledger, [path], transport)
        await ledger.admit(Item(hashed.sha256, "receipt"), hashed.file)
        os.truncate(path, 0) if False else None
        before = os.stat(path).st_atime_ns  # noqa: PTH116 - told apart by its times only
        found, _ = await batch(ledger, [path], transport)
        assert os.stat(path).st_atime_ns == before  # noqa: PTH116
    assert not found[0].billed
    assert len(transport.sent) == 1


async def test_a_file_that_changes_while_it_is_read_is_not_known_by_its_times(tmp_path: Path) -> None:
    """A file that is another one before its reading than after it must be read again next time."""
    (path,) = pictures(tmp_path / "in", "a.jpg")

    class Changing(os.PathLike[str]):
        asked = 0

        def __fspath__(self) -> str:
            self.asked += 1
            os.utime(path, (1e9 + self.asked, 1e9))
            (tmp_path / "in" / "a.jpg").write_bytes(picture("a" * self.asked))
            return path

    hashed = await read_hashed(Changing(), ImageLimits(), now=lambda: 1e11)
    assert hashed.file is not None
    assert hashed.file.stamp is None


# ---------------------------------------------------------------------------------------------------------------------
# What cannot be read


async def test_unreadable_files_are_kept_by_name_and_read_when_they_are_there(tmp_path: Path, run: Path) -> None:
    """A file that is not there fails by itself, is on record, and is read by a later run that finds it."""
    path = str(tmp_path / "in" / "a.jpg")
    found, stopped = await batch(run, [path, Image(picture("b"))], FakeTransport())
    assert isinstance(found[0].error, ImageError)
    assert isinstance(found[1], Success)
    assert stopped is None
    assert query(run, "SELECT path FROM source WHERE failure IS NOT NULL") == [(os.fsencode(path),)]
    pictures(tmp_path / "in", "a.jpg")
    found, _ = await batch(run, [path], FakeTransport())
    assert isinstance(found[0], Success)


async def test_names_that_no_file_can_have(run: Path) -> None:
    """A name that can be no file's fails by itself, whatever is wrong with it."""
    images: list[Any] = ["a\0b.jpg", "\ud800.jpg", 5, Image(picture("a"), "no/such.jpg")]
    found, stopped = await batch(run, images, FakeTransport())
    assert [type(outcome) for outcome in found] == [Failure, Failure, Failure, Success]
    assert all(isinstance(outcome.error, ImageError) for outcome in found[:3])
    assert stopped is None
    assert source_file("\ud800.jpg") is None
    assert await stat_source("\ud800.jpg") is None


async def test_what_is_no_picture_is_skipped(tmp_path: Path, run: Path) -> None:
    """Bytes that the service would refuse are never sent, and recalled as what they are."""
    path = tmp_path / "text.jpg"
    path.write_bytes(b"no picture")
    for _ in range(2):
        transport = FakeTransport()
        (refused,) = errors_of((await batch(run, [str(path)], transport))[0])
        assert isinstance(refused, ImageError)
        assert refused.billing is Billing.NOT_BILLED
        assert transport.sent == []
    assert (states(run), calls(run)) == (["skipped"], 0)


# ---------------------------------------------------------------------------------------------------------------------
# How calls end


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (FAILURE, RecognitionError),
        (HTTPResponse(200, b'{"images": [{"inferResult"', cut="the connection was lost"), MalformedResponseError),
        (HTTPResponse(200, b"<html>"), MalformedResponseError),
    ],
)
async def test_what_was_paid_for_nothing_is_kept_and_recalled(
    run: Path, response: HTTPResponse, kind: type[ClovaOCRError]
) -> None:
    """A paid answer without a document is kept byte for byte, and is the same error without a call in the next run."""
    transport = FakeTransport(response)
    for _ in range(2):
        (failure,) = errors_of((await batch(run, [Image(picture("a"))], transport))[0])
        assert type(failure) is kind
        assert failure.billing is Billing.BILLED
        assert failure.attempts == 1
        assert failure.request_id == "id-1"
    assert len(transport.sent) == 1
    assert answers(run) == [response.body]
    assert (states(run), calls(run), maybe_billed(run)) == (["failed"], 1, 0)
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.NOT_BILLED) == 0
        assert await ledger.requeue(Billing.BILLED) == 1
    found, _ = await batch(run, [Image(picture("a"))], transport)
    assert isinstance(found[0], Success)
    assert len(answers(run)) == 2


async def test_what_is_refused_is_not_paid_and_may_be_asked_again(run: Path) -> None:
    """A refused request fails its image, unpaid; the same error is recalled, and --retry-failed sends it again."""
    transport = FakeTransport(error("0011"))
    for _ in range(2):
        (failure,) = errors_of((await batch(run, [Image(picture("a"))], transport))[0])
        assert type(failure) is InvalidRequestError
        assert (failure.code, failure.billing) == ("0011", Billing.NOT_BILLED)
    assert (states(run), calls(run)) == (["failed"], 0)
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.NOT_BILLED) == 1
    found, _ = await batch(run, [Image(picture("a"))], transport)
    assert found[0].billed
    assert found[0].recognition.attempts == 1


async def test_refusals_take_an_image_back_to_claimed(run: Path) -> None:
    """While a call waits after 0025 or 0023 its image is not marked as sent, so that a kill there leaves no doubt."""
    seen: list[list[str]] = []
    time = FakeTime()

    async def sleep(seconds: float) -> None:
        seen.append(states(run))
        await time.sleep(seconds)

    runtime = time.runtime()
    client = ClovaOCRClient(
        domain(), transport=FakeTransport(BUSY, SPENT), runtime=type(runtime)(**{**vars_of(runtime), "sleep": sleep})
    )
    async with BatchDispatcher(client, ledger=run).dispatch([Image(picture("a"))], Receipt) as outcomes:
        (found,) = [outcome async for outcome in outcomes]
    assert isinstance(found, Success)
    assert len(seen) >= 2
    assert all(state == ["claimed"] for state in seen)
    assert calls(run) == 1


def vars_of(runtime: Any) -> dict[str, Any]:
    """Return a runtime's parts."""
    return {name: getattr(runtime, name) for name in ("clock", "now", "sleep", "uniform", "new_id")}


async def test_a_retry_that_may_be_paid_twice_is_counted(run: Path) -> None:
    """A server's error that is retried counts as perhaps paid beside the answer that came in the end."""
    found, _ = await batch(run, [Image(picture("a"))], FakeTransport(FAILED, HTTPResponse(503, b"")))
    assert isinstance(found[0], Success)
    assert found[0].recognition.maybe_billed == 2
    assert (states(run), calls(run), maybe_billed(run)) == (["succeeded"], 3, 2)
    again, _ = await batch(run, [Image(picture("a"))], FakeTransport())
    assert (again[0].recognition.maybe_billed, again[0].recognition.attempts) == (2, 3)


async def test_doubt_is_parked(run: Path) -> None:
    """A request without an answer is in doubt, is not sent by a rerun, and is when somebody asks for that."""
    transport = FakeTransport(ConnectionLostError)
    for _ in range(2):
        (failure,) = errors_of((await batch(run, [Image(picture("a"))], transport))[0])
        assert type(failure) is ConnectionLostError
        assert (failure.billing, failure.maybe_billed) == (Billing.MAYBE_BILLED, 1)
    assert len(transport.sent) == 1
    assert (states(run), calls(run), maybe_billed(run)) == (["ambiguous"], 1, 1)
    async with opened(run) as ledger:
        assert await ledger.requeue(Billing.MAYBE_BILLED) == 1
    found, _ = await batch(run, [Image(picture("a"))], transport)
    assert found[0].billed
    assert (states(run), calls(run), maybe_billed(run)) == (["succeeded"], 2, 1)


async def test_a_connection_that_fails_is_nobodys_doubt(run: Path) -> None:
    """A request that never left is tried again, and is neither counted nor in doubt."""
    found, _ = await batch(run, [Image(picture("a"))], FakeTransport(ConnectionFailedError))
    assert isinstance(found[0], Success)
    assert (states(run), calls(run), maybe_billed(run)) == (["succeeded"], 1, 0)


async def test_a_refusal_after_doubt_stays_doubt(run: Path) -> None:
    """A call that was perhaps paid once is in doubt also if a later request of it is refused."""
    transport = FakeTransport(FAILED, BUSY, error("0011"))
    (failure,) = errors_of((await batch(run, [Image(picture("a"))], transport))[0])
    assert failure.billing is Billing.MAYBE_BILLED
    assert (states(run), calls(run), maybe_billed(run)) == (["ambiguous"], 1, 1)


@pytest.mark.parametrize("ends", [error("0002", 401), GENERAL, SPENT])
async def test_what_stops_the_run_leaves_the_rest_queued(run: Path, ends: HTTPResponse) -> None:
    """An error that all would meet fails no image of the run but those it was paid for; a later run sends the rest."""
    images = [Image(picture(f"{number}")) for number in range(20)]
    found, stopped = await batch(
        run, images, FakeTransport(then=ends), concurrency=2, retry=RetryPolicy(quota_probes=0)
    )
    assert stopped is not None
    paid = [error for error in errors_of(found) if error.billing is Billing.BILLED]
    assert calls(run) == len(paid) <= 2
    assert set(states(run)) <= ({"queued", "failed"} if paid else {"queued"})
    transport = FakeTransport()
    again, stopped = await batch(run, images, transport)
    assert stopped is None
    assert len(transport.sent) == 20 - len(paid)
    assert sum(isinstance(outcome, Success) for outcome in again) == 20 - len(paid)


async def test_without_stored_answers_a_rerun_pays_nothing(run: Path) -> None:
    """A run that keeps no answers says so when it is repeated, instead of paying again."""
    async with opened(run, store="none") as ledger:
        await batch(ledger, [Image(picture("a"))], FakeTransport())
        transport = FakeTransport()
        (failure,) = errors_of((await batch(ledger, [Image(picture("a"))], transport))[0])
    assert type(failure) is AnswerNotKeptError
    assert failure.billing is Billing.BILLED
    assert transport.sent == []


async def test_a_batch_that_waits_at_the_ceiling_can_be_stopped(run: Path) -> None:
    """Who waits for another process's calls to land, before the last call that is allowed, ends when it is asked to."""
    async with opened(run, max_calls=1) as one, opened(run, max_calls=1) as two:
        held = Held()
        flying = asyncio.create_task(batch(one, [Image(picture("a"))], FakeTransport(held)))
        await held.reached.wait()
        transport = FakeTransport()
        async with (
            ClovaOCRClient(domain(), transport=transport) as client,
            BatchDispatcher(client, ledger=two).dispatch([Image(picture("b"))], Receipt) as outcomes,
        ):
            asyncio.get_running_loop().call_later(0.3, outcomes.stop, NotSentError())
            found = [outcome async for outcome in outcomes]
        held.go_on.set()
        await flying
    assert [type(error) for error in errors_of(found)] == [NotSentError]
    assert transport.sent == []


async def test_a_batch_that_waits_at_the_ceiling_can_be_left(run: Path) -> None:
    """Who leaves a batch, while it waits for another process's calls to land, is not kept until they do."""
    async with opened(run, max_calls=1) as one, opened(run, max_calls=1) as two:
        held = Held()
        flying = asyncio.create_task(batch(one, [Image(picture("a"))], FakeTransport(held)))
        await held.reached.wait()
        async with ClovaOCRClient(domain(), transport=FakeTransport()) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3), BatchDispatcher(client, ledger=two).dispatch([JPEG], Receipt) as found:
                    await anext(found)
        held.go_on.set()
        await flying
    assert calls(run) == 1


async def test_a_copy_is_not_kept_waiting_by_an_end_that_cannot_be_written_down(run: Path) -> None:
    """If how a call ended cannot be written down, its copies end with what is wrong, and the batch with them."""
    async with opened(run, watch=Broken("doubted", "settled")) as ledger:
        images = [Image(picture("a"), name) for name in ("one", "two")]
        found, stopped = await batch(ledger, images, FakeTransport(ConnectionLostError))
    assert {type(error) for error in errors_of(found)} == {ConnectionLostError, DiskFullError}
    assert isinstance(stopped, DiskFullError)
    assert states(run) == ["ambiguous"]


async def test_pictures_of_one_name_keep_theirs(run: Path) -> None:
    """A name that was given to bytes is no file's: several pictures may have it, and each is found by it."""
    async with opened(run) as ledger:
        await batch(ledger, [Image(picture(text), "scan.png") for text in "abc"], FakeTransport())
    with RunReader(run) as reader:
        names = [record.path for record in reader.records()]
    assert len(set(names)) == 3
    assert all(name is not None and name.startswith("scan.png #") for name in names)


async def test_a_key_in_the_environment_seals_a_run_directory(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run directory that is named by its path alone is sealed if the environment has a key."""
    monkeypatch.setenv("CLOVA_OCR_KEY", base64.b64encode(bytes(32)).decode())
    async with (
        ClovaOCRClient(domain(), transport=FakeTransport()) as client,
        BatchDispatcher(client, ledger=run).dispatch([Image(picture("a"))], Receipt) as outcomes,
    ):
        assert [type(outcome) async for outcome in outcomes] == [Success]
    assert not any(b"canarySHOP" in content for content in contents(run))


async def test_the_ceiling_holds_for_two_processes(run: Path) -> None:
    """Two processes on one run together pay for no more calls than it allows, and leave the rest for another time."""
    async with opened(run, max_calls=5) as one, opened(run, max_calls=5) as two:
        transports = [FakeTransport(BUSY, FAILED), FakeTransport(BUSY)]
        images = [[Image(picture(f"{side}{number}")) for number in range(10)] for side in "ab"]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(batch(ledger, some, transport))
                for ledger, some, transport in zip((one, two), images, transports, strict=True)
            ]
        assert any(isinstance(task.result()[1], SpendingCeilingError) for task in tasks)
        paid = sum(isinstance(outcome, Success) for task in tasks for outcome in task.result()[0])
    assert calls(run) == 5
    assert paid + maybe_billed(run) == 5


# ---------------------------------------------------------------------------------------------------------------------
# Leaving


@asynccontextmanager
async def held_batch(run: Any, images: list[Any], **settings: Any) -> AsyncGenerator[tuple[Any, Held, FakeTransport]]:
    """Open a batch whose first request is held."""
    held = Held()
    transport = FakeTransport(held)
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime(), concurrency=1)
    async with BatchDispatcher(client, 3, ledger=run, **settings).dispatch(images, Receipt) as outcomes:
        await held.reached.wait()
        yield outcomes, held, transport


async def test_leaving_lands_what_flies(run: Path) -> None:
    """Who leaves a batch early waits for what is under way, which is written down; nothing else is sent."""
    async with held_batch(run, [Image(picture(f"{number}")) for number in range(10)]) as (_, held, transport):
        asyncio.get_running_loop().call_later(0.02, held.go_on.set)
    assert len(transport.sent) == 1
    assert sorted(set(states(run))) == ["queued", "succeeded"]
    assert states(run).count("succeeded") == calls(run) == 1


async def test_cancelled_twice_leaves_doubt(run: Path) -> None:
    """What is under way when a batch is cancelled a second time is cut off, ambiguous, and not sent by the next run."""
    images = [Image(picture(f"{number}")) for number in range(10)]
    entered = asyncio.Event()

    async def body() -> None:
        async with held_batch(run, images):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await entered.wait()
    for _ in range(2):
        task.cancel()
        await steps()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert states(run).count("ambiguous") == calls(run) == maybe_billed(run) == 1
    transport = FakeTransport()
    found, _ = await batch(run, images, transport)
    assert len(transport.sent) == 9
    (failure,) = [outcome.error for outcome in found if isinstance(outcome, Failure)]
    assert "was cancelled" in str(failure)
    assert failure.billing is Billing.MAYBE_BILLED


def nobody_owns(run: Path) -> bool:
    """Tell whether all items have been given back."""
    return not query(run, "SELECT 1 FROM item WHERE owner IS NOT NULL")


async def test_cancellation_at_any_moment_loses_nothing(tmp_path: Path) -> None:
    """A batch cancelled at any moment leaves no claim, and every request that left is answered or in doubt."""
    for count in range(0, 60, 2):
        run = tmp_path / f"run{count}"
        transport = FakeTransport(FAILED, BUSY)
        async with opened(run, process=dead_process()) as ledger:
            task = asyncio.create_task(batch(ledger, [picture("a"), picture("b"), picture("a")], transport))
            for _ in range(count):
                await asyncio.sleep(0.0001)
            task.cancel()
            await asyncio.wait([task])
            await ledger.recall(SourceFile(b""), "receipt")  # what was asked for before is done, be it in vain
            await steps()
            await ledger.recall(SourceFile(b""), "receipt")  # and given back
            await eventually(partial(nobody_owns, run))
            paid = len(answers(run))
            assert calls(run) == paid + maybe_billed(run)
            left = [state for state in states(run) if state not in {"queued", "succeeded", "ambiguous"}]
            assert left == []
            assert states(run).count("succeeded") == paid


async def test_an_answer_that_came_as_the_batch_was_cancelled_is_no_doubt(run: Path) -> None:
    """A batch that is cancelled while an answer is written down has its image finished by the answer."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Slow(SqliteLedger):
        async def answered(self, claim: Claim, request_id: str, response: HTTPResponse) -> None:
            reached.set()
            await go_on.wait()
            await super().answered(claim, request_id, response)

    async with Slow(run) as ledger:
        task = asyncio.create_task(batch(ledger, [picture("a")], FakeTransport()))
        await reached.wait()
        task.cancel()
        await steps()
        go_on.set()
        await asyncio.wait([task])
        await until(run, State.SUCCEEDED)
    assert (calls(run), maybe_billed(run)) == (1, 0)


async def test_an_outcome_that_is_known_is_not_called_back(run: Path) -> None:
    """An image whose call has ended comes out with that, however long writing it down takes when a batch stops."""
    loop = asyncio.get_running_loop()
    release = asyncio.Event()

    class Slow(SqliteLedger):
        async def settle(self, claim: Claim, verdict: Settlement) -> None:
            await release.wait()
            await super().settle(claim, verdict)

    async with Slow(run) as ledger:
        client = ClovaOCRClient(domain(), transport=FakeTransport(FAILURE), runtime=FakeTime().runtime())
        async with BatchDispatcher(client, ledger=ledger).dispatch([Image(picture("a"))], Receipt) as outcomes:
            await eventually(lambda: answers(run))
            await steps()
            outcomes.stop(NotSentError())
            loop.call_later(0.01, release.set)
            (found,) = [outcome async for outcome in outcomes]
    assert isinstance(found, Failure)
    assert isinstance(found.error, RecognitionError)


# ---------------------------------------------------------------------------------------------------------------------
# Trouble with the ledger


class Broken:
    """A watch that fails before some commits."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, where: str) -> None:
        """Fail as a full disk does."""
        if where.removeprefix("before commit of ") in self.names:
            raise DiskFullError("made up: the disk is full")


@pytest.mark.parametrize("name", ["recall", "claim", "sent", "answered", "refused", "doubted", "settled", "reject"])
async def test_a_full_disk_stops_the_paying(
    tmp_path: Path, run: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever mark cannot be written, nothing more is paid, what was paid is kept, and the next run ends it all."""
    caplog.set_level(logging.WARNING)
    paths = pictures(tmp_path / "in", *"abcdef")
    transport = FakeTransport(BUSY, FAILED, ConnectionLostError)
    async with opened(run, watch=Broken(name)) as ledger:
        found, _ = await batch(ledger, [str(tmp_path / "none.jpg"), *paths], transport, concurrency=1)
    assert 0 < len(found) <= 7
    async with opened(run) as ledger:
        left = maybe_billed(run)
        await ledger.requeue(Billing.MAYBE_BILLED)
    second = FakeTransport()
    again, stopped = await batch(run, paths, second)
    assert stopped is None
    assert all(isinstance(outcome, Success) for outcome in again)
    assert calls(run) == 6 + left == len(answers(run)) + left


async def test_a_doubt_that_cannot_be_written_down_is_doubt(run: Path) -> None:
    """If a full disk takes no mark of a lost connection, its image is in doubt all the same."""
    async with opened(run, watch=Broken("doubted")) as ledger:
        (failure,) = errors_of((await batch(ledger, [Image(picture("a"))], FakeTransport(ConnectionLostError)))[0])
    assert isinstance(failure, ConnectionLostError)
    assert (states(run), calls(run), maybe_billed(run)) == (["ambiguous"], 1, 1)


async def test_a_lost_claim_is_tried_again(run: Path) -> None:
    """Who finds before sending that another has the image waits for that one, and for itself sends nothing."""

    class Losing(SqliteLedger):
        lost = 0

        async def sending(self, claim: Claim, request_id: str) -> bool:
            self.lost += 1
            if self.lost == 1:
                await self.settle(claim, Settlement(ItemEvent.RELEASE))
                raise ClaimLostError
            return await super().sending(claim, request_id)

    async with Losing(run, sleep=lambda _: asyncio.sleep(0.001)) as ledger:
        transport = FakeTransport()
        found, _ = await batch(ledger, [Image(picture("a"))], transport)
    assert isinstance(found[0], Success)
    assert (len(transport.sent), calls(run)) == (1, 1)


async def test_what_is_halted_begins_nothing() -> None:
    """Work that is asked for when all was called back is not begun."""

    async def work() -> None:
        raise AssertionError("begun")

    class Nobody:
        def hold(self, size: int) -> None: ...

        def notice(self) -> None: ...

    flights = ImagesInWork()
    flights.call_back()
    with pytest.raises(WithdrawnError):
        await flights.run(ImageInWork(flights.landed, Nobody()), work)


def test_what_nobody_came_to_yet_is_told_as_that() -> None:
    """An image that is on record and was not come to yet is told as not sent, and not billed."""
    outcome = replay(Entry(1, Item(b"", "receipt"), State.QUEUED, billing=Billing.BILLED), Receipt)
    assert isinstance(outcome, NotSentError)
    assert (str(outcome), outcome.billing) == ("not sent yet", Billing.NOT_BILLED)


async def test_what_is_called_back_as_it_is_marked_is_no_doubt(run: Path) -> None:
    """A batch that stops on a full disk, just as a request has been marked as sent, leaves that in no doubt."""

    class Marking(SqliteLedger):
        async def sending(self, claim: Claim, request_id: str) -> bool:
            granted = await super().sending(claim, request_id)
            outcomes.stop(NotSentError())
            return granted

    transport = FakeTransport()
    client = ClovaOCRClient(domain(), transport=transport, runtime=FakeTime().runtime())
    async with Marking(run, watch=Broken("refused", "settled", "close"), process=dead_process()) as ledger:
        async with BatchDispatcher(client, ledger=ledger).dispatch([picture("a")], Receipt) as outcomes:
            (failure,) = errors_of([outcome async for outcome in outcomes])
        assert isinstance(failure, NotSentError)
        assert states(run) == ["sent"]
    assert transport.sent == []
    async with opened(run):
        assert (states(run), calls(run), maybe_billed(run)) == (["queued"], 0, 0)


async def test_spilled_answers_come_in(run: Path) -> None:
    """On a full disk the answers under way are kept beside the ledger, the batch stops, and the next run has them."""
    async with opened(run, watch=Broken("answered"), process=dead_process()) as ledger:
        found, stopped = await batch(ledger, [Image(picture(name)) for name in "abcdef"], FakeTransport())
    assert isinstance(stopped, DiskFullError)
    paid = sum(isinstance(outcome, Success) for outcome in found)
    assert 0 < paid == calls(run) <= 4
    transport = FakeTransport()
    again, _ = await batch(run, [Image(picture(name)) for name in "abcdef"], transport)
    assert all(isinstance(outcome, Success) for outcome in again)
    assert len(transport.sent) == 6 - paid
    assert spills_in(run) == []


async def test_another_service_is_refused(run: Path) -> None:
    """A run of the vendor's answers is not gone on with on a server of one's own, nor the other way round."""
    await batch(run, [Image(picture("a"))], FakeTransport())
    local = Domain("http://127.0.0.1:9/custom/v1/1/key/document/receipt", "secret")
    client = ClovaOCRClient(local, transport=FakeTransport())
    with pytest.raises(LedgerError, match="choose another run directory"):
        async with BatchDispatcher(client, ledger=run).dispatch([Image(picture("a"))], Receipt):
            pass
    kinds = [
        "https://a.apigw.ntruss.com",
        "http://10.0.0.1",
        "http://localhost",
        "https://ocr.example",
        "https://8.8.8.8",
    ]
    with pytest.warns(UserWarning, match="is http"):
        domains = [Domain(f"{kind}/custom/v1/1/key", "s", allow_http=True) for kind in kinds]
    assert services_of(domains) == ["8.8.8.8", "apigw.ntruss.com", "local", "ocr.example"]


async def test_a_sealed_run_shows_nothing(tmp_path: Path, run: Path) -> None:
    """With a seal no file of a run holds a word that was read, and with its key a rerun answers from it."""
    seal = AESGCMSeal(bytes(range(32)))
    async with opened(run, seal=seal) as ledger:
        await batch(ledger, pictures(tmp_path / "in", "a.jpg"), FakeTransport())
        await until(run, State.SUCCEEDED)
        files = contents(run)
    files += contents(run)
    assert not any(b"canarySHOP" in file for file in files)
    async with opened(run, seal=seal) as ledger:
        found, _ = await batch(ledger, [Image(picture("a"))], FakeTransport())
    assert found[0].recognition.document.result.store_info.name.value == "canarySHOP"


@pytest.mark.parametrize(
    "failure",
    [
        ImageError("said"),
        ConnectionLostError("said"),
        MalformedResponseError("said"),
        RecognitionError("said"),
        QuotaExceededError(400, "0023", "said", "/p", "t", 5),
        APIError(418),
        NotSentError(ImageError("said")),
        ClovaOCRError(),
    ],
)
def test_an_error_is_told_as_it_was(failure: ClovaOCRError) -> None:
    """An error comes back from its record as the same class, with the same words."""
    found = decode_failure(encode_failure(failure))
    assert str(found) == str(failure) or isinstance(failure, NotSentError)
    assert type(found) is (ClovaOCRError if isinstance(failure, NotSentError) else type(failure))
    assert str(found) == str(failure)
