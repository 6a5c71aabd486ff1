"""The rows of a run's tables, one record after the other, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from clova_ocr_async.batch.outcome import Success
from clova_ocr_async.documents import DOCUMENTS, Receipt
from clova_ocr_async.documents.untyped import untyped
from clova_ocr_async.errors import RedactionError
from clova_ocr_async.results.columns import Column, columns
from clova_ocr_async.results.corrected_rows import CorrectedTables
from clova_ocr_async.results.possible_copies import signatures_of
from clova_ocr_async.results.records import bill_of, outcome_of, shown_entry
from clova_ocr_async.results.redaction import Masking, masked_copy
from clova_ocr_async.results.rows import document_values, judged_values, key_of_item, name_in_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from clova_ocr_async.batch.outcome import Outcome
    from clova_ocr_async.documents import Document, Recognition
    from clova_ocr_async.ledger.states import Item, SourceRecord
    from clova_ocr_async.results.corrections import Review
    from clova_ocr_async.results.possible_copies import PossibleCopies
    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["RunRow", "columns_of_run", "rows_of"]

_CLASH = "manifest_"


class RunRow(NamedTuple):
    """A record as the tables have it.

    Attributes:
        document: The vendor's path word.
        row: Its row in the table of documents.
        items: The lines of its receipt; empty for a copy, so that sums count no line twice.
        refused: Whether its values are left out because they cannot be masked for certain.
    """

    document: str
    row: dict[str, Any]
    items: list[dict[str, Any]]
    refused: bool = False


def columns_of_run(
    document: type[Document],
    own: Iterable[str],
    reviews: Mapping[Item, Review] | None = None,
    policy: Policy | None = None,
) -> tuple[Column, ...]:
    """Return the columns of a run's table of documents: fixed ones, those of corrections, those of its manifests.

    Args:
        document: The document's class.
        own: The names of the manifests' own columns; one that another column has gets the prefix "manifest_".
        reviews: The states of the run's items after their corrections. Without any there are no columns of corrections.
        policy: How names of own columns are masked, which may hold numbers; None for as they are.
    """
    common = columns(document) + CorrectedTables.of(document, reviews or {}).columns
    return common + tuple(_own_columns(common, own, policy).values())


def _own_columns(common: Iterable[Column], own: Iterable[str], policy: Policy | None) -> dict[str, Column]:
    """Return the columns of a manifest's names, in the order of the names."""
    masking = None if policy is None else Masking(None, policy)
    names = sorted(set(own))
    taken = {column.name for column in common}
    found: dict[str, Column] = {}
    for name in names:
        column = shown = name if masking is None else masking.mask_text(name)
        # A later schema may take a name; until then the manifest keeps its own, so people find their columns again.
        while column in taken or (column != name and column in names):
            column = _CLASH + column
        taken.add(column)
        found[name] = Column(column, "text", shown)
    return found


def rows_of(
    records: Iterable[SourceRecord],
    seen: PossibleCopies,
    *,
    own: Mapping[str, Collection[str]] | None = None,
    policy: Policy | None = None,
    reviews: Mapping[Item, Review] | None = None,
) -> Iterator[RunRow]:
    """Yield the rows of a run's records.

    Args:
        records: The records.
        seen: The receipts so far.
        own: The names of the manifests' own columns, by the vendor's path word.
        policy: How values are masked; None for as they are. A record that cannot be masked has a row without values.
        reviews: The states of the run's items after their corrections; the same as for ``columns_of_run``.
    """
    layouts: dict[str, _Layout] = {}
    for record in records:
        layout = layouts.get(record.document)
        if layout is None:
            names = (own or {}).get(record.document, ())
            layout = layouts[record.document] = _Layout.of(record.document, names, reviews or {}, policy)
        yield _row_of(record, seen, layout, policy)


class _Layout(NamedTuple):
    """The common parts of all rows of a document.

    Attributes:
        document: Its class.
        names: The names of all columns.
        own: The names of the columns of the manifest's names.
        corrected: The columns of corrections.
    """

    document: type[Document]
    names: tuple[str, ...]
    own: dict[str, str]
    corrected: CorrectedTables

    @staticmethod
    def of(word: str, own: Collection[str], reviews: Mapping[Item, Review], policy: Policy | None) -> _Layout:
        """Return the layout of a document by the vendor's path word."""
        document = DOCUMENTS[word]
        corrected = CorrectedTables.of(document, reviews)
        common = columns(document) + corrected.columns
        found = {name: column.name for name, column in _own_columns(common, own, policy).items()}
        return _Layout(document, (*(column.name for column in common), *found.values()), found, corrected)


