"""Requests: what is written is what is read, and the specification's own programs are understood."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.pretty import pretty_repr
from support.answers import SAMPLES

from clova_ocr_async.errors import APIError, Billing, DomainError, InvalidRequestError
from clova_ocr_async.protocol import HTTPRequest, HTTPResponse
from clova_ocr_async.protocol.request import MIME_TYPES, Body, Content, ParsedRequest, build_request, parse_request

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENTS: list[Content] = ["multipart", "json"]
REQUEST_ID = "7d7f0bd6-97ab-4ed4-a4ba-2d1ee0f8c1fd"
URL = "https://h.example/custom/v1/1/keykeykey/document/receipt"


def built(data: bytes = b"image", content: Content = "multipart", **changes: Any) -> HTTPRequest:
    """Build a request with some of its parts changed."""
    parts: dict[str, Any] = {
        "format": "jpg",
        "name": "demo",
        "request_id": REQUEST_ID,
        "timestamp": 1584062336793,
    } | changes
    return build_request(url=URL, secret="hush", data=data, content=content, **parts)


def wire(body: Body) -> bytes:
    """Return the bytes of a body."""
    return b"".join(body.chunks())


def parsed(request: HTTPRequest) -> ParsedRequest:
    """Read a built request back."""
    return parse_request(request.headers["Content-Type"], wire(request.body))


# --- written and read back -----------------------------------------------------------------------------------------


@given(
    st.binary(min_size=1),
    st.text(),
    st.sampled_from(sorted(MIME_TYPES)),
    st.uuids().map(str) | st.text(),
    st.integers(0, 2**63 - 1),
    st.sampled_from(CONTENTS),
)
@example(b"\r\n--clova-ocr", "n", "jpg", REQUEST_ID, 0, "multipart")
@example(b"\r\n\r\n", 'quo"te\r\n', "png", "", 0, "multipart")
@example(b"--\r\n--", "\x00", "pdf", 'boundary="x"; \r\n', 0, "multipart")
@example(b'"}]}', "}]}", "tiff", '"}]}', 0, "json")
def test_a_built_request_is_read_back(
    data: bytes, name: str, format_: str, request_id: str, timestamp: int, content: Content
) -> None:
    """Any image, name, format and id survive building and parsing a request, as multipart and as JSON."""
    request = built(data, content, name=name, format=format_, request_id=request_id, timestamp=timestamp)
    back = parsed(request)
    assert back == ParsedRequest(request_id, timestamp, format_, name, data)
    assert request.body.size == len(wire(request.body))


@pytest.mark.parametrize("content", CONTENTS)
def test_what_utf8_cannot_write_is_replaced(content: Content) -> None:
    """Half a surrogate pair in a name, as some file systems return, is sent as "?"."""
    assert parsed(built(content=content, name="a\ud83db")).name == "a?b"


def test_the_headers() -> None:
    """A request carries its content type and the secret, and nothing else."""
    request = built()
    assert request.url == URL
    assert dict(request.headers) == {
        "Content-Type": f"multipart/form-data; boundary=clova-ocr-{REQUEST_ID}",
        "X-OCR-SECRET": "hush",
    }
    assert dict(built(content="json").headers) == {"Content-Type": "application/json", "X-OCR-SECRET": "hush"}


@pytest.mark.parametrize("request_id", ["x" * 500, "a\r\nb", "한글", "", ' ";,'])
def test_a_boundary_is_always_a_lawful_one(request_id: str) -> None:
    """The boundary has at most 70 letters, digits and hyphens, with any id."""
    boundary = built(request_id=request_id).headers["Content-Type"].partition("boundary=")[2]
    assert len(boundary) <= 70
    assert boundary.isascii()
    assert boundary.replace("-", "").isalnum()


def test_the_bytes_of_a_multipart_request() -> None:
    """A multipart request equals the specification's, to the byte."""
    message = b'{"version":"V2","requestId":"id","timestamp":5,"images":[{"format":"png","name":"\xed\x99\x8d"}]}'
    assert wire(built(b"\x89PNG", request_id="id", timestamp=5, format="png", name="홍").body) == (
        b'--clova-ocr-id\r\nContent-Disposition: form-data; name="message"\r\n\r\n' + message + b"\r\n"
        b'--clova-ocr-id\r\nContent-Disposition: form-data; name="file"; filename="image.png"\r\n'
        b"Content-Type: image/png\r\n\r\n\x89PNG\r\n--clova-ocr-id--\r\n"
    )


