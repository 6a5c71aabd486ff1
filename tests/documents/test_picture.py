from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.documents.objects import BoundingPoly, Vertex
from clova_ocr_async.documents.picture import Picture

ORIENTATIONS = range(1, 9)


def _poly(*points: tuple[float | None, float | None]) -> BoundingPoly:
    return BoundingPoly(vertices=tuple(Vertex(x=x, y=y) for x, y in points))


def _points(polygon: BoundingPoly) -> list[tuple[float | None, float | None]]:
    return [(vertex.x, vertex.y) for vertex in polygon.vertices]


def _upright(x: float, y: float, orientation: int, width: float, height: float) -> tuple[float, float]:
    """Return a stored point as a viewer shows it, written out from the table of the EXIF specification."""
    return {
        1: (x, y),
        2: (width - x, y),
        3: (width - x, height - y),
        4: (x, height - y),
        5: (y, x),
        6: (height - y, x),
        7: (height - y, width - x),
        8: (y, width - x),
    }[orientation]


def _viewer_size(orientation: int, width: float, height: float) -> tuple[float, float]:
    return (height, width) if orientation >= 5 else (width, height)


SQUARE = _poly((0.0, 0.0), (10.0, 0.0), (10.0, 5.0), (0.0, 5.0))


def test_nothing_known_changes_nothing() -> None:
    """A picture of unknown sizes gives the polygon as it was answered."""
    assert Picture().to_original(SQUARE) is SQUARE
    assert Picture(orientation=6).to_original(SQUARE, stored=True) is SQUARE


@pytest.mark.parametrize("stored", [False, True])
def test_sent_as_it_is(stored: bool) -> None:
    """A picture that was sent as it is gives the polygon as it was answered."""
    assert Picture(size=(40, 30), sent_size=(40, 30)).to_original(SQUARE, stored=stored) == SQUARE


def test_scaled_by_the_exact_ratio_of_each_axis() -> None:
    """A shrunk picture whose sides were rounded maps its corners onto those of the original."""
    picture = Picture(size=(1001, 667), sent_size=(500, 333))
    mapped = picture.to_original(_poly((0.0, 0.0), (500.0, 333.0)))
    assert _points(mapped) == [(0, 0), (1001, 667)]


sides = st.integers(1, 20_000)
shares = st.floats(0, 1)


@given(st.sampled_from(ORIENTATIONS), sides, sides, st.integers(1, 10), shares, shares, st.booleans())
def test_there_and_back(
    orientation: int, width: int, height: int, divisor: int, share_x: float, share_y: float, turned: bool
) -> None:
    """A point of the original that is turned and scaled as the sent picture maps back to itself, in both rasters."""
    x, y = share_x * width, share_y * height
    size, shown = _viewer_size(orientation, width, height), _upright(x, y, orientation, width, height)
    before, point = (size, shown) if turned else ((width, height), (x, y))
    sent = (max(1, before[0] // divisor), max(1, before[1] // divisor))
    picture = Picture(size=size, sent_size=sent, orientation=orientation, upright=turned, steps=("some",))
    polygon = _poly((point[0] * sent[0] / before[0], point[1] * sent[1] / before[1]))
    assert _points(picture.to_original(polygon)) == [pytest.approx(shown, abs=1e-6)]
    assert _points(picture.to_original(polygon, stored=True)) == [pytest.approx((x, y), abs=1e-6)]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("stored", [False, True])
def test_sent_byte_for_byte_with_an_orientation(orientation: int, stored: bool) -> None:
    """The polygons of a file that was sent byte for byte stay as they were answered, whatever its orientation."""
    picture = Picture(size=_viewer_size(orientation, 40, 30), orientation=orientation)
    assert picture.to_original(SQUARE, stored=stored) == SQUARE


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize(("sent", "lies_upright"), [((15, 20), True), ((20, 15), False)])
def test_sides_of_a_converted_tiff(orientation: int, sent: tuple[int, int], lies_upright: bool) -> None:
    """The sides of the picture that the service made of a TIFF show whether it was turned."""
    picture = Picture(size=(30, 40), sent_size=sent, orientation=orientation)
    same = Picture(size=(30, 40), sent_size=sent, orientation=orientation, upright=lies_upright)
    for stored in (False, True):
        assert picture.to_original(SQUARE, stored=stored) == same.to_original(SQUARE, stored=stored)


@pytest.mark.parametrize(("orientation", "size"), [(6, (30, 30)), (3, (40, 30))])
def test_sides_that_show_nothing(orientation: int, size: tuple[int, int]) -> None:
    """A square, or an orientation that keeps the sides, leaves the polygon as it was answered but for its scale."""
    picture = Picture(size=size, sent_size=(size[0] / 2, size[1] / 2), orientation=orientation)
    assert _points(picture.to_original(_poly((1.0, 2.0)), stored=True)) == [(2, 4)]


CROP = (10.0, 20.0, 210.0, 320.0)


@pytest.mark.parametrize(
    ("rotation", "corner", "middle"),
    [
        (0, (10, 320), (60, 300)),
        (90, (10, 20), (30, 70)),
        (180, (210, 20), (160, 40)),
        (270, (210, 320), (190, 270)),
    ],
)
def test_page_of_a_pdf(rotation: int, corner: tuple[float, float], middle: tuple[float, float]) -> None:
    """A point of a rendered page maps to points from the top left, and to the user space of the page."""
    size = (300, 200) if rotation % 180 else (200, 300)
    sent = (size[0] * 2, size[1] * 2)
    picture = Picture(size=size, sent_size=sent, rotation=rotation, crop_box=CROP)
    polygon = _poly((0.0, 0.0), (100.0, 40.0))
    assert _points(picture.to_original(polygon)) == [(0, 0), (50, 20)]
    assert _points(picture.to_original(polygon, stored=True)) == [corner, middle]


def test_size_of_a_page_follows_from_its_crop_box() -> None:
    """The size of a page that is not stated follows from its crop box and its rotation."""
    picture = Picture(sent_size=(600, 400), rotation=90, crop_box=CROP)
    assert _points(picture.to_original(_poly((600.0, 400.0)))) == [(300, 200)]


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 10.0), (10.0, 10.0, 0.0, 0.0)])
def test_crop_box_without_an_area(box: tuple[float, float, float, float]) -> None:
    """A crop box without an area is as good as none: the size stays that of the sent picture."""
    assert _points(Picture(sent_size=(9, 9), crop_box=box).to_original(_poly((3.0, 4.0)))) == [(3, 4)]


