"""The result of a call: the document, and the other parts of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

import msgspec

from clova_ocr_async.documents.base import Document, Shape, absent, safe_repr
from clova_ocr_async.documents.envelope import Answer, ConvertedImageInfo, ImageAnswer, ValidationResult
from clova_ocr_async.documents.fields import fields_of, tree_lines
from clova_ocr_async.documents.lenient import Problem, read_leniently, unknown_paths
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.documents.untyped import is_array, is_object, untyped

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from clova_ocr_async.documents.fields import ReadField

__all__ = ["ConvertedImageInfo", "DocumentT", "Problem", "Recognition", "ValidationResult"]

_DOCUMENTED = frozenset({"SUCCESS", "FAILURE", "ERROR"})
# Ids, counts and times are not personal, and useful in a log.
_SHOWN = frozenset({"picture", "uid", "request_id", "timestamp", "attempts", "maybe_billed", "elapsed"})
_LONGEST_ID = 64  # characters; a longer one is not an id

DocumentT = TypeVar("DocumentT", bound=Document)
WantedT = TypeVar("WantedT", bound=Document)


class Recognition(msgspec.Struct, Generic[DocumentT], frozen=True, kw_only=True):
    """An answer, typed and complete.

    Examples:
        >>> recognition = await client.recognize("receipt.jpg", Receipt)
        >>> total = recognition.document.result.total_price.price.decimal
        >>> paths = [field.path for field in recognition.fields()]

    Attributes:
        document: The document.
        uid: The service's id of the answer.
        name: The image's name, as the service echoed it.
        infer_result: "SUCCESS"; None if the answer has none. (FAILURE and ERROR raise a RecognitionError.)
        message: The service's message.
        validation_result: The outcome of a validation, if there was one.
        converted_image_info: For PDF and TIFF, the picture that the polygons refer to.
        request_id: The requestId that the service echoed.
        timestamp: The timestamp that the service echoed, in Unix milliseconds.
        attempts: Number of requests sent for this answer, refused ones included.
        maybe_billed: Number of those, besides the answered one, that may have been billed.
        elapsed: Seconds from the start of the call to the answer, waiting included.
        raw: The exact body.
        problems: Fields of an unexpected shape.
        picture: The picture that was sent, and the way back from its polygons to the original.
    """

    document: DocumentT
    uid: str | None = None
    name: str | None = None
    infer_result: str | None = None
    message: str | None = None
    validation_result: ValidationResult = absent(ValidationResult)
    converted_image_info: ConvertedImageInfo = absent(ConvertedImageInfo)
    request_id: str | None = None
    timestamp: int | None = None
    attempts: int = 1
    maybe_billed: int = 0
    elapsed: float = 0.0
    raw: bytes = b""
    problems: tuple[Problem, ...] = ()
    picture: Picture = Picture()

    def unknown_fields(self) -> Iterator[str]:
        """Yield the paths of keys in the answer that no struct has, such as fields that the vendor has added."""
        return unknown_paths(Answer, untyped(self.raw))

    def to_dict(self) -> dict[str, Any]:
        """Return the answer's image object unchanged, with unknown keys, as plain values."""
        # Decoded at each call: plain values that are kept would cost memory for every answer, and few need them.
        images = untyped(self.raw)["images"]
        return next(image for image in (images if is_array(images) else [images]) if is_object(image))

    def fields(self) -> list[ReadField]:
        """Return every value that was read as ``(path, value, text, confidence, polygons)``, in reading order.

        Reading order is line by line, each from left to right. Values without a polygon, as all of a passport are,
        come last.
        """
        return fields_of(self.document)

    def show(self) -> None:
        """Print the document as an indented tree of names, values and confidences.

        It prints personal values, for people who look at one answer; ``print(recognition)`` prints none.
        """
        print("\n".join(tree_lines(type(self.document).__name__, self.document)))  # noqa: T201 - its purpose

    @overload
    @classmethod
    def from_dict(cls, value: Mapping[str, Any], document: type[WantedT]) -> Recognition[WantedT]: ...

    @overload
    @classmethod
    def from_dict(cls, value: Mapping[str, Any], document: None = None) -> Recognition[Any]: ...

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], document: type[Document] | None = None) -> Recognition[Any]:
        """Return a recognition from plain values, as for a test, or from a record that was read back.

        Args:
            value: The image object that ``to_dict`` returns; a record with such an object under ``result``, as the
                command line writes it; or a whole answer, with ``images``.
            document: The document's class; if not given, that of the document in ``value``.

        Raises:
            TypeError: ``value`` is not a mapping.
            ValueError: It holds no document, or not the one that is asked for.
        """
        answer = _as_answer(value)
        raw = msgspec.json.encode(answer)  # ``to_dict`` and ``unknown_fields`` read the bytes
        typed, problems = _typed(answer, raw)
        image = next((image for image in typed.images if image is not None), absent(ImageAnswer))
        attempts, maybe_billed = (value.get(name) for name in ("attempts", "maybe_billed"))
        return Recognition(
            document=_document_in(image, document),
            uid=image.uid,
            name=image.name,
            infer_result=image.infer_result,
            message=image.message,
            validation_result=image.validation_result,
            converted_image_info=image.converted_image_info,
            request_id=typed.request_id,
            timestamp=typed.timestamp,
            attempts=attempts if isinstance(attempts, int) else 1,
            maybe_billed=maybe_billed if isinstance(maybe_billed, int) else 0,
            raw=raw,
            problems=problems,
            picture=_picture_of(value),
        )

    def __repr__(self) -> str:
        return f"Recognition({', '.join(f'{name}={shape!r}' for name, shape in self.__rich_repr__())})"

    def __rich_repr__(self) -> Iterator[tuple[str, Shape]]:  # type: ignore[override]  # rich allows pairs; a struct's own prints values
        for name in self.__struct_fields__:
            value = getattr(self, name)
            yield name, Shape(repr(value) if _is_plain(name, value) else safe_repr(value))


