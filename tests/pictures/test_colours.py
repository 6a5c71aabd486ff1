from __future__ import annotations

from typing import Any

import pytest
from PIL import Image, ImageCms
from support.profiles import inverted_cmyk_profile

from clova_ocr_async.pictures.colours import PLAIN_MODES, to_plain


def _of(mode: str, values: list[Any]) -> Image.Image:
    image = Image.new(mode, (len(values), 1))
    image.putdata(values)
    return image


def _values(image: Image.Image) -> list[Any]:
    return [image.getpixel((x, 0)) for x in range(image.width)]


@pytest.mark.parametrize("mode", sorted(PLAIN_MODES))
def test_plain_colours_stay(mode: str) -> None:
    """A picture in plain colours is the same object."""
    image = Image.new(mode, (2, 2))
    assert to_plain(image) is image


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bits(mode: str) -> None:
    """Greys of 16 bits are scaled and rounded, and not cut off at 255."""
    raw = "I;16" if mode == "I;16" else "I;16B"
    values = [0, 128, 129, 16_448, 32_896, 65_535]
    data = b"".join(value.to_bytes(2, "little" if mode == "I;16" else "big") for value in values)
    image = Image.frombytes(mode, (len(values), 1), data, "raw", raw)
    assert _values(to_plain(image)) == [0, 0, 1, 64, 128, 255]


@pytest.mark.parametrize(
    ("mode", "values", "greys"),
    [
        ("I", [0, 100, 255], [0, 100, 255]),
        ("I", [0, 32_896, 65_535], [0, 128, 255]),
        ("I", [0, 1_000_000, 2_000_000], [0, 128, 255]),
        ("I", [-100, 0, 155], [0, 72, 183]),
        ("F", [0.0, 0.5, 1.0], [0, 128, 255]),
        ("F", [0.0, 100.0, 255.0], [0, 100, 255]),
        ("F", [0.0, 32_896.0, 65_535.0], [0, 128, 255]),
        ("F", [0.0, 0.0, 1e9], [0, 0, 255]),
        ("F", [-1.0, 0.0, 1.0], [0, 128, 255]),
    ],
)
def test_numbers(mode: str, values: list[float], greys: list[int]) -> None:
    """Numbers are scaled from the depth that holds them all; from the highest where none does."""
    assert all(abs(one - other) <= 1 for one, other in zip(_values(to_plain(_of(mode, values))), greys, strict=True))


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_numbers_that_cannot_be_scaled(value: float) -> None:
    """A picture of a number that is not finite is refused."""
    with pytest.raises(ValueError, match=r"^$"):
        to_plain(_of("F", [value, value]))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (_of("RGBA", [(9, 9, 9, 0), (0, 0, 0, 255), (0, 0, 0, 51)]), [(255,) * 3, (0,) * 3, (204,) * 3]),
        (_of("LA", [(9, 0), (0, 255)]), [255, 0]),
        (_of("RGBA", [(200, 0, 0, 255)]).convert("RGBa"), [(200, 0, 0)]),
        (_of("LA", [(9, 255)]).convert("La"), [9]),
    ],
)
def test_alpha(image: Image.Image, expected: list[Any]) -> None:
    """Transparent pixels become white, as far as they are transparent."""
    assert _values(to_plain(image)) == expected


def test_transparent_colour_of_a_palette() -> None:
    """The transparent colour of a palette becomes white."""
    image = _of("P", [0, 1])
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.info["transparency"] = 0
    assert _values(to_plain(image)) == [(255, 255, 255), (40, 50, 60)]


def test_transparent_colour_of_rgb() -> None:
    """The transparent colour of RGB becomes white."""
    image = _of("RGB", [(1, 2, 3), (4, 5, 6)])
    image.info["transparency"] = (1, 2, 3)
    assert _values(to_plain(image)) == [(255, 255, 255), (4, 5, 6)]


def test_transparent_number_of_16_bits() -> None:
    """The transparent number of a grey of 16 bits is ignored: pixels are scaled all the same."""
    image = Image.new("I;16", (1, 1), 32_896)
    image.info["transparency"] = 0
    assert _values(to_plain(image)) == [128]


def test_lab() -> None:
    """LAB becomes the RGB that it means."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(_of("RGB", [(200, 30, 60)]), srgb, lab, outputMode="LAB")
    assert image is not None
    (red, green, blue), *_ = _values(to_plain(image))
    assert max(abs(red - 200), abs(green - 30), abs(blue - 60)) <= 4


def test_cmyk_by_its_profile() -> None:
    """CMYK becomes RGB by the embedded profile: here one in which no ink is black."""
    image = _of("CMYK", [(0, 0, 0, 0), (255, 255, 255, 255)])
    image.info["icc_profile"] = inverted_cmyk_profile()
    dark, light = _values(to_plain(image))
    assert max(dark) < 20
    assert min(light) > 235


@pytest.mark.parametrize(
    "profile",
    [None, b"", b"no profile", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()],
    ids=["none", "empty", "broken", "of other colours"],
)
def test_cmyk_without_a_usable_profile(profile: bytes | None) -> None:
    """CMYK without a profile of its own becomes RGB as Pillow converts it."""
    image = _of("CMYK", [(0, 0, 0, 0), (0, 0, 0, 255)])
    image.info["icc_profile"] = profile
    assert _values(to_plain(image)) == [(255, 255, 255), (0, 0, 0)]


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "RGBX"])
def test_other_modes(mode: str) -> None:
    """Other modes become RGB."""
    assert to_plain(Image.new("RGB", (2, 2), (200, 30, 60)).convert(mode)).mode == "RGB"
