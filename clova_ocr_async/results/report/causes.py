"""Causes: why an image of a run has no result, in words, and the option of the batch that sends it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from clova_ocr_async.errors import (
    APIError,
    Billing,
    ImageError,
    MalformedResponseError,
    RecognitionError,
    RedactionError,
)
from clova_ocr_async.ledger.states import State
from clova_ocr_async.results.report import cause_words as words

if TYPE_CHECKING:
    from clova_ocr_async.errors import ClovaOCRError
    from clova_ocr_async.results.report.cause_words import CauseWords
    from clova_ocr_async.results.report.reading import Reading

__all__ = ["Cause", "cause_of"]


class Cause(NamedTuple):
    """A cause that images share.

    Attributes:
        id: Its name: the status, the class of the error, and the code or the kind.
        words: Its title and the way out, in both languages.
        options: The options of ``clova-ocr batch`` that send its images again; none if nothing can.
    """

    id: str
    words: CauseWords
    options: tuple[str, ...] = ()


_RETRY = {
    Billing.NOT_BILLED: "--retry-failed",
    Billing.MAYBE_BILLED: "--retry-ambiguous",
    Billing.BILLED: "--retry-billed",
}


def cause_of(reading: Reading) -> Cause | None:
    """Return the cause why an image has no result on the page; None if it has one."""
    error, known = reading.error, reading.entry is not None
    if error is None:
        return None
    if reading.record.status == "succeeded":
        masked = isinstance(error, RedactionError)
        return (
            Cause("succeeded: not masked", words.NOT_MASKED) if masked else Cause("succeeded: not kept", words.NOT_KEPT)
        )
    if reading.record.status == "pending":
        return _of_pending(reading)
    return _of_picture(error, known=known) if isinstance(error, ImageError) else _of_call(reading.record.status, error)


def _of_pending(reading: Reading) -> Cause:
    if reading.entry is not None and reading.entry.state is State.SENT:
        return Cause("pending: in flight", words.IN_FLIGHT)
    # The batch reads all that is left, whatever it is asked to send again; without a PATH it must be asked.
    return Cause("pending", words.PENDING, (_RETRY[Billing.NOT_BILLED],))


def _of_picture(error: ImageError, *, known: bool) -> Cause:
    """Return the cause of a picture that was refused before it was sent.

    Args:
        error: The error.
        known: Whether the run has its bytes; a file that was never read is found by its path alone.
    """
    message = str(error)
    for kind, hint, option, about in words.PICTURES:
        if hint in message:
            options = () if option is None else (_RETRY[Billing.NOT_BILLED], *option)
            return Cause(f"skipped: {kind}", about, options if known else ())
    if not known:
        return Cause("skipped: not opened", words.NOT_OPENED)
    return Cause("skipped: not readable", words.NOT_READABLE, (_RETRY[Billing.NOT_BILLED],))


def _of_call(status: str, error: ClovaOCRError) -> Cause:
    name = type(error).__name__
    code = error.infer_result if isinstance(error, RecognitionError) else None
    code = error.code or f"HTTP {error.status}" if isinstance(error, APIError) else code
    kind = name if code is None else f"{name} {code}"
    options = (_RETRY[error.billing],)
    if status == "ambiguous":
        title = words.OTHER_CALL if isinstance(error, MalformedResponseError) else words.titles_of(name, code)
        return Cause(f"ambiguous: {kind}", words.with_hint(title, words.MAYBE_BILLED), options)
    hint = words.BILLED if error.billing is Billing.BILLED else words.NOT_BILLED
    return Cause(f"failed: {kind}", words.with_hint(words.titles_of(name, code), words.hint_of(name, hint)), options)
