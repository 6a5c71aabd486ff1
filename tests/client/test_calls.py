from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from support.fakes import (
    BUSY,
    FAILED,
    JPEG,
    KEY,
    PATIENT,
    SECRET,
    SPENT,
    URL,
    FakeTime,
    FakeTransport,
    Held,
    domain,
    error,
    gateway_error,
    success,
    url_of,
)

from clova_ocr_async.client import (
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    ClovaOCRClient,
    Event,
    RetryPolicy,
    RetryScheduled,
)
from clova_ocr_async.documents import Document, Passport, Receipt
from clova_ocr_async.domains import Domain
from clova_ocr_async.errors import (
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    DomainError,
    ImageError,
    InvalidRequestError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ResponseTimeoutError,
    ServerError,
)
from clova_ocr_async.protocol.image import Image, ImageLimits
from clova_ocr_async.protocol.response import HTTPResponse
from clova_ocr_async.slots import LocalSlots

NOT, MAYBE, BILLED = Billing


def client_of(
    transport: FakeTransport, *domains: Domain, time: FakeTime | None = None, **settings: Any
) -> ClovaOCRClient:
    """Return a client over a fake transport and a fake clock."""
    runtime = (time or FakeTime()).runtime()
    return ClovaOCRClient(*(domains or (domain(),)), transport=transport, runtime=runtime, **settings)


async def failed(client: ClovaOCRClient, expected: type[ClovaOCRError], **settings: Any) -> Any:
    """Call, and return the error it must end in."""
    with pytest.raises(expected) as caught:
        await client.recognize(JPEG, Receipt, **settings)
    assert type(caught.value) is expected
    return caught.value


async def test_a_call() -> None:
    """A call sends the image once, as specified, and returns what was read."""
    transport, time = FakeTransport(), FakeTime()
    async with client_of(transport, time=time) as client:
        recognition = await client.recognize(Image(JPEG, "lunch.jpg"), Receipt)
    [sent] = transport.sent
    assert sent.request.url == f"{URL}/document/receipt"
    assert sent.request.headers["X-OCR-SECRET"] == SECRET
    assert (sent.parsed.request_id, sent.parsed.timestamp) == ("id-1", 1_700_001_000_250)
    assert (sent.parsed.format, sent.parsed.name, sent.parsed.data) == ("jpg", "lunch.jpg", JPEG)
    assert recognition.document.result.store_info.name.value == "canarySHOP"
    assert (recognition.request_id, recognition.attempts, recognition.elapsed) == ("id-1", 1, 0.0)
    assert (recognition.name, recognition.raw) == ("lunch.jpg", success(sent.request).body)
    assert time.slept == []


async def test_json_content() -> None:
    """content="json" sends the image as base64."""
    transport = FakeTransport()
    await client_of(transport, content="json").recognize(JPEG, Receipt)
    assert transport.sent[0].request.headers["Content-Type"] == "application/json"
    assert transport.sent[0].parsed.data == JPEG


@pytest.mark.parametrize("busy", [BUSY, gateway_error("410", 429), gateway_error("420", 429), HTTPResponse(429, b"")])
async def test_rate_limit_twice_then_read(busy: HTTPResponse) -> None:
    """0025, 0025, 200 is a success: the same request three times, after ever longer pauses, each body complete."""
    transport, time = FakeTransport(busy, busy), FakeTime()
    recognition = await client_of(transport, time=time).recognize(JPEG, Receipt)
    assert recognition.attempts == 3
    assert [sent.parsed.request_id for sent in transport.sent] == ["id-1"] * 3
    assert [sent.parsed.data for sent in transport.sent] == [JPEG] * 3
    # The timestamp is each attempt's own.
    first, second, third = (float(sent.parsed.timestamp) / 1000 for sent in transport.sent)
    pauses = [seconds for seconds in time.slept if seconds]
    assert pauses == pytest.approx([second - first, third - second], abs=0.002)
    assert pauses[1] > pauses[0] > 0
    assert recognition.elapsed == pytest.approx(sum(pauses))


