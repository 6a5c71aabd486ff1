from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from support.fakes import KEY, SECRET, URL
from support.refusals import refused

from clova_ocr_async.documents import Document, Passport, Receipt
from clova_ocr_async.domains.domain import Domain, Secret
from clova_ocr_async.errors import ConfigurationError

HTTP = f"http://10.0.0.7/custom/v1/777/{KEY}"


def test_a_secret_never_prints() -> None:
    """No way of printing a secret shows it, and only reveal() gives it."""
    secret = Secret(SECRET)
    shown = f"{secret} {secret!r} {secret!s} {[secret]} {secret:}"
    assert "***" in shown
    assert SECRET not in shown
    assert secret.reveal() == SECRET
    assert not hasattr(secret, "__dict__")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    """Pickling or copying a secret or a domain is refused, with what to do instead."""
    for holder in (Secret(SECRET), Domain(URL, SECRET)):
        with pytest.raises(TypeError) as caught:
            pickle.dumps(holder, protocol)
        assert SECRET not in str(caught.value)
    with pytest.raises(TypeError, match="environment variable"):
        pickle.dumps(Secret(SECRET))
    with pytest.raises(TypeError):
        copy.deepcopy(Secret(SECRET))


def test_secrets_compare() -> None:
    """Equal secrets are equal and hash alike, and nothing else is a secret."""
    assert Secret("a" * 9) == Secret("a" * 9)
    assert len({Secret("a" * 9), Secret("a" * 9)}) == 1
    assert Secret("a" * 9) != Secret("b" * 9)
    assert Secret("a" * 9) != "a" * 9


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "empty"),
        ("  ", "empty"),
        (f"{SECRET}\n", "control characters"),
        (f"{SECRET}\r\nX: y", "control characters"),
        (f"{SECRET}\0", "control characters"),
        (f" {SECRET}", "blanks"),
        (f"{SECRET}é", "outside ASCII"),
        (SECRET.encode(), "bytes"),
        (None, "NoneType"),
        (SECRET * 40, "characters, more than 1024"),
    ],
)
def test_what_cannot_be_a_secret(value: Any, why: str) -> None:
    """A bad secret is refused at once, by what is wrong and never by what it is."""
    assert why in refused(lambda: Secret(value))
    message = refused(lambda: Domain(URL, value))
    assert message.startswith("secret ")
    assert why in message


def test_a_long_secret_still_works() -> None:
    """The longest allowed secret is accepted."""
    assert Secret("x" * 1024).reveal() == "x" * 1024


def test_a_tail_binds_a_domain() -> None:
    """A URL's tail or document= binds the domain, either alone or both agreeing; without, it serves any class."""
    for bound in (
        Domain(f"{URL}/document/receipt", SECRET),
        Domain(URL, SECRET, document=Receipt),
        Domain(f"{URL}/document/receipt", SECRET, document=Receipt),
    ):
        assert bound.document is Receipt
        assert bound.serves(Receipt)
        assert not bound.serves(Passport)
    untyped = Domain(URL, Secret(SECRET))
    assert untyped.document is None
    assert untyped.serves(Receipt)
    assert untyped.serves(Passport)
    assert untyped.key == Domain(f"{URL}/document/passport", SECRET).key == URL


def test_tail_and_document_may_not_contradict() -> None:
    """A tail of one document and document= of another are refused, both named."""
    message = refused(lambda: Domain(f"{URL}/document/receipt", SECRET, document=Passport))
    assert "/document/receipt" in message
    assert "Passport" in message


@pytest.mark.parametrize("document", [Document, dict, "receipt", 1])
def test_only_the_six_classes_bind(document: Any) -> None:
    """document= takes nothing but the six classes."""
    assert "one of Receipt, CreditCard" in refused(lambda: Domain(URL, SECRET, document=document))


def test_http_needs_leave_and_warns() -> None:
    """Plain http to a private address needs allow_http and warns at the caller's line; to this machine it is silent."""
    assert "allow_http" in refused(lambda: Domain(HTTP, SECRET))
    with pytest.warns(UserWarning, match="readable") as caught:
        Domain(HTTP, SECRET, allow_http=True)
    assert caught[0].filename == __file__
    assert KEY not in str(caught[0].message)
    assert "https" in refused(lambda: Domain("http://example.com/custom/v1/1/k", SECRET, allow_http=True))
    Domain(f"http://127.0.0.1:80/custom/v1/1/{KEY}", SECRET)


