"""The picture of a request in the ledger, and on the recognition that is replayed from it."""

from __future__ import annotations

import pytest
from support.ledgers import item

from clova_ocr_async.documents import Receipt
from clova_ocr_async.documents.envelope import ConvertedImageInfo
from clova_ocr_async.documents.objects import BoundingPoly, Vertex
from clova_ocr_async.documents.picture import Picture
from clova_ocr_async.documents.recognition import Recognition
from clova_ocr_async.errors import Billing, RecognitionError
from clova_ocr_async.ledger.settlement import replay
from clova_ocr_async.ledger.states import Entry, State
from clova_ocr_async.protocol.response import HTTPResponse, encode_response

SENT = Picture(
    steps=("page 3", "scaled 0.50"),
    page=3,
    size=(595.0, 842.0),
    rotation=90,
    crop_box=(0.0, 0.0, 842.0, 595.0),
    sha256="ab" * 32,
)


def replayed(picture: bytes, result: str = "SUCCESS", **more: object) -> Recognition[Receipt]:
    """Return the recognition of a stored answer."""
    state = State.SUCCEEDED if result == "SUCCESS" else State.FAILED
    image = {"uid": "u", "inferResult": result, "receipt": {"meta": {}}} | more
    answer = HTTPResponse(200, encode_response("r", 0, image))
    outcome = replay(
        Entry(1, item(), state, billing=Billing.BILLED, request_id="r", answer=answer, picture=picture), Receipt
    )
    found = outcome.recognition if isinstance(outcome, RecognitionError) else outcome
    assert isinstance(found, Recognition)
    return found


@pytest.mark.parametrize("result", ["SUCCESS", "FAILURE"])
def test_a_replayed_recognition_has_the_picture_that_was_sent(result: str) -> None:
    """The picture that a request stored is on the recognition of its answer, whether it was read or not."""
    assert replayed(SENT.to_json(), result).picture == SENT


@pytest.mark.parametrize("stored", [b"", b"\xff\xfe", b'{"page":"x"}', b"[" * 5000])
def test_a_picture_that_is_not_stored_or_damaged_is_empty(stored: bytes) -> None:
    """Without a stored picture, or with one that another program has changed, the recognition has an empty one."""
    assert replayed(stored).picture == Picture()


def test_the_polygons_of_a_pdf_refer_to_the_picture_that_the_service_made() -> None:
    """The size of a PDF or TIFF that was sent as such is the one that the answer names."""
    info = {"width": 1653, "height": 2339, "pageIndex": 0, "longImage": False}
    assert replayed(SENT.to_json(), convertedImageInfo=info).picture.sent_size == (1653, 2339)
    assert replayed(b"", convertedImageInfo=info).picture.sent_size == (1653, 2339)
    assert SENT.as_converted(ConvertedImageInfo(width=5)) == SENT


@pytest.mark.parametrize("side", [0, -1, 2**31 + 1, 10**400])
def test_a_side_that_no_picture_has_is_not_a_size(side: int) -> None:
    """An answer with such a side leaves the size unknown: polygons can be mapped, and the picture stored and read."""
    for sides in ({"width": side, "height": 2339}, {"width": 1653, "height": side}):
        picture = replayed(SENT.to_json(), convertedImageInfo=sides).picture
        assert picture == SENT
        assert picture.to_original(BoundingPoly(vertices=(Vertex(x=1.0, y=2.0),))).vertices
        assert Picture.from_json(picture.to_json()) == picture
