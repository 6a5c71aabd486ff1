"""What is sent: one picture of one page; and what is wrong with a bad one, told before it costs a call.

Pure: bytes in, facts or an ImageError out. Only what is certainly wrong is refused; what a header does not tell is
unknown, and the unknown is sent, with a warning. No message ever shows a byte of the picture.
"""

from __future__ import annotations

import codecs
import dataclasses
import enum
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from clova_ocr_async.errors import ConfigurationError, ImageError
from clova_ocr_async.protocol.image_headers import jpeg_layout, pdf_layout, png_layout, tiff_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from typing_extensions import Buffer

    from clova_ocr_async.protocol.image_headers import Layout

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
        return f"{type(self).__name__}(name={self.name!r}, format={self.format.value!r}, {len(self.data)} bytes)"


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

    Raises:
        ConfigurationError: A limit is not a whole number of at least 1, or a format is none of the service's.
    """

    max_bytes: int | None = 50 * 1024 * 1024
    max_pages: int | None = 1
    max_side: int | None = 8000
    formats: Collection[str] = frozenset(ImageFormat)

    def __post_init__(self) -> None:
        for field in ("max_bytes", "max_pages", "max_side"):
            _check_limit(field, getattr(self, field))
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


def check_image(image: Image, limits: ImageLimits, *, pages: int | None = None) -> tuple[ImageFacts, tuple[str, ...]]:
    """Refuse an image that the service would reject or waste.

    Args:
        image: The image.
        limits: The limits to hold it against.
        pages: The exact number of pages, from a caller who can open the file; None to go by its header.

    Returns:
        What the header tells, and a warning for each thing that may go wrong: a side longer than ``limits.max_side``
        pixels, a number of pages that is not known, a name whose extension is of another format.

    Raises:
        ImageError: The image is larger than allowed, of a format not allowed, or has no page or more than allowed.
    """
    check_size(len(image.data), image.name, limits)
    if image.format not in limits.formats:
        allowed = _listed(limits.formats)
        raise ImageError(f"{_subject(image.name)} is {image.format}, and ImageLimits.formats allows {allowed} only")
    facts = ImageFacts(image.format, len(image.data), *_LAYOUTS[image.format](image.data))
    if pages is not None:
        facts = msgspec.structs.replace(facts, pages=pages)
    _check_pages(facts.pages, image.name, limits.max_pages)
    return facts, tuple([f"{_subject(image.name)} {warning}" for warning in _warnings(image.name, facts, limits)])


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
    return f"image {name!r}"


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def _empty(subject: str) -> ImageError:
    return ImageError(f"{subject} is empty (0 bytes); check that the file was written to its end")


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
            f"the name {name!r} holds lone surrogates and cannot be sent; "
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
        shown = repr(given) if isinstance(given, str) and len(given) <= 20 else type(given).__name__  # noqa: PLR2004
        raise ImageError(f"{subject}: the format must be one of {_listed(_FORMATS)}, not {shown}; or leave it out")
    if wanted is not found:
        raise ImageError(f"{subject}: the format given is {given!r}, but the data is {found}; leave the format out")


def _check_limit(field: str, value: object) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ConfigurationError(
            f"ImageLimits.{field} must be a whole number of at least 1, or None for no limit, not {value!r}"
        )


def _checked_formats(value: object) -> frozenset[ImageFormat]:
    names: list[object] = list(cast("Iterable[object]", value)) if isinstance(value, Iterable) else []
    formats = [format_ for format_ in map(_format_named, names) if format_ is not None]
    if not formats or len(formats) < len(names):
        raise ConfigurationError(f"ImageLimits.formats must be some of {_listed(_LAYOUTS)}, not {value!r}")
    return frozenset(formats)


def _format_named(name: object) -> ImageFormat | None:
    return _FORMATS.get(name.removeprefix(".").lower()) if isinstance(name, str) else None


_CONVERT = "convert it to JPEG or PNG"
_PRINT = "save it as a PDF of one page, or as JPEG or PNG"
_UNPACK = "pass the picture itself"
_DECODE = "decode it (base64.b64decode) and pass the bytes"
_FOREIGN = (
    (b"GIF8", "GIF", _CONVERT),
    (b"\x00\x00\x00\x0cjP  \r\n", "JPEG 2000", _CONVERT),
    (b"\xff\x4f\xff\x51", "JPEG 2000", _CONVERT),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL", _CONVERT),
    (b"\xff\x0a", "JPEG XL", _CONVERT),
    (b"II\xbc", "JPEG XR", _CONVERT),
    (b"8BPS", "PSD (Photoshop)", _CONVERT),
    (b"\x00\x00\x01\x00", "ICO (an icon)", _CONVERT),
    (b"\x00\x00\x02\x00", "ICO (a cursor)", _CONVERT),
    (b"%!PS", "PostScript", _PRINT),
    (b"PK\x03\x04", "a zip archive (.docx, .xlsx and .hwpx files are such too)", _PRINT),
    (b"PK\x05\x06", "an empty zip archive", _UNPACK),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file (an old .doc, .xls or .hwp)", _PRINT),
    (b"\x1f\x8b", "gzip", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (b"\x7fELF", "a program (ELF)", _UNPACK),
    (b"data:", "a data: URL", _DECODE),
    (b"/9j/", "JPEG in base64", _DECODE),
    (b"iVBORw0KGgo", "PNG in base64", _DECODE),
    (b"JVBERi0", "PDF in base64", _DECODE),
)
_FOREIGN_SHORT = {b"BM": ("BMP", _CONVERT), b"MZ": ("a program (EXE)", _UNPACK)}  # a text may begin like that
_HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


def _format_of(data: bytes, subject: str) -> ImageFormat:
    if not data:
        raise _empty(subject)
    for found, magics in _MAGIC:
        if data.startswith(magics):
            return found
    foreign = _foreign_signature(data)
    if foreign is None and _LATE_PDF.search(data, 0, 1024):
        return ImageFormat.PDF
    kind, advice = foreign or _foreign_guess(data)
    raise ImageError(f"{subject} is {kind}, and the service reads {_listed(_LAYOUTS)} only; {advice}")


def _foreign_signature(data: bytes) -> tuple[str, str] | None:
    for magic, kind, advice in _FOREIGN:
        if data.startswith(magic):
            return kind, advice
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", _CONVERT
    if data[4:8] == b"ftyp":
        return _iso_media(data)
    if data[:1] == b"\x00" and data[4:8] in {b"moov", b"mdat", b"wide", b"free"}:
        return "a video (MOV)", "pass a still picture"
    return None


def _iso_media(data: bytes) -> tuple[str, str]:
    """Tell the kinds of ISO base media apart by their brands: the major one, then the compatible ones."""
    end = min(int.from_bytes(data[:4], "big"), 64)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF", _CONVERT
    if brands & _HEIF_BRANDS:
        return "HEIC/HEIF", _CONVERT
    return "a video (MP4, MOV)", "pass a still picture"


def _foreign_guess(data: bytes) -> tuple[str, str]:
    """Name what has no signature, or one that text could begin with."""
    start = data[:1024]
    markup = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if markup.startswith(b"<"):
        if b"<svg" in markup:
            return "SVG", _CONVERT
        return "HTML (a page telling an error?)" if b"html" in markup else "XML", _UNPACK
    if _is_text(start):
        return "plain text", _UNPACK
    return _FOREIGN_SHORT.get(start[:2], ("of an unknown kind (its first bytes are not shown)", _CONVERT))


def _is_text(start: bytes) -> bool:
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return True
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # a character cut at the end is no fault
    except UnicodeDecodeError:
        return False
    return not any(character < " " and not character.isspace() for character in text)