@pytest.mark.parametrize("spent", [SPENT, gateway_error("400", 429)])
async def test_quota_twice_then_read(spent: HTTPResponse) -> None:
    """0023, 0023, 200 is a success: the call that met it probes with backoff until the quota is back."""
    transport, time = FakeTransport(spent, spent), FakeTime()
    recognition = await client_of(transport, time=time).recognize(JPEG, Receipt)
    assert (recognition.attempts, time.slept) == (3, [0.5, 1.0])
    assert {sent.parsed.request_id for sent in transport.sent} == {"id-1"}
    assert [sent.parsed.data for sent in transport.sent] == [JPEG] * 3


async def test_refusals_use_up_no_attempt() -> None:
    """A hundred refusals for the rate, and the attempts are still all there."""
    transport = FakeTransport(*[BUSY] * 100, FAILED, *[BUSY] * 100, FAILED)
    recognition = await client_of(transport).recognize(JPEG, Receipt)
    assert recognition.attempts == 203


async def test_retry_after_is_obeyed() -> None:
    """A call waits as long as the answer asks for."""
    time = FakeTime()
    transport = FakeTransport(error("0025", headers={"retry-after": "33"}))
    await client_of(transport, time=time).recognize(JPEG, Receipt)
    assert [seconds for seconds in time.slept if seconds] == [33.0]


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
async def test_max_attempts(attempts: int) -> None:
    """A connection that keeps failing is tried max_attempts times, and the error counts the attempts."""
    transport = FakeTransport(then=ConnectionFailedError)
    client = client_of(transport, retry=RetryPolicy(max_attempts=attempts))
    failure = await failed(client, ConnectionFailedError)
    assert (len(transport.sent), failure.attempts, failure.request_id) == (attempts, attempts, "id-1")
    assert failure.billing is NOT


@pytest.mark.parametrize("lost", [ConnectionLostError, ResponseTimeoutError, error("510", 504)])
async def test_an_ambiguous_request_is_parked(lost: Any) -> None:
    """A request that may have been paid is not sent again by default."""
    transport = FakeTransport(lost)
    with pytest.raises(ClovaOCRError) as caught:
        await client_of(transport).recognize(JPEG, Receipt)
    assert (len(transport.sent), caught.value.attempts, caught.value.billing) == (1, 1, MAYBE)


async def test_an_ambiguous_request_is_retried_on_demand() -> None:
    """ambiguous="retry" sends again, and the recognition or error counts the request that may be billed."""
    client = client_of(FakeTransport(ConnectionLostError, None), retry=RetryPolicy(ambiguous="retry"))
    assert (await client.recognize(JPEG, Receipt)).attempts == 2
    client = client_of(FakeTransport(ConnectionLostError, error("0011")), retry=RetryPolicy(ambiguous="retry"))
    failure = await failed(client, InvalidRequestError)
    assert (failure.billing, failure.attempts) == (MAYBE, 2)


@pytest.mark.parametrize("answer", [error("0500", 500), FAILED, HTTPResponse(502, b"<html>"), HTTPResponse(503, b"")])
@pytest.mark.parametrize("attempts", [3, 50])
async def test_server_errors_are_retried_twice(answer: HTTPResponse, attempts: int) -> None:
    """A failing server is asked at most three times, however many attempts are allowed."""
    transport = FakeTransport(then=answer)
    failure = await failed(client_of(transport, retry=RetryPolicy(max_attempts=attempts)), ServerError)
    assert (len(transport.sent), failure.attempts, failure.billing) == (3, 3, MAYBE)


async def test_server_errors_parked() -> None:
    """server_errors="park" raises the first."""
    transport = FakeTransport(FAILED)
    await failed(client_of(transport, retry=RetryPolicy(server_errors="park")), ServerError)
    assert len(transport.sent) == 1


