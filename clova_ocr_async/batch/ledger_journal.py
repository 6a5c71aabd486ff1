"""The client's journal of one call, kept in the ledger of a batch."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import structs

from clova_ocr_async.batch.images_in_work import CUT_OFF, cut_off_failure
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.errors import AnswerNotKeptError, Billing, ClovaOCRError, ConnectionLostError, LedgerError
from clova_ocr_async.host.tasks import call_unblocking, wait_shielded
from clova_ocr_async.ledger.settlement import decoded_or_error, encode_failure, failed_settlement, settlement_of
from clova_ocr_async.ledger.states import ItemEvent, Settlement
from clova_ocr_async.protocol.response import is_answer_to, unpaid_error

if TYPE_CHECKING:
    from clova_ocr_async.batch.images_in_work import ImageProgress
    from clova_ocr_async.batch.stop import StopSwitch
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.documents.recognition import Recognition
    from clova_ocr_async.ledger.states import Claim
    from clova_ocr_async.ledger.storage import Ledger
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["LedgerJournal"]

logger = logging.getLogger("clova_ocr_async")

_POLL = 0.2  # seconds between looks at a call limit under which another process may free a call


class LedgerJournal:
    """Writes down the requests and the answers of one call before the client goes on.

    Args:
        ledger: The ledger.
        claim: The claim of the image.
        document: The document class.
        stop: The state of the batch.
        progress: The progress of the image.

    Attributes:
        claim: The claim of the image.
        progress: The progress of the image.
        request_id: The requestId of the call; None before the first request.
        picture: The picture that is sent, as JSON; empty before it is made.
    """

    def __init__(
        self, ledger: Ledger, claim: Claim, document: type[Document], stop: StopSwitch, progress: ImageProgress
    ) -> None:
        self.claim = claim
        self.progress = progress
        self.request_id: str | None = None
        self.picture = b""
        self._ledger = ledger
        self._document = document
        self._stop = stop
        self._answer: HTTPResponse | None = None
        self._decoded: Recognition[Any] | ClovaOCRError | None = None
        self._store_error: LedgerError | None = None
        self._maybe_billed = self._attempts = 0

    async def sending(self, attempt: Attempt) -> None:
        """Mark the request as sent, once the call limit of the ledger allows it."""
        # Before the mark, which counts as a call and would have to be taken back.
        self._stop.check_may_send()
        self.request_id, self._attempts = attempt.request_id, attempt.number
        # At the call limit, calls of other processes that are still in flight may turn out not to be billed.
        while not await self._ledger.sending(self.claim, attempt.request_id, self.picture):
            await asyncio.sleep(_POLL)
            self._stop.check_may_send()
        # Not earlier: while the call waits for the limit, nothing of it was sent, and a stop may withdraw it.
        self.progress.start_request()

    async def answered(self, attempt: Attempt, response: HTTPResponse) -> None:
        """Keep a paid answer, or mark the request as refused or as maybe billed."""
        try:
            await self._note_answer(attempt.request_id, response)
        except LedgerError as error:  # not raised: the answer may be paid for, and its caller can still have it
            logger.warning("the end of a request could not be written down: %s", error)
        finally:
            # Last, because a withdrawal must not cut off the write.
            self.progress.finish_request()

    async def _note_answer(self, request_id: str, response: HTTPResponse) -> None:
        unpaid = unpaid_error(response, self._document, request_id=request_id)
        if unpaid is None:
            self._answer = response  # first, so that a cancellation during the write still has it
            await self._keep(request_id, response)
        elif unpaid.billing is Billing.NOT_BILLED:
            await self._ledger.refused(self.claim, request_id, maybe_billed_before=self._maybe_billed > 0)
        else:
            await self._note_maybe_billed(request_id)

    async def _keep(self, request_id: str, response: HTTPResponse) -> None:
        try:
            await self._ledger.answered(self.claim, request_id, response)
        except LedgerError as error:
            logger.warning("an answer could not be kept: %s", error)
            if is_answer_to(response.body, request_id):
                # The caller gets the bytes with the failure, and the next request is not sent.
                self._store_error = error
            else:
                # Another call's answer is not lost to this image, and leaves open whether the request was billed.
                await self._note_maybe_billed(request_id)

    async def _note_maybe_billed(self, request_id: str) -> None:
        self._maybe_billed += 1
        await self._ledger.maybe_billed(self.claim, request_id)

    async def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> None:  # noqa: ARG002 - the call's business
        """Mark the request as maybe billed if any of the image had left, else as not billed."""
        try:
            # Headers alone are not billed: the service cannot read an image that it has no byte of.
            if body_began:
                await self._note_maybe_billed(attempt.request_id)
            else:
                await self._ledger.refused(self.claim, attempt.request_id, maybe_billed_before=self._maybe_billed > 0)
        except LedgerError as failure:
            logger.warning("the end of a request could not be written down: %s", failure)
        finally:
            self.progress.finish_request()

    def finished(self, billing: Billing, maybe_billed: int, raw: bytes) -> None:
        """Do nothing: ``answered`` and ``unanswered`` have recorded what the ledger needs."""

    def lost_answer(self) -> AnswerNotKeptError | None:
        """Return an error that holds a paid answer which could not be stored; None if there is no such answer."""
        if self._store_error is None or self._answer is None:
            return None
        lost = AnswerNotKeptError(
            f"paid for, and its answer is not stored: {self._store_error}", billing=Billing.BILLED
        )
        lost.lost, lost.raw, lost.request_id = True, self._answer.body, self.request_id
        lost.attempts, lost.maybe_billed = self._attempts, self._maybe_billed
        return lost

    async def decode(self) -> None:
        """Decode the answer of a cancelled call to the end, however often that is cancelled."""
        if self._answer is None or self.request_id is None or self._store_error is not None:
            return
        decode = partial(decoded_or_error, self._answer, self._document, self.request_id)
        decoding = asyncio.ensure_future(call_unblocking(len(self._answer.body), decode))
        try:
            await wait_shielded(decoding)
        finally:  # also if the wait was cancelled: the item is then settled by its answer
            self._decoded = decoding.result()

    def outcome_if_cancelled(self, source: Any) -> Outcome[Any] | None:
        """Return what is known of the call when it is cancelled; None if nothing of it may have been billed.

        Args:
            source: The image, as it was pulled.
        """
        if (lost := self.lost_answer()) is not None:
            return Failure(source, lost, self.claim.item)
        attempts, maybe_billed = self._attempts, self._maybe_billed
        if isinstance(self._decoded, ClovaOCRError):
            self._decoded.attempts, self._decoded.maybe_billed = attempts, maybe_billed
            self._decoded.request_id = self.request_id
            return Failure(source, self._decoded, self.claim.item)
        if self._decoded is not None:
            recognition = structs.replace(self._decoded, attempts=attempts, maybe_billed=maybe_billed)
            return Success(source, recognition, item=self.claim.item)
        if not maybe_billed:
            return None
        return cut_off_failure(
            source,
            Billing.MAYBE_BILLED,
            request_id=self.request_id,
            attempts=attempts,
            maybe_billed=maybe_billed,
            item=self.claim.item,
        )

    def settlement_if_cancelled(self) -> Settlement:
        """Return the settlement of the call when it is cancelled."""
        if (lost := self.lost_answer()) is not None:
            return failed_settlement(lost, self.request_id)
        if self._decoded is not None and self.request_id is not None:
            return settlement_of(self._decoded, self.request_id)
        if self._maybe_billed:
            failure = encode_failure(ConnectionLostError(CUT_OFF))
            return Settlement(ItemEvent.MAYBE_BILLED, Billing.MAYBE_BILLED, 0.0, failure, self.request_id)
        # Nothing was billed, so the next process may send it at once.
        return Settlement(ItemEvent.RELEASE, request_id=self.request_id)
