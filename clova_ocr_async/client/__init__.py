"""One call: the client, and what it can be given."""

from clova_ocr_async.client.ceiling import Refusal
from clova_ocr_async.client.client import ClovaOCRClient
from clova_ocr_async.client.domain import Domain, Secret
from clova_ocr_async.client.hooks import (
    AnswerDropped,
    AnswerKept,
    AnswerTaken,
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    Event,
    HoldChanged,
    Hook,
    RetryScheduled,
)
from clova_ocr_async.client.journal import Attempt, Journal
from clova_ocr_async.client.reading import ImageSource
from clova_ocr_async.client.retry import RetryPolicy
from clova_ocr_async.client.runtime import Runtime
from clova_ocr_async.client.shared_slots import SharedSlots
from clova_ocr_async.client.slots import GateState, Lane, LocalSlots, Slot, Slots
from clova_ocr_async.client.transport import AiohttpTransport, Exchange, Transport

__all__ = [
    "AiohttpTransport",
    "AnswerDropped",
    "AnswerKept",
    "AnswerTaken",
    "Attempt",
    "AttemptFinished",
    "AttemptStarted",
    "CallFinished",
    "ClovaOCRClient",
    "Domain",
    "Event",
    "Exchange",
    "GateState",
    "HoldChanged",
    "Hook",
    "ImageSource",
    "Journal",
    "Lane",
    "LocalSlots",
    "Refusal",
    "RetryPolicy",
    "RetryScheduled",
    "Runtime",
    "Secret",
    "SharedSlots",
    "Slot",
    "Slots",
    "Transport",
]
