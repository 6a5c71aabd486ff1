"""The rows of a run's tables, one record after the other, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from clova_ocr_async.documents import DOCUMENTS, Receipt, Recognition
from clova_ocr_async.documents.untyped import untyped
from clova_ocr_async.errors import RedactionError
from clova_ocr_async.ledger.settlement import replay
from clova_ocr_async.ledger.states import FINISHED
from clova_ocr_async.results.columns import Column, columns
from clova_ocr_async.results.possible_copies import signature_of
from clova_ocr_async.results.records import record_of
from clova_ocr_async.results.redaction import Masking, redact
from clova_ocr_async.results.rows import document_values, item_values, judged_values, key_of_item, name_in_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from clova_ocr_async.documents import Document
    from clova_ocr_async.ledger.states import Entry, SourceRecord
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
    """

    document: str
    row: dict[str, Any]
    items: list[dict[str, Any]]


def columns_of_run(document: type[Document], own: Iterable[str]) -> tuple[Column, ...]:
    """Return the columns of a run's table of documents: the fixed ones, then those of its manifests.

    Args:
        document: The document's class.
        own: The names of the manifests' own columns; one that a fixed column has gets the prefix "manifest_".
    """
    fixed = columns(document)
    taken = {column.name for column in fixed}
    return fixed + tuple(Column(_own_name(name, taken), "text", name) for name in sorted(own))


def _own_name(name: str, taken: Collection[str]) -> str:
    return f"{_CLASH}{name}" if name in taken else name


def rows_of(
    records: Iterable[SourceRecord],
    seen: PossibleCopies,
    *,
    own: Mapping[str, Collection[str]] | None = None,
    policy: Policy | None = None,
) -> Iterator[RunRow]:
    """Yield the rows of a run's records.

    Args:
        records: The records.
        seen: The receipts so far.
        own: The names of the manifests' own columns, by the vendor's path word.
        policy: How values are masked; None for as they are. A record that cannot be masked has a row without values.
    """
    for record in records:
        yield _row_of(record, seen, (own or {}).get(record.document, ()), policy)


def _row_of(record: SourceRecord, seen: PossibleCopies, own: Collection[str], policy: Policy | None) -> RunRow:
    document = DOCUMENTS[record.document]
    entry = record.entry
    if entry is not None and record.status == "pending" and entry.state in FINISHED:
        entry = None  # the file has changed since, and is going to be read again
    values = _common(record, entry) | _own(record, document, own)
    items: list[dict[str, Any]] = []
    recognition = None if entry is None else replay(entry, document)
    if isinstance(recognition, Recognition):
        plain = document_values(recognition)
        values |= judged_values(recognition) | _possible_copy(plain, document, record, seen)
        shown = recognition if policy is None else _masked(recognition, policy, values)
        if shown is not None:
            values |= plain if shown is recognition else document_values(shown)
            if isinstance(shown.document, Receipt) and record.copy_of is None:
                items = item_values(shown.document, values["key"])
    if policy is not None:
        values |= _masked_names(values, own, document, recognition, policy)
    names = [column.name for column in columns_of_run(document, own)]
    return RunRow(record.document, {name: values.get(name) for name in names}, items)


def _masked(recognition: Recognition[Any], policy: Policy, values: dict[str, Any]) -> Recognition[Any] | None:
    try:
        return redact(recognition, policy)
    except RedactionError as error:
        values["error"] = f"{type(error).__name__}: {error}"
        return None


def _masked_names(
    values: dict[str, Any], own: Collection[str], document: type[Document], recognition: object, policy: Policy
) -> dict[str, Any]:
    """Return the names of files and the own columns, which may repeat a number, masked."""
    masking = Masking(untyped(recognition.raw) if isinstance(recognition, Recognition) else None, policy)
    taken = {column.name for column in columns(document)}
    names = ("source", "copy_of", "possible_copy_of", "error", *(_own_name(name, taken) for name in own))
    return {name: masking.mask_text(text) for name in names if (text := values.get(name)) is not None}


def _possible_copy(
    plain: dict[str, Any], document: type[Document], record: SourceRecord, seen: PossibleCopies
) -> dict[str, Any]:
    """Return the earlier record of another photograph of the same receipt; copies of the same bytes do not count."""
    if document is not Receipt or record.copy_of is not None or (signature := signature_of(plain)) is None:
        return {}
    return {"possible_copy_of": seen.earlier(signature, _name(record) or "")}


def _common(record: SourceRecord, entry: Entry | None) -> dict[str, Any]:
    """Return the values that a record has whatever its image shows."""
    found = record_of(record)
    error = found.get("error")
    return {
        "key": None if entry is None else _key_of(entry),
        "source": _name(record),
        "page": record.page,
        "copy_of": found["copy_of"] if found["copy_of"] is None else name_in_table(found["copy_of"]),
        "sha256": found["sha256"],
        "document": record.document,
        "status": record.status,
        "billed": found["billed"],
        "error": None if error is None else f"{error['type']}: {error['message']}",
        "request_id": found["request_id"],
    }


def _name(record: SourceRecord) -> str | None:
    return None if record.path is None else name_in_table(record.path)


def _key_of(entry: Entry) -> str:
    item = entry.item
    return key_of_item(item.sha256, item.document, item.page, item.recipe)


def _own(record: SourceRecord, document: type[Document], own: Collection[str]) -> dict[str, Any]:
    if not own or not record.columns:
        return {}
    taken = {column.name for column in columns(document)}
    values = msgspec.json.decode(record.columns, type=dict[str, Any])
    return {_own_name(name, taken): _as_text(values.get(name)) for name in own}


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
