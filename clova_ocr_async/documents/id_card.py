"""The ID card: resident card, driver's license, Korean passport, alien registration card.

Source: API specification v1.0.6 (2023-11-23), "idCard object". Its table writes IDType, MRZ1 and MRZ2; its example and
real answers write idtype, mrz1 and mrz2.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from msgspec import field

from clova_ocr_async.documents.base import ABSENT, Document, VendorObject, absent
from clova_ocr_async.documents.objects import BaseObject, BoundingPoly, DateObject, Meta, StringObject

__all__ = [
    "AlienRegistrationCard",
    "DriverLicense",
    "IdCard",
    "IdCardKind",
    "IdCardResult",
    "KoreanPassport",
    "ResidentCard",
]

IdCardKind = Literal["ic", "dl", "pp", "ac"]
"""Resident card, driver's license, Korean passport, alien registration card."""

_KINDS: tuple[IdCardKind, ...] = ("ic", "dl", "pp", "ac")


class ResidentCard(VendorObject, frozen=True, kw_only=True):
    """A resident registration card."""

    name: tuple[StringObject, ...] = ABSENT
    personal_num: tuple[StringObject, ...] = ABSENT
    address: tuple[StringObject, ...] = ABSENT
    issue_date: tuple[DateObject, ...] = ABSENT
    authority: tuple[StringObject, ...] = ABSENT


class DriverLicense(VendorObject, frozen=True, kw_only=True):
    """A driver's license."""

    type: tuple[BaseObject, ...] = ABSENT
    num: tuple[StringObject, ...] = ABSENT
    name: tuple[StringObject, ...] = ABSENT
    personal_num: tuple[StringObject, ...] = ABSENT
    address: tuple[StringObject, ...] = ABSENT
    renew_start_date: tuple[DateObject, ...] = ABSENT
    renew_end_date: tuple[DateObject, ...] = ABSENT
    condition: tuple[StringObject, ...] = ABSENT
    code: tuple[StringObject, ...] = ABSENT
    organ_donation: tuple[BaseObject, ...] = ABSENT
    issue_date: tuple[DateObject, ...] = ABSENT
    authority: tuple[StringObject, ...] = ABSENT


class KoreanPassport(VendorObject, frozen=True, kw_only=True):
    """A Korean passport, as the ID card model reads it."""

    type: tuple[StringObject, ...] = ABSENT
    issue_country: tuple[BaseObject, ...] = ABSENT
    num: tuple[StringObject, ...] = ABSENT
    sur_name: tuple[StringObject, ...] = ABSENT
    given_name: tuple[StringObject, ...] = ABSENT
    nationality: tuple[StringObject, ...] = ABSENT
    birth_date: tuple[DateObject, ...] = ABSENT
    personal_num: tuple[StringObject, ...] = ABSENT
    sex: tuple[StringObject, ...] = ABSENT
    issue_date: tuple[DateObject, ...] = ABSENT
    expire_date: tuple[DateObject, ...] = ABSENT
    authority: tuple[BaseObject, ...] = ABSENT
    full_name_kor: tuple[StringObject, ...] = ABSENT
    wire_mrz1: tuple[StringObject, ...] = field(default=ABSENT, name="mrz1")
    wire_mrz2: tuple[StringObject, ...] = field(default=ABSENT, name="mrz2")
    wire_upper_mrz1: tuple[StringObject, ...] = field(default=ABSENT, name="MRZ1")
    wire_upper_mrz2: tuple[StringObject, ...] = field(default=ABSENT, name="MRZ2")

    # The lower-case spelling is that of every captured answer; the other one is the specification's table.
    @property
    def mrz1(self) -> tuple[StringObject, ...]:
        """First line of the machine readable zone."""
        return self.wire_mrz1 or self.wire_upper_mrz1

    @property
    def mrz2(self) -> tuple[StringObject, ...]:
        """Second line of the machine readable zone."""
        return self.wire_mrz2 or self.wire_upper_mrz2


class AlienRegistrationCard(VendorObject, frozen=True, kw_only=True):
    """An alien registration card."""

    alien_reg_num: tuple[StringObject, ...] = ABSENT
    sex: tuple[StringObject, ...] = ABSENT
    name: tuple[StringObject, ...] = ABSENT
    nationality: tuple[StringObject, ...] = ABSENT
    visa_type: tuple[StringObject, ...] = ABSENT
    issue_date: tuple[DateObject, ...] = ABSENT
    authority: tuple[StringObject, ...] = ABSENT
    authority_eng: tuple[StringObject, ...] = ABSENT
    alien_reg_num_etc: tuple[StringObject, ...] = ABSENT


class IdCardResult(VendorObject, frozen=True, kw_only=True):
    """The result: one of ``ic``, ``dl``, ``pp``, ``ac``; ``rois`` are the corners of the card in the picture.

    ``is_confident`` is True if the service read all details that it requires of that kind.
    """

    is_confident: bool | None = None
    # Both spellings are fields: msgspec drops the key of an unlisted one without an error.
    wire_idtype: str | None = field(default=None, name="idtype")
    wire_id_type: str | None = field(default=None, name="IDType")
    rois: tuple[BoundingPoly, ...] = ABSENT
    ic: ResidentCard = absent(ResidentCard)
    dl: DriverLicense = absent(DriverLicense)
    pp: KoreanPassport = absent(KoreanPassport)
    ac: AlienRegistrationCard = absent(AlienRegistrationCard)

    @property
    def id_type(self) -> str | None:
        """The service's name of the kind ("ID Card", "Driver's License", …); an open set, so prefer ``kind``."""
        return self.wire_idtype if self.wire_idtype is not None else self.wire_id_type

    @property
    def kind(self) -> IdCardKind | None:
        """The present one of ``ic``, ``dl``, ``pp``, ``ac``; None if none is present."""
        cards: dict[IdCardKind, VendorObject] = {"ic": self.ic, "dl": self.dl, "pp": self.pp, "ac": self.ac}
        present: list[IdCardKind] = [kind for kind in _KINDS if cards[kind] is not absent(type(cards[kind]))]
        # A card with content takes precedence over one that is an empty object.
        return min(present, key=lambda kind: not cards[kind], default=None)


class IdCard(Document, frozen=True, kw_only=True):
    """An ID card of one of four kinds.

    Examples:
        >>> recognition = await client.recognize("id-card.jpg", IdCard)
        >>> name = first(recognition.document.result.ic.name).value
    """

    path_word: ClassVar[str] = "id-card"
    answer_key: ClassVar[str] = "idCard"

    meta: Meta = absent(Meta)
    result: IdCardResult = absent(IdCardResult)
