from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from fakes import KEY, SECRET, URL

from clova_ocr_async.client.domain import Domain, Secret, domains_from_env
from clova_ocr_async.documents import BizLicense, CreditCard, Document, IdCard, NameCard, Passport, Receipt
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

HTTP = f"http://10.0.0.7/custom/v1/777/{KEY}"
CLASSES: dict[str, type[Document]] = {
    "RECEIPT": Receipt,
    "CREDIT_CARD": CreditCard,
    "NAME_CARD": NameCard,
    "BIZ_LICENSE": BizLicense,
    "ID_CARD": IdCard,
    "PASSPORT": Passport,
}


def chain(error: BaseException) -> str:
    """Return all that an error shows of itself and of what led to it."""
    shown, link = "", error.__context__ or error.__cause__
    shown += f"{error} {error!r} {error.args!r} {vars(error)!r}"
    return shown + (chain(link) if link is not None else "")


def refused(call: Any) -> str:
    """Return the message of a refusal, which holds no canary at any depth."""
    with pytest.raises(ConfigurationError) as caught:
        call()
    assert SECRET not in chain(caught.value)
    assert KEY not in chain(caught.value)
    return str(caught.value)


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
    """Whatever is wrong with a URL, the refusal does not hold its key."""
    for bad in (
        f"{URL}?x",
        f"{URL}/general",
        f"{URL}/document/menu",
        f"https://u:p@h/custom/v1/1/{KEY}",
        f"https://h:99999/custom/v1/1/{KEY}",
        f"ftp://h/custom/v1/1/{KEY}",
    ):
        refused(lambda bad=bad: Domain(bad, SECRET))


def test_one_domain_from_the_environment() -> None:
    """CLOVA_OCR_INVOKE_URL and CLOVA_OCR_SECRET name one domain for any document."""
    [found] = domains_from_env({"CLOVA_OCR_INVOKE_URL": URL, "CLOVA_OCR_SECRET": SECRET})
    assert (found.key, found.secret.reveal(), found.document) == (URL, SECRET, None)


@pytest.mark.parametrize("name", CLASSES)
def test_a_domain_for_each_document(name: str) -> None:
    """A document's own variables name a domain bound to its class, with its own secret before the common one."""
    environ = {
        f"CLOVA_OCR_{name}_INVOKE_URL": URL,
        f"CLOVA_OCR_{name}_SECRET": f"own{SECRET}",
        "CLOVA_OCR_SECRET": SECRET,
        "CLOVA_OCR_INVOKE_URL": URL.replace("777", "888"),
    }
    own, common = domains_from_env(environ)
    assert (own.document, own.secret.reveal(), own.key) == (CLASSES[name], f"own{SECRET}", URL)
    assert (common.document, common.secret.reveal()) == (None, SECRET)
    del environ[f"CLOVA_OCR_{name}_SECRET"]
    assert domains_from_env(environ)[0].secret.reveal() == SECRET


def test_all_documents_at_once() -> None:
    """Every variable set makes seven domains, typed ones first."""
    environ = {f"CLOVA_OCR_{name}_INVOKE_URL": URL for name in CLASSES}
    environ |= {"CLOVA_OCR_INVOKE_URL": URL, "CLOVA_OCR_SECRET": SECRET}
    found = domains_from_env(environ)
    assert [one.document for one in found] == [*CLASSES.values(), None]


def test_secrets_from_files(tmp_path: Path) -> None:
    """A secret file is read without the end of its line, and a secret given directly goes before it."""
    (tmp_path / "secret").write_bytes(f"{SECRET}\r\n".encode())
    environ = {"CLOVA_OCR_INVOKE_URL": URL, "CLOVA_OCR_SECRET_FILE": str(tmp_path / "secret")}
    assert domains_from_env(environ)[0].secret.reveal() == SECRET
    assert domains_from_env(environ | {"CLOVA_OCR_SECRET": "direct-one"})[0].secret.reveal() == "direct-one"
    own = {"CLOVA_OCR_RECEIPT_INVOKE_URL": URL, "CLOVA_OCR_RECEIPT_SECRET_FILE": str(tmp_path / "secret")}
    assert domains_from_env(own | {"CLOVA_OCR_SECRET": "common"})[0].secret.reveal() == SECRET


def test_an_endless_secret_file() -> None:
    """A secret file without end is refused after its first bytes."""
    message = refused(lambda: domains_from_env({"CLOVA_OCR_INVOKE_URL": URL, "CLOVA_OCR_SECRET_FILE": "/dev/zero"}))
    assert "control characters" in message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (f"{SECRET}é".encode(), "outside ASCII"),
        (f"\ufeff{SECRET}".encode(), "outside ASCII"),
        (b"", "empty"),
        (f"{SECRET}\nsecond".encode(), "control characters"),
        (b"x" * 2_000_000, "more than 1024"),
        (None, "No such file"),
    ],
)
def test_bad_secret_files(tmp_path: Path, content: bytes | None, why: str) -> None:
    """A secret file that cannot work is refused by the name of its variable, its content shown nowhere."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    message = refused(lambda: domains_from_env({"CLOVA_OCR_INVOKE_URL": URL, "CLOVA_OCR_SECRET_FILE": str(file)}))
    assert message.startswith("CLOVA_OCR_SECRET_FILE: ")
    assert why in message


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, ["CLOVA_OCR_INVOKE_URL", "CLOVA_OCR_SECRET", "CLOVA_OCR_RECEIPT_INVOKE_URL"]),
        ({"CLOVA_OCR_SECRET": SECRET, "CLOVA_OCR_INVOKE_URL": ""}, ["CLOVA_OCR_INVOKE_URL"]),
        ({"CLOVA_OCR_INVOKE_URL": URL}, ["CLOVA_OCR_INVOKE_URL is set", "CLOVA_OCR_SECRET is not"]),
        ({"CLOVA_OCR_ID_CARD_INVOKE_URL": URL}, ["CLOVA_OCR_ID_CARD_SECRET is not"]),
        ({"CLOVA_OCR_INVOKE_URL": URL, "CLOVA_OCR_SECRET": f"{SECRET} x"}, ["CLOVA_OCR_SECRET: "]),
        ({"CLOVA_OCR_INVOKE_URL": f"{URL}?q", "CLOVA_OCR_SECRET": SECRET}, ["CLOVA_OCR_INVOKE_URL: "]),
        (
            {"CLOVA_OCR_RECEIPT_INVOKE_URL": f"{URL}/document/passport", "CLOVA_OCR_SECRET": SECRET},
            ["CLOVA_OCR_RECEIPT_INVOKE_URL: "],
        ),
    ],
)
def test_what_the_environment_lacks(environ: dict[str, str], named: list[str]) -> None:
    """A missing, empty or bad variable is named in the refusal."""
    message = refused(lambda: domains_from_env(environ))
    assert all(name in message for name in named)
