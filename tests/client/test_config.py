from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import SECRET, URL
from refusals import refused

from clova_ocr_async.client.config import config_path, configured_domains, domains_from_env
from clova_ocr_async.documents import BizLicense, CreditCard, Document, IdCard, NameCard, Passport, Receipt

if TYPE_CHECKING:
    from pathlib import Path

CLASSES: dict[str, type[Document]] = {
    "RECEIPT": Receipt,
    "CREDIT_CARD": CreditCard,
    "NAME_CARD": NameCard,
    "BIZ_LICENSE": BizLicense,
    "ID_CARD": IdCard,
    "PASSPORT": Passport,
}


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


# ---------------------------------------------------------------------------------------------------------------------
# A file instead


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of one domain."""
    path = tmp_path / "domains.toml"
    path.write_text(f'[[domain]]\ninvoke_url = "{URL}"\nsecret_env = "FILED"\n')
    return path


def test_a_file_alone_counts(file: Path) -> None:
    """CLOVA_OCR_CONFIG names a file of domains, and then no other variable names one."""
    environ = {
        "CLOVA_OCR_CONFIG": str(file),
        "CLOVA_OCR_INVOKE_URL": URL.replace("777", "888"),
        "CLOVA_OCR_RECEIPT_INVOKE_URL": "nonsense",
        "CLOVA_OCR_SECRET": "another",
        "FILED": SECRET,
    }
    for found in (domains_from_env(environ), configured_domains(environ)):
        assert [(one.key, one.secret.reveal()) for one in found] == [(URL, SECRET)]
    assert config_path(environ) == str(file)


def test_a_path_given_wins_over_the_environment(file: Path) -> None:
    """What is given as an argument counts before CLOVA_OCR_CONFIG."""
    environ = {"CLOVA_OCR_CONFIG": "not-there.toml", "FILED": SECRET}
    assert [one.key for one in configured_domains(environ, file)] == [URL]
    assert config_path(environ, file) == file


def test_an_empty_variable_names_no_file() -> None:
    """CLOVA_OCR_CONFIG that is empty counts as not set, as the other variables do."""
    environ = {"CLOVA_OCR_CONFIG": "", "CLOVA_OCR_INVOKE_URL": URL, "CLOVA_OCR_SECRET": SECRET}
    assert [one.key for one in configured_domains(environ)] == [URL]
    assert config_path(environ) is None


def test_what_is_wrong_with_a_file_of_the_environment_names_the_variable(file: Path) -> None:
    """A refusal says which variable has named the file."""
    message = refused(lambda: domains_from_env({"CLOVA_OCR_CONFIG": str(file)}))
    assert message.startswith(f"CLOVA_OCR_CONFIG: config file {str(file)!r}, line 3: secret_env: ")
