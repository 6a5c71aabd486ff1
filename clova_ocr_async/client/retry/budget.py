"""What the calls of one client may spend together on sending again.

Retries help against failures that are rare. When much fails they are the next load on a service in trouble, and each
may be paid; so they are paid for out of a budget that only successes fill up again.

Assumed: the prices, which are those of the AWS SDKs' standard retry mode (2026).
"""

from __future__ import annotations

from clova_ocr_async.errors import ClovaOCRError, QuotaExceededError, RateLimitError, ServerError

__all__ = ["RetryBudget", "price_of"]

_SERVER_ERROR = 14
_OTHER_ERROR = 5


def price_of(error: ClovaOCRError) -> int:
    """Return what a retry after an error costs; after a refusal for rate or quota nothing, for nothing was run."""
    if isinstance(error, RateLimitError | QuotaExceededError):
        return 0
    return _SERVER_ERROR if isinstance(error, ServerError) else _OTHER_ERROR


class RetryBudget:
    """A bucket of tokens, full at first.

    Args:
        capacity: Most tokens in it.

    Attributes:
        left: Tokens in it.
    """

    __slots__ = ("_capacity", "left")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.left = capacity

    def spend(self, price: int) -> bool:
        """Take tokens out; return whether there were enough, and take none if not."""
        if price > self.left:
            return False
        self.left -= price
        return True

    def give_back(self, tokens: int) -> None:
        """Put tokens in; what is beyond the capacity is lost."""
        self.left = min(self._capacity, self.left + tokens)
