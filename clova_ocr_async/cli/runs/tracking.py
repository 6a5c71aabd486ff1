"""The client of a command: it knows what is paid and not yet written."""

from __future__ import annotations

from collections import Counter
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Unpack, cast

from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.batch.work import cut_off_failure
from clova_ocr_async.cli.runs.calls import log_attempt
from clova_ocr_async.client import ClovaOCRClient
from clova_ocr_async.client.hooks import AttemptFinished, AttemptStarted, CallFinished, Event
from clova_ocr_async.client.journal import NULL_JOURNAL, Journal
from clova_ocr_async.client.settings import NOT_GIVEN, NotGiven
from clova_ocr_async.errors import Billing, ClovaOCRError

if TYPE_CHECKING:
    from clova_ocr_async.cli.runs.inputs import InputFile
    from clova_ocr_async.client.loading import ImageSource
    from clova_ocr_async.client.settings import ClientSettings
    from clova_ocr_async.documents.recognition import DocumentT, Recognition
    from clova_ocr_async.domains import Domain
    from clova_ocr_async.slots.interface import Lane

__all__ = ["WatchedClient"]

# Hooks are told in the task of the call they are told of.
_image: ContextVar[InputFile] = ContextVar("image")


class WatchedClient(ClovaOCRClient):
    """A client whose images are input files.

    Args:
        domain: The domain to call.
        more_domains: Further domains.
        settings: The keyword arguments of the client.

    Attributes:
        landed: What calls ended in, by image, until whoever writes it takes it out.
        cut_off: What is known of calls that were cancelled when they may have been paid, by image.
        under_way: Requests whose answer is awaited.
    """

    def __init__(self, domain: Domain, *more_domains: Domain, **settings: Unpack[ClientSettings]) -> None:
        self._doubts: Counter[InputFile] = Counter()
        self.landed: dict[InputFile, Outcome[Any]] = {}
        self.cut_off: dict[InputFile, Failure] = {}
        self.under_way = 0
        settings["hooks"] = (*settings.get("hooks", ()), self._note)
        super().__init__(domain, *more_domains, **settings)

    async def recognize(
        self,
        image: ImageSource,
        document: type[DocumentT],
        *,
        deadline: float | NotGiven | None = NOT_GIVEN,
        lane: Lane = "interactive",
        journal: Journal = NULL_JOURNAL,
    ) -> Recognition[DocumentT]:
        """Read one input file, as the client does."""
        file = cast("InputFile", image)
        _image.set(file)
        try:
            recognition = await super().recognize(image, document, deadline=deadline, lane=lane, journal=journal)
        except ClovaOCRError as error:
            self.landed[file] = Failure(file, error)
            raise
        self.landed[file] = Success(file, recognition)
        return recognition

    def _note(self, event: Event) -> None:
        if isinstance(event, AttemptStarted):
            self.under_way += 1
        elif isinstance(event, AttemptFinished):
            self.under_way -= 1
            self._doubts[_image.get()] += event.billing is Billing.MAYBE_BILLED
            log_attempt(event)
        elif isinstance(event, CallFinished):
            doubts = self._doubts.pop(_image.get(), 0)
            own = event.error is None or isinstance(event.error, ClovaOCRError)
            if not own and event.billing is not Billing.NOT_BILLED:
                outcome = cut_off_failure(_image.get(), event.billing)
                outcome.error.request_id, outcome.error.attempts = event.request_id, event.attempts
                outcome.error.maybe_billed = doubts
                self.cut_off[outcome.source] = outcome
