from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from support.ledgers import dead_process, remote_process

from clova_ocr_async.host.processes import Process
from clova_ocr_async.ledger.sqlite.owners import (
    LEASE,
    dead_owners,
    living_owners,
    register,
    release_all,
    renew,
)
from clova_ocr_async.ledger.sqlite.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """An empty ledger in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    yield connection
    connection.close()


def test_leases(db: sqlite3.Connection) -> None:
    """An owner lives until its lease ends unless it is renewed, and one whose process has ended is dead at once."""
    me = remote_process()
    first, second = register(db, me, 100 + LEASE), register(db, remote_process(), 110 + LEASE)
    third = register(db, dead_process(), 110 + LEASE)
    here = Process.this()
    assert dead_owners(db, here, 100 + LEASE) == [third]
    assert dead_owners(db, here, 101 + LEASE) == [first, third]
    assert dead_owners(db, here, 101 + LEASE, apart_from=first) == [third]
    assert living_owners(db, here, 101 + LEASE) == [second]
    assert renew(db, first, 105 + LEASE)
    assert living_owners(db, here, 101 + LEASE) == [first, second]
    # A lease further off than any is of a clock that began anew; a little further is of a process that wrote first.
    assert living_owners(db, here, 100.0 - LEASE / 2) == [first, second]
    assert living_owners(db, here, 1.0) == []


def test_an_owner_is_never_used_twice(db: sqlite3.Connection) -> None:
    """The number of a removed owner is not given again, so what it still writes is refused for good."""
    first = register(db, remote_process(), 1.0)
    release_all(db, first)
    assert not renew(db, first, 2.0)
    assert register(db, remote_process(), 1.0) == first + 1