@pytest.mark.parametrize("sent", [(0, 0), (0, 10), (10, 0)])
def test_sent_size_of_zero(sent: tuple[int, int]) -> None:
    """A side of zero in the service's answer does not divide."""
    assert Picture(size=(4, 4), sent_size=sent).to_original(SQUARE) == SQUARE
    assert Picture(sent_size=sent).to_original(SQUARE) is SQUARE


def test_unknown_coordinates_stay_unknown() -> None:
    """A coordinate that is None stays None, on the axis that it is turned to."""
    picture = Picture(size=(30, 40), sent_size=(30, 40), orientation=6, upright=True)
    polygon = _poly((None, None), (3.0, None), (None, 4.0))
    assert _points(picture.to_original(polygon)) == _points(polygon)
    assert _points(picture.to_original(polygon, stored=True)) == [(None, None), (None, 27), (4, None)]


def test_absent_polygon_stays_absent() -> None:
    """A polygon without vertices stays the same object."""
    assert Picture(size=(4, 4), sent_size=(2, 2)).to_original(empty := BoundingPoly()) is empty


FULL = Picture(
    steps=("heic to jpeg", "scaled 0.50"),
    page=3,
    size=(30.5, 40),
    sent_size=(15, 20),
    orientation=6,
    upright=True,
    rotation=270,
    crop_box=CROP,
    sha256="ab" * 32,
)


@pytest.mark.parametrize("picture", [Picture(), FULL])
def test_json(picture: Picture) -> None:
    """A picture survives its JSON, and pickling."""
    assert Picture.from_json(picture.to_json()) == picture
    assert pickle.loads(pickle.dumps(picture)) == picture  # noqa: S301 - our own


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"steps":["\xff"]}',
        b'{"steps":3}',
        b'{"size":[0,4]}',
        b'{"size":[1e999,4]}',
        b'{"size":[4]}',
        b'{"orientation":9}',
        b'{"rotation":45}',
        b'{"page":0}',
        b'{"skew":0.1,"size":[4,4]}',
        b"[" * 100_000,
    ],
)
def test_damaged_or_newer_json(stored: bytes) -> None:
    """JSON that is damaged, or has a field of a later version, is an empty picture: it may map elsewhere."""
    assert Picture.from_json(stored) == Picture()


@given(st.binary(max_size=60))
def test_any_bytes_as_json(stored: bytes) -> None:
    """No bytes in a ledger make an exception."""
    assert isinstance(Picture.from_json(stored), Picture)


def test_repr_shows_sizes_and_steps() -> None:
    """The repr of a picture shows its steps and sizes, and no field that is empty."""
    assert repr(Picture(steps=("scaled 0.50",), size=(4, 2))) == "Picture(steps=('scaled 0.50',), size=(4, 2))"
