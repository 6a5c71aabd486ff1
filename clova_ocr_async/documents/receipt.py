"""The receipt.

Source: API specification v1.0.6 (2023-11-23), "receipt object"; for ``subTotal`` and ``creditCardPrice`` the release
notes at api.ncloud-docs.com (2026-09-17).
"""

from __future__ import annotations

from typing import ClassVar, TypeVar

from msgspec import field

from clova_ocr_async.documents.base import ABSENT, Document, VendorObject, absent
from clova_ocr_async.documents.objects import (
    BaseObject,
    DateObject,
    FloatObject,
    Meta,
    PoiObject,
    StringObject,
    TelObject,
    TimeObject,
)

__all__ = [
    "CardInfo",
    "ItemPrice",
    "PaymentInfo",
    "Receipt",
    "ReceiptItem",
    "ReceiptResult",
    "StoreInfo",
    "SubResult",
    "SubTotal",
    "TotalPrice",
]

OneT = TypeVar("OneT", bound=VendorObject)


def _several(*spellings: tuple[OneT, ...] | OneT) -> tuple[OneT, ...]:
    """Join the objects and arrays of all spellings of a field."""
    given = [value for value in spellings if value is not ABSENT]
    if len(given) == 1 and isinstance(given[0], tuple):  # as in nearly all answers
        return given[0]
    joined: list[OneT] = []
    for value in given:
        if isinstance(value, tuple):
            joined.extend(value)
        else:
            joined.append(value)
    return tuple(joined)


class StoreInfo(VendorObject, frozen=True, kw_only=True):
    """The store."""

    poi_info: tuple[PoiObject, ...] = ABSENT
    name: StringObject = absent(StringObject)
    sub_name: StringObject = absent(StringObject)
    biz_num: StringObject = absent(StringObject)
    movie_name: StringObject = absent(StringObject)
    addresses: tuple[StringObject, ...] = ABSENT
    tel: tuple[TelObject, ...] = ABSENT


class CardInfo(VendorObject, frozen=True, kw_only=True):
    """The card of the payment; its number is usually printed with stars."""

    company: StringObject = absent(StringObject)
    number: StringObject = absent(StringObject)


class PaymentInfo(VendorObject, frozen=True, kw_only=True):
    """The payment; ``confirm_num`` is the approval number."""

    date: DateObject = absent(DateObject)
    time: TimeObject = absent(TimeObject)
    card_info: CardInfo = absent(CardInfo)
    confirm_num: BaseObject = absent(BaseObject)


class ItemPrice(VendorObject, frozen=True, kw_only=True):
    """The price of a line, and of one unit."""

    price: FloatObject = absent(FloatObject)
    unit_price: FloatObject = absent(FloatObject)


class ReceiptItem(VendorObject, frozen=True, kw_only=True):
    """A line of the receipt."""

    name: StringObject = absent(StringObject)
    code: StringObject = absent(StringObject)
    count: FloatObject = absent(FloatObject)  # in captured answers sometimes missing, or a mark that was misread
    price: ItemPrice = absent(ItemPrice)


class SubResult(VendorObject, frozen=True, kw_only=True):
    """A group of lines; a receipt may be split over several."""

    items: tuple[ReceiptItem, ...] = ABSENT


class TotalPrice(VendorObject, frozen=True, kw_only=True):
    """The total; ``price`` may be absent where only the amount paid by card was found."""

    price: FloatObject = absent(FloatObject)
    wire_credit_card_price: tuple[FloatObject, ...] | FloatObject = field(default=ABSENT, name="creditCardPrice")

    @property
    def credit_card_price(self) -> tuple[FloatObject, ...]:
        """The amounts paid by card.

        Assumed: one object or an array; the release note of 2026-07-23 leaves it open.
        """
        return _several(self.wire_credit_card_price)


# A FloatObject of its own, as in the specification. Since 2023-11 there is an array of them.
class SubTotal(FloatObject, frozen=True, kw_only=True):
    """Amounts before the total; each is an object or an array, in the spelling of 2023 or the older one."""

    wire_tax_price: tuple[FloatObject, ...] | FloatObject = field(default=ABSENT, name="taxPrice")
    wire_discount_price: tuple[FloatObject, ...] | FloatObject = field(default=ABSENT, name="discountPrice")
    wire_sub_total_price: tuple[FloatObject, ...] | FloatObject = field(default=ABSENT, name="subTotalPrice")
    wire_taxprice: tuple[FloatObject, ...] | FloatObject = field(default=ABSENT, name="taxprice")
    wire_discountprice: tuple[FloatObject, ...] | FloatObject = field(default=ABSENT, name="discountprice")

    @property
    def tax_price(self) -> tuple[FloatObject, ...]:
        """Value added tax."""
        return _several(self.wire_tax_price, self.wire_taxprice)

    @property
    def discount_price(self) -> tuple[FloatObject, ...]:
        """Discounts."""
        return _several(self.wire_discount_price, self.wire_discountprice)

    @property
    def sub_total_price(self) -> tuple[FloatObject, ...]:
        """Taxable amounts."""
        return _several(self.wire_sub_total_price)


class ReceiptResult(VendorObject, frozen=True, kw_only=True):
    """The result; a receipt with nothing but ``sub_results`` and ``total_price`` is normal."""

    store_info: StoreInfo = absent(StoreInfo)
    payment_info: PaymentInfo = absent(PaymentInfo)
    sub_results: tuple[SubResult, ...] = ABSENT
    total_price: TotalPrice = absent(TotalPrice)
    wire_sub_total: tuple[SubTotal, ...] | SubTotal = field(default=ABSENT, name="subTotal")
    wire_subtotal: tuple[SubTotal, ...] | SubTotal = field(default=ABSENT, name="subtotal")

    @property
    def sub_total(self) -> tuple[SubTotal, ...]:
        """Amounts before the total, in any spelling."""
        return _several(self.wire_sub_total, self.wire_subtotal)


class Receipt(Document, frozen=True, kw_only=True):
    """A receipt.

    Examples:
        >>> recognition = await client.recognize("receipt.jpg", Receipt)
        >>> total = recognition.document.result.total_price.price.decimal
    """

    path_word: ClassVar[str] = "receipt"
    answer_key: ClassVar[str] = "receipt"

    meta: Meta = absent(Meta)
    result: ReceiptResult = absent(ReceiptResult)
