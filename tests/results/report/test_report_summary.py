"""The facts of a run on its report: money, causes, checks, possible copies and times."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from support.run_records import cell, failed_record, read_record

from clova_ocr_async.errors import (
    AnswerNotKeptError,
    Billing,
    ClovaOCRError,
    ConnectionFailedError,
    ConnectionLostError,
    ImageError,
    InvalidRequestError,
    MalformedResponseError,
    NotSentError,
    RecognitionError,
    ResponseTimeoutError,
    ServerError,
)
from clova_ocr_async.ledger.settlement import GONE, encode_failure
from clova_ocr_async.ledger.states import SourceRecord, State
from clova_ocr_async.ledger.storage import RunStatus
from clova_ocr_async.results.possible_copies import PossibleCopies
from clova_ocr_async.results.report.causes import cause_of
from clova_ocr_async.results.report.reading import read_record as read
from clova_ocr_async.results.report.rows import row_of
from clova_ocr_async.results.report.speed import Speed
from clova_ocr_async.results.report.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from clova_ocr_async.results.sensitive_paths import Policy


def receipt(
    total: str = "5,000", *, number: str = "220-81-62517", confirm: str = "123", card: str = ""
) -> dict[str, Any]:
    """Return the answer of a receipt."""
    paid = {"date": cell("2025.11.20"), "time": cell("10:20:30"), "confirmNum": cell(confirm)}
    paid |= {"cardInfo": {"number": cell(card)}} if card else {}
    lines = [{"items": [{"price": {"price": cell("5,000")}}]}]
    result = {"paymentInfo": paid, "subResults": lines, "totalPrice": {"price": cell(total)}}
    return {"result": result | {"storeInfo": {"bizNum": cell(number)}}}


def status(**counts: int) -> RunStatus:
    """Return the counts of a run."""
    known: dict[str, Any] = {"calls": 0, "maybe_billed": 0, "in_flight": 0} | counts
    return RunStatus({}, {}, processes=0, store="full", sealed=None, services=(), **known)


def retry(documents: Collection[str], options: Sequence[str]) -> str:
    """Return a command that shows what it was made of."""
    return f"{'+'.join(sorted(documents))} {' '.join(options)}"


def summary_of(*records: SourceRecord, policy: Policy | None = None, **counts: int) -> dict[str, Any]:
    """Return the facts of some records."""
    with PossibleCopies(len(records)) as seen:
        summary = Summary(seen)
        for number, record in enumerate(records):
            reading = read(record, policy)
            summary.add(reading, row_of(reading, number))
        return summary.to_dict(status(**counts), retry)


def sent_but_not_answered(record: SourceRecord) -> SourceRecord:
    """Return a record whose request is in flight."""
    assert record.entry is not None
    entry = dataclasses.replace(record.entry, state=State.SENT, failure=b"", in_flight=True)
    return dataclasses.replace(record, status="pending", entry=entry)


SEVERAL = ImageError("image 'a' has 2 pages, split it into files of one page each, or read its pages with pages_in")
HEIC = ImageError("image 'a' is HEIC; convert it, or give the file to a client with prepare=Preparation()")
CUT = ImageError("image 'a' is cut off: half; get the whole file, or send it as it is with ImageLimits.allow_truncated")
CAUSES: list[tuple[SourceRecord, str, tuple[str, ...]]] = [
    (failed_record("a", ImageError("image 'a' is plain text")), "skipped: not readable", ("--retry-failed",)),
    (failed_record("a", HEIC), "skipped: needs preparation", ("--retry-failed", "--prepare")),
    (failed_record("a", CUT), "skipped: truncated", ("--retry-failed", "--allow-truncated")),
    (failed_record("a", ImageError("image 'a' is cut off: x; get it")), "skipped: cut off", ("--retry-failed",)),
    (failed_record("a", SEVERAL), "skipped: several pages", ()),
    (SourceRecord("a", "receipt", "skipped", failure=GONE), "skipped: file gone", ()),
    (
        SourceRecord("a", "receipt", "skipped", failure=encode_failure(ImageError("a: denied"))),
        "skipped: not opened",
        (),
    ),
    (SourceRecord("a", "receipt", "pending"), "pending", ("--retry-failed",)),
    (failed_record("a", NotSentError()), "pending", ("--retry-failed",)),
    (sent_but_not_answered(failed_record("a", ImageError("x"))), "pending: in flight", ()),
    (failed_record("a", ResponseTimeoutError("late")), "ambiguous: ResponseTimeoutError", ("--retry-ambiguous",)),
    (failed_record("a", ConnectionLostError("lost")), "ambiguous: ConnectionLostError", ("--retry-ambiguous",)),
    (failed_record("a", ServerError(500, "0500", "x")), "ambiguous: ServerError 0500", ("--retry-ambiguous",)),
    (failed_record("a", ServerError(502)), "ambiguous: ServerError HTTP 502", ("--retry-ambiguous",)),
    (
        failed_record("a", MalformedResponseError("another call's", billing=Billing.MAYBE_BILLED)),
        "ambiguous: MalformedResponseError",
        ("--retry-ambiguous",),
    ),
    (failed_record("a", ConnectionFailedError("refused")), "failed: ConnectionFailedError", ("--retry-failed",)),
    (
        failed_record("a", InvalidRequestError(400, "0011", "x")),
        "failed: InvalidRequestError 0011",
        ("--retry-failed",),
    ),
    (failed_record("a", RecognitionError("nothing")), "failed: RecognitionError", ("--retry-billed",)),
    (failed_record("a", MalformedResponseError("half")), "failed: MalformedResponseError", ("--retry-billed",)),
    (
        failed_record("a", AnswerNotKeptError("lost", billing=Billing.BILLED)),
        "failed: AnswerNotKeptError",
        ("--retry-billed",),
    ),
    (failed_record("a", ClovaOCRError("a class of a later version")), "failed: ClovaOCRError", ("--retry-failed",)),
]


@pytest.mark.parametrize(("record", "cause", "options"), CAUSES, ids=[case[1] for case in CAUSES])
def test_every_failure_has_a_cause(record: SourceRecord, cause: str, options: tuple[str, ...]) -> None:
    """An image without a result has a cause in both languages, and the options that send it again, or none."""
    found = cause_of(read(record, None))
    assert found is not None
    assert (found.id, found.options) == (cause, options)
    for text in found.words:
        assert text["en"] != text["ko"] or cause.endswith("ClovaOCRError")
        assert all(text.values())


def test_an_answer_that_is_not_kept_is_named() -> None:
    """An image whose answer was purged, or not to be stored, counts as read and has its cause without a command."""
    record = read_record("a.png", "receipt", receipt())
    assert record.entry is not None
    bare = dataclasses.replace(record, entry=dataclasses.replace(record.entry, answer=None, answered_at=None))
    found = summary_of(bare, calls=1)
    assert [(cause["id"], cause["command"], cause["rows"]) for cause in found["causes"]] == [
        ("succeeded: not kept", None, [0])
    ]
    assert [(part["cause"], part["billed"]) for part in found["money"]] == [("succeeded", 1)]
    assert (found["speed"]["from"], found["speed"]["per_minute"]) == (None, [])
    assert found["speed"]["seconds"]["max"] == 1.5


def test_images_are_grouped_by_cause_with_one_command() -> None:
    """Images of one cause are one group, the largest first, with the command for all of their documents."""
    found = summary_of(
        failed_record("a", ConnectionFailedError("x"), "receipt"),
        failed_record("b", RecognitionError("y")),
        failed_record("c", ConnectionFailedError("z"), "id-card"),
        read_record("d.png", "receipt", receipt()),
        calls=2,
    )
    assert [(cause["id"], cause["command"], cause["rows"]) for cause in found["causes"]] == [
        ("failed: ConnectionFailedError", "id-card+receipt --retry-failed", [0, 2]),
        ("failed: RecognitionError", "receipt --retry-billed", [1]),
    ]
    assert found["totals"]["statuses"] == {"failed": 3, "succeeded": 1}
    assert found["totals"]["documents"] == {"receipt": 3, "id-card": 1}
    assert found["documents"]["id-card"]["fields"]["result.dl.name"] == {"en": "name", "ko": "이름"}
    assert found["documents"]["receipt"]["fields"]["result.subResults.items.name"]["ko"] == "품명"


def test_money_is_all_that_the_run_has_paid() -> None:
    """The parts of the money add up to the calls of the run: also those sent again on request, and those in flight."""
    found = summary_of(
        read_record("a.png", "receipt", receipt()),
        read_record("b.png", "receipt", receipt(), copy_of="a.png"),
        failed_record("c.png", RecognitionError("x")),
        failed_record("d.png", ConnectionLostError("x")),
        SourceRecord("e.png", "receipt", "pending"),
        calls=6,
        maybe_billed=1,
        in_flight=2,
    )
    assert [(part["cause"], part["billed"], part["maybe_billed"]) for part in found["money"]] == [
        ("succeeded", 1, 0),
        ("failed: RecognitionError", 1, 0),
        ("ambiguous: ConnectionLostError", 0, 1),
        ("sent again", 1, 0),
        ("in flight", 0, 2),
    ]
    assert all(part["title"]["en"] and part["title"]["ko"] for part in found["money"])
    totals = found["totals"]
    assert (totals["billed"], totals["maybe_billed"], totals["spared"], found["spared"]) == (3, 3, 1, 1)
    assert sum(part["billed"] for part in found["money"]) == totals["billed"]
    assert sum(part["maybe_billed"] for part in found["money"]) == totals["maybe_billed"]
    assert found["ambiguous"] == [3]


def test_possible_copies_are_groups() -> None:
    """Photographs of one receipt are one group, also where two share the card and two the approval number."""
    first = read_record("a", "receipt", receipt(confirm="1", card="4111111111111111"))
    by_card = read_record("b", "receipt", receipt(confirm="2", card="4111111111111111"))
    by_number = read_record("c", "receipt", receipt(confirm="2"))
    other = read_record("d", "receipt", receipt("7,000"))
    same_file = dataclasses.replace(first, path="e", copy_of="a")
    for policy in ("standard", None):
        found = summary_of(first, by_card, by_number, other, same_file, policy=policy)
        assert found["copies"] == [[0, 1, 2]]


def test_failed_checks_have_the_values_that_disagree() -> None:
    """A failed check names its row and both values: the sum of the lines and the total."""
    found = summary_of(read_record("a", "receipt", receipt("9,000", number="220-81-62518")))
    assert [(check["row"], check["name"], check["values"]) for check in found["checks"]] == [
        (0, "business_number", ["220-81-62518"]),
        (0, "items_total", ["5,000", "9,000"]),
    ]
    assert found["totals"]["checks_failed"] == 2
    assert found["totals"]["to_review"] == 2


def test_values_of_checks_are_masked() -> None:
    """The values of a failed check are masked as the page is, and left out where they cannot be."""
    answer = {"result": {"number": cell("4111 1111 1111 1112"), "validThru": cell("01/20")}}
    record = read_record("a", "credit-card", answer)
    assert [check["values"] for check in summary_of(record, policy="standard")["checks"]] == [
        ["4111 11** **** 1112"],
        ["**/**"],
    ]
    apart = [cell(part) for part in ("4111", "1111", "1111", "1112")]
    refused = {"result": {"number": cell("4111 1111 1111 1112"), "name": cell("x"), "more": apart}}
    found = summary_of(read_record("a", "credit-card", refused), policy="standard")
    assert [check["values"] for check in found["checks"]] == [[""]]
    assert found["causes"][0]["id"] == "succeeded: not masked"


def test_a_page_lists_so_many_checks() -> None:
    """Beyond ten thousand failed checks are counted and not listed, so that the page stays small."""
    with PossibleCopies(1) as seen:
        summary = Summary(seen)
        reading = read(read_record("a", "receipt", receipt("9,000"), copy_of="b"), None)
        row = row_of(reading, 0)
        for _ in range(10_001):
            summary.add(reading, row)
    found = summary.to_dict(status(), retry)
    assert (len(found["checks"]), found["totals"]["checks_failed"]) == (10_000, 10_001)


# ---------------------------------------------------------------------------------------------------------------------
# Times


def test_an_empty_run_has_no_times() -> None:
    """A run without an answer has no times, and no zeros in their place."""
    assert Speed().to_dict() == {"from": None, "to": None, "per_minute": [], "seconds": None}


def test_times_are_those_of_the_ledger() -> None:
    """Answers are counted by the minute, and durations by bars; a call without a duration counts as an answer alone."""
    speed = Speed()
    for elapsed, answered in ((0.2, 120.0), (7.0, 125.0), (7.5, 60.5), (0.0, 200.0), (700.0, None)):
        record = read_record("a", "receipt", receipt(), entry_elapsed=elapsed, entry_answered_at=answered)
        assert record.entry is not None
        speed.add(record.entry)
    found = speed.to_dict()
    assert (found["from"], found["to"]) == ("1970-01-01T00:01:00+00:00", "1970-01-01T00:03:20+00:00")
    assert found["per_minute"] == [[0, 1], [1, 2], [2, 1]]
    seconds = found["seconds"]
    assert (seconds["p50"], seconds["p95"], seconds["max"]) == (7.5, 700.0, 700.0)
    assert [pair for pair in seconds["histogram"] if pair[1]] == [[0.5, 1], [8, 2], [700.0, 1]]
    assert len(seconds["histogram"]) == 23
