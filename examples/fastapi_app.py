"""CLOVA OCR behind HTTP routes of your own: the model to copy.

One client for the whole process, opened and closed with the app, and shared by all requests, so that all of them
together keep to the domain's limit of calls at once. Several workers share their slots.

**Each upload is a call that costs money.** So the routes are behind an authentication dependency, which runs before
anything of an upload is read. Replace ``authenticate`` by your own; it refuses every caller while no token is set.

Needs: pip install 'clova-ocr-async[fastapi]'

Run: APP_TOKEN=… CLOVA_OCR_INVOKE_URL=… CLOVA_OCR_SECRET=… \
     uvicorn --app-dir examples fastapi_app:app --timeout-keep-alive 75 --timeout-graceful-shutdown 90

Try: curl -H "Authorization: Bearer $APP_TOKEN" -F file=@receipt.jpg http://127.0.0.1:8000/ocr/receipt
"""

from __future__ import annotations

import json
import os
import secrets
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from clova_ocr_async import ClovaOCRClient, IdCard, Receipt, SharedSlots
from clova_ocr_async.integrations.fastapi import client_lifespan, get_client, install_error_handlers, ocr_router
from clova_ocr_async.results import redact


def make_client() -> ClovaOCRClient:
    """Make the client of this process. A caller does not wait five minutes, the default."""
    return ClovaOCRClient.from_env(deadline=60.0, slots=SharedSlots())


bearer = HTTPBearer()


async def authenticate(given: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> None:
    """Let in the callers who may spend money."""
    token = os.environ.get("APP_TOKEN", "")
    if not token or not secrets.compare_digest(given.credentials.encode(), token.encode()):
        raise HTTPException(401)


# On SIGTERM uvicorn takes no more connections and waits for the handlers; then the client waits for its requests.
app = FastAPI(lifespan=client_lifespan(make_client))
install_error_handlers(app)


@app.exception_handler(RequestValidationError)
async def refuse_form(_request: Request, _error: RequestValidationError) -> Response:
    """Refuse a form without the file. FastAPI's own answer would repeat the values of the form."""
    return JSONResponse({"detail": "send the picture as the file of a form's field 'file'"}, 422)


# POST /ocr/receipt, POST /ocr/id-card; GET /ocr/live and GET /ocr/ready, without authentication
app.include_router(
    ocr_router(
        documents=[Receipt, IdCard],
        max_bytes=10 * 2**20,
        max_wait=10.0,  # seconds; a caller that would wait longer for a slot gets 503 and Retry-After at once
        dependencies=[Depends(authenticate)],
    ),
    prefix="/ocr",
)


@app.post("/masked", dependencies=[Depends(authenticate)], max_body_size=10 * 2**20)
async def read_masked(file: UploadFile, clova: Annotated[ClovaOCRClient, Depends(get_client)]) -> dict[str, Any]:
    """Read an ID card in a handler of your own, and return it with its numbers masked."""
    recognition = await clova.recognize(file, IdCard)  # its errors become problem documents
    return redact(recognition).to_dict()


@app.get("/metrics")
async def metrics(clova: Annotated[ClovaOCRClient, Depends(get_client)]) -> Response:
    """Return the state of each domain's slots for Prometheus, which alone should reach this route."""
    totals: dict[str, int] = {}
    for domain, gate in clova.gates.items():
        label = json.dumps(domain.label, ensure_ascii=False)  # never the URL: it holds the invoke key
        for name, value in (
            ("clova_ocr_slots_ceiling", gate.ceiling),
            ("clova_ocr_slots_in_flight", gate.in_flight),
            ("clova_ocr_slots_waiting", gate.waiting),
            ("clova_ocr_rejections_total", gate.rejections),
            ("clova_ocr_domain_on_hold", int(domain in clova.on_hold)),
        ):
            series = f"{name}{{domain={label}}}"
            totals[series] = totals.get(series, 0) + value  # domains of one host may share a label
    text = "".join(f"{series} {value}\n" for series, value in totals.items())
    return Response(text, media_type="text/plain; version=0.0.4")
