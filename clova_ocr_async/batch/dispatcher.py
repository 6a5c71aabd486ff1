"""Sends many images through one client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast, overload

from clova_ocr_async.batch.batch import Batch
from clova_ocr_async.batch.listing import Listing
from clova_ocr_async.batch.reader import DirectReader
from clova_ocr_async.batch.recorder import Recorder, services_of
from clova_ocr_async.batch.seal import load_seal
from clova_ocr_async.batch.sources import opened
from clova_ocr_async.batch.sqlite import SqliteLedger
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.protocol.echo import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

    from clova_ocr_async.batch.ledger import Ledger
    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.client.reading import ImageSource
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.documents.recognition import DocumentT

__all__ = ["BatchDispatcher"]

_WORKERS = 32
_AHEAD = 200


class BatchDispatcher:
    """Sends many images through a client.

    Args:
        client: Calls; it stays the caller's to close.
        concurrency: Images in work at once, waiting for a slot included; 32 if not given. How many calls fly at once is
            for the client's slots to say.
        ledger: A run directory, in which a ledger is opened for each batch, or a ledger the caller has opened. With it
            an image is paid once whatever its names, a finished one is answered from the ledger, and a killed batch
            goes on where it was. In a run directory answers are sealed if the environment has a key (CLOVA_OCR_KEY).
        ahead: Most images pulled and not yet handed out.

    Raises:
        ConfigurationError: A number is no whole number from 1.
    """

    def __init__(
        self,
        client: ClovaOCRClient,
        concurrency: int | None = None,
        *,
        ledger: str | os.PathLike[str] | Ledger | None = None,
        ahead: int = _AHEAD,
    ) -> None:
        if not hasattr(client, "recognize"):
            raise ConfigurationError(f"client is a {type(client).__name__}; it must be a ClovaOCRClient")
        self._client = client
        self._concurrency = _checked("concurrency", _WORKERS if concurrency is None else concurrency)
        self._ledger = _checked_ledger(ledger)
        self._ahead = max(_checked("ahead", ahead), self._concurrency)

    @overload
    def dispatch(
        self,
        images: Iterable[ImageSource] | AsyncIterable[ImageSource] | Listing,
        document: type[DocumentT],
        *,
        ordered: bool = False,
    ) -> Batch[DocumentT]: ...

    @overload
    def dispatch(
        self,
        images: Iterable[tuple[ImageSource, type[Document]]] | AsyncIterable[tuple[ImageSource, type[Document]]],
        document: None = None,
        *,
        ordered: bool = False,
    ) -> Batch[Document]: ...

    def dispatch(self, images: Any, document: type[Any] | None = None, *, ordered: bool = False) -> Batch[Any]:
        """Return a batch to open with ``async with`` and read with ``async for``.

        Args:
            images: Any iterable or async iterable of images; of pairs of image and document class if ``document`` is
                not given. It is pulled from only as outcomes are taken.
            document: The class of all the images.
            ordered: Hand out in the order of the images; else as they finish.

        Raises:
            TypeError: ``images`` is a single image or path, or cannot be iterated.
            ConfigurationError: No domain of the client reads the document.
        """
        if document is not None:
            self._client.serving(document)
        batch: Batch[Any] = Batch(
            self._client, opened(images), document, self._concurrency, self._ahead, ordered=ordered
        )
        if self._ledger is None:
            batch.reader = DirectReader(self._client, batch)
        else:
            ledger, own = self._opened_ledger(self._ledger)
            recorder = Recorder(self._client, ledger, batch, listed=isinstance(images, Listing))
            batch.record(recorder, services_of(self._client.domains), own_ledger=own)
        return batch

    @staticmethod
    def _opened_ledger(ledger: str | os.PathLike[str] | Ledger) -> tuple[Ledger, bool]:
        """Return a ledger, and whether the batch is to open and close it."""
        if isinstance(ledger, str | os.PathLike):
            return SqliteLedger(ledger, seal=load_seal()), True
        return ledger, False


def _checked(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is {shown(value)}; it must be a whole number from 1")
    return value


def _checked_ledger(ledger: Any) -> str | os.PathLike[str] | Ledger | None:
    if ledger is None or isinstance(ledger, str | os.PathLike) or hasattr(ledger, "sending"):
        return cast("str | os.PathLike[str] | Ledger | None", ledger)
    raise ConfigurationError(
        f"ledger is a {type(ledger).__name__}; it must be the path of a run directory, or a Ledger"
    )
