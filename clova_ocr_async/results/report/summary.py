"""The facts of a run as a whole, gathered while its rows go by: counts, money, causes, checks, possible copies, times.

Only numbers of rows are kept of most images, so that a run of a million fits in memory.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from clova_ocr_async.documents import Receipt
from clova_ocr_async.results.possible_copies import signatures_of
from clova_ocr_async.results.records import bill_of
from clova_ocr_async.results.report.cause_words import OTHER_BILLS
from clova_ocr_async.results.report.causes import cause_of
from clova_ocr_async.results.report.disagreements import disagreeing_values
from clova_ocr_async.results.report.labels import labels_of
from clova_ocr_async.results.report.speed import Speed
from clova_ocr_async.results.rows import document_values

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from clova_ocr_async.ledger.storage import RunStatus
    from clova_ocr_async.results.possible_copies import PossibleCopies
    from clova_ocr_async.results.report.causes import Cause
    from clova_ocr_async.results.report.reading import Reading

__all__ = ["RetryCommand", "Summary"]


RetryCommand: TypeAlias = "Callable[[Collection[str], Sequence[str]], str]"
"""Returns the command that sends images again, from the path words of their documents, and the options of a batch."""

_MOST_CHECKS = 10_000  # that are listed; further ones are counted, and each is at its own row as well


@dataclass(slots=True)
class _Bill:
    """Calls that were billed, and that may have been."""

    billed: int = 0
    maybe_billed: int = 0


@dataclass(slots=True)
class _Group:
    """The images that share a cause."""

    cause: Cause
    documents: set[str] = field(default_factory=set[str])
    rows: list[int] = field(default_factory=list[int])


class Summary:
    """The facts of a run as a whole.

    Args:
        seen: The receipts so far.
    """

    def __init__(self, seen: PossibleCopies) -> None:
        self._seen = seen
        self._speed = Speed()
        self._documents: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._money: dict[str, _Bill] = {}
        self._groups: dict[str, _Group] = {}
        self._ambiguous: list[int] = []
        self._copies: dict[int, list[int]] = {}
        self._originals: dict[int, int] = {}
        self._checks: list[dict[str, Any]] = []
        self._failed_checks = 0
        self._spared = 0
        self._to_review = 0
        self.refused = 0

    @property
    def records(self) -> int:
        """The number of rows so far."""
        return self._documents.total()

    def add(self, reading: Reading, row: Mapping[str, Any]) -> None:
        """Count a record.

        Args:
            reading: The record.
            row: Its row.
        """
        record, number = reading.record, row["n"]
        self._documents[record.document] += 1
        self._statuses[record.status] += 1
        judged = {"corrected", "confirmed"}
        self._to_review += sum("why" in found and not judged & found.keys() for found in row.get("fields", ()))
        self.refused += reading.refused is not None
        cause = cause_of(reading)
        if cause is not None:
            group = self._groups.setdefault(cause.id, _Group(cause))
            group.documents.add(record.document)
            group.rows.append(number)
        if record.status == "ambiguous":
            self._ambiguous.append(number)
        self._add_bill(reading, cause)
        self._add_values(reading, row)

    def _add_bill(self, reading: Reading, cause: Cause | None) -> None:
        bill = bill_of(reading.outcome, reading.record.copy_of)
        if bill["copy_of"] is not None:
            self._spared += 1
        elif reading.entry is not None:
            self._speed.add(reading.entry)
        name = "succeeded" if cause is None or reading.record.status == "succeeded" else cause.id
        total = self._money.setdefault(name, _Bill())
        total.billed += bill["billed"] is True
        total.maybe_billed += bill["maybe_billed"]

    def _add_values(self, reading: Reading, row: Mapping[str, Any]) -> None:
        recognition, number = reading.recognition, row["n"]
        if recognition is None:
            return
        # A copy by bytes is named by copy_of already. Before masking: masked card numbers would be alike.
        if isinstance(recognition.document, Receipt) and reading.record.copy_of is None:
            earlier = self._seen.earlier(signatures_of(document_values(recognition)), str(number))
            if earlier is not None:
                original = self._originals.get(int(earlier), int(earlier))
                self._originals[number] = original
                self._copies.setdefault(original, [original]).append(number)
        for check in reading.checks:
            if check.outcome == "failed":
                self._failed_checks += 1
                if len(self._checks) < _MOST_CHECKS:
                    facts = {"row": number, "name": check.name, "reason": check.reason, "fields": check.fields}
                    self._checks.append(facts | {"values": disagreeing_values(reading, check, row)})

    def to_dict(self, status: RunStatus, retry: RetryCommand) -> dict[str, Any]:
        """Return the facts as the page has them.

        Args:
            status: The counts of the run, of the same moment.
            retry: The commands that send images again.
        """
        return {
            "totals": {
                "records": self.records,
                "documents": dict(self._documents),
                "statuses": dict(self._statuses),
                "billed": status.billed,
                # The worst case: a call in flight may be billed as well.
                "maybe_billed": status.maybe_billed + status.in_flight,
                "spared": self._spared,
                "to_review": self._to_review,
                "checks_failed": self._failed_checks,
            },
            "money": self._bills(status),
            "spared": self._spared,
            "speed": self._speed.to_dict(),
            "causes": [
                {
                    "id": group.cause.id,
                    "title": group.cause.words.title,
                    "hint": group.cause.words.hint,
                    "command": retry(group.documents, group.cause.options) if group.cause.options else None,
                    "rows": group.rows,
                }
                for group in sorted(self._groups.values(), key=lambda group: -len(group.rows))
            ],
            "ambiguous": self._ambiguous,
            "copies": list(self._copies.values()),
            "checks": self._checks,
            "documents": {word: {"fields": labels_of(word)} for word in sorted(self._documents)},
        }

    def _bills(self, status: RunStatus) -> list[dict[str, Any]]:
        """Return what was paid for each cause; together it is all that the run has paid."""
        found = dict(self._money)
        # An image that was paid for and sent again on request has one record, and was paid twice.
        earlier = status.billed - sum(bill.billed for bill in found.values())
        in_flight = status.maybe_billed + status.in_flight - sum(bill.maybe_billed for bill in found.values())
        if earlier > 0:
            found["sent again"] = _Bill(earlier)
        if in_flight > 0:
            found["in flight"] = _Bill(0, in_flight)
        titles = OTHER_BILLS | {group.cause.id: group.cause.words.title for group in self._groups.values()}
        return [
            {"cause": cause, "title": titles[cause], "billed": bill.billed, "maybe_billed": bill.maybe_billed}
            for cause, bill in found.items()
            if bill.billed or bill.maybe_billed
        ]
