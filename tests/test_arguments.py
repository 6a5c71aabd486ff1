from __future__ import annotations

from typing import Any

import pytest

from clova_ocr_async.arguments import require_number, require_seconds, require_whole_number
from clova_ocr_async.errors import ConfigurationError

SECRET = "canarySECRETcanarySECRET"


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (0, "less than 1"),
        (-(10**5000), "less than 1"),
        (10, "more than 9"),
        (True, "a bool"),
        (1.0, "a float"),
        (None, "a NoneType"),
        (SECRET, "a str"),
    ],
    ids=lambda value: repr(value) if isinstance(value, str | float) else type(value).__name__,
)
def test_a_bad_whole_number_is_named_by_its_argument_and_kind(value: Any, fault: str) -> None:
    """A value that is not a whole number within its bounds is refused by name, fault and way out, and not repeated."""
    with pytest.raises(ConfigurationError) as caught:
        require_whole_number("workers", value, most=9, advice="or leave it out")
    assert str(caught.value) == f"workers is {fault}; it must be a whole number from 1 to 9; or leave it out"


@pytest.mark.parametrize("value", [1, 5, 9])
def test_a_whole_number_within_its_bounds_is_returned(value: int) -> None:
    """Both bounds of a whole number belong to it."""
    assert require_whole_number("workers", value, most=9) == value


def test_the_least_whole_number_is_the_callers() -> None:
    """A count may start at 0, and has no upper bound unless one is given."""
    assert require_whole_number("budget", 0, least=0) == 0
    assert require_whole_number("budget", 10**30) == 10**30
    with pytest.raises(ConfigurationError, match=r"budget is less than 0; it must be a whole number from 0$"):
        require_whole_number("budget", -1, least=0)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (0, "not more than 0"),
        (-0.5, "not more than 0"),
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        pytest.param(10**400, "not finite", id="beyond every float"),
        (31, "more than 30"),
        (True, "a bool"),
        ("5", "a str"),
        (None, "a NoneType"),
    ],
)
def test_a_bad_number_of_seconds_is_named_by_its_argument_and_kind(value: Any, fault: str) -> None:
    """A value that is not a positive, finite number within its bound is refused by name, fault and unit."""
    with pytest.raises(ConfigurationError) as caught:
        require_seconds("lease", value, most=30)
    assert str(caught.value) == f"lease is {fault}; it must be seconds, more than 0 and at most 30"


def test_zero_is_allowed_where_it_means_something() -> None:
    """0 is a number where the caller allows it, and a negative number never is."""
    assert require_number("latency", 0, or_zero=True) == 0.0
    with pytest.raises(ConfigurationError, match="latency is less than 0; it must be a number, 0 or more; see there"):
        require_number("latency", -1, or_zero=True, advice="see there")


def test_numbers_are_returned_as_floats() -> None:
    """Whole numbers are durations and rates as well, and come back as floats."""
    assert isinstance(require_number("rate", 3), float)
    assert require_seconds("wait", 0.25) == 0.25