@pytest.mark.parametrize(
    ("format_", "mime_type"),
    [
        ("jpg", b"image/jpeg"),
        ("jpeg", b"image/jpeg"),
        ("png", b"image/png"),
        ("pdf", b"application/pdf"),
        ("tif", b"image/tiff"),
        ("tiff", b"image/tiff"),
    ],
)
def test_the_file_of_a_form_declares_its_type(format_: str, mime_type: bytes) -> None:
    """Each format the service takes is declared by its name and content type."""
    head = built(format=format_).body.head
    assert head.endswith(
        b'name="file"; filename="image.%s"\r\nContent-Type: %s\r\n\r\n' % (format_.encode(), mime_type)
    )


def test_an_image_travels_as_it_is_by_default() -> None:
    """Without a choice the request is a form."""
    request = build_request(
        url=URL, secret="hush", data=JPG, format="jpg", name="demo", request_id=REQUEST_ID, timestamp=5
    )
    assert request == built(JPG, "multipart", timestamp=5)


def test_the_bytes_of_a_json_request() -> None:
    """A JSON request is the specification's, with the image in base64 behind its name."""
    assert wire(built(b"\x89PNG", "json", request_id="id", timestamp=5, format="png").body) == (
        b'{"version":"V2","requestId":"id","timestamp":5,"images":[{"format":"png","name":"demo","data":"iVBORw=="}]}'
    )


EDGES = sorted(
    {edge + delta for edge in (0, 64 * 1024, 384 * 1024, 2 * 384 * 1024) for delta in (*range(-4, 5), -500, -300)}
)


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("size", [size for size in EDGES if size >= 0])
def test_the_size_is_that_of_the_bytes(size: int, content: Content) -> None:
    """Around each size at which the pieces change, the declared size is the written size, and the image complete."""
    data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    body = built(data, content).body
    once, again = list(body.chunks()), list(body.chunks())
    assert body.size == sum(map(len, once))
    assert b"".join(once) == b"".join(again)
    most = 384 * 1024 if content == "multipart" else 512 * 1024  # base64 takes a third more
    assert all(0 < len(chunk) <= most for chunk in once)
    assert (len(once) == 1) == (body.size <= 112 * 1024)
    if size:
        assert parsed(built(data, content)).data == data


def test_a_large_image_is_never_copied() -> None:
    """The pieces of a large image are views of its own bytes."""
    data = bytes(500_000)
    pieces = [chunk for chunk in built(data).body.chunks() if isinstance(chunk, memoryview)]
    assert sum(map(len, pieces)) == len(data)
    assert all(piece.obj is data for piece in pieces)


@pytest.mark.parametrize("shown", [repr, pretty_repr])
def test_no_way_of_printing_shows_what_travels(shown: Callable[[object], str]) -> None:
    """Neither Python nor rich, which prints the fields of some objects on its own, shows secret, image or answer."""
    request = built(b"\x89PNG canary")
    for travels in (request, request.body, parsed(request), HTTPResponse(200, b"canary")):
        assert "canary" not in shown(travels)
    assert request.headers["X-OCR-SECRET"] not in shown(request)


def test_requests_print_no_secret_and_no_image() -> None:
    """The printed form of a request, its body and a parsed request shows lengths and the format alone."""
    for content in CONTENTS:
        request = built(b"canary", content, name="canary", request_id="canary")
        assert "canary" not in f"{request!r}{request.body!r}{parsed(request)!r}"
        assert "hush" not in f"{request} {request!r}"
        assert "keykeykey" not in f"{request} {request!r}"
    assert repr(parsed(built(b"canary"))) == "ParsedRequest(jpg, <6 bytes>)"
    assert repr(Body(b"ab", b"cde", b"f")) == "Body(<6 bytes>)"
    assert repr(Body(b"ab", b"cde", b"f", base64=True)) == "Body(<7 bytes>)"


# --- the specification's programs ----------------------------------------------------------------------------------

JPG = b"\xff\xd8\xff\xe0 a picture \r\n--\r\n with line breaks \x00"


def test_the_specifications_request_example() -> None:
    """The specification's request example is understood, its data "data" read as the base64 it is."""
    body = (SAMPLES / "specification" / "request.json").read_bytes()
    assert parse_request("application/json", body) == ParsedRequest(
        "string", 0, "jpg", "test 1", base64.b64decode("data")
    )


