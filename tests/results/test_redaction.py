"""Masked copies of recognitions."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import DOCUMENT_TABLES, answer_of, decode, full_document

from clova_ocr_async.documents import BizLicense, CreditCard, Document, IdCard, NameCard, Passport, Receipt, Recognition
from clova_ocr_async.errors import ConfigurationError, RedactionError
from clova_ocr_async.results import redact
from clova_ocr_async.results.redaction import Masking
from clova_ocr_async.results.sensitive_paths import SENSITIVE, Rule, hide

PERSONAL = "900101-1234567"
CARD = "4111-1122-2233-1111"
LINES = ("PMKORHONG<<GILDONG<<<<<<<<<<<<<<<<<<<<<<<<<<", "M123A45670KOR9001010M30081501234567V00000000")


def read(text: str, **more: Any) -> dict[str, Any]:
    """Return a wire object of a text."""
    return {"text": text, "confidenceScore": 0.9} | more


def masked(document: type[Document], result: dict[str, Any], policy: Any = "standard", **image: Any) -> Any:
    """Return the masked plain values of a document."""
    key = "passportResult" if document is Passport else "result"
    answer = answer_of(document, {key: result})
    answer["images"][0] |= image
    recognition = redact(decode(answer, document), policy)
    values = recognition.to_dict()
    assert recognition.document == decode(json.loads(recognition.raw), document).document
    return values[document.answer_key][key] | {name: values[name] for name in image}


@pytest.mark.parametrize(
    ("text", "rule", "expected"),
    [
        ("900101-1234567", Rule.LAST_SEVEN, "900101-*******"),
        ("9001011234567", Rule.LAST_SEVEN, "900101*******"),
        ("900101-I23456O", Rule.LAST_SEVEN, "900101-*******"),
        ("900101-|234567", Rule.LAST_SEVEN, "900101-*******"),
        ("900101-1234567가", Rule.LAST_SEVEN, "900101-********"),
        ("12345", Rule.LAST_SEVEN, "*****"),
        ("4111-1122-2233-1111", Rule.MIDDLE, "4111-11**-****-1111"),
        ("4111-11**-****-1111", Rule.MIDDLE, "4111-11**-****-1111"),
        ("3782 822463 10005", Rule.MIDDLE, "3782 82**** *0005"),
        ("1234567890", Rule.MIDDLE, "**********"),
        ("4111 1111 1111 1111 123", Rule.MIDDLE, "**** **** **** **** ***"),
        ("6200 0000 0000 0000 109", Rule.MIDDLE, "6200 00** **** ***0 109"),
        ("6200 00** **** ***0 109", Rule.MIDDLE, "6200 00** **** ***0 109"),
        ("4111-1122-2233-1111 12/29", Rule.MIDDLE, "****-****-****-**** **/**"),
        ("11-12-123456-12", Rule.WHOLE, "**-**-******-**"),
        ("M1<2", Rule.WHOLE, "****"),
        ("", Rule.WHOLE, ""),
    ],
)
def test_a_number_is_hidden_by_its_rule(text: str, rule: Rule, expected: str) -> None:
    """Each hidden letter or digit becomes a star, and separators stay."""
    assert hide(text, rule) == expected


@given(st.text(), st.sampled_from(Rule))
def test_hiding_twice_changes_nothing(text: str, rule: Rule) -> None:
    """A hidden text has the same length, and hiding it again changes nothing."""
    once = hide(text, rule)
    assert len(once) == len(text)
    assert hide(once, rule) == once


def test_a_resident_number_is_masked_wherever_it_stands() -> None:
    """The last seven digits go from the field, its formatted value, other fields, unknown keys and the file's name."""
    result = {
        "ic": {
            "personalNum": [read(PERSONAL, formatted={"value": "9001011234567"}, keyText="주민등록번호")],
            "address": [read("Seoul 900101 1234567"), read("no. 1234567 only"), read("９００１０１－１２３４５６７")],  # noqa: RUF001
            "new": {"copy": [PERSONAL], "number": 9001011234567},
        }
    }
    found = masked(IdCard, result, name="900101-1234567.jpg")
    assert found["ic"]["personalNum"][0]["text"] == "900101-*******"
    assert found["ic"]["personalNum"][0]["formatted"]["value"] == "900101*******"
    assert found["ic"]["personalNum"][0]["keyText"] == "주민등록번호"
    assert [cell["text"] for cell in found["ic"]["address"]][:2] == ["Seoul 900101 *******", "no. ******* only"]
    assert found["ic"]["new"] == {"copy": ["900101-*******"], "number": "900101*******"}
    assert found["name"] == "900101-*******.jpg"
    assert "1234567" not in json.dumps(found)
    assert "１２３４５６７" not in json.dumps(found, ensure_ascii=False)  # noqa: RUF001


