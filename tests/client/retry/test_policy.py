from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.client.retry.call import CallHistory
from clova_ocr_async.client.retry.policy import RetryPolicy
from clova_ocr_async.errors import (
    APIError,
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

NOT, MAYBE, BILLED = Billing

RETRIED = ServerError(500, "0501", billing=MAYBE, retryable=True)
LATE = ServerError(504, "510", billing=MAYBE)

WANTS: list[tuple[BaseException, str]] = [
    # error, when it is wanted: always, never, or by which setting
    (ConnectionFailedError("x"), "always"),
    (RateLimitError(400, "0025"), "always"),
    (QuotaExceededError(400, "0023"), "always"),
    (ResponseTimeoutError("x"), "ambiguous"),
    (ConnectionLostError("x"), "ambiguous"),
    (LATE, "ambiguous"),
    (APIError(200, "9999", billing=MAYBE), "ambiguous"),
    (RETRIED, "server_errors"),
    (ConfigurationError("x"), "never"),
    (ImageError("x"), "never"),
    (AuthenticationError(401), "never"),
    (DomainError(404), "never"),
    (DomainError(200, billing=BILLED), "never"),
    (InvalidRequestError(400), "never"),
    (MalformedResponseError("x"), "never"),
    (RecognitionError("x"), "never"),
    (ClovaOCRError("x"), "never"),
    (ValueError("x"), "never"),
    (KeyboardInterrupt(), "never"),
]


@pytest.mark.parametrize("ambiguous", ["park", "retry"])
@pytest.mark.parametrize("server_errors", ["park", "retry"])
@pytest.mark.parametrize(("error", "when"), WANTS, ids=lambda value: repr(value)[:40])
def test_what_is_sent_again(error: BaseException, when: str, ambiguous: Any, server_errors: Any) -> None:
    """A request that was certainly not run is sent again, one that may be billed by its setting, any other never."""
    policy = RetryPolicy(ambiguous=ambiguous, server_errors=server_errors)
    settings = {"always": True, "never": False, "ambiguous": ambiguous == "retry"}
    assert policy.wants(error) is (settings | {"server_errors": server_errors == "retry"})[when]


def test_the_default_never_pays_twice_knowingly() -> None:
    """By default an ambiguous request is parked, and only the server's passing errors are retried."""
    policy = RetryPolicy()
    assert (policy.max_attempts, policy.ambiguous, policy.server_errors) == (3, "park", "retry")


NOTED: list[tuple[ClovaOCRError, tuple[int, int, int]]] = [
    # error, what it adds to attempts, server_errors, maybe_billed
    (ConnectionFailedError("x"), (1, 0, 0)),
    (RETRIED, (1, 1, 1)),
    (LATE, (1, 0, 1)),
    (RateLimitError(400, "0025"), (0, 0, 0)),
    (QuotaExceededError(400, "0023"), (0, 0, 0)),
    (MalformedResponseError("x"), (1, 0, 0)),
]


@pytest.mark.parametrize(("error", "counts"), NOTED, ids=lambda value: repr(value)[:30])
def test_what_counts_as_an_attempt(error: ClovaOCRError, counts: tuple[int, ...]) -> None:
    """Refusals for rate and quota use up no attempt, and the worst billing stays."""
    history = CallHistory()
    history.count(error)
    assert (history.attempts, history.server_errors, history.maybe_billed) == counts
    assert history.billing is error.billing
    history.count(ConnectionLostError("x"))
    history.count(ConnectionFailedError("x"))
    assert history.billing is max(error.billing, MAYBE)


def test_an_outage_uses_up_no_unbilled_attempt() -> None:
    """A call that waits for an outage to end has used up only the attempts that may have been billed."""
    history = CallHistory()
    for error in (ConnectionFailedError("x"), RETRIED, ConnectionFailedError("x"), RateLimitError(400)):
        history.count(error)
    history.forget_unbilled()
    assert (history.attempts, history.server_errors, history.maybe_billed) == (1, 1, 1)


EXHAUSTED: list[tuple[ClovaOCRError, CallHistory, bool]] = [
    (ConnectionFailedError("x"), CallHistory(attempts=2), False),
    (ConnectionFailedError("x"), CallHistory(attempts=3), True),
    (ConnectionFailedError("x"), CallHistory(attempts=4), True),
    (RETRIED, CallHistory(attempts=2, server_errors=2), False),
    (RETRIED, CallHistory(attempts=3, server_errors=3), True),
]


@pytest.mark.parametrize(("error", "history", "exhausted"), EXHAUSTED, ids=lambda value: repr(value)[:40])
def test_attempts_are_limited(error: ClovaOCRError, history: CallHistory, exhausted: bool) -> None:
    """A call has three attempts by default."""
    assert RetryPolicy().exhausted(error, history) is exhausted


def test_retries_after_server_errors_are_two_at_most() -> None:
    """A failing server gets only two retries of a call, however many attempts are allowed."""
    policy = RetryPolicy(max_attempts=100)
    assert not policy.exhausted(RETRIED, CallHistory(attempts=2, server_errors=2))
    assert policy.exhausted(RETRIED, CallHistory(attempts=3, server_errors=3))
    assert not policy.exhausted(ConnectionFailedError("x"), CallHistory(attempts=3, server_errors=3))
    assert not policy.exhausted(LATE, CallHistory(attempts=3, server_errors=3))


def test_one_attempt_means_no_retry() -> None:
    """max_attempts=1, quota_probes=0 and outage_patience=0 switch asking again off."""
    assert RetryPolicy(max_attempts=1).exhausted(ConnectionFailedError("x"), CallHistory(attempts=1))
    assert RetryPolicy(quota_probes=0).gives_up("quota", 1, 0.0)
    assert RetryPolicy(outage_patience=0).gives_up("outage", 1, 0.0)


GIVEN_UP: list[tuple[Any, int, float, bool]] = [
    ("quota", 5, 1e9, False),
    ("quota", 6, 0.0, True),
    ("outage", 10**9, 599.9, False),
    ("outage", 1, 600.0, True),
    ("credentials", 1, 0.0, True),
    ("deployment", 1, 0.0, True),
]


@pytest.mark.parametrize(("cause", "failures", "lasted", "over"), GIVEN_UP)
def test_when_a_domain_was_asked_enough(cause: Any, failures: int, lasted: float, over: bool) -> None:
    """A spent quota is probed a number of times, an outage for some seconds, and an ejected domain never waited for."""
    assert RetryPolicy().gives_up(cause, failures, lasted) is over


PROBED: list[tuple[Any, ClovaOCRError, int, float]] = [
    ("quota", QuotaExceededError(400), 1, 0.5),
    ("quota", QuotaExceededError(400), 2, 1.0),
    ("quota", QuotaExceededError(400), 99, 10.0),
    ("outage", ConnectionFailedError("x"), 1, 1.0),
    ("outage", RETRIED, 4, 8.0),
    ("outage", RETRIED, 10**9, 30.0),
]


@pytest.mark.parametrize(("cause", "error", "failures", "longest"), PROBED, ids=lambda value: repr(value)[:30])
def test_how_long_to_wait_before_a_probe(cause: Any, error: ClovaOCRError, failures: int, longest: float) -> None:
    """The wait for a domain on hold is drawn between 0 and a bound that doubles with the breaker's failures."""
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high / 2

    assert RetryPolicy().probe_delay(cause, failures, error, uniform) == longest / 2
    assert asked == [(0.0, longest)]


DELAYED: list[tuple[ClovaOCRError, CallHistory, float]] = [
    # error, what was tried, the longest wait by default
    (ConnectionFailedError("x"), CallHistory(attempts=1), 0.05),
    (ConnectionFailedError("x"), CallHistory(attempts=3), 0.2),
    (RETRIED, CallHistory(attempts=1), 1.0),
    (RETRIED, CallHistory(attempts=2), 2.0),
    (LATE, CallHistory(attempts=9), 20.0),
]


@pytest.mark.parametrize(("error", "history", "longest"), DELAYED, ids=lambda value: repr(value)[:40])
def test_how_long_to_wait(error: ClovaOCRError, history: CallHistory, longest: float) -> None:
    """The wait is drawn between 0 and a bound that doubles with failures of its own kind, up to a cap."""
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high / 2

    assert RetryPolicy().delay(error, history, uniform) == longest / 2
    assert asked == [(0.0, longest)]


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.5), (0.2, 0.5), (7.0, 7.0), (120.0, 120.0), (120.1, 0.5)])
def test_retry_after(asked: float, waited: float) -> None:
    """Retry-After is the least wait up to 120 s, and beyond that the policy's own wait counts."""
    quota = QuotaExceededError(429)
    quota.retry_after = asked
    assert RetryPolicy().probe_delay("quota", 1, quota, lambda _, high: high) == waited


