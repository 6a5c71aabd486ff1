"""Invoke URLs: every shape users keep them in, everything refused, and that no text shows the key."""

from __future__ import annotations

import re
import string
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.invoke_url import InvokeURL, parse_invoke_url
from clova_ocr_async.protocol.secret_masking import mask_invoke_keys, masker

KEY = "0123456789abcdef" * 4
PRODUCT = f"https://abcde12345.apigw.ntruss.com/custom/v1/12345/{KEY}"
GOV = f"https://abcde12345.apigw.gov-ntruss.com/custom/v1/123/{KEY}"
FIN = f"https://abcde12345.apigw-pub.fin-ntruss.com/custom/v1/123/{KEY}"
OLD = f"https://{'0a' * 16}.apigw.ntruss.com/custom/v1/1234/{KEY}"


@pytest.mark.parametrize("word", [None, *DOCUMENTS])
@pytest.mark.parametrize("base", [PRODUCT, GOV, FIN, OLD])
def test_an_invoke_url_with_and_without_its_tail(base: str, word: str | None) -> None:
    """An invoke URL of any of the clouds is taken with a document's tail and without one."""
    url = parse_invoke_url(f"{base}/document/{word}" if word else base)
    assert (url.base, url.path_word, url.invoke_key, url.plaintext) == (base, word, KEY, False)
    assert url.for_document("id-card") == f"{base}/document/id-card"


@pytest.mark.parametrize(
    "url",
    [
        f"{PRODUCT} ",
        f"  {PRODUCT}\n",
        f"{PRODUCT}/",
        f"{PRODUCT}///",
        f"{PRODUCT}/document",
        f"{PRODUCT}/document/",
        PRODUCT.replace("https", "HTTPS"),
    ],
)
def test_what_is_forgiven(url: str) -> None:
    """Blanks around it, slashes behind it, a tail without its document and a scheme in capitals are accepted."""
    parsed = parse_invoke_url(url)
    assert (parsed.base, parsed.path_word) == (PRODUCT, None)


@pytest.mark.parametrize("url", [f"{PRODUCT}/document/receipt/", f" {PRODUCT}/document/receipt "])
def test_a_tail_is_read_behind_what_is_forgiven(url: str) -> None:
    """A slash or blank behind a document's tail does not hide it."""
    assert parse_invoke_url(url).path_word == "receipt"


def test_the_port_is_kept() -> None:
    """A port belongs to the URL."""
    assert parse_invoke_url("https://gateway.example:8443/custom/v1/1/abc").base.startswith(
        "https://gateway.example:8443/"
    )


HOST = "https://abcde12345.apigw.ntruss.com"

REFUSED: list[tuple[Any, str]] = [
    ("", "empty"),
    ("   ", "empty"),
    (None, "NoneType"),
    (5, "int"),
    (PRODUCT.encode(), "bytes"),
    (PRODUCT.removeprefix("https://"), "https://"),
    (PRODUCT.replace("https", "ftp"), "https://"),
    (PRODUCT.replace("https", "ws"), "https://"),
    (f"https:///custom/v1/1/{KEY}", "host"),
    ("https://", "host"),
    (f"//abcde12345.apigw.ntruss.com/custom/v1/1/{KEY}", "https://"),
    (PRODUCT.replace("https", "http"), "need https"),
    (f"http://8.8.8.8/custom/v1/1/{KEY}", "need https"),
    (f"http://[2001:4860:4860::8888]/custom/v1/1/{KEY}", "need https"),
    (f"http://127.0.0.1.example.com/custom/v1/1/{KEY}", "need https"),
    (PRODUCT.replace("https://", "https://user:password@"), "user name"),
    (PRODUCT.replace("https://", "https://user@"), "user name"),
    (PRODUCT.replace("https://", "https://:@"), "user name"),
    (f"{PRODUCT}?secret=1", "query"),
    (f"{PRODUCT}?", "query"),
    (f"{PRODUCT}#part", "fragment"),
    (f"{PRODUCT}#", "fragment"),
    (f"https://gateway.example:0/custom/v1/1/{KEY}", "port 0"),
    (f"https://gateway.example:99999/custom/v1/1/{KEY}", "port"),
    (f"https://gateway.example:port/custom/v1/1/{KEY}", "port"),
    (f"https://[::1/custom/v1/1/{KEY}", "not a URL"),
    (f"https://gateway.example/custom/v1/1 /{KEY}", "blanks"),
    (f"https://gateway.example/custom/v1/1/\t{KEY}", "control"),
    (f"https://gateway.example/custom/v1/1/\n{KEY}", "control"),
    (f"https://gateway.example/custom/v1/1/{KEY}\x00", "control"),
    (f"https://클로바.example/custom/v1/1/{KEY}", "ASCII"),
    (f"https://gateway.example/custom/v1/1/{KEY}／document", "ASCII"),  # noqa: RUF001 - a slash of full width
    (f"{PRODUCT}/document/invoice", "receipt, credit-card"),
    (f"{PRODUCT}/general", "General or Template"),
    (f"{PRODUCT}/receipt", "must end in /document/receipt"),
    (f"{PRODUCT}/infer", "General or Template"),
    (f"{PRODUCT}/infer/", "General or Template"),
    (f"https://x.apigw-pub.fin-ntruss.com/ekyc/v1/1/{KEY}/id-card/document", "eKYC"),
    (f"http://clovaocr-api-kr.ncloud.com/external/v1/1/{KEY}", "manual link"),
    (f"https://clovaocr-api-kr.ncloud.com/external/v1/1/{KEY}", "manual link"),
    (f"http://clovaocr-api.gov-ncloud.com/external/v1/1/{KEY}", "manual link"),
    (HOST, "no path"),
    (f"{HOST}/", "no path"),
    (f"{HOST}/document/receipt", "no path"),
]