@pytest.mark.parametrize(
    ("last", "kind"),
    [(error("0011"), InvalidRequestError), (error("0002", 401), AuthenticationError), (error("0001"), DomainError)],
)
async def test_the_worst_billing_is_told(last: HTTPResponse, kind: type[ClovaOCRError]) -> None:
    """An error that is not billed itself has the worst billing of the attempts before it."""
    failure = await failed(client_of(FakeTransport(FAILED, last)), kind)
    assert (failure.billing, failure.attempts) == (MAYBE, 2)
    assert (await failed(client_of(FakeTransport(last)), kind)).billing is NOT


FINAL: list[tuple[HTTPResponse, type[ClovaOCRError], Billing]] = [
    (error("0011"), InvalidRequestError, NOT),
    (gateway_error("430", 413), InvalidRequestError, NOT),
    (error("0002", 401), AuthenticationError, NOT),
    (error("1021", 500), DomainError, NOT),
    (HTTPResponse(307, b"", {"location": "http://elsewhere/"}), DomainError, NOT),
    (HTTPResponse(200, b""), MalformedResponseError, BILLED),
    (HTTPResponse(200, b"{", {}, "cut"), MalformedResponseError, BILLED),
    (HTTPResponse(200, b'{"images":[{"inferResult":"FAILURE"}]}'), RecognitionError, BILLED),
    (HTTPResponse(200, b'{"images":[{"fields":[]}]}'), DomainError, BILLED),
    (HTTPResponse(504, b""), ServerError, MAYBE),
]


@pytest.mark.parametrize(("answer", "kind", "billing"), FINAL, ids=lambda value: repr(value)[:50])
async def test_what_is_never_sent_again(answer: HTTPResponse, kind: type[ClovaOCRError], billing: Billing) -> None:
    """An answer that another request would not change ends the call at once, with the billing of the contract."""
    transport, time = FakeTransport(answer), FakeTime()
    failure = await failed(client_of(transport, time=time), kind)
    assert (len(transport.sent), time.slept) == (1, [])
    assert (failure.billing, failure.attempts, failure.request_id) == (billing, 1, "id-1")
    if isinstance(failure, MalformedResponseError):
        assert failure.raw == answer.body


async def test_a_refused_image_costs_nothing() -> None:
    """An image that is refused is never sent, and its error is not billed."""
    transport = FakeTransport()
    client = client_of(transport, limits=ImageLimits(max_bytes=4))
    failure = await failed(client, ImageError)
    assert (transport.sent, failure.request_id, failure.attempts) == ([], None, 0)


# ---------------------------------------------------------------------------------------------------------------------
# Slots


async def test_calls_at_once() -> None:
    """As many calls fly as there are slots, and the rest wait."""
    held = Held()
    transport = FakeTransport(then=held)
    client = client_of(transport, concurrency=3)
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(client.recognize(JPEG, Receipt))
        await held.reached.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert transport.in_flight == 3
        held.go_on.set()
    assert (len(transport.sent), transport.most_in_flight) == (8, 3)


async def test_backing_off_holds_no_slot() -> None:
    """While one call waits to try again, another uses the only slot."""
    time, slots = FakeTime(), LocalSlots(1)
    time.gate = asyncio.Event()
    transport = FakeTransport(FAILED)
    client = client_of(transport, time=time, slots=slots)
    first = asyncio.create_task(client.recognize(JPEG, Receipt))
    await time.asleep.wait()
    assert slots.state(client.domains[0]).free == 1
    assert (await client.recognize(JPEG, Receipt)).attempts == 1
    time.gate.set()
    assert (await first).attempts == 2


async def test_several_domains_share_the_calls() -> None:
    """Calls spread over the domains of a class by free slots, and never to one bound to another class."""
    held = Held()
    transport = FakeTransport(then=held)
    domains = [
        Domain(url_of(1), SECRET, document=Receipt),
        Domain(url_of(2), SECRET, document=Receipt),
        Domain(url_of(3), SECRET, document=Passport),
        Domain(url_of(4), SECRET),
    ]
    client = client_of(transport, *domains, concurrency=2)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(client.recognize(JPEG, Receipt))
        await held.reached.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        held.go_on.set()
    hosts = sorted(sent.request.url.split("/")[2].split(".")[0] for sent in transport.sent)
    assert hosts == ["host1", "host1", "host2", "host2"]