@pytest.mark.parametrize("content_type", ["", "application/x-www-form-urlencoded", "application/json; charset=utf-8"])
def test_the_specifications_curl_with_json(content_type: str) -> None:
    """The specification's curl call, which sends JSON with the content type of a form, is read as JSON."""
    body = (
        '{"images":[{"format":"jpg","name":"demo","data":"'
        + base64.b64encode(JPG).decode()
        + '"}],"requestId":"guide-json-demo","version":"V2","timestamp":1584062336793}'
    )
    assert parse_request(content_type, body.encode()) == ParsedRequest(
        "guide-json-demo", 1584062336793, "jpg", "demo", JPG
    )


def test_the_specifications_curl_with_a_form() -> None:
    """Curl --form 'message={…}' --form 'file=@image.png' is understood."""
    boundary = "------------------------d74496d66958873e"
    message = (
        b'{"images":[{"format":"png","name":"demo"}],"requestId":"guide-demo","version":"V2","timestamp":1584062336793}'
    )
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="message"\r\n\r\n'.encode()
        + message
        + f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="image.png"\r\n'
        "Content-Type: image/png\r\n\r\n".encode()
        + JPG
        + f"\r\n--{boundary}--\r\n".encode()
    )
    assert parse_request(f"multipart/form-data; boundary={boundary}", body) == ParsedRequest(
        "guide-demo", 1584062336793, "png", "demo", JPG
    )


def test_the_specifications_java_program() -> None:
    """Its headers have no blank after "Content-Disposition:", and its keys stand in another order."""
    boundary = "----0f8fad5bd9cb469fa16570867728950e"
    message = (
        b'{"images":[{"name":"demo","format":"jpg"}],"requestId":"0f8fad5b","version":"V2","timestamp":1584062336793}'
    )
    body = (
        f'--{boundary}\r\nContent-Disposition:form-data; name="message"\r\n\r\n'.encode()
        + message
        + f'\r\n--{boundary}\r\nContent-Disposition:form-data; name="file"; filename="YOUR_IMAGE_FILE"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + JPG
        + f"\r\n--{boundary}--\r\n".encode()
    )
    assert parse_request(f"multipart/form-data; boundary={boundary}", body) == ParsedRequest(
        "0f8fad5b", 1584062336793, "jpg", "demo", JPG
    )


def test_the_specifications_php_programs() -> None:
    """Its timestamp is in seconds and its requestId is not a UUID, as a form and as JSON."""
    boundary = "------------------------5f8a3c0e9c1b2d4f"
    message = {"version": "V2", "requestId": "65f1c0ffee123", "timestamp": 1584062336}
    image = {"format": "jpg", "name": "demo"}
    body = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="message"\r\n\r\n'
            f"{json.dumps({**message, 'images': [image]})}\r\n"
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="/tmp/image; name=x.jpg"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        + JPG
        + f"\r\n--{boundary}--\r\n".encode()
    )
    expected = ParsedRequest("65f1c0ffee123", 1584062336, "jpg", "demo", JPG)
    assert parse_request(f"multipart/form-data; boundary={boundary}", body) == expected
    escaped = base64.b64encode(JPG).decode().replace("/", "\\/")  # as json_encode writes slashes
    as_json = json.dumps({**message, "images": [{**image, "data": "HERE"}]}).replace("HERE", escaped)
    assert parse_request("application/json; charset=utf-8", as_json.encode()) == expected


# --- a form in other hands -----------------------------------------------------------------------------------------

MESSAGE = b'{"version":"V2","requestId":"r","timestamp":0,"images":[{"format":"jpg","name":"n"}]}'


def form(*parts: bytes, boundary: bytes = b"B", end: bytes = b"\r\n--B--\r\n") -> bytes:
    """Return the bytes of a form."""
    return b"--" + boundary + b"\r\n" + (b"\r\n--" + boundary + b"\r\n").join(parts) + end


def part(header: bytes, content: bytes) -> bytes:
    """Return a part of a form."""
    return header + b"\r\n\r\n" + content


