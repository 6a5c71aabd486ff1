from __future__ import annotations

import logging
import math
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.testclient import TestClient
from support.fakes import BUSY, FAILED, JPEG, KEY, SECRET, SPENT, FakeTransport, domain, error, gateway_error, success
from support.pdfs import pdf_of
from support.web import Upload, app_of, form

from clova_ocr_async import (
    DOCUMENTS,
    Billing,
    ClovaOCRClient,
    ClovaOCRError,
    ConfigurationError,
    ConnectionFailedError,
    ConnectionLostError,
    DiskFullError,
    HTTPResponse,
    IdCard,
    ImageError,
    OverloadedError,
    Passport,
    Preparation,
    QuotaExceededError,
    Receipt,
    RedactionError,
    ResponseTimeoutError,
    RetryPolicy,
)
from clova_ocr_async.integrations.fastapi import client_lifespan, get_client, install_error_handlers, ocr_router
from clova_ocr_async.integrations.fastapi.problems import error_response

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

ONCE = RetryPolicy(max_attempts=1, quota_probes=0)
NOTHING_READ = HTTPResponse(200, b'{"images":[{"inferResult":"FAILURE","message":"canaryVALUE"}]}')


def client_of(transport: FakeTransport, **settings: Any) -> ClovaOCRClient:
    """Return a client without a wire, which tries once."""
    return ClovaOCRClient(domain(), transport=transport, **{"retry": ONCE, **settings})


async def answer_to(step: Any, data: bytes = JPEG, **settings: Any) -> Any:
    """Return the answer of an app whose call ends in some way."""
    return await Upload(app_of(client_of(FakeTransport(then=step)), **settings), data).answer()


# ---------------------------------------------------------------------------------------------------------------------
# Answers


async def test_a_picture_is_read() -> None:
    """The answer holds the vendor's document, the ids, what it has cost, and the fields that were not understood."""

    async def odd(sent: Any) -> HTTPResponse:
        return success(
            sent.request, receipt={"result": {"storeInfo": {"name": {"text": 5}}, "totalPrice": {"price": {}}}}
        )

    answered = await answer_to(odd)
    assert answered.status == 200
    body = answered.json()
    assert body.pop("request_id")
    assert body == {
        "document": {"result": {"storeInfo": {"name": {}}, "totalPrice": {"price": {}}}},
        "uid": "u",
        "billed": True,
        "problems": [{"path": "images[0].receipt.result.storeInfo.name.text", "expected": "string", "kind": "number"}],
    }


