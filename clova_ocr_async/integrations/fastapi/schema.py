"""The models of the OpenAPI document, made from the structs of the documents.

FastAPI names a component after a type of its own kinds only. So each struct becomes a TypedDict with the vendor's keys.
The names begin with ``Clova``: an app may have a model named ``Receipt``, and a name must not depend on that.
"""

from __future__ import annotations

import functools
import types
from typing import TYPE_CHECKING, Any, NotRequired, Union, cast, get_args, get_origin

import msgspec
from typing_extensions import TypedDict

from clova_ocr_async.integrations.fastapi.problems import MEDIA_TYPE, ProblemDetails
from clova_ocr_async.integrations.fastapi.upload import FIELD

if TYPE_CHECKING:
    from clova_ocr_async import Document

__all__ = ["answer_model", "problem_answers", "upload_body"]


@functools.cache
def model_of(struct: type[msgspec.Struct]) -> Any:
    """Return the TypedDict of a struct: every key is optional, as the vendor leaves out what was not read."""
    keys = {field.encode_name: NotRequired[_typed(field.type)] for field in msgspec.structs.fields(struct)}
    return _named(f"Clova{struct.__name__}", keys, _summary(struct))


def _typed(annotation: Any) -> Any:
    """Return an annotation with TypedDicts for structs, and lists for tuples."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return model_of(annotation)
    arguments = get_args(annotation)
    if get_origin(annotation) is tuple:
        return list[_typed(arguments[0])]  # type: ignore[misc]  # a type that is made at run time
    if get_origin(annotation) in {Union, types.UnionType}:
        return Union[tuple(map(_typed, arguments))]  # noqa: UP007 - of types that are made at run time
    return cast("Any", annotation)


def answer_model(document: type[Document], problem: type[msgspec.Struct]) -> Any:
    """Return the model of a successful answer.

    Args:
        document: The document's class.
        problem: The struct of a field with an unexpected shape.
    """
    keys: dict[str, Any] = {
        "document": model_of(document),
        "request_id": str | None,
        "uid": str | None,
        "billed": bool,
        "problems": list[model_of(problem)],  # type: ignore[misc]  # a type that is made at run time
    }
    description = f"The answer for the document {document.path_word}, and whether this request cost a call."
    return _named(f"Clova{document.__name__}Answer", keys, description)


def _named(name: str, keys: dict[str, Any], description: str) -> Any:
    model: Any = TypedDict(name, keys)  # type: ignore[misc]  # made at run time
    model.__doc__ = description
    return model


def _summary(struct: type[msgspec.Struct]) -> str:
    return (struct.__doc__ or "").partition("\n")[0]


def problem_answers(descriptions: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of problems, by status."""
    schema = msgspec.json.schema(ProblemDetails)["$defs"][ProblemDetails.__name__]
    schema["description"] = _summary(ProblemDetails)
    later = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}}
    return {
        status: {
            "description": description,
            "content": {MEDIA_TYPE: {"schema": schema}},
            **({"headers": later} if status in {429, 503} else {}),
        }
        for status, description in descriptions.items()
    }


def upload_body(max_bytes: int) -> dict[str, Any]:
    """Return the OpenAPI description of a form with one file."""
    picture = {
        "type": "string",
        "format": "binary",
        "description": f"One picture of one page: JPEG, PNG, PDF or TIFF, of at most {max_bytes:,} bytes.",
    }
    schema = {"type": "object", "properties": {FIELD: picture}, "required": [FIELD]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
