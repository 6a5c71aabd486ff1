import ast
import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async import documents
from clova_ocr_async.emulator import GroundTruth, find_ground_truth
from clova_ocr_async.emulator.samples import ground_truth as truth_module
from clova_ocr_async.emulator.samples.ground_truth import DOCUMENTS, END, MAX_STARTS, START, pack_ground_truth

TRUTH = GroundTruth("receipt", 620, 900, {"meta": {"estimatedLanguage": "ko"}, "result": {"text": "견본"}})

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
truths = st.builds(
    GroundTruth,
    document=st.sampled_from(DOCUMENTS),
    width=st.integers(1, 20_000),
    height=st.integers(1, 20_000),
    answer=st.dictionaries(st.text(), json_values, max_size=4),
)


def marked(text: bytes) -> bytes:
    """Pack any bytes as a truth is packed."""
    return START + base64.b64encode(zlib.compress(text)) + END


def fields(**changed: Any) -> bytes:
    """Write a truth's JSON with some of its fields changed."""
    return json.dumps({"document": "receipt", "width": 1, "height": 1, "answer": {}, **changed}).encode()


@given(truths, st.binary(max_size=99), st.binary(max_size=99))
def test_a_packed_truth_is_found_again_in_any_surroundings(truth: GroundTruth, before: bytes, after: bytes) -> None:
    """Any packed ground truth is found unchanged in a file with any bytes before and after it."""
    assert find_ground_truth(before + pack_ground_truth(truth) + after) == truth


@given(truths)
def test_a_packed_truth_is_plain_ascii(truth: GroundTruth) -> None:
    """A packed truth has no character that any container would have to escape."""
    packed = pack_ground_truth(truth).decode("ascii")
    assert packed.isprintable()
    assert not set(packed) & set(" \"'\\()<>")


@given(st.binary(max_size=400))
def test_any_bytes_are_searched_without_an_error(data: bytes) -> None:
    """Bytes without a ground truth give None, with and without markers around them."""
    assert find_ground_truth(data) is None
    assert find_ground_truth(START + data + END) is None
    assert find_ground_truth(marked(data)) is None


@given(st.data())
def test_a_damaged_truth_is_none_or_the_same(data: st.DataObject) -> None:
    """One changed byte in a packed truth never gives another truth and never raises."""
    packed = bytearray(pack_ground_truth(TRUTH))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] = data.draw(st.integers(0, 255))
    assert find_ground_truth(bytes(packed)) in (None, TRUTH)


@pytest.mark.parametrize("length", [1, len(START), -1, -len(END), -len(END) - 1])
def test_a_truth_that_was_cut_off_is_none(length: int) -> None:
    """A file that ends within its truth has none."""
    assert find_ground_truth(pack_ground_truth(TRUTH)[:length]) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"{}",
        b"[" * 100_000,
        fields(document="invoice"),
        fields(document=None),
        fields(document=["receipt"]),
        fields(width=0),
        fields(width=True),
        fields(height=-1),
        fields(height=1.0),
        fields(answer=[]),
        fields(answer=None),
        b'{"width":' + b"9" * 5000 + b"}",
    ],
)
def test_another_shape_is_none(text: bytes) -> None:
    """JSON of another shape, and text that is not JSON, gives None although markers are around it."""
    assert find_ground_truth(marked(text)) is None


def test_the_right_shape_is_found() -> None:
    """The JSON that the wrong shapes are made from is a truth itself."""
    assert find_ground_truth(marked(fields())) == GroundTruth("receipt", 1, 1, {})


def test_a_bomb_is_none() -> None:
    """A small blob that would unpack to a huge one is not unpacked."""
    assert find_ground_truth(marked(b'{"answer":"' + b" " * 50_000_000)) is None


def test_a_blob_with_more_behind_its_end_of_stream_is_cut_there() -> None:
    """A compressed stream that never ends is not taken for a truth."""
    stream = zlib.compress(fields())[:-1]
    assert find_ground_truth(START + base64.b64encode(stream) + END) is None


def test_a_truth_behind_false_starts_is_found() -> None:
    """A few start markers without a ground truth do not hide the one after them."""
    assert find_ground_truth(START * (MAX_STARTS - 1) + b"] " + pack_ground_truth(TRUTH)) == TRUTH
    assert find_ground_truth(START * MAX_STARTS + b"] " + pack_ground_truth(TRUTH)) is None


@pytest.mark.parametrize(
    "wrong",
    [
        GroundTruth("invoice", 1, 1, {}),
        GroundTruth("receipt", 0, 1, {}),
        GroundTruth("receipt", 1, True, {}),
        GroundTruth("receipt", 1, 1, {"score": float("nan")}),
    ],
)
def test_what_cannot_be_found_again_is_not_packed(wrong: GroundTruth) -> None:
    """Packing refuses what `find_ground_truth` would not give back."""
    with pytest.raises(ValueError, match=r"not a ground truth|not JSON compliant"):
        pack_ground_truth(wrong)


def test_a_truth_that_is_too_long_is_not_packed() -> None:
    """Packing refuses an answer beyond the length that is unpacked."""
    with pytest.raises(ValueError, match="too long"):
        pack_ground_truth(GroundTruth("receipt", 1, 1, {"text": "0" * (5 << 20)}))


def test_the_repr_shows_no_values() -> None:
    """The repr of a ground truth shows document and size, and no values."""
    assert repr(TRUTH) == "GroundTruth(document='receipt', width=620, height=900)"


def test_only_the_standard_library_is_needed() -> None:
    """Finding a ground truth needs no Pillow: the module imports the standard library alone."""
    tree = ast.parse(Path(truth_module.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_truths_are_of_the_six_documents() -> None:
    """A ground truth can be of each document of the client, and of no other."""
    assert tuple(documents.DOCUMENTS) == DOCUMENTS
