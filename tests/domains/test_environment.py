from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fakes import SECRET, URL
from support.refusals import refused

from clova_ocr_async.documents import BizLicense, CreditCard, Document, IdCard, NameCard, Passport, Receipt
from clova_ocr_async.domains.domain import Domain
from clova_ocr_async.domains.environment import config_path, configured_domains, domains_from_env

if TYPE_CHECKING:
    from pathlib import Path

_URL = "CLOVA_OCR_INVOKE_URL"
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
        (b"", "empty"),
        (f"{SECRET}\nsecond".encode(), "the file has 2 lines; it must hold the secret alone"),
        (f"CLOVA_OCR_INVOKE_URL={URL}\nCLOVA_OCR_SECRET={SECRET}\n".encode(), "the file has 2 lines"),
        (f"'{SECRET}".encode(), "a quote stands at one end of the value only; write it without quotes"),
        (f"{SECRET}\xe9".encode("latin-1"), "neither UTF-8 nor UTF-16; save it as UTF-8"),
        (b"\xff\xfe" + SECRET.encode("utf-16-le")[:-1], "neither UTF-8 nor UTF-16"),
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
    """An argument counts before CLOVA_OCR_CONFIG."""
    environ = {"CLOVA_OCR_CONFIG": "not-there.toml", "FILED": SECRET}
    assert [one.key for one in configured_domains(environ, file)] == [URL]
    assert config_path(environ, file) == file


def test_an_empty_variable_names_no_file() -> None:
    """CLOVA_OCR_CONFIG that is empty counts as not set, as the other variables do."""
    environ = {"CLOVA_OCR_CONFIG": "", "CLOVA_OCR_INVOKE_URL": URL, "CLOVA_OCR_SECRET": SECRET}
    assert [one.key for one in configured_domains(environ)] == [URL]
    assert config_path(environ) is None


def test_what_is_wrong_with_a_file_of_the_environment_names_the_variable(file: Path) -> None:
    """A refusal names the variable that named the file."""
    message = refused(lambda: domains_from_env({"CLOVA_OCR_CONFIG": str(file)}))
    assert message.startswith(f"CLOVA_OCR_CONFIG: config file {str(file)!r}, line 3: secret_env: ")


# ---------------------------------------------------------------------------------------------------------------------
# What stands around a value

SPELLINGS = {
    "double quotes": '"{}"',
    "single quotes": "'{}'",
    "typographic quotes": "\u201c{}\u201d",
    "line end": "{}\n",
    "Windows line end": "{}\r\n",
    "carriage return": "{}\r",
    "blanks": " \t{} ",
    "byte order mark": "\ufeff{}",
    "no width": "\u200b{}\u200b",
    "quotes in blanks": ' "{}" \r\n',
    "blanks in quotes": '" {} "',
    "its name": "{name}={}",
    "its name, quoted": "{name}='{}'",
    "quoted with its name": "'{name}={}'",
    "a line of a shell": "export {name}={}",
    "blanks at the sign": "{name} = {}",
}
HEADERS = ["X-OCR-SECRET: {}", "x-ocr-secret:{}", '"X-OCR-SECRET: {}"', "secret={}", "RECEIPT_SECRET={}", "Secret: {}"]


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_what_stands_around_a_value_is_not_part_of_it(spelling: str, tmp_path: Path) -> None:
    """Quotes, blanks, line ends, a byte order mark and the variable's own name do not reach a secret, URL or path."""
    (tmp_path / "secret").write_text(spelling.format(SECRET, name="CLOVA_OCR_SECRET"), encoding="utf-8", newline="")
    url, secret = (spelling.format(value, name=name) for value, name in ((URL, _URL), (SECRET, "CLOVA_OCR_SECRET")))
    [direct] = domains_from_env({_URL: url, "CLOVA_OCR_SECRET": secret})
    path = str(tmp_path / "secret")
    [filed] = domains_from_env(
        {_URL: URL, "CLOVA_OCR_SECRET_FILE": path if "name" in spelling else spelling.format(path)}
    )
    assert [(found.key, found.secret.reveal()) for found in (direct, filed)] == [(URL, SECRET)] * 2


@pytest.mark.parametrize("spelling", HEADERS)
def test_a_header_or_another_name_before_a_secret_is_not_part_of_it(spelling: str) -> None:
    """The header's name, or a similar name, is taken off a secret."""
    [found] = domains_from_env({_URL: URL, "CLOVA_OCR_SECRET": spelling.format(SECRET)})
    assert found.secret.reveal() == SECRET


@pytest.mark.parametrize("secret", ["c2VjcmV0SECRET==", "secret=", "a=b", "QUJD+/==", "it's", "0:1"])
def test_a_secret_that_looks_like_more_is_taken_as_it_is(secret: str) -> None:
    """Signs that a secret may have, such as the padding of base64, are never taken off."""
    [found] = domains_from_env({_URL: URL, "CLOVA_OCR_SECRET": secret})
    assert found.secret.reveal() == secret


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_secret_file_as_windows_writes_it(encoding: str, tmp_path: Path) -> None:
    """A secret file with a byte order mark is read, in UTF-8 and in UTF-16."""
    text = ("\ufeff" if encoding == "utf-16-be" else "") + f"{SECRET}\r\n"
    (tmp_path / "secret").write_bytes(text.encode(encoding))
    [found] = domains_from_env({_URL: URL, "CLOVA_OCR_SECRET_FILE": str(tmp_path / "secret")})
    assert found.secret.reveal() == SECRET


