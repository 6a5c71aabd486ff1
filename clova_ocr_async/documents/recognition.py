"""The result of a call: the document, and the other parts of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from clova_ocr_async.documents.base import Document, Shape, absent, safe_repr
from clova_ocr_async.documents.envelope import Answer, ConvertedImageInfo, ValidationResult
from clova_ocr_async.documents.lenient import Problem, unknown_paths
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.documents.untyped import is_array, is_object, untyped

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ConvertedImageInfo", "DocumentT", "Problem", "Recognition", "ValidationResult"]

_DOCUMENTED = frozenset({"SUCCESS", "FAILURE", "ERROR"})

DocumentT = TypeVar("DocumentT", bound=Document)


class Recognition(msgspec.Struct, Generic[DocumentT], frozen=True, kw_only=True):
    """An answer, typed and complete.

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

    def __repr__(self) -> str:
        return f"Recognition({', '.join(f'{name}={shape!r}' for name, shape in self.__rich_repr__())})"

    def __rich_repr__(self) -> Iterator[tuple[str, Shape]]:  # type: ignore[override]  # rich allows pairs; a struct's own prints values
        for name in self.__struct_fields__:
            value = getattr(self, name)
            # These are not personal, and useful in a log.
            plain = name in {"attempts", "maybe_billed", "picture"} or (isinstance(value, str) and value in _DOCUMENTED)
            yield name, Shape(repr(value) if plain else safe_repr(value))
