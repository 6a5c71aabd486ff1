from __future__ import annotations

import asyncio
import gc
import weakref
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clova_ocr_async.slots.queue import Waiter, WaitQueue


@dataclass
class Entry:
    """A waiter with what it was made of."""

    waiter: Waiter[int]
    domains: list[str]
    interactive: bool
    since: float
    number: int

    @property
    def priority(self) -> tuple[bool, float, int]:
        """Its place in the queue."""
        return (not self.interactive, self.since, self.number)


def entry(queue: WaitQueue[int], domains: list[str], *, interactive: bool, since: float, number: int = 0) -> Entry:
    """Add a waiter to the queue."""
    waiter = Waiter[int](domains, interactive=interactive, since=since)
    queue.add(waiter)
    return Entry(waiter, domains, interactive, since, number)


async def test_interactive_ones_first_then_first_come_first_served() -> None:
    """Interactive calls are first; within a lane the call that came first is."""
    queue = WaitQueue[int]()
    came = [
        entry(queue, ["a"], interactive=False, since=1.0),
        entry(queue, ["a"], interactive=True, since=3.0),
        entry(queue, ["a"], interactive=False, since=2.0),
        entry(queue, ["a"], interactive=True, since=2.5),
        entry(queue, ["a"], interactive=False, since=1.0),
    ]
    for number, expected in ((4, 3), (3, 1), (2, 0), (1, 4), (0, 2)):
        first = queue.peek("a")
        assert first is came[expected].waiter
        first.granted.set_result(0)
        queue.discard(first)
        assert queue.lengths["a"] == number
    assert queue.peek("a") is None


async def test_a_refused_call_keeps_its_place() -> None:
    """A refused call is queued with the time it first came, and so before those that came since."""
    queue = WaitQueue[int]()
    entry(queue, ["a"], interactive=False, since=2.0)
    again = entry(queue, ["a"], interactive=False, since=1.0)
    assert queue.peek("a") is again.waiter


async def test_a_waiter_of_several_domains() -> None:
    """A waiter of several domains is in the queue of each, until it gets a slot of one."""
    queue = WaitQueue[int]()
    both = entry(queue, ["a", "b"], interactive=False, since=1.0)
    other = entry(queue, ["b"], interactive=False, since=2.0)
    assert (queue.lengths["a"], queue.lengths["b"]) == (1, 2)
    assert queue.peek("a") is queue.peek("b") is both.waiter
    both.waiter.granted.set_result(0)
    queue.discard(both.waiter)
    assert (queue.lengths["a"], queue.lengths["b"]) == (0, 1)
    assert queue.peek("a") is None
    assert queue.peek("b") is other.waiter


async def test_an_unknown_domain_has_an_empty_queue() -> None:
    """A domain that no call has asked for has no waiters."""
    queue = WaitQueue[int]()
    assert (queue.peek("a"), queue.peek_many("a", 3), queue.lengths["a"]) == (None, [], 0)


joining = st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.booleans(), st.integers(0, 5))
moves = st.lists(st.one_of(joining, st.sampled_from("abc"), st.integers(0, 50)), max_size=60)


@given(moves)
@settings(max_examples=300, deadline=None)
def test_a_queue_equals_a_sorted_list(moves: list[Any]) -> None:
    """However waiters come, are served and give up, the queue of each domain equals a sorted list."""

    def gone(waiting: list[Entry], one: Entry) -> None:
        waiting.remove(one)
        queue.discard(one.waiter)

    async def main() -> None:
        waiting: list[Entry] = []
        for number, move in enumerate(moves):
            if isinstance(move, tuple):
                domains, interactive, since = move
                waiting.append(entry(queue, sorted(domains), interactive=interactive, since=since, number=number))
            elif isinstance(move, str):
                if (first := queue.peek(move)) is not None:
                    first.granted.set_result(0)
                    gone(waiting, next(one for one in waiting if one.waiter is first))
            elif waiting:
                one = waiting[move % len(waiting)]
                one.waiter.granted.cancel()
                gone(waiting, one)
            for domain in "abc":
                queued = [one for one in waiting if domain in one.domains]
                assert queue.lengths[domain] == len(queued)
                expected = [one.waiter for one in sorted(queued, key=lambda one: one.priority)]
                assert queue.peek_many(domain, 3) == expected[:3]
                assert queue.peek(domain) is (expected[0] if expected else None)

    queue = WaitQueue[int]()
    asyncio.run(main())


async def test_served_waiters_are_not_kept_in_memory() -> None:
    """A queue that becomes empty again and again keeps no waiter that was served."""
    queue = WaitQueue[int]()
    served = list[weakref.ref[Any]]()
    for number in range(1000):
        waiter = entry(queue, ["a", "b"], interactive=False, since=float(number)).waiter
        waiter.granted.set_result(0)
        queue.discard(waiter)
        served.append(weakref.ref(waiter.granted))
    del waiter
    gc.collect()
    assert not any(ref() for ref in served)
