from __future__ import annotations

import asyncio
import base64
import io
import os
from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import BUSY, FakeTransport, Held, domain, error, success
from support.ledger_batches import batch, errors_of, picture, pictures
from support.ledgers import (
    answers,
    calls,
    contents,
    eventually,
    opened,
    query,
    states,
    until,
)

from clova_ocr_async.batch import BatchDispatcher, Failure, Success
from clova_ocr_async.batch.hashing import read_hashed, source_file, stat_source
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.client.loading import ImageLoader
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    AuthenticationError,
    Billing,
    ConfigurationError,
    ImageError,
)
from clova_ocr_async.ledger import RunReader
from clova_ocr_async.ledger.aesgcm import AESGCMSeal
from clova_ocr_async.ledger.states import Item, State
from clova_ocr_async.protocol.image import Image, ImageLimits
from clova_ocr_async.results.records import record_of

if TYPE_CHECKING:
    from pathlib import Path

    from support.fakes import Sent

    from clova_ocr_async.protocol.response import HTTPResponse


async def test_the_same_bytes_are_paid_once_under_all_names(tmp_path: Path, run: Path) -> None:
    """Copies are one call, answered for every name, in one run and in the next, in whatever form they are given."""
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
    """Images that wait for the answer of a copy let the next ones be worked on, and come out with it."""
    held = Held()
    transport = FakeTransport(held)
    images = [Image(picture(name), f"{number}") for number, name in enumerate("aaaaaaab")]
    task = asyncio.create_task(batch(run, images, transport, concurrency=2))
    await eventually(lambda: len(transport.sent) == 2)  # the last image gets past those that wait
    held.go_on.set()
    found, _ = await task
    assert [type(outcome) for outcome in found] == [Success] * 8
    assert len(transport.sent) == 2


async def test_a_waiting_copy_is_sent_when_the_first_was_not(run: Path) -> None:
    """If the image that others wait for is released unsent, one of them is sent instead."""
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
    """A new name or a new time is not paid for again; other bytes under an old name are a new image."""
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


async def test_the_bytes_sent_are_the_bytes_hashed(tmp_path: Path, run: Path) -> None:
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
    """A file whose size and times have not changed since it was read is answered without being opened."""
    (path,) = pictures(tmp_path / "in", "a.jpg")
    transport = FakeTransport()
    later = (tmp_path / "in" / "a.jpg").stat().st_ctime + 100
    hashed = await read_hashed(path, ImageLoader(ImageLimits()), now=lambda: later)
    assert hashed.file is not None
    assert hashed.file.stamp is not None
    young = await read_hashed(path, ImageLoader(ImageLimits()))
    assert young.file is not None
    assert young.file.stamp is None  # it could change within the grain of its times
    async with opened(run) as ledger:
        await batch(ledger, [path], transport)
        await ledger.admit(Item(hashed.sha256, "receipt"), hashed.file)
        before = os.stat(path).st_atime_ns  # noqa: PTH116 - told apart by its times only
        found, _ = await batch(ledger, [path], transport)
        assert os.stat(path).st_atime_ns == before  # noqa: PTH116
    assert not found[0].billed
    assert len(transport.sent) == 1


async def test_a_file_that_changes_while_it_is_read_is_not_known_by_its_times(tmp_path: Path) -> None:
    """A file that changes during its reading is read again next time."""
    (path,) = pictures(tmp_path / "in", "a.jpg")

    class Changing(os.PathLike[str]):
        asked = 0

        def __fspath__(self) -> str:
            self.asked += 1
            os.utime(path, (1e9 + self.asked, 1e9))
            (tmp_path / "in" / "a.jpg").write_bytes(picture("a" * self.asked))
            return path

    hashed = await read_hashed(Changing(), ImageLoader(ImageLimits()), now=lambda: 1e11)
    assert hashed.file is not None
    assert hashed.file.stamp is None


async def test_unreadable_files_are_kept_by_name_and_read_when_they_are_there(tmp_path: Path, run: Path) -> None:
    """A missing file fails alone, is on record, and is read by a later run that finds it."""
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
    """A name that no file can have fails alone, whatever is wrong with it."""
    images: list[Any] = ["a\0b.jpg", "\ud800.jpg", 5, Image(picture("a"), "no/such.jpg")]
    found, stopped = await batch(run, images, FakeTransport())
    assert [type(outcome) for outcome in found] == [Failure, Failure, Failure, Success]
    assert all(isinstance(outcome.error, ImageError) for outcome in found[:3])
    assert stopped is None
    assert source_file("\ud800.jpg") is None
    assert await stat_source("\ud800.jpg") is None


async def test_bytes_that_are_not_a_picture_are_skipped(tmp_path: Path, run: Path) -> None:
    """Bytes that the service would refuse are never sent, and are the same error in the next run."""
    path = tmp_path / "text.jpg"
    path.write_bytes(b"no picture")
    for _ in range(2):
        transport = FakeTransport()
        (refused,) = errors_of((await batch(run, [str(path)], transport))[0])
        assert isinstance(refused, ImageError)
        assert refused.billing is Billing.NOT_BILLED
        assert transport.sent == []
    assert (states(run), calls(run)) == (["skipped"], 0)


async def test_pictures_of_one_name_keep_theirs(run: Path) -> None:
    """A name that was given to bytes is not a file's: several pictures may have it, and each stays its own image."""
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


async def test_a_sealed_run_shows_nothing(tmp_path: Path, run: Path) -> None:
    """With a seal no file of a run holds a word that was read, and a rerun with the same key replays the answer."""
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


async def test_the_context_of_a_batch_is_kept_with_its_files(tmp_path: Path, run: Path) -> None:
    """A batch's context is in the records of the files it reads, refused ones too, and a batch without one keeps it."""
    paths = [*pictures(tmp_path / "in", "a.jpg"), str(tmp_path / "missing.jpg")]
    async with ClovaOCRClient(domain(), transport=FakeTransport()) as client:
        for context in ({"tenant": "a"}, None):
            async with BatchDispatcher(client, ledger=run).dispatch(paths, Receipt, context=context) as outcomes:
                assert len([outcome async for outcome in outcomes]) == 2
    with RunReader(run) as reader:
        assert [record_of(record)["columns"] for record in reader.records()] == [{"tenant": "a"}] * 2


@pytest.mark.parametrize("context", [object(), ["a"], {1: object()}, {"a": float}])
def test_a_context_that_a_ledger_cannot_hold_is_refused(run: Path, context: Any) -> None:
    """With a ledger the context must be a JSON object; the error names its type alone."""
    dispatcher = BatchDispatcher(ClovaOCRClient(domain()), ledger=run)
    with pytest.raises(ConfigurationError, match=rf"context is a {type(context).__name__} that JSON cannot hold"):
        dispatcher.dispatch([], Receipt, context=context)