@pytest.mark.parametrize(("url", "said"), REFUSED, ids=lambda part: repr(part)[:60].replace(KEY, "KEY"))
def test_what_is_refused(url: Any, said: str) -> None:
    """A text that cannot be the invoke URL of a Document domain is refused, with the reason and without the key."""
    with pytest.raises(ConfigurationError, match=re.escape(said)) as caught:
        parse_invoke_url(url, allow_http=True)
    assert KEY not in f"{caught.value!r}{caught.value.args}{caught.value.__cause__}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8765", "LOCALHOST", "127.0.0.1", "127.0.0.1:8765", "127.8.9.10", "[::1]", "[::1]:8765"],
)
def test_http_to_this_machine(host: str) -> None:
    """Http to this machine needs no permission, and counts as unreadable for others."""
    url = parse_invoke_url(f"http://{host}/custom/v1/1/abc/document/receipt")
    assert (url.plaintext, url.path_word) == (False, "receipt")


PRIVATE = ["10.0.0.5", "192.168.1.2:8080", "172.16.3.4", "[fd00::5]", "ocr", "ocr:8765", "ocr.internal", "ocr.local"]


@pytest.mark.parametrize("host", PRIVATE)
def test_http_to_a_private_host_needs_permission(host: str) -> None:
    """Http to a private host is refused unless it is allowed, and counts as readable for others."""
    url = f"http://{host}/custom/v1/1/{KEY}"
    with pytest.raises(ConfigurationError, match="allow_http=True"):
        parse_invoke_url(url)
    assert parse_invoke_url(url, allow_http=True).plaintext is True
    assert parse_invoke_url(url.replace("http:", "https:")).plaintext is False


def test_a_printed_invoke_url_shows_no_key() -> None:
    """Everything of an invoke URL but its key is printed."""
    expected = "https://abcde12345.apigw.ntruss.com/custom/v1/12345/***"
    assert str(parse_invoke_url(PRODUCT)) == expected
    assert repr(parse_invoke_url(f"{PRODUCT}/document/receipt")) == f"InvokeURL('{expected}/document/receipt')"


@pytest.mark.parametrize(
    "path",
    [
        f"/custom/v1/12345/{KEY}",
        f"/custom/v1/12345/{KEY}/more/document/receipt",
        f"/proxy/custom/v1/12345/{KEY}/document/receipt",
        f"/external/v1/12345/{KEY}/document/id-card",
        f"/elsewhere/{KEY}",
        f"/{KEY}/{KEY}/document/receipt",
    ],
)
def test_the_key_is_found_wherever_the_path_has_it(path: str) -> None:
    """The key is masked in print and in any text, with more behind it and behind a proxy's path too."""
    url = parse_invoke_url(f"https://gateway.example{path}")
    assert url.invoke_key == KEY
    assert KEY not in f"{url} {url!r}"
    assert KEY not in masker("secret", url.invoke_key)(f"no such key: {KEY}, in {url.base}")


def test_a_path_of_one_part_has_no_key() -> None:
    """A path without a place for a key is not masked."""
    for url in ("http://localhost:8765/document/receipt", "http://localhost:8765/ocr/document/receipt"):
        parsed = parse_invoke_url(url)
        assert (str(parsed), parsed.invoke_key) == (url, "")
        assert masker("secret", parsed.invoke_key)("any text") == "any text"


