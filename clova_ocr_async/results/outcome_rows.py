"""Outcomes as plain values: what a queue, a data frame or a cluster keeps of an image."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypedDict, cast

from clova_ocr_async.batch.outcome import Failure, Outcome
from clova_ocr_async.batch.sources.record_names import record_source
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.results.records import billed_of, status_of
from clova_ocr_async.results.rows import key_of_item

if TYPE_CHECKING:
    from clova_ocr_async.ledger.states import Item

__all__ = ["OutcomeRow", "outcome_row"]


class OutcomeRow(TypedDict):
    r"""The outcome of an image as plain values.

    Attributes:
        key: The key of what is billed once, as in the tables of the run; None without a ledger, or if the image was not
            read.
        source: The path as it was given; bytes that are not UTF-8 are written as ``\xNN``. None if there is no path.
        status: "succeeded"; "failed"; "ambiguous": the call may have been billed, and no answer arrived; "skipped": the
            image was refused before it was sent; "pending": the image was not sent.
        billed: Whether a call was billed for this outcome; None if it is not known.
        result: The vendor's object of the image, as in the records; None unless succeeded.
        error: The type and the message of the error; None if there is none.
    """

    key: str | None
    source: str | None
    status: str
    billed: bool | None
    result: dict[str, Any] | None
    error: str | None


def outcome_row(outcome: Outcome[Any], *, with_result: bool = True) -> OutcomeRow:
    """Return the outcome of an image as plain values, which JSON can hold.

    Args:
        outcome: The outcome.
        with_result: Whether ``result`` is filled. It has the personal values of the document; nothing else has.
    """
    result, error = None, None
    if isinstance(outcome, Failure):
        error = f"{type(outcome.error).__name__}: {outcome.error}"
    elif with_result:
        result = outcome.recognition.to_dict()
    return {
        "key": None if outcome.item is None else _key_of(outcome.item),
        "source": _named(outcome.source),
        "status": status_of(outcome),
        "billed": billed_of(outcome),
        "result": result,
        "error": error,
    }


def _key_of(item: Item) -> str:
    return key_of_item(item.sha256, item.document, item.page, item.recipe)


def _named(source: object) -> str | None:
    if isinstance(source, Page):
        return record_source(str(source))["source"]
    if isinstance(source, str | os.PathLike):
        return record_source(os.fsdecode(cast("str | os.PathLike[str]", source)))["source"]
    return None
