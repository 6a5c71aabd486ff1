"""The contract's table of errors, row by row, through the decoder."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.answers import answer_of

from clova_ocr_async.documents import DOCUMENTS, CreditCard, Receipt
from clova_ocr_async.errors import (
    APIError,
    AuthenticationError,
    Billing,
    ClovaOCRError,
    DomainError,
    InvalidRequestError,
    MalformedResponseError,
    QuotaExceededError,
    RateLimitError,
    RecognitionError,
    ServerError,
)
from clova_ocr_async.protocol import HTTPResponse, codes
from clova_ocr_async.protocol.codes import GATEWAY_RULES, SERVICE_RULES, STATUS_RULES, normalize_code, rule_for
from clova_ocr_async.protocol.invoke_url import parse_invoke_url
from clova_ocr_async.protocol.response import decode_response, encode_error, encode_gateway_error
from clova_ocr_async.protocol.secret_masking import masker

NOT, MAYBE, BILLED = Billing.NOT_BILLED, Billing.MAYBE_BILLED, Billing.BILLED

Judgement = tuple[type[ClovaOCRError], Billing, bool, bool]  # class, billing, retryable, stops_run

RATE: Judgement = (RateLimitError, NOT, True, False)
QUOTA: Judgement = (QuotaExceededError, NOT, True, True)
CALLER: Judgement = (InvalidRequestError, NOT, False, False)
SECRET: Judgement = (AuthenticationError, NOT, False, True)
DOMAIN: Judgement = (DomainError, NOT, False, True)
FAILED_TRY_AGAIN: Judgement = (ServerError, MAYBE, True, False)
FAILED_PARK: Judgement = (ServerError, MAYBE, False, False)
STRANGE: Judgement = (APIError, MAYBE, False, False)
BROKEN: Judgement = (MalformedResponseError, BILLED, False, False)

SERVICE: list[tuple[int, str, Judgement]] = [
    (400, "0001", DOMAIN),
    (401, "0002", SECRET),
    (400, "0011", CALLER),
    (400, "0021", DOMAIN),
    (400, "0022", DOMAIN),
    (400, "0023", QUOTA),
    (400, "0025", RATE),
    (500, "0500", FAILED_TRY_AGAIN),
    (500, "0501", FAILED_TRY_AGAIN),
    (400, "1002", DOMAIN),
    (500, "1021", DOMAIN),
    (500, "1022", DOMAIN),
]
GATEWAY: list[tuple[int, str, Judgement]] = [
    (400, "100", CALLER),
    (401, "200", SECRET),
    (401, "210", SECRET),
    (404, "300", DOMAIN),
    (429, "400", QUOTA),
    (429, "410", RATE),
    (429, "420", RATE),
    (413, "430", CALLER),
    (503, "500", FAILED_TRY_AGAIN),
    (504, "510", FAILED_PARK),
    (500, "900", FAILED_PARK),
]
STATUSES: list[tuple[int, Judgement]] = [
    (100, STRANGE),
    (204, BROKEN),
    (299, BROKEN),
    (301, DOMAIN),
    (302, DOMAIN),
    (304, DOMAIN),
    (307, DOMAIN),
    (308, DOMAIN),
    (400, CALLER),
    (401, SECRET),
    (403, SECRET),
    (404, DOMAIN),
    (405, DOMAIN),
    (408, CALLER),
    (413, CALLER),
    (415, CALLER),
    (418, CALLER),
    (429, RATE),
    (499, CALLER),
    (500, FAILED_PARK),
    (501, FAILED_PARK),
    (502, FAILED_TRY_AGAIN),
    (503, FAILED_TRY_AGAIN),
    (504, FAILED_PARK),
    (520, FAILED_PARK),
    (599, FAILED_PARK),
    (600, STRANGE),
    (999, STRANGE),
]


def error_of(status: int, body: Any, **headers: str) -> ClovaOCRError:
    """Decode an answer that must be an error, given as plain values or bytes."""
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with pytest.raises(ClovaOCRError) as caught:
        decode_response(HTTPResponse(status, raw, named), Receipt)
    return caught.value


def judgement_of(error: ClovaOCRError) -> Judgement:
    """Return the class, the billing and the flags of an error."""
    return type(error), error.billing, error.retryable, error.stops_run


def service_error(code: Any, **more: Any) -> dict[str, Any]:
    """Return an error body of the service with all its fields."""
    return {"code": code, "message": "said", "path": "/p", "traceId": "t", "timestamp": 1570776853475, **more}


@pytest.mark.parametrize("form", ["text", "number", "unpadded", "blanks"])
@pytest.mark.parametrize(("status", "code", "judgement"), SERVICE)
def test_each_code_of_the_service(status: int, code: str, judgement: Judgement, form: str) -> None:
    """Each code of the service is judged by the contract's table, as text or number, padded or not."""
    forms: dict[str, Any] = {"text": code, "number": int(code), "unpadded": str(int(code)), "blanks": f" {code} "}
    error = error_of(status, service_error(forms[form]))
    assert judgement_of(error) == judgement
    assert isinstance(error, APIError)
    assert (error.status, error.code, error.message) == (status, code, "said")
    assert (error.path, error.trace_id, error.timestamp) == ("/p", "t", 1570776853475)