def test_all_hides_whole_numbers() -> None:
    """The policy "all" hides every digit of every number."""
    assert (
        masked(IdCard, {"ic": {"personalNum": [read(PERSONAL)]}}, "all")["ic"]["personalNum"][0]["text"]
        == "******-*******"
    )
    assert masked(CreditCard, {"number": read(CARD)}, "all")["number"]["text"] == "****-****-****-****"


def test_cards_keep_six_and_four_digits() -> None:
    """A card number keeps its first six and last four digits; the expiry date goes whole."""
    found = masked(CreditCard, {"number": read(CARD), "validThru": read("12/26"), "name": read("HONG")})
    assert (found["number"]["text"], found["validThru"]["text"], found["name"]["text"]) == (
        "4111-11**-****-1111",
        "**/**",
        "HONG",
    )
    paid = masked(Receipt, {"paymentInfo": {"cardInfo": {"number": read(CARD)}, "confirmNum": read("12345678")}})
    assert paid["paymentInfo"]["cardInfo"]["number"]["text"] == "4111-11**-****-1111"
    assert paid["paymentInfo"]["confirmNum"]["text"] == "12345678"


def test_a_starred_number_stays() -> None:
    """A card number that was printed with stars is as it was, and masks nothing else."""
    wire = {
        "paymentInfo": {"cardInfo": {"number": read("4111-11**-****-1111")}},
        "storeInfo": {"name": read("4111111111")},
    }
    assert masked(Receipt, wire) == wire


def test_passports_lose_numbers_and_zones() -> None:
    """Of a passport the number, both lines and the parts of the zone go whole; an old one's resident digits too."""
    wire = {
        "pp": {
            "num": [read("M123A4567")],
            "personalNum": [read("1234567")],
            "mrz1": [read(LINES[0])],
            "MRZ2": [read(LINES[1])],
            "authority": [read("M123A4567 1234567")],
            "surName": [read("HONG")],
        }
    }
    found = masked(IdCard, wire)["pp"]
    assert found["surName"][0]["text"] == "HONG"
    assert set(found["mrz1"][0]["text"]) == set(found["MRZ2"][0]["text"]) == {"*"}
    assert found["authority"][0]["text"] == "********* *******"
    parts = {"documentNumber": {"refinedText": "M123A4567"}, "age": {"refinedText": 36}}
    foreign = masked(Passport, {"mrzLines": {"rawText": "\n".join(LINES)}} | parts)
    assert set(foreign["mrzLines"]["rawText"]) == {"*", "\n"}
    assert foreign["documentNumber"]["refinedText"] == "*********"
    assert foreign["age"]["refinedText"] == 36


def test_a_resident_number_in_a_field_of_its_own_kind() -> None:
    """A resident number that stands where none is expected is masked; a corporate number, which is public, is not."""
    wire = {"repName": [read(f"Hong ({PERSONAL})")], "corpRegisterNum": [read("110111-1707178")]}
    found = masked(BizLicense, wire)
    assert found["repName"][0]["text"] == "Hong (900101-*******)"
    assert found["corpRegisterNum"][0]["text"] == "110111-1707178"
    assert masked(NameCard, {"tel": [read(PERSONAL)]}, "all")["tel"][0]["text"] == "******-*******"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("8801016234567", "8801016234567"),
        ("8801011234568", "880101*******"),
        ("880101-5234567", "880101-*******"),
        ("4901011234568", "4901011234568"),
        ("4901011234565", "490101*******"),
        ("2101013234562", "210101*******"),
        ("4901015100005", "490101*******"),
    ],
    ids=["Korea", "a resident number's digit", "hyphen", "Japan", "no barcode's digit", "born since 2020", "alien"],
)
def test_barcodes_of_a_receipt_stay(code: str, expected: str) -> None:
    """Thirteen digits in a row on a receipt that are a barcode stay; others may be a resident number, and go."""
    found = masked(Receipt, {"subResults": [{"items": [{"code": read(code)}]}]})
    assert found["subResults"][0]["items"][0]["code"]["text"] == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [("8801016234562", "8801016234562"), ("4901011234568", "490101*******"), ("8801016234567", "880101*******")],
    ids=["Korea", "Japan", "no barcode's digit"],
)
def test_elsewhere_on_a_receipt_what_may_be_a_number_of_a_person_goes(number: str, expected: str) -> None:
    """Where no item's code stands, a foreign barcode cannot be told from a number that has no check digit."""
    found = masked(Receipt, {"storeInfo": {"name": read(number)}})
    assert found["storeInfo"]["name"]["text"] == expected


