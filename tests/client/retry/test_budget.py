from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakes import BUSY, FAILED, JPEG, PATIENT, SPENT, FakeTime, FakeTransport, domain

from clova_ocr_async.client import ClovaOCRClient, RetryPolicy
from clova_ocr_async.client.retry.budget import RetryBudget, price_of
from clova_ocr_async.documents import Receipt
from clova_ocr_async.errors import (
    ClovaOCRError,
    ConnectionFailedError,
    ConnectionLostError,
    ServerError,
)

if TYPE_CHECKING:
    from clova_ocr_async.protocol.response import HTTPResponse

PRICES: list[tuple[ClovaOCRError, int]] = [
    (ServerError(500, "0501"), 14),
    (ServerError(504, "510"), 14),
    (ConnectionFailedError("x"), 5),
    (ConnectionLostError("x"), 5),
]


@pytest.mark.parametrize(("error", "price"), PRICES, ids=lambda value: repr(value)[:30])
def test_prices(error: ClovaOCRError, price: int) -> None:
    """A retry after a server's error costs most."""
    assert price_of(error) == price


def test_what_is_not_there_is_not_spent() -> None:
    """A retry is paid in full or not at all."""
    budget = RetryBudget(18)
    assert [budget.spend(14), budget.left, budget.spend(5), budget.left, budget.spend(0)] == [True, 4, False, 4, True]


tokens = st.integers(0, 20)


@given(capacity=st.integers(0, 60), moves=st.lists(st.tuples(st.booleans(), tokens)))
def test_the_budget_stays_within_its_bounds(capacity: int, moves: list[tuple[bool, int]]) -> None:
    """A budget is never negative and never above its capacity, whatever is spent and refunded."""
    budget = RetryBudget(capacity)
    for spending, amount in moves:
        before = budget.left
        if spending:
            enough = budget.spend(amount)
            assert (enough, budget.left) == (amount <= before, before - amount * enough)
        else:
            budget.refund(amount)
            assert budget.left == min(capacity, before + amount)
        assert 0 <= budget.left <= capacity


class Client:
    """A client of one domain with a budget, and how many requests each of its calls took."""

    def __init__(self, budget: int, **policy: Any) -> None:
        self.transport = FakeTransport()
        self._client = ClovaOCRClient(
            domain(),
            transport=self.transport,
            runtime=FakeTime().runtime(),
            retry=RetryPolicy(budget=budget, **policy),
        )

    async def call(self, *steps: HTTPResponse | type[ClovaOCRError]) -> int:
        """Call, let the requests meet what is given, then success, and return how many left."""
        before = len(self.transport.sent)
        self.transport.steps.extend(steps)
        try:
            await self._client.recognize(JPEG, Receipt)
        except ClovaOCRError:
            self.transport.steps.clear()
        return len(self.transport.sent) - before


async def test_a_single_call_fails_at_once_without_a_budget() -> None:
    """When the budget cannot pay for it, a single call raises its error instead of trying again."""
    client = Client(28)
    assert await client.call(FAILED, FAILED, FAILED) == 3
    assert await client.call(FAILED) == 1
    assert await client.call(ConnectionFailedError) == 1


@pytest.mark.parametrize(("step", "least"), [(FAILED, 14), (ConnectionFailedError, 5), (ConnectionLostError, 5)])
async def test_what_a_retry_needs(step: Any, least: int) -> None:
    """A retry takes place with just enough in the budget, and not with less."""
    assert await Client(least, ambiguous="retry").call(step) == 2
    assert await Client(least - 1, ambiguous="retry").call(step) == 1


@pytest.mark.parametrize("refusal", [BUSY, SPENT])
async def test_refusals_need_no_budget(refusal: HTTPResponse) -> None:
    """Refusals for rate and quota are met by another request also when nothing is in the budget."""
    assert await Client(0).call(refusal, refusal) == 3


async def test_no_budget_means_no_retry() -> None:
    """budget=0 switches retries after errors off."""
    client = Client(0)
    assert [await client.call(step) for step in (FAILED, ConnectionFailedError)] == [1, 1]
    assert await client.call() == 1
    assert await client.call(ConnectionFailedError) == 1


async def test_a_success_gives_back_what_its_last_retry_cost() -> None:
    """After a success the last retry is free, the earlier ones are not."""
    client = Client(19)
    for _ in range(10):
        assert await client.call(FAILED) == 2
    assert await client.call(ConnectionFailedError, FAILED) == 3
    assert await client.call(FAILED) == 2  # of 19 tokens 14 are left: the connection's 5 are gone
    assert await client.call(ConnectionFailedError, FAILED) == 2


async def test_refusals_change_nothing_of_what_is_given_back() -> None:
    """A call that was refused after a paid retry gives that one back."""
    client = Client(14)
    for _ in range(3):
        assert await client.call(FAILED, BUSY, SPENT) == 4


async def test_each_success_puts_one_in() -> None:
    """A call that succeeds without a paid retry puts one token in."""
    client = Client(14)
    assert await client.call(FAILED, FAILED) == 2
    for _ in range(12):
        await client.call()
    assert await client.call(BUSY) == 2
    assert await client.call(FAILED) == 1  # with 13 tokens
    assert await client.call() == 1
    assert await client.call(FAILED) == 2  # with 14


def test_the_default() -> None:
    """Some thirty retries in vain empty the default budget."""
    assert PATIENT.budget == RetryPolicy().budget == 500
