from __future__ import annotations

import logging
import pickle
import traceback
from typing import Any

import pytest
from support.fakes import JPEG, FakeTime, RecordingJournal

from clova_ocr_async.client import ClovaOCRClient, Event, RetryPolicy
from clova_ocr_async.documents import Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.emulator import Emulator, Fault
from clova_ocr_async.errors import (
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConnectionLostError,
    DomainError,
    InvalidRequestError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ResponseTimeoutError,
    ServerError,
)

NOT, MAYBE, BILLED = Billing
KEY = "0123canaryKEY4567canaryKEY89ab"
SECRET = "canarySECRETcanarySECRETcanary"

TABLE: dict[Fault, tuple[type[ClovaOCRError], Billing, bool] | None] = {
    # fault: error, billing, whether the default policy sends again; None where the call succeeds all the same
    Fault.INVALID_URL: (DomainError, NOT, False),
    Fault.BAD_SECRET: (AuthenticationError, NOT, False),
    Fault.INVALID_BODY: (InvalidRequestError, NOT, False),
    Fault.BAD_VERSION: (DomainError, NOT, False),
    Fault.WRONG_DOMAIN: (DomainError, NOT, False),
    Fault.QUOTA: (QuotaExceededError, NOT, True),
    Fault.RATE_LIMITED: (RateLimitError, NOT, True),
    Fault.UNKNOWN_ERROR: (ServerError, MAYBE, True),
    Fault.UNKNOWN_ERROR_BILLED: (ServerError, MAYBE, True),
    Fault.ENGINE_ERROR: (ServerError, MAYBE, True),
    Fault.ENGINE_ERROR_BILLED: (ServerError, MAYBE, True),
    Fault.REFUSED: (DomainError, NOT, False),
    Fault.NOT_DEPLOYED: (DomainError, NOT, False),
    Fault.BLOCKED: (DomainError, NOT, False),
    Fault.GATEWAY_BAD_REQUEST: (InvalidRequestError, NOT, False),
    Fault.GATEWAY_AUTHENTICATION: (AuthenticationError, NOT, False),
    Fault.GATEWAY_PERMISSION: (AuthenticationError, NOT, False),
    Fault.GATEWAY_NOT_FOUND: (DomainError, NOT, False),
    Fault.GATEWAY_QUOTA: (QuotaExceededError, NOT, True),
    Fault.GATEWAY_THROTTLED: (RateLimitError, NOT, True),
    Fault.GATEWAY_RATE_LIMITED: (RateLimitError, NOT, True),
    Fault.GATEWAY_TOO_LARGE: (InvalidRequestError, NOT, False),
    Fault.GATEWAY_ENDPOINT: (ServerError, MAYBE, True),
    Fault.GATEWAY_TIMEOUT: (ServerError, MAYBE, False),
    Fault.GATEWAY_UNEXPECTED: (ServerError, MAYBE, False),
    Fault.BAD_GATEWAY_PAGE: (ServerError, MAYBE, True),
    Fault.BAD_GATEWAY_BILLED: (ServerError, MAYBE, True),
    Fault.UNAVAILABLE_PAGE: (ServerError, MAYBE, True),
    Fault.UNAVAILABLE_BILLED: (ServerError, MAYBE, True),
    Fault.UNKNOWN_STATUS: (ServerError, MAYBE, False),
    Fault.REDIRECT: (DomainError, NOT, False),
    Fault.FAILURE: (RecognitionError, BILLED, False),
    Fault.ERROR: (RecognitionError, BILLED, False),
    Fault.ERROR_UNDER_200: (InvalidRequestError, NOT, False),
    Fault.EMPTY_ANSWER: (MalformedResponseError, BILLED, False),
    Fault.HTML_ANSWER: (MalformedResponseError, BILLED, False),
    Fault.HALF_JSON: (MalformedResponseError, BILLED, False),
    Fault.NOT_UTF8: None,
    Fault.DEEP_JSON: (MalformedResponseError, BILLED, False),
    Fault.WRONG_TYPE: None,
    Fault.UNKNOWN_FIELD: None,
    Fault.OTHER_REQUEST_ID: (MalformedResponseError, MAYBE, False),
    Fault.OTHER_DOCUMENT: (DomainError, BILLED, False),
    Fault.GENERAL_ANSWER: (DomainError, BILLED, False),
    Fault.RESET_BEFORE_BODY: (ConnectionLostError, MAYBE, False),
    Fault.RESET_DURING_BODY: (ConnectionLostError, MAYBE, False),
    Fault.RESET_AFTER_BODY: (ConnectionLostError, MAYBE, False),
    Fault.CLOSE_AFTER_BODY: (ConnectionLostError, MAYBE, False),
    Fault.SILENCE: (ResponseTimeoutError, MAYBE, False),
    Fault.GARBAGE: (ConnectionLostError, MAYBE, False),
    Fault.CUT_ANSWER: (MalformedResponseError, BILLED, False),
    Fault.TRICKLE: (MalformedResponseError, BILLED, False),
    Fault.GZIP_BOMB: (MalformedResponseError, BILLED, False),
    Fault.LATE_DUPLICATE: None,  # it is the next call on the connection that meets it
}
TIMED: dict[Fault, dict[str, Any]] = {
    Fault.SILENCE: {"read_timeout": 0.1},
    Fault.TRICKLE: {"deadline": 1.0},
}