MESSAGE_PART = part(b'Content-Disposition: form-data; name="message"', MESSAGE)
FILE_PART = part(b'Content-Disposition: form-data; name="file"; filename="a.jpg"', JPG)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=B", form(FILE_PART, MESSAGE_PART)),
        ('multipart/form-data; boundary="B"', form(MESSAGE_PART, FILE_PART)),
        ("Multipart/Form-Data; charset=utf-8; BOUNDARY=B; x=y", form(MESSAGE_PART, FILE_PART)),
        ("multipart/form-data;boundary=B,", form(MESSAGE_PART, FILE_PART)),
        ("multipart/form-data; boundary=B", b"preamble\r\n" + form(MESSAGE_PART, FILE_PART) + b"epilogue"),
        ("multipart/form-data; boundary=B", form(MESSAGE_PART, part(b"X-Nothing: 1", b"x"), b"no header", FILE_PART)),
        ("multipart/form-data; boundary=B", form(MESSAGE_PART, FILE_PART, end=b"\r\n--B--")),
        (
            "multipart/form-data; boundary=B",
            form(
                part(b"Content-Type: text/plain\r\ncontent-disposition : form-data; name=message", MESSAGE),
                part(b'CONTENT-DISPOSITION: form-data; filename="a.jpg"; name=file', JPG),
            ),
        ),
    ],
)
def test_forms_as_other_programs_write_them(content_type: str, body: bytes) -> None:
    """Quotes, order, case, further headers and parts, a preamble and an epilogue do not matter."""
    assert parse_request(content_type, body) == ParsedRequest("r", 0, "jpg", "n", JPG)


def test_a_form_may_carry_its_image_in_the_message() -> None:
    """A form without a file is read if its message has the data; a file takes precedence."""
    message = MESSAGE.replace(b'"name":"n"', b'"name":"n","data":"aGVsbG8="')
    inline = part(b'Content-Disposition: form-data; name="message"', message)
    content_type = "multipart/form-data; boundary=B"
    assert parse_request(content_type, form(inline)).data == b"hello"
    assert parse_request(content_type, form(inline, FILE_PART)).data == JPG


VALID: dict[str, Any] = {
    "version": "V2",
    "requestId": "r",
    "timestamp": 0,
    "images": [{"format": "jpg", "name": "n", "data": "aGVsbG8="}],
}


def with_image(**changes: Any) -> dict[str, Any]:
    """Return a valid request with its image changed; ... takes a key out."""
    image = {name: value for name, value in (VALID["images"][0] | changes).items() if value is not ...}
    return VALID | {"images": [image]}


def lacking(name: str) -> dict[str, Any]:
    """Return a valid request without a key."""
    return {key: value for key, value in VALID.items() if key != name}


