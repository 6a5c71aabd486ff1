from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ledgers import calls, claimed, item, opened, query

from clova_ocr_async.errors import ConfigurationError, LedgerError, SpendingCeilingError
from clova_ocr_async.ledger.sqlite.file_identity import FileIdentity, hashed_machine_id, identify_file, is_same_file
from clova_ocr_async.ledger.sqlite.run_directory import LEDGER

if TYPE_CHECKING:
    from pathlib import Path

HERE = FileIdentity("m", 1, 2, "/run/ledger.sqlite3")


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"path": "/moved/ledger.sqlite3"}, True),
        ({"device": 9}, True),
        ({"machine": ""}, True),
        ({"inode": 9}, False),
        ({"machine": "another"}, False),
        ({"device": 9, "path": "/copy/ledger.sqlite3"}, False),
    ],
    ids=["itself", "renamed", "after a reboot", "in a container", "a copy", "a copied disk", "another disk"],
)
def test_a_ledger_is_the_same_or_another(change: dict[str, Any], same: bool) -> None:
    """A ledger is the same file after a rename or a reboot, and another one after a copy, also of the whole disk."""
    found = msgspec.structs.replace(HERE, **change)
    assert is_same_file(HERE, found) is is_same_file(found, HERE) is same


@given(st.builds(FileIdentity, st.text(), st.integers(), st.integers(), st.text()))
def test_a_ledger_is_itself(found: FileIdentity) -> None:
    """A ledger is the same as itself, and another one than any with another inode."""
    assert is_same_file(found, found)
    assert not is_same_file(found, msgspec.structs.replace(found, inode=found.inode + 1))


def test_a_machine_is_named_without_its_id(tmp_path: Path) -> None:
    """A hashed id is constant, differs between machines, and does not reveal the id; without an id it is empty."""
    (tmp_path / "one").write_text("3d1219c7c4c5404aaa1f6d2a48adfda4\n")
    (tmp_path / "two").write_text("3d1219c7c4c5404aaa1f6d2a48adfda5" * 9)
    (tmp_path / "empty").write_text("\n")
    one, two = (
        hashed_machine_id([str(tmp_path / "nowhere"), str(tmp_path / "empty"), str(tmp_path / n)])
        for n in ("one", "two")
    )
    assert one == hashed_machine_id([str(tmp_path / "one")]) != two
    assert "3d12" not in one
    assert hashed_machine_id([str(tmp_path / "empty")]) == ""


async def test_a_run_knows_its_file(tmp_path: Path) -> None:
    """The first opening stores the identity, also in a run of before; later openings follow a rename."""
    run = tmp_path / "run"
    async with opened(run):
        pass
    set_value(run, "file", None)  # as an older version left it
    async with opened(run):
        pass
    moved = run.rename(tmp_path / "moved")
    async with opened(moved):
        pass
    assert written(moved) == identify_file(moved / LEDGER)


def written(run: Path) -> FileIdentity:
    """Return the identity that a run has stored."""
    ((found,),) = query(run, "SELECT value FROM run WHERE name = 'file'")
    return msgspec.json.decode(found, type=FileIdentity)


async def test_a_copy_is_refused_until_it_is_said_to_go_on(tmp_path: Path) -> None:
    """A copy of a run is refused; with moved=True it goes on from then, and the original is refused."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    async with opened(run):
        pass
    shutil.copytree(run, copy)
    with pytest.raises(LedgerError, match=rf"last worked on as {run}/ledger.sqlite3, .*--run-moved .*moved=True"):
        await opened(copy).__aenter__()
    assert written(copy).path == str(run / LEDGER)
    for settings in ({"moved": True}, {}):
        async with opened(copy, **settings):
            pass
    shutil.rmtree(run)
    copy.rename(run)
    shutil.copytree(run, copy)
    with pytest.raises(LedgerError, match="is a copy, or was moved"):
        await opened(copy).__aenter__()


async def test_a_run_of_another_machine_is_told_as_that(tmp_path: Path) -> None:
    """A copy of a whole disk, with equal numbers, is another file on another machine."""
    run = tmp_path / "run"
    async with opened(run):
        pass
    kept = msgspec.structs.replace(written(run), machine="another")
    set_value(run, "file", msgspec.json.encode(kept))
    if hashed_machine_id():
        with pytest.raises(LedgerError, match="on another machine"):
            await opened(run).__aenter__()


def set_value(run: Path, name: str, value: object) -> None:
    """Store a setting of a run."""
    with closing(sqlite3.connect(run / LEDGER)) as db, db:
        db.execute("INSERT OR REPLACE INTO run (name, value) VALUES (?, ?)", (name, value))


# ---------------------------------------------------------------------------------------------------------------------
# The ceiling, which belongs to the run as well


async def sends(run: Path, name: str, **settings: Any) -> bool:
    """Return whether a process may send an image."""
    async with opened(run, **settings) as ledger:
        try:
            return await ledger.sending(claimed(await ledger.admit(item(name), None)), name)
        except SpendingCeilingError:
            return False


async def test_a_ceiling_belongs_to_the_run(tmp_path: Path) -> None:
    """A call limit holds for processes that give none, until another is given, or "none"."""
    run = tmp_path / "run"
    assert await sends(run, "a", max_calls=1)
    assert not await sends(run, "b")
    assert await sends(run, "b", max_calls=2)
    assert not await sends(run, "c")
    assert await sends(run, "c", max_calls="none")
    assert await sends(run, "d")
    assert calls(run) == 4


async def test_a_ceiling_holds_for_those_at_work(tmp_path: Path) -> None:
    """A process that is at work when another one sets a call limit keeps to it."""
    run = tmp_path / "run"
    async with opened(run) as one:
        assert one.max_calls is None
        claim = claimed(await one.admit(item("a"), None))
        async with opened(run, max_calls=0) as two:
            assert two.max_calls == 0
        with pytest.raises(SpendingCeilingError, match="call limit of the run is reached: 0 calls"):
            await one.sending(claim, "r")
        assert one.max_calls == 0


@pytest.mark.parametrize("wrong", [-1, True, 1.5, "nothing", [1]])
def test_a_ceiling_is_a_number_or_none(tmp_path: Path, wrong: Any) -> None:
    """A value that is not a call limit is refused with the values that are allowed."""
    with pytest.raises(ConfigurationError, match=r"max_calls is .*; it must be a whole number from 0, 'none' or None"):
        opened(tmp_path, max_calls=wrong)
