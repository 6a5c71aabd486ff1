"""A program that fails in many ways with sentry-sdk as it comes, and prints the reports that would be sent.

It is a program of its own because sentry-sdk patches libraries and the interpreter for the rest of a process.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sentry_sdk
from sentry_sdk.transport import Transport

from clova_ocr_async.batch import BatchDispatcher, Failure
from clova_ocr_async.blocking import BlockingClient
from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.documents import IdCard, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, Fault, emulator_in_thread
from clova_ocr_async.errors import ClovaOCRError
from clova_ocr_async.protocol.image import Image
from support.fakes import KEY, SECRET
from support.web import CONTENT_TYPE, Upload, app_of, form

if TYPE_CHECKING:
    from sentry_sdk.envelope import Envelope

    from clova_ocr_async import HTTPRequest, HTTPResponse
    from clova_ocr_async.client import RequestProgress

PICTURE = b"\xff\xd8\xff\xe0 canaryPICTUREcanary \xff\xd9"
CONTEXT = "canaryCONTEXT"  # named far from the calls: reports show lines of source too
CANARIES = (SECRET, KEY, "canaryPICTURE", CONTEXT)
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
OTHERS = ("batch", "batch with a ledger", "blocking", "before it is sent", "an upload")

UNSENT = ((PICTURE[:-2], Receipt), (PICTURE, IdCard))  # it is cut off; no domain reads it

_ONCE = RetryPolicy(max_attempts=1, quota_probes=0)
_TIMED: dict[Fault, dict[str, Any]] = {
    Fault.SILENCE: {"read_timeout": 0.1},
    Fault.RATE_LIMITED: {"deadline": 0.3},
}


async def _fail_by(fault: Fault) -> None:
    async with Emulator(secret=SECRET, faults=[None, *[fault] * 99]) as clova:
        where = Domain(clova.url(domain=f"1/{KEY}"), SECRET)
        async with ClovaOCRClient(where, retry=_ONCE, **_TIMED.get(fault, {})) as client:
            await client.recognize(PICTURE, Receipt)  # leaves breadcrumbs
            try:
                await client.recognize(Image(PICTURE, "a.jpg"), Receipt, context=CONTEXT)
            except ClovaOCRError as error:
                sentry_sdk.capture_exception(error)
            await client.close(wait=0)


async def _fail_in_a_batch(run: Path | None) -> None:
    async with Emulator(secret=SECRET, faults=["failure"]) as clova:
        where = Domain(clova.url(domain=f"1/{KEY}"), SECRET)
        async with ClovaOCRClient(where, retry=_ONCE) as client:
            images = [PICTURE, bytes(PICTURE[:-2])]  # the second one is cut off
            async with BatchDispatcher(client, ledger=run).dispatch(images, Receipt) as outcomes:
                failures = [outcome async for outcome in outcomes]
    for failure in failures:
        assert isinstance(failure, Failure)
        sentry_sdk.capture_exception(failure.error)


def _fail_without_asyncio() -> None:
    with (
        emulator_in_thread(secret=SECRET, faults=["failure"]) as clova,
        BlockingClient(Domain(clova.url(domain=f"1/{KEY}"), SECRET), retry=_ONCE) as client,
    ):
        try:
            client.recognize(PICTURE, Receipt)
        except ClovaOCRError as error:
            sentry_sdk.capture_exception(error)


async def _fail_before_it_is_sent() -> None:
    async with ClovaOCRClient(
        Domain(f"https://a.apigw.ntruss.com/custom/v1/1/{KEY}/document/receipt", SECRET)
    ) as client:
        for wrong in (0, 1):  # the variables of this frame are reported as well
            try:
                await client.recognize(*UNSENT[wrong], context=CONTEXT)
            except ClovaOCRError as error:
                sentry_sdk.capture_exception(error)


class _BrokenTransport:
    """A transport with a bug, which ignores its arguments."""

    async def send(self, request: HTTPRequest, progress: RequestProgress) -> HTTPResponse:  # noqa: ARG002 - see above
        """Fail as no transport may."""
        raise ZeroDivisionError

    async def close(self) -> None:
        """Do nothing."""


async def _fail_in_an_upload() -> None:
    where = Domain(f"https://a.apigw.ntruss.com/custom/v1/1/{KEY}", SECRET)
    # With its length, sentry-sdk reads a small body before the handler does.
    headers = {"content-type": CONTENT_TYPE, "content-length": str(len(form(PICTURE)))}
    try:
        await Upload(app_of(ClovaOCRClient(where, transport=_BrokenTransport())), PICTURE, headers=headers).answer()
    except ZeroDivisionError as error:
        sentry_sdk.capture_exception(error)


def main() -> None:
    """Print the reports of each way to fail, by its name."""
    sent: list[Any] = []

    class Memory(Transport):
        def capture_envelope(self, envelope: Envelope) -> None:
            sent.extend(item.payload.json for item in envelope.items)

    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=Memory, shutdown_timeout=0)
    found: dict[str, list[str]] = {}

    def note(name: str) -> None:
        found[name] = [json.dumps(report) for report in sent]
        sent.clear()

    for fault in ONE_OF_EACH_ERROR:
        asyncio.run(_fail_by(fault))
        note(fault)
    with tempfile.TemporaryDirectory() as folder:
        for name, run in (("batch", None), ("batch with a ledger", Path(folder) / "run")):
            asyncio.run(_fail_in_a_batch(run))
            note(name)
    _fail_without_asyncio()
    note("blocking")
    asyncio.run(_fail_before_it_is_sent())
    note("before it is sent")
    asyncio.run(_fail_in_an_upload())
    note("an upload")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
