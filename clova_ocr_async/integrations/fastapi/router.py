"""The routes: ``POST /{document}`` for uploads, ``GET /live`` and ``GET /ready`` for the platform."""

from __future__ import annotations

import asyncio
import math
import sys
from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any, cast

import msgspec
from fastapi import APIRouter, Depends, Request, Response, params
from starlette.requests import ClientDisconnect

from clova_ocr_async import Billing, ClovaOCRClient, ClovaOCRError, ConfigurationError, Document, Problem
from clova_ocr_async.integrations.fastapi.lifespan import get_client
from clova_ocr_async.integrations.fastapi.problems import NOT_READY, error_response, problem_response
from clova_ocr_async.integrations.fastapi.schema import answer_model, problem_answers, upload_body
from clova_ocr_async.integrations.fastapi.shared_calls import SharedCalls
from clova_ocr_async.integrations.fastapi.shedding import LoadShedder
from clova_ocr_async.integrations.fastapi.upload import UploadError, can_drain, read_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from enum import Enum

    from clova_ocr_async import Domain, Recognition

__all__ = ["ocr_router"]

_CLIENT_GONE = 499  # never seen by a client; in the counts of a middleware it differs from an answer
_PROBLEMS = {
    408: "The upload stalled.",
    413: "The upload is too large.",
    415: "The upload is not a picture.",
    422: "The picture cannot be used, or no such document was found in it.",
    429: "Too many calls.",
    500: "The server is not set up for this; its log has the reason.",
    502: "The OCR service failed, or cannot be reached.",
    503: "Too many calls wait, the quota is spent, or the OCR service is on hold.",
    504: "The OCR service did not answer in time.",
}


class Answer(msgspec.Struct, frozen=True):
    """The body of a successful answer.

    Attributes:
        document: The document, with the vendor's keys.
        request_id: The id of the call at the service.
        uid: The service's id of the answer.
        billed: Whether this request cost a call.
        problems: Fields with an unexpected shape, which are missing in the document.
    """

    document: Document
    request_id: str | None
    uid: str | None
    billed: bool
    problems: tuple[Problem, ...]


def ocr_router(
    *,
    documents: Iterable[type[Document]],
    max_bytes: int = 10 * 2**20,
    max_wait: float = 10.0,
    join_identical: bool = True,
    context: Callable[[Request], object] | None = None,
    dependencies: Sequence[Any] = (),
    prefix: str = "",
    tags: Sequence[str | Enum] = ("ocr",),
) -> APIRouter:
    """Return routes that read uploaded pictures with the app's client, and its health.

    Each upload is a call that costs money: put an authentication dependency into ``dependencies``. It runs before
    anything of the upload is read. ``/live`` and ``/ready`` are without it, for the platform's probes.

    Args:
        documents: The classes of the documents that are read, such as ``[Receipt, IdCard]``. The route of each has its
            name on the command line: ``POST /receipt``, ``POST /id-card``.
        max_bytes: Bytes that an upload may have; a larger one is answered with 413.
        max_wait: Seconds that a call may be expected to wait for a slot; beyond it an upload is answered with 503
            before its body is read. An admitted call is answered within ``max_wait`` and the time of a call.
        join_identical: Whether uploads of the same picture for the same document, at the same moment, are one call.
        context: Returns the ``context`` of a request's call, such as the tenant that a dependency has put into
            ``request.state``: each hook event of the call has it. A call that uploads share has that of the first one.
        dependencies: FastAPI dependencies of the upload routes.
        prefix: The start of all paths, such as "/ocr".
        tags: The tags of the routes in the OpenAPI document.

    Raises:
        ConfigurationError: An argument cannot work.
    """
    served = _checked_documents(documents)
    before = _checked_dependencies(dependencies)
    if context is not None and not callable(context):  # pyright: ignore[reportUnnecessaryComparison]  # not all are typed
        raise ConfigurationError(f"context is {_named(context)}; it must be a function that is given the request")
    uploads = _Uploads(
        _checked_number("max_bytes", max_bytes, whole=True),
        _checked_number("max_wait", max_wait),
        SharedCalls(join_identical=join_identical),
        context or _no_context,
    )
    if isinstance(tags, str):
        raise ConfigurationError("tags is a str; it must be a list of tags, such as ['ocr']")
    router = APIRouter(prefix=prefix, tags=list(tags))
    for document in served:
        router.add_api_route(
            f"/{document.path_word}",
            uploads.handler(document),
            methods=["POST"],
            name=f"read_{document.answer_key}",
            summary=f"Read a {document.path_word}; each call costs money",
            response_model=answer_model(document, Problem),
            response_description="The document.",
            responses=problem_answers(_PROBLEMS),
            openapi_extra=upload_body(int(max_bytes)),
            dependencies=before,
            max_body_size=sys.maxsize,  # else the app's would count, whose refusals are no problem documents
        )
    _add_health(router, served)
    return router