def test_a_domain_shows_no_key() -> None:
    """The repr of a domain shows its host and document, and neither secret nor key."""
    shown = repr(Domain(f"{URL}/document/receipt", SECRET))
    assert shown == "Domain('https://host.apigw.ntruss.com/custom/v1/777/***/document/receipt')"
    assert f"{Domain(URL, SECRET)}" == repr(Domain(URL, SECRET))


def test_redact_masks_both() -> None:
    """Redacting masks the secret and the invoke key wherever they stand in a text."""
    text = Domain(URL, SECRET).redact(f"{KEY} of /custom/v1/9/other and {SECRET}{SECRET}")
    assert text == "*** of /custom/v1/9/*** and ******"


def test_bad_urls_never_repeat_their_key() -> None:
    """The refusal of a URL never holds its key, whatever is wrong."""
    for bad in (
        f"{URL}?x",
        f"{URL}/general",
        f"{URL}/document/menu",
        f"https://u:p@h/custom/v1/1/{KEY}",
        f"https://h:99999/custom/v1/1/{KEY}",
        f"ftp://h/custom/v1/1/{KEY}",
    ):
        refused(lambda bad=bad: Domain(bad, SECRET))


def test_limits_are_kept_as_they_are_given() -> None:
    """A domain has the limits that it was given, and else none."""
    limited = Domain(URL, SECRET, max_concurrency=7, max_per_second=2)
    assert (limited.max_concurrency, limited.max_per_second) == (7, 2.0)
    assert isinstance(limited.max_per_second, float)
    assert (Domain(URL, SECRET).max_concurrency, Domain(URL, SECRET).max_per_second) == (None, None)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("max_concurrency", 0, "less than 1"),
        ("max_concurrency", -1, "less than 1"),
        ("max_concurrency", True, "is a bool; it must be a whole number from 1"),
        ("max_concurrency", 2.0, "is a float; it must be a whole number from 1"),
        ("max_concurrency", SECRET, "is a str"),
        ("max_per_second", 0, "not more than 0"),
        ("max_per_second", -1.5, "not more than 0"),
        ("max_per_second", float("inf"), "not finite"),
        ("max_per_second", float("nan"), "not finite"),
        pytest.param("max_per_second", 10**400, "not finite", id="beyond every float"),
        ("max_per_second", True, "is a bool; it must be a number"),
        ("max_per_second", SECRET, "is a str; it must be a number"),
    ],
)
def test_what_cannot_be_a_limit(name: str, value: Any, why: str) -> None:
    """A limit that cannot work is refused by its name and kind, and never by its value."""
    message = refused(lambda: Domain(URL, SECRET, **{name: value}))
    assert message.startswith(f"{name} is ")
    assert why in message


@pytest.mark.parametrize(
    ("url", "settings", "label"),
    [
        (URL, {}, "host"),
        (f"{URL}/document/receipt", {}, "receipt@host"),
        (URL, {"document": Passport}, "passport@host"),
        (f"http://127.0.0.1:8080/custom/v1/777/{KEY}", {}, "127.0.0.1"),
        (f"http://[::1]:8080/custom/v1/777/{KEY}", {}, "::1"),
        (f"https://{'h' * 63}.ntruss.com/custom/v1/777/{KEY}", {"document": Receipt}, f"receipt@{'h' * 56}"),
        (URL, {"label": "receipts of shop 1"}, "receipts of shop 1"),
    ],
)
def test_the_label(url: str, settings: dict[str, Any], label: str) -> None:
    """The label is the given one, or is made of document and host; it shows nothing of the path."""
    assert Domain(url, SECRET, **settings).label == label


@pytest.mark.parametrize(
    ("label", "why"),
    [
        (7, "label is a int; it must be a str"),
        ("", "printable text of at most 64 characters"),
        ("a\nb", "printable text"),
        ("a" * 65, "at most 64"),
        (f"my {KEY}", "label has the secret or the invoke key in it"),
        (SECRET, "label has the secret or the invoke key in it"),
    ],
)
def test_a_label_that_cannot_be_shown_is_refused(label: Any, why: str) -> None:
    """A label that no metric can hold, or that shows a secret, is refused, and the error does not repeat it."""
    with pytest.raises(ConfigurationError, match=why) as caught:
        Domain(URL, SECRET, label=label)
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)
