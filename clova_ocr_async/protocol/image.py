"""The image of a call, one picture of one page, and the checks that refuse a bad one before it costs a call.

Pure: bytes in, facts or an ImageError out. Only a certain fault is refused. A fact that the header does not state is
unknown, and such an image is sent, with a warning. No message shows a byte of the picture.
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
from clova_ocr_async.protocol.echoed_input import quoted, shown
from clova_ocr_async.protocol.image_headers import jpeg_dimensions, pdf_dimensions, png_dimensions, tiff_dimensions
from clova_ocr_async.protocol.truncation import (
    Completeness,
    jpeg_completeness,
    pdf_completeness,
    png_completeness,
    tiff_completeness,
)
from clova_ocr_async.protocol.unsupported_formats import guess_unsupported, is_picture, unsupported_signature
from clova_ocr_async.secret import hide_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from typing_extensions import Buffer

    from clova_ocr_async.protocol.dimensions import Dimensions

__all__ = ["Image", "ImageFacts", "ImageFormat", "ImageLimits", "check_image", "check_size", "inspect_image"]


class ImageFormat(enum.StrEnum):
    """The formats that the service takes, as the request's ``images.format`` spells them.

    The service also takes the spellings jpeg and tif; the client accepts them and sends jpg and tiff.

    Source: Document OCR API specification v1.0.6 (2023-11-23), request fields.
    """

    JPG = "jpg"
    PNG = "png"
    PDF = "pdf"
    TIFF = "tiff"


_FORMATS = {format_.value: format_ for format_ in ImageFormat} | {"jpeg": ImageFormat.JPG, "tif": ImageFormat.TIFF}
# None marks the formats that the service does not take: a file with such a name that is sent is named wrongly.
_EXTENSIONS: dict[str, ImageFormat | None] = _FORMATS | dict.fromkeys(("avif", "bmp", "gif", "heic", "heif", "webp"))
_DIMENSIONS: dict[ImageFormat, Callable[[bytes], Dimensions]] = {
    ImageFormat.JPG: jpeg_dimensions,
    ImageFormat.PNG: png_dimensions,
    ImageFormat.PDF: pdf_dimensions,
    ImageFormat.TIFF: tiff_dimensions,
}
_COMPLETENESS: dict[ImageFormat, Callable[[bytes], Completeness]] = {
    ImageFormat.JPG: jpeg_completeness,
    ImageFormat.PNG: png_completeness,
    ImageFormat.PDF: pdf_completeness,
    ImageFormat.TIFF: tiff_completeness,
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
    """One picture to recognize. Images with equal data, name and format are equal; ``repr`` never shows the data.

    Examples:
        >>> image = Image(Path("receipt.jpg").read_bytes(), name="march-7.jpg")

    Args:
        data: Any bytes-like object. A ``bytes`` is kept as it is; an object that may still change is copied at once, so
            that the same bytes are hashed and sent.
        name: Sent as ``images.name`` and echoed in the answer; "image" if absent or empty.
        format: jpg, jpeg, png, pdf, tif or tiff, in any case and with or without a leading dot. If absent, the first
            bytes of the data decide, never the name.

    Raises:
        ImageError: The data is not bytes-like, is empty or of an unsupported format, the format differs from the
            data's, or the name cannot be sent.
    """

    data: bytes
    name: str
    format: ImageFormat

    @hide_arguments
    def __init__(
        self,
        data: Buffer,
        name: str | None = None,
        format: ImageFormat | str | None = None,  # noqa: A002 - the vendor's word
    ) -> None:
        checked_name = _checked_name(name)
        snapshot = _snapshot(data, checked_name)
        found = _format_of(snapshot, checked_name)
        if format is not None:
            _check_given_format(format, found, checked_name)
        object.__setattr__(self, "data", snapshot)
        object.__setattr__(self, "name", checked_name)
        object.__setattr__(self, "format", found)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={quoted(self.name)}, format={self.format.value!r}, {len(self.data)} bytes)"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The limits beyond which an image is refused, or sent with a warning. None means no limit.

    Examples:
        >>> client = ClovaOCRClient(domain, limits=ImageLimits(max_bytes=10 * 2**20, formats={"jpg", "png"}))

    Args:
        max_bytes: Size of the file in bytes. Assumed: 50 MiB, the General API's limit; the Document API documents none.
        max_pages: Pages of a PDF or TIFF. Source: Document OCR API specification v1.0.6 (2023-11-23), request fields
            ("single-page .pdf and .tiff").
        max_side: Pixels of the longer side; above it the image is sent with a warning. Assumed: 8,000 px, above which
            the General API was seen to answer with inferResult ERROR.
        formats: The allowed formats, by name; stored as a frozenset of ImageFormat. Source: the same specification
            (".jpg, .jpeg, .png, as well as single-page .pdf and .tiff").
        allow_truncated: Whether a picture without its end is sent, with a warning. A picture of which only the header
            is there is never sent. Assumed: the service reads a truncated picture in part, or not at all, and charges
            for it.

    Raises:
        ConfigurationError: A limit is not a whole number of at least 1, a format is not one of the service's, or
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
    """The facts in the header of an image.

    Attributes:
        format: The format, by the first bytes.
        size: Length of the file in bytes.
        width: Pixels as stored, before any EXIF rotation; of a TIFF, those of its first page. None for a PDF, and if
            the header is broken.
        height: As width.
        pages: Number of pages, 1 for JPEG and PNG; None if not known. Assumed: the service counts the pages of a TIFF
            as the TIFF specification does, without thumbnails (reduced versions) and masks.
    """

    format: ImageFormat
    size: int
    width: int | None = None
    height: int | None = None
    pages: int | None = None


def inspect_image(data: bytes) -> ImageFacts:
    """Read the facts in the header of an image, in time at most linear to its length, without decoding it.

    Args:
        data: The whole file.

    Returns:
        The facts; those that a broken header does not state are None.

    Raises:
        ImageError: The data is empty or of an unsupported format, which the message names.
    """
    found = _format_of(data, None)
    return ImageFacts(found, len(data), *_DIMENSIONS[found](data))


def check_size(size: int, name: str, limits: ImageLimits, *, shrunk_from: int | None = None) -> None:
    """Refuse an image by its size alone, so that a huge file need not be read.

    Args:
        size: Length of the file in bytes.
        name: The image's name, for the message.
        limits: The limits to check.
        shrunk_from: Bytes of the largest file that may be read to be shrunk; None if none is.

    Raises:
        ImageError: The image is empty or larger than ``limits.max_bytes`` and ``shrunk_from``.
    """
    if size == 0:
        raise _empty(name)
    if shrunk_from is not None:
        if size > shrunk_from:
            raise ImageError(
                f"{_subject(name)} has {size:,} bytes, and files of more than {shrunk_from:,} are not shrunk; "
                "scale it down or compress it more"
            )
        return
    if limits.max_bytes is not None and size > limits.max_bytes:
        raise ImageError(
            f"{_subject(name)} has {size:,} bytes, more than ImageLimits.max_bytes, {limits.max_bytes:,}; "
            "scale it down or compress it more"
        )


def check_image(
    image: Image,
    limits: ImageLimits,
    *,
    pages: int | Callable[[bytes], int | None] | None = None,
    converted: bool = False,
) -> tuple[ImageFacts, tuple[str, ...]]:
    """Refuse an image that the service would reject or waste.

    Args:
        image: The image.
        limits: The limits to check.
        pages: The exact number of pages, if the caller can open the file; or a function that counts the pages of a PDF
            whose header does not state them; None to rely on the header.
        converted: Whether the image was made of a file of another format, whose name it has.

    Returns:
        The facts in the header, and a warning for each possible problem: a missing end, a side longer than
        ``limits.max_side`` pixels, an unknown number of pages, a name with the extension of another format.

    Raises:
        ImageError: The image is larger than allowed, of a format that is not allowed, truncated, or has no page or more
            than allowed. The error is ``truncated`` if the rest of the file may still be on its way.
    """
    check_size(len(image.data), image.name, limits)
    if image.format not in limits.formats:
        allowed = _listed(limits.formats)
        raise ImageError(f"{_subject(image.name)} is {image.format}, and ImageLimits.formats allows {allowed} only")
    # Before the pages: a truncated file may have lost some, and its missing end is the fault to name.
    truncated = _check_completeness(image, limits)
    facts = ImageFacts(image.format, len(image.data), *_DIMENSIONS[image.format](image.data))
    # A counter has to parse the whole file, so it is asked only where the header does not have the number.
    if callable(pages):
        pages = pages(image.data) if image.format is ImageFormat.PDF and facts.pages is None else None
    if pages is not None:
        facts = msgspec.structs.replace(facts, pages=pages)
    _check_pages(facts.pages, image.name, limits.max_pages)
    warnings = [*truncated, *_warnings("" if converted else image.name, facts, limits)]
    return facts, tuple([f"{_subject(image.name)} {warning}" for warning in warnings])


def _check_completeness(image: Image, limits: ImageLimits) -> list[str]:
    """Refuse a truncated picture, or return a warning for it."""
    completeness = _COMPLETENESS[image.format](image.data)
    if completeness is Completeness.COMPLETE:
        return []
    if completeness is Completeness.HEADER_ONLY:
        problem = f"is cut off: it has the header of a {image.format} and nothing of its picture; get the whole file"
        raise ImageError(f"{_subject(image.name)} {problem}", truncated=True)
    problem = f"is cut off: the end of its {image.format} data is missing"
    if limits.allow_truncated:
        return [f"{problem}; the service may read it in part, or not at all"]
    raise ImageError(
        f"{_subject(image.name)} {problem}; get the whole file, or send it as it is with ImageLimits.allow_truncated",
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
            "split it into files of one page each, or read its pages with pages_in"
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


def _subject(name: str | None) -> str:
    """Return the image as messages name it; only called for a message, as it takes longer than the checks."""
    return "the image" if name is None else f"image {quoted(name)}"


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _empty(name: str | None) -> ImageError:
    problem = "is empty (0 bytes); check that the file was written to its end"
    return ImageError(f"{_subject(name)} {problem}", truncated=True)


def _checked_name(name: object) -> str:
    if name is None or name == "":
        return "image"  # the specification demands a name
    if not isinstance(name, str):
        raise ImageError(f"the name of an image must be a str, not {type(name).__name__}")
    try:
        name.encode()
    except UnicodeEncodeError:
        # os.fsdecode returns such names for files whose names are not UTF-8; JSON cannot hold them.
        raise ImageError(
            f"the name {quoted(name)} contains lone surrogates and cannot be sent; "
            "replace them, as name.encode(errors='replace').decode() does"
        ) from None
    return name


def _snapshot(data: object, name: str) -> bytes:
    if type(data) is bytes:
        return data
    try:
        return memoryview(data).tobytes()  # type: ignore[arg-type]
    except (TypeError, ValueError, NotImplementedError):
        kind = type(data).__name__
        raise ImageError(
            f"{_subject(name)}: the data must be bytes-like, not {kind}; read the file and pass its bytes"
        ) from None


def _check_given_format(given: object, found: ImageFormat, name: str) -> None:
    wanted = _format_named(given)
    if wanted is found:
        return
    subject = _subject(name)
    if wanted is None:
        # A long text may be the data in the wrong place, so it is not shown.
        named = quoted(given) if isinstance(given, str) and len(given) <= 20 else type(given).__name__  # noqa: PLR2004
        raise ImageError(f"{subject}: the format must be one of {_listed(_FORMATS)}, not {named}; or leave it out")
    raise ImageError(f"{subject}: the format given is {shown(given)}, but the data is {found}; leave the format out")


def _checked_formats(value: object) -> frozenset[ImageFormat]:
    given: object = value  # isinstance below would narrow it
    names: list[object] = list(cast("Iterable[object]", value)) if isinstance(value, Iterable) else []
    formats = [format_ for format_ in map(_format_named, names) if format_ is not None]
    if not formats or len(formats) < len(names):
        raise ConfigurationError(f"ImageLimits.formats must be some of {_listed(_DIMENSIONS)}, not {shown(given)}")
    return frozenset(formats)


def _format_named(name: object) -> ImageFormat | None:
    return _FORMATS.get(name.removeprefix(".").lower()) if isinstance(name, str) else None


def _format_of(data: bytes, name: str | None) -> ImageFormat:
    if not data:
        raise _empty(name)
    for found, magics in _MAGIC:
        if data.startswith(magics):
            return found
    # Before the late header: an archive may have a PDF, and so such a header, among its first 1,024 bytes.
    unsupported = unsupported_signature(data)
    if unsupported is None and _LATE_PDF.search(data, 0, 1024):
        return ImageFormat.PDF
    # A single byte may begin many formats.
    if any(magic.startswith(data) for _, magics in _MAGIC for magic in magics) and len(data) > 1:
        raise ImageError(f"{_subject(name)} is cut off after {len(data)} bytes; get the whole file", truncated=True)
    kind, advice = unsupported or guess_unsupported(data)
    raise ImageError(
        f"{_subject(name)} is {kind}, and the service reads {_listed(_DIMENSIONS)} only; {advice}",
        not_a_picture=not is_picture(kind, advice),
    )
