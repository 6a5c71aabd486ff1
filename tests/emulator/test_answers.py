import io
import re
from typing import Any

import pytest
from PIL import Image
from support.answers import SAMPLES, answer_of, decode

from clova_ocr_async import RecognitionError
from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator import draw_sample
from clova_ocr_async.emulator.answers import image_answer
from clova_ocr_async.protocol.request import ParsedRequest

each_document = pytest.mark.parametrize("document", DOCUMENTS)


def picture(width: int = 40, height: int = 30, format_: str = "png", pages: int = 1) -> bytes:
    """Return an empty picture."""
    page = Image.new("1", (width, height))
    file = io.BytesIO()
    if pages > 1:
        page.save(file, format_, save_all=True, append_images=[page] * (pages - 1))
    else:
        page.save(file, format_)
    return file.getvalue()


def answered(document: str, data: bytes, name: str = "demo") -> dict[str, Any]:
    """Return the image object of the answer to a picture; the declared format does not matter."""
    return image_answer(document, ParsedRequest("id", 0, "jpg", name, data))


@each_document
@pytest.mark.parametrize("format_", ["jpg", "png", "tiff", "pdf"])
def test_a_drawn_sample_is_read_perfectly(document: str, format_: str) -> None:
    """A sample, in any format, is answered with exactly what was drawn."""
    sample = draw_sample(document, format=format_)
    image = answered(document, sample.data)
    assert image[DOCUMENTS[document].answer_key] == sample.truth.answer
    assert (image["inferResult"], image["message"]) == ("SUCCESS", "SUCCESS")


@pytest.mark.parametrize("format_", ["tiff", "pdf"])
def test_a_sample_that_was_converted_says_how_large_it_became(format_: str) -> None:
    """The answer to a PDF or TIFF has the width, height and page of the picture that its polygons refer to."""
    sample = draw_sample("receipt", format=format_)
    width, height = sample.truth.width, sample.truth.height
    assert answered("receipt", sample.data)["convertedImageInfo"] == {
        "width": width,
        "height": height,
        "pageIndex": 0,
        "longImage": False,
    }


@pytest.mark.parametrize("format_", ["jpg", "png"])
def test_a_sample_that_was_not_converted_says_nothing_of_it(format_: str) -> None:
    """Only the answers to PDF and TIFF files have a convertedImageInfo."""
    assert "convertedImageInfo" not in answered("receipt", draw_sample("receipt", format=format_).data)


@pytest.mark.parametrize(
    ("data", "width", "height"),
    [
        pytest.param(picture(40, 30, "tiff"), 40, 30, id="tiff"),
        pytest.param((SAMPLES / "pdf/img2pdf-1-page.pdf").read_bytes(), 1240, 1754, id="pdf"),
        pytest.param(b"II*\x00" + bytes(8), 1000, 1000, id="tiff-without-a-size"),
    ],
)
def test_a_foreign_picture_that_was_converted_says_how_large_it_became(data: bytes, width: int, height: int) -> None:
    """A TIFF that is not a sample keeps its size, and a PDF counts as a page of A4 at 150 dots an inch."""
    info = answered("receipt", data)["convertedImageInfo"]
    assert (info["width"], info["height"], info["pageIndex"]) == (width, height, 0)


@each_document
@pytest.mark.parametrize("format_", ["jpeg", "png", "tiff", "pdf"])
def test_a_foreign_picture_is_answered_in_the_documented_shape(document: str, format_: str) -> None:
    """The answer to a picture that is not a sample is a success without problems and unknown fields."""
    cls = DOCUMENTS[document]
    image = answered(document, picture(format_=format_))
    answer = answer_of(cls, {}) | {"images": [image]}
    recognition = decode(answer, cls)
    assert recognition.problems == ()
    # longImage is real, and documented nowhere.
    assert set(recognition.unknown_fields()) <= {"images[0].convertedImageInfo.longImage"}
    assert recognition.document


@each_document
def test_a_picture_of_another_document_is_a_failure(document: str) -> None:
    """A sample that is requested as another document gets FAILURE without a document object."""
    sample = draw_sample(document)
    for other in DOCUMENTS.keys() - {document}:
        image = answered(other, sample.data)
        assert image["inferResult"] == "FAILURE"
        assert not {cls.answer_key for cls in DOCUMENTS.values()} & image.keys()
        with pytest.raises(RecognitionError):
            decode(answer_of(DOCUMENTS[other], {}) | {"images": [image]}, DOCUMENTS[other])


@pytest.mark.parametrize(
    "data", [b"hello", b"\x00", b"GIF89a" + bytes(20), b"RIFF\x00\x00\x00\x00WEBPVP8 ", b"<html></html>"]
)
def test_what_is_no_picture_is_a_failure(data: bytes) -> None:
    """Bytes of an unsupported format get FAILURE, and the message names the reason."""
    image = answered("receipt", data)
    assert (image["inferResult"], image["message"]) == ("FAILURE", "Image format is not supported.")
    assert "receipt" not in image


@pytest.mark.parametrize(("width", "height"), [(8001, 1), (1, 8001)])
@pytest.mark.parametrize("format_", ["jpeg", "png", "tiff"])
def test_a_picture_over_8000_pixels_a_side_is_an_error(width: int, height: int, format_: str) -> None:
    """One pixel more than 8,000 in width or height is an ERROR without a document object."""
    image = answered("receipt", picture(width, height, format_))
    assert (image["inferResult"], image["message"]) == ("ERROR", "Image size is too large.")
    assert "receipt" not in image


def test_a_picture_of_8000_pixels_a_side_is_read() -> None:
    """A picture of 8,000 pixels in width and height is read."""
    assert answered("receipt", picture(8000, 8000))["inferResult"] == "SUCCESS"


@pytest.mark.parametrize("format_", ["tiff", "pdf"])
def test_several_pages_are_an_error(format_: str) -> None:
    """A TIFF or PDF of two pages is an ERROR without a document object."""
    image = answered("receipt", picture(format_=format_, pages=2))
    assert (image["inferResult"], image["message"]) == ("ERROR", "Only single page is supported.")
    assert "receipt" not in image


def test_the_envelope_tells_picture_from_picture() -> None:
    """Every answer repeats the image's name and has a uid of 32 hex digits, one for each requestId and picture."""
    datas = [b"hello", picture(), picture(8001, 1), draw_sample("receipt").data, draw_sample("passport").data]
    images = [answered("receipt", data, name=f"이름 {number}") for number, data in enumerate(datas)]
    assert [image["name"] for image in images] == [f"이름 {number}" for number in range(len(datas))]
    assert all(re.fullmatch("[0-9a-f]{32}", image["uid"]) for image in images)
    assert len({image["uid"] for image in images}) == len(datas)
    assert [answered("receipt", data)["uid"] for data in datas] == [image["uid"] for image in images]


def test_nothing_was_asked_to_be_validated() -> None:
    """Every answer has the validation result NO_REQUESTED, also a FAILURE."""
    for data in (b"hello", picture(), picture(8001, 1), draw_sample("receipt").data):
        assert answered("receipt", data)["validationResult"] == {"result": "NO_REQUESTED"}


def test_another_call_for_the_same_picture_has_another_uid() -> None:
    """The uid identifies a call, not a picture, as the service's does."""
    calls = [ParsedRequest(request_id, 0, "png", "image", b"the same") for request_id in ("one", "two")]
    assert len({image_answer("receipt", call)["uid"] for call in calls}) == 2