def test_a_number_over_two_fields_is_refused() -> None:
    """A number that is split over neighbouring texts cannot be masked for certain, so there is no copy."""
    parts = [read(part, formatted={"value": part}) for part in ("900101-12", "34567")]
    wire = {"ic": {"personalNum": [read(PERSONAL)], "address": parts}}
    with pytest.raises(RedactionError, match="still readable") as caught:
        masked(IdCard, wire)
    assert not re.search("[0-9]{2}", str(caught.value))


@pytest.mark.parametrize(
    "copy",
    [
        "９００１０１−１２３４５６７",  # noqa: RUF001
        "٩٠٠١٠١-١٢٣٤٥٦٧",
        "900101-I234S67",
        "9ㅇㅇ1\u30071-ㅣ234567",
        "900101\u200b1234567",
        "straße ﬀ 900101-1234567 ß",
        {"900101-1234567": "key"},
        9001011234567.0,
        {"uid": PERSONAL, "rois": [{"vertices": [{"x": PERSONAL}]}]},
        [["a", [PERSONAL]]],
    ],
    ids=[
        "full width",
        "other digits",
        "misread",
        "misread as Hangul",
        "unseen",
        "letters",
        "key",
        "float",
        "ids",
        "nested",
    ],
)
def test_a_number_is_found_however_it_is_written(copy: Any) -> None:
    """Digits of other scripts, misread ones, unseen characters, keys and numbers of JSON hide no number."""
    found = masked(IdCard, {"ic": {"personalNum": [read(PERSONAL)], "new": copy}})
    written = unicodedata.normalize("NFKC", json.dumps(found["ic"]["new"], ensure_ascii=False))
    assert "*******" in written
    assert not re.search(r"[1Iㅣ]234[5S]67|١٢٣٤٥٦٧", written)


@pytest.mark.parametrize(
    "between",
    ["", " ", "-", "−", "–", "ㅡ", "ー", "・", "‧", "~", "(", "|", "\n", " - ", "\u2028", "      "],  # noqa: RUF001
)
def test_a_number_is_found_with_any_separator(between: str) -> None:
    """Whatever stands between the parts of a number, a copy of it in another field loses every digit that is hidden."""
    found = masked(IdCard, {"ic": {"personalNum": [read(PERSONAL)], "new": f"900101{between}1234567"}}, "all")
    assert not re.search("[0-9]", found["ic"]["new"])


def test_bars_are_misread_digits_or_lines() -> None:
    """A bar may be a 1 of a number, or stand between its groups; either way the number is hidden."""
    wire = {"number": read("4111112222331111"), "name": read("4|1|112222331|11"), "new": "4111|1122|2233|1111"}
    found = masked(CreditCard, wire, "all")
    assert set(found["name"]["text"]) == set(found["new"].replace("|", "")) == {"*"}


def test_a_part_of_a_number_is_found_without_letters_beside_it() -> None:
    """A licence number is hidden also where its province is not, and a resident number that was read with a letter."""
    found = masked(IdCard, {"dl": {"num": [read("서울 12-123456-01")], "address": [read("12-123456-01")]}})
    assert found["dl"]["address"][0]["text"] == "**-******-**"
    found = masked(IdCard, {"ic": {"personalNum": [read(f"{PERSONAL}가")], "address": [read("no. 1234567")]}})
    assert found["ic"]["address"][0]["text"] == "no. *******"


@pytest.mark.parametrize("separator", ["-", " ", ".", "/", "–", "−"])  # noqa: RUF001
def test_a_card_number_without_a_field_is_masked(separator: str) -> None:
    """Four groups of four digits are a card number, also where no field of the answer is for one."""
    number = separator.join(("4539", "1488", "0343", "6467"))
    expected = separator.join(("4539", "14**", "****", "6467"))
    found = masked(Receipt, {"subResults": [{"items": [{"name": read(f"card {number}")}]}]})
    assert found["subResults"][0]["items"][0]["name"]["text"] == f"card {expected}"
    assert Masking(None, "standard").mask_text(f"{number}.jpg") == f"{expected}.jpg"


