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
    from clova_ocr_async.documents.base import Document

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
        try:
            image = await self._prepared(source, progress)
            recognition = await self._client.recognize(image, document, lane="batch", journal=progress, **self._options)
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
            if progress.billing is not Billing.NOT_BILLED:
                progress.known_outcome = cut_off_failure(
                    source,
                    progress.billing,
                    request_id=progress.request_id,
                    attempts=progress.attempts,
                    maybe_billed=progress.maybe_billed,
                    raw=progress.raw,
                )
            raise

    async def _prepared(self, source: Any, progress: ImageProgress) -> Any:
        """Return what the client is given: a prepared picture where that takes memory that the batch has to count.

        Also where truncated pictures may be sent, as a file may still be in the middle of its writing.
        """
        loader = self._client.loader
        if loader.preparation is None and not isinstance(source, Page) and not loader.limits.allow_truncated:
            return source
        return await frameless(self._unfinished.load(loader, source, progress.hold_bytes))
