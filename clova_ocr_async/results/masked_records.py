"""Masked copies of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from clova_ocr_async.documents import DOCUMENTS
from clova_ocr_async.documents.untyped import untyped
from clova_ocr_async.errors import RedactionError
from clova_ocr_async.results.corrections import answer_path
from clova_ocr_async.results.redaction import Masking

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clova_ocr_async.results.sensitive_paths import Policy

__all__ = ["masked_record"]

_NAMES = ("source", "copy_of")


def masked_record(record: dict[str, Any], policy: Policy) -> tuple[dict[str, Any], bool]:
    """Return a record with all numbers hidden, and whether that is certain; if not, its answer is left out.

    An answer that could not be decoded (``raw``) cannot be masked, and the exact bytes of a name (``source_bytes``)
    may spell a number, so both are left out.
    """
    kept = {key: value for key, value in record.items() if key not in {"raw", "source_bytes"}}
    result = kept.get("result")
    image = untyped(bytes(result)) if isinstance(result, msgspec.Raw) else result
    corrections = kept.get("corrections", [])
    places = {entry["path"]: _place(record, entry["path"]) for entry in corrections if entry["path"] is not None}
    written = [(places[entry["path"]], entry["new"]) for entry in corrections if entry["path"] is not None]
    masking = Masking({"images": [] if image is None else [image]}, policy, written)
    for name in _NAMES:
        if kept.get(name) is not None:
            kept[name] = masking.mask_text(kept[name])
    if "columns" in kept:
        kept["columns"] = masking.mask_values(kept["columns"])
    if corrections:
        kept["corrections"] = [_masked_entry(entry, places, masking) for entry in corrections]
    if "error" in kept:
        kept["error"] |= {"message": masking.mask_text(kept["error"]["message"] or "")}
    certain = "raw" not in record
    if image is not None:
        try:
            kept["result"] = masking.mask_answer()["images"][0]
        except RedactionError as error:
            del kept["result"]
            kept.pop("corrections", None)
            kept["error"] = {"type": type(error).__name__, "code": None, "message": str(error)}
            certain = False
    return kept, certain


def _place(record: Mapping[str, Any], path: str) -> str:
    return answer_path(DOCUMENTS[record["document"]], path)


def _masked_entry(entry: dict[str, Any], places: Mapping[str, str], masking: Masking) -> dict[str, Any]:
    if entry["path"] is None:
        return entry
    return entry | {name: masking.mask_at(places[entry["path"]], entry[name]) for name in ("old", "new")}