@pytest.mark.parametrize("cause", ["credentials", "deployment"])
@pytest.mark.parametrize(("failures", "wait"), [(1, 60.0), (2, 120.0), (4, 480.0), (5, 600.0), (10**9, 600.0)])
def test_how_long_a_domain_stays_out_of_the_pool(cause: Any, failures: int, wait: float) -> None:
    """An ejected domain is probed after a minute, and then more and more rarely, up to every ten minutes."""
    assert RetryPolicy().probe_delay(cause, failures, DomainError(400), lambda low, _: low) == wait


durations = st.floats(0, 1e308)
errors = st.sampled_from([error for error, _, _ in DELAYED])
counts = st.integers(1, 10**9)


@given(
    error=errors, failures=counts, bases=st.tuples(durations, durations, durations), cap=durations, part=st.floats(0, 1)
)
def test_no_wait_is_longer_than_its_cap(
    error: ClovaOCRError, failures: int, bases: tuple[float, float, float], cap: float, part: float
) -> None:
    """The wait lies between 0 and the cap, whatever the settings and however many failures."""
    policy = RetryPolicy(
        connection_base=bases[0],
        server_base=bases[1],
        quota_base=bases[2],
        quota_cap=cap,
        cap=cap,
        outage_cap=cap,
    )

    def uniform(low: float, high: float) -> float:
        return low + part * (high - low)

    assert 0 <= policy.delay(error, CallHistory(attempts=failures), uniform) <= cap
    assert 0 <= policy.probe_delay("outage", failures, error, uniform) <= cap
    assert 0 <= policy.probe_delay("quota", failures, QuotaExceededError(400), uniform) <= cap


