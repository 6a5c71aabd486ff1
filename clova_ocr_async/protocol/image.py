"""What is sent: one picture of one page; and what is wrong with a bad one, told before it costs a call.

Pure: bytes in, facts or an ImageError out. Only what is certainly wrong is refused; what a header does not tell is
unknown, and the unknown is sent, with a warning. No message ever shows a byte of the picture.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from clova_ocr_async.arguments import require_whole_number
from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.protocol.echo import quoted, shown
from clova_ocr_async.protocol.foreign import foreign_guess, foreign_signature
from clova_ocr_async.protocol.image_ends import Ending, jpeg_ending, pdf_ending, png_ending, tiff_ending
from clova_ocr_async.protocol.image_headers import jpeg_layout, pdf_layout, png_layout, tiff_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from typing_extensions import Buffer

    from clova_ocr_async.protocol.layout import Layout

__all__ = ["Image", "ImageFacts", "ImageFormat", "ImageLimits", "check_image", "check_size", "inspect_image"]


class ImageFormat(enum.StrEnum):
    """The formats the service takes, as they are written into the request's ``images.format``.

    The service also takes the spellings jpeg and tif; they are read here and sent as jpg and tiff.

    Source: Document OCR API specification v1.0.6 (2023-11-23), request fields.
    """

    JPG = "jpg"
    PNG = "png"
    PDF = "pdf"
    TIFF = "tiff"


_FORMATS = {format_.value: format_ for format_ in ImageFormat} | {"jpeg": ImageFormat.JPG, "tif": ImageFormat.TIFF}
_EXTENSIONS: dict[str, ImageFormat | None] = _FORMATS | dict.fromkeys(("avif", "bmp", "gif", "heic", "heif", "webp"))
_LAYOUTS: dict[ImageFormat, Callable[[bytes], Layout]] = {
    ImageFormat.JPG: jpeg_layout,
    ImageFormat.PNG: png_layout,
    ImageFormat.PDF: pdf_layout,
    ImageFormat.TIFF: tiff_layout,
}
_ENDINGS: dict[ImageFormat, Callable[[bytes], Ending]] = {
    ImageFormat.JPG: jpeg_ending,
    ImageFormat.PNG: png_ending,
    ImageFormat.PDF: pdf_ending,
    ImageFormat.TIFF: tiff_ending,
}
_MAGIC = (
    (ImageFormat.JPG, (b"\xff\xd8\xff",)),
    (ImageFormat.PNG, (b"\x89PNG\r\n\x1a\n",)),
    (ImageFormat.PDF, (b"%PDF-",)),
    (ImageFormat.TIFF, (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")),  # the last two: BigTIFF
)
_LATE_PDF = re.compile(rb"%PDF-\d\.\d")  # readers accept the header anywhere in the first 1,024 bytes


@dataclasses.dataclass(frozen=True, slots=True, init=False, repr=False)
class Image:
    """One picture to recognize. Equal where data, name and format are; ``repr`` shows the length, never the data.

    Args:
        data: Anything bytes-like. A ``bytes`` is kept as it is; anything that could still change is copied now, so
            that the bytes sent are the bytes hashed.
        name: Sent as ``images.name`` and echoed in the answer; "image" if absent or empty.
        format: jpg, jpeg, png, pdf, tif or tiff, in any case and with or without a leading dot. Follows from the first
            bytes of the data if absent, never from the name.

    Raises:
        ImageError: The data is not bytes-like, empty or of none of the formats, the format is another than the data's,
            or the name cannot be sent.
    """

    data: bytes
    name: str
    format: ImageFormat

    def __init__(
        self,
        data: Buffer,
        name: str | None = None,
        format: ImageFormat | str | None = None,  # noqa: A002 - the vendor's word
    ) -> None:
        checked_name = _checked_name(name)
        subject = _subject(checked_name)
        snapshot = _snapshot(data, subject)
        found = _format_of(snapshot, subject)
        if format is not None:
            _check_given_format(format, found, subject)
        object.__setattr__(self, "data", snapshot)
        object.__setattr__(self, "name", checked_name)
        object.__setattr__(self, "format", found)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={quoted(self.name)}, format={self.format.value!r}, {len(self.data)} bytes)"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """What is refused or warned of before it is sent. None means no limit.

    Args:
        max_bytes: Size of the file in bytes. Assumed: 50 MiB, the General API's limit; none is documented for Document.
        max_pages: Pages of a PDF or TIFF. Source: Document OCR API specification v1.0.6 (2023-11-23), request fields
            ("single-page .pdf and .tiff").
        max_side: Pixels of the longer side; above it the image is sent with a warning. Assumed: 8,000 px, above which
            the General API was seen to answer with inferResult ERROR.
        formats: The formats sent, by name; always a frozenset of ImageFormat once set. Source: the same specification
            (".jpg, .jpeg, .png, as well as single-page .pdf and .tiff").
        allow_truncated: Whether a picture is sent, with a warning, although its end is missing; one of which only the
            header has come is never sent. Assumed: the service reads such a picture in part, or not at all, and
            charges for it.

    Raises:
        ConfigurationError: A limit is not a whole number of at least 1, a format is none of the service's, or
            ``allow_truncated`` is neither True nor False.
    """

    max_bytes: int | None = 50 * 1024 * 1024
    max_pages: int | None = 1
    max_side: int | None = 8000
    formats: Collection[str] = frozenset(ImageFormat)
    allow_truncated: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.allow_truncated, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers are not all typed
            raise ConfigurationError(
                f"ImageLimits.allow_truncated must be True or False, not {shown(self.allow_truncated)}"
            )
        for field in ("max_bytes", "max_pages", "max_side"):
            if (limit := getattr(self, field)) is not None:
                require_whole_number(f"ImageLimits.{field}", limit, advice="for no limit, use None")
        object.__setattr__(self, "formats", _checked_formats(self.formats))


class ImageFacts(msgspec.Struct, frozen=True):
    """What the header of an image tells.

    Attributes:
        format: By the first bytes.
        size: Length of the file in bytes.
        width: Pixels as stored, before any EXIF rotation; of a TIFF, those of its first page. None for a PDF and where
            the header is broken.
        height: As width.
        pages: 1 for JPEG and PNG; None where it is not known. Assumed: the service counts the pages of a TIFF as its
            specification means them, without thumbnails (reduced versions) and masks.
    """

    format: ImageFormat
    size: int
    width: int | None = None
    height: int | None = None
    pages: int | None = None


def inspect_image(data: bytes) -> ImageFacts:
    """Read what the header of an image tells, in time at most linear to its length, without decoding it.

    Args:
        data: The whole file.

    Returns:
        The facts; what a broken header does not tell is None.

    Raises:
        ImageError: The data is empty or of none of the service's formats; the message names what it is.
    """
    found = _format_of(data, "the image")
    return ImageFacts(found, len(data), *_LAYOUTS[found](data))


def check_size(size: int, name: str, limits: ImageLimits) -> None:
    """Refuse an image by its size alone, so that a huge file need not be read.

    Args:
        size: Length of the file in bytes.
        name: Named in the message.
        limits: The limits to hold it against.

    Raises:
        ImageError: It is empty or larger than ``limits.max_bytes``.
    """
    if size == 0:
        raise _empty(_subject(name))
    if limits.max_bytes is not None and size > limits.max_bytes:
        raise ImageError(
            f"{_subject(name)} has {size:,} bytes, more than ImageLimits.max_bytes, {limits.max_bytes:,}; "
            "scale it down or compress it more"
        )


def check_image(
    image: Image, limits: ImageLimits, *, pages: int | Callable[[bytes], int | None] | None = None
) -> tuple[ImageFacts, tuple[str, ...]]:
    """Refuse an image that the service would reject or waste.

    Args:
        image: The image.
        limits: The limits to hold it against.
        pages: The exact number of pages, from a caller who can open the file, or a function that counts those of a PDF
            whose header does not tell; None to go by the header.

    Returns:
        What the header tells, and a warning for each thing that may go wrong: an end that is missing, a side longer
        than ``limits.max_side`` pixels, a number of pages that is not known, a name whose extension is of another
        format.

    Raises:
        ImageError: The image is larger than allowed, of a format not allowed, cut off, or has no page or more than
            allowed. It is ``truncated`` where the rest of the file may still come.
    """
    check_size(len(image.data), image.name, limits)
    if image.format not in limits.formats:
        allowed = _listed(limits.formats)
        raise ImageError(f"{_subject(image.name)} is {image.format}, and ImageLimits.formats allows {allowed} only")
    cut = _check_ending(image, limits)
    facts = ImageFacts(image.format, len(image.data), *_LAYOUTS[image.format](image.data))
    if callable(pages):
        pages = pages(image.data) if image.format is ImageFormat.PDF and facts.pages is None else None
    if pages is not None:
        facts = msgspec.structs.replace(facts, pages=pages)
    _check_pages(facts.pages, image.name, limits.max_pages)
    warnings = [*cut, *_warnings(image.name, facts, limits)]
    return facts, tuple([f"{_subject(image.name)} {warning}" for warning in warnings])


def _check_ending(image: Image, limits: ImageLimits) -> list[str]:
    """Refuse a picture whose end is missing, or return a warning."""
    ending = _ENDINGS[image.format](image.data)
    if ending is Ending.WHOLE:
        return []
    if ending is Ending.HEADER:
        what = f"is cut off: it has the header of a {image.format} and nothing of its picture; get the whole file"
        raise ImageError(f"{_subject(image.name)} {what}", truncated=True)
    what = f"is cut off: the end of its {image.format} data is missing"
    if limits.allow_truncated:
        return [f"{what}; the service may read it in part, or not at all"]
    raise ImageError(
        f"{_subject(image.name)} {what}; get the whole file, or send it as it is with ImageLimits.allow_truncated",
        truncated=True,
    )


def _check_pages(pages: int | None, name: str, max_pages: int | None) -> None:
    if pages is None:
        return
    if pages < 1:
        raise ImageError(f"{_subject(name)} has no page; check that the file was written to its end")
    if max_pages is not None and pages > max_pages:
        raise ImageError(
            f"{_subject(name)} has {pages:,} pages, more than ImageLimits.max_pages, {max_pages:,}; "
            "split it into files of one page each"
        )


def _warnings(name: str, facts: ImageFacts, limits: ImageLimits) -> list[str]:
    warnings: list[str] = []
    side = max(facts.width or 0, facts.height or 0)
    if limits.max_side is not None and side > limits.max_side:
        warnings.append(
            f"has a side of {side:,} pixels, more than ImageLimits.max_side, {limits.max_side:,}; "
            "the service may read nothing, scale it down"
        )
    if limits.max_pages is not None and facts.pages is None:
        warnings.append(
            f"is a {facts.format} whose pages could not be counted; the service reads files of one page only"
        )
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    if _EXTENSIONS.get(extension, facts.format) != facts.format:
        warnings.append(f"is named .{extension} but is {facts.format}; it is sent as {facts.format}")
    return warnings


def _subject(name: str) -> str:
    return f"image {quoted(name)}"


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _empty(subject: str) -> ImageError:
    return ImageError(f"{subject} is empty (0 bytes); check that the file was written to its end", truncated=True)


def _checked_name(name: object) -> str:
    if name is None or name == "":
        return "image"
    if not isinstance(name, str):
        raise ImageError(f"the name of an image must be a str, not {type(name).__name__}")
    try:
        name.encode()
    except UnicodeEncodeError:
        # Names of files that are not UTF-8 come like this from os.fsdecode, and JSON cannot hold them.
        raise ImageError(
            f"the name {quoted(name)} holds lone surrogates and cannot be sent; "
            "replace them, as name.encode(errors='replace').decode() does"
        ) from None
    return name


def _snapshot(data: object, subject: str) -> bytes:
    if type(data) is bytes:
        return data
    try:
        return memoryview(data).tobytes()  # type: ignore[arg-type]
    except (TypeError, ValueError, NotImplementedError):
        raise ImageError(
            f"{subject}: the data must be bytes-like, not {type(data).__name__}; read the file and pass its bytes"
        ) from None


def _check_given_format(given: object, found: ImageFormat, subject: str) -> None:
    wanted = _format_named(given)
    if wanted is None:
        # Not shown where it could be the data, given in the wrong place.
        named = quoted(given) if isinstance(given, str) and len(given) <= 20 else type(given).__name__  # noqa: PLR2004
        raise ImageError(f"{subject}: the format must be one of {_listed(_FORMATS)}, not {named}; or leave it out")
    if wanted is not found:
        raise ImageError(
            f"{subject}: the format given is {shown(given)}, but the data is {found}; leave the format out"
        )


def _checked_formats(value: object) -> frozenset[ImageFormat]:
    given: object = value  # not narrowed below
    names: list[object] = list(cast("Iterable[object]", value)) if isinstance(value, Iterable) else []
    formats = [format_ for format_ in map(_format_named, names) if format_ is not None]
    if not formats or len(formats) < len(names):
        raise ConfigurationError(f"ImageLimits.formats must be some of {_listed(_LAYOUTS)}, not {shown(given)}")
    return frozenset(formats)


def _format_named(name: object) -> ImageFormat | None:
    return _FORMATS.get(name.removeprefix(".").lower()) if isinstance(name, str) else None


def _format_of(data: bytes, subject: str) -> ImageFormat:
    if not data:
        raise _empty(subject)
    for found, magics in _MAGIC:
        if data.startswith(magics):
            return found
    foreign = foreign_signature(data)
    if foreign is None and _LATE_PDF.search(data, 0, 1024):
        return ImageFormat.PDF
    if any(magic.startswith(data) for _, magics in _MAGIC for magic in magics) and len(data) > 1:
        raise ImageError(f"{subject} is cut off after {len(data)} bytes; get the whole file", truncated=True)
    kind, advice = foreign or foreign_guess(data)
    raise ImageError(f"{subject} is {kind}, and the service reads {_listed(_LAYOUTS)} only; {advice}")
