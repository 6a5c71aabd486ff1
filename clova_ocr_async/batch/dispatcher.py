"""The dispatcher: makes a batch out of a client, images and settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast, overload

import msgspec

from clova_ocr_async.arguments import require_whole_number
from clova_ocr_async.batch.batch import Batch, LedgerSession
from clova_ocr_async.batch.direct import DirectReader
from clova_ocr_async.batch.intake import Intake
from clova_ocr_async.batch.ledgered import LedgeredReader, services_of
from clova_ocr_async.batch.outbox import Outbox
from clova_ocr_async.batch.sources.iterables import open_source
from clova_ocr_async.batch.sources.worklist import WorkList
from clova_ocr_async.batch.stop import StopSwitch
from clova_ocr_async.batch.unfinished import UnfinishedFiles
from clova_ocr_async.batch.window import Window
from clova_ocr_async.batch.workers import Workers
from clova_ocr_async.errors import ConfigurationError
from clova_ocr_async.host.runtime import Runtime
from clova_ocr_async.ledger.opening import locate, open_ledger
from clova_ocr_async.ledger.seal import load_seal
from clova_ocr_async.server_url import ServerURL

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable

    from clova_ocr_async.batch.images_in_work import Reader
    from clova_ocr_async.client.client import ClovaOCRClient
    from clova_ocr_async.client.loading import ImageSource
    from clova_ocr_async.documents.base import Document
    from clova_ocr_async.documents.recognition import DocumentT
    from clova_ocr_async.ledger.opening import RunLocation
    from clova_ocr_async.ledger.storage import Ledger

__all__ = ["BatchDispatcher"]

_LOCATION = (str, os.PathLike, ServerURL)
_AHEAD = 200  # images: with so many outcomes to spare, a pause of the consumer leaves no slot idle


class BatchDispatcher:
    """Sends many images through a client.

    Examples:
        >>> dispatcher = BatchDispatcher(client, ledger="run/")
        >>> async with dispatcher.dispatch(images_in("scans/"), Receipt) as outcomes:
        ...     async for outcome in outcomes:
        ...         print(outcome.source, isinstance(outcome, Success))

    Args:
        client: Makes the calls; the caller closes it.
        concurrency: Most images in work at once, those that wait for a slot included. Not given, they follow the slots:
            as many as the calls at once that the client allows, and half as many more, at least four. In any case
            no more are read once they take 256 MiB.
        ledger: A run directory or ``postgresql://user@host/db?run=NAME``, where a ledger is opened for each batch, or a
            ledger that the caller has opened. With it an image is paid once whatever its names, a finished one is
            answered from the ledger, and a killed batch resumes. Answers are encrypted if the environment has a key
            (CLOVA_OCR_KEY), unless the caller opens the ledger.
        ahead: Most images pulled and not yet taken; the images that may be in work are pulled in any case.
        runtime: Time, and waiting; for files that are still being written.

    Raises:
        ConfigurationError: A number is not a whole number from 1, an argument has another type, or ``ledger`` is a URL
            of another kind.
    """

    def __init__(
        self,
        client: ClovaOCRClient,
        concurrency: int | None = None,
        *,
        ledger: str | os.PathLike[str] | Ledger | None = None,
        ahead: int = _AHEAD,
        runtime: Runtime = Runtime(),  # noqa: B008 - immutable
    ) -> None:
        # By its method and not its class: a wrapper of a client, or a double in a test, works as well.
        if not hasattr(client, "recognize"):
            raise ConfigurationError(f"client is a {type(client).__name__}; it must be a ClovaOCRClient")
        self._client = client
        self._concurrency = None if concurrency is None else require_whole_number("concurrency", concurrency)
        self._ledger = _checked_ledger(ledger)
        self._ahead = require_whole_number("ahead", ahead)
        self._runtime = runtime

    @overload
    def dispatch(
        self,
        images: Iterable[ImageSource] | AsyncIterable[ImageSource] | WorkList,
        document: type[DocumentT],
        *,
        ordered: bool = False,
        context: object = None,
    ) -> Batch[DocumentT]: ...

    @overload
    def dispatch(
        self,
        images: Iterable[tuple[ImageSource, type[Document]]] | AsyncIterable[tuple[ImageSource, type[Document]]],
        document: None = None,
        *,
        ordered: bool = False,
        context: object = None,
    ) -> Batch[Document]: ...

    def dispatch(
        self, images: Any, document: type[Any] | None = None, *, ordered: bool = False, context: object = None
    ) -> Batch[Any]:
        """Return a batch to open with ``async with`` and read with ``async for``.

        Args:
            images: Any iterable or async iterable of images; of pairs of image and document class if ``document`` is
                not given. It is pulled from only as outcomes are taken.
            document: The class of all the images.
            ordered: Yield outcomes in the order of the images; else as they finish.
            context: Any object of yours: each hook event of the batch's calls has it. With a ledger it must be a
                mapping that JSON can hold; the run keeps it with each file that the batch reads, and its records show
                it as ``columns``.

        Raises:
            TypeError: ``images`` is a single image or path, or cannot be iterated.
            ConfigurationError: No domain of the client reads the document, or a ledger cannot hold the context.
        """
        columns = b"" if self._ledger is None else _columns_of(context)
        # Left out where it is not given: a double of a client in a test may not have the argument.
        options = {} if context is None else {"context": context}
        stop, outbox = StopSwitch(), Outbox[Any](ordered=ordered)
        window = Window(self._ahead, self._concurrency)
        intake = Intake(open_source(images), document, self._client, window, stop)
        unfinished = UnfinishedFiles(self._runtime)
        reader: Reader
        session = None
        if self._ledger is None:
            reader = DirectReader(self._client, stop, unfinished, options)
        else:
            # For each batch anew: a ledger is opened once, and a dispatcher dispatches many times.
            ledger = _opened_ledger(self._ledger)
            session = LedgerSession(ledger, services_of(self._client.domains), owned=ledger is not self._ledger)
            listed = isinstance(images, WorkList)
            reader = LedgeredReader(self._client, ledger, stop, unfinished, options, columns=columns, listed=listed)
        return Batch(intake, Workers(intake, reader, outbox, stop), outbox, stop, session)


def _columns_of(context: object) -> bytes:
    """Return the context of a batch as the ledger writes it down, a JSON object; empty if there is none."""
    if context is None:
        return b""
    kind = type(context).__name__
    try:
        columns = msgspec.json.encode(context) if isinstance(context, Mapping) else b""
    except (TypeError, ValueError, RecursionError):
        columns = b""
    if not columns:
        raise ConfigurationError(
            f"context is a {kind} that JSON cannot hold; with a ledger it must be a mapping such as "
            "{'tenant': 'a'}, since the run keeps it"
        )
    return columns


def _opened_ledger(ledger: RunLocation | Ledger) -> Ledger:
    return open_ledger(ledger, seal=load_seal()) if isinstance(ledger, _LOCATION) else ledger


def _checked_ledger(ledger: Any) -> RunLocation | Ledger | None:
    if isinstance(ledger, _LOCATION):
        return locate(cast("RunLocation", ledger), "ledger")
    # A store of the user's own needs no base class. This is the method without which nothing may be paid.
    if ledger is None or hasattr(ledger, "sending"):
        return cast("Ledger | None", ledger)
    raise ConfigurationError(
        f"ledger is a {type(ledger).__name__}; it must be the path of a run directory, the URL of a run, or a Ledger"
    )
