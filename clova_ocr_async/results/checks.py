"""Checks of a recognition: whether its numbers, sums and dates agree with each other.

A check has *passed*, has *failed*, or its result is *unknown*: a value is missing, was read in part, or its number has
no check digit that proves anything. A failed check means that a person should look, not that the document is false.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from clova_ocr_async.documents import BizLicense, CreditCard, IdCard, Passport, Receipt, date_from_text, first
from clova_ocr_async.results import check_digits
from clova_ocr_async.results.arguments import require_date, require_recognition
from clova_ocr_async.results.mrz_checks import check_mrz

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from clova_ocr_async.documents import DateObject, Recognition

__all__ = ["Check", "check"]

Outcome = Literal["passed", "failed", "unknown"]

_TOLERANCE = Decimal(1)  # won; items are rounded one by one
_EARLIEST = dt.date(1900, 1, 1)
_SEPARATORS = re.compile(r"[\s-]")
_CARD = re.compile(r"[0-9]{12,19}")


class Check(msgspec.Struct, frozen=True):
    """The result of one check; it holds no value of the document.

    Attributes:
        name: The check, such as "business_number".
        outcome: "passed", "failed" or "unknown".
        reason: The reason in words; the same words for every document.
        fields: The fields that were compared, in the vendor's names.
    """

    name: str
    outcome: Outcome
    reason: str
    fields: tuple[str, ...]


def check(recognition: Recognition[Any], *, today: dt.date | None = None) -> tuple[Check, ...]:
    """Check the numbers, sums and dates of a recognition against each other.

    Args:
        recognition: The recognition.
        today: The date on which cards and passports must not have expired; that of this machine if not given.

    Returns:
        The same checks in the same order for each document class, and for each kind of ID card.

    Raises:
        TypeError: ``recognition`` is not a recognition, or ``today`` not a date.
    """
    require_recognition(recognition)
    require_date("today", today)
    day = today or dt.datetime.now(tz=dt.UTC).astimezone().date()
    match recognition.document:
        case Receipt() as receipt:
            return tuple(_receipt(receipt, day))
        case CreditCard() as card:
            return tuple(_credit_card(card, day))
        case BizLicense() as licence:
            return tuple(_biz_license(licence, day))
        case IdCard() as card:
            return tuple(_id_card(card, day))
        case Passport() as passport:
            return tuple(_passport(passport, day))
        case _:
            return ()


def _receipt(receipt: Receipt, today: dt.date) -> Iterator[Check]:
    store, payment = receipt.result.store_info, receipt.result.payment_info
    yield _business_number("business_number", store.biz_num.value, "result.storeInfo.bizNum")
    yield _card_number("card_number", payment.card_info.number.value, "result.paymentInfo.cardInfo.number")
    yield _past_object("payment_date", payment.date, "result.paymentInfo.date", today)
    yield _items_add_up(receipt)
    yield _tax_fits(receipt)


def _items_add_up(receipt: Receipt) -> Check:
    """Compare the sum of the lines, less the discounts, with the total."""
    name, fields = "items_total", ("result.subResults", "result.totalPrice.price")
    items = [item for group in receipt.result.sub_results for item in group.items]
    prices = [item.price.price.decimal for item in items]
    total = _total(receipt)
    if not items or total is None or None in prices:
        return Check(name, "unknown", "a price of a line, or the total, was not read", fields)
    if any(abs(amount - total) <= _TOLERANCE for amount in _possible_totals(_sum(prices), receipt)):
        return Check(name, "passed", "the lines add up to the total", fields)
    if None in [
        amount.decimal for group in receipt.result.sub_total for amount in group.discount_price + group.tax_price
    ]:
        return Check(name, "unknown", "a discount, or the tax, was not read", fields)
    return Check(name, "failed", "the lines do not add up to the total, with tax and discounts or without", fields)


def _possible_totals(lines: Decimal, receipt: Receipt) -> Iterator[Decimal]:
    """Yield the totals that lines of such a sum may have: prices are with tax or without, discounts lines or apart."""
    yield lines
    discounts = abs(_sum(price.decimal for group in receipt.result.sub_total for price in group.discount_price))
    taxes = _sum(price.decimal for group in receipt.result.sub_total for price in group.tax_price)
    yield from (lines - discounts, lines + taxes, lines - discounts + taxes)


def _tax_fits(receipt: Receipt) -> Check:
    """Compare the tax with the total: Korea's value added tax is a tenth of the price without it, or less."""
    name, fields = "tax", ("result.subTotal.taxPrice", "result.totalPrice.price")
    taxes = [price.decimal for group in receipt.result.sub_total for price in group.tax_price]
    total = _total(receipt)
    if not taxes or None in taxes or total is None or total <= 0:
        return Check(name, "unknown", "the tax, or the total, was not read", fields)
    # Goods without tax on the same receipt make the share smaller, so only more than a tenth is wrong.
    if Decimal(0) <= _sum(taxes) * 11 <= total + 11 * _TOLERANCE:
        return Check(name, "passed", "the tax is at most a tenth of the price without it", fields)
    return Check(name, "failed", "the tax is more than a tenth of the price without it", fields)