@given(asked=st.floats(0, 120), part=st.floats(0, 1))
def test_what_the_server_asks_is_never_cut(asked: float, part: float) -> None:
    """A Retry-After up to two minutes is waited in full."""
    error = QuotaExceededError(429)
    error.retry_after = asked
    assert RetryPolicy().probe_delay("quota", 1, error, lambda _, high: high * part) >= asked


@pytest.mark.parametrize(
    "settings",
    [
        *({name: value} for name in ("ambiguous", "server_errors") for value in ("", "Park", None, True)),
        *({"max_attempts": value} for value in (0, -1, 1.0, True, "3", None)),
        *({name: value} for name in ("quota_probes", "budget") for value in (-1, 0.5, False, None)),
        *(
            {name: value}
            for name in (
                "connection_base",
                "server_base",
                "quota_base",
                "quota_cap",
                "cap",
                "outage_cap",
                "outage_patience",
            )
            for value in (-0.1, float("nan"), float("inf"), True, "1", None)
        ),
    ],
    ids=str,
)
def test_bad_settings(settings: dict[str, Any]) -> None:
    """A setting that cannot work is refused by its name and what it must be."""
    [name] = settings
    with pytest.raises(ConfigurationError, match=f"RetryPolicy.{name} is .*; it must be "):
        RetryPolicy(**settings)


def test_the_edges_of_good_settings() -> None:
    """No waiting and no probing are settings too."""
    none = RetryPolicy(
        max_attempts=1,
        quota_probes=0,
        budget=0,
        outage_cap=0,
        outage_patience=0,
        connection_base=0,
        server_base=0,
        quota_base=0,
        quota_cap=0,
        cap=0,
    )
    assert none.delay(RETRIED, CallHistory(attempts=1), lambda _, high: high) == 0
