"""Every row of every table of the specification is read, reachable and written back."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from support.answers import (
    DOCUMENT_TABLES,
    OBJECT_TABLES,
    OBJECTS,
    Maker,
    answer_of,
    decode,
    full_document,
    leaves,
    python_name,
    read,
)

from clova_ocr_async.documents import DOCUMENTS, Document, SubTotal


def values_at(holder: Any, path: str) -> list[Any]:
    """Follow a path of the specification by attributes, through tuples; return all that stands there."""
    found = [holder]
    for step in path.split("."):
        reached = (getattr(one, python_name(step.removesuffix("[]"))) for one in found)
        found = [one for many in reached for one in (many if isinstance(many, tuple) else (many,))]
    return found


def wire_values_at(holder: Any, path: str) -> list[Any]:
    """Follow a path of the specification by keys, through arrays; return all that stands there."""
    found = [holder]
    for step in path.split("."):
        reached = (one[step.removesuffix("[]")] for one in found)
        found = [one for many in reached for one in (many if isinstance(many, list) else [many])]
    return found


def assert_row(holder: Any, wire: Any, path: str, kind: str) -> None:
    """Assert that what a row names is reached by attributes, to the last leaf of its kind."""
    python, came, element = values_at(holder, path), wire_values_at(wire, path), kind.removesuffix("[]")
    assert len(python) == len(came) > 0
    for one, sent in zip(python, came, strict=True):
        if element in OBJECTS:
            assert isinstance(one, OBJECTS[element])
            for row, row_kind in OBJECT_TABLES[element].items():
                assert_row(one, sent, row, row_kind)
        else:
            assert one == (float(sent) if element == "number in a string" else sent)


ROWS = [(cls, path, kind) for cls, table in DOCUMENT_TABLES.items() for path, kind in table.items()]


@pytest.mark.parametrize(("cls", "path", "kind"), ROWS, ids=lambda part: getattr(part, "path_word", part))
def test_each_row_of_a_document_is_reachable(cls: type[Document], path: str, kind: str) -> None:
    """Each row of the specification is reached by its name in snake case, with every row of its own type."""
    wire = full_document(cls)
    assert_row(read(cls, wire), wire, path, kind)


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
def test_a_full_document_is_written_back(cls: type[Document]) -> None:
    """A document with every row of its table encodes to what it was decoded from, and none of its keys is unknown."""
    wire = full_document(cls)
    recognition = decode(answer_of(cls, wire), cls)
    assert json.loads(msgspec.json.encode(recognition.document)) == wire
    assert list(recognition.unknown_fields()) == []


@pytest.mark.parametrize("name", OBJECTS)
def test_each_row_of_a_shared_object_is_reachable(name: str) -> None:
    """Each shared object of the specification is read and written back, also if no document refers to it."""
    wire = Maker().make(name)
    decoded = msgspec.json.decode(json.dumps(wire), type=OBJECTS[name])
    for row, kind in OBJECT_TABLES[name].items():
        assert_row(decoded, wire, row, kind)
    assert json.loads(msgspec.json.encode(decoded)) == wire


def test_the_tables_are_those_of_the_specification() -> None:
    """The tables above name all documents, and as many rows as the specification's tables have leaves."""
    assert set(DOCUMENT_TABLES) == set(DOCUMENTS.values())
    rows = {cls.path_word: len(table) for cls, table in DOCUMENT_TABLES.items()}
    assert rows == {
        "receipt": 22,
        "credit-card": 4,
        "biz-license": 20,
        "id-card": 45,
        "name-card": 12,
        "passport": 20,
    }
    assert len(OBJECTS) == 16


def test_the_canaries_of_a_full_document_differ() -> None:
    """The generated leaves differ from each other, so that a swapped field is found."""
    for cls in DOCUMENT_TABLES:
        found = [leaf for _, leaf in leaves(full_document(cls)) if not isinstance(leaf, bool)]
        assert len(found) == len(set(found)) > 0


def test_the_totals_of_the_table_of_2023_are_a_sub_total() -> None:
    """The table's subtotal, a FloatObject with children, is a SubTotal of its own text and children."""
    wire = full_document(next(cls for cls in DOCUMENT_TABLES if cls.path_word == "receipt"))
    (totals,) = values_at(read(DOCUMENTS["receipt"], wire), "result.subtotal")
    assert isinstance(totals, SubTotal)
    assert totals.text == wire["result"]["subtotal"]["text"]
    assert totals.tax_price[0].text == wire["result"]["subtotal"]["taxprice"]["text"]
