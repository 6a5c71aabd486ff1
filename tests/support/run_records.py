"""Records of a run, made by hand: images that were read, failed, or were not sent."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from clova_ocr_async.documents import DOCUMENTS, Picture
from clova_ocr_async.errors import Billing
from clova_ocr_async.ledger.settlement import failed_settlement
from clova_ocr_async.ledger.states import TRANSITIONS, Entry, Item, ItemEvent, SourceRecord, State
from clova_ocr_async.ledger.storage import RunStatus
from clova_ocr_async.protocol.response import HTTPResponse

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from clova_ocr_async.errors import ClovaOCRError
    from clova_ocr_async.ledger.corrections import Correction


def read_record(
    path: str | None,
    document: str,
    answer: dict[str, Any],
    *,
    picture: Picture | None = None,
    data: bytes = b"",
    **values: Any,
) -> SourceRecord:
    """Return the record of an image that was read.

    Args:
        path: Its name.
        document: The vendor's path word.
        answer: The answer's object of the document.
        picture: The picture that was sent.
        data: The bytes of its file.
        values: Further attributes: those of the entry with ``entry_`` before their names, and those of the record.
    """
    key = DOCUMENTS[document].answer_key
    image = {"uid": "u", "name": "n", "inferResult": "SUCCESS", "message": "SUCCESS", key: answer}
    body = json.dumps({"version": "V2", "requestId": "r", "timestamp": 1_764_000_000_000, "images": [image]}).encode()
    mine = {name.removeprefix("entry_"): values.pop(name) for name in list(values) if name.startswith("entry_")}
    entry = Entry(
        1,
        Item(hashlib.sha256(data or str(path).encode()).digest(), document, values.get("page")),
        State.SUCCEEDED,
        attempts=1,
        billing=Billing.BILLED,
        request_id="r",
        answer=HTTPResponse(200, body),
        picture=b"" if picture is None else picture.to_json(),
        **({"elapsed": 1.5, "answered_at": 1_764_000_002.0} | mine),
    )
    return SourceRecord(path, document, "succeeded", entry, **values)


def failed_record(
    path: str, error: ClovaOCRError, document: str = "receipt", *, data: bytes = b"", **values: Any
) -> SourceRecord:
    """Return the record of an image whose call ended with an error; ``data`` are the bytes of its file."""
    settlement = failed_settlement(error, "r")
    before = State.CLAIMED if settlement.event in {ItemEvent.SKIP, ItemEvent.RELEASE} else State.SENT
    state = TRANSITIONS[before, settlement.event]
    entry = Entry(
        2,
        Item(hashlib.sha256(data or path.encode()).digest(), document),
        state,
        attempts=1,
        maybe_billed=int(settlement.billing is Billing.MAYBE_BILLED),
        billing=settlement.billing,
        request_id="r",
        failure=settlement.failure,
    )
    status = state.value if state is not State.QUEUED else "pending"
    return SourceRecord(path, document, status, entry, **values)


def cell(text: str, confidence: float = 0.97, corners: list[tuple[float, float]] | None = None) -> dict[str, Any]:
    """Return a wire object of a text, with a polygon if it has corners."""
    polygons = [] if corners is None else [{"vertices": [{"x": x, "y": y} for x, y in corners]}]
    return {"text": text, "confidenceScore": confidence, "boundingPolys": polygons}


class RecordsView:
    """A view of records that counts those it has yielded."""

    def __init__(self, records: Iterable[SourceRecord], total: int, base: str | None = None) -> None:
        self._records = records
        self._total = total
        self.base = base
        self.corrected: list[Correction] = []
        self.yielded = 0

    @contextmanager
    def snapshot(self) -> Generator[None]:
        """Do nothing: the records do not change."""
        yield

    def status(self) -> RunStatus:
        """Return the counts."""
        images = {"succeeded": self._total}
        return RunStatus(images, images, self._total, 0, 0, 0, "full", None, ())

    def records(self) -> Iterator[SourceRecord]:
        """Yield the records."""
        for record in self._records:
            self.yielded += 1
            yield record

    def corrections(self) -> Iterator[Correction]:
        """Yield the corrections."""
        return iter(self.corrected)

    def other_base_folder(self, folder: str) -> str | None:
        """Return no folder: the paths start here."""
        return self.base if self.base != folder else None