@pytest.mark.parametrize(
    ("step", "status", "kind", "billing"),
    [
        (NOTHING_READ, 422, "nothing-read", "billed"),
        (error("0011"), 422, "refused", "not_billed"),
        (SPENT, 503, "quota-spent", "not_billed"),
        (ResponseTimeoutError, 504, "timed-out", "maybe_billed"),
        (ConnectionFailedError, 502, "unreachable", "not_billed"),
        (ConnectionLostError, 502, "connection-lost", "maybe_billed"),
        (HTTPResponse(200, b"{"), 502, "malformed-answer", "billed"),
        (FAILED, 502, "service-failed", "maybe_billed"),
        (error("0002", 401), 500, "internal", "not_billed"),
        (error("0021"), 500, "internal", "not_billed"),
        (gateway_error("200", 401), 500, "internal", "not_billed"),
        (ConfigurationError(f"no such certificate, {KEY}"), 500, "internal", "not_billed"),
    ],
)
async def test_a_failed_call_has_a_status_and_a_problem_document(
    step: Any, status: int, kind: str, billing: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each error has its status and its stable name, says what it has cost, and shows nothing of its circumstances."""
    caplog.set_level(logging.DEBUG)
    answered = await answer_to(step)
    assert answered.status == status
    assert answered.headers["content-type"] == "application/problem+json"
    body = answered.json()
    assert (body["type"], body["status"]) == (f"urn:clova-ocr-async:problem:{kind}", status)
    assert body["billing"] == billing
    assert isinstance(body["retryable"], bool)
    assert body["title"]
    assert "detail" not in body or body["detail"] is None
    if status in {429, 503}:
        assert int(answered.headers["retry-after"]) >= 1
    for secret in (SECRET, KEY, "canary", "ntruss"):
        assert secret not in answered.body.decode()
    assert SECRET not in caplog.text


async def test_values_are_for_the_caller_alone(caplog: pytest.LogCaptureFixture) -> None:
    """What was read, the file's name, the secret and the invoke key are in no log record, and not in OpenAPI."""
    caplog.set_level(logging.DEBUG)
    app = app_of(client_of(FakeTransport()))
    answered = await Upload(app, [form(JPEG, filename="canaryNAME.jpg")]).answer()
    assert "canarySHOP" in answered.body.decode()
    shown = caplog.text + str(app.openapi())
    assert not [secret for secret in ("canarySHOP", "canaryNAME", SECRET, KEY) if secret in shown]
    assert "canaryNAME" not in answered.body.decode()


@pytest.mark.parametrize("step", [SPENT, error("0002", 401), error("0021")])
async def test_what_the_operator_must_repair_is_logged(step: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A spent quota, a rejected secret and a wrong domain are logged with the service's message; callers get none."""
    answered = await answer_to(step)
    (record,) = [record for record in caplog.records if record.getMessage().startswith("an upload was not read")]
    assert record.levelname == "ERROR"
    assert "HTTP " in record.getMessage()
    assert "HTTP " not in answered.body.decode()


@pytest.mark.parametrize(
    ("step", "levels"),
    [
        (ConnectionFailedError, ["WARNING"]),
        (ResponseTimeoutError, ["WARNING"]),
        (FAILED, ["WARNING"]),
        (DiskFullError("no space left"), ["ERROR"]),
        (NOTHING_READ, []),
        (OverloadedError("too many calls", retry_after=1.0), []),
    ],
)
async def test_the_log_says_why_the_service_failed(
    step: Any, levels: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A failure of the service is in the log with its reason, as the answer has none; refusals of callers are not."""
    await answer_to(step)
    logged = [record for record in caplog.records if record.getMessage().startswith("an upload was not read: ")]
    assert [record.levelname for record in logged] == levels


async def test_slots_whose_server_was_never_reached_are_a_503(caplog: pytest.LogCaptureFixture) -> None:
    """While the server of the slots was never reached, callers are asked to come back, and the operator is told why."""
    answered = await answer_to(ConfigurationError("slots: redis://cache cannot be used", retryable=True))
    assert (answered.status, answered.json()["type"]) == (503, "urn:clova-ocr-async:problem:not-ready")
    assert int(answered.headers["retry-after"]) >= 1
    assert answered.json()["retryable"] is True
    assert "an upload was not read: slots: redis://cache cannot be used" in caplog.text
    assert "redis" not in answered.body.decode()


async def test_a_rate_limit_is_a_429() -> None:
    """A call that was refused for its number until its deadline is a 429 with a time to come back."""
    answered = await Upload(app_of(client_of(FakeTransport(then=BUSY), deadline=0.05)), JPEG).answer()
    assert answered.status == 429
    assert int(answered.headers["retry-after"]) >= 1
    assert answered.json()["retryable"] is True


async def test_an_overload_is_refused_before_the_body_is_read() -> None:
    """With no room to wait an upload is a 503, of which nothing was read, with whole seconds to come back."""
    app = app_of(client_of(FakeTransport()), max_wait=0.001)
    client: ClovaOCRClient = await app.dependency_overrides[get_client]()
    for _ in range(client.gates[client.domains[0]].ceiling):
        Upload(app, [], stalls=True)
    answered = await Upload(app, [b"x"]).answer()
    assert (answered.status, answered.chunks_read) == (503, 0)
    assert int(answered.headers["retry-after"]) >= 1
    assert answered.json()["type"].endswith(":overloaded")
    assert answered.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("data", "status", "detail"),
    [
        (b"", 422, "the upload is empty (0 bytes)"),
        (b"hello", 415, "the upload is plain text, and the service reads jpg, pdf, png, tiff only"),
        (b"\x00\x01\x02", 415, "the upload is of an unknown format (its first bytes are not shown), and the service …"),
        (b"PK\x03\x04", 415, "the upload is a zip archive (.docx, .xlsx and .hwpx files are zip archives), and the …"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(99), 422, "the upload is HEIC/HEIF, and the service reads jpg, pdf, …"),
        (JPEG[:-2], 422, "the upload is cut off: …"),
    ],
)
async def test_the_fault_of_an_unusable_picture_is_named(data: bytes, status: int, detail: str) -> None:
    """An unusable picture is a 422, anything else than a picture a 415; the detail is for people, not for Python."""
    answered = await answer_to(None, data)
    assert answered.status == status
    assert answered.json()["detail"].startswith(detail.rstrip("…"))
    assert not re.search(r"Preparation|ImageLimits|pages_in|image 'image'", answered.body.decode())


async def test_the_fault_of_a_picture_that_cannot_be_prepared_is_named() -> None:
    """With preparation, the words of its errors reach the caller as well."""
    client = client_of(FakeTransport(), prepare=Preparation())
    answered = await Upload(app_of(client), b"GIF89a" + bytes(20)).answer()
    assert answered.status == 422
    assert answered.json()["detail"] == "the upload is cut off: the end of its GIF data is missing"


async def test_a_file_of_several_pages_is_refused_by_its_pages() -> None:
    """A PDF of two pages is a 422 that names the number of its pages."""
    answered = await answer_to(None, pdf_of(2))
    assert answered.status == 422
    assert answered.json()["detail"] == "the upload has 2 pages, more than 1"


# ---------------------------------------------------------------------------------------------------------------------
# The app


async def authenticate(token: str = "") -> None:
    """Refuse all but one caller."""
    if token != "good":
        raise HTTPException(401)


async def test_authentication_comes_first() -> None:
    """A caller without credentials is refused before anything of the upload is read, and the health routes are open."""
    app = app_of(client_of(FakeTransport()), dependencies=[Depends(authenticate)])
    answered = await Upload(app, [b"x"]).answer()
    assert (answered.status, answered.chunks_read) == (401, 0)
    with TestClient(app) as caller:
        assert caller.get("/live").status_code == caller.get("/ready").status_code == 200


async def name_tenant(request: Request) -> None:
    """Put the tenant where the rest of the app finds it."""
    request.state.tenant = "a"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"context": lambda request: {"tenant": request.state.tenant}}, {"tenant": "a"}), ({}, None)],
)
async def test_hooks_see_whose_call_it_is(settings: dict[str, Any], expected: Any) -> None:
    """Each event of a call has the context that the app makes of its request, after the dependencies; else none."""
    contexts: list[Any] = []
    client = client_of(FakeTransport(), hooks=[lambda event: contexts.append(event.context)])
    app = app_of(client, dependencies=[Depends(name_tenant)], **settings)
    assert (await Upload(app, JPEG).answer()).status == 200
    assert contexts
    assert all(context == expected for context in contexts)


def test_a_client_is_opened_and_closed_with_the_app() -> None:
    """The lifespan opens one client, which handlers of your own get as a dependency, and closes it at the end."""
    transport = FakeTransport()
    app = FastAPI(lifespan=client_lifespan(lambda: client_of(transport)))
    install_error_handlers(app)
    app.include_router(ocr_router(documents=[Receipt], prefix="/v1"), prefix="/ocr")

    @app.get("/mine")
    async def mine(client: Annotated[ClovaOCRClient, Depends(get_client)]) -> str:
        recognition = await client.recognize(b"not a picture", Receipt)
        return recognition.request_id or ""

    with TestClient(app) as caller:
        assert caller.post("/ocr/v1/receipt", files={"file": JPEG}).status_code == 200
        refused = caller.get("/mine")
        assert (refused.status_code, refused.json()["title"]) == (415, "The upload is not a picture")
        assert transport.closed == 0
    assert transport.closed == 1


def test_a_lifespan_of_your_own_composes() -> None:
    """A lifespan may open the client within its own, and yield both states."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        async with client_lifespan(lambda: client_of(FakeTransport()))(app) as state:
            yield {**state, "database": "open"}

    app = FastAPI(lifespan=lifespan)
    app.include_router(ocr_router(documents=[Receipt]))
    with TestClient(app) as caller:
        assert caller.post("/receipt", files={"file": JPEG}).status_code == 200
        assert caller.app_state["database"] == "open"


def test_without_the_lifespan_the_way_out_is_named() -> None:
    """An app without a client fails with an error that names client_lifespan."""
    app = FastAPI()
    app.include_router(ocr_router(documents=[Receipt]))
    with pytest.raises(ConfigurationError, match=r"FastAPI\(lifespan=client_lifespan"):
        TestClient(app).post("/receipt", files={"file": JPEG})


def test_the_lifespan_of_a_mounted_app_is_named_as_never_run() -> None:
    """An app that is mounted with its own lifespan has no client, and the error says where the lifespan belongs."""
    inner = FastAPI(lifespan=client_lifespan(lambda: client_of(FakeTransport())))
    inner.include_router(ocr_router(documents=[Receipt]))
    outer = FastAPI()
    outer.mount("/ocr", inner)
    with TestClient(outer) as caller, pytest.raises(ConfigurationError, match="the outermost app needs it"):
        caller.post("/ocr/receipt", files={"file": JPEG})


async def make_async() -> ClovaOCRClient:
    """Return a client, in a coroutine."""
    return client_of(FakeTransport())


@pytest.mark.parametrize(
    ("made", "message"), [(client_of(FakeTransport()), "a ClovaOCRClient"), (make_async, "an async function")]
)
def test_what_makes_a_client_is_checked(made: Any, message: str) -> None:
    """A client that is made already, or an async function, is refused when the app is put together."""
    with pytest.raises(ConfigurationError, match=f"make_client is {message}; it must be a function"):
        client_lifespan(made)


def test_what_is_made_is_checked() -> None:
    """A function that returns something else is named when the app starts."""
    app = FastAPI(lifespan=client_lifespan(lambda: None))  # type: ignore[arg-type, return-value]
    with pytest.raises(ConfigurationError, match="make_client returned a NoneType"), TestClient(app):
        pass


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"documents": Receipt}, "documents is the class Receipt; it must be an iterable of document classes"),
        ({"documents": 5}, "documents is a int"),
        ({"documents": []}, "documents is empty"),
        ({"documents": ["receipt"]}, "documents holds a str; it must hold document classes, such as Receipt"),
        ({"documents": [int]}, "documents holds the class int"),
        ({"documents": [None]}, "documents holds a NoneType"),
        ({"max_bytes": 0}, "max_bytes must be a whole number from 1, not 0"),
        ({"max_bytes": 1.5}, "max_bytes must be a whole number from 1, not 1.5"),
        ({"max_bytes": True}, "max_bytes must be a whole number from 1, not True"),
        ({"max_wait": -1}, "max_wait must be a positive number, not -1"),
        ({"max_wait": math.nan}, "max_wait must be a positive number, not nan"),
        ({"max_wait": "10"}, "max_wait must be a positive number, not a str"),
        ({"context": {"tenant": "a"}}, "context is a dict; it must be a function that is given the request"),
        ({"tags": "ocr"}, "tags is a str; it must be a list"),
        ({"dependencies": Depends(get_client)}, r"dependencies is a Depends; it must be a list such as \[Depends"),
        ({"dependencies": [get_client]}, r"dependencies holds a function; it must be a list such as \[Depends"),
        ({"dependencies": "ab"}, "dependencies holds a str"),
        ({"dependencies": [None]}, "dependencies holds a NoneType"),
    ],
)
def test_the_arguments_of_the_router_are_checked(settings: dict[str, Any], message: str) -> None:
    """An argument that cannot work is named when the app is put together."""
    with pytest.raises(ConfigurationError, match=message):
        ocr_router(**{"documents": [Receipt], **settings})


