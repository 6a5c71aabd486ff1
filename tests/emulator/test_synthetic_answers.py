import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import answer_of, decode, leaves, nodes

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.emulator.synthetic_answers import synthetic_answer

each_document = pytest.mark.parametrize("document", DOCUMENTS)
files = st.binary(min_size=1, max_size=64)
sides = st.integers(1, 8000)


@each_document
@given(files, sides, sides)
def test_a_made_up_answer_has_the_documented_shape(document: str, data: bytes, width: int, height: int) -> None:
    """The answer to any picture decodes into its document without problems and unknown fields."""
    cls = DOCUMENTS[document]
    recognition = decode(answer_of(cls, synthetic_answer(document, data, width, height)), cls)
    assert recognition.problems == ()
    assert list(recognition.unknown_fields()) == []
    assert type(recognition.document) is cls
    assert recognition.document


@each_document
@given(files, sides, sides)
def test_the_polygons_of_a_made_up_answer_lie_on_the_picture(
    document: str, data: bytes, width: int, height: int
) -> None:
    """No corner of a polygon lies outside the picture, and every polygon has four."""
    vertices = [
        value
        for steps, value in nodes(synthetic_answer(document, data, width, height))
        if steps and steps[-1] == "vertices"
    ]
    assert vertices or document == "passport"
    for corners in vertices:
        assert len(corners) == 4
        for corner in corners:
            assert 0 <= corner["x"] <= width
            assert 0 <= corner["y"] <= height


@each_document
@given(files, sides, sides)
def test_a_made_up_answer_follows_from_the_bytes_alone(document: str, data: bytes, width: int, height: int) -> None:
    """Equal bytes get equal answers at every call, and equal texts in every size."""

    def texts(answer: object) -> list[object]:
        return [value for steps, value in leaves(answer) if steps[-1] not in {"x", "y"}]

    answer = synthetic_answer(document, data, width, height)
    assert synthetic_answer(document, data, width, height) == answer
    assert texts(synthetic_answer(document, data, height, width)) == texts(answer)


@each_document
def test_other_bytes_read_otherwise(document: str) -> None:
    """Fifty pictures give fifty different answers."""
    answers = {json.dumps(synthetic_answer(document, bytes([number]), 800, 600)) for number in range(50)}
    assert len(answers) == 50


def test_a_made_up_total_is_the_sum_of_its_items() -> None:
    """The prices of a synthetic receipt are unit price times count and add up to its total."""
    for number in range(50):
        result = synthetic_answer("receipt", bytes([number]), 800, 600)["result"]
        items = result["subResults"][0]["items"]
        prices = [int(item["price"]["price"]["formatted"]["value"]) for item in items]
        assert prices == [
            int(item["price"]["unitPrice"]["formatted"]["value"]) * int(item["count"]["formatted"]["value"])
            for item in items
        ]
        assert int(result["totalPrice"]["price"]["formatted"]["value"]) == sum(prices)


def test_a_made_up_resident_number_comes_with_what_to_black_out() -> None:
    """The number and the date of issue of a synthetic ID card have masking polygons; the name has none."""
    card = synthetic_answer("id-card", b"picture", 800, 600)["result"]["ic"]
    assert re.fullmatch(r"\d{6}-\d{7}", card["personalNum"][0]["text"])
    assert card["personalNum"][0]["maskingPolys"]
    assert card["issueDate"][0]["maskingPolys"]
    assert card["name"][0]["maskingPolys"] == []
