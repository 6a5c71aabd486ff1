from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import KEY, SECRET, URL
from support.refusals import chain, refused

from clova_ocr_async.documents import DOCUMENTS, IdCard, Receipt
from clova_ocr_async.domains.file import domains_from_file
from clova_ocr_async.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from clova_ocr_async.domains.domain import Domain

ENVIRON = {
    "RECEIPT_SECRET": SECRET,
    "QUOTED": f'"{SECRET}"\r',
    "QUOTE": f"'{SECRET}",
    "EMPTY": "",
    "ODD": f"{SECRET} {SECRET}",
}
OTHER_URL = URL.replace("777", "888")
GOOD = f'[[domain]]\ninvoke_url = "{URL}"\nsecret_env = "RECEIPT_SECRET"\n'


def domains(folder: Path, text: str | bytes) -> list[Domain]:
    """Return what a file of domains names."""
    path = folder / "domains.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return domains_from_file(path, ENVIRON)


def flaw(folder: Path, text: str | bytes) -> str:
    """Return the message about a file, after its name."""
    message = refused(lambda: domains(folder, text))
    subject = f"config file {str(folder / 'domains.toml')!r}"
    assert message.startswith(subject)
    return message.removeprefix(subject)


def test_a_domain_needs_two_keys(tmp_path: Path) -> None:
    """An invoke URL and where its secret is make a domain for any document, without limits."""
    [found] = domains(tmp_path, GOOD)
    assert (found.key, found.secret.reveal(), found.document) == (URL, SECRET, None)
    assert (found.max_concurrency, found.max_per_second) == (None, None)


def test_a_file_names_any_number_of_domains(tmp_path: Path) -> None:
    """Domains come in the file's order, each with its document, its limits and its secret."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "id-card").write_text(f"of-a-file{SECRET}\n")
    found = domains(
        tmp_path,
        f"""
        [[domain]]
        invoke_url = "{URL}/document/receipt"
        secret_env = "RECEIPT_SECRET"
        document = "receipt"
        max_concurrency = 5
        max_per_second = 2.5
        label = "first"

        [[domain]]
        invoke_url = "{OTHER_URL}"
        secret_file = "secrets/id-card"
        document = "id-card"
        max_per_second = 3
        """,
    )
    assert [one.key for one in found] == [URL, OTHER_URL]
    assert [one.document for one in found] == [Receipt, IdCard]
    assert [one.secret.reveal() for one in found] == [SECRET, f"of-a-file{SECRET}"]
    assert [(one.max_concurrency, one.max_per_second) for one in found] == [(5, 2.5), (None, 3.0)]
    assert [one.label for one in found] == ["first", "id-card@host"]


@pytest.mark.parametrize("word", DOCUMENTS)
def test_document_takes_the_vendors_words(tmp_path: Path, word: str) -> None:
    """Each of the six path words binds its class."""
    [found] = domains(tmp_path, f'{GOOD}document = "{word}"')
    assert found.document is DOCUMENTS[word]


def test_a_byte_order_mark_and_inline_tables_are_read(tmp_path: Path) -> None:
    """A file with a byte order mark is read, and domains may stand in an array."""
    array = f'domain = [{{invoke_url = "{URL}", secret_env = "RECEIPT_SECRET"}}]\r\n'
    assert [one.key for one in domains(tmp_path, b"\xef\xbb\xbf" + array.encode())] == [URL]


def test_http_needs_the_files_leave(tmp_path: Path) -> None:
    """Plain http to a private host is refused with the line to write, and accepted with it, with a warning."""
    text = GOOD.replace("https://host.apigw.ntruss.com", "http://10.0.0.7")
    assert "set allow_http = true for a private host" in flaw(tmp_path, text)
    assert "set allow_http" in flaw(tmp_path, f"{text}allow_http = false")
    with pytest.warns(UserWarning, match="readable"):
        assert len(domains(tmp_path, f"{text}allow_http = true")) == 1


def test_an_absolute_secret_file_is_taken_as_it_is(tmp_path: Path) -> None:
    """A secret file need not lie below the file of domains."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "below").mkdir()
    text = GOOD.replace('secret_env = "RECEIPT_SECRET"', f"secret_file = '{tmp_path / 'secret'}'")
    assert domains(tmp_path / "below", text)[0].secret.reveal() == SECRET