@pytest.mark.parametrize(
    "number",
    [
        "4242 - 4242 - 4242 - 4242",
        "4242|4242|4242|4242",
        "4242-4242-\n4242-4242",
        "4242424242424242",
        "378282246310005",
        "3782 822463 10005",
        "6212345678901234569",
    ],
)
def test_a_card_number_in_other_groups_is_masked_by_its_check_digit(number: str) -> None:
    """A card number in a row, or with other separators, is masked in any field if its check digit fits."""
    found = masked(NameCard, {"tel": [read(number)]}, "all")["tel"][0]["text"]
    assert found == re.sub("[0-9|]", "*", number)
    other = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert masked(NameCard, {"tel": [read(other)]}, "all")["tel"][0]["text"] == other


def test_a_resident_number_in_boxes_is_masked() -> None:
    """Digits that stand apart, as in the boxes of a form, are a resident number if they begin with a date."""
    texts = ["9 0 0 1 0 1 - 1 2 3 4 5 6 7", "9 0 0 1 0 1 1 2 3 4 5 6 7", "9 9 9 9 0 1 - 1 2 3 4 5 9 9"]
    found = masked(NameCard, {"tel": [read(text) for text in texts]})["tel"]
    assert [cell["text"] for cell in found] == ["9 0 0 1 0 1 - * * * * * * *", "9 0 0 1 0 1 * * * * * * *", texts[2]]


def test_a_resident_number_in_the_place_of_a_corporate_one_is_masked() -> None:
    """Corporate numbers are public and have the same form; what is not one by its digits is masked all the same."""
    numbers = ["130111-0006246", "130111-0006247", "110111-1707178", "900101-1234568", "9l0101-1234568"]
    found = masked(BizLicense, {"corpRegisterNum": [read(number) for number in numbers]})["corpRegisterNum"]
    assert [cell["text"] for cell in found] == [*numbers[:3], "900101-*******", "9l0101-*******"]


@pytest.mark.parametrize("separator", ["", " ", " - ", "–", "·", "_", "ㅡ"])  # noqa: RUF001
def test_a_corporate_number_stays_with_any_separator(separator: str) -> None:
    """A corporate number is public however its separator was read, and also as a person corrected it."""
    number = f"110111{separator}1707178"
    assert masked(BizLicense, {"corpRegisterNum": [read(number)]})["corpRegisterNum"][0]["text"] == number
    masking = Masking(None, "standard")
    assert masking.mask_at("bizLicense.result.corpRegisterNum", number) == number
    assert "*" in masking.mask_at("bizLicense.result.repName", number)
    person = f"900101{separator}1234568"
    assert "*" in masking.mask_at("bizLicense.result.corpRegisterNum", person)


@pytest.mark.parametrize(
    "text", ["1.4111 1122 2233 1111", "a4111-1122-2233-1111", "4111-1122-2233-1111-b", "2026-11-29"]
)
def test_other_groups_of_digits_stay(text: str) -> None:
    """Groups of digits inside a longer number, an identifier or a date are not a card number."""
    assert masked(NameCard, {"tel": [read(text)]})["tel"][0]["text"] == text


def test_values_about_an_answer_are_masked() -> None:
    """The own columns of a manifest are masked in texts, numbers, lists and keys, and keep all that is harmless."""
    masking = Masking(None, "standard")
    values = {PERSONAL: [PERSONAL, 9001011234567, 12, 1.5, True, None]}
    assert masking.mask_values(values) == {"900101-*******": ["900101-*******", "900101*******", 12, 1.5, True, None]}


def test_values_whose_names_are_the_same_once_masked_are_all_kept() -> None:
    """Columns whose names differ in hidden digits alone are numbered, so that none is lost."""
    values = {"a 900101-1234567": 1, "a 900101-1234568": 2, "a 900101-******* (2)": 3, "a 900101-1234569": 4}
    assert list(Masking(None, "standard").mask_values(values).items()) == [
        ("a 900101-*******", 1),
        ("a 900101-******* (2)", 2),
        ("a 900101-******* (2) (2)", 3),
        ("a 900101-******* (3)", 4),
    ]


def test_values_of_an_answer_whose_keys_are_the_same_once_masked_are_all_kept() -> None:
    """Unknown keys of an answer that differ in hidden digits alone are numbered, so that no value is lost."""
    new = {PERSONAL: "a", "900101-1234568": "b", "900101-*******": "c"}
    found = masked(IdCard, {"ic": {"personalNum": [read(PERSONAL)], "new": new}})["ic"]["new"]
    assert found == {"900101-*******": "a", "900101-******* (2)": "b", "900101-******* (3)": "c"}


def test_a_misread_number_without_a_field_is_masked() -> None:
    """A resident number with a misread letter is masked where no field of the answer has it."""
    assert masked(NameCard, {"tel": [read("900l01-I234567")]})["tel"][0]["text"] == "900l01-*******"


