"""The steps that a picture needs before it is sent, decided from its header. Pure: nothing is decoded.

So a finished picture of a run costs no preparation, and a bomb is refused before a decoder sees it. The recipe names
the steps and the settings that matter for this very picture; it is part of what is billed once, and so it never depends
on the version of a library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from clova_ocr_async.errors import ImageError
from clova_ocr_async.protocol.echoed_input import quoted

if TYPE_CHECKING:
    from clova_ocr_async.pictures.picture_header import PictureHeader, PictureKind
    from clova_ocr_async.pictures.preparation import Preparation
    from clova_ocr_async.protocol.image import ImageLimits

__all__ = ["LABELS", "MAX_PIXELS", "Output", "Plan", "draft_scale", "plan", "scaled_step", "shrunk"]

MAX_PIXELS = 89_478_485
"""Pixels of the largest picture that is decoded. Pillow warns beyond as many; they take 360 MB once decoded."""

Output: TypeAlias = Literal["jpeg", "png"]

LABELS: dict[PictureKind, str] = {
    "jpeg": "JPEG",
    "png": "PNG",
    "tiff": "TIFF",
    "bigtiff": "BigTIFF",
    "webp": "WebP",
    "gif": "GIF",
    "bmp": "BMP",
    "heic": "HEIC",
    "avif": "AVIF",
}

_RECIPE_VERSION = 1  # a new one bills every prepared picture of a run anew: only where the old way read wrong
_SENT_AS_THEY_ARE = frozenset(("jpeg", "png", "tiff"))
_TIFFS = frozenset(("tiff", "bigtiff"))
_PLAIN_COLOURS = frozenset(("bilevel", "grey", "palette", "rgb"))
_FEW_COLOURS = frozenset(("bilevel", "grey", "palette"))
_PLAIN_DEPTH = 8
_SMALL = 4_000_000  # pixels; as PNG at most 12 MB

_FORMATS: dict[Output, str] = {"jpeg": "jpg", "png": "png"}  # as the service spells them


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The preparation of one picture; false if the picture needs none and is sent byte for byte.

    Attributes:
        header: The facts in the picture's header.
        name: The picture's name, for messages.
        steps: What will be done, in words. The record of the finished picture may name more: the quality and scale by
            which it was made to fit into the limit of bytes.
        recipe: The steps and their settings, for the ledger; empty if there are none.
        output: The format of the result.
        quality: Its quality if it is a JPEG.
        upright: Whether the picture is turned as its EXIF orientation says.
        size: Width and height of the result as a viewer shows it, if the limit of bytes asks for no less.
        max_bytes: Bytes of the result; None for no limit.
        memory: Bytes of memory that the preparation takes at most, estimated from the header.
    """

    header: PictureHeader | None = None
    name: str | None = None
    steps: tuple[str, ...] = ()
    recipe: str = ""
    output: Output = "jpeg"
    quality: int = 92
    upright: bool = True
    size: tuple[int, int] = (0, 0)
    max_bytes: int | None = None
    memory: int = 0

    def __bool__(self) -> bool:
        return bool(self.steps)

    @property
    def subject(self) -> str:
        """The picture, as a message begins."""
        return "the picture" if self.name is None else f"image {quoted(self.name)}"


def plan(
    header: PictureHeader | None,
    size: int,
    preparation: Preparation,
    limits: ImageLimits,
    *,
    name: str | None = None,
) -> Plan:
    """Decide which steps a picture needs.

    A picture of several pages, and one whose header is broken although the service takes its format, needs nothing
    here: ``check_image`` judges it.

    Args:
        header: The picture's header; None for a PDF and for anything that is not a picture, which need nothing here.
        size: Length of the file in bytes.
        preparation: The settings.
        limits: The limits for sides, bytes and formats.
        name: The picture's name, for messages.

    Returns:
        The plan.

    Raises:
        ImageError: A step is needed, and the picture has too many pixels to be decoded; or it must be converted, and
            its header is broken or its end is missing.
    """
    nothing = Plan(header=header, name=name)
    if header is None or (header.kind in _TIFFS and header.frames != 1):
        return nothing
    foreign = header.kind not in _SENT_AS_THEY_ARE
    if foreign and not preparation.convert:
        return nothing
    # The service's own formats are left to ``check_image``, which may allow truncated ones.
    if foreign:
        _check_whole(nothing, header)
    if header.size is None:
        return nothing
    fitted = shrunk(header.size, limits.max_side if preparation.shrink else None)
    too_long = preparation.shrink and limits.max_bytes is not None and size > limits.max_bytes
    turned = preparation.upright and header.orientation != 1
    if not (foreign or turned or too_long or fitted != header.size or (preparation.convert and _is_exotic(header))):
        return nothing
    _check_pixels(nothing, header.size, foreign=foreign)
    output = _output(header, fitted, limits)
    return Plan(
        header=header,
        name=name,
        steps=tuple(_steps(header, output, fitted, turned=turned, too_long=too_long)),
        recipe=_recipe(
            output,
            preparation.quality,
            turned=turned,
            max_side=None if fitted == header.size else limits.max_side,
            max_bytes=limits.max_bytes if too_long else None,
        ),
        output=output,
        quality=preparation.quality,
        upright=preparation.upright,
        size=fitted,
        max_bytes=limits.max_bytes if preparation.shrink else None,
        memory=_memory(header, size, fitted),
    )


def shrunk(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    """Return a size whose longer side is at most ``max_side``; the same one if it fits already."""
    longer = max(size)
    if max_side is None or longer <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longer)) for side in size)
    return width, height


