from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.reviews import read_image
from support.server_runs import POSTGRES_MODULE, folder_postgres

from clova_ocr_async.errors import ConfigurationError, LedgerError
from clova_ocr_async.ledger.corrections import Change, ChangeKind
from clova_ocr_async.ledger.opening import (
    RunLocation,
    locate,
    open_corrections,
    open_ledger,
    open_view,
    purge,
    run_exists,
)
from clova_ocr_async.ledger.seal import NoSeal
from clova_ocr_async.ledger.sqlite import SqliteLedger
from clova_ocr_async.server_url import Password, ServerURL

URL = "postgresql://me@db.example/ocr?run=march"


@pytest.fixture(params=["directory", "URL", "parsed URL"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunLocation:
    """The location of a run that was not begun; where it is a URL, its server is a folder."""
    monkeypatch.setitem(sys.modules, POSTGRES_MODULE, folder_postgres(tmp_path))
    locations: dict[str, RunLocation] = {
        "directory": tmp_path / "march",
        "URL": URL,
        "parsed URL": ServerURL("postgresql://me@db.example/ocr", Password("pw"), "march"),
    }
    return locations[request.param]


async def test_a_run_is_opened_wherever_it_is(run: RunLocation) -> None:
    """Ledger, view, corrections and purge of a run directory and of a run on a server are opened alike."""
    assert not run_exists(run)
    with pytest.raises(LedgerError), open_view(run):
        pass
    async with open_ledger(run, store="full", max_calls=5) as ledger:
        assert ledger.max_calls == 5
        item = await read_image(ledger, "a.jpg")
    assert run_exists(run)
    with open_corrections(run) as corrections:
        corrections.append(item, Change(ChangeKind.DONE, "me"), after=0)
    with open_view(run, NoSeal()) as view:
        assert (view.answers(), view.status().corrections) == (1, 1)
    assert purge(run, NoSeal(), older_than=60.0).answers == 0
    assert purge(run, NoSeal()).answers == 1


async def test_a_run_that_was_moved_is_continued(run: RunLocation) -> None:
    """That a run was moved can be said of a directory and of a run on a server."""
    async with open_ledger(run, moved=True):
        assert run_exists(run)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("mysql://me@db/ocr?run=a", "does not begin with postgresql://"),
        ("redis://cache/0?run=a", "does not begin with postgresql://"),
        ("postgresql:db", "cannot be read"),
        (Path("postgresql://me@db/ocr?run=a"), "cannot be read"),  # which is postgresql:/me… by now
        ("postgresql://me@db/ocr", r"ledger names no run; add \?run=NAME"),
        (ServerURL("postgresql://me@db/ocr?sslmode=off"), "ledger names no run; add &run=NAME"),
    ],
)
def test_a_url_of_another_kind_is_no_folder(
    location: RunLocation, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever looks like a URL is refused unless it names a run on PostgreSQL, and no folder is made of it."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=why):
        locate(location, "ledger")
    if not isinstance(location, ServerURL):
        with pytest.raises(ConfigurationError, match=r"folder is a URL; .* \(in a database: PostgresLedger\)"):
            SqliteLedger(location)
    assert list(tmp_path.iterdir()) == []


def test_a_password_in_a_url_is_warned_of() -> None:
    """A library's user is warned of a password in a URL as well."""
    with pytest.warns(UserWarning, match="set PGPASSWORD"):
        found = locate("postgresql://me:pw@db/ocr?run=a")
    assert str(found) == "postgresql://me@db/ocr?run=a"


def test_without_its_library_a_server_is_an_error_that_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install has no library for PostgreSQL: the error says what to install."""
    monkeypatch.setitem(sys.modules, POSTGRES_MODULE, None)
    with pytest.raises(ConfigurationError, match=r"a run on PostgreSQL needs .*: pip install '.*\[postgres\]'"):
        open_view(URL)
