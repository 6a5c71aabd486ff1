from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import KEY, SECRET, URL, domain, steps, url_of

from clova_ocr_async.client.domain import Domain
from clova_ocr_async.client.pool import DomainPool
from clova_ocr_async.client.quota import QuotaHold
from clova_ocr_async.client.slots import LocalSlots
from clova_ocr_async.documents import Document, Passport, Receipt
from clova_ocr_async.errors import ConfigurationError


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


async def test_only_one_call_probes() -> None:
    """The first to begin a hold probes, everybody else does not."""
    hold = QuotaHold()
    states = [hold.held, hold.begin(), hold.held, hold.begin()]
    hold.end(restored=True)
    states += [hold.held, hold.begin()]
    assert states == [False, True, True, False, False, True]


@pytest.mark.parametrize("restored", [True, False])
async def test_waiting_for_the_prober(restored: bool) -> None:
    """All who wait learn at once whether calls may go on."""
    hold = QuotaHold()
    assert await hold.wait()
    hold.begin()
    hold.retry_after = 3.0
    waiting = [asyncio.create_task(hold.wait()) for _ in range(3)]
    await steps()
    assert not any(task.done() for task in waiting)
    hold.end(restored=restored)
    assert [await task for task in waiting] == [restored] * 3
    assert hold.retry_after is None


async def test_a_hold_begun_again_before_the_waiters_wake() -> None:
    """Who wakes while the next hold has already begun goes on waiting."""
    hold = QuotaHold()
    hold.begin()
    waiting = asyncio.create_task(hold.wait())
    await steps()
    hold.end(restored=True)
    hold.begin()
    await steps()
    assert not waiting.done()
    hold.end(restored=False)
    assert not await waiting


def test_ending_what_is_not_held() -> None:
    """Ending a hold twice does nothing."""
    hold = QuotaHold()
    hold.end(restored=False)
    assert not hold.held


async def test_a_cancelled_waiter_leaves_the_hold() -> None:
    """A waiter's cancellation gets through and changes nothing for the others."""
    hold = QuotaHold()
    hold.begin()
    waiting = asyncio.create_task(hold.wait())
    await steps()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert hold.held


def pool_of(*domains: Domain, slots: LocalSlots | None = None) -> DomainPool:
    """Return a pool of domains."""
    return DomainPool(domains, slots or LocalSlots(2))


def test_typed_before_untyped() -> None:
    """A class with domains of its own never goes to one for any document."""
    typed, untyped = Domain(url_of(1), SECRET, document=Receipt), Domain(url_of(2), SECRET)
    pool = pool_of(untyped, typed)
    assert pool.serving(Receipt) == [typed]
    assert pool.serving(Passport) == [untyped]
    assert pool.choose(Receipt) is typed
    assert pool.choose(Passport) is untyped


async def test_the_domain_with_most_free_slots() -> None:
    """A call goes where the most slots are free, counting those that others wait for."""
    slots = LocalSlots(2)
    domains = [Domain(url_of(number), SECRET) for number in range(3)]
    pool = pool_of(*domains, slots=slots)
    assert pool.choose(Receipt) is domains[0]
    holders = [Holder(slots, domains[0]), Holder(slots, domains[0]), Holder(slots, domains[1])]
    await steps()
    assert pool.choose(Receipt) is domains[2]
    for holder in holders:
        holder.let_go.set()
        await holder.task


def test_a_held_domain_is_avoided() -> None:
    """A domain whose quota is being probed is chosen only if all are."""
    domains = [Domain(url_of(number), SECRET) for number in range(2)]
    pool = pool_of(*domains)
    pool.hold_of(domains[0]).begin()
    assert pool.choose(Receipt) is domains[1]
    pool.hold_of(domains[1]).begin()
    assert pool.choose(Receipt) is domains[0]


@pytest.mark.parametrize("document", [Document, dict, "receipt", None, []])
def test_only_the_six_classes_are_served(document: Any) -> None:
    """What is no document class is refused by name."""
    with pytest.raises(ConfigurationError, match="one of Receipt, CreditCard"):
        pool_of(domain()).serving(document)


def test_no_domain_for_a_document() -> None:
    """A class that no domain reads is refused, the domains named without their keys."""
    with pytest.raises(ConfigurationError, match="no domain of this client reads Passport") as caught:
        pool_of(domain(document=Receipt)).choose(Passport)
    assert KEY not in str(caught.value)
