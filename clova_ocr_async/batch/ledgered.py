"""The reader of a batch with a ledger: reads, admits, calls unless the image was paid before, and settles."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import logging
import os
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio.to_thread
from anyio import CapacityLimiter

from clova_ocr_async.batch.hashing import (
    ChangedFileError,
    FileHashes,
    make_picture_of,
    path_of,
    read_hashed,
    source_file,
    stat_source,
)
from clova_ocr_async.batch.images_in_work import Deferred
from clova_ocr_async.batch.ledger_journal import LedgerJournal
from clova_ocr_async.batch.outcome import Failure, Outcome, Success
from clova_ocr_async.client.tracebacks import frameless, without_own_frame
from clova_ocr_async.errors import AnswerNotKeptError, ClovaOCRError, ImageError, LedgerError
from clova_ocr_async.host.archives import stat_file
from clova_ocr_async.host.paths import normalize_path
from clova_ocr_async.host.tasks import call_unblocking, run_to_completion
from clova_ocr_async.ledger.settlement import GONE, encode_failure, failed_settlement, replay, succeeded_settlement
from clova_ocr_async.ledger.states import FINISHED, ClaimLostError, ItemEvent, Settlement, SourceFile
from clova_ocr_async.pictures.page import Page
from clova_ocr_async.protocol.echoed_input import shown_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from clova_ocr_async.batch.hashing import HashedImage
    from clova_ocr_async.batch.images_in_work import ImageProgress
    from clova_ocr_async.batch.stop import StopSwitch
    from clova_ocr_async.batch.unfinished import UnfinishedFiles
    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.client.preparing import PreparedImage
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.documents.recognition import Recognition
    from clova_ocr_async.domains.domain import Domain
    from clova_ocr_async.ledger.states import Claim, Entry
    from clova_ocr_async.ledger.storage import Ledger

__all__ = ["MOST_INTERRUPTED", "READER_THREADS", "LedgeredReader", "is_gone", "services_of"]

logger = logging.getLogger("clova_ocr_async")

READER_THREADS = 2
"""Threads of a batch that read and hash. More threads only compete for the interpreter, and each keeps the memory of
the last large files it has read; two are enough, for no service answers as fast as a disk."""

MOST_INTERRUPTED = 3
"""Processes that one image may interrupt while they have it, one after the other; then it is parked."""

_VENDOR = ".apigw.ntruss.com"


class LedgeredReader:
    """Processes the images of a batch through its ledger.

    Args:
        client: Calls.
        ledger: Holds what was paid.
        stop: The state of the batch.
        unfinished: Defers files that are still being written.
        options: Further arguments of each call.
        columns: Written with each file that is read, as a JSON object; empty for none.
        listed: Whether the images are files that the ledger itself has listed as unread, so that it is not asked again.
    """

    def __init__(
        self,
        client: ClovaOCRClient,
        ledger: Ledger,
        stop: StopSwitch,
        unfinished: UnfinishedFiles,
        options: Mapping[str, Any],
        *,
        columns: bytes = b"",
        listed: bool = False,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._stop = stop
        self._unfinished = unfinished
        self._options = options
        self._columns = columns
        self._listed = listed
        self._threads = CapacityLimiter(READER_THREADS)
        self._hashes = FileHashes()
        self._trial = asyncio.Lock()

    async def process(
        self, source: Any, document: type[Document], progress: ImageProgress, until: float | None = None
    ) -> Outcome[Any] | Deferred:
        """Return the outcome of an image, with a call only if the ledger has none.

        Raises:
            LedgerError: The ledger cannot be used.
        """
        # By its stamp, so that a finished file is not even opened.
        entry = await self._recall(source, document)
        if entry is not None:
            return await _outcome_of(entry, source, document)
        again = partial(self.process, source, document)
        loader = self._client.loader
        try:
            hashed = await frameless(read_hashed(source, loader, hashes=self._hashes, limiter=self._threads))
        except ImageError as error:
            if (deferred := await self._unfinished.defer(source, error, until, again)) is not None:
                return deferred
            return await self._reject(source, document, without_own_frame(error))
        progress.hold_bytes(hashed.bytes_held)
        if self._unfinished.is_fresh(hashed.stamp_before):
            # Before it is on record: half a picture must not become an item of its own. A fault that waiting does not
            # repair comes up again when the picture is made for the call, and is recorded then.
            try:
                prepared = await frameless(self._unfinished.make(loader, hashed.opened))
            except ImageError as error:
                if (deferred := await self._unfinished.defer(source, error, until, again)) is not None:
                    return deferred
                if error.truncated and loader.limits.allow_truncated:  # the call would send what is there so far
                    return await self._reject(source, document, error)
            else:
                hashed = dataclasses.replace(hashed, prepared=prepared)
        return await self._admit(source, document, hashed, progress)

    async def _recall(self, source: Any, document: type[Document]) -> Entry | None:
        if self._listed or (file := await stat_source(source, self._threads)) is None:
            return None
        return await self._ledger.recall(file, document.path_word)

    async def _reject(self, source: Any, document: type[Document], error: ImageError) -> Outcome[Any]:
        """Write down a file that cannot be read; return its earlier outcome if it was read once, and is gone now."""
        if (file := self._with_columns(source_file(source))) is not None:
            # A file that was moved away is not a fault of its image, whose earlier outcome stays.
            gone = await anyio.to_thread.run_sync(is_gone, source, limiter=self._threads)
            entry = await self._ledger.reject(file, document.path_word, GONE if gone else encode_failure(error))
            if entry is not None and entry.state in FINISHED:
                return await _outcome_of(entry, source, document)
        return Failure(source, error)

    async def _admit(
        self, source: Any, document: type[Document], hashed: HashedImage, progress: ImageProgress
    ) -> Outcome[Any] | Deferred:
        if self._listed and isinstance(source, Page) and hashed.opened.page is None:
            await self._drop_page(source, document)
        # One transaction decides among all processes: the same bytes under two names are claimed once.
        admission = await self._ledger.admit(hashed.item(document.path_word), self._with_columns(hashed.file))
        if admission.claim is None and admission.entry.state in FINISHED:
            return await _outcome_of(admission.entry, source, document)
        if admission.claim is not None:
            journal = LedgerJournal(self._ledger, admission.claim, document, self._stop, progress)
            try:
                return await self._call(source, document, hashed, journal)
            # Nothing was sent in either case, so the image may simply be looked at again.
            except ClaimLostError:  # another process took the image over while this one was suspended
                pass
            except ChangedFileError as error:
                await self._settle(admission.claim, Settlement(ItemEvent.RELEASE))
                return await self._reject(source, document, ImageError(str(error)))
        return self._defer_to_other_call(source, document, admission.entry, hashed)

    def _with_columns(self, file: SourceFile | None) -> SourceFile | None:
        """Return a file with the columns of the batch, unless the ledger's list has given it columns of its own."""
        if file is None or not self._columns or self._listed:
            return file
        return dataclasses.replace(file, columns=self._columns)

    async def _drop_page(self, page: Page, document: type[Document]) -> None:
        """Record that a listed page is gone: its file was replaced by one of a single page."""
        listed = SourceFile(normalize_path(os.fsencode(page.path)), page=page.number)
        await self._ledger.reject(listed, document.path_word, GONE)

    def _defer_to_other_call(
        self, source: Any, document: type[Document], entry: Entry, hashed: HashedImage
    ) -> Deferred:
        # A file that was read to its end cannot be read again; others can, and take no memory until then.
        kept = hashed if path_of(source) is None else None

        async def resume(progress: ImageProgress) -> Outcome[Any] | Deferred:
            if kept is None:
                return await self.process(source, document, progress)
            progress.hold_bytes(kept.bytes_held)
            return await self._admit(source, document, kept, progress)

        return Deferred(lambda: self._ledger.changed(entry), resume)

    async def _call(
        self, source: Any, document: type[Document], hashed: HashedImage, journal: LedgerJournal
    ) -> Outcome[Any]:
        result: Recognition[Any] | ClovaOCRError
        try:
            prepared = await self._make_picture(hashed, journal.claim)
            if hashed.opened.needs_preparation:
                journal.progress.hold_bytes(len(prepared.image.data))
            # It is stored with the mark of the request: a run that is killed can still map the polygons of its answer.
            journal.picture = prepared.picture.to_json()
            result = await self._client.recognize(prepared, document, lane="batch", journal=journal, **self._options)
        except ClovaOCRError as error:
            result = without_own_frame(error)  # the frame has the image, which may be bytes
        except BaseException:
            # Cancelled, or a defect: an answer that is in by now settles the image before the exception goes on.
            try:
                await journal.decode()
            finally:
                journal.progress.known_outcome = journal.outcome_if_cancelled(source)
                _log_lost_answer(journal.progress.known_outcome, hashed)
                await self._settle(journal.claim, journal.settlement_if_cancelled())
            raise
        # An answer that is stored nowhere must reach the caller as bytes, and stop the batch, also if it was decoded.
        result = journal.lost_answer() or result
        if isinstance(result, ClovaOCRError):
            item = journal.claim.item
            journal.progress.settle(Failure(source, result, item))
            await self._settle(journal.claim, failed_settlement(result, journal.request_id))
            return Failure(source, self._stop.note_error(result), item)
        outcome = Success(source, result, item=journal.claim.item)
        journal.progress.settle(outcome)
        await self._settle(journal.claim, succeeded_settlement(result, journal.request_id))
        return outcome

    async def _make_picture(self, hashed: HashedImage, claim: Claim) -> PreparedImage:
        """Return the picture of an image; one that has interrupted processes is tried, or refused.

        Raises:
            ImageError: It cannot be made, or it has interrupted too many processes.
        """
        if not claim.interrupted:
            return await make_picture_of(hashed, self._client.loader)
        if claim.interrupted >= MOST_INTERRUPTED:
            logger.warning("%s is parked: it has interrupted %d processes", _name_of(hashed), claim.interrupted)
            raise ImageError(
                f"{claim.interrupted} processes have ended while they read it, so it is not read again; convert it to "
                "another format, or queue it again (--retry-failed, or the ledger's requeue)"
            )
        # A process that ends has many images, and one of them has ended it. So each is tried alone, and counted before:
        # the count stays if this process ends now. A cancellation lets it be written, and then set to 0.
        async with self._trial:
            try:
                await run_to_completion(self._ledger.set_interrupted(claim, claim.interrupted + 1))
                return await make_picture_of(hashed, self._client.loader)
            finally:
                await run_to_completion(self._ledger.set_interrupted(claim, 0))

    async def _settle(self, claim: Claim, settlement: Settlement) -> None:
        # To its end, also if the batch is cut off: an item that is left as sent is ambiguous for the next process.
        try:
            await run_to_completion(self._ledger.settle(claim, settlement))
        except LedgerError as error:
            # Nothing is lost by that: the caller has the outcome, and the ledger has the answer, or the item as sent.
            logger.warning("the end of a call could not be written down: %s", error)


