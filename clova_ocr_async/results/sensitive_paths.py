"""The numbers that a masked copy hides: a table of the vendor's paths, with a rule for each policy.

The table covers all six documents. Masked is not anonymous: names, addresses and photographs stay.

Sources: Enforcement Decree of the Personal Information Protection Act of Korea, article 19 (unique identifiers: the
numbers of residents, passports, driver's licences and aliens); PCI DSS 4.0.1, requirement 3.4.1 (a card's first six and
last four digits at most); Financial Supervisory Service of Korea, 2014 (never the expiry date of a card). Custom of
Korean authorities, in no statute: the last seven digits of a resident number are hidden.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal, NamedTuple

from clova_ocr_async.results.check_digits import luhn_fits
from clova_ocr_async.results.number_forms import is_part

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALWAYS_PRINTED", "SENSITIVE", "Policy", "Rule", "Sensitive", "hide"]

Policy = Literal["standard", "all"]
"""The hidden part of a number: a part, as is usual for its kind, or all of it."""

STARS = "*"


class Rule(enum.Enum):
    """A part of a number that is hidden."""

    WHOLE = "whole"
    LAST_SEVEN = "the last seven digits"
    MIDDLE = "all but the first six and the last four digits"


class Sensitive(NamedTuple):
    """The rules for a number: the one of the policy "standard"; the policy "all" hides all of it.

    Attributes:
        standard: The rule of the policy "standard".
        kind: The kind of number, in words.
    """

    standard: Rule
    kind: str

    def rule(self, policy: Policy) -> Rule:
        """Return the rule of a policy."""
        return Rule.WHOLE if policy == "all" else self.standard


_RESIDENT = Sensitive(Rule.LAST_SEVEN, "resident registration number")
_ALIEN = Sensitive(Rule.LAST_SEVEN, "alien registration number")
_CARD = Sensitive(Rule.MIDDLE, "card number")
_EXPIRY = Sensitive(Rule.WHOLE, "expiry date of a card")
_LICENCE = Sensitive(Rule.WHOLE, "driver's licence number")
_PASSPORT = Sensitive(Rule.WHOLE, "passport number")
_ZONE = Sensitive(Rule.WHOLE, "machine readable zone")

SENSITIVE: Mapping[str, Sensitive] = {
    "receipt.result.paymentInfo.cardInfo.number": _CARD,
    "creditCard.result.number": _CARD,
    "creditCard.result.validThru": _EXPIRY,
    "bizLicense.result.socialNumber": _RESIDENT,
    "bizLicense.result.coRepSocialNum": _RESIDENT,
    "idCard.result.ic.personalNum": _RESIDENT,
    "idCard.result.dl.personalNum": _RESIDENT,
    "idCard.result.dl.num": _LICENCE,
    "idCard.result.dl.code": _LICENCE,
    "idCard.result.pp.personalNum": _RESIDENT,
    "idCard.result.pp.num": _PASSPORT,
    "idCard.result.pp.mrz1": _ZONE,
    "idCard.result.pp.mrz2": _ZONE,
    "idCard.result.ac.alienRegNum": _ALIEN,
    "idCard.result.ac.alienRegNumEtc": _ALIEN,
    "passport.passportResult.documentNumber": _PASSPORT,
    "passport.passportResult.checkDigitForDocumentNumber": _ZONE,
    "passport.passportResult.checkDigitForDateOfBirth": _ZONE,
    "passport.passportResult.checkDigitForDateOfExpiry": _ZONE,
    "passport.passportResult.personalNumber": _ZONE,
    "passport.passportResult.checkDigitForPersonalNumber": _ZONE,
    "passport.passportResult.finalCheckDigit": _ZONE,
    "passport.passportResult.mrzLines": _ZONE,
}
"""The rules by the vendor's path, without the numbers of array elements, in the spelling of answers."""

ALWAYS_PRINTED: Mapping[str, tuple[str, ...]] = {
    "creditCard.result": ("number",),
    "idCard.result.ic": ("personalNum",),
    "idCard.result.dl": ("personalNum", "num"),
    "idCard.result.pp": ("num", "mrz1", "mrz2"),
    "idCard.result.ac": ("alienRegNum",),
}
"""The numbers that every document of a kind shows: where one was not read, the picture shows it all the same."""


def hide(text: str, rule: Rule) -> str:
    """Return a text with a part of its letters and digits replaced by stars; separators stay.

    A misread number may have letters among its digits, so both count.
    """
    places = [place for place, character in enumerate(text) if is_part(character)]
    hidden = set(places)
    if rule is Rule.LAST_SEVEN:
        # Also of a number that was read with a character too many.
        hidden = set(places[-_LAST:]) | set(places[_BIRTH:])
    elif rule is Rule.MIDDLE and _is_card_alone("".join(text[place] for place in places)):
        hidden = set(places[_FIRST_OF_CARD:-_LAST_OF_CARD])
    return "".join(STARS if place in hidden else character for place, character in enumerate(text))


_LAST, _BIRTH = 7, 6  # digits of a resident number
_SHORTEST_CARD = 12  # digits; of a shorter number the first six and last four would be nearly all
_USUAL_CARD, _LONGEST_CARD = 16, 19  # digits
_FIRST_OF_CARD, _LAST_OF_CARD = 6, 4


def _is_card_alone(characters: str) -> bool:
    """Return whether a text is a card number alone; one longer than usual may end in its check code or its date."""
    if not _USUAL_CARD < len(characters) <= _LONGEST_CARD:
        return _SHORTEST_CARD <= len(characters) <= _USUAL_CARD
    is_masked = set(characters[_FIRST_OF_CARD:-_LAST_OF_CARD]) == {STARS}
    return is_masked or (characters.isdecimal() and luhn_fits(characters))
