from __future__ import annotations

import copy
import pickle
import string
import traceback
import warnings
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import domain

if TYPE_CHECKING:
    from collections.abc import Callable

from clova_ocr_async.batch import BatchDispatcher
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.ledger.opening import locate
from clova_ocr_async.secret import SecretText
from clova_ocr_async.server_url import (
    POSTGRES,
    REDIS,
    Password,
    ServerURL,
    checked_run,
    is_url,
    parse_server_url,
    read_server_url,
    require_run,
)

CANARY = "kanarienvogel"

# What may stand in a password without being encoded, and what may be encoded.
passwords = st.text(st.sampled_from(string.ascii_letters + string.digits + "-._~!$'()*+,;=:%@/?#&[] 가é"), min_size=1)


def quoted(text: str) -> str:
    """Percent-encode every character."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def refused(text: str, schemes: tuple[str, ...] = POSTGRES) -> str:
    """Return the message with which a URL is refused, traceback and all."""
    with pytest.raises(ConfigurationError) as caught:
        read_server_url(text, schemes)
    return "".join(traceback.format_exception(caught.value)) + str(caught.value)


def shown(text: str) -> str:
    """Return everything that is shown of a URL, or the message with which it is refused."""
    try:
        found = read_server_url(text, POSTGRES)
    except ConfigurationError as error:
        return str(error)
    return f"{found} {found!r} {found.warning}"


@pytest.mark.parametrize(
    ("text", "url", "password", "run"),
    [
        ("postgresql://me@db:5433/ocr?run=march", "postgresql://me@db:5433/ocr", None, "march"),
        ("postgresql://me:pw@db/ocr?run=march", "postgresql://me@db/ocr", "pw", "march"),
        ("postgres://db/ocr", "postgres://db/ocr", None, None),
        ("POSTGRESQL://db/ocr", "postgresql://db/ocr", None, None),
        ("postgresql://me:p%40ss%2F%25@[::1]:5432/ocr", "postgresql://me@[::1]:5432/ocr", "p@ss/%", None),
        ("postgresql://me:p@ss@db/ocr", "postgresql://me@db/ocr", "p@ss", None),
        ("postgresql://a:1,b:2,[::1]:3/ocr?run=x", "postgresql://a:1,b:2,[::1]:3/ocr", None, "x"),
        ("postgresql:///ocr?host=/run/postgresql", "postgresql:///ocr?host=/run/postgresql", None, None),
        ("postgresql://%2Frun%2Fpostgresql/ocr", "postgresql://%2Frun%2Fpostgresql/ocr", None, None),
        ("postgresql://?service=ocr&run=x", "postgresql://?service=ocr", None, "x"),
        ("postgresql://db/o%20c?options=-c%20a+b&run=x%26y", "postgresql://db/o%20c?options=-c%20a+b", None, "x&y"),
        ("postgresql://db/ocr?password=pw&sslmode=require", "postgresql://db/ocr?sslmode=require", "pw", None),
        ("postgresql://db/ocr?Password=pw&p%61ssword=pq", "postgresql://db/ocr", "pq", None),
        ("postgresql://me:a@db/ocr?password=b", "postgresql://me@db/ocr", "b", None),
        ("postgresql://me:@db/ocr?password=", "postgresql://me@db/ocr", None, None),
        ("redis://:pw@cache:6379/0", "redis://cache:6379/0", "pw", None),
        ("rediss://me:pw@cache/0?ssl_cert_reqs=none", "rediss://me@cache/0?ssl_cert_reqs=none", "pw", None),
        ("redis://", "redis://", None, None),
    ],
)
def test_a_url_is_taken_apart(text: str, url: str, password: str | None, run: str | None) -> None:
    """The password and the run are taken off; all else stays as it was written, for the server's library."""
    found = read_server_url(text, (*POSTGRES, *REDIS))
    assert found == ServerURL(url, None if password is None else Password(password), run)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f"mysql://me:{CANARY}@db/ocr", "does not begin with postgresql://"),
        (f"redis://me:{CANARY}@db/0", "does not begin with postgresql://; Redis keeps slots, and no runs"),
        (f"postgresql:{CANARY}", "cannot be read"),
        (f"postgresql:/me:{CANARY}@db/ocr", "cannot be read"),
        (f"postgresql://me:{CANARY}@db:port/ocr", "cannot be read"),
        (f"postgresql://me:{CANARY}@[::1/ocr", "cannot be read"),
        (f"postgresql://me:{CANARY}@db/ocr#run", "cannot be read"),
        (f"postgresql://me:{CANARY}@db/o cr", "cannot be read"),
        (f"postgresql://me:{CANARY}@db/ocr?run=two words", "with blanks"),
        (f"postgresql://me:{CANARY}@db/ocr\n", "cannot be read"),
        # These would be the host, the database or an option, and be shown, if the @ behind them were not looked at.
        (f"postgresql://me:12/{CANARY}@db/ocr", "percent-encoded"),
        (f"postgresql://me:12?{CANARY}@db/ocr", "percent-encoded"),
        (f"postgresql://me:12#{CANARY}@db/ocr", "percent-encoded"),
        (f"postgresql://me:{CANARY}@db/ocr?run=", "is empty"),
        (f"postgresql://me:{CANARY}@db/ocr?run=%0A", "not printable"),
        (f"postgresql://me:{CANARY}@db/ocr?run={'x' * 129}", "longer than 128"),
        (f"postgresql://me:{CANARY}@db/ocr?run=a&run=b", "has 2 runs"),
        (f"postgresql://me@db/ocr?{CANARY}", "an option without a value"),
        (f"postgresql://me@db/ocr?sslpassword={CANARY}", r"put it into a service file"),
        (f"postgresql://me@db/ocr?oauth_client_secret={CANARY}", r"put it into a service file"),
        (f"postgresql://me@db/ocr?scram_client_key={CANARY}", r"put it into a service file"),
    ],
)
def test_a_url_that_cannot_be_read(text: str, why: str) -> None:
    """What is wrong is named, and nothing of the URL is repeated, not even in the traceback."""
    message = refused(text)
    assert why in message
    assert CANARY not in message