REFUSED: list[tuple[Any, type[APIError], str, str]] = [
    (b"", InvalidRequestError, "0011", "not a JSON object"),
    (b"{", InvalidRequestError, "0011", "not a JSON object"),
    (b"[]", InvalidRequestError, "0011", "not a JSON object"),
    (b"null", InvalidRequestError, "0011", "not a JSON object"),
    (b"\xff", InvalidRequestError, "0011", "not a JSON object"),
    (b'{"version":"\xff"}', InvalidRequestError, "0011", "not a JSON object"),
    (b'{"x":' + b"[" * 100_000, InvalidRequestError, "0011", "not a JSON object"),
    (b'{"x":1e400}', InvalidRequestError, "0011", "not a JSON object"),
    (b'{"x":' + b"9" * 5000 + b"}", InvalidRequestError, "0011", "not a JSON object"),
    (b'{"x":"\\ud83d"}', InvalidRequestError, "0011", "not a JSON object"),
    (lacking("version"), InvalidRequestError, "0011", "version is missing"),
    (VALID | {"version": "V1"}, DomainError, "0021", "Protocol version"),
    (VALID | {"version": "v2"}, DomainError, "0021", "Protocol version"),
    (VALID | {"version": None}, DomainError, "0021", "Protocol version"),
    (VALID | {"version": 2}, DomainError, "0021", "Protocol version"),
    (lacking("requestId"), InvalidRequestError, "0011", "requestId is missing or not a string"),
    (VALID | {"requestId": 5}, InvalidRequestError, "0011", "requestId is missing or not a string"),
    (lacking("timestamp"), InvalidRequestError, "0011", "timestamp is missing or not a number"),
    (VALID | {"timestamp": None}, InvalidRequestError, "0011", "timestamp is missing or not a number"),
    (VALID | {"timestamp": True}, InvalidRequestError, "0011", "timestamp is missing or not a number"),
    (VALID | {"timestamp": []}, InvalidRequestError, "0011", "timestamp is missing or not a number"),
    (lacking("images"), InvalidRequestError, "0011", "exactly one object"),
    (VALID | {"images": None}, InvalidRequestError, "0011", "exactly one object"),
    (VALID | {"images": []}, InvalidRequestError, "0011", "exactly one object"),
    (VALID | {"images": [5]}, InvalidRequestError, "0011", "exactly one object"),
    (VALID | {"images": VALID["images"] * 2}, InvalidRequestError, "0011", "exactly one object"),
    (VALID | {"images": VALID["images"][0]}, InvalidRequestError, "0011", "exactly one object"),
    (with_image(format=...), InvalidRequestError, "0011", "images[0].format is missing or not a string"),
    (with_image(format=5), InvalidRequestError, "0011", "images[0].format is missing or not a string"),
    (with_image(format="gif"), InvalidRequestError, "0011", "images[0].format is not one of jpg"),
    (with_image(format=""), InvalidRequestError, "0011", "images[0].format is not one of jpg"),
    (with_image(name=...), InvalidRequestError, "0011", "images[0].name is missing or not a string"),
    (with_image(name=None), InvalidRequestError, "0011", "images[0].name is missing or not a string"),
    (with_image(data=...), InvalidRequestError, "0011", "images[0].data is missing or not a string"),
    (with_image(data={}), InvalidRequestError, "0011", "images[0].data is missing or not a string"),
    (with_image(data=[1, 256]), InvalidRequestError, "0011", "images[0].data has a value that is not a byte"),
    (with_image(data=[-129]), InvalidRequestError, "0011", "images[0].data has a value that is not a byte"),
    (with_image(data=[1, "2"]), InvalidRequestError, "0011", "images[0].data has a value that is not a byte"),
    (with_image(data=[True]), InvalidRequestError, "0011", "images[0].data has a value that is not a byte"),
    (with_image(data=[]), InvalidRequestError, "0011", "the image is empty"),
    (with_image(data="a"), InvalidRequestError, "0011", "not base64"),
    (with_image(data="aGVsbG8"), InvalidRequestError, "0011", "not base64"),
    (with_image(data=""), InvalidRequestError, "0011", "the image is empty"),
    (with_image(data="===="), InvalidRequestError, "0011", "the image is empty"),
]


@pytest.mark.parametrize(("body", "error", "code", "said"), REFUSED, ids=lambda part: repr(part)[:40])
def test_what_is_wrong_with_a_request(body: Any, error: type[APIError], code: str, said: str) -> None:
    """Each mistake in a request is refused with the service's code, and the message names it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(error) as caught:
        parse_request("application/json", raw)
    assert (caught.value.status, caught.value.code, caught.value.billing) == (400, code, Billing.NOT_BILLED)
    assert said in str(caught.value)


@pytest.mark.parametrize("timestamp", [0, -1, 1584062336793, 1.5, "0", "637234567890123456"])
def test_any_timestamp_is_echoed(timestamp: float | str) -> None:
    """The timestamp may be in milliseconds, in seconds or a text."""
    assert parse_request("", json.dumps(VALID | {"timestamp": timestamp}).encode()).timestamp == timestamp


@pytest.mark.parametrize("format_", ["JPG", "Jpeg", "tif", "TIFF", "png", "pdf"])
def test_formats_in_any_case(format_: str) -> None:
    """The format is read in any case."""
    assert parse_request("", json.dumps(with_image(format=format_)).encode()).format == format_.lower()


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("multipart/form-data", form(MESSAGE_PART, FILE_PART), "no boundary"),
        ("multipart/form-data; boundary=", form(MESSAGE_PART, FILE_PART), "no boundary"),
        ("multipart/form-data; boundary=B", b"", "incomplete"),
        ("multipart/form-data; boundary=C", form(MESSAGE_PART, FILE_PART), "incomplete"),
        ("multipart/form-data; boundary=B", form(MESSAGE_PART, FILE_PART, end=b""), "incomplete"),
        ("multipart/form-data; boundary=B", form(MESSAGE_PART, FILE_PART)[:-5], "incomplete"),
        ("multipart/form-data; boundary=B", b"--B--\r\n", "no part named message"),
        ("multipart/form-data; boundary=B", form(FILE_PART), "no part named message"),
        ("multipart/form-data; boundary=B", form(MESSAGE_PART), "images[0].data is missing"),
        (
            "multipart/form-data; boundary=B",
            form(MESSAGE_PART, part(b'Content-Disposition: form-data; name="file"', b"")),
            "the image is empty",
        ),
        (
            "multipart/form-data; boundary=B",
            form(part(b'Content-Disposition: form-data; name="message"', b"{"), FILE_PART),
            "not a JSON object",
        ),
        (
            "multipart/form-data; boundary=B",
            form(part(b'Content-Disposition: form-data; name=""', MESSAGE), FILE_PART),
            "no part named message",
        ),
        ("multipart/form-data; boundary=\udcff\ud83d", form(MESSAGE_PART, FILE_PART), "incomplete"),
    ],
)
def test_what_is_wrong_with_a_form(content_type: str, body: bytes, said: str) -> None:
    """Each mistake in a form is refused with code 0011, and the message names it."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_request(content_type, body)
    assert caught.value.code == "0011"
    assert said in str(caught.value)


