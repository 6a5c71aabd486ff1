"""The options that set the call limit of a run; the ledger holds the run to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clova_ocr_async.ledger.run_settings import CallLimit

__all__ = ["call_limit", "call_limit_contradiction"]


def call_limit(options: Mapping[str, Any]) -> CallLimit | None:
    """Return the lower limit of calls, by --max-calls and by --max-cost; None for the run's own limit."""
    if options["max_calls"] == "none":
        return "none"
    # Rounded down: the last call must fit into the cost as well.
    by_cost = None if options["max_cost"] is None else int(options["max_cost"] / options["price"])
    return min((limit for limit in (options["max_calls"], by_cost) if limit is not None), default=None)


def call_limit_contradiction(options: Mapping[str, Any]) -> str | None:
    """Return why the options of the call limit contradict each other; None if they do not."""
    if options["max_cost"] is not None and options["price"] is None:
        return "--max-cost needs --price, what a call costs on your plan"
    if options["max_cost"] is not None and options["max_calls"] == "none":
        return "--max-calls none lifts the call limit, and --max-cost sets one; give one of them"
    return None
