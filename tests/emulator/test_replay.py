from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.files import heic
from support.pdfs import pdf_of

from clova_ocr_async.batch import BatchDispatcher, Success
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.documents import CreditCard, IdCard
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, draw_sample
from clova_ocr_async.emulator.replay import readdressed
from clova_ocr_async.errors import ConfigurationError, LedgerError
from clova_ocr_async.pictures import Preparation, pages_in
from clova_ocr_async.protocol.image import Image
from clova_ocr_async.protocol.request import ParsedRequest

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.results.sensitive_paths import Policy

CARD = draw_sample("id-card").data
UNKNOWN = draw_sample("id-card", seed=1).data


@pytest.fixture
async def run(tmp_path: Path) -> Path:
    """A run that has read one ID card."""
    async with Emulator() as clova, ClovaOCRClient(Domain(clova.url(), clova.secret)) as client:
        batch = BatchDispatcher(client, ledger=tmp_path / "run").dispatch([CARD], IdCard)
        async with batch as outcomes:
            assert len([outcome async for outcome in outcomes]) == 1
    return tmp_path / "run"


async def test_known_pictures_get_the_answers_of_a_run(run: Path) -> None:
    """A picture that the run knows is answered with the run's answer, under the ids of the new request."""
    async with (
        Emulator(replay=run) as clova,
        ClovaOCRClient(Domain(clova.url(), clova.secret)) as client,
    ):
        first = await client.recognize(Image(CARD, "mine.png"), IdCard)
        again = await client.recognize(CARD, IdCard)
        assert (clova.replayed, clova.billed.total()) == (2, 2)
        assert first.uid == again.uid  # the run's; a drawn answer has another one for each request
        assert (first.name, first.problems) == ("mine.png", ())
        assert first.document.result.ic.name[0].value
        await client.recognize(UNKNOWN, IdCard)
        await client.recognize(draw_sample("credit-card").data, CreditCard)
        assert clova.replayed == 2
        await clova.stop()
        await clova.stop()
        await clova.start()
        await client.recognize(CARD, IdCard)
        assert clova.replayed == 3


async def test_pages_and_prepared_pictures_of_a_run_are_known(tmp_path: Path) -> None:
    """A page that was cut out of a file, and a picture that was converted, are known by the bytes that were sent."""
    (tmp_path / "two.pdf").write_bytes(pdf_of(2))
    (tmp_path / "photo.heic").write_bytes(heic())
    sources = [*pages_in(tmp_path / "two.pdf"), tmp_path / "photo.heic"]
    found: list[list[str | None]] = []
    for replay in (None, tmp_path / "run"):
        async with (
            Emulator(replay=replay) as clova,
            ClovaOCRClient(Domain(clova.url(), clova.secret), prepare=Preparation()) as client,
        ):
            if replay is None:
                batch = BatchDispatcher(client, ledger=tmp_path / "run").dispatch(sources, IdCard, ordered=True)
                async with batch as outcomes:
                    read = [outcome.recognition async for outcome in outcomes if isinstance(outcome, Success)]
            else:
                read = [await client.recognize(source, IdCard) for source in sources]
                await client.recognize(UNKNOWN, IdCard)
                assert clova.replayed == 3
            found.append([recognition.uid for recognition in read])
    assert found[0] == found[1]
    assert len(set(found[0])) == 3


async def test_answers_are_masked_at_choice(run: Path) -> None:
    """With a policy the numbers in the answers of the run are masked; without one they are shown."""
    numbers: list[str] = []
    policies: tuple[Policy | None, ...] = (None, "standard", "all")
    for mask in policies:
        async with (
            Emulator(replay=run, mask=mask) as clova,
            ClovaOCRClient(Domain(clova.url(), clova.secret)) as client,
        ):
            recognition = await client.recognize(CARD, IdCard)
            numbers.append(str(recognition.document.result.ic.personal_num[0].text))
    assert [number.count("*") for number in numbers] == [0, 7, 13]


async def test_an_answer_that_cannot_be_read_is_not_replayed(tmp_path: Path) -> None:
    """Where the run has an answer that cannot be read, the picture is answered as without a run."""
    async with (
        Emulator(faults=["half-json"]) as clova,
        ClovaOCRClient(Domain(clova.url(), clova.secret)) as client,
        BatchDispatcher(client, ledger=tmp_path / "run").dispatch([CARD], IdCard) as outcomes,
    ):
        assert len([outcome async for outcome in outcomes]) == 1
    async with (
        Emulator(replay=tmp_path / "run") as clova,
        ClovaOCRClient(Domain(clova.url(), clova.secret)) as client,
    ):
        assert (await client.recognize(CARD, IdCard)).problems == ()
        assert clova.replayed == 0


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"images": 1}', b"\xff", b"[" * 100_000])
def test_what_is_no_answer_is_not_addressed_anew(body: bytes) -> None:
    """A body without images is not an answer."""
    assert readdressed(body, ParsedRequest("id", 1, "jpg", "name", b"")) is None


def test_unknown_parts_of_an_answer_stay() -> None:
    """Keys and images that this version does not know are left as they are."""
    body = b'{"new": 1, "requestId": "old", "images": [null, {"uid": "u", "name": "old", "more": [2]}]}'
    assert readdressed(body, ParsedRequest("id", 7, "jpg", "mine", b"")) == {
        "new": 1,
        "requestId": "id",
        "timestamp": 7,
        "images": [None, {"uid": "u", "name": "mine", "more": [2]}],
    }


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A path without a run, and a policy that does not exist, are refused where the emulator is made."""
    with pytest.raises(LedgerError):
        Emulator(replay=tmp_path / "missing")
    with pytest.raises(ConfigurationError, match="policy is a str that is not a policy"):
        Emulator(replay=tmp_path, mask="some")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="mask is for the answers of a run; give replay"):
        Emulator(mask="standard")


def test_without_a_run_nothing_is_replayed() -> None:
    """An emulator without a run has replayed nothing."""
    assert Emulator().replayed == 0