@pytest.mark.parametrize("status", [200, 400, 403, 418, 429, 500, 503, 302])
@pytest.mark.parametrize(("_", "code", "judgement"), SERVICE)
def test_the_code_of_the_service_decides_whatever_the_status(
    _: int, code: str, judgement: Judgement, status: int
) -> None:
    """The service's code goes before the HTTP status, 200 included."""
    assert judgement_of(error_of(status, {"code": code})) == judgement


@pytest.mark.parametrize("form", [str, int, lambda code: f" {code} "], ids=["text", "number", "blanks"])
@pytest.mark.parametrize(("status", "code", "judgement"), GATEWAY)
def test_each_code_of_the_gateway(status: int, code: str, judgement: Judgement, form: Any) -> None:
    """Each errorCode of the gateway is judged by the contract's table, under its own and any other status."""
    body = {"error": {"errorCode": form(code), "message": "said", "details": "more"}}
    error = error_of(status, body)
    assert judgement_of(error) == judgement
    assert isinstance(error, APIError)
    assert (error.status, error.code, error.message) == (status, code, "said")
    assert (error.path, error.trace_id, error.timestamp) == (None, None, None)
    for other in (200, 400, 500):
        assert judgement_of(error_of(other, body)) == judgement


PAGES = [b"", b"<html>nothing to see</html>", b"null", b"[]", b"[1]", b"5", b'"text"', b"{}", b"\xff\xfe", b'{"x":1}']


@pytest.mark.parametrize("body", PAGES)
@pytest.mark.parametrize(("status", "judgement"), STATUSES)
def test_each_status_without_a_code(status: int, judgement: Judgement, body: bytes) -> None:
    """The status decides about a body without a code, such as the page of a proxy."""
    error = error_of(status, body)
    assert judgement_of(error) == judgement
    if isinstance(error, APIError):
        assert (error.status, error.code) == (status, None)
        assert error.message