# ---------------------------------------------------------------------------------------------------------------------
# Hooks


async def test_events_and_their_order() -> None:
    """Hooks hear of each request, retry and call, in order, with what a log or a metric wants."""
    events: list[Event] = []
    time = FakeTime()
    client = client_of(FakeTransport(BUSY, FAILED), time=time, hooks=[events.append])
    await client.recognize(JPEG, Receipt)
    match events:
        case [
            CallStarted("id-1", "receipt", "interactive", 0.0),
            AttemptStarted(first, 0.0),
            AttemptFinished(_, 0.0, RateLimitError()),
            RetryScheduled("id-1", 1, 0.0, RateLimitError()),
            AttemptStarted(_, paused),
            AttemptFinished(_, _, ServerError()),
            RetryScheduled("id-1", 2, 1.0, ServerError()),
            AttemptStarted(third, _),
            AttemptFinished(_, _, None),
            CallFinished("id-1", "receipt", 3, elapsed, Billing.BILLED, None, waited, 0.0),
        ]:
            assert waited == paused
            assert elapsed == paused + 1.0 > 1.0
            assert (first.request_id, first.number, first.path_word, third.number) == ("id-1", 1, "receipt", 3)
            assert first.domain == "https://host.apigw.ntruss.com/custom/v1/777/***"
        case _:
            pytest.fail(str(events))


async def test_a_failed_call_is_told() -> None:
    """CallFinished has the error, the attempts and the worst billing."""
    events: list[Event] = []
    client = client_of(FakeTransport(FAILED, error("0011")), hooks=[events.append])
    failure = await failed(client, InvalidRequestError)
    assert events[-1] == CallFinished("id-1", "receipt", 2, 1.0, MAYBE, failure)