# ---------------------------------------------------------------------------------------------------------------------
# Health


def held(**causes: str) -> Any:
    """Return a client with domains for two documents, of which some are on hold."""

    class Held(ClovaOCRClient):
        @property
        def on_hold(self) -> Any:
            return {one: causes[one.document.path_word] for one in self.domains if one.document.path_word in causes}  # type: ignore[union-attr]

    urls = [f"https://host.apigw.ntruss.com/custom/v1/1/{word}/document/{word}" for word in ("receipt", "passport")]
    return Held(*[domain(url) for url in urls], transport=FakeTransport())


@pytest.mark.parametrize(
    ("documents", "causes", "status"),
    [
        ([Receipt, Passport], {}, 200),
        ([Receipt], {"passport": "quota"}, 200),
        ([Receipt, Passport], {"passport": "quota"}, 503),
        ([Receipt], {"receipt": "outage"}, 503),
    ],
)
def test_ready_is_false_while_a_document_has_no_open_domain(documents: Any, causes: Any, status: int) -> None:
    """A served document whose domains are all on hold makes the service not ready; a document not served does not."""
    with TestClient(app_of(held(**causes), documents=documents)) as caller:
        ready = caller.get("/ready")
        assert (ready.status_code, caller.get("/live").status_code) == (status, 200)
        if status == 503:
            assert int(ready.headers["retry-after"]) >= 1
            assert ready.json()["detail"] == f"on hold: {', '.join(causes)}"