def test_a_hidden_part_over_two_fields_is_refused() -> None:
    """The hidden digits alone are refused as well where they are split over neighbouring texts."""
    with pytest.raises(RedactionError, match="still readable"):
        masked(IdCard, {"ic": {"personalNum": [read(PERSONAL)], "address": [read("1234"), read("567")]}})


@pytest.mark.parametrize("cls", DOCUMENT_TABLES, ids=lambda cls: cls.path_word)
@pytest.mark.parametrize("policy", ["standard", "all"])
def test_full_answers_are_masked(cls: type[Document], policy: Any) -> None:
    """A full answer keeps its shape, its ids and its polygons, and masking it again changes nothing."""
    recognition = decode(answer_of(cls, full_document(cls)), cls)
    once = redact(recognition, policy)
    assert (once.request_id, once.uid, once.attempts) == (recognition.request_id, recognition.uid, recognition.attempts)
    assert [field.path for field in once.fields()] == [field.path for field in recognition.fields()]
    assert [field.polygons for field in once.fields()] == [field.polygons for field in recognition.fields()]
    assert redact(once, policy).document == once.document


def test_a_wrong_policy_is_refused() -> None:
    """A policy that does not exist is refused before anything is masked."""
    with pytest.raises(ConfigurationError, match="give 'standard' or 'all'"):
        redact(Recognition(document=IdCard()), "strict")  # type: ignore[arg-type]


NAMED = {
    # Source: API specification v1.0.6 (2023-11-23): paths whose descriptions name such a number.
    "receipt.result.paymentInfo.cardInfo.number": "Card number",
    "creditCard.result.number": "Refer to the Field object",
    "bizLicense.result.coRepSocialNum": "Resident registration number of joint representative",
    "bizLicense.result.socialNumber": "Resident registration number",
    "idCard.result.ic.personalNum": "Resident registration number",
    "idCard.result.dl.num": "License number",
    "idCard.result.dl.personalNum": "Resident registration number",
    "idCard.result.dl.code": "License Code",
    "idCard.result.pp.num": "Passport number",
    "idCard.result.pp.personalNum": "Resident registration number",
    "idCard.result.pp.mrz1": "Machine Readable Zone (MRZ) 1",
    "idCard.result.pp.mrz2": "Machine Readable Zone (MRZ) 2",
    "idCard.result.ac.alienRegNum": "Alien Registration Number",
    "idCard.result.ac.alienRegNumEtc": "Alien Registration Number, etc.",
    "passport.passportResult.documentNumber": "Passport number",
    "passport.passportResult.checkDigitForDocumentNumber": "Confirmation number on document number",
    "passport.passportResult.personalNumber": "Resident registration number",
    "passport.passportResult.checkDigitForPersonalNumber": "Confirmation number on resident registration number",
    "passport.passportResult.mrzLines": "MRZ text",
}


def test_every_number_that_the_specification_names_is_in_the_table() -> None:
    """The table has every path whose description names a resident, alien, passport, licence or card number."""
    assert [path for path in NAMED if path not in SENSITIVE] == []


@pytest.mark.parametrize("path", SENSITIVE)
def test_every_path_of_the_table_is_one_of_an_answer(path: str) -> None:
    """A path of the table leads to an object of a full answer, and what it holds is masked there."""
    key, *steps = path.split(".")
    (cls,) = (cls for cls in DOCUMENT_TABLES if cls.answer_key == key)
    value: Any = full_document(cls)
    for step in steps:
        value = value.get(step, value.get(f" {step}", value.get(step.upper())))
        value = value[0] if isinstance(value, list) else value
    assert isinstance(value, dict)


@pytest.mark.parametrize(
    "polygons",
    [
        {"vertices": [{"x": "900101-1234567", "y": 1}]},
        [{"vertices": [{"x": 1, "y": 2}, {"x": "900101-1234567", "y": 1}]}],
        [{"vertices": [{"900101-1234567": 1, "x": 1}]}],
        [{"vertices": [1, "900101-1234567"]}],
        [{"vertices": "900101-1234567"}],
        [{"vertices": [], "900101-1234567": 1}],
        ["900101-1234567"],
        "900101-1234567",
    ],
)
def test_a_number_in_the_place_of_a_polygon_is_hidden(polygons: Any) -> None:
    """A text or a key among coordinates is masked like any other, whatever shape it is in."""
    answer = {"images": [{"nameCard": {"result": {"name": [{"text": "Kim", "boundingPolys": polygons}]}}}]}
    text = json.dumps(Masking(answer, "standard").mask_answer())
    assert "1234567" not in text
    assert "900101-*******" in text