def test_a_short_key_is_masked_in_paths_only() -> None:
    """A key of a few letters, as tests have, is masked in a path and not in the middle of words."""
    url = parse_invoke_url("http://localhost:8765/custom/v1/1/a/document/receipt")
    mask = masker("secret", url.invoke_key)
    assert mask("a path: /custom/v1/1/a/document/receipt") == "a path: /custom/v1/1/***/document/receipt"
    assert str(url) == "http://localhost:8765/custom/v1/1/***/document/receipt"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("/custom/v1/1/abc", "/custom/v1/1/***"),
        ("/external/v2/1/abc/infer", "/external/v2/1/***/infer"),
        ('{"path":"/custom/v1/1/abc"}', '{"path":"/custom/v1/1/***"}'),
        ("see '/custom/v1/1/abc' twice /custom/v1/2/def?x", "see '/custom/v1/1/***' twice /custom/v1/2/***?x"),
        ("/custom/v1/1", "/custom/v1/1"),
        ("/other/v1/1/abc", "/other/v1/1/abc"),
        ("", ""),
    ],
)
def test_keys_are_masked_in_any_text(text: str, masked: str) -> None:
    """The part of a path in the place of the invoke key is masked, and nothing else."""
    assert mask_invoke_keys(text) == masked


KEYS = st.text(string.hexdigits, min_size=8, max_size=64).map(lambda key: f"k{key}")


@given(
    KEYS,
    st.sampled_from(["https://h.example", "http://127.0.0.1", "http://8.8.8.8", "ftp://h", "https://u@h", ""]),
    st.sampled_from(
        ["", "/", "/document", "/document/receipt", "/document/x", "/infer", "?q", "#f", " x", "/a/b", "\n"]
    ),
)
def test_no_text_of_ours_shows_a_key(key: str, host: str, tail: str) -> None:
    """No text that is made of a URL, right or wrong, shows its key."""
    outcome: InvokeURL | ConfigurationError
    try:
        outcome = parse_invoke_url(f"{host}/custom/v1/1/{key}{tail}")
    except ConfigurationError as error:
        outcome = error
    assert key not in f"{outcome} {outcome!r}"
    if isinstance(outcome, InvokeURL):
        assert key in outcome.for_document("receipt")
        assert key not in masker("secret", outcome.invoke_key)(outcome.for_document("receipt"))


@given(st.text())
@example("custom/v1/1/abc")
def test_any_text_is_an_invoke_url_or_a_configuration_error(text: str) -> None:
    """No text breaks the reading of an invoke URL."""
    for url in (text, f"https://{text}", f"http://{text}/custom/v1/1/abc", f"https://h.example/{text}"):
        try:
            parsed = parse_invoke_url(url)
        except ConfigurationError:
            continue
        assert parsed.base.isascii()


def test_the_tail_is_read_in_any_case() -> None:
    """A tail in capitals is the same tail."""
    url = parse_invoke_url(f"https://gateway.example/custom/v1/1/{KEY}/Document/Receipt")
    assert url.path_word == "receipt"
    assert url.for_document("receipt") == f"https://gateway.example/custom/v1/1/{KEY}/document/receipt"


@pytest.mark.parametrize(
    ("given_host", "host"),
    [
        ("https://GateWay.Example", "https://gateway.example"),
        ("HTTPS://gateway.example", "https://gateway.example"),
        ("https://gateway.example:443", "https://gateway.example"),
        ("https://gateway.example:0443", "https://gateway.example"),
        ("https://gateway.example:", "https://gateway.example"),
        ("https://gateway.example.", "https://gateway.example"),
        ("https://Gateway.Example.:443", "https://gateway.example"),
        ("https://gateway.example:80", "https://gateway.example:80"),
        ("https://gateway.example:8443", "https://gateway.example:8443"),
        ("http://localhost:80", "http://localhost"),
        ("http://localhost.:443", "http://localhost:443"),
        ("http://[::0:1]:80", "http://[::1]"),
        ("http://[0:0::1]:8089", "http://[::1]:8089"),
    ],
)
def test_spellings_of_one_host_are_one_url(given_host: str, host: str) -> None:
    """Case, a default port, a dot behind the host and long forms of an address make no difference; the path does."""
    assert parse_invoke_url(f"{given_host}/custom/v1/1/{KEY}").base == f"{host}/custom/v1/1/{KEY}"
    assert parse_invoke_url(f"{given_host}/custom/v1/1/{KEY.upper()}").base == f"{host}/custom/v1/1/{KEY.upper()}"


@given(st.sampled_from(["https", "http"]), st.sampled_from(["h.example", "127.0.0.1", "[::1]", "localhost"]), st.data())
def test_what_is_in_one_spelling_stays_as_it_is(scheme: str, host: str, data: st.DataObject) -> None:
    """A normalized URL is unchanged when it is parsed again."""
    if scheme == "http" and host == "h.example":
        host = "h.internal"
    port = data.draw(st.sampled_from(["", ":", ":80", ":443", ":8443"]))
    once = parse_invoke_url(f"{scheme}://{host.upper()}{port}/custom/v1/1/{KEY}", allow_http=True).base
    assert parse_invoke_url(once, allow_http=True).base == once


def test_a_host_of_dots_is_refused() -> None:
    """A host of which nothing is left without the dots behind it is not a host."""
    with pytest.raises(ConfigurationError, match="must begin with https:// and a host"):
        parse_invoke_url(f"https://./custom/v1/1/{KEY}")