# ---------------------------------------------------------------------------------------------------------------------
# What cannot work


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("", ": it names no domain; begin each with [[domain]]", id="empty"),
        pytest.param("domain = []", ", line 1: it names no domain", id="none"),
        pytest.param(
            GOOD.replace("[[", "[").replace("]]", "]"), ", line 1: a domain begins with [[domain]]", id="table"
        ),
        pytest.param(f"\ndomain = '{SECRET}'", ", line 2: domain is not a table", id="text"),
        pytest.param("domain = [1]", ", line 1: domain is not a table", id="numbers"),
        pytest.param(f"{GOOD}\n[domains]", ", line 5: the file has no other tables", id="unknown table"),
        pytest.param("[[domains]]", "[[domain]]; did you mean that?", id="plural"),
        pytest.param(f"[{SECRET}]", ", line 1: the file has no other tables or keys than [[domain]]", id="other table"),
        pytest.param(f"{SECRET} = 1\n{GOOD}", ", line 1: the file has no other tables or keys", id="other key"),
        pytest.param(f'secret = "{SECRET}"\n', ", line 1: secrets do not belong in this file", id="secret above"),
        pytest.param(
            f'invoke_url = "{URL}"\n{GOOD}',
            ", line 1: invoke_url stands outside a domain; write [[domain]]",
            id="above",
        ),
        pytest.param(f'{GOOD}x = "{SECRET}', ", line 4: a text is not closed", id="open quote"),
        pytest.param(f"{GOOD}{SECRET}", ", line 4: a key has no = behind it", id="bare"),
        pytest.param(f"{GOOD}document = {SECRET}", ", line 4: a value is missing, or is text", id="bare value"),
        pytest.param(f"[domain]\n[{SECRET}]\n[{SECRET}]", ", line 3: a table is there already; ", id="twice"),
        pytest.param(f"a = {'9' * 5000}", ": it has a number of thousands of digits", id="digits"),
        pytest.param(f"{GOOD}# {SECRET}\n#".encode() + b"\xff", ", line 5: this is not UTF-8; save", id="latin"),
        pytest.param(GOOD.encode("utf-16"), ", line 1: this is not UTF-8; save the file as UTF-8", id="utf-16"),
        pytest.param(b"#" * 2_000_000, " has more than 1,048,576 bytes; it is something else", id="huge"),
    ],
)
def test_a_file_without_usable_domains(tmp_path: Path, content: str | bytes, expected: str) -> None:
    """A file that names no domains is refused by its line, by what is wrong and by what to write."""
    assert expected in flaw(tmp_path, content)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f'secret = "{SECRET}"', "secrets do not belong in this file; put it into an environment variable or a file"),
        ("max_concurency = 5", "a domain has no such key; did you mean max_concurrency?"),
        (f"{SECRET} = 5", "a domain has no such key; there are invoke_url, document, secret_env, secret_file, max_"),
        (f'[domain.{SECRET}]\na = "b"', "a domain has no such key"),
        (f'max_concurrency = "{SECRET}"', "max_concurrency is a string; it must be an integer"),
        ("max_concurrency = true", "max_concurrency is a boolean (true or false); it must be an integer"),
        ("max_concurrency = 5.0", "max_concurrency is a float; it must be an integer"),
        ("max_concurrency = 0", "max_concurrency is less than 1"),
        ("max_per_second = [2]", "max_per_second is an array; it must be an integer or a float"),
        ("max_per_second = nan", "max_per_second is not finite"),
        (
            "max_per_second = -1",
            "max_per_second is not more than 0; it must be a number, more than 0; for no bound, leave it out",
        ),
        ("max_per_second = 2020-01-01", "max_per_second is a date or time"),
        ('allow_http = "true"', "allow_http is a string; it must be a boolean (true or false)"),
        ("document.x = 1", "document is a table; it must be a string"),
        (
            f'document = "{SECRET}"',
            "document is none of receipt, credit-card, name-card, biz-license, id-card, ",
        ),
        ('secret_file = "x"', "secret_env and secret_file are both given; give one of them"),
    ],
)
def test_a_key_that_cannot_work_is_named_with_its_line(tmp_path: Path, line: str, expected: str) -> None:
    """A message about a key names its line, its name and its kind, without its value."""
    message = flaw(tmp_path, f"{GOOD}\n{line}")
    assert message.startswith(", line 5: ")
    assert expected in message
    array = f'domain = [{{invoke_url = "{OTHER_URL}", secret_env = "RECEIPT_SECRET"}}, {{}}]'
    assert flaw(tmp_path, array).startswith(": domain 2: invoke_url is missing")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "invoke_url is empty; copy it from the console"),
        (SECRET, "invoke_url must begin with https:// and a host"),
        (f"https://{SECRET}@host/custom/v1/1/k", "invoke_url has a user name or password in it"),
        (f"http://{SECRET}.com/custom/v1/1/k", "invoke_url is http to ***; the secret and the image need https"),
        (f"http://{SECRET}/custom/v1/1/k", "invoke_url is http to ***; use https, or set allow_http = true"),
        (f"https://host/custom/v1/1/k/document/{SECRET}", "invoke_url ends in /document/***; documents are receipt, "),
        ("https://clovaocr-api-kr.ncloud.com/x", "invoke_url names ***, the host of a manual link"),
        (f"{URL}/general", "invoke_url ends in /general: that is a General or Template domain"),
        (f"{URL}/document/passport", "invoke_url ends in /document/passport, and document is Receipt; leave one of"),
    ],
)
def test_a_url_that_cannot_work_is_not_repeated(tmp_path: Path, url: str, expected: str) -> None:
    """A bad invoke URL is refused as everywhere, by its line and without what it holds."""
    text = f'[[domain]]\ndocument = "receipt"\nsecret_env = "RECEIPT_SECRET"\ninvoke_url = "{url}"'
    assert flaw(tmp_path, text).startswith(f", line 4: {expected}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "line 1: secret_env and secret_file are not given; give one of them: the environment variable"),
        ('secret_env = "NOT_SET"', "line 3: secret_env: the environment variable it names is not set, or empty"),
        (f'secret_env = "{SECRET}"', "line 3: secret_env: the environment variable it names is not set, or empty"),
        ('secret_env = "EMPTY"', "line 3: secret_env: the environment variable it names is not set, or empty"),
        ('secret_env = "ODD"', "line 3: secret_env: secret has blanks"),
        (f'secret_env = "{SECRET}="', "line 3: secret_env: it is not the name of an environment variable; if it"),
        ('secret_env = ""', "line 3: secret_env: it is not the name of an environment variable"),
        (f'secret_file = "{SECRET}"', "line 3: secret_file: the file cannot be read: No such file or directory"),
        ('secret_file = ""', "line 3: secret_file: the file cannot be read: Is a directory"),
        (f'secret_file = "{SECRET}\\u0000"', "line 3: secret_file: its path has a control character in it"),
        (
            'secret_file = "C:\\temp"',
            "line 3: secret_file: its path has a control character in it; put it in single quot",
        ),
        ('secret_file = "~unknown-user-name/x"', "line 3: secret_file: the path begins with ~, and there is no such"),
        ('secret_env = "QUOTE"', "line 3: secret_env: a quote stands at one end of the value only"),
        ('secret_file = "empty"', "line 3: secret_file: secret is empty"),
        (
            'secret_file = "odd"',
            "line 3: secret_file: secret has blanks, control characters or characters outside ASCII",
        ),
        ('secret_file = "two-lines"', "line 3: secret_file: the file has 2 lines; it must hold the secret alone"),
        ('secret_file = "/dev/zero"', "line 3: secret_file: secret has blanks, control characters"),
    ],
)
def test_a_missing_secret_is_reported_without_its_place(tmp_path: Path, line: str, expected: str) -> None:
    """A secret that cannot be had is refused by the line of its key: what the key names may be the secret itself."""
    (tmp_path / "empty").touch()
    (tmp_path / "odd").write_text(f"{SECRET}é", encoding="utf-8")
    (tmp_path / "two-lines").write_text(f"{SECRET}\n{SECRET}\n")
    assert flaw(tmp_path, f'[[domain]]\ninvoke_url = "{URL}"\n{line}\n').startswith(f", {expected}")


