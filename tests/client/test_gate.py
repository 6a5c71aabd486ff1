from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import KEY, SECRET, URL, domain, steps, url_of

from clova_ocr_async.client.domain import Domain
from clova_ocr_async.client.holds import Holds
from clova_ocr_async.client.pool import DomainPool
from clova_ocr_async.client.slots import LocalSlots
from clova_ocr_async.documents import Document, Passport, Receipt
from clova_ocr_async.errors import ConfigurationError, ConnectionFailedError, QuotaExceededError


class Holder:
    """Someone who takes a slot in a task of his own and keeps it until let go."""

    def __init__(self, slots: LocalSlots, domain: Domain) -> None:
        self.holds = False
        self.let_go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(slots, domain))

    async def _hold(self, slots: LocalSlots, domain: Domain) -> None:
        async with slots.slot(domain, "batch"):
            self.holds = True
            await self.let_go.wait()
        self.holds = False


async def test_slots_are_a_ceiling_per_domain() -> None:
    """No more than the given number hold a domain's slots at once, first come first served, each domain by itself."""
    slots, one, other = LocalSlots(2), Domain(url_of(1), SECRET), Domain(url_of(2), SECRET)
    holders = [Holder(slots, one) for _ in range(4)]
    apart = Holder(slots, other)
    await steps()
    assert [holder.holds for holder in holders] == [True, True, False, False]
    assert apart.holds
    assert (slots.free(one), slots.free(other)) == (-2, 1)
    holders[1].let_go.set()
    await steps()
    assert [holder.holds for holder in holders] == [True, False, True, False]
    for holder in [*holders, apart]:
        holder.let_go.set()
        await holder.task
    assert (slots.free(one), slots.free(other)) == (2, 2)


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_a_cancelled_holder_or_waiter_leaves_no_trace(which: int) -> None:
    """Whoever is cancelled, holding or waiting, gives back what he had and wanted."""
    slots, one = LocalSlots(1), domain()
    holders = [Holder(slots, one) for _ in range(3)]
    await steps()
    holders[which].task.cancel()
    await steps()
    left = [holder for holder in holders if holder is not holders[which]]
    assert left[0].holds
    assert slots.free(one) == -1
    for holder in left:
        holder.let_go.set()
        await holder.task
    assert slots.free(one) == 1


async def test_a_slot_comes_back_after_an_error() -> None:
    """An error inside gives the slot back and comes out."""
    slots, one = LocalSlots(1), domain()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - what a body raises
        async with slots.slot(one, "interactive"):
            assert slots.free(one) == 0
            raise ZeroDivisionError
    assert slots.free(one) == 1


def test_a_domain_with_two_tails_has_one_ceiling() -> None:
    """The ceiling is the domain's: two URLs of it that differ in the tail share the slots."""
    assert domain(f"{URL}/document/receipt").key == domain(f"{URL}/document/passport").key


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "3", None])
def test_bad_numbers_of_slots(concurrency: Any) -> None:
    """A number of slots that cannot work is refused by name."""
    with pytest.raises(ConfigurationError, match="concurrency is "):
        LocalSlots(concurrency)


def test_the_default_is_five() -> None:
    """Without a number there are five slots."""
    assert LocalSlots().free(domain()) == 5


def pool_of(*domains: Domain, slots: LocalSlots | None = None) -> DomainPool:
    """Return a pool of domains, none of them on hold."""
    return DomainPool(domains, slots or LocalSlots(2), Holds())


def test_typed_before_untyped() -> None:
    """A class with domains of its own never goes to one for any document."""
    typed, untyped = Domain(url_of(1), SECRET, document=Receipt), Domain(url_of(2), SECRET)
    pool = pool_of(untyped, typed)
    assert pool.serving(Receipt) == [typed]
    assert pool.serving(Passport) == [untyped]
    assert pool.choose(Receipt, None, 0.0) is typed
    assert pool.choose(Passport, None, 0.0) is untyped


async def test_the_domain_with_most_free_slots() -> None:
    """A call goes where the most slots are free, counting those that others wait for."""
    slots = LocalSlots(2)
    domains = [Domain(url_of(number), SECRET) for number in range(3)]
    pool = pool_of(*domains, slots=slots)
    assert pool.choose(Receipt, None, 0.0) is domains[0]
    holders = [Holder(slots, domains[0]), Holder(slots, domains[0]), Holder(slots, domains[1])]
    await steps()
    assert pool.choose(Receipt, None, 0.0) is domains[2]
    for holder in holders:
        holder.let_go.set()
        await holder.task


def test_a_held_domain_is_avoided() -> None:
    """A domain on hold is chosen only if all are, or if it should be asked and nobody does."""
    domains, holds, prober, other = [Domain(url_of(number), SECRET) for number in range(2)], Holds(), object(), object()
    pool = DomainPool(tuple(domains), LocalSlots(2), holds)
    first = holds.begin(domains[0], "outage", prober, ConnectionFailedError("x"), 0.0)
    first.schedule(0.0, 9.0)
    assert pool.choose(Receipt, prober, 9.0) is domains[1]
    holds.begin(domains[1], "quota", None, QuotaExceededError(400), 0.0).schedule(0.0, 5.0)
    assert pool.choose(Receipt, prober, 1.0) is domains[0]
    assert pool.choose(Receipt, prober, 5.0) is domains[1]
    holds.leave(prober)
    assert pool.choose(Receipt, other, 9.0) is domains[0]


@pytest.mark.parametrize("document", [Document, dict, "receipt", None, []])
def test_only_the_six_classes_are_served(document: Any) -> None:
    """What is no document class is refused by name."""
    with pytest.raises(ConfigurationError, match="one of Receipt, CreditCard"):
        pool_of(domain()).serving(document)


def test_no_domain_for_a_document() -> None:
    """A class that no domain reads is refused, the domains named without their keys."""
    with pytest.raises(ConfigurationError, match="no domain of this client reads Passport") as caught:
        pool_of(domain(document=Receipt)).choose(Passport, None, 0.0)
    assert KEY not in str(caught.value)