async def test_a_failing_hook_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a hook is logged, and the call and other hooks go on."""
    events: list[Event] = []

    def broken(_: Event) -> None:
        raise ZeroDivisionError

    client = client_of(FakeTransport(BUSY), hooks=iter([broken, events.append]))
    assert (await client.recognize(JPEG, Receipt)).attempts == 2
    assert len(events) == 7
    messages = [record.getMessage() for record in caplog.records]
    assert messages[:2] == ["a hook failed on CallStarted", "a hook failed on AttemptStarted"]
    assert len(messages) == 7
    assert all(record.exc_info for record in caplog.records)


async def test_waiting_for_a_slot_is_told() -> None:
    """AttemptStarted has the seconds that the request waited for its slot."""
    events: list[Event] = []
    time, held = FakeTime(), Held()
    client = client_of(FakeTransport(held), time=time, concurrency=1, hooks=[events.append])
    async with asyncio.TaskGroup() as group:
        group.create_task(client.recognize(JPEG, Receipt))
        await held.reached.wait()
        group.create_task(client.recognize(JPEG, Receipt))
        for _ in range(20):
            await asyncio.sleep(0)
        time.now += 7
        held.go_on.set()
    assert [event.waited for event in events if isinstance(event, AttemptStarted)] == [0.0, 7.0]
    assert [event.elapsed for event in events if isinstance(event, AttemptFinished)] == [7.0, 0.0]


# ---------------------------------------------------------------------------------------------------------------------
# Settings and life


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"concurrency": 0}, "concurrency is less than 1"),
        ({"concurrency": True}, "concurrency is a bool"),
        ({"concurrency": 2, "slots": LocalSlots(2)}, "slots and concurrency"),
        *(({name: value}, f"{name} is {fault}; it must be seconds, more than 0")
          for name in ("deadline", "connect_timeout", "read_timeout")
          for value, fault in ((0, "not more than 0"), (float("nan"), "not finite"), (True, "a bool"), ("5", "a str"))),
        ({"connect_timeout": None}, "connect_timeout is a NoneType"),
        ({"content": "xml"}, "content is 'xml'"),
        ({"session": object(), "transport": FakeTransport()}, "transport and session"),
        ({"retry": 3}, "retry is a int"),
        ({"limits": "50 MiB"}, "limits is a str"),
        ({"slots": 3}, "slots is a int"),
        ({"session": 3}, "session is a int"),
        ({"hooks": print}, "hooks is a builtin_function"),
        ({"hooks": [print, 3]}, "hooks holds a int"),
    ],
    ids=lambda part: part if isinstance(part, str) else " ".join(part),  # a repr would hold an address
)  # fmt: skip
def test_bad_settings(settings: dict[str, Any], named: str) -> None:
    """A setting that cannot work is refused by its name."""
    with pytest.raises(ConfigurationError, match=named):
        ClovaOCRClient(domain(), **settings)


@pytest.mark.parametrize("wrong", [URL, None, (URL, SECRET)])
def test_a_domain_must_be_one(wrong: Any) -> None:
    """A value that is not a Domain is refused by its type, without its value."""
    with pytest.raises(ConfigurationError, match=f"domain is a {type(wrong).__name__}") as caught:
        ClovaOCRClient(domain(), wrong)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("document", [dict, Document, "receipt"])
async def test_a_class_must_be_one(document: Any) -> None:
    """A class that is not a document class is refused before the image is read."""
    with pytest.raises(ConfigurationError, match="one of Receipt, CreditCard"):
        await client_of(FakeTransport()).recognize("no such file", document)


async def test_a_class_without_a_domain() -> None:
    """A class that no domain reads is refused before the image is read."""
    with pytest.raises(ConfigurationError, match="reads Passport"):
        await client_of(FakeTransport(), domain(document=Receipt)).recognize("no such file", Passport)


async def test_closing() -> None:
    """A client closes its transport once, and takes no calls afterwards."""
    transport = FakeTransport()
    async with client_of(transport) as client:
        await client.recognize(JPEG, Receipt)
    await client.close()
    assert transport.closed == 1
    assert "closed" in str(await failed(client, ConfigurationError))
    with pytest.raises(ConfigurationError, match="closed"):
        async with client:
            pass


def test_one_loop_a_client() -> None:
    """A client belongs to the loop of its first call, and refuses calls in another."""
    client = client_of(FakeTransport())

    async def call() -> None:
        await client.recognize(JPEG, Receipt)

    asyncio.run(call())
    with pytest.raises(ConfigurationError, match="another event loop"):
        asyncio.run(call())


def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    """from_env makes a client of the domains and settings given."""
    monkeypatch.setenv("CLOVA_OCR_INVOKE_URL", URL)
    monkeypatch.setenv("CLOVA_OCR_SECRET", SECRET)
    monkeypatch.setenv("CLOVA_OCR_RECEIPT_INVOKE_URL", url_of(1))
    client = ClovaOCRClient.from_env(concurrency=2, deadline=None)
    assert [one.key for one in client.domains] == [url_of(1), URL]
    with pytest.raises(ConfigurationError, match="concurrency"):
        ClovaOCRClient.from_env(concurrency=0)


def test_a_client_is_made_outside_a_loop() -> None:
    """Making a client needs no event loop, and shows no secret."""
    client = ClovaOCRClient(domain(), domain(URL + "x"))
    assert SECRET not in f"{client!r} {client.domains}"
    assert KEY not in f"{client!r} {client.domains}"


async def test_nothing_secret_in_a_failing_call(caplog: pytest.LogCaptureFixture) -> None:
    """An error answer that repeats the invoke key and the secret shows neither, nor does any log at DEBUG."""
    caplog.set_level(logging.DEBUG)
    body = f'{{"code":"0011","message":"{SECRET} at {KEY}","path":"/x/{KEY}","traceId":"{SECRET}"}}'.encode()
    failure = await failed(client_of(FakeTransport(BUSY, HTTPResponse(400, body))), InvalidRequestError)
    shown = f"{failure} {failure!r} {failure.args} {vars(failure)} {caplog.text}"
    assert "***" in shown
    assert SECRET not in shown
    assert KEY not in shown


async def test_only_a_failure_enters_tenacity() -> None:
    """A call that succeeds at once schedules no retry and sleeps not at all."""
    time, events = FakeTime(), list[Event]()
    await client_of(FakeTransport(), time=time, hooks=[events.append]).recognize(JPEG, Receipt)
    assert time.slept == []
    assert not any(isinstance(event, RetryScheduled) for event in events)


async def test_quota_gives_up_when_the_probes_are_spent() -> None:
    """A quota that stays spent ends in QuotaExceededError after the policy's probes."""
    transport, time = FakeTransport(then=SPENT), FakeTime()
    failure = await failed(client_of(transport, time=time, retry=RetryPolicy(quota_probes=3)), QuotaExceededError)
    assert (failure.attempts, failure.billing, len(time.slept)) == (4, NOT, 3)


