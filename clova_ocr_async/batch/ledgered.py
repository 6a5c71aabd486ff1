"""One image through the ledger: read, admitted, called if nobody has paid for it yet, and written down."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio.to_thread
from anyio import CapacityLimiter

from clova_ocr_async.batch.direct import Deferred, cut_off
from clova_ocr_async.batch.hashing import read_hashed, source_file, stat_source
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.client.decoding import decoded_aside
from clova_ocr_async.client.journal import run_to_completion
from clova_ocr_async.errors import (
    AnswerNotKeptError,
    Billing,
    ClovaOCRError,
    ConnectionLostError,
    ImageError,
    LedgerError,
)
from clova_ocr_async.ledger.settlement import (
    GONE,
    encode_failure,
    failed_settlement,
    replay,
    settle_from_answer,
    succeeded_settlement,
)
from clova_ocr_async.ledger.states import FINISHED, ClaimLostError, Item, ItemEvent, Settlement
from clova_ocr_async.protocol.echo import shown_path
from clova_ocr_async.protocol.identity import answers_to
from clova_ocr_async.protocol.response import decode_response, unpaid_error

if TYPE_CHECKING:
    from collections.abc import Iterable

    from clova_ocr_async.batch.direct import ImageInWork, Warden
    from clova_ocr_async.batch.hashing import HashedImage
    from clova_ocr_async.batch.unfinished import Unfinished
    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.client.journal import Attempt
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.documents.recognition import Recognition
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.ledger.states import Claim, Entry
    from clova_ocr_async.ledger.storage import Ledger
    from clova_ocr_async.protocol.response import HTTPResponse

__all__ = ["READERS", "LedgeredReader", "is_gone", "services_of"]

logger = logging.getLogger("clova_ocr_async")

READERS = 2
"""Threads of a batch that read and hash. Each waits for the interpreter again and again, the longer the more there are,
and keeps the memory of the last large files it has read; real batches need few, for no service answers as fast as a
disk."""

_CUT_OFF = ConnectionLostError("the call was cancelled after it had been sent; it may have been billed")
_VENDOR = ".apigw.ntruss.com"
_POLL = 0.2  # seconds between looks at a ceiling that others may leave


class LedgeredReader:
    """Takes the images of a batch through its ledger.

    Args:
        client: Calls.
        ledger: Remembers.
        warden: Has a say in what is sent.
        unfinished: Puts off files that are still being written.
        listed: The images are files that the ledger has listed and knows to be read, so that it need not be asked.
    """

    def __init__(
        self, client: ClovaOCRClient, ledger: Ledger, warden: Warden, unfinished: Unfinished, *, listed: bool = False
    ) -> None:
        self.ledger = ledger
        self.warden = warden
        self._client = client
        self._unfinished = unfinished
        self._listed = listed
        self._readers = CapacityLimiter(READERS)

    async def take(
        self, source: Any, document: type[Document], flight: ImageInWork, until: float | None = None
    ) -> Outcome[Any] | Deferred:
        """Return what became of an image, calling for it if need be.

        Raises:
            LedgerError: The ledger cannot be used.
        """
        entry = await self._known(source, document)
        if entry is not None:
            return await _outcome_of(entry, source, document)
        try:
            hashed = await read_hashed(source, self._client.limits, readers=self._readers)
        except ImageError as error:
            if (later := await self._put_off(source, document, error, until)) is not None:
                return later
            known = await self._rejected(source, document, error)
            return Failure(source, error) if known is None else await _outcome_of(known, source, document)
        flight.hold(hashed.copied)
        if self._unfinished.is_fresh(hashed.before):
            # Before it is on record: the bytes of half a picture are an image of nobody's.
            try:
                await self._unfinished.judge(hashed.image(), self._client.limits)
            except ImageError as error:
                if (later := await self._put_off(source, document, error, until)) is not None:
                    return later
        return await self._admitted(source, document, hashed, flight)

    async def _put_off(
        self, source: Any, document: type[Document], error: ImageError, until: float | None
    ) -> Deferred | None:
        return await self._unfinished.later(source, error, until, partial(self.take, source, document))

    async def _rejected(self, source: Any, document: type[Document], error: ImageError) -> Entry | None:
        """Write down a file that cannot be read; return what is known of it if it was read, and has gone since."""
        if (file := source_file(source)) is None:
            return None
        gone = await anyio.to_thread.run_sync(is_gone, source, limiter=self._readers)
        known = await self.ledger.reject(file, document.path_word, GONE if gone else encode_failure(error))
        return known if known is not None and known.state in FINISHED else None

    def _later(self, source: Any, document: type[Document], entry: Entry, hashed: HashedImage) -> Deferred:
        # A file that was read to its end has nothing left; others are read again, and not held until then.
        kept = None if isinstance(source, str | os.PathLike) else hashed

        async def again(flight: ImageInWork) -> Outcome[Any] | Deferred:
            if kept is None:
                return await self.take(source, document, flight)
            flight.hold(kept.copied)
            return await self._admitted(source, document, kept, flight)

        return Deferred(lambda: self.ledger.changed(entry), again)

    async def _known(self, source: Any, document: type[Document]) -> Entry | None:
        if self._listed or (file := await stat_source(source, self._readers)) is None:
            return None
        return await self.ledger.recall(file, document.path_word)

    async def _admitted(
        self, source: Any, document: type[Document], hashed: HashedImage, flight: ImageInWork
    ) -> Outcome[Any] | Deferred:
        admission = await self.ledger.admit(Item(hashed.sha256, document.path_word), hashed.file)
        if admission.claim is None and admission.entry.state in FINISHED:
            return await _outcome_of(admission.entry, source, document)
        if admission.claim is not None:
            try:
                return await self._called(source, document, hashed, _Journal(self, admission.claim, document, flight))
            except ClaimLostError:
                pass
        return self._later(source, document, admission.entry, hashed)

    async def _called(
        self, source: Any, document: type[Document], hashed: HashedImage, journal: _Journal
    ) -> Outcome[Any]:
        ended: Recognition[Any] | ClovaOCRError
        try:
            ended = await self._client.recognize(hashed.image(), document, lane="batch", journal=journal)
        except ClovaOCRError as error:
            ended = error
        except BaseException:
            journal.cut_off(source, _name_of(hashed))
            await self._settled(journal.claim, journal.verdict())
            raise
        ended = journal.loss(ended.attempts, ended.maybe_billed) or ended  # what is kept nowhere is not read
        if isinstance(ended, ClovaOCRError):
            journal.end(Failure(source, ended))
            await self._settled(journal.claim, failed_settlement(ended, journal.request_id))
            return Failure(source, self.warden.judged(ended))
        outcome = Success(source, ended)
        journal.end(outcome)
        await self._settled(journal.claim, succeeded_settlement(ended, journal.request_id))
        return outcome

    async def _settled(self, claim: Claim, verdict: Settlement) -> None:
        try:
            await run_to_completion(self.ledger.settle(claim, verdict))
        except LedgerError as error:
            # What it ended in is not lost with that: the caller has it, and the ledger its answer, or its doubt.
            logger.warning("how a call ended could not be written down: %s", error)


def is_gone(source: object) -> bool:
    """Return whether an image is a path, and nothing is there."""
    try:
        os.stat(source)  # type: ignore[arg-type]  # noqa: PTH116 - what is not a path is not gone
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, TypeError, ValueError):
        pass
    return False


async def _outcome_of(entry: Entry, source: Any, document: type[Document]) -> Outcome[Any]:
    size = 0 if entry.answer is None else len(entry.answer.body)
    outcome = await decoded_aside(size, partial(replay, entry, document))
    return Failure(source, outcome) if isinstance(outcome, ClovaOCRError) else Success(source, outcome, billed=False)


def _name_of(hashed: HashedImage) -> str:
    return "an image without a name" if hashed.file is None else shown_path(os.fsdecode(hashed.file.path))


class _Journal:
    """The client's journal of one call, kept in the ledger."""

    def __init__(self, recorder: LedgeredReader, claim: Claim, document: type[Document], flight: ImageInWork) -> None:
        self.claim = claim
        self.request_id: str | None = None
        self._warden = recorder.warden
        self._ledger = recorder.ledger
        self._document = document
        self._flight = flight
        self._answer: HTTPResponse | None = None
        self._unkept: LedgerError | None = None
        self._doubts = 0

    async def sending(self, attempt: Attempt) -> None:
        self._warden.may_send()
        self.request_id = attempt.request_id
        while not await self._ledger.sending(self.claim, attempt.request_id):
            await asyncio.sleep(_POLL)
            self._warden.may_send()
        self._flight.begin()

    async def answered(self, attempt: Attempt, response: HTTPResponse) -> None:
        try:
            await self._noted(attempt.request_id, response)
        except LedgerError as error:
            logger.warning("how a request ended could not be written down: %s", error)
        finally:
            self._flight.end()

    async def _noted(self, request_id: str, response: HTTPResponse) -> None:
        refusal = unpaid_error(response, self._document, request_id=request_id)
        if refusal is None:
            self._answer = response
            await self._keep(request_id, response)
        elif refusal.billing is Billing.NOT_BILLED:
            await self._ledger.refused(self.claim, request_id, maybe_billed_before=self._doubts > 0)
        else:
            await self._doubt(request_id)

    async def _keep(self, request_id: str, response: HTTPResponse) -> None:
        try:
            await self._ledger.answered(self.claim, request_id, response)
        except LedgerError as error:
            logger.warning("an answer could not be kept: %s", error)
            if answers_to(response.body, request_id):
                # The caller gets the bytes with the failure, and the next request is not sent.
                self._unkept = error
            else:
                # Another call's answer is no loss of this image's, and leaves it in doubt what that may have cost.
                await self._doubt(request_id)

    async def _doubt(self, request_id: str) -> None:
        self._doubts += 1
        await self._ledger.maybe_billed(self.claim, request_id)

    async def unanswered(self, attempt: Attempt, error: BaseException, *, body_began: bool) -> None:  # noqa: ARG002 - the call's business
        try:
            if body_began:
                await self._doubt(attempt.request_id)
            else:
                await self._ledger.refused(self.claim, attempt.request_id, maybe_billed_before=self._doubts > 0)
        except LedgerError as failure:
            logger.warning("how a request ended could not be written down: %s", failure)
        finally:
            self._flight.end()

    def end(self, outcome: Outcome[Any]) -> None:
        """Note what the call ended in: a batch that stops must not call the image back any more."""
        self._flight.left = outcome
        self._flight.begin()

    def loss(self, attempts: int = 0, maybe_billed: int = 0) -> AnswerNotKeptError | None:
        """Return the failure of a call whose answer is kept nowhere but in it; None if there is no such answer.

        Args:
            attempts: Requests sent for the call.
            maybe_billed: How many of them may have been billed.
        """
        if self._unkept is None or self._answer is None:
            return None
        lost = AnswerNotKeptError(f"paid for, and its answer is not stored: {self._unkept}", billing=Billing.BILLED)
        lost.lost, lost.raw, lost.request_id = True, self._answer.body, self.request_id
        lost.attempts, lost.maybe_billed = attempts, maybe_billed
        return lost

    def cut_off(self, source: Any, name: str) -> None:
        """Note what is known of a call that is ended from outside; log it if its answer is lost by that.

        Args:
            source: The image, as it was pulled.
            name: The image's, for the log.
        """
        if (lost := self.loss()) is not None:
            logger.error("%s: %s", name, lost)
            self._flight.left = Failure(source, lost)
        elif self._answer is not None:
            try:
                self._flight.left = Success(
                    source, decode_response(self._answer, self._document, request_id=self.request_id)
                )
            except ClovaOCRError as error:
                self._flight.left = Failure(source, error)
        elif self._doubts:
            self._flight.left = cut_off(source, Billing.MAYBE_BILLED)

    def verdict(self) -> Settlement:
        """Return what is known of a call that was ended from outside."""
        if (lost := self.loss()) is not None:
            return failed_settlement(lost, self.request_id)
        if self._answer is not None and self.request_id is not None:
            return settle_from_answer(self._answer, self._document, self.request_id)
        if self._doubts:
            return Settlement(ItemEvent.DOUBT, Billing.MAYBE_BILLED, 0.0, encode_failure(_CUT_OFF), self.request_id)
        return Settlement(ItemEvent.RELEASE, request_id=self.request_id)


def services_of(domains: Iterable[Domain]) -> list[str]:
    """Return whose answers some domains give: the vendor's, or those of a server of one's own."""
    return sorted({_service_of(urlsplit(domain.key).hostname or "") for domain in domains})


def _service_of(host: str) -> str:
    if host.endswith(_VENDOR):  # every domain has a name of its own before it
        return _VENDOR.removeprefix(".")
    try:
        return "local" if ipaddress.ip_address(host).is_private else host
    except ValueError:
        return "local" if host == "localhost" else host
