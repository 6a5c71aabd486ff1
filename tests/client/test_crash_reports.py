"""What a crash reporter sends, as sentry-sdk comes: no event holds a secret, an invoke key, a picture or an answer."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport
from support.fakes import KEY, SECRET

from clova_ocr_async.batch import BatchDispatcher, Failure
from clova_ocr_async.blocking import BlockingClient
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, Fault, emulator_in_thread
from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.protocol.image import Image

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sentry_sdk.envelope import Envelope

PICTURE = b"\xff\xd8\xff\xe0 canaryPICTUREcanary \xff\xd9"
CONTEXT = "canaryCONTEXT"  # named far from the calls: reports show lines of source too
CANARIES = (SECRET, KEY, "canaryPICTURE", CONTEXT)
ONCE = RetryPolicy(max_attempts=1, quota_probes=0)
TIMED: dict[Fault, dict[str, Any]] = {
    Fault.SILENCE: {"read_timeout": 0.1},
    Fault.RATE_LIMITED: {"deadline": 0.3},
}


ONE_OF_EACH_ERROR = (
    Fault.BAD_SECRET,
    Fault.NOT_DEPLOYED,
    Fault.RATE_LIMITED,
    Fault.QUOTA,
    Fault.GATEWAY_BAD_REQUEST,
    Fault.BAD_GATEWAY_PAGE,
    Fault.FAILURE,
    Fault.HALF_JSON,
    Fault.GENERAL_ANSWER,
    Fault.RESET_BEFORE_BODY,
    Fault.CLOSE_AFTER_BODY,
    Fault.SILENCE,
)


@pytest.fixture
def reports() -> Generator[list[str]]:
    """The events that sentry-sdk would send with its defaults, as JSON."""
    sent: list[str] = []

    class Memory(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sent.extend(json.dumps(item.payload.json) for item in envelope.items)

    level = logging.getLogger().level
    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=Memory, shutdown_timeout=0)
    yield sent
    sentry_sdk.get_client().close()
    sentry_sdk.init()
    logging.getLogger().setLevel(level)


def assert_clean(reports: list[str]) -> None:
    """Assert that there are reports with variables of our frames, and nothing in them that must not be shown."""
    assert any('"vars"' in report and '"recognize"' in report for report in reports)
    for canary in CANARIES:
        assert [report.partition(canary)[0][-300:] for report in reports if canary in report] == []


@pytest.mark.parametrize("fault", ONE_OF_EACH_ERROR)
async def test_reports_of_errors_hold_no_secret_and_no_picture(fault: Fault, reports: list[str]) -> None:
    """The report of each kind of error, and its breadcrumbs, show no canary."""
    async with Emulator(secret=SECRET, faults=[None, *[fault] * 99]) as clova:
        where = Domain(clova.url(domain=f"1/{KEY}"), SECRET)
        async with ClovaOCRClient(where, retry=ONCE, **TIMED.get(fault, {})) as client:
            await client.recognize(PICTURE, Receipt)  # leaves breadcrumbs
            with pytest.raises(ClovaOCRError) as caught:
                await client.recognize(Image(PICTURE, "a.jpg"), Receipt, context=CONTEXT)
            sentry_sdk.capture_exception(caught.value)
            await client.close(wait=0)
    assert_clean(reports)


@pytest.mark.parametrize("ledger", [True, False])
async def test_reports_of_a_batch_hold_nothing_either(ledger: bool, tmp_path: Path, reports: list[str]) -> None:
    """The errors of a batch, which come out as values, have no frame that holds an image."""
    run = tmp_path / "run" if ledger else None
    async with Emulator(secret=SECRET, faults=["failure"]) as clova:
        where = Domain(clova.url(domain=f"1/{KEY}"), SECRET)
        async with ClovaOCRClient(where, retry=ONCE) as client:
            images = [PICTURE, bytes(PICTURE[:-2])]  # the second one is cut off
            async with BatchDispatcher(client, ledger=run).dispatch(images, Receipt) as outcomes:
                failures = [outcome async for outcome in outcomes]
    for failure in failures:
        assert isinstance(failure, Failure)
        sentry_sdk.capture_exception(failure.error)
    assert len(reports) == 2
    assert_clean(reports)


def test_reports_of_a_blocking_client_hold_nothing_either(reports: list[str]) -> None:
    """The frames of a call that waits in another thread hold no image."""
    with (
        emulator_in_thread(secret=SECRET, faults=["failure"]) as clova,
        BlockingClient(Domain(clova.url(domain=f"1/{KEY}"), SECRET), retry=ONCE) as client,
    ):
        with pytest.raises(ClovaOCRError) as caught:
            client.recognize(PICTURE, Receipt)
        sentry_sdk.capture_exception(caught.value)
    assert_clean(reports)