@pytest.mark.parametrize("code", ["0999", "7", 12345, "E1", "기타", "-1"])
@pytest.mark.parametrize(("status", "judgement"), [row for row in STATUSES if row[0] // 100 != 2])
def test_an_unknown_code_is_judged_by_the_status(status: int, judgement: Judgement, code: Any) -> None:
    """A code the vendor has not documented is kept and leaves the judgement to the status."""
    for body in ({"code": code}, {"error": {"errorCode": code}}):
        error = error_of(status, body)
        assert judgement_of(error) == judgement
        assert isinstance(error, APIError)
        assert error.code == (normalize_code(code) if "code" in body else str(code))


@pytest.mark.parametrize("body", [{"code": "0999"}, {"error": {"errorCode": "999"}}, {"code": 0, "images": []}])
def test_an_unknown_error_under_200(body: dict[str, Any]) -> None:
    """An error body with an unknown code under a successful status may have been paid, and is not sent again."""
    assert judgement_of(error_of(200, body)) == STRANGE


def test_the_service_goes_before_the_gateway() -> None:
    """In a body with both envelopes the service's code decides."""
    both = {"code": "0025", "message": "inner", "error": {"errorCode": "200", "message": "outer"}}
    error = error_of(401, both)
    assert judgement_of(error) == RATE
    assert isinstance(error, APIError)
    assert (error.code, error.message) == ("0025", "inner")
    unknown = error_of(400, {"code": "0999", "error": {"errorCode": "420"}})
    assert judgement_of(unknown) == RATE


@pytest.mark.parametrize(
    "body",
    [
        {"code": ""},
        {"code": None, "error": None},
        {"error": {}},
        {"error": {"errorCode": ""}},
        {"error": {"errorCode": None}},
        {"error": "Bad Request", "status": 400, "timestamp": "2024-01-01T00:00:00.000+00:00", "path": 5},
        {"code": {"a": 1}, "message": ["x"], "traceId": 7},
        {"error": [{"errorCode": {}}]},
    ],
)
def test_an_error_body_with_fields_missing_or_strange(body: dict[str, Any]) -> None:
    """Missing and misfitting fields of an error body are None; the error still has a message."""
    error = error_of(400, body)
    assert judgement_of(error) == CALLER
    assert isinstance(error, APIError)
    assert (error.code, error.message) == (None, "the request is not accepted")
    assert (error.path, error.trace_id, error.timestamp) == (None, None, None)


def test_each_rule_has_a_meaning_for_an_answer_without_a_message() -> None:
    """The message of an error without a message of the vendor's is the meaning of its code."""
    for code, rule in SERVICE_RULES.items():
        assert f"code {code}: {rule.meaning}" in str(error_of(400, {"code": code}))
    for code, rule in GATEWAY_RULES.items():
        assert f"code {code}: {rule.meaning}" in str(error_of(400, {"error": {"errorCode": code}}))
    for status, rule in STATUS_RULES.items():
        assert str(error_of(int(status), b"")).startswith(f"HTTP {int(status)}: {rule.meaning}")
    assert {code for _, code, _ in SERVICE} == set(SERVICE_RULES)
    assert {code for _, code, _ in GATEWAY} == set(GATEWAY_RULES)


def test_the_rule_table_names_the_kind_of_each_refusal_for_the_rate() -> None:
    """Each rule of a RateLimitError names its kind, which the error repeats; no other rule has one."""
    for code, rule in SERVICE_RULES.items():
        assert kind_of(error_of(400, {"code": code})) == rule.kind
    for code, rule in GATEWAY_RULES.items():
        assert kind_of(error_of(400, {"error": {"errorCode": code}})) == rule.kind
    for status, rule in STATUS_RULES.items():
        assert kind_of(error_of(int(status), b"")) == rule.kind
    kinds = {code: rule.kind for rules in (SERVICE_RULES, GATEWAY_RULES) for code, rule in rules.items() if rule.kind}
    assert kinds == {"0025": "at_once", "410": "per_second", "420": "per_second"}


def kind_of(error: ClovaOCRError) -> str | None:
    """Return the kind of a refusal for the rate; None for any other error."""
    return error.kind if isinstance(error, RateLimitError) else None


def test_the_code_for_too_many_calls_at_once_stands_in_the_rule_table_alone() -> None:
    """No module of the package but the rule table and the emulator decides by the literal 0025."""
    package = Path(codes.__file__).parents[1]
    modules = {
        module.relative_to(package).as_posix()
        for module in package.rglob("*.py")
        if any(
            isinstance(node, ast.Constant) and node.value == "0025" for node in ast.walk(ast.parse(module.read_bytes()))
        )
    }
    assert modules == {"protocol/codes.py", "emulator/faults.py"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [(25, "0025"), ("25", "0025"), ("0025", "0025"), (" 25 ", "0025"), (10025, "10025"), ("E5", "E5"), ("", None)],
)
def test_the_normal_form_of_a_code(code: str | int, expected: str | None) -> None:
    """A code is normalized to the four characters that the vendor documents."""
    assert normalize_code(code) == expected
    assert normalize_code(None) is None


@given(st.integers(100, 999), st.text(max_size=5), st.text(max_size=5))
def test_every_status_and_code_has_a_rule(status: int, service_code: str, gateway_code: str) -> None:
    """Every status and code has a rule, and no failure of the service is NOT_BILLED."""
    rule = rule_for(status, service_code, gateway_code)
    assert rule.meaning
    assert issubclass(rule.error, APIError)
    if rule.error is ServerError:
        assert rule.billing is MAYBE


# --- 200 with something else ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("infer_result", ["FAILURE", "ERROR"])
@pytest.mark.parametrize("document", [{}, {"receipt": {"meta": {}}}, {"receipt": None}, {"fields": []}])
def test_a_failed_recognition(infer_result: str, document: dict[str, Any]) -> None:
    """FAILURE and ERROR are distinguished, count as billed, are not sent again, and carry the answer."""
    answer = {"requestId": "r", "images": [{"inferResult": infer_result, "message": "why", "uid": "u", **document}]}
    error = error_of(200, answer)
    assert judgement_of(error) == (RecognitionError, BILLED, False, False)
    assert isinstance(error, RecognitionError)
    assert error.infer_result == infer_result
    assert f"inferResult {infer_result}: " in str(error)
    assert ("not a picture of this document" in str(error)) == (infer_result == "FAILURE")
    assert error.recognition is not None
    assert (error.recognition.message, error.recognition.uid, error.recognition.request_id) == ("why", "u", "r")
    assert json.loads(error.recognition.raw) == answer
    assert error.recognition.to_dict() == answer["images"][0]
    assert bool(error.recognition.document) is False


@pytest.mark.parametrize("fields", [[], [{"inferText": "x"}], {}])
def test_an_answer_of_a_general_domain(fields: Any) -> None:
    """A General or Template answer is billed, names the product, and stops the run."""
    error = error_of(200, {"images": [{"inferResult": "SUCCESS", "fields": fields}]})
    assert judgement_of(error) == (DomainError, BILLED, False, True)
    assert "General or Template" in str(error)


@pytest.mark.parametrize("word", [word for word in DOCUMENTS if word != "receipt"])
def test_an_answer_of_another_document(word: str) -> None:
    """An answer with another document is billed, names both documents, and stops the run."""
    cls = DOCUMENTS[word]
    for document in ({"meta": {"estimatedLanguage": "ko"}}, {}):
        error = error_of(200, answer_of(cls, document))
        assert judgement_of(error) == (DomainError, BILLED, False, True)
        assert f"holds {cls.answer_key}, not receipt" in str(error)


def test_the_document_asked_for_goes_before_what_stands_beside_it() -> None:
    """Further documents and fields beside the one asked for change nothing."""
    body = json.dumps({"images": [{"fields": [1], "receipt": {"meta": {}}, "creditCard": {"meta": {}}}]}).encode()
    assert decode_response(HTTPResponse(200, body), Receipt).problems == ()
    assert decode_response(HTTPResponse(200, body), CreditCard).problems == ()


@pytest.mark.parametrize("status", [400, 500, 503])
def test_a_document_under_an_error_status_is_an_error(status: int) -> None:
    """An answer with an error status is an error, with any body."""
    error = error_of(status, answer_of(Receipt, {"meta": {}}))
    assert judgement_of(error) == dict(STATUSES)[status]


# --- Retry-After ---------------------------------------------------------------------------------------------------

DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry_after": "3"}, 3.0),
        ({"retry_after": " 2.5 "}, 2.5),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after": "-5"}, 0.0),
        ({"retry_after": "1000000000"}, 86_400.0),
        ({"retry_after": "1e9"}, 86_400.0),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": ""}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": DATE}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": DATE}, 0.0),
        ({"retry_after": "Wed, 21 Oct 2096 07:27:00 GMT", "date": DATE}, 86_400.0),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "today"}, None),
        ({"retry_after": "Wed, 21 Oct 2026 07:28:30 -0000", "date": DATE}, None),
        ({"retry_after": "Wed, 99 Oct 2026 07:28:30 GMT", "date": DATE}, None),
        ({"retry_after": "Wed, 21 Oct 99999 07:28:30 GMT", "date": DATE}, None),
        ({"date": DATE}, None),
    ],
)
@pytest.mark.parametrize("code", ["0025", "0023"])
def test_how_long_the_answer_asks_to_wait(code: str, headers: dict[str, str], expected: float | None) -> None:
    """Retry-After is read as seconds or as a date against the answer's own, within a day; garbage is None."""
    error = error_of(400, {"code": code}, **headers)
    assert isinstance(error, RateLimitError | QuotaExceededError)
    assert error.retry_after == expected