def _is_plain(name: str, value: object) -> bool:
    """Return whether a value is shown as it is."""
    if isinstance(value, str):
        # An id has a certain form: another text under its name may be anything.
        return value in _DOCUMENTED or (name in _SHOWN and len(value) <= _LONGEST_ID and _is_id(value))
    return name in _SHOWN or value is None


def _is_id(text: str) -> bool:
    """Return whether a text is like a UUID: hexadecimal digits and hyphens."""
    return not set(text.lower()) - set("0123456789abcdef-")


def _picture_of(record: Mapping[str, Any]) -> Picture:
    """Return what a record holds of the picture: the page and the steps, and no size."""
    page, steps = record.get("page"), record.get("prepared")
    return Picture(
        page=page if isinstance(page, int) and page > 0 else None,
        steps=tuple(map(str, cast("list[object]", steps))) if is_array(steps) else (),
    )


def _typed(answer: dict[str, Any], raw: bytes) -> tuple[Answer, tuple[Problem, ...]]:
    """Return the typed answer of plain values, and of their bytes."""
    try:
        return _DECODER.decode(raw), ()
    except (msgspec.DecodeError, RecursionError):  # rare, and several times slower
        return read_leniently(Answer, answer)


_DECODER = msgspec.json.Decoder(Answer)


def _as_answer(value: object) -> dict[str, Any]:
    """Return plain values as a whole answer."""
    if not hasattr(value, "keys"):
        raise TypeError(f"the value is a {type(value).__name__}; it must be a mapping, as Recognition.to_dict returns")
    found = dict(cast("Mapping[str, Any]", value))
    if "images" in found:
        return found
    record = found if is_object(found.get("result")) else {}
    return {
        "requestId": record.get("request_id"),
        "images": [record.get("result", found)],
    }


def _document_in(image: ImageAnswer, wanted: type[Document] | None) -> Document:
    """Return the document of an image's answer."""
    present = [
        value
        for name in image.__struct_fields__
        if isinstance(value := getattr(image, name), Document) and value is not absent(type(value))
    ]
    for document in present:
        if wanted is None or type(document) is wanted:
            return document
    found = ", ".join(type(document).__name__ for document in present) or "no document"
    why = "" if wanted is None else f", not a {wanted.__name__}"
    # As the records of images that were not read, which stand beside the others in an export.
    advice = "; a record whose status is not succeeded has none" if not present else ""
    raise ValueError(f"the value holds {found}{why}{advice}")