class _Uploads:
    """The handlers of uploads, and their common state.

    Args:
        max_bytes: Bytes that an upload may have.
        max_wait: Seconds that a call may be expected to wait.
        calls: The calls that the requests share.
        context: Returns the context of a request's call.
    """

    def __init__(
        self, max_bytes: float, max_wait: float, calls: SharedCalls, context: Callable[[Request], object]
    ) -> None:
        self._max_bytes = int(max_bytes)
        self._calls = calls
        self._context = context
        # By the domains, since documents of the same domains wait for the same slots.
        self._shedders: dict[tuple[Domain, ...], LoadShedder] = defaultdict(lambda: LoadShedder(max_wait))

    def handler(self, document: type[Document]) -> Callable[..., Any]:
        """Return the handler of a document."""

        async def read_document(request: Request, client: Annotated[ClovaOCRClient, Depends(get_client)]) -> Response:
            try:
                return await self._read(request, client, document)
            except ClientDisconnect:
                return Response(status_code=_CLIENT_GONE)
            except UploadError as error:
                refusal = problem_response(error.problem)
            except ClovaOCRError as error:
                refusal = error_response(error)
            # A server reads and drops the rest of a body to keep the connection, however large it is.
            if not can_drain(dict(request.scope["headers"]), self._max_bytes) and request.scope[
                "http_version"
            ].startswith("1"):
                refusal.headers["Connection"] = "close"
            return refusal

        # FastAPI looks up the names of annotations in the globals of the module, where these are.
        return read_document

    async def _read(self, request: Request, client: ClovaOCRClient, document: type[Document]) -> Response:
        headers: dict[bytes, bytes] = dict(request.scope["headers"])  # a fifth of the time of request.headers
        shedder = self._shedders[client.serving(document)]
        now = asyncio.get_running_loop().time()
        with shedder.upload(client.backlog(document), now, _caller(request, headers)):
            # The picture is in no variable, which a crash reporter would print.
            call = self._calls.join(
                client,
                await read_file(headers, request, self._max_bytes),
                document,
                shedder,
                context=self._context(request),
            )
        outcome, billing = await self._calls.outcome(call, request.receive)
        if isinstance(outcome, ClovaOCRError):
            return error_response(outcome, billing)
        return _answer(outcome, billing)


def _no_context(_request: Request) -> None:
    """Return no context."""


def _caller(request: Request, headers: Mapping[bytes, bytes]) -> tuple[object, ...]:
    """Return what a caller is recognized by when it repeats an upload: pictures rarely have the same length."""
    host, _ = request.scope.get("client") or ("", 0)
    credentials = hash(headers.get(b"authorization"))  # not kept themselves
    return host, request.scope["path"], headers.get(b"content-length"), credentials


def _answer(recognition: Recognition[Any], billing: Billing) -> Response:
    answer = Answer(
        recognition.document,
        recognition.request_id,
        recognition.uid,
        billing is Billing.BILLED,
        recognition.problems,
    )
    return Response(msgspec.json.encode(answer), media_type="application/json")


def _add_health(router: APIRouter, documents: Sequence[type[Document]]) -> None:
    async def live() -> dict[str, str]:
        """Answer, independent of the client and of the service."""
        return {"status": "live"}

    async def ready(client: Annotated[ClovaOCRClient, Depends(get_client)]) -> Any:
        """Answer with 503 while all domains of a document are on hold, and with 500 if it has none."""
        held = client.on_hold
        try:
            closed = [one.path_word for one in documents if all(domain in held for domain in client.serving(one))]
        except ConfigurationError as error:
            return error_response(error)
        if closed:
            problem = msgspec.structs.replace(NOT_READY, detail=f"on hold: {', '.join(closed)}", retryable=True)
            return problem_response(problem)
        return {"status": "ready"}

    router.add_api_route("/live", live, methods=["GET"], name="ocr_live", summary="Liveness")
    responses = problem_answers({500: _PROBLEMS[500], 503: "No domain of a document can be called now."})
    router.add_api_route(
        "/ready",
        ready,
        methods=["GET"],
        name="ocr_ready",
        summary="Readiness",
        response_model=None,
        responses=responses,
    )


def _checked_documents(documents: object) -> tuple[type[Document], ...]:
    if isinstance(documents, type) or not hasattr(documents, "__iter__"):
        raise ConfigurationError(
            f"documents is {_named(documents)}; it must be an iterable of document classes, such as [Receipt]"
        )
    served = tuple(dict.fromkeys(cast("Iterable[object]", documents)))
    if not served:
        raise ConfigurationError("documents is empty; give the classes of the documents that are read")
    if others := [document for document in served if not _is_document(document)]:
        raise ConfigurationError(f"documents holds {_named(others[0])}; it must hold document classes, such as Receipt")
    return cast("tuple[type[Document], ...]", served)


def _checked_dependencies(dependencies: object) -> list[Any]:
    way = "it must be a list such as [Depends(authenticate)]"
    if not hasattr(dependencies, "__iter__"):
        raise ConfigurationError(f"dependencies is {_named(dependencies)}; {way}")
    given = list(cast("Iterable[object]", dependencies))
    if others := [one for one in given if not isinstance(one, params.Depends)]:
        raise ConfigurationError(f"dependencies holds {_named(others[0])}; {way}")
    return given


def _is_document(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Document) and value is not Document


def _named(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _checked_number(name: str, value: object, *, whole: bool = False) -> float:
    kind = "a whole number from 1" if whole else "a positive number"
    fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not fits or math.isnan(number := cast("float", value)) or number <= 0:
        shown = f"{value}" if isinstance(value, int | float) else f"a {type(value).__name__}"
        raise ConfigurationError(f"{name} must be {kind}, not {shown}")
    return number
