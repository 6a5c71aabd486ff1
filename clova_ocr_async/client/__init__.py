"""One call: the client, and what it can be given."""

from clova_ocr_async.client.admission import Backlog
from clova_ocr_async.client.client import ClovaOCRClient
from clova_ocr_async.client.hooks import (
    AnswerDropped,
    AnswerKept,
    AnswerTaken,
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    Event,
    HoldChanged,
    Hook,
    RetryScheduled,
)
from clova_ocr_async.client.journal import Attempt, Journal
from clova_ocr_async.client.loading import ImageSource
from clova_ocr_async.client.retry.policy import RetryPolicy
from clova_ocr_async.client.transport import AiohttpTransport, RequestProgress, Transport

__all__ = [
    "AiohttpTransport",
    "AnswerDropped",
    "AnswerKept",
    "AnswerTaken",
    "Attempt",
    "AttemptFinished",
    "AttemptStarted",
    "Backlog",
    "CallFinished",
    "CallStarted",
    "ClovaOCRClient",
    "Event",
    "HoldChanged",
    "Hook",
    "ImageSource",
    "Journal",
    "RequestProgress",
    "RetryPolicy",
    "RetryScheduled",
    "Transport",
]
