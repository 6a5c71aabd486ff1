"""CLOVA OCR behind an HTTP endpoint of your own.

One client for the whole process: opened and closed with the app, shared by all requests, so that all of them together
keep to the domain's limit of calls at once. A client a request would leak connections and know nothing of the others.

Run: CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… uvicorn --app-dir examples fastapi_app:app
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, UploadFile
from fastapi.responses import JSONResponse

from clova_ocr_async import (
    DOCUMENTS,
    AuthenticationError,
    Billing,
    ClovaOCRClient,
    ClovaOCRError,
    ConfigurationError,
    DomainError,
    Image,
    ImageError,
    InvalidRequestError,
    OverloadedError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ResponseTimeoutError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

logger = logging.getLogger(__name__)

# The first that fits. What is not the caller's fault is 5xx: 503 for "later", 504 for "no answer", 502 for the rest.
STATUSES: list[tuple[type[ClovaOCRError], int]] = [
    (ImageError, 422),
    (RecognitionError, 422),
    (InvalidRequestError, 422),
    (OverloadedError, 503),
    (RateLimitError, 503),
    (QuotaExceededError, 503),
    (ResponseTimeoutError, 504),
    (ConfigurationError, 500),
    (ClovaOCRError, 502),
]

# These tell of hosts, files, variables and plans of this server: for its operator to mend, and no caller's business.
OPERATORS = (AuthenticationError, ConfigurationError, DomainError, QuotaExceededError)

# These speak to a Python program.
MESSAGES: list[tuple[type[ClovaOCRError], str]] = [
    (ImageError, "the upload cannot be read; it must be one whole page as JPEG, PNG, PDF or TIFF"),
    (RecognitionError, "the image holds no such document that can be read"),
]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open the client with the app, and close it with the app."""
    # A caller does not wait five minutes; the deadline holds for waiting, retries and all.
    async with ClovaOCRClient.from_env(deadline=60.0) as clova:
        app.state.clova = clova
        yield


app = FastAPI(lifespan=lifespan)


def shared_client(request: Request) -> ClovaOCRClient:
    """Hand out the app's client."""
    client: ClovaOCRClient = request.app.state.clova
    return client


@app.post("/documents/{document}")
async def read_document(
    document: str, image: UploadFile, clova: Annotated[ClovaOCRClient, Depends(shared_client)]
) -> dict[str, Any]:
    """Read an uploaded image and return the service's answer."""
    if document not in DOCUMENTS:
        raise HTTPException(404, f"documents are {', '.join(DOCUMENTS)}")
    uploaded = Image(await image.read(), image.filename)
    recognition = await clova.recognize(uploaded, DOCUMENTS[document])
    return recognition.to_dict()


@app.exception_handler(ClovaOCRError)
async def notify(_request: Request, error: ClovaOCRError) -> JSONResponse:
    """Answer with the status an error deserves; its message holds no secret and nothing personal."""
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    message = next((message for kind, message in MESSAGES if isinstance(error, kind)), str(error))
    if isinstance(error, OPERATORS):
        logger.error("CLOVA OCR cannot be called: %s", error)
        message = "the server is not set up for this"
    retry_after = getattr(error, "retry_after", None)
    headers = {} if status != 503 else {"Retry-After": str(max(1, round(retry_after or 1)))}  # noqa: PLR2004 - as above
    body = {"error": type(error).__name__, "message": message, "billed": _BILLED[error.billing]}
    return JSONResponse(body, status, headers)


_BILLED = {Billing.NOT_BILLED: False, Billing.MAYBE_BILLED: None, Billing.BILLED: True}
