"""Check digits of Korean and international numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clova_ocr_async.results.check_digits import (
    alien_number_fits,
    business_number_fits,
    corporate_number_fits,
    luhn_fits,
    mrz_digit,
    resident_number_fits,
)


@pytest.mark.parametrize("number", ["2208162517", "1248100998", "1208147521"])
def test_business_numbers_of_companies_fit(number: str) -> None:
    """The check digits of numbers that companies print on their pages fit."""
    assert business_number_fits(number)


@pytest.mark.parametrize("number", ["1301110006246", "1101111707178"])
def test_corporate_numbers_of_companies_fit(number: str) -> None:
    """The check digits of corporate numbers in public reports fit."""
    assert corporate_number_fits(number)


@pytest.mark.parametrize("number", ["4242424242424242", "378282246310005", "5555555555554444", "6011000990139424"])
def test_test_numbers_of_card_companies_fit(number: str) -> None:
    """The test numbers that card companies publish fit."""
    assert luhn_fits(number)


def test_the_sample_of_the_standard_fits() -> None:
    """The digits of the sample passport in ICAO Doc 9303 fit, the composite one included."""
    line = "L898902C36UTO7408122F1204159ZE184226B<<<<<10"
    assert mrz_digit(line[:9]) == line[9] == "6"
    assert mrz_digit(line[13:19]) == line[19]
    assert mrz_digit(line[21:27]) == line[27]
    assert mrz_digit(line[28:42]) == line[42]
    assert mrz_digit(line[:10] + line[13:20] + line[21:43]) == line[43]


@pytest.mark.parametrize("text", ["a", "Ä", "1 2", "٣"])
def test_characters_that_no_zone_has(text: str) -> None:
    """A character that cannot stand in a machine readable zone has no check digit."""
    assert mrz_digit(text) is None


DIGITS = st.text("0123456789", min_size=13, max_size=13)


@given(DIGITS)
def test_one_last_digit_fits(number: str) -> None:
    """Exactly one last digit fits the others; of resident numbers at least one does, since two sums share a digit."""
    for fits, length in ((business_number_fits, 10), (corporate_number_fits, 13), (luhn_fits, 13)):
        assert sum(fits(number[: length - 1] + last) for last in "0123456789") == 1
    for fits_person in (resident_number_fits, alien_number_fits):
        assert sum(fits_person(number[:12] + last) for last in "0123456789") == 1


def test_the_digit_of_an_alien_number_is_two_more() -> None:
    """The same digits have another last digit as a resident number and as an alien number."""
    assert resident_number_fits("9001015123450")
    assert alien_number_fits("9001015123452")


@given(DIGITS, st.integers(0, 12), st.integers(1, 9))
def test_one_wrong_digit_is_found(number: str, place: int, change: int) -> None:
    """A single misread digit of a card number never fits."""
    wrong = number[:place] + str((int(number[place]) + change) % 10) + number[place + 1 :]
    assert not (luhn_fits(number) and luhn_fits(wrong))