@pytest.mark.parametrize(
    ("policy", "answers", "maybe_billed"),
    [
        (RetryPolicy(), [error("0500", 500), error("0501", 500)], 2),
        (PATIENT, [ConnectionLostError], 1),
        (RetryPolicy(), [BUSY, ConnectionFailedError], 0),
    ],
)
async def test_a_request_that_may_have_been_paid_twice_is_counted_and_told(
    policy: RetryPolicy, answers: list[Any], maybe_billed: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A success counts the earlier requests that may have been billed, and each retry after one is a warning."""
    caplog.set_level(logging.INFO, logger="clova_ocr_async")
    recognition = await client_of(FakeTransport(*answers), retry=policy).recognize(JPEG, Receipt)
    assert recognition.maybe_billed == maybe_billed
    assert f"maybe_billed={maybe_billed}" in repr(recognition)
    levels = [record.levelno for record in caplog.records if "is sent again" in record.getMessage()]
    assert levels == [logging.WARNING if maybe_billed else logging.INFO] * len(answers)


async def test_a_failure_counts_its_maybe_billed_requests() -> None:
    """An error counts the requests that may have been billed."""
    with pytest.raises(ServerError) as caught:
        await client_of(FakeTransport(then=error("0500", 500))).recognize(JPEG, Receipt)
    assert (caught.value.attempts, caught.value.maybe_billed) == (3, 3)


async def test_arguments_in_the_wrong_order_show_no_image() -> None:
    """An image in the place of the class is named by its type, never by its bytes."""
    with pytest.raises(ConfigurationError) as caught:
        await client_of(FakeTransport()).recognize(Receipt, b"canary of an image")  # type: ignore[arg-type]
    assert "document is of type bytes" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_domain_is_given_once() -> None:
    """The same domain twice has no more slots, and is refused."""
    with pytest.raises(ConfigurationError, match="given twice"):
        ClovaOCRClient(domain(), domain())


async def test_a_lane_that_is_none_is_refused() -> None:
    """A lane that does not exist is an error before anything is sent: such a call would be neither single nor batch."""
    transport = FakeTransport()
    async with ClovaOCRClient(domain(), transport=transport) as client:
        with pytest.raises(ConfigurationError, match="lane is 'Batch'; it must be interactive or batch"):
            await client.recognize(JPEG, Receipt, lane="Batch")  # type: ignore[arg-type]  # the test is of that
    assert transport.sent == []


@pytest.mark.parametrize("journal", [3, None, "journal.db", print], ids=lambda value: type(value).__name__)
async def test_a_journal_that_is_none_is_refused(journal: Any) -> None:
    """A value without the methods of a journal is an error by the argument's name, before anything is sent."""
    transport = FakeTransport()
    async with ClovaOCRClient(domain(), transport=transport) as client:
        with pytest.raises(ConfigurationError) as caught:
            await client.recognize(JPEG, Receipt, journal=journal)
    assert str(caught.value) == f"journal is a {type(journal).__name__}; it must have the methods of Journal"
    assert transport.sent == []
