"""Asyncio client for NAVER Cloud's CLOVA OCR Document API. Unofficial; CLOVA is NAVER's mark.

Examples:
    >>> async with ClovaOCRClient.from_env() as client:  # reads CLOVA_OCR_INVOKE_URL and CLOVA_OCR_SECRET
    ...     recognition = await client.recognize("receipt.jpg", Receipt)
    >>> total = recognition.document.result.total_price.price.decimal

* One call: ClovaOCRClient, Domain, Image, Recognition, Preparation, RetryPolicy.
* What is read: Receipt, CreditCard, NameCard, BizLicense, IdCard, Passport; first() of an array.
* Many calls: BatchDispatcher, Success, Failure; images_in(), images_from(), pages_in(); SharedSlots.
* Errors: ClovaOCRError and its subclasses; ``error.billing`` says whether the call may have been paid.
* Tests without an account: Emulator, Fault.

``help(clova_ocr_async.ClovaOCRClient)`` describes one name. Further names are in the folders: ``results`` has tables,
checks and masking, ``blocking`` the client for code without asyncio, ``integrations`` what goes with frameworks.

Each name is imported from its folder when it is first used, so that a command line's ``--help`` never waits for an HTTP
library. Type checkers and editors read ``__init__.pyi`` beside this file.
"""

from __future__ import annotations

import importlib

__version__ = "0.2.0.dev0"

_HOMES = {
    "batch": "Batch BatchDispatcher Failure Outcome Success images_from images_in",
    "client": "AnswerDropped AnswerKept AnswerTaken AttemptFinished AttemptStarted CallFinished ClovaOCRClient "
    "Event HoldChanged Hook ImageSource RetryPolicy RetryScheduled",
    "documents": "BizLicense CreditCard DOCUMENTS Document IdCard NameCard Passport Problem Receipt Recognition "
    "date_from_text first",
    "domains": "Domain Secret",
    "emulator": "Emulator Fault",
    "errors": "APIError AnswerNotKeptError AuthenticationError Billing ClovaOCRError ConfigurationError "
    "ConnectionFailedError ConnectionLostError DiskFullError DomainError ImageError InvalidRequestError LedgerError "
    "MalformedResponseError NotSentError OverloadedError QuotaExceededError RateLimitError RecognitionError "
    "RedactionError ResponseTimeoutError ServerError SpendingCeilingError TransportError",
    "ledger": "SqliteLedger load_seal",
    "pictures": "Page Preparation pages_in",
    "protocol": "HTTPRequest HTTPResponse Image ImageFormat ImageLimits",
    "slots": "GateState LocalSlots SharedSlots",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = list(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]  # type checkers read the stub


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