def test_a_url_of_slots_may_have_either_scheme() -> None:
    """Where two kinds of servers will do, the message names both."""
    assert "does not begin with postgresql:// or redis://" in refused("mysql://db", (*POSTGRES, *REDIS))


def test_a_url_of_redis_names_a_database_by_its_number_and_no_run() -> None:
    """What redis-py would ignore without a word is refused."""
    for path in ("", "/", "/0", "/15?protocol=3"):
        assert read_server_url(f"redis://cache{path}", REDIS).url == f"redis://cache{path}"
    assert "something other than the number of a database" in refused("redis://cache/ocr", REDIS)
    assert "names a run, and Redis keeps none" in refused("redis://cache/0?run=march", REDIS)


@pytest.mark.parametrize("text", ["postgresql://db/x", "mysql://db", "postgresql:db", "REDIS:x", "a://b"])
def test_what_is_meant_as_a_url(text: str) -> None:
    """A text with a scheme is a URL, and so is one that begins with the scheme of a server: no folder is made of it."""
    assert is_url(text)


@pytest.mark.parametrize("text", ["run", "C:\\run", "./postgresql:db", "a:b", ":", "", "http:"])
def test_what_is_meant_as_a_path(text: str) -> None:
    """Any other text is a path, a colon in it or not."""
    assert not is_url(text)


@given(password=passwords, run=st.text(min_size=1, max_size=20).filter(str.isprintable))
def test_a_url_survives_without_its_password(password: str, run: str) -> None:
    """What is printed of a URL is the same URL without its password, and can be read again."""
    text = f"postgresql://me:{quoted(password)}@db:5432/ocr?sslmode=require&run={quoted(run)}"
    found = read_server_url(text, POSTGRES)
    assert found.password == Password(password)
    assert found.run == run
    assert read_server_url(str(found), POSTGRES) == ServerURL(found.url, None, run)


@given(st.text(st.sampled_from("postgresql:/me@db?run=&#%[].0 "), max_size=40))
def test_a_password_is_never_shown(around: str) -> None:
    """Wherever a password stands in whatever is given as a URL, it is in no message, text or repr; or it is refused."""
    for text in (f"postgresql://me:{CANARY}@{around}", f"postgresql://db/x?password={CANARY}&{around}"):
        assert CANARY not in shown(text)


def test_a_password_is_warned_of_once() -> None:
    """The warning names the way out; a URL that was parsed before is not warned of again."""
    for text, instead in (
        ("postgresql://me:pw@db/x?run=a", "PGPASSWORD"),
        ("redis://:pw@c", "CLOVA_OCR_REDIS_PASSWORD"),
    ):
        with pytest.warns(UserWarning, match=instead) as caught:
            found = parse_server_url(text, (*POSTGRES, *REDIS))
        assert [str(one.message) for one in caught] == [found.warning]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert parse_server_url(found, (*POSTGRES, *REDIS)) is found
    assert parse_server_url("postgresql://me@db/x", POSTGRES).warning is None


@pytest.mark.parametrize(
    "door",
    [
        lambda url: parse_server_url(url, POSTGRES),
        locate,
        lambda url: BatchDispatcher(ClovaOCRClient(domain()), ledger=url),
    ],
)
def test_a_warning_is_of_the_line_that_gave_the_url(door: Callable[[str], object]) -> None:
    """However many functions of the package are between, the warning names the user's file."""
    with pytest.warns(UserWarning, match="PGPASSWORD") as caught:
        door("postgresql://me:pw@db/x?run=a")
    assert [one.filename for one in caught] == [__file__]


def test_a_parsed_url_is_checked_for_its_scheme() -> None:
    """A URL of Redis is none of PostgreSQL, also after it was parsed."""
    found = read_server_url("redis://cache", REDIS)
    with pytest.raises(ConfigurationError, match="does not begin with postgresql://"):
        parse_server_url(found, POSTGRES)


def test_a_run_is_asked_for() -> None:
    """A URL without a run says how one is added."""
    for text, way in (("postgresql://db/x", r"add \?run=NAME"), ("postgresql://db/x?sslmode=off", "add &run=NAME")):
        with pytest.raises(ConfigurationError, match=f"ledger names no run; {way}"):
            require_run(read_server_url(text, POSTGRES), "ledger")
    assert checked_run("march 2026") == "march 2026"


def test_a_password_is_kept_to_itself() -> None:
    """A password is neither printed nor pickled, and equal ones are equal, whatever bytes they hold."""
    password = Password(f"{CANARY}\udcff")
    assert CANARY not in f"{password} {password!r}"
    assert password.reveal() == f"{CANARY}\udcff"
    assert not hasattr(password, "__dict__")
    assert len({password, Password(f"{CANARY}\udcff")}) == 1
    assert password not in {Password(CANARY), f"{CANARY}\udcff"}
    assert isinstance(password, SecretText)
    for attempt in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="a Password cannot be pickled") as caught:
            attempt(password)
        assert CANARY not in str(caught.value)
