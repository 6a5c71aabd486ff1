"""Masked copies of records: no number in any of their texts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.errors import RedactionError
from clova_ocr_async.results.masked_records import masked_record
from clova_ocr_async.results.redaction import Masking

if TYPE_CHECKING:
    import pytest

PERSONAL = "900101-1234567"


def record(*addresses: str, **more: Any) -> dict[str, Any]:
    """Return the record of an ID card."""
    card = {"personalNum": [{"text": PERSONAL}], "address": [{"text": text} for text in addresses]}
    return {"source": f"{PERSONAL}.jpg", "copy_of": None, "result": {"idCard": {"result": {"ic": card}}}} | more


def test_every_text_of_a_record_is_masked() -> None:
    """Numbers are hidden in the name, the columns, the error and the answer; the name's exact bytes are left out."""
    found, certain = masked_record(
        record(columns={"note": PERSONAL}, error={"message": f"see {PERSONAL}"}, source_bytes="eA=="), "standard"
    )
    assert certain
    assert "1234567" not in json.dumps(found)
    assert found["source"] == "900101-*******.jpg"
    assert found["columns"] == {"note": "900101-*******"}
    assert "source_bytes" not in found


def test_an_answer_as_raw_json_is_masked() -> None:
    """A record of a run has its answer as the bytes that were answered."""
    raw = msgspec.Raw(json.dumps(record()["result"]).encode())
    found, certain = masked_record({"source": "a.jpg", "result": raw}, "all")
    assert certain
    assert found["result"]["idCard"]["result"]["ic"]["personalNum"][0]["text"] == "******-*******"


def test_an_answer_that_cannot_be_masked_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record whose answer cannot be masked for certain keeps its other keys, and gets the reason."""

    def uncertain(_: Masking) -> None:
        raise RedactionError("still readable")

    monkeypatch.setattr(Masking, "mask_answer", uncertain)
    found, certain = masked_record(record(), "standard")
    assert not certain
    assert found["error"] == {"type": "RedactionError", "code": None, "message": "still readable"}
    assert "result" not in found


def test_a_body_that_was_not_decoded_is_left_out() -> None:
    """An answer that could not be decoded cannot be masked."""
    found, certain = masked_record({"source": None, "raw": "eA==", "error": {"message": None}}, "standard")
    assert not certain
    assert "raw" not in found
