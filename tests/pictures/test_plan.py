from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.errors import ImageError
from clova_ocr_async.pictures.picture_header import PictureHeader
from clova_ocr_async.pictures.plan import MAX_PIXELS, Plan, draft_scale, plan, scaled_step, shrunk
from clova_ocr_async.pictures.preparation import Preparation
from clova_ocr_async.protocol.image import ImageLimits

LIMITS = ImageLimits()
PHOTO = {"kind": "jpeg", "width": 4032, "height": 3024, "colour": "rgb"}
SCAN = {"kind": "tiff", "width": 2480, "height": 3508, "colour": "bilevel", "bit_depth": 1, "lossless": True}


def _plan(facts: dict[str, Any], size: int = 1000, *, limits: ImageLimits = LIMITS, **settings: Any) -> Plan:
    return plan(PictureHeader(**facts), size, Preparation(**settings), limits)


@pytest.mark.parametrize(
    "facts",
    [
        PHOTO,
        SCAN,
        PHOTO | {"width": None},
        PHOTO | {"kind": "png", "lossless": True, "colour": "palette"},
        SCAN | {"frames": 3, "orientation": 6},
        SCAN | {"frames": None, "kind": "bigtiff"},
        PHOTO | {"width": 8000, "height": 8000},
    ],
    ids=["photo", "scan", "broken header", "palette", "several pages", "pages unknown", "longest side"],
)
def test_pictures_that_need_nothing(facts: dict[str, Any]) -> None:
    """A picture that the service takes as it is has an empty plan, and no recipe."""
    nothing = _plan(facts)
    assert not nothing
    assert (nothing.steps, nothing.recipe, nothing.memory) == ((), "", 0)


def test_not_a_picture() -> None:
    """A PDF needs nothing here."""
    assert not plan(None, 1000, Preparation(), LIMITS)


@pytest.mark.parametrize(
    ("facts", "steps", "recipe"),
    [
        (PHOTO | {"kind": "heic"}, ("heic to jpeg",), "1;jpeg q92"),
        (PHOTO | {"kind": "avif", "bit_depth": 10}, ("avif to jpeg", "10 bit to 8 bit"), "1;jpeg q92"),
        (PHOTO | {"kind": "webp", "alpha": True}, ("webp to jpeg", "alpha on white"), "1;jpeg q92"),
        (PHOTO | {"kind": "gif", "colour": "palette", "lossless": True, "frames": 1_200},
         ("gif to png", "first of 1,200 frames"), "1;png"),
        (PHOTO | {"kind": "gif", "colour": "palette", "lossless": True, "frames": None},
         ("gif to png", "first frame"), "1;png"),
        (PHOTO | {"kind": "bmp", "lossless": True}, ("bmp to jpeg",), "1;jpeg q92"),
        (PHOTO | {"kind": "bmp", "lossless": True, "width": 1000, "height": 1000}, ("bmp to png",), "1;png"),
        (PHOTO | {"orientation": 6}, ("upright (EXIF 6)",), "1;jpeg q92;upright"),
        (PHOTO | {"colour": "cmyk"}, ("CMYK to RGB",), "1;jpeg q92"),
        (PHOTO | {"colour": "other"}, ("colours to RGB",), "1;jpeg q92"),
        (PHOTO | {"kind": "png", "lossless": True, "bit_depth": 16, "colour": "grey"}, ("16 bit to 8 bit",), "1;png"),
        (PHOTO | {"kind": "png", "lossless": True, "alpha": True}, ("png to jpeg", "alpha on white"), "1;jpeg q92"),
        (SCAN | {"kind": "bigtiff"}, ("tiff to png",), "1;png"),
        (SCAN | {"orientation": 3}, ("tiff to png", "upright (EXIF 3)"), "1;png;upright"),
        (PHOTO | {"width": 8064, "height": 6048}, ("scaled 0.99",), "1;jpeg q92;shrink 8000"),
    ],
)  # fmt: skip
def test_steps_and_recipe(facts: dict[str, Any], steps: tuple[str, ...], recipe: str) -> None:
    """A plan names its steps for people, and for the ledger the settings that matter for this picture alone."""
    found = _plan(facts)
    assert (found.steps, found.recipe) == (steps, recipe)


def test_too_many_bytes() -> None:
    """A picture over the limit of bytes is compressed; the limit is part of the recipe."""
    found = _plan(PHOTO, 2_000, limits=ImageLimits(max_bytes=1_999), quality=80)
    assert (found.steps, found.recipe, found.max_bytes) == (("compressed",), "1;jpeg q80;shrink 1999 bytes", 1_999)


@pytest.mark.parametrize(
    ("facts", "size", "settings"),
    [
        (PHOTO | {"kind": "heic"}, 1000, {"convert": False}),
        (PHOTO | {"colour": "cmyk"}, 1000, {"convert": False}),
        (PHOTO | {"orientation": 6}, 1000, {"upright": False}),
        (PHOTO | {"width": 9000}, 1000, {"shrink": False}),
        (PHOTO, 60 * 1024 * 1024, {"shrink": False}),
    ],
)
def test_steps_that_are_switched_off(facts: dict[str, Any], size: int, settings: dict[str, Any]) -> None:
    """A step that is switched off is not planned."""
    assert not _plan(facts, size, **settings)


