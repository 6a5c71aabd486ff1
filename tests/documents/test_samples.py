"""The samples on disk: the specification's own examples, and answers in the shapes that real ones have."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import pytest
from support.answers import SAMPLES, decode, document_of, samples

from clova_ocr_async.documents import (
    DOCUMENTS,
    BizLicense,
    CreditCard,
    Document,
    IdCard,
    IdCardKind,
    NameCard,
    Passport,
    Receipt,
    date_from_text,
)

if TYPE_CHECKING:
    from pathlib import Path

DocumentT = TypeVar("DocumentT", bound=Document)

ALL = [*samples("specification"), *samples("real")]


def load(path: Path) -> dict[str, Any]:
    """Return a sample as plain values."""
    loaded: dict[str, Any] = json.loads(path.read_bytes())
    return loaded


def sample(name: str, cls: type[DocumentT]) -> DocumentT:
    """Return a sample's document; it must fit."""
    recognition = decode((SAMPLES / f"{name}.json").read_bytes(), cls)
    assert recognition.problems == ()
    return recognition.document


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_sample_encodes_to_what_it_was_decoded_from(path: Path) -> None:
    """A document encodes to the very keys, nesting, leaves and empty lists of its answer."""
    answer = load(path)
    cls, document = document_of(answer)
    recognition = decode(path.read_bytes(), cls)
    assert recognition.problems == ()
    assert json.loads(msgspec.json.encode(recognition.document)) == document
    assert list(recognition.unknown_fields()) == []
    assert recognition.to_dict() == answer["images"][0]


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_lenient_walk_reads_a_sample_as_the_typed_decoder_does(path: Path) -> None:
    """One misfit elsewhere in the answer changes nothing of the document."""
    answer = load(path)
    cls, document = document_of(answer)
    recognition = decode({**answer, "version": 2}, cls)
    assert [problem.path for problem in recognition.problems] == ["version"]
    assert recognition.document == decode(answer, cls).document
    assert json.loads(msgspec.json.encode(recognition.document)) == document


def test_the_specification_has_an_example_of_each_document() -> None:
    """No document is left without an example."""
    assert {document_of(load(path))[0] for path in samples("specification")} == set(DOCUMENTS.values())


def test_the_specifications_receipt() -> None:
    """The specification's receipt reads as its page shows it."""
    receipt = sample("specification/receipt", Receipt)
    assert receipt.meta.estimated_language == "ko"
    assert receipt.result.store_info.name.value == "emart everyday"
    assert receipt.result.store_info.biz_num.value == "212-81-25544"


def test_the_specifications_id_card_with_a_capital_value() -> None:
    """The issuing authority is read although the example writes "Value"."""
    result = sample("specification/id-card", IdCard).result
    assert result.id_type is not None
    assert result.kind == "ic"
    authority = result.ic.authority[0]
    assert authority.formatted.wire_upper_value is not None
    assert authority.value == authority.formatted.value == authority.formatted.wire_upper_value


def test_the_specifications_business_registration_with_an_empty_key() -> None:
    """The address is read although the example has an empty key for its text; an empty list stays a list."""
    result = sample("specification/biz-license", BizLicense).result
    assert result.bis_address[0].text == "54, Bogong-ro, Sacheon-eup, Sacheon-si, Gyeongsangnam-do"
    assert result.bis_area == ()


def test_the_specifications_passport() -> None:
    """Text, number and flag of the machine readable zone come as such; "-" is not a value."""
    result = sample("specification/passport", Passport).passport_result
    assert (result.age.value, result.is_expired.value) == (36, False)
    assert result.last_name2.refined_text == "-"
    assert result.last_name2.value is None
    assert result.mrz_lines.postprocessed == (1,)
    assert result.gender.postprocessed == ()