CONTENT_TYPES = st.sampled_from(
    ["", "application/json", "multipart/form-data; boundary=B", 'multipart/form-data; boundary="B C"']
) | st.text(st.characters()).map(lambda text: f"multipart/form-data; boundary={text}")
FORMS = st.lists(st.sampled_from([MESSAGE_PART, FILE_PART, b"", b"\r\n\r\n"]) | st.binary(max_size=20)).map(
    lambda parts: form(*parts)
)
MESSAGES = st.dictionaries(
    st.sampled_from([*VALID, "x"]),
    st.none() | st.just("V2") | st.integers() | st.text() | st.just(VALID["images"]) | st.lists(st.integers()),
).map(lambda message: json.dumps(message).encode())


@given(CONTENT_TYPES | st.text(st.characters()), st.binary() | FORMS | MESSAGES)
@example("multipart/form-data; boundary=\ud800", b"")
@example("multipart/form-data; boundary=B", form(MESSAGE_PART, FILE_PART))
@example("", b'{"version":"V2","images":[{"format":"jpg","name":"n","data":"\\ud800"}]}')
@example("", '{"version":"V2","requestId":"","timestamp":0,"images":[{"format":"jpg","name":"","data":"é"}]}'.encode())
def test_any_bytes_of_any_type(content_type: str, body: bytes) -> None:
    """Any body with any Content-Type is parsed or refused with one of the service's errors."""
    outcome: ParsedRequest | APIError
    try:
        outcome = parse_request(content_type, body)
    except APIError as error:
        outcome = error
    if isinstance(outcome, APIError):
        assert (outcome.status, outcome.code) in {(400, "0011"), (400, "0021")}
    else:
        assert outcome.data


@pytest.mark.parametrize("spelled", ["jpg", ".jpg", "JPG", ".Jpg"])
def test_a_format_is_read_with_and_without_its_dot(spelled: str) -> None:
    """The specification's table writes ".jpg" and its examples "jpg"; both are the same format."""
    message = {
        "version": "V2",
        "requestId": "r",
        "timestamp": 0,
        "images": [{"format": spelled, "name": "n", "data": "QQ=="}],
    }
    assert parse_request("application/json", json.dumps(message).encode()).format == "jpg"


@given(st.binary(min_size=1), st.booleans())
def test_the_specifications_java_program_with_json(data: bytes, as_java_has_it: bool) -> None:
    """Its image is an array of Java's signed bytes, and is read like the same bytes in base64."""
    values = [value - 256 if as_java_has_it and value > 127 else value for value in data]
    body = {
        "images": [{"name": "demo", "format": "jpg", "data": values}],
        "requestId": "0f8fad5b",
        "version": "V2",
        "timestamp": 1584062336793,
    }
    expected = ParsedRequest("0f8fad5b", 1584062336793, "jpg", "demo", data)
    assert parse_request("application/json; charset=utf-8", json.dumps(body).encode()) == expected


@pytest.mark.parametrize("head", ["Content-Disposition: form-data; ", "content-disposition :form-data;\r\n\t"])
def test_a_byte_order_mark_is_not_part_of_the_json(head: str) -> None:
    """A byte order mark before JSON, as some editors and .NET write it, is skipped, in a form as well."""
    body = json.dumps(VALID).encode()
    assert parse_request("application/json", b"\xef\xbb\xbf" + body) == parse_request("application/json", body)
    message = part(head.encode() + b'name="message"', b"\xef\xbb\xbf" + MESSAGE)
    assert parse_request("multipart/form-data; boundary=B", form(message, FILE_PART)).request_id == "r"
