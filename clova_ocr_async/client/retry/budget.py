"""The retry budget, which all the calls of a client share.

Retries help against rare failures. When much fails, retries are additional load on a service in trouble, and each of
them may be billed. So they are paid for out of a budget that only successes refill.

Assumed: the prices, which are those of the AWS SDKs' standard retry mode (2026).
"""

from __future__ import annotations

from clova_ocr_async.errors import ClovaOCRError, ServerError

__all__ = ["RetryBudget", "price_of"]

_SERVER_ERROR = 14  # the default budget of 500 pays for 35 of these in a row
_OTHER_ERROR = 5


def price_of(error: ClovaOCRError) -> int:
    """Return the tokens that a retry after an error costs."""
    return _SERVER_ERROR if isinstance(error, ServerError) else _OTHER_ERROR


class RetryBudget:
    """A bucket of tokens, full at first.

    Args:
        capacity: Most tokens that it holds.

    Attributes:
        left: Tokens in it.
    """

    __slots__ = ("_capacity", "left")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.left = capacity

    def spend(self, price: int) -> bool:
        """Take out tokens; return False, and take none, if there are not enough."""
        if price > self.left:
            return False
        self.left -= price
        return True

    def refund(self, tokens: int) -> None:
        """Put in tokens, up to the capacity."""
        self.left = min(self._capacity, self.left + tokens)
