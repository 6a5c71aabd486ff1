from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from clova_ocr_async.slots.queue import Waiter, WaitQueue


@dataclass
class Person:
    """Somebody who waits, as a list would know him."""

    waiter: Waiter[int]
    domains: list[str]
    interactive: bool
    since: float
    number: int

    @property
    def turn(self) -> tuple[bool, float, int]:
        """When it is his turn."""
        return (not self.interactive, self.since, self.number)


def person(line: WaitQueue[int], domains: list[str], *, interactive: bool, since: float, number: int = 0) -> Person:
    """Join the line."""
    waiter = Waiter[int](domains, interactive=interactive, since=since)
    line.join(waiter)
    return Person(waiter, domains, interactive, since, number)


async def test_interactive_ones_first_then_first_come_first_served() -> None:
    """Whoever has somebody waiting for the one call goes first; within a lane whoever came first does."""
    line = WaitQueue[int]()
    came = [
        person(line, ["a"], interactive=False, since=1.0),
        person(line, ["a"], interactive=True, since=3.0),
        person(line, ["a"], interactive=False, since=2.0),
        person(line, ["a"], interactive=True, since=2.5),
        person(line, ["a"], interactive=False, since=1.0),
    ]
    for number, expected in ((4, 3), (3, 1), (2, 0), (1, 4), (0, 2)):
        first = line.first("a")
        assert first is came[expected].waiter
        first.granted.set_result(0)
        line.leave(first)
        assert line.length("a") == number
    assert line.first("a") is None


async def test_whoever_comes_again_has_kept_his_place() -> None:
    """A call that was refused comes with the time it first came, and so before those who came since."""
    line = WaitQueue[int]()
    person(line, ["a"], interactive=False, since=2.0)
    again = person(line, ["a"], interactive=False, since=1.0)
    assert line.first("a") is again.waiter


async def test_whoever_is_served_at_one_domain_leaves_all() -> None:
    """Somebody who waits for several domains stands in each line until he is served at one."""
    line = WaitQueue[int]()
    both = person(line, ["a", "b"], interactive=False, since=1.0)
    other = person(line, ["b"], interactive=False, since=2.0)
    assert (line.length("a"), line.length("b")) == (1, 2)
    assert line.first("a") is line.first("b") is both.waiter
    both.waiter.granted.set_result(0)
    line.leave(both.waiter)
    assert (line.length("a"), line.length("b")) == (0, 1)
    assert line.first("a") is None
    assert line.first("b") is other.waiter


async def test_nobody_waits_for_a_domain_nobody_has_asked_for() -> None:
    """An unknown domain has an empty line."""
    line = WaitQueue[int]()
    assert (line.first("a"), line.first_ones("a", 3), line.length("a")) == (None, [], 0)


joining = st.tuples(st.sets(st.sampled_from("abc"), min_size=1), st.booleans(), st.integers(0, 5))
moves = st.lists(st.one_of(joining, st.sampled_from("abc"), st.integers(0, 50)), max_size=60)


@given(moves)
@settings(max_examples=300, deadline=None)
def test_any_line_is_as_a_sorted_list_would_have_it(moves: list[Any]) -> None:
    """However people join, are served and give up, the first ones and the length of each line are those of a list."""

    def gone(waiting: list[Person], one: Person) -> None:
        waiting.remove(one)
        line.leave(one.waiter)

    async def main() -> None:
        waiting: list[Person] = []
        for number, move in enumerate(moves):
            if isinstance(move, tuple):
                domains, interactive, since = move
                waiting.append(person(line, sorted(domains), interactive=interactive, since=since, number=number))
            elif isinstance(move, str):
                if (first := line.first(move)) is not None:
                    first.granted.set_result(0)
                    gone(waiting, next(one for one in waiting if one.waiter is first))
            elif waiting:
                one = waiting[move % len(waiting)]
                one.waiter.granted.cancel()
                gone(waiting, one)
            for domain in "abc":
                line_of = [one for one in waiting if domain in one.domains]
                assert line.length(domain) == len(line_of)
                expected = [one.waiter for one in sorted(line_of, key=lambda one: one.turn)]
                assert line.first_ones(domain, 3) == expected[:3]
                assert line.first(domain) is (expected[0] if expected else None)

    line = WaitQueue[int]()
    asyncio.run(main())


async def test_a_long_wait_keeps_nothing_of_those_who_were_served() -> None:
    """A line that empties again and again remembers nobody."""
    line = WaitQueue[int]()
    for number in range(1000):
        one = person(line, ["a", "b"], interactive=False, since=float(number))
        one.waiter.granted.set_result(0)
        line.leave(one.waiter)
    assert [len(heap) for heap in line._heaps.values()] == [0, 0]  # noqa: SLF001 - memory shows nowhere else
