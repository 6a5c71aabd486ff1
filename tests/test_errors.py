"""The error tree: its shape, its billing and retry flags, and pickling."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from support.answers import answer_of, decode, full_document

from clova_ocr_async import errors
from clova_ocr_async.documents import Receipt, Recognition
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    APIError,
    AuthenticationError,
    Billing,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    DiskFullError,
    DomainError,
    ImageError,
    InvalidRequestError,
    LedgerError,
    MalformedResponseError,
    NotSentError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    RedactionError,
    ResponseTimeoutError,
    ServerError,
    SpendingCeilingError,
    TransportError,
)

NOT, MAYBE, BILLED = Billing.NOT_BILLED, Billing.MAYBE_BILLED, Billing.BILLED

TREE: list[tuple[type[ClovaOCRError], type[Exception], bool, Billing, bool]] = [
    # class, parent, retryable, billing, stops_run
    (ClovaOCRError, Exception, False, NOT, False),
    (ConfigurationError, ClovaOCRError, False, NOT, True),
    (LedgerError, ClovaOCRError, False, NOT, True),
    (DiskFullError, LedgerError, False, NOT, True),
    (ImageError, ClovaOCRError, False, NOT, False),
    (TransportError, ClovaOCRError, False, NOT, False),
    (ConnectionFailedError, TransportError, True, NOT, False),
    (ResponseTimeoutError, TransportError, False, MAYBE, False),
    (ConnectionLostError, TransportError, False, MAYBE, False),
    (APIError, ClovaOCRError, False, NOT, False),
    (AuthenticationError, APIError, False, NOT, True),
    (DomainError, APIError, False, NOT, True),
    (InvalidRequestError, APIError, False, NOT, False),
    (RateLimitError, APIError, True, NOT, False),
    (QuotaExceededError, APIError, True, NOT, True),
    (ServerError, APIError, False, MAYBE, False),
    (MalformedResponseError, ClovaOCRError, False, BILLED, False),
    (NotSentError, ClovaOCRError, False, NOT, False),
    (OverloadedError, ClovaOCRError, True, NOT, False),
    (SpendingCeilingError, ClovaOCRError, False, NOT, True),
    (AnswerNotKeptError, ClovaOCRError, False, NOT, False),
    (RecognitionError, ClovaOCRError, False, BILLED, False),
    (RedactionError, ClovaOCRError, False, NOT, False),
]


def recognition() -> Recognition[Receipt]:
    """Return a recognition full of values that must not be printed."""
    return decode(answer_of(Receipt, full_document(Receipt)), Receipt)


def instance(cls: type[ClovaOCRError]) -> ClovaOCRError:
    """Return an error of a class with everything set that can be set."""
    if issubclass(cls, APIError):
        made: ClovaOCRError = cls(
            429, "0025", "too many", "/custom/v1/1/***", "trace", 1570776853475, billing=BILLED, retryable=True
        )
    elif cls is NotSentError:
        made = NotSentError()
    elif cls is OverloadedError:
        made = OverloadedError("no time left", retry_after=2.5)
    elif cls is MalformedResponseError:
        made = MalformedResponseError("cut", raw=b"secret bytes", status=201)
    elif cls is RecognitionError:
        made = RecognitionError("nothing read", recognition=recognition())
    else:
        made = cls("what happened", billing=MAYBE, retryable=True)
    if isinstance(made, RateLimitError | QuotaExceededError):
        made.retry_after = 2.5
    made.request_id, made.attempts = "7d7f0bd6", 3
    return made


def test_the_tree_names_every_error() -> None:
    """The table above and the module's public names are the same classes."""
    assert {cls.__name__ for cls, *_ in TREE} | {"Billing"} == set(errors.__all__)


@pytest.mark.parametrize(("cls", "parent", "retryable", "billing", "stops_run"), TREE)
def test_the_shape_of_the_tree(
    cls: type[ClovaOCRError],
    parent: type[Exception],
    retryable: bool,
    billing: Billing,
    stops_run: bool,
) -> None:
    """Each class has the parent, the billing and the flags of the contract's table."""
    assert cls.__bases__[0] is parent
    assert (cls.retryable, cls.billing, cls.stops_run) == (retryable, billing, stops_run)
    assert (cls.request_id, cls.attempts) == (None, 0)
    assert f"{cls.__name__} " in (errors.__doc__ or "")


