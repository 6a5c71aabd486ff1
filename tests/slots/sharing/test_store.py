"""The contract of a store, which each kind of store keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.fakes import KEY, SECRET, domain
from support.ledgers import Clock, remote_process

from clova_ocr_async.slots.limit import ConcurrencyLimit
from clova_ocr_async.slots.sharing.state import Limits, Member, SharedGate
from clova_ocr_async.slots.sharing.store import name_of, transaction

if TYPE_CHECKING:
    from support.slots import Host

    from clova_ocr_async.slots.sharing.store import GateStore

K = domain().key


@pytest.fixture
def clock() -> Clock:
    """Return a clock that is set by hand."""
    return Clock()


@pytest.fixture
def store(host: Host, clock: Clock) -> GateStore:
    """Return a store."""
    return host.open_store(clock)


def learned(store: GateStore) -> int:
    """Return the stored limit."""
    with transaction(store, [K]) as gates:
        return gates[K].limit.value


def learn(store: GateStore, value: int) -> None:
    """Store a limit."""
    with transaction(store, [K]) as gates:
        gates[K].limit.value = value


def test_what_is_stored_is_found(host: Host, store: GateStore, clock: Clock) -> None:
    """The next process finds the limits and members of each domain as the one before stored them."""
    member = Member(remote_process(), 5, clock() + 9.0, Limits(3), 2, (True, 1.0, 1), 4.0)
    limit = ConcurrencyLimit(value=7, advertised=7, rejections=2)
    with transaction(store, [K, "other"]) as gates:
        gates[K].limit, gates[K].members["a"] = limit, member
    store.close()
    with transaction(host.open_store(clock), [K, "other"]) as gates:
        assert gates == {K: SharedGate(limit, {"a": member}), "other": SharedGate()}


def test_an_error_inside_stores_nothing(store: GateStore) -> None:
    """A transaction that ends with an error changes nothing, and the next one can begin at once."""
    learn(store, 5)
    with pytest.raises(ZeroDivisionError), transaction(store, [K]) as gates:  # noqa: PT012 - what a body raises
        gates[K].limit.value = 6
        raise ZeroDivisionError
    assert learned(store) == 5


def test_an_error_while_storing_stores_nothing(store: GateStore) -> None:
    """A value that cannot be stored is an error, changes nothing, and keeps no later transaction from storing."""
    learn(store, 5)
    wrong: Any = object()
    with pytest.raises(TypeError), transaction(store, [K, "other"]) as gates:  # noqa: PT012 - what a body raises
        gates[K].limit.value = 6
        gates["other"].limit.value = wrong
    assert learned(store) == 5
    learn(store, 6)
    assert learned(store) == 6


def test_closing_gives_up_what_was_not_saved(host: Host, store: GateStore) -> None:
    """A store that is closed after a load stores nothing, is closed, and can be used again."""
    learn(store, 5)
    store.load([name_of(K)])[name_of(K)].limit.value = 6
    store.close()
    assert host.is_closed()
    assert learned(store) == 5


def test_an_implausible_row_is_learned_again(store: GateStore) -> None:
    """A limit that no domain has counts as nothing learned."""
    learn(store, 10**9)
    assert learned(store) == ConcurrencyLimit().value


def test_the_time_is_that_of_the_store(store: GateStore, clock: Clock) -> None:
    """The time of a transaction is that of the clock that all share, when it began or later."""
    for _ in range(2):
        with transaction(store, [K]):
            assert store.now() == clock()
        clock.now += 1.0


def test_the_name_of_a_domain_holds_no_secret() -> None:
    """Each domain has a name of its own in a store, from which its key cannot be read."""
    assert KEY not in name_of(K)
    assert SECRET not in name_of(K)
    assert name_of(K) != name_of(K + "x")