def _total(receipt: Receipt) -> Decimal | None:
    total = receipt.result.total_price
    if total.price:
        return total.price.decimal
    cards = [amount.decimal for amount in total.credit_card_price]
    return _sum(cards) if cards and None not in cards else None


def _sum(values: Iterable[Decimal | None]) -> Decimal:
    return sum((value for value in values if value is not None), Decimal(0))


def _credit_card(card: CreditCard, today: dt.date) -> Iterator[Check]:
    yield _card_number("card_number", card.result.number.value, "result.number")
    yield _card_expiry(card.result.valid_thru.value, today)


def _card_expiry(text: str | None, today: dt.date) -> Check:
    name, fields = "expiry", ("result.validThru",)
    found = re.fullmatch(r"\s*(0[1-9]|1[0-2])\s*[/.\-]?\s*(?:20)?([0-9]{2})\s*", text or "")
    if found is None:
        return Check(name, "unknown", "the expiry date was not read as month and year", fields)
    if (2000 + int(found[2]), int(found[1])) >= (today.year, today.month):
        return Check(name, "passed", "the card is valid", fields)
    return Check(name, "failed", "the card has expired", fields)


def _biz_license(licence: BizLicense, today: dt.date) -> Iterator[Check]:
    result = licence.result
    yield _business_number("business_number", first(result.register_number).value, "result.registerNumber[0]")
    yield _corporate_number(first(result.corp_register_num).value)
    yield _resident_number("social_number", first(result.social_number).value, "result.socialNumber[0]")
    yield _resident_number("co_rep_social_number", first(result.co_rep_social_num).value, "result.coRepSocialNum[0]")
    opened, issued = first(result.open_date).value, first(result.issuance_date).value
    yield _past("open_date", date_from_text(opened), opened, "result.openDate[0]", today)
    yield _past("issuance_date", date_from_text(issued), issued, "result.issuanceDate[0]", today)


def _id_card(card: IdCard, today: dt.date) -> Iterator[Check]:
    result = card.result
    match result.kind:
        case "ic":
            yield _resident_number("resident_number", first(result.ic.personal_num).value, "result.ic.personalNum[0]")
            yield _past_object("issue_date", first(result.ic.issue_date), "result.ic.issueDate[0]", today)
        case "dl":
            yield _resident_number("resident_number", first(result.dl.personal_num).value, "result.dl.personalNum[0]")
            yield _past_object("issue_date", first(result.dl.issue_date), "result.dl.issueDate[0]", today)
        case "pp":
            pp = result.pp
            yield from _mrz(
                (first(pp.mrz1).value, first(pp.mrz2).value),
                {
                    "number": (first(pp.num).value, "result.pp.num[0]"),
                    "birth": (first(pp.birth_date).date, "result.pp.birthDate[0]"),
                    "expiry": (first(pp.expire_date).date, "result.pp.expireDate[0]"),
                    "surname": (first(pp.sur_name).value, "result.pp.surName[0]"),
                    "given_names": (first(pp.given_name).value, "result.pp.givenName[0]"),
                },
                ("result.pp.mrz1[0]", "result.pp.mrz2[0]"),
            )
            yield _past_object("issue_date", first(pp.issue_date), "result.pp.issueDate[0]", today)
            yield _not_expired(first(pp.expire_date).date, "result.pp.expireDate[0]", today)
        case "ac":
            yield _alien_number(first(result.ac.alien_reg_num).value)
            yield _past_object("issue_date", first(result.ac.issue_date), "result.ac.issueDate[0]", today)
        case _:  # no card was found on the picture
            pass


def _passport(passport: Passport, today: dt.date) -> Iterator[Check]:
    result = passport.passport_result
    lines = (result.mrz_lines.value or "").split()
    expiry = date_from_text(result.date_of_expiry.value)
    yield from _mrz(
        (lines[0], lines[1]) if len(lines) == 2 else (None, None),  # noqa: PLR2004 - a passport has two lines
        {
            "number": (result.document_number.value, "passportResult.documentNumber"),
            "birth": (date_from_text(result.date_of_birth.value), "passportResult.dateOfBirth"),
            "expiry": (expiry, "passportResult.dateOfExpiry"),
        },
        ("passportResult.mrzLines",),
    )
    yield _not_expired(expiry, "passportResult.dateOfExpiry", today)