def test_a_receipt_of_2024() -> None:
    """Cells without formatted, a day "00" and counts of punctuation give texts and None, never an error."""
    result = sample("real/receipt-2024", Receipt).result
    assert result.store_info.name.confidence_score == 0.9712
    assert result.store_info.name.key_text == ""
    assert not result.store_info.sub_name.formatted
    assert result.store_info.sub_name.value == "시험점"
    assert result.payment_info.date.date is None
    assert result.payment_info.date.value == "20241100123456"
    assert result.payment_info.time.time == dt.time(12, 34)
    items = [item for group in result.sub_results for item in group.items]
    assert [item.count.decimal for item in items] == [None, None, Decimal(3)]
    assert items[0].price.price.decimal == Decimal(16960)
    assert items[1].price.price.decimal is None


def test_a_receipt_with_nothing_but_lines_and_a_total() -> None:
    """A receipt without a store and a payment reads them as absent."""
    result = sample("real/receipt-sub-results-only", Receipt).result
    assert not result.store_info
    assert result.payment_info.card_info.number.value is None
    assert result.total_price.price.decimal == Decimal(10500)


def test_a_receipt_with_the_totals_of_2026() -> None:
    """SubTotal and creditCardPrice come as arrays."""
    result = sample("real/receipt-sub-total", Receipt).result
    assert result.total_price.price.value is None
    assert [price.decimal for price in result.total_price.credit_card_price] == [Decimal(12000)]
    (totals,) = result.sub_total
    assert [price.decimal for price in totals.tax_price] == [Decimal(1091)]
    assert [price.decimal for price in totals.discount_price] == [Decimal(-1000)]
    assert [price.decimal for price in totals.sub_total_price] == [Decimal(10909)]
    assert result.payment_info.date.date == dt.date(2024, 3, 5)


def test_a_pdf_names_the_picture_it_was_turned_into() -> None:
    """The size of the converted picture, its page and the undocumented flag are read."""
    info = decode((SAMPLES / "real/receipt-pdf.json").read_bytes(), Receipt).converted_image_info
    assert (info.width, info.height, info.page_index, info.long_image) == (1758, 2480, 0, False)


@pytest.mark.parametrize(
    ("kind", "id_type"),
    [("ic", "ID Card"), ("dl", "Driver's License"), ("pp", "Passport"), ("ac", "Alien Registration Card")],
)
def test_each_kind_of_id_card(kind: IdCardKind, id_type: str) -> None:
    """The kind follows from the card that is there; the others are absent, and the number has its masking polygon."""
    result = sample(f"real/id-card-{kind}", IdCard).result
    assert (result.kind, result.id_type) == (kind, id_type)
    cards = {"ic": result.ic, "dl": result.dl, "pp": result.pp, "ac": result.ac}
    assert [name for name, card in cards.items() if card] == [kind]
    numbers = {
        "ic": result.ic.personal_num,
        "dl": result.dl.num,
        "pp": result.pp.mrz1,
        "ac": result.ac.alien_reg_num,
    }
    assert len(numbers[kind][0].masking_polys[0].vertices) == 4


def test_a_corner_of_an_id_card_may_lie_outside_the_picture() -> None:
    """Negative and fractional coordinates are kept."""
    corner = sample("real/id-card-ic", IdCard).result.rois[0].vertices[0]
    assert (corner.x, corner.y) == (-12.375, -3.5)


def test_a_business_registration_with_dates_in_free_text() -> None:
    """Dates with stray blanks are read by date_from_text, and a confidence of 0.0 is kept as one."""
    result = sample("real/biz-license", BizLicense).result
    assert date_from_text(result.issuance_date[0].value) == dt.date(2024, 6, 24)
    assert date_from_text(result.open_date[0].value) == dt.date(2019, 3, 4)
    assert result.tax_type[0].confidence_score == 0.0
    assert result.document_type[0].value == "사업자등록증"
    assert result.social_number == ()


def test_the_other_samples() -> None:
    """A passport, a credit card and a name card in real shapes are read."""
    assert sample("real/passport", Passport).passport_result.document_number.postprocessed == (1,)
    card = sample("real/credit-card", CreditCard).result
    assert card.number.value == "0000111122223333"
    assert card.valid_thru.value is None
    people = sample("real/name-card", NameCard).result
    assert [name.value for name in people.name] == ["홍시험", "SIHEOM HONG"]
    assert people.mobile[0].value == "01000000000"