def draft_scale(size: tuple[int, int], target: tuple[int, int]) -> int:
    """Return by how much a decoder of JPEG shrinks for a target, which costs it less time and memory."""
    return next(scale for scale in (8, 4, 2, 1) if scale == 1 or min(map(int.__floordiv__, size, target)) >= scale)


def scaled_step(ratio: float) -> str:
    """Name a scaling by its ratio, rounded down so that a picture that was shrunk never reads "1.00"."""
    return f"scaled {max(1, int(ratio * 100 + 1e-9)) / 100:.2f}"


def _is_exotic(header: PictureHeader) -> bool:
    """Return whether pixels are of a kind that the service may read wrong.

    Assumed: 16 bits, CMYK and transparency; the specification names formats of files only.
    """
    deep = header.bit_depth is not None and header.bit_depth > _PLAIN_DEPTH
    return header.alpha or deep or (header.colour is not None and header.colour not in _PLAIN_COLOURS)


def _output(header: PictureHeader, size: tuple[int, int], limits: ImageLimits) -> Output:
    """Choose the format of the result from the header alone, because the recipe names it.

    PNG where nothing was lost yet and it stays small: scans in few colours, whose letters JPEG blurs, and small
    pictures. JPEG for the rest: a photo as PNG is five to ten times as large.
    """
    keeps = header.lossless and (header.colour in _FEW_COLOURS or size[0] * size[1] <= _SMALL)
    # The other format only where the limits leave no choice: a user may have taken PNG or JPEG out of them.
    best: Output = "png" if keeps else "jpeg"
    other: Output = "jpeg" if keeps else "png"
    return best if _FORMATS[best] in limits.formats or _FORMATS[other] not in limits.formats else other


def _steps(
    header: PictureHeader, output: Output, fitted: tuple[int, int], *, turned: bool, too_long: bool
) -> list[str]:
    source = "tiff" if header.kind in _TIFFS else header.kind
    steps = [] if source == output else [f"{source} to {output}"]
    if header.frames is None or header.frames > 1:
        steps.append("first frame" if header.frames is None else f"first of {header.frames:,} frames")
    if header.colour == "cmyk":
        steps.append("CMYK to RGB")
    elif header.colour not in _PLAIN_COLOURS and header.colour is not None:
        steps.append("colours to RGB")
    if header.bit_depth is not None and header.bit_depth > _PLAIN_DEPTH:
        steps.append(f"{header.bit_depth} bit to 8 bit")
    if header.alpha:
        steps.append("alpha on white")
    if turned:
        steps.append(f"upright (EXIF {header.orientation})")
    if fitted != header.size and header.size is not None:
        steps.append(scaled_step(max(fitted) / max(header.size)))
    if too_long:
        steps.append("compressed")
    return steps


def _recipe(output: Output, quality: int, *, turned: bool, max_side: int | None, max_bytes: int | None) -> str:
    parts = [str(_RECIPE_VERSION), f"jpeg q{quality}" if output == "jpeg" else output]
    if turned:
        parts.append("upright")
    # Only limits that this picture exceeds: with any other one it is the same picture, and is not billed again.
    if max_side is not None:
        parts.append(f"shrink {max_side}")
    if max_bytes is not None:
        parts.append(f"shrink {max_bytes} bytes")
    return ";".join(parts)


def _check_whole(nothing: Plan, header: PictureHeader) -> None:
    label = LABELS[header.kind]
    if header.truncated:
        raise ImageError(
            f"{nothing.subject} is cut off: the end of its {label} data is missing; get the whole file", truncated=True
        )
    if header.size is None:
        raise ImageError(
            f"{nothing.subject} is a {label} whose header states no width and height, so it cannot be converted; "
            "open it in another program and save it as JPEG or PNG"
        )


def _check_pixels(nothing: Plan, size: tuple[int, int], *, foreign: bool) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        way_out = "scale it down" if foreign else "scale it down, or send it as it is, without preparation"
        raise ImageError(
            f"{nothing.subject} has {width:,} x {height:,} pixels, and pictures of more than {MAX_PIXELS:,} pixels are "
            f"not prepared, because they take too much memory; {way_out}"
        )


# Bytes of a pixel besides those of the picture itself: what each decoder holds, measured with some reserve.
_DECODER = {"heic": 4, "avif": 4, "webp": 8, "gif": 2, "tiff": 2, "bigtiff": 2}
_PROGRESSIVE = 6  # coefficients of the whole picture, of 16 bits
_SCRATCH = 8 * 1024 * 1024


def _memory(header: PictureHeader, size: int, fitted: tuple[int, int]) -> int:
    """Estimate the memory of a preparation: the file twice, the picture decoded, and a converted copy of it."""
    stored = header.size or (0, 0)
    pixels = stored[0] * stored[1]
    extra = _DECODER.get(header.kind, 0)
    if header.kind == "jpeg":
        pixels //= draft_scale(stored, fitted) ** 2
        extra = _PROGRESSIVE if header.progressive else 0
    # Pillow keeps a pixel of true colour in four bytes. The turned, scaled or converted copy takes as many.
    each = 2 if header.colour in {"bilevel", "grey"} and (header.bit_depth or 0) <= _PLAIN_DEPTH else 8
    flattened = 8 if header.alpha or header.colour in {"cmyk", "other"} else 0
    return _SCRATCH + 2 * size + pixels * (each + extra + flattened)