def _row_of(record: SourceRecord, seen: PossibleCopies, layout: _Layout, policy: Policy | None) -> RunRow:
    outcome = outcome_of(record)
    values = _common(record, outcome)
    if layout.own and record.columns:
        values |= _own(record.columns, layout.own)
    items: list[dict[str, Any]] = []
    recognition = outcome.recognition if isinstance(outcome, Success) else None
    corrected = layout.corrected.row(shown_entry(record))
    masking = None if policy is None else Masking(_answer_of(recognition), policy, corrected.texts)
    shown: Recognition[Any] | None = recognition
    if recognition is not None:
        plain = document_values(recognition)
        values |= judged_values(recognition)
        # A copy by bytes is named by copy_of already, and would find its own original here.
        if layout.document is Receipt and record.copy_of is None:
            values["possible_copy_of"] = seen.earlier(signatures_of(plain), _name_of(values))
        # After the signatures: a masked card number would make receipts of different cards alike.
        shown = recognition if masking is None else _masked(recognition, masking, values)
        if shown is not None:
            values |= plain if shown is recognition else document_values(shown)
            values |= corrected.values(shown, masking)
            # Lines belong to what was paid once; sums over the table must not count a copy.
            if layout.document is Receipt and record.copy_of is None:
                items = corrected.items(shown, values["key"], masking)
    if masking is not None:
        _mask_names(values, layout, masking)
    row = {name: values.get(name) for name in layout.names}
    return RunRow(record.document, row, items, refused=shown is None and recognition is not None)


def _common(record: SourceRecord, outcome: Outcome[Any]) -> dict[str, Any]:
    """Return the values that a record has whatever its image shows."""
    entry = shown_entry(record)
    item = None if entry is None else entry.item
    bill = bill_of(outcome, record.copy_of)
    error = None if isinstance(outcome, Success) else outcome.error
    call = outcome.recognition if isinstance(outcome, Success) else outcome.error
    return {
        "key": None if item is None else key_of_item(item.sha256, item.document, item.page, item.recipe),
        "source": None if record.path is None else name_in_table(record.path),
        "page": record.page,
        "copy_of": None if bill["copy_of"] is None else name_in_table(bill["copy_of"]),
        "sha256": None if item is None else item.sha256.hex(),
        "document": record.document,
        "status": record.status,
        "billed": bill["billed"],
        "error": None if error is None else f"{type(error).__name__}: {error}",
        "request_id": call.request_id or None,
    }


def _name_of(values: Mapping[str, Any]) -> str:
    """Return what another row calls this one: its source, with the page; its key where it has no source."""
    if values["source"] is None:
        return str(values["key"])
    return values["source"] if values["page"] is None else f"{values['source']}#{values['page']}"


def _own(stored: bytes, own: Mapping[str, str]) -> dict[str, Any]:
    values = msgspec.json.decode(stored, type=dict[str, Any])
    return {column: _as_text(values.get(name)) for name, column in own.items()}


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None  # an empty cell is empty in all formats
    return msgspec.json.encode(value).decode()


def _answer_of(recognition: Recognition[Any] | None) -> Any:
    return None if recognition is None else untyped(recognition.raw)


def _masked(recognition: Recognition[Any], masking: Masking, values: dict[str, Any]) -> Recognition[Any] | None:
    try:
        return masked_copy(recognition, masking)
    except RedactionError as error:
        # The row stays, since rows are counted against files; only its values are left out.
        values["error"] = f"{type(error).__name__}: {error}"
        return None


def _mask_names(values: dict[str, Any], layout: _Layout, masking: Masking) -> None:
    """Mask the names of files and the own columns, which may repeat a number."""
    for name in ("source", "copy_of", "possible_copy_of", "error", *layout.own.values()):
        if (text := values.get(name)) is not None:
            values[name] = masking.mask_text(text)