@given(st.text(), st.text())
def test_no_header_breaks_the_reading(said: str, date: str) -> None:
    """Any Retry-After and Date give seconds within a day or None."""
    error = error_of(429, b"", retry_after=said, date=date)
    assert isinstance(error, RateLimitError)
    assert error.retry_after is None or 0 <= error.retry_after <= 86_400


# --- the ceiling a refusal names -----------------------------------------------------------------------------------

VENDORS = "Calls to this API are limited to {} API calls per domain at the same time."


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (VENDORS.format(5), 5),
        (VENDORS.format(16), 16),
        (f"0025: {VENDORS.format(5)} Try again in 3 seconds.", 5),
        ("도메인당 동시에 최대 7개의 API를 호출할 수 있습니다.", 7),
        ("0025 동시 호출은 최대7개입니다.", 7),
        ("7 of 7 calls", 7),
        ("도메인 777: 최대 7개", None),
        ("between 5 and 10 calls", None),
        ("0025", None),
        ("Too many calls.", None),
        ("", None),
        (VENDORS.format(0), None),
        ("최대 0개", None),
        (VENDORS.format(9999), 9999),
        (VENDORS.format(10**6), None),
        (VENDORS.format(10**100), None),
        ("1" * 299, None),
        (VENDORS.format("\N{ARABIC-INDIC DIGIT FIVE}"), None),
        (VENDORS.format("\N{FULLWIDTH DIGIT FIVE}"), None),
        ("최대 \N{FULLWIDTH DIGIT FIVE}개", None),
        ("/custom/v1 is busy", None),
    ],
)
@pytest.mark.parametrize("form", [{}, {"code": 25}], ids=["as specified", "code as a number"])
def test_the_number_a_refusal_names(message: str, expected: int | None, form: dict[str, Any]) -> None:
    """The number of calls at once is read from the vendor's sentence, or is the only number there is; else None."""
    error = error_of(400, service_error("0025") | {"message": message} | form)
    assert isinstance(error, RateLimitError)
    assert error.ceiling == expected


