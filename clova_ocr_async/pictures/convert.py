"""Preparation of a picture as its plan says (extra ``pictures``).

No setting of Pillow is changed, as they belong to the whole process. The result has no EXIF, no comments and no texts,
so that no place or owner of a camera leaves with a picture. A colour profile of RGB stays: pixels keep their meaning,
and converting them would cost as much as decoding.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, JpegImagePlugin

from clova_ocr_async.documents.picture import Picture, swapped
from clova_ocr_async.errors import ClovaOCRError, ConfigurationError, ImageError
from clova_ocr_async.extras import load_module
from clova_ocr_async.pictures.colours import to_plain
from clova_ocr_async.pictures.encoding import encode, rgb_profile
from clova_ocr_async.pictures.first_frame import needed_bytes
from clova_ocr_async.pictures.headers import read_header
from clova_ocr_async.pictures.plan import LABELS, MAX_PIXELS, Output, Plan, scaled_step, shrunk
from clova_ocr_async.protocol.truncation import Completeness, jpeg_completeness, png_completeness, tiff_completeness

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from clova_ocr_async.pictures.picture_header import PictureHeader, PictureKind

__all__ = ["carry_out", "decode", "from_pil", "has_transparency", "load_heic_decoder"]

_PILLOW_FORMATS: dict[PictureKind, str] = {
    "jpeg": "JPEG",
    "png": "PNG",
    "tiff": "TIFF",
    "bigtiff": "TIFF",
    "webp": "WEBP",
    "gif": "GIF",
    "bmp": "BMP",
    "avif": "AVIF",
}
_COMPLETENESS: dict[PictureKind, Callable[[bytes], Completeness]] = {
    "jpeg": jpeg_completeness,
    "png": png_completeness,
    "tiff": tiff_completeness,
    "bigtiff": tiff_completeness,
}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_AS_STORED = _UPRIGHT | {6: _UPRIGHT[8], 8: _UPRIGHT[6]}  # the other turns are their own inverse


def carry_out(data: bytes, plan: Plan) -> tuple[bytes, Picture]:
    """Make the picture that a plan describes. It blocks, for up to seconds.

    Args:
        data: The whole file.
        plan: Its plan; of an empty one the result is the file itself.

    Returns:
        The bytes to send, and the record of what was done.

    Raises:
        ImageError: The picture is broken or truncated, too large when it is decoded, or does not fit into the limit of
            bytes; or it is a HEIC, and the extra ``heic`` is not installed.
    """
    header = plan.header
    if header is None or not plan:
        # The record of a picture that is sent as it is has its sizes as well: polygons are mapped the same way.
        return data, Picture() if header is None else header.as_sent()
    with _as_image_errors(plan, header, data):
        opened = _resized(_open(data, plan, header), header, plan)
        encoded = _encode_within_limit(_turned(opened, header, plan), plan, opened.profile)
    return encoded.data, Picture(
        steps=_final_steps(plan, header, opened.size, encoded),
        size=opened.size,
        sent_size=encoded.size,
        orientation=header.orientation,
        upright=None if header.orientation == 1 else plan.upright,
        sha256=hashlib.sha256(encoded.data).hexdigest(),
    )


def decode(data: bytes, name: str | None = None) -> Image.Image:
    """Return the pixels of a picture as a viewer shows it: upright, in grey or RGB of 8 bits, transparency on white.

    Args:
        data: The whole file, of one page.
        name: The picture's name, for messages.

    Raises:
        ImageError: The file is not a picture, is broken or truncated, has too many pixels, or is a HEIC and the extra
            ``heic`` is not installed.
    """
    header = read_header(data)
    plan = Plan(header=header, name=name, size=(header.size if header else None) or (0, 0))
    if header is None or header.size is None:
        raise ImageError(f"{plan.subject} is not a picture that can be decoded; save it as JPEG or PNG")
    if header.size[0] * header.size[1] > MAX_PIXELS:
        raise ImageError(f"{plan.subject} has more than {MAX_PIXELS:,} pixels; scale it down")
    with _as_image_errors(plan, header, data):
        opened = _open(data, plan, header)
        image = _turned(opened._replace(image=to_plain(opened.image)), header, plan)
        return image if image.mode in {"L", "RGB"} else image.convert("L" if image.mode == "1" else "RGB")


def has_transparency(data: bytes) -> bool:
    """Return whether a PNG has pixels that are not opaque; True for one that cannot be decoded, or is too large."""
    header = read_header(data)
    if header is None or header.size is None or header.size[0] * header.size[1] > MAX_PIXELS:
        return True
    try:
        with Image.open(io.BytesIO(needed_bytes(data, header)), formats=["PNG"]) as image:
            lowest, _ = image.convert("RGBA").getchannel("A").getextrema()
    except Exception:  # noqa: BLE001 - Pillow and its codecs raise errors of any kind
        return True
    return lowest != _OPAQUE


_OPAQUE = 255


def from_pil(image: Image.Image) -> tuple[bytes, Picture]:
    """Write a PIL image to a file, with the pixels that it has, so that polygons are in its own coordinates.

    An EXIF orientation is therefore not applied (``ImageOps.exif_transpose`` does that). An image that was opened from
    a JPEG, and is still that object, is written as a JPEG with the tables of the original; any other as a PNG, which
    loses nothing. Transparent pixels become white.

    Args:
        image: An image of any mode; it is not changed.

    Returns:
        The bytes to send, and the record of what was done.

    Raises:
        ImageError: The image is empty, or its file is broken, truncated or closed.
    """
    try:
        image.load()
        plain = to_plain(image)
        stays_jpeg = plain is image and isinstance(image, JpegImagePlugin.JpegImageFile)
        output: Output = "jpeg" if stays_jpeg else "png"
        data = encode(plain, output, **_tables(image))
    except Exception as error:  # noqa: BLE001 - Pillow and its codecs raise errors of any kind
        raise ImageError(
            f"the PIL image cannot be written ({type(error).__name__}); check that its file is whole and still open, "
            "and that it has pixels"
        ) from None
    return data, Picture(
        steps=(f"PIL image to {output}",),
        size=image.size,
        sent_size=image.size,
        sha256=hashlib.sha256(data).hexdigest(),
    )


class _Opened(NamedTuple):
    """A decoded picture; a JPEG that is shrunk may be decoded at a fraction of its size.

    Attributes:
        image: The pixels.
        size: The original's width and height as a viewer shows it.
        upright: Whether the pixels lie as a viewer shows the original; else as they are stored.
        box: The part of ``image`` that the original fills; sides that do not divide are rounded up.
        profile: The colour profile of RGB pixels.
    """

    image: Image.Image
    size: tuple[int, int]
    upright: bool
    box: tuple[float, float, float, float] | None
    profile: bytes | None


class _Encoded(NamedTuple):
    """A written picture: its bytes, format and size, and the quality if that had to be lowered."""

    data: bytes
    output: Output
    size: tuple[int, int]
    quality: int | None = None


@contextmanager
def _as_image_errors(plan: Plan, header: PictureHeader, data: bytes) -> Generator[None]:
    """Raise an ImageError for whatever a decoder raises; it may repeat bytes of the picture, so its type must do."""
    try:
        yield
    except ClovaOCRError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow and its codecs raise errors of any kind
        label = LABELS[header.kind]
        completeness = _COMPLETENESS.get(header.kind)
        # A file that is cut off may still be on its way: ``truncated`` lets a batch wait for the rest of it.
        if completeness is not None and completeness(data) is not Completeness.COMPLETE:
            raise ImageError(
                f"{plan.subject} is cut off: the end of its {label} data is missing; get the whole file",
                truncated=True,
            ) from None
        raise ImageError(
            f"{plan.subject} is a broken {label}, and cannot be decoded ({type(error).__name__}); "
            "open it in another program and save it anew"
        ) from None


def _open(data: bytes, plan: Plan, header: PictureHeader) -> _Opened:
    if header.kind == "heic":
        image = load_heic_decoder().open_heic(data, MAX_PIXELS)
        return _Opened(image, image.size, upright=True, box=None, profile=rgb_profile(image))
    # This format alone: most of Pillow's vulnerabilities lie in formats that no phone or scanner writes.
    image = Image.open(io.BytesIO(needed_bytes(data, header)), formats=[_PILLOW_FORMATS[header.kind]])
    if header.first_frame:
        image.seek(header.first_frame)  # a thumbnail may lie in front of a TIFF's first page
    # Again, by the size that Pillow will decode: the plan knows only what our own parser read in the header.
    _check_pixels(image, plan)
    stored = image.size
    # A decoder of JPEG can shrink by 2, 4 or 8 while it decodes, which costs it less time and memory.
    draft = image.draft(None, swapped(plan.size, header.orientation)) if header.kind == "jpeg" else None
    image.load()
    profile = rgb_profile(image)
    if header.kind == "avif":
        image = _turn_avif(image)
    upright = header.kind in {"tiff", "bigtiff", "avif"}  # Pillow turns a TIFF as it loads it
    size = image.size if upright else swapped(stored, header.orientation)
    return _Opened(image, size, upright, draft[1] if draft else None, profile)


def load_heic_decoder() -> Any:
    """Return the module that decodes HEIC.

    Raises:
        ImageError: The extra ``heic`` is not installed.
    """
    try:
        return load_module("clova_ocr_async.pictures.heic", "a HEIC", "heic")
    except ConfigurationError as error:  # the other pictures of a run need not stop
        raise ImageError(f"{error} (its wheels are GPL); or convert the picture to JPEG or PNG") from None


def _turn_avif(image: Image.Image) -> Image.Image:
    """Turn an AVIF as its container says, which Pillow hands on as an EXIF orientation."""
    orientation: object = image.getexif().get(0x0112)
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _check_pixels(image: Image.Image, plan: Plan) -> None:
    """Refuse a picture that is larger than its header said."""
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(
            f"{plan.subject} has {image.width:,} x {image.height:,} pixels, more than its header states; "
            "open it in another program and save it anew"
        )


def _resized(opened: _Opened, header: PictureHeader, plan: Plan) -> _Opened:
    """Shrink a picture to its planned size; a decoder that has shrunk it already may have rounded its sides up."""
    size = shrunk(opened.size, max(plan.size))
    target = size if opened.upright else swapped(size, header.orientation)
    image = to_plain(opened.image)
    if image.size != target:
        image = _scaled(image, target, opened.box)
    return opened._replace(image=image)


def _scaled(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Image.Image:
    if image.mode in {"1", "P"}:  # their pixels have no values between two others
        image = image.convert("L" if image.mode == "1" else "RGB")
    # The gap: Pillow first averages whole blocks, down to twice the size, which is faster, and only then resamples.
    return image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=2.0)


def _turned(opened: _Opened, header: PictureHeader, plan: Plan) -> Image.Image:
    if opened.upright is plan.upright or header.orientation == 1:
        return opened.image
    turns = _UPRIGHT if plan.upright else _AS_STORED
    return opened.image.transpose(turns[header.orientation])


# Quality is lowered before pixels are given up, because letters suffer less from it.
_LOWER_QUALITIES = (85, 75)
_SMALLER = (0.75, 0.5, 0.35, 0.25)


def _encode_within_limit(image: Image.Image, plan: Plan, profile: bytes | None) -> _Encoded:
    """Write a picture; where it is over the limit as JPEG of lower quality, and at last with fewer pixels."""
    data = encode(image, plan.output, icc_profile=profile, quality=plan.quality)
    if plan.max_bytes is None or len(data) <= plan.max_bytes:
        return _Encoded(data, plan.output, image.size)
    # JPEG from here on, also for scans: a PNG has no quality to lower.
    lower = [quality for quality in _LOWER_QUALITIES if quality < plan.quality] or [plan.quality]
    for ratio, quality in [*((1.0, quality) for quality in lower), *((ratio, lower[-1]) for ratio in _SMALLER)]:
        size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
        smaller = image if ratio == 1 else _scaled(image, size)
        data = encode(smaller, "jpeg", icc_profile=profile, quality=quality)
        if len(data) <= plan.max_bytes:
            return _Encoded(data, "jpeg", size, quality)
    raise ImageError(
        f"{plan.subject} does not fit into ImageLimits.max_bytes, {plan.max_bytes:,}, not even at a quarter of its "
        "sides; allow more bytes"
    )


def _tables(image: Image.Image) -> dict[str, Any]:
    """Return the settings that write a JPEG as the original was, so that next to nothing is lost again."""
    tables: dict[str, Any] = {"icc_profile": rgb_profile(image)}
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        tables |= {"qtables": image.quantization, "subsampling": JpegImagePlugin.get_sampling(image)}
    return tables


def _final_steps(plan: Plan, header: PictureHeader, size: tuple[int, int], encoded: _Encoded) -> tuple[str, ...]:
    """Return the steps that were done: those of the plan, and what the limit of bytes made of them."""
    steps = [step for step in plan.steps if step != "compressed" and not step.startswith("scaled ")]
    ratio = max(encoded.size) / max(size)
    if encoded.output != plan.output:
        source = "tiff" if header.kind in {"tiff", "bigtiff"} else header.kind
        steps = [f"{source} to {encoded.output}", *(step for step in steps if not step.endswith(f" to {plan.output}"))]
    if ratio < 1:
        steps.append(scaled_step(ratio))
    if encoded.quality is not None:
        steps.append(f"compressed (quality {encoded.quality})")
    elif "compressed" in plan.steps:  # by writing it anew alone
        steps.append("compressed")
    return tuple(steps)