def test_the_same_domain_twice_is_named_by_both_lines(tmp_path: Path) -> None:
    """A domain that is given twice, with and without its tail, is refused by where it stands and where it stood."""
    again = GOOD.replace(URL, f"{URL}/document/receipt")
    assert flaw(tmp_path, f"{GOOD}\n{again}").startswith(", line 5: the same domain as line 1, ")
    array = ", ".join("{" + ", ".join(one.splitlines()[1:]) + "}" for one in (GOOD, again))
    assert flaw(tmp_path, f"domain = [{array}]").startswith(": domain 2: the same domain as domain 1, ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("not-there.toml", "the file cannot be read: No such file or directory"),
        (".", "the file cannot be read: Is a directory"),
        ("a\0b", "its path holds a NUL"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, expected: str) -> None:
    """A file of domains that is not there, or is a folder, is refused by its name."""
    path = os.path.join(tmp_path, name)  # noqa: PTH118 - a Path would drop the dot
    message = refused(lambda: domains_from_file(path, ENVIRON))
    assert message == f"config file {path!r}: {message.partition(': ')[2]}"
    assert expected in message


def test_a_file_without_end_is_read_no_further_than_a_file_can_be_long() -> None:
    """A device that never ends is refused."""
    assert "more than 1,048,576 bytes" in refused(lambda: domains_from_file("/dev/zero", ENVIRON))


# ---------------------------------------------------------------------------------------------------------------------
# Anything at all

HOLES = st.sampled_from(
    [SECRET, KEY, URL, "RECEIPT_SECRET", "receipt", "5", "true", "", "\n", '"', "[", "]", "{", "\\"]
)
PIECES = st.sampled_from(
    [
        GOOD,
        GOOD.replace("777", "888"),
        "[[domain]]\n",
        "[domain]\n",
        f"[{SECRET}]\n",
        f"[[domain.{SECRET}]]\n",
        f'invoke_url = "{URL}"\n',
        f'invoke_url = "http://{SECRET}/{KEY}/document/{SECRET}"\n',
        f'invoke_url = "https://{KEY}/custom/v1/{SECRET}/document/{KEY}"\nsecret_env = "RECEIPT_SECRET"\n',
        'invoke_url = "http://10.0.0.7/x"\nsecret_env = "RECEIPT_SECRET"\nallow_http = true\n',
        f'secret_file = "{SECRET}"\n',
        f'secret = "{SECRET}"\n',
        f'"{SECRET}" = 1\n',
        f"{SECRET}.{KEY} = 1\n",
        f'document = "{KEY}"\n',
        f'max_concurrency = "{KEY}"\n',
        "max_per_second = 0\n",
        f'x = """{SECRET}\n',
        f"domain = [{{{SECRET} = 1}}]\n",
        f"# {SECRET}\n",
    ]
)
CONTENTS = st.one_of(
    st.binary(),
    st.text().map(str.encode),
    st.lists(st.one_of(PIECES, PIECES, HOLES), max_size=8).map(lambda pieces: "".join(pieces).encode()),
    st.tuples(PIECES, HOLES, PIECES, st.integers(0, 200)).map(
        lambda cut: (cut[0][: cut[3]] + cut[1] + cut[0][cut[3] :] + cut[2]).encode()
    ),
)


@given(content=CONTENTS)
def test_any_file_is_read_or_refused_without_its_text(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Every file gives domains or a ConfigurationError, and none of its text gets into the error."""
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    found: Any = ()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = domains_from_file(path, ENVIRON)
        except ConfigurationError as error:
            printed = chain(error).lower()
            assert SECRET.lower() not in printed
            assert KEY.lower() not in printed
    assert all(one.secret.reveal() == SECRET for one in found)
    assert not any(SECRET in str(one.message) for one in warned)


def test_what_stands_around_a_value_of_a_file_is_not_part_of_it(tmp_path: Path) -> None:
    """A secret's variable and a URL are read as those of the environment are."""
    [found] = domains(tmp_path, f"[[domain]]\ninvoke_url = '\ufeff\"{URL}\" '\nsecret_env = 'QUOTED'\n")
    assert (found.key, found.secret.reveal()) == (URL, SECRET)


def test_a_tilde_in_a_file_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret file may be named from the home folder, wherever the file of domains is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secret").write_text(SECRET)
    [found] = domains(tmp_path, f"[[domain]]\ninvoke_url = '{URL}'\nsecret_file = '~/secret'\n")
    assert found.secret.reveal() == SECRET


def test_domains_of_a_file_know_where_their_secrets_are_written_down(tmp_path: Path) -> None:
    """A message about a rejected secret can name file, domain and variable; a path is not named."""
    (tmp_path / "secret").write_text(SECRET)
    found = domains(tmp_path, f"{GOOD}[[domain]]\ninvoke_url = '{OTHER_URL}'\nsecret_file = 'secret'\n")
    assert [one.source for one in found] == [
        "domains.toml, domain 1, secret_env RECEIPT_SECRET",
        "domains.toml, domain 2, secret_file",
    ]


def test_two_spellings_of_a_url_are_one_domain(tmp_path: Path) -> None:
    """A domain that is given twice is refused also where its host is spelled in another way."""
    other = OTHER_URL.replace("host.apigw.ntruss.com", "HOST.apigw.ntruss.com.:443")
    text = f"{GOOD}[[domain]]\ninvoke_url = '{OTHER_URL}'\nsecret_env = 'RECEIPT_SECRET'\n"
    assert len(domains(tmp_path, text)) == 2
    assert "the same domain as" in flaw(
        tmp_path, f"{text}[[domain]]\ninvoke_url = '{other}'\nsecret_env = 'RECEIPT_SECRET'"
    )