@pytest.mark.parametrize("message", [None, ["limited to 5"], {"limited to": 5}, 5])
def test_a_refusal_without_a_sentence_names_nothing(message: Any) -> None:
    """A missing message, or one that is not a text, costs the number and nothing else."""
    error = error_of(400, service_error("0025") | {"message": message})
    assert isinstance(error, RateLimitError)
    assert error.ceiling in {None, 5}


@given(st.text() | st.from_regex(r"\A[a-z ]{0,20}limited to [0-9]{1,30}[a-z ]*\Z"))
def test_no_sentence_breaks_the_reading_of_the_number(message: str) -> None:
    """Any message names a positive number of at most four digits, or none."""
    error = error_of(400, service_error("0025") | {"message": message})
    assert isinstance(error, RateLimitError)
    assert error.ceiling is None or 1 <= error.ceiling <= 9999


@pytest.mark.parametrize("code", ["410", "420"])
def test_a_gateways_refusal_names_no_calls_at_once(code: str) -> None:
    """The gateway limits calls a second: a number in its message is not one of calls at once."""
    error = error_of(429, {"error": {"errorCode": code, "message": "limited to 5 calls", "details": ""}})
    assert isinstance(error, RateLimitError)
    assert error.ceiling is None


# --- secrets and noise ---------------------------------------------------------------------------------------------

KEY = "c0ffee" * 10


@pytest.mark.parametrize("field", ["code", "message", "path", "traceId"])
def test_an_error_repeats_no_invoke_key(field: str) -> None:
    """The invoke key is masked in every field in which the vendor repeats the URL."""
    said = f"bad call of /custom/v1/123/{KEY}/document/receipt"
    error = error_of(400, service_error("0001") | {field: said})
    assert isinstance(error, APIError)
    assert KEY not in f"{error} {error!r} {error.args} {vars(error)}"
    assert "/custom/v1/123/***/document/receipt" in f"{vars(error)}"
    outer = error_of(400, {"error": {"errorCode": said, "message": said, "details": said}})
    assert KEY not in f"{outer} {outer!r} {outer.args} {vars(outer)}"


def test_a_domains_own_key_is_masked_without_its_path() -> None:
    """With the domain's own masking the bare key is masked too."""
    url = parse_invoke_url(f"https://h.example/custom/v1/123/{KEY}")
    body = json.dumps(service_error(KEY, message=f"key {KEY}", path=f"/{KEY}", traceId=KEY)).encode()
    with pytest.raises(InvalidRequestError) as caught:
        decode_response(HTTPResponse(400, body), Receipt, redact=masker("secret", url.invoke_key))
    assert KEY not in f"{caught.value!r} {caught.value.args} {vars(caught.value)}"
    assert caught.value.path == "/***"


@pytest.mark.parametrize("field", ["code", "message", "path", "traceId"])
def test_an_error_is_one_bounded_line(field: str) -> None:
    """The texts of an answer that an error repeats have no line breaks and a bounded length."""
    error = error_of(400, service_error("0001") | {field: "line\r\n\x1b[31mline\u2028" + "x" * 10_000})
    assert str(error).isprintable()
    assert len(repr(error)) < 500
    assert all(str(value).isprintable() for value in vars(error).values())


def test_the_mirror_writes_what_is_read() -> None:
    """The emulator's error bodies are those of the service and of its gateway."""
    error = error_of(400, encode_error("0025", "slow", path="/p", trace_id="t", timestamp=5))
    assert isinstance(error, RateLimitError)
    assert (error.code, error.message, error.path, error.trace_id, error.timestamp) == ("0025", "slow", "/p", "t", 5)
    outer = error_of(429, encode_gateway_error("400", "spent", "until tomorrow"))
    assert isinstance(outer, QuotaExceededError)
    assert (outer.code, outer.message) == ("400", "spent")


def test_each_error_of_the_domain_has_a_way_out() -> None:
    """A rule that stops a run because of its settings or quota has a hint."""
    rules = [*SERVICE_RULES.values(), *GATEWAY_RULES.values(), *STATUS_RULES.values(), rule_for(302)]
    assert all(rule.hint for rule in rules if rule.error in {DomainError, QuotaExceededError})