@pytest.mark.parametrize(
    ("facts", "settings"),
    [
        (PHOTO | {"kind": "heic"}, {"upright": False, "shrink": False, "dpi": 300, "render": True}),
        (PHOTO | {"kind": "bmp", "lossless": True, "colour": "grey"}, {"quality": 50}),
    ],
)
def test_settings_that_do_not_matter(facts: dict[str, Any], settings: dict[str, Any]) -> None:
    """A setting that changes nothing for a picture is not in its recipe, so that it bills nothing again."""
    assert _plan(facts, **settings).recipe == _plan(facts).recipe


def test_no_limits() -> None:
    """Without limits nothing is shrunk."""
    assert not _plan(PHOTO | {"width": 9_900}, 10**9, limits=ImageLimits(max_side=None, max_bytes=None))


@pytest.mark.parametrize(
    ("formats", "output"), [({"png"}, "png"), ({"jpg"}, "jpeg"), ({"jpg", "png"}, "jpeg"), ({"pdf"}, "jpeg")]
)
def test_allowed_formats(formats: set[str], output: str) -> None:
    """The result is of an allowed format, if there is one."""
    assert _plan(PHOTO | {"kind": "heic"}, limits=ImageLimits(formats=formats)).output == output


def test_size_as_a_viewer_shows_it() -> None:
    """The planned size is that of the upright picture."""
    found = _plan(PHOTO | {"orientation": 6}, limits=ImageLimits(max_side=2000))
    assert (found.size, found.steps) == ((1500, 2000), ("upright (EXIF 6)", "scaled 0.49"))


@pytest.mark.parametrize(
    ("facts", "way_out"),
    [
        (PHOTO | {"kind": "webp"}, "scale it down"),
        (PHOTO | {"kind": "png"}, "scale it down, or send it as it is, without preparation"),
    ],
)
def test_a_bomb(facts: dict[str, Any], way_out: str) -> None:
    """A picture of too many pixels is refused by its header, with its size and the way out."""
    with pytest.raises(ImageError) as caught:
        plan(PictureHeader(**facts | {"width": 50_000, "height": 50_000}), 1, Preparation(), LIMITS, name="a.webp")
    assert str(caught.value) == (
        "image 'a.webp' has 50,000 x 50,000 pixels, and pictures of more than 89,478,485 pixels are not prepared, "
        f"because they take too much memory; {way_out}"
    )


def test_a_bomb_that_needs_nothing() -> None:
    """A picture of too many pixels that needs no step is not refused here."""
    assert not _plan(PHOTO | {"width": 50_000, "height": 50_000}, shrink=False)


@pytest.mark.parametrize(
    ("facts", "message", "truncated"),
    [
        ({"truncated": True}, "the picture is cut off: the end of its HEIC data is missing; get the whole file", True),
        (
            {"width": None},
            (
                "the picture is a HEIC whose header states no width and height, so it cannot be converted; open it in "
                "another program and save it as JPEG or PNG"
            ),
            False,
        ),
    ],
)
def test_unusable_files(facts: dict[str, Any], message: str, truncated: bool) -> None:
    """A picture that must be converted and is cut off or broken is refused by its header."""
    with pytest.raises(ImageError) as caught:
        _plan(PHOTO | {"kind": "heic"} | facts)
    assert (str(caught.value), caught.value.truncated) == (message, truncated)


@given(st.integers(1, 70_000), st.integers(1, 70_000), st.integers(1, 9_000))
def test_shrunk(width: int, height: int, most: int) -> None:
    """A shrunk size is within its limit, has no side of zero, and keeps its shape to half a pixel."""
    small = shrunk((width, height), most)
    assert 1 <= max(small) <= max(most, 1)
    assert min(small) >= 1
    ratio = min(1, most / max(width, height))
    assert all(side == 1 or abs(side - full * ratio) <= 0.5 for side, full in zip(small, (width, height), strict=True))


@pytest.mark.parametrize(
    ("size", "target", "scale"),
    [((4032, 3024), (2016, 1512), 2), ((4032, 3024), (4032, 3024), 1), ((4032, 3024), (300, 225), 8)],
)
def test_draft_scale(size: tuple[int, int], target: tuple[int, int], scale: int) -> None:
    """A decoder shrinks by the largest of its scales that leaves enough pixels."""
    assert draft_scale(size, target) == scale


@pytest.mark.parametrize(
    ("ratio", "step"), [(0.5, "scaled 0.50"), (0.9999, "scaled 0.99"), (0.29, "scaled 0.29"), (0.001, "scaled 0.01")]
)
def test_words_for_a_scale(ratio: float, step: str) -> None:
    """A scale below one never reads as one."""
    assert scaled_step(ratio) == step


def test_memory_grows_with_the_work() -> None:
    """The estimate of memory counts decoded pixels, so a shrunk JPEG takes less, and a progressive one more."""
    turned = PHOTO | {"orientation": 6}
    half = ImageLimits(max_side=2000)
    whole, draft = _plan(turned).memory, _plan(turned, limits=half).memory
    assert draft < whole / 2
    assert _plan(turned | {"progressive": True}, limits=half).memory > draft
    assert _plan(SCAN | {"orientation": 3}).memory < _plan(SCAN | {"orientation": 3, "colour": "rgb"}).memory
    assert _plan(turned | {"width": 9459, "height": 9459, "alpha": True}, shrink=False).memory > MAX_PIXELS * 8