def is_gone(source: object) -> bool:
    """Return whether an image is a path of a file that does not exist."""
    try:
        stat_file(source)  # type: ignore[arg-type]  # an object of another type is not gone
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, TypeError, ValueError):
        pass
    return False


async def _outcome_of(entry: Entry, source: Any, document: type[Document]) -> Outcome[Any]:
    size = 0 if entry.answer is None else len(entry.answer.body)
    result = await call_unblocking(size, partial(replay, entry, document))
    if isinstance(result, ClovaOCRError):
        return Failure(source, result, entry.item)
    return Success(source, result, billed=False, item=entry.item)


def _log_lost_answer(outcome: Outcome[Any] | None, hashed: HashedImage) -> None:
    """Log that the paid answer of a cancelled call is stored nowhere: its caller may not look at what is left over."""
    if isinstance(outcome, Failure) and isinstance(outcome.error, AnswerNotKeptError):
        logger.error("%s: %s", _name_of(hashed), outcome.error)


def _name_of(hashed: HashedImage) -> str:
    return "an image without a name" if hashed.file is None else shown_path(os.fsdecode(hashed.file.path))


def services_of(domains: Iterable[Domain]) -> list[str]:
    """Return the services that some domains belong to: the vendor's, or servers of the user's own."""
    return sorted({_service_of(urlsplit(domain.key).hostname or "") for domain in domains})


def _service_of(host: str) -> str:
    if host.endswith(_VENDOR):  # each domain has a host of its own there
        return _VENDOR.removeprefix(".")
    # One service for all of them: an emulator or a proxy of one's own has another address each time.
    try:
        return "local" if ipaddress.ip_address(host).is_private else host
    except ValueError:
        return "local" if host == "localhost" else host
