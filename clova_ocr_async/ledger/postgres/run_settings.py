"""The settings of a run in PostgreSQL: stored by the process that begins it, checked by those that open it later."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from clova_ocr_async.errors import LedgerError
from clova_ocr_async.ledger.postgres.database_identity import identify_database
from clova_ocr_async.ledger.postgres.existing_run import find_run, lock_run
from clova_ocr_async.ledger.run_settings import compare_storage, other_services, seal_check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from clova_ocr_async.ledger.run_settings import AnswerStorage, RequestedSettings
    from clova_ocr_async.server_url import ServerURL

__all__ = ["OpenedRun", "begin_or_check", "check_is_same", "confirm", "note_largest_answer", "store_or_check_services"]


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run that a process may work on.

    Attributes:
        number: Its number in the database.
        token: The random name that its overflow files have.
        store: The answers that it stores.
        largest_answer: Bytes of its largest answer.
        server: The server, with the name of the run.
    """

    number: int
    token: str
    store: AnswerStorage
    largest_answer: int
    server: ServerURL


def begin_or_check(db: Connection[Any], server: ServerURL, requested: RequestedSettings) -> OpenedRun:
    """Begin a run with some settings, or refuse those that it was not begun with.

    Args:
        db: The connection, in a transaction.
        server: The server, with the name of the run.
        requested: The settings.

    Raises:
        LedgerError: The run was begun with another seal or store, was moved to another place, or is in a copy of its
            database.
    """
    here = identify_database(db)
    # Where two processes begin a run at the same time, the settings of the first one hold for both.
    db.execute(
        """INSERT INTO clova_ocr.run (name, token, seal, seal_check, store, system, database)
           SELECT %(name)s, %(token)s, %(seal)s, %(check)s, %(store)s, %(system)s, %(database)s
           WHERE NOT EXISTS (SELECT FROM clova_ocr.run WHERE name = %(name)s) ON CONFLICT (name) DO NOTHING""",
        {
            "name": server.run,
            "token": secrets.token_hex(16),
            "seal": requested.seal.name,
            "check": seal_check(requested.seal),
            "store": requested.store or "full",
            "system": here.system,
            "database": here.number,
        },
    )
    run = find_run(db, server)
    if not requested.moved:
        run.check_not_moved()
        run.check_database(here)
    run.check_seal(requested.seal)
    store = cast("AnswerStorage", run.store)
    compare_storage(store, requested.store)
    if requested.moved:
        db.execute(
            "UPDATE clova_ocr.run SET moved_to = NULL, system = %s, database = %s WHERE id = %s",
            (here.system, here.number, run.number),
        )
    row = db.execute("SELECT token, largest_answer FROM clova_ocr.run WHERE id = %s", (run.number,)).fetchone()
    assert row is not None  # noqa: S101 - it was just found
    return OpenedRun(run.number, row[0], store, row[1], server)


def check_is_same(db: Connection[Any], opened: OpenedRun) -> None:
    """Refuse a run that was replaced since it was opened, by a restore or a copy, as ``begin_or_check`` does.

    Args:
        db: The connection, in a transaction.
        opened: The run.

    Raises:
        LedgerError: The run was moved to another place, or is in a copy of its database; there is none of its name, or
            another one.
    """
    run = find_run(db, opened.server)
    run.check_not_moved()
    run.check_database(identify_database(db))
    if run.token != opened.token:
        raise LedgerError(
            "another run has the place of this one since this process opened it; give the same command again, which "
            "goes on with that one"
        )


def confirm(db: Connection[Any], server: ServerURL, requested: RequestedSettings) -> int | None:
    """Set the call limit and what was not known of the database, and refuse a run that was moved since it was checked.

    It ends the opening: until the transaction ends the run cannot be moved; whoever moves it then sees that a process
    is at work.

    Args:
        db: The connection, in the transaction of ``begin_or_check``.
        server: The server, with the name of the run.
        requested: The settings.

    Returns:
        The call limit; None for any number.

    Raises:
        LedgerError: The run was moved.
    """
    run = lock_run(db, server)
    run.check_not_moved()
    # A user who may not read it may have begun the run, and copies on other servers are known by it.
    if not run.database.system:
        here = identify_database(db)
        db.execute("UPDATE clova_ocr.run SET system = %s WHERE id = %s", (here.system, run.number))
    if requested.max_calls is None:
        return run.max_calls
    db.execute("UPDATE clova_ocr.run SET max_calls = %s WHERE id = %s", (requested.limit, run.number))
    return requested.limit


def store_or_check_services(db: Connection[Any], run: int, services: Sequence[str]) -> None:
    """Bind a run to its services, or refuse others: answers of an emulator must not pass for real ones.

    A run in which no call was billed or may have been is bound anew: its host may have been mistyped.

    Raises:
        LedgerError: The run was begun with other services.
    """
    asked = sorted(set(services))
    row = db.execute("SELECT services FROM clova_ocr.run WHERE id = %s FOR NO KEY UPDATE", (run,)).fetchone()
    assert row is not None  # noqa: S101 - a ledger of it is open
    begun = row[0]
    if begun is not None and not set(asked) <= set(begun):
        if not _is_unused(db, run):
            raise other_services(begun, asked)
        begun = None
    # The process that was checked last may be about to send: its services hold while it is at work.
    db.execute(
        """UPDATE clova_ocr.run SET services = %(services)s,
               services_by = (SELECT coalesce(max(id), 0) FROM clova_ocr.owner WHERE run = %(run)s)
           WHERE id = %(run)s""",
        {"services": begun or asked, "run": run},
    )


def _is_unused(db: Connection[Any], run: int) -> bool:
    """Return whether no call was billed or may have been, and no process works on the run with its services."""
    # Another owner may be about to send, even if nothing is counted yet.
    used = db.execute(
        """SELECT FROM clova_ocr.run WHERE id = %(run)s AND (calls > 0
               OR EXISTS (SELECT FROM clova_ocr.answer WHERE run = %(run)s)
               OR (SELECT count(*) FROM clova_ocr.owner WHERE run = %(run)s) > 1
               OR EXISTS (SELECT FROM clova_ocr.owner WHERE owner.id = services_by))""",
        {"run": run},
    )
    return used.fetchone() is None


def note_largest_answer(db: Connection[Any], run: int, size: int) -> None:
    """Note the bytes of an answer, if it is the largest one of the run."""
    db.execute("UPDATE clova_ocr.run SET largest_answer = %s WHERE id = %s AND largest_answer < %s", (size, run, size))