def test_ready_names_a_document_without_a_domain_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A served document that no domain reads is a mistake of the settings, which probes report."""
    with TestClient(app_of(held(), documents=[IdCard])) as caller:
        assert caller.get("/ready").status_code == 500
    assert "no domain of this client reads IdCard" in caplog.text


def test_live_needs_no_client() -> None:
    """The process is live whatever becomes of its client."""
    app = FastAPI()
    app.include_router(ocr_router(documents=[Receipt]))
    assert TestClient(app).get("/live").json() == {"status": "live"}


# ---------------------------------------------------------------------------------------------------------------------
# OpenAPI


def openapi(*documents: Any) -> Any:
    """Return the OpenAPI document of an app."""
    return app_of(client_of(FakeTransport()), documents=documents).openapi()


@pytest.mark.parametrize("document", DOCUMENTS.values())
def test_the_models_are_those_of_the_structs(document: Any) -> None:
    """Each component has the keys that the struct of its name encodes to, none of them required."""
    _, structs = msgspec.json.schema_components([document], ref_template="{name}")
    components = openapi(document)["components"]["schemas"]
    for name, struct in structs.items():
        model = components[f"Clova{name}"]
        assert set(model["properties"]) == set(struct["properties"])
        assert model.get("required", []) == []
        assert model["description"]
    assert set(components) == {f"Clova{name}" for name in (*structs, "Problem", f"{document.__name__}Answer")}


def test_the_openapi_document_describes_the_upload_and_its_answers() -> None:
    """A route names its form, its limit, its model and its problems; that it costs money stands in its summary."""
    schema = openapi(Receipt, IdCard)
    route = schema["paths"]["/id-card"]["post"]
    assert "costs money" in route["summary"]
    assert "10,485,760 bytes" in str(route["requestBody"]["content"]["multipart/form-data"]["schema"])
    assert set(route["responses"]) == {"200", "408", "413", "415", "422", "429", "500", "502", "503", "504"}
    assert route["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("ClovaIdCardAnswer")
    assert "Retry-After" in route["responses"]["503"]["headers"]
    assert "application/problem+json" in route["responses"]["422"]["content"]
    assert set(schema["paths"]["/ready"]["get"]["responses"]) == {"200", "500", "503"}
    names = openapi(IdCard, Receipt)["components"]["schemas"].keys()
    assert names == schema["components"]["schemas"].keys()


# ---------------------------------------------------------------------------------------------------------------------
# Handlers of your own


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (ImageError("image 'canary.jpg' is empty; check"), 422),
        (ImageError("""image "canary's; it's.jpg" is empty; check"""), 422),
        (ImageError("/srv/canary.jpg: No such file or directory"), 422),
        (RedactionError("no polygon"), 422),
        (OverloadedError("full", retry_after=2.2), 503),
        (ClovaOCRError("what else"), 500),
        (ConfigurationError("no domain of host"), 500),
    ],
)
def test_errors_of_your_own_handlers_become_problems(raised: ClovaOCRError, status: int) -> None:
    """With the handlers installed, an error that a handler of the app raises has the same form."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def mine() -> None:
        raise raised

    answered = TestClient(app).get("/")
    assert answered.status_code == status
    assert answered.headers["content-type"] == "application/problem+json"
    assert answered.headers.get("retry-after") == ("3" if status == 503 else None)
    assert answered.json()["billing"] == Billing.NOT_BILLED.name.lower()
    assert "canary" not in answered.text


def test_a_domain_that_was_given_up_is_a_503(caplog: pytest.LogCaptureFixture) -> None:
    """The error of a call whose domain was given up for all calls asks to come back later; too many to be logged."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def mine() -> None:
        given_up = ConnectionFailedError("no usable answer for 600 s")
        given_up.stops_run = True
        raise given_up

    answered = TestClient(app).get("/")
    assert (answered.status_code, answered.json()["type"][-7:]) == (503, "on-hold")
    assert "an upload was not read" not in caplog.text


@pytest.mark.parametrize("attempts", [0, 1])
def test_an_upload_that_is_refused_for_a_spent_quota_is_not_logged(
    attempts: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The calls that met a spent quota are in the log; those that are refused without a request, for days, are not."""
    refusal = QuotaExceededError(400, "0023", "the domain's quota is spent")
    refusal.attempts = attempts
    assert error_response(refusal).status_code == 503
    assert ("an upload was not read" in caplog.text) is (attempts > 0)
