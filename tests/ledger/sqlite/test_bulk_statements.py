from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from support.ledgers import item, source

from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.sqlite import bulk_statements, statements
from clova_ocr_async.ledger.sqlite.schema import migrate
from clova_ocr_async.ledger.states import Claim, ClaimLostError, Item, ItemEvent, Settlement, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ME, OTHER = 7, 8
NOW = 5.0
COUNTS = [0, 1, 2, 3, 7, 64, 65, 200]


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    """An empty ledger in memory."""
    connection = empty()
    yield connection
    connection.close()


def empty() -> sqlite3.Connection:
    """Make an empty ledger in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    connection.execute("INSERT INTO run (name, value) VALUES ('calls', 0)")
    return connection


def fill(db: sqlite3.Connection) -> list[Claim]:
    """Add items in all states, ours and another's, under our request and another."""
    claims = list[Claim]()
    for state in State:
        for owner in (ME, OTHER):
            for request in ("ours", "theirs"):
                one = item(f"{state} {owner} {request}")
                holder = owner if state in {State.CLAIMED, State.SENT} else None
                db.execute(
                    "INSERT INTO item (sha256, document, state, owner, request_id) VALUES (?, ?, ?, ?, ?)",
                    (one.sha256, one.document, state, holder, request),
                )
                claims.append(Claim(len(claims) + 1, ME, one))
    return claims


def dump(db: sqlite3.Connection) -> list[Any]:
    """Return all that is in a ledger."""
    return [db.execute(f"SELECT * FROM {table}").fetchall() for table in ("item", "answer", "source", "run")]  # noqa: S608 - of this line


def items(count: int) -> list[Item]:
    """Return so many items."""
    return [item(str(number)) for number in range(count)]


@pytest.mark.parametrize("count", COUNTS)
def test_all_that_is_new_is_claimed(db: sqlite3.Connection, count: int) -> None:
    """However many are claimed together, each is claimed once, and told under its own number."""
    claims = bulk_statements.claim_items(db, items(count), ME)
    found = db.execute("SELECT id, sha256, state, owner FROM item ORDER BY id").fetchall()
    assert found == [(claim.number, claim.item.sha256, "claimed", ME) for claim in claims if claim is not None]
    assert [claim.item for claim in claims if claim is not None] == items(count)


def test_only_what_is_new_or_queued_is_claimed() -> None:
    """Items of any state are claimed together as they are one by one."""
    with closing(empty()) as one, closing(empty()) as together:
        fill(together)
        asked = [claim.item for claim in fill(one)] + items(3)
        assert bulk_statements.claim_items(together, asked, ME) == [
            statements.claim_item(one, item, ME) for item in asked
        ]
        assert dump(together) == dump(one)


def test_what_comes_twice_is_claimed_once(db: sqlite3.Connection) -> None:
    """Of two images with the same bytes in one statement only the first is called for."""
    first, second, *others = bulk_statements.claim_items(db, [item("a"), item("a"), item("b"), item("c")], ME)
    assert (first, second) == (Claim(1, ME, item("a")), None)
    assert None not in others


@pytest.mark.parametrize("count", COUNTS)
def test_all_that_is_claimed_is_sent(db: sqlite3.Connection, count: int) -> None:
    """However many requests leave together, each is marked with its own requestId, and counted."""
    claims = [statements.claim_item(db, one, ME) for one in items(count)]
    bulk_statements.send(db, [(claim, f"r{claim.number}") for claim in claims if claim is not None], NOW)
    found = db.execute("SELECT state, request_id, sent_at, attempts FROM item ORDER BY id").fetchall()
    assert found == [("sent", f"r{number}", NOW, 1) for number in range(1, count + 1)]
    assert statements.calls(db) == count


def test_only_what_is_ours_is_sent(db: sqlite3.Connection) -> None:
    """Items of any state are marked together as they are one by one; one that is another's is told."""
    for claim in fill(db):
        ours = [Claim(number, ME, item(f"mine {number}")) for number in range(101, 104)]
        marked = [_sent(send, [*ours, claim]) for send in (bulk_statements.send, _send_each)]
        assert marked[0] == marked[1]


def _send_each(db: sqlite3.Connection, requests: list[tuple[Claim, str]], now: float) -> None:
    for claim, request_id in requests:
        statements.send(db, claim, request_id, now, None)


def _sent(send: Callable[[sqlite3.Connection, list[tuple[Claim, str]], float], None], claims: list[Claim]) -> Any:
    with closing(empty()) as db:
        fill(db)
        for claim in claims[:-1]:
            db.execute(
                "INSERT INTO item (id, sha256, document, state, owner) VALUES (?, ?, 'receipt', 'claimed', ?)",
                (claim.number, claim.item.sha256, ME),
            )
        try:
            send(db, [(claim, "new") for claim in claims], NOW)
        except ClaimLostError:
            return "lost"
        return dump(db)


@pytest.mark.parametrize("count", COUNTS)
def test_all_answers_are_kept(db: sqlite3.Connection, count: int) -> None:
    """However many answers come together, each is kept under its item, the same one only once."""
    answers = [(number, f"r{number}", 200, None, b"%d" % number, NOW, None, False) for number in range(count)]
    bulk_statements.keep_answers(db, answers)
    bulk_statements.keep_answers(db, answers)
    assert db.execute("SELECT item, request_id, status, cut, body, came, unpacked FROM answer").fetchall() == [
        answer[:-1] for answer in answers
    ]


@pytest.mark.parametrize("count", COUNTS)
def test_all_sources_are_linked(db: sqlite3.Connection, count: int) -> None:
    """However many names are written down together, each is its item's, and the last word on a name counts."""
    bulk_statements.link_sources(db, [(source(str(number)), "receipt", 0) for number in range(count)])
    bulk_statements.link_sources(
        db, [(source(str(number)), "receipt", item) for item in (8, 9) for number in range(count)]
    )
    found = db.execute("SELECT path, open, item FROM source ORDER BY id").fetchall()
    assert found == [(str(number).encode(), 0, 9) for number in range(count)]


@pytest.mark.parametrize("mine", ["ours", "new"])
def test_what_was_read_is_settled_together_as_one_by_one(mine: str) -> None:
    """Items of any state are settled together as they are one by one, also those that were given up."""
    verdict = Settlement(ItemEvent.SUCCEED, Billing.BILLED, 2.0, request_id=mine)
    with closing(empty()) as one, closing(empty()) as together:
        for claim in fill(one):
            statements.settle(one, claim, verdict, None, NOW)
        bulk_statements.succeed(together, [(claim, verdict) for claim in fill(together)], NOW)
        assert dump(together) == dump(one)


def test_a_few_are_settled_like_many(db: sqlite3.Connection) -> None:
    """One that was read is settled without company."""
    (claim,) = bulk_statements.claim_items(db, items(1), ME)
    assert claim is not None
    bulk_statements.send(db, [(claim, "r")], NOW)
    bulk_statements.succeed(db, [(claim, Settlement(ItemEvent.SUCCEED, Billing.BILLED, 2.0, request_id="r"))], NOW)
    assert db.execute("SELECT state, elapsed FROM item").fetchall() == [("succeeded", 2.0)]