def test_the_table_names_every_fault() -> None:
    """No fault of the emulator is missing below."""
    assert set(TABLE) == set(Fault)


async def call(emulator: Emulator, fault: Fault, **settings: Any) -> ClovaOCRError | int:
    """Call once; return the error, or how many attempts a success took."""
    where = Domain(emulator.url(domain=f"1/{KEY}"), SECRET)
    async with ClovaOCRClient(where, runtime=FakeTime().runtime(), **(TIMED.get(fault, {}) | settings)) as client:
        try:
            return (await client.recognize(JPEG, Receipt, journal=RecordingJournal())).attempts
        except ClovaOCRError as error:
            return error


@pytest.mark.parametrize("fault", Fault)
async def test_every_fault_is_told_for_what_it_is(fault: Fault) -> None:
    """Each fault of the service becomes its error with its billing, and the service was not called a second time."""
    parked = RetryPolicy(max_attempts=1, quota_probes=0)
    async with Emulator(secret=SECRET, faults=[fault] * (fault is not Fault.RATE_LIMITED)) as emulator:
        if fault is Fault.RATE_LIMITED:
            emulator.script(fault, Fault.INVALID_BODY)
        ended = await call(emulator, fault, retry=parked)
        expected = TABLE[fault]
        if expected is None:
            assert ended == 1
        elif expected[0] is RateLimitError:
            # Refused for the rate, the call goes on; only a later answer ends it.
            assert ended == 2 or isinstance(ended, InvalidRequestError)
        else:
            assert isinstance(ended, expected[0])
            assert type(ended) is expected[0]
            assert (ended.billing, ended.attempts) == (expected[1], 1)
            # A call that the emulator bills is never reported as not billed.
            assert not (sum(emulator.billed.values()) and ended.billing is NOT)


@pytest.mark.parametrize("fault", Fault)
async def test_one_fault_then_a_good_answer(fault: Fault) -> None:
    """By default exactly the faults that pass and were not paid knowingly are met by another request."""
    async with Emulator(secret=SECRET, faults=[fault]) as emulator:
        ended = await call(emulator, fault)
        expected = TABLE[fault]
        again = expected is not None and expected[2]
        assert (ended == 2) is again
        assert emulator.requests == (2 if again else 1)
        # Paid twice is only what failed after it was paid, and was sent again all the same.
        assert sum(emulator.billed.values()) <= (2 if fault.name.endswith("_BILLED") else 1)


@pytest.mark.parametrize("fault", Fault)
async def test_nothing_secret_in_any_failure(fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    """Neither secret nor key is in an error, its context, its pickle, a log or an event, whatever fails."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("asyncio").setLevel(logging.INFO)
    events: list[Event] = []
    async with Emulator(secret=SECRET, faults=[fault] * 9) as emulator:
        ended = await call(emulator, fault, hooks=[events.append])
    shown = f"{caplog.text} {events}"
    seen: BaseException | None = ended if isinstance(ended, ClovaOCRError) else None
    if seen is not None:
        shown += f"{pickle.dumps(seen)!r}"
    while seen is not None:
        shown += f"{seen} {seen!r} {seen.args} {vars(seen)} {''.join(traceback.format_exception(seen))}"
        seen = seen.__cause__ or seen.__context__
    assert SECRET not in shown
    assert KEY not in shown