def _mrz(
    lines: tuple[str | None, str | None], fields: dict[str, tuple[str | dt.date | None, str]], places: tuple[str, ...]
) -> Iterator[Check]:
    for found in check_mrz(lines, {name: value for name, (value, _) in fields.items()}):
        own = tuple(fields[name][1] for name in found.compared if name in fields)
        yield Check(found.name, found.outcome, found.reason, (*places, *own))


def _business_number(name: str, text: str | None, path: str) -> Check:
    digits = _digits(text, 10)
    if digits is None:
        return Check(name, "unknown", "no number of ten digits was read", (path,))
    if check_digits.business_number_fits(digits):
        return Check(name, "passed", "the check digit fits", (path,))
    return Check(name, "failed", "the check digit does not fit", (path,))


def _corporate_number(text: str | None) -> Check:
    name, path = "corporate_number", "result.corpRegisterNum[0]"
    digits = _digits(text, 13)
    if digits is None:
        return Check(name, "unknown", "no number of thirteen digits was read", (path,))
    if check_digits.corporate_number_fits(digits):
        return Check(name, "passed", "the check digit fits", (path,))
    return Check(name, "failed", "the check digit does not fit", (path,))


def _resident_number(name: str, text: str | None, path: str) -> Check:
    digits = _digits(text, 13)
    if digits is None:
        return Check(name, "unknown", "no number of thirteen digits was read", (path,))
    if _birth_date(digits) is None:
        return Check(name, "failed", "the first seven digits name no date of birth", (path,))
    if check_digits.resident_number_fits(digits):
        return Check(name, "passed", "the check digit fits", (path,))
    # Source: Ministry of the Interior and Safety, 2020-10: numbers issued since then are random behind the seventh.
    return Check(name, "unknown", "the check digit does not fit: issued since October 2020, or misread", (path,))


def _alien_number(text: str | None) -> Check:
    name, path = "alien_number", "result.ac.alienRegNum[0]"
    digits = _digits(text, 13)
    if digits is None:
        return Check(name, "unknown", "no number of thirteen digits was read", (path,))
    if digits[6] not in "5678" or _birth_date(digits) is None:
        return Check(name, "failed", "it has not the form of an alien registration number", (path,))
    # Two formulas are in use, and real cards fit neither reliably.
    return Check(name, "passed", "the form and the date of birth are possible; its check digit proves nothing", (path,))


_CENTURIES = {
    "9": 1800,
    "0": 1800,
    "1": 1900,
    "2": 1900,
    "5": 1900,
    "6": 1900,
    "3": 2000,
    "4": 2000,
    "7": 2000,
    "8": 2000,
}


def _birth_date(digits: str) -> dt.date | None:
    """Return the date of birth in a resident or alien number: six digits, and one for century and sex."""
    try:
        return dt.date(_CENTURIES[digits[6]] + int(digits[:2]), int(digits[2:4]), int(digits[4:6]))
    except ValueError:
        return None


def _card_number(name: str, text: str | None, path: str) -> Check:
    digits = _SEPARATORS.sub("", text or "")
    if not _CARD.fullmatch(digits):
        return Check(name, "unknown", "no full number was read; receipts print stars in it", (path,))
    if check_digits.luhn_fits(digits):
        return Check(name, "passed", "the check digit fits", (path,))
    # Assumed: cards for use in Korea alone (they begin with 9) follow no international rule.
    if digits.startswith("9"):
        return Check(name, "unknown", "cards for use in Korea alone need no check digit", (path,))
    return Check(name, "failed", "the check digit does not fit", (path,))


def _past_object(name: str, value: DateObject, path: str, today: dt.date) -> Check:
    return _past(name, value.date, value.text, path, today)


def _past(name: str, date: dt.date | None, text: str | None, path: str, today: dt.date) -> Check:
    if date is None:
        reason = "the text is not a date" if text else "the date was not read"
        return Check(name, "unknown", reason, (path,))
    if _EARLIEST <= date <= today + dt.timedelta(days=1):  # elsewhere on earth it may be tomorrow
        return Check(name, "passed", "the date is in the past", (path,))
    return Check(name, "failed", "the date is not between 1900 and today", (path,))


def _not_expired(date: dt.date | None, path: str, today: dt.date) -> Check:
    if date is None:
        return Check("expiry", "unknown", "the date of expiry was not read", (path,))
    if date >= today:
        return Check("expiry", "passed", "the passport is valid", (path,))
    return Check("expiry", "failed", "the passport has expired", (path,))


def _digits(text: str | None, count: int) -> str | None:
    """Return the digits of a number of so many digits; None if there are more, fewer, or other characters."""
    digits = _SEPARATORS.sub("", text or "")
    return digits if len(digits) == count and digits.isascii() and digits.isdigit() else None