def test_a_configuration_error_is_a_value_error() -> None:
    """Code that checks arguments catches a bad setting as a ValueError."""
    assert issubclass(ConfigurationError, ValueError)


COPIES: list[Any] = [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy]  # noqa: S301


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "copy", "deepcopy"])
@pytest.mark.parametrize("cls", [cls for cls, *_ in TREE], ids=lambda cls: cls.__name__)
def test_an_error_travels_whole(cls: type[ClovaOCRError], copied: Any) -> None:
    """A pickled or copied error keeps its type, text, billing and every attribute."""
    error = instance(cls)
    back = copied(error)
    assert type(back) is cls
    assert (str(back), repr(back)) == (str(error), repr(error))
    assert (back.billing, back.retryable, back.stops_run) == (error.billing, error.retryable, error.stops_run)
    assert vars(back) == vars(error)
    assert (back.request_id, back.attempts) == ("7d7f0bd6", 3)


@pytest.mark.parametrize("cls", [cls for cls, *_ in TREE if issubclass(cls, APIError)], ids=lambda cls: cls.__name__)
def test_an_api_error_tells_what_the_service_said(cls: type[APIError]) -> None:
    """The text of an APIError has status, code, traceId and message; a missing part leaves no gap."""
    assert str(cls(400, "0025", "slow down", trace_id="t1")) == "HTTP 400, code 0025, traceId t1: slow down"
    assert str(cls(502)) == "HTTP 502: no message"
    full = cls(400, "0025", "m", "/p", "t", 5)
    assert (full.status, full.code, full.message, full.path, full.trace_id, full.timestamp) == (
        400,
        "0025",
        "m",
        "/p",
        "t",
        5,
    )


def test_one_error_may_judge_otherwise_than_its_class() -> None:
    """Billing and retryable of an instance override its class's, and do not change the class."""
    error = ServerError(500, billing=NOT, retryable=True)
    assert (error.billing, error.retryable) == (NOT, True)
    assert (ServerError(500).billing, ServerError(500).retryable) == (MAYBE, False)
    assert ClovaOCRError("x", billing=NOT, retryable=False).billing is NOT


def test_billing_is_ordered() -> None:
    """The maximum of several attempts' billing is the worst of them."""
    assert NOT < MAYBE < BILLED
    assert max([MAYBE, NOT]) is MAYBE
    assert max([NOT, BILLED, MAYBE]) is BILLED
    assert [int(billing) for billing in Billing] == [0, 1, 2]
    assert list(Billing) == [NOT, MAYBE, BILLED]


def test_an_error_prints_its_class_text_and_billing() -> None:
    """The repr of an error is enough for a log line."""
    assert repr(ImageError("too large")) == "ImageError('too large', billing=NOT_BILLED)"
    assert repr(ServerError(502)) == "ServerError('HTTP 502: no message', billing=MAYBE_BILLED)"


def test_the_two_that_hold_an_answer_hide_it() -> None:
    """No text of an error shows the paid answer in its attributes."""
    malformed = instance(MalformedResponseError)
    assert isinstance(malformed, MalformedResponseError)
    assert (malformed.raw, malformed.status) == (b"secret bytes", 201)
    assert "secret" not in f"{malformed} {malformed!r} {malformed.args}"
    failed = instance(RecognitionError)
    assert isinstance(failed, RecognitionError)
    assert failed.infer_result == "SUCCESS"
    assert "canary" not in f"{failed} {failed!r} {failed.args}"
    assert RecognitionError("nothing came").infer_result is None
    assert (MalformedResponseError("x").raw, MalformedResponseError("x").status) == (b"", 200)


def test_why_an_image_was_not_sent_travels_with_it() -> None:
    """The error that stopped a batch is named in the text, and survives pickling."""
    unsent = pickle.loads(pickle.dumps(NotSentError(DomainError(400, "0022", "wrong model"))))  # noqa: S301 - our own
    assert type(unsent.reason) is DomainError
    assert str(unsent) == "not sent: the batch was stopped by DomainError: HTTP 400, code 0022: wrong model"
