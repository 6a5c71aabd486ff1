"""A record of a run as the report shows it: replayed, judged, and masked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from clova_ocr_async.batch.outcome import Success
from clova_ocr_async.documents.untyped import untyped
from clova_ocr_async.errors import RecognitionError, RedactionError
from clova_ocr_async.results.checks import Check, check
from clova_ocr_async.results.picture_files import with_page
from clova_ocr_async.results.records import outcome_of, shown_entry
from clova_ocr_async.results.redaction import Masking, answer_of, masked_copy
from clova_ocr_async.results.review import Judgement, judge
from clova_ocr_async.results.rows import day_of_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.documents import Recognition
    from clova_ocr_async.errors import ClovaOCRError
    from clova_ocr_async.ledger.states import Entry, SourceRecord
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["Reading", "read_record"]


class Reading(NamedTuple):
    """A record of a run with everything that a page may show of it.

    Attributes:
        record: The record.
        entry: The item that it shows; None if its file was not read.
        outcome: The outcome, as if its call had ended now.
        recognition: The recognition as it was answered, which the page must not show; None if there is none.
        shown: The recognition as the page shows it, masked if a policy was given; None if there is none, or if it
            cannot be masked for certain.
        judgement: The lowest confidence, and the fields that a person should look at.
        checks: The checks, made before masking: a masked number would fail them.
        masking: The masking of texts about the image; None if nothing is masked.
        refused: The reason why the recognition cannot be masked; None if it can.
    """

    record: SourceRecord
    entry: Entry | None
    outcome: Outcome[Any]
    recognition: Recognition[Any] | None = None
    shown: Recognition[Any] | None = None
    judgement: Judgement = Judgement(None, {})
    checks: tuple[Check, ...] = ()
    masking: Masking | None = None
    refused: RedactionError | None = None

    @property
    def error(self) -> ClovaOCRError | None:
        """The error that the page shows; None if there is none."""
        return self.refused or (None if isinstance(self.outcome, Success) else self.outcome.error)

    def text(self, text: str) -> str:
        """Return a text about the image as the page may show it, such as the name of its file."""
        return text if self.masking is None else self.masking.mask_text(text)


def read_record(record: SourceRecord, policy: Policy | None, others: Sequence[tuple[str, str]] = ()) -> Reading:
    """Return a record of a run as a page shows it.

    Args:
        record: The record.
        policy: How numbers are masked; None for as they are.
        others: As for ``Masking``.
    """
    outcome = outcome_of(record)
    reading = Reading(record, shown_entry(record), outcome)
    if not isinstance(outcome, Success):
        return reading if policy is None else reading._replace(masking=_masking_of_failure(outcome.error, policy))
    recognition = with_page(outcome.recognition, record.page)
    today = day_of_call(recognition)
    checks = check(recognition, today=today)
    reading = reading._replace(
        recognition=recognition,
        shown=recognition,
        judgement=judge(recognition, checks=checks),
        checks=checks,
    )
    return reading if policy is None else _masked(reading, recognition, Masking(answer_of(recognition), policy, others))


def _masked(reading: Reading, recognition: Recognition[Any], masking: Masking) -> Reading:
    try:
        # Decoding a copy takes as long as all the rest, and most receipts hold nothing to hide.
        shown = recognition if masking.hides_nothing else masked_copy(recognition, masking)
        return reading._replace(shown=shown, masking=masking)
    except RedactionError as error:
        return reading._replace(shown=None, masking=masking, refused=error)


def _masking_of_failure(error: ClovaOCRError, policy: Policy) -> Masking:
    """Return the masking of texts about an image that was not read; its answer may hold the number that names it."""
    found = error.recognition if isinstance(error, RecognitionError) else None
    return Masking(None if found is None else untyped(found.raw), policy)
