"""Asyncio client for NAVER Cloud's CLOVA OCR Document API. Unofficial; CLOVA is NAVER's mark.

Every public name is here. Each is imported from its folder when it is first used, so that a command line's ``--help``
never waits for an HTTP library.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers take it for True; importing typing would take longer than all the rest here

if TYPE_CHECKING:
    from clova_ocr_async.batch import (
        Batch,
        BatchDispatcher,
        Failure,
        Outcome,
        Success,
        images_from,
        images_in,
    )
    from clova_ocr_async.client import (
        AnswerDropped,
        AnswerKept,
        AnswerTaken,
        Attempt,
        AttemptFinished,
        AttemptStarted,
        CallFinished,
        ClovaOCRClient,
        Event,
        Exchange,
        HoldChanged,
        Hook,
        ImageSource,
        Journal,
        RetryPolicy,
        RetryScheduled,
        Transport,
    )
    from clova_ocr_async.documents import (
        DOCUMENTS,
        BizLicense,
        CreditCard,
        Document,
        IdCard,
        NameCard,
        Passport,
        Problem,
        Receipt,
        Recognition,
        date_from_text,
    )
    from clova_ocr_async.domains import Domain, Secret
    from clova_ocr_async.emulator import Emulator, Fault
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
        ResponseTimeoutError,
        ServerError,
        SpendingCeilingError,
        TransportError,
    )
    from clova_ocr_async.host.runtime import Runtime
    from clova_ocr_async.ledger import Ledger, Seal, SealError, SqliteLedger, load_seal
    from clova_ocr_async.protocol import HTTPRequest, HTTPResponse, Image, ImageFormat, ImageLimits
    from clova_ocr_async.slots import GateState, Lane, LocalSlots, Refusal, SharedSlots, Slot, Slots


_HOMES = {
    "batch": "Batch BatchDispatcher Failure Outcome Success images_from images_in",
    "client": "AnswerDropped AnswerKept AnswerTaken Attempt AttemptFinished AttemptStarted CallFinished ClovaOCRClient "
    "Event Exchange HoldChanged Hook ImageSource Journal RetryPolicy RetryScheduled Transport",
    "documents": "BizLicense CreditCard DOCUMENTS Document IdCard NameCard Passport Problem Receipt Recognition "
    "date_from_text",
    "domains": "Domain Secret",
    "emulator": "Emulator Fault",
    "errors": "APIError AnswerNotKeptError AuthenticationError Billing ClovaOCRError ConfigurationError "
    "ConnectionFailedError ConnectionLostError DiskFullError DomainError ImageError InvalidRequestError LedgerError "
    "MalformedResponseError NotSentError OverloadedError "
    "QuotaExceededError RateLimitError RecognitionError ResponseTimeoutError ServerError SpendingCeilingError "
    "TransportError",
    "host.runtime": "Runtime",
    "ledger": "Ledger Seal SealError SqliteLedger load_seal",
    "protocol": "HTTPRequest HTTPResponse Image ImageFormat ImageLimits",
    "slots": "GateState Lane LocalSlots Refusal SharedSlots Slot Slots",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "DOCUMENTS",
    "APIError",
    "AnswerDropped",
    "AnswerKept",
    "AnswerNotKeptError",
    "AnswerTaken",
    "Attempt",
    "AttemptFinished",
    "AttemptStarted",
    "AuthenticationError",
    "Batch",
    "BatchDispatcher",
    "Billing",
    "BizLicense",
    "CallFinished",
    "ClovaOCRClient",
    "ClovaOCRError",
    "ConfigurationError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "CreditCard",
    "DiskFullError",
    "Document",
    "Domain",
    "DomainError",
    "Emulator",
    "Event",
    "Exchange",
    "Failure",
    "Fault",
    "GateState",
    "HTTPRequest",
    "HTTPResponse",
    "HoldChanged",
    "Hook",
    "IdCard",
    "Image",
    "ImageError",
    "ImageFormat",
    "ImageLimits",
    "ImageSource",
    "InvalidRequestError",
    "Journal",
    "Lane",
    "Ledger",
    "LedgerError",
    "LocalSlots",
    "MalformedResponseError",
    "NameCard",
    "NotSentError",
    "Outcome",
    "OverloadedError",
    "Passport",
    "Problem",
    "QuotaExceededError",
    "RateLimitError",
    "Receipt",
    "Recognition",
    "RecognitionError",
    "Refusal",
    "ResponseTimeoutError",
    "RetryPolicy",
    "RetryScheduled",
    "Runtime",
    "Seal",
    "SealError",
    "Secret",
    "ServerError",
    "SharedSlots",
    "Slot",
    "Slots",
    "SpendingCeilingError",
    "SqliteLedger",
    "Success",
    "Transport",
    "TransportError",
    "date_from_text",
    "images_from",
    "images_in",
    "load_seal",
]


# Hidden from type checkers, which would take any name for there.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


del TYPE_CHECKING
