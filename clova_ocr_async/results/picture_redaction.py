"""Masked copies of pictures: numbers that identify a person or a card are covered with black.

A copy is made for certain, or not at all. It is written from pixels alone: no metadata, thumbnail or second picture of
the original is left. Masked is not anonymous: names, addresses and photographs stay.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from clova_ocr_async.errors import ImageError, RedactionError
from clova_ocr_async.extras import load_module
from clova_ocr_async.pictures.polygons import area, clipped_area, convex_hull, extent
from clova_ocr_async.protocol.echoed_input import quoted
from clova_ocr_async.results.arguments import require_recognition
from clova_ocr_async.results.hidden_places import HiddenPlace, all_corners, hidden_places
from clova_ocr_async.results.original_picture import open_original
from clova_ocr_async.results.redaction import answer_of, check_policy
from clova_ocr_async.results.sensitive_paths import Policy, Rule

if TYPE_CHECKING:
    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.pictures.polygons import Point
    from clova_ocr_async.results.hidden_places import Corners
    from clova_ocr_async.results.original_picture import OriginalPicture, PictureSource

__all__ = ["masked_picture", "redact_image"]


def redact_image(image: PictureSource, recognition: Recognition[Any], policy: Policy = "standard") -> bytes:
    """Return a copy of a picture on which the numbers that a policy hides are black.

    The picture is upright, as a viewer shows it. Of a resident number "standard" covers the part that the service's
    masking polygons mark, and all of it without such polygons; of a card number the two middle groups, and all of it
    where the groups are not certain. The picture then shows no more than ``redact`` leaves in the text.

    Masked is not anonymous: names, addresses, dates and photographs stay. Blocking: a picture is decoded and encoded.

    Args:
        image: The original, as it was given to be recognized: a path, bytes, a file, an Image, a Page, a PIL image.
        recognition: Its recognition.
        policy: "standard" or "all".

    Returns:
        A PNG or JPEG, as the input; PNG for PDF, TIFF, GIF and BMP, JPEG for HEIC, AVIF and WebP.

    Raises:
        ConfigurationError: There is no such policy, or the extra ``pictures`` is not installed.
        RedactionError: The picture cannot be masked for certain: a number has no polygon, a polygon lies mostly outside
            the picture, or the picture is not the one that was read. The message names the field and shows no value.
        TypeError: ``recognition`` is not a recognition.
    """
    original = masked_picture(image, recognition, policy)
    drawing = load_module("clova_ocr_async.pictures.drawing", "masking a picture")
    masked: bytes = drawing.encode_pixels(original.pixels, original.output)
    return masked


def masked_picture(image: PictureSource, recognition: Recognition[Any], policy: Policy) -> OriginalPicture:
    """Return a picture, decoded, on which the numbers that a policy hides are black.

    Args:
        image: As in ``redact_image``.
        recognition: As in ``redact_image``.
        policy: As in ``redact_image``.

    Raises:
        ConfigurationError: As in ``redact_image``.
        RedactionError: As in ``redact_image``.
        TypeError: As in ``redact_image``.
    """
    require_recognition(recognition)
    check_policy(policy)
    answer = answer_of(recognition)
    places = hidden_places(answer, policy)
    try:
        original = open_original(image, recognition, list(all_corners(answer["images"])))
    except ImageError as error:
        raise RedactionError(str(error)) from None
    drawing = load_module("clova_ocr_async.pictures.drawing", "masking a picture")
    drawing.black_out(original.pixels, _hulls(places, original))
    return original


def _hulls(places: list[HiddenPlace], original: OriginalPicture) -> list[Corners]:
    """Return the convex hulls to cover on the picture, for each way to it.

    Raises:
        RedactionError: By no way all of them are in order.
    """
    hulls: list[Corners] = []
    problems: list[str | None] = []
    for way in original.ways:
        found = [(place.path, convex_hull(map(way, part))) for place in places for part in _parts(place)]
        hulls += [hull for _, hull in found]
        wrong = (f"{quoted(path)} {why}" for path, hull in found if (why := _problem(hull, original.pixels.size)))
        problems.append(next(wrong, None))
    if None not in problems:
        raise RedactionError(problems[0])
    return [hull for hull in hulls if len(hull) >= _CORNERS]


def _problem(hull: Corners, size: tuple[int, int]) -> str | None:
    """Return why a polygon cannot be trusted; None if it can."""
    if len(hull) < _CORNERS or min(extent(hull)) < 1:
        return "has a polygon without an area"
    if clipped_area(hull, size) < _INSIDE * area(hull):
        return "has a polygon that lies mostly outside the picture"
    return None


_CORNERS = 3
_INSIDE = 0.5  # the least share of a polygon that must lie on the picture


# ---------------------------------------------------------------------------------------------------------------------
# The part of a field that must be covered


def _parts(place: HiddenPlace) -> list[Corners]:
    """Return the corners of the parts to cover: words of one line are joined, so that nothing shows between them."""
    masks = _joined(place.masks)
    if place.rule is Rule.LAST_SEVEN and (tail := _tail(place)) is not None:
        return [*masks, tail]
    if place.rule is Rule.MIDDLE and (middle := _middle_groups(place)) is not None:
        return [*masks, middle]
    # The words as well: the polygon around them may be smaller than they are.
    return [*masks, *_joined(place.whole), *_joined(place.words)]


_GROUPS, _GROUP = 4, 4  # of the digits of most cards
_ALIKE = 1.3  # the greatest ratio of the widths of groups of four digits


def _middle_groups(place: HiddenPlace) -> Corners | None:
    """Return the corners of the two middle groups of a card's digits; None if the groups are not certain.

    They are the middle ones from either end, so it does not matter how the card lies on the picture.
    """
    digits = "".join(place.text.split())
    lines = _lines(place.words)
    if len(place.words) != _GROUPS or len(lines) != 1 or len(digits) != _GROUPS * _GROUP or not digits.isdigit():
        return None
    along = _direction(place.words[0])
    middles = [_projected(_centre(word), along) for word in place.words]
    widths = [_span(word, along) for word in place.words]
    if middles not in (sorted(middles), sorted(middles, reverse=True)) or max(widths) > _ALIKE * min(widths):
        return None
    return [*place.words[1], *place.words[2]]


_HIDDEN, _RESIDENT = 7, 13  # digits of a resident number
_NEAREST, _FARTHEST = 0.3, 0.6  # of a field, where its last seven of 13 digits may begin
_END = 0.06  # of a field, how far the masking polygons may be from its end
_RESERVE = 1.2  # characters before the hidden ones that are covered as well


def _tail(place: HiddenPlace) -> Corners | None:
    """Return the corners of the last seven digits of a resident number; None if it is not certain where they are.

    It is certain where the service's masking polygons mark one end of the only word of the field. Without them the
    number may stand upside down.
    """
    digits = sum(character.isalnum() for character in place.text)
    if len(place.whole) != 1 or len(place.masks) != 1 or digits != _RESIDENT or len(place.text.split()) != 1:
        return None
    along = _direction(place.whole[0])
    ends = [_projected(point, along) for point in place.whole[0]]
    start, length = min(ends), max(ends) - min(ends)
    shares = [(_projected(point, along) - start) / length for point in place.masks[0]] if length else [0.0]
    if max(shares) < 1 - _END:  # the marked end is the other one
        shares = [1 - share for share in shares]
        along, start = (-along[0], -along[1]), -max(ends)
    if not (_NEAREST <= min(shares) <= _FARTHEST and 1 - _END <= max(shares) <= 1 + _END):
        return None
    before = len(place.text) - _HIDDEN
    cut = min(*shares, (before - _RESERVE) / len(place.text))
    return _beyond(convex_hull(place.whole[0]), along, start + cut * length)


def _beyond(hull: Corners, along: Point, limit: float) -> Corners:
    """Return the corners of the part of a hull that lies beyond a limit in a direction."""
    kept: Corners = []
    for first, second in zip(hull, (*hull[1:], *hull[:1]), strict=True):
        here, there = _projected(first, along), _projected(second, along)
        if here >= limit:
            kept.append(first)
        if (here >= limit) is (there < limit):
            share = (limit - here) / (there - here)
            kept.append((first[0] + share * (second[0] - first[0]), first[1] + share * (second[1] - first[1])))
    return kept


# ---------------------------------------------------------------------------------------------------------------------
# Lines of words


def _joined(words: list[Corners]) -> list[Corners]:
    """Return the corners of each line of words."""
    return [[point for word in line for point in word] for line in _lines(words)]


_SAME_LINE = 0.6  # of the height of a word


def _lines(words: list[Corners]) -> list[list[Corners]]:
    """Sort words, in reading order, into lines. Each word is in one of them, however it lies."""
    lines: list[list[Corners]] = []
    for word in words:
        if lines and _follows(lines[-1][-1], word):
            lines[-1].append(word)
        else:
            lines.append([word])
    return lines


def _follows(first: Corners, second: Corners) -> bool:
    along = _direction(first)
    across = (-along[1], along[0])
    return abs(_projected(_centre(first), across) - _projected(_centre(second), across)) < _SAME_LINE * _span(
        first, across
    )


def _direction(word: Corners) -> Point:
    """Return the direction of a word's line: along its longer side."""
    edges = zip(word, (*word[1:], *word[:1]), strict=True)
    start, end = max(edges, key=lambda edge: math.dist(*edge))
    length = math.dist(start, end) or 1.0
    return (end[0] - start[0]) / length, (end[1] - start[1]) / length


def _projected(point: Point, along: Point) -> float:
    return point[0] * along[0] + point[1] * along[1]


def _span(word: Corners, along: Point) -> float:
    ends = [_projected(point, along) for point in word]
    return max(ends) - min(ends)


def _centre(word: Corners) -> Point:
    return sum(x for x, _ in word) / len(word), sum(y for _, y in word) / len(word)
