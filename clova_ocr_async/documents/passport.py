"""The passport of any country, by its machine readable zone.

Source: API specification v1.0.6 (2023-11-23), "passport object". It nests under passportResult and has no meta.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import field

from clova_ocr_async.documents.base import Document, VendorObject, absent
from clova_ocr_async.documents.objects import MrzBool, MrzInt, MrzString

__all__ = ["Passport", "PassportResult"]


class PassportResult(VendorObject, frozen=True, kw_only=True):
    """The result. Dates are YYYY/MM/DD, states are English names, with the three-letter code in ``raw_text``.

    It is not certain whether ``first_name`` or ``last_name1`` is the surname: the specification's example has it in
    ``first_name``.
    """

    document_class_code: MrzString = absent(MrzString)
    issuing_state_code: MrzString = absent(MrzString)
    first_name: MrzString = absent(MrzString)
    last_name1: MrzString = absent(MrzString)
    last_name2: MrzString = absent(MrzString)
    document_number: MrzString = absent(MrzString)
    check_digit_for_document_number: MrzString = absent(MrzString)
    nationality: MrzString = absent(MrzString)
    date_of_birth: MrzString = absent(MrzString)
    age: MrzInt = absent(MrzInt)
    check_digit_for_date_of_birth: MrzString = absent(MrzString)
    gender: MrzString = absent(MrzString)
    date_of_expiry: MrzString = absent(MrzString)
    check_digit_for_date_of_expiry: MrzString = absent(MrzString)
    personal_number: MrzString = absent(MrzString)
    check_digit_for_personal_number: MrzString = absent(MrzString)
    final_check_digit: MrzString = absent(MrzString)
    mrz_type: MrzString = absent(MrzString)
    mrz_lines: MrzString = absent(MrzString)
    is_expired: MrzBool = absent(MrzBool)


class Passport(Document, frozen=True, kw_only=True):
    """A passport; the specification's model writes its key with a blank before it.

    Examples:
        >>> recognition = await client.recognize("passport.jpg", Passport)
        >>> number = recognition.document.passport_result.document_number.value
    """

    path_word: ClassVar[str] = "passport"
    answer_key: ClassVar[str] = "passport"

    wire_passport_result: PassportResult = field(default=absent(PassportResult), name="passportResult")
    wire_blank_passport_result: PassportResult = field(default=absent(PassportResult), name=" passportResult")

    @property
    def passport_result(self) -> PassportResult:
        """The result."""
        return self.wire_passport_result or self.wire_blank_passport_result