@pytest.mark.parametrize("nothing", ["", '""', "''", " ", "\ufeff\r\n"])
def test_a_variable_of_nothing_but_wrappings_is_not_set(nothing: str) -> None:
    """Quotes around nothing, as docker --env-file leaves them, count as an empty variable does."""
    environ = {_URL: URL, "CLOVA_OCR_RECEIPT_INVOKE_URL": nothing, "CLOVA_OCR_SECRET": nothing}
    assert "CLOVA_OCR_SECRET is not" in refused(lambda: domains_from_env(environ))
    [found] = domains_from_env(environ | {"CLOVA_OCR_SECRET": SECRET, "CLOVA_OCR_CONFIG": nothing})
    assert found.document is None


@pytest.mark.parametrize("name", [_URL, "CLOVA_OCR_SECRET"])
def test_a_quote_at_one_end_is_refused_by_the_variable(name: str) -> None:
    """A quote without its partner is a slip, and the refusal names the variable and shows nothing of the value."""
    environ = {_URL: URL, "CLOVA_OCR_SECRET": SECRET}
    for spelling in ("'{}", "{}'", '"{}', "\u201c{}"):
        message = refused(lambda: domains_from_env(environ | {name: spelling.format(environ[name])}))  # noqa: B023 - called at once
        assert message == f"{name}: a quote stands at one end of the value only; write it without quotes"


# ---------------------------------------------------------------------------------------------------------------------
# Home folders


def test_a_tilde_in_a_variable_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Paths in the environment may begin with ~, which no shell expands there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "secret").write_text(SECRET)
    [found] = domains_from_env({_URL: URL, "CLOVA_OCR_SECRET_FILE": "~/secret"})
    assert found.secret.reveal() == SECRET
    environ = {"CLOVA_OCR_CONFIG": f"~/{file.name}", "FILED": SECRET}
    assert config_path(environ) == str(file)
    assert [one.key for one in configured_domains(environ)] == [URL]


@pytest.mark.parametrize("name", ["CLOVA_OCR_SECRET_FILE", "CLOVA_OCR_CONFIG"])
def test_a_tilde_of_nobody_is_refused_by_the_variable(name: str) -> None:
    """A missing home folder is reported with the name of the variable."""
    message = refused(lambda: domains_from_env({_URL: URL, name: "~unknown-user-name/secret"}))
    assert message.startswith(f"{name}: the path begins with ~, and there is no such home folder; write")


# ---------------------------------------------------------------------------------------------------------------------
# The words of the environment, and where a domain comes from


def test_http_is_allowed_by_a_variable() -> None:
    """Plain http to a private host is refused in the environment's words, and accepted with them, with a warning."""
    environ = {_URL: "http://emulator:8089/custom/v1/1/emulator", "CLOVA_OCR_SECRET": SECRET}
    for value in ({}, {"CLOVA_OCR_ALLOW_HTTP": "false"}, {"CLOVA_OCR_ALLOW_HTTP": ""}):
        message = refused(lambda: domains_from_env(environ | value))  # noqa: B023 - called at once
        assert message.startswith(f"{_URL}: invoke_url is http to emulator")
        assert message.endswith("use https, or set CLOVA_OCR_ALLOW_HTTP=true for a private host")
    for yes in ("true", "1", "YES", '"on"'):
        with pytest.warns(UserWarning, match="readable"):
            assert len(domains_from_env(environ | {"CLOVA_OCR_ALLOW_HTTP": yes})) == 1


def test_a_switch_is_true_or_false() -> None:
    """A variable that must be true or false is refused by name if it is neither."""
    environ = {_URL: URL, "CLOVA_OCR_SECRET": SECRET, "CLOVA_OCR_ALLOW_HTTP": "perhaps"}
    assert refused(lambda: domains_from_env(environ)) == (
        "CLOVA_OCR_ALLOW_HTTP is neither true nor false; set it to true, or leave it out"
    )


def test_a_url_in_the_variable_of_another_document_is_told_by_the_variables() -> None:
    """The way out of a contradiction is a variable, not an argument."""
    environ = {"CLOVA_OCR_RECEIPT_INVOKE_URL": f"{URL}/document/passport", "CLOVA_OCR_SECRET": SECRET}
    message = refused(lambda: domains_from_env(environ))
    assert message.endswith("use CLOVA_OCR_INVOKE_URL, or the variable of the URL's document")


def test_a_domain_knows_where_its_secret_is_written_down(tmp_path: Path) -> None:
    """A message about a rejected secret can name the variable it came from."""
    (tmp_path / "secret").write_text(SECRET)
    path = str(tmp_path / "secret")
    sources = {
        "CLOVA_OCR_SECRET": {"CLOVA_OCR_SECRET": SECRET},
        "CLOVA_OCR_SECRET_FILE": {"CLOVA_OCR_SECRET_FILE": path},
        "CLOVA_OCR_RECEIPT_SECRET": {"CLOVA_OCR_RECEIPT_SECRET": SECRET, "CLOVA_OCR_SECRET": "another"},
        "CLOVA_OCR_RECEIPT_SECRET_FILE": {"CLOVA_OCR_RECEIPT_SECRET_FILE": path, "CLOVA_OCR_SECRET": "another"},
    }
    for source, environ in sources.items():
        [found] = domains_from_env({"CLOVA_OCR_RECEIPT_INVOKE_URL": URL, **environ})
        assert (found.source, found.secret.reveal()) == (source, SECRET)
    assert Domain(URL, SECRET).source is None
