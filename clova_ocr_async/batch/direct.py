"""The reader of a batch without a ledger: a call for every image; see ``ledgered.py`` for the other one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from clova_ocr_async.batch.hashing import size_to_read
from clova_ocr_async.batch.images_in_work import cut_off_failure
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.client.tracebacks import frameless, without_own_frame
from clova_ocr_async.errors import Billing, ClovaOCRError, ImageError
from clova_ocr_async.pictures.page import Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from clova_ocr_async.batch.images_in_work import Deferred, ImageProgress
    from clova_ocr_async.batch.stop import StopSwitch
    from clova_ocr_async.batch.unfinished import UnfinishedFiles
    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["DirectReader"]


class DirectReader:
    """Calls for every image.

    Args:
        client: Calls.
        stop: The state of the batch.
        unfinished: Defers files that are still being written.
        options: Further arguments of each call.
    """

    def __init__(
        self, client: ClovaOCRClient, stop: StopSwitch, unfinished: UnfinishedFiles, options: Mapping[str, Any]
    ) -> None:
        self._client = client
        self._options = options
        self._stop = stop
        self._unfinished = unfinished

    async def process(
        self, source: Any, document: type[Document], progress: ImageProgress, until: float | None = None
    ) -> Outcome[Any] | Deferred:
        """Call for an image."""
        # Before the client reads it, or more images would be pulled meanwhile than the bytes allow.
        progress.hold_bytes(size_to_read(source))
        journal = _DirectJournal(self._stop, progress)
        try:
            image = await self._prepared(source, progress)
            recognition = await self._client.recognize(image, document, lane="batch", journal=journal, **self._options)
            return Success(source, recognition)
        except ImageError as error:
            # A file that is still being written is not a failure yet: nothing was sent for it.
            again = partial(self.process, source, document)
            return await self._unfinished.defer(source, error, until, again) or Failure(
                source, without_own_frame(error)
            )
        except ClovaOCRError as error:
            # The frame of this method has the image, which may be bytes.
            return Failure(source, self._stop.note_error(without_own_frame(error)))
        except BaseException:
            # Cancelled, or a defect of the caller's transport or slots: the request may be billed all the same.
            if journal.billing is not Billing.NOT_BILLED:
                progress.known_outcome = journal.outcome_if_cancelled(source)
            raise

    async def _prepared(self, source: Any, progress: ImageProgress) -> Any:
        """Return what the client is given: a prepared picture where that takes memory that the batch has to count.

        Also where truncated pictures may be sent, as a file may still be in the middle of its writing.
        """
        loader = self._client.loader
        if loader.preparation is None and not isinstance(source, Page) and not loader.limits.allow_truncated:
            return source
        return await frameless(self._unfinished.load(loader, source, progress.hold_bytes))


class _DirectJournal:
    """The client's journal of one call: refuses requests once the batch is stopped, and keeps no answer.

    Attributes:
        billing: Whether the call may have been billed, if it is cut off now.
        raw: Its answer, if the call was cut off before that was decoded.
        request_id: The requestId of the call; None before its first request.
        attempts: Requests of the call so far.
        maybe_billed: How many of them may have been billed.
    """

    def __init__(self, stop: StopSwitch, progress: ImageProgress) -> None:
        self.billing = Billing.NOT_BILLED
        self.raw = b""
        self.request_id: str | None = None
        self.attempts = self.maybe_billed = 0
        self._stop = stop
        self._progress = progress

    def sending(self, attempt: Attempt) -> None:
        """Let a request leave, or raise what keeps it from leaving."""
        # The last moment in which an image can be kept back for free.
        self._stop.check_may_send()
        self.billing = Billing.MAYBE_BILLED  # until the request has ended
        self.maybe_billed += 1
        self.request_id, self.attempts = attempt.request_id, attempt.number
        self._progress.start_request()

    def answered(self, attempt: Attempt, response: HTTPResponse) -> None:
        """Keep nothing: the caller gets the answer."""

    def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> None:
        """Keep nothing: the caller gets the error."""

    def finished(self, billing: Billing, maybe_billed: int, raw: bytes) -> None:
        """Note the billing and the answer, and let the batch withdraw the image if it waits for another request."""
        self.billing, self.maybe_billed, self.raw = billing, maybe_billed, raw
        self._progress.finish_request()

    def outcome_if_cancelled(self, source: Any) -> Failure:
        """Return what is known of the call when it is cancelled and may have been billed."""
        return cut_off_failure(
            source,
            self.billing,
            request_id=self.request_id,
            attempts=self.attempts,
            maybe_billed=self.maybe_billed,
            raw=self.raw,
        )
